//! Whole files: what loads, and exactly what is said of those that do not.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Instant;

use super::*;

fn environment(name: &str) -> Option<String> {
    match name {
        "USERS" => Some("10.0.0.1:80".to_owned()),
        "TOKEN" => Some("s3cret".to_owned()),
        _ => None,
    }
}

fn load(text: &str) -> Result<Loaded, ConfigErrors> {
    load_with(
        "t.toml",
        text,
        Path::new("/etc/ringway"),
        &mut Names::default(),
        Secrets::Resolve,
        &environment,
    )
}

#[test]
fn ten_thousand_routes_load_in_time() {
    let mut text = String::from("[listeners.http]\nbind = \"127.0.0.1:0\"\n");
    for n in 0..10_000 {
        let _ = write!(
            text,
            "[routes.r{n}]\nmatch = {{ hosts = [\"h{}.example.com\"], prefix = \"/api/{n}\", methods = [\"GET\", \"POST\"] }}\n\
             upstream = \"u{}\"\ntimeout = \"5s\"\nresponse = {{ set = {{ X-Route = \"{n}\" }} }}\n",
            n % 100,
            n % 500
        );
    }
    for n in 0..500 {
        let _ = write!(text, "[upstreams.u{n}]\nendpoints = [\"127.0.0.1:{}\"]\n", n + 1000);
    }
    let start = Instant::now();
    let loaded = load(&text).unwrap();
    let took = start.elapsed();
    println!("{} bytes in {took:?}", text.len());
    assert_eq!(loaded.snapshot.routes.all().len(), 10_000);
}

#[test]
fn errors_come_all_at_once_in_the_files_order() {
    let text = "[listeners.http]\nbnd = \"127.0.0.1:0\"\n[routes.x]\nupstream = \"y\"\nmatch = { path = \"x\" }\n\
                [upstreams.z]\nendpoints = [\"a\"]";
    let errors = load(text).unwrap_err().0;
    let found: Vec<_> = errors.iter().map(|error| (error.line, error.column, error.key.as_str())).collect();
    let expected = [
        (1, 12, "listeners.http"),
        (2, 1, "listeners.http.bnd"),
        (4, 12, "routes.x.upstream"),
        (5, 18, "routes.x.match.path"),
        (7, 14, "upstreams.z.endpoints[0]"),
    ];
    assert_eq!(found, expected);
}

#[test]
fn the_minimal_example_loads() {
    let loaded = load(include_str!("../../examples/minimal.toml")).unwrap();
    assert_eq!(loaded.snapshot.upstreams[0].endpoints[0].weight, 100);
    assert!(loaded.warnings.is_empty());
}
