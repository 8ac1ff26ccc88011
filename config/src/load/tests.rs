//! Whole files: what loads, and exactly what is said of those that do not.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;
use std::time::Instant;

use toml::de::DeValue;

use super::*;
use crate::tls::tests::NOW;
use crate::{diff, effective};

const EXAMPLES: [(&str, &str); 5] = [
    ("minimal.toml", include_str!("../../examples/minimal.toml")),
    ("gateway.toml", include_str!("../../examples/gateway.toml")),
    ("static.toml", include_str!("../../examples/static.toml")),
    ("tls.toml", include_str!("../../examples/tls.toml")),
    ("virtual-hosts.toml", include_str!("../../examples/virtual-hosts.toml")),
];

fn environment(name: &str) -> Option<String> {
    match name {
        "USERS" => Some("10.0.0.1:80".to_owned()),
        "TOKEN" => Some("s3cret".to_owned()),
        "WAIT" => Some("5s".to_owned()),
        "BAD" => Some("s3cret \n".to_owned()),
        _ => None,
    }
}

const SURROUNDINGS: Surroundings<'_> = Surroundings { environment: &environment, now: NOW };

fn load_as(text: &str, secrets: Secrets) -> Result<Loaded, ConfigErrors> {
    load_with("t.toml", text, &crate::tls::tests::folder(), &mut Names::default(), secrets, &SURROUNDINGS)
}

fn load(text: &str) -> Result<Loaded, ConfigErrors> {
    load_as(text, Secrets::Resolve)
}

/// What is said of a file, a line for each error.
fn refusal(text: &str) -> String {
    load(text).map_or_else(|errors| errors.to_string(), |_| "loads".to_owned())
}

/// A file around a route's and an upstream's further keys.
fn around(route: &str, upstream: &str) -> String {
    format!(
        "[listeners.http]\nbind = \"127.0.0.1:0\"\n[upstreams.app]\nendpoints = [\"127.0.0.1:3000\"]\n{upstream}\n\
         [routes.app]\nmatch = {{ prefix = \"/api\" }}\nupstream = \"app\"\n{route}\n"
    )
}

mod examples;
mod limits;
mod refusals;
mod tls;

#[test]
fn ten_thousand_routes_load_in_time() {
    let mut text = String::from("[listeners.http]\nbind = \"127.0.0.1:0\"\n");
    for n in 0..10_000 {
        let _ = write!(
            text,
            "[routes.r{n}]\nmatch = {{ hosts = [\"h{}.example.com\"], prefix = \"/api/{n}\" }}\nupstream = \"u{}\"\n\
             timeout = \"5s\"\n",
            n % 100,
            n % 500
        );
    }
    for n in 0..500 {
        let _ = write!(text, "[upstreams.u{n}]\nendpoints = [\"127.0.0.1:{}\"]\n", n + 1000);
    }
    // Nothing is quadratic: an unoptimised build on a busy machine needs a second; comparing 10,000 with 10,000
    // would take minutes.
    #[expect(clippy::disallowed_methods, reason = "a test may look at the clock")]
    let start = Instant::now();
    let loaded = load(&text).unwrap();
    let took = start.elapsed();
    println!("{} bytes in {took:?}", text.len());
    assert_eq!(loaded.snapshot.routes.all().len(), 10_000);
    assert!(took.as_secs() < 10, "{took:?}");
    // Nor is a file where every route is wrong.
    let errors = load(&text.replace("upstream = \"u", "upstream = \"v")).unwrap_err();
    assert_eq!(errors.0.len(), 10_000);
}

#[test]
fn names_keep_their_numbers() {
    let mut names = Names::default();
    let (a, b) = (names.id("a"), names.id("b"));
    assert_ne!(a, b);
    assert_eq!((names.id("a"), names.id("b")), (a, b));
    assert_eq!(names.name(b).map(|name| &**name), Some("b"));
    assert_eq!(names.name(7), None);
}

#[test]
fn a_refused_file_gives_out_no_numbers() {
    let mut names = Names::default();
    let text = around("timeout = 1", "");
    let base = Path::new("/");
    assert!(load_with("t", &text, base, &mut names, Secrets::Resolve, &SURROUNDINGS).is_err());
    assert_eq!(names.id("first"), 0);
}

#[test]
fn references_are_looked_up_in_any_string() {
    let route = "timeout = \"env:WAIT\"\nrequest = { set = { Authorization = \"env:TOKEN\" } }";
    let text = around(route, "").replace("\"127.0.0.1:3000\"", "\"env:USERS\"");
    let loaded = load(&text).unwrap();
    let upstream = &loaded.snapshot.upstreams[0];
    assert_eq!(&*upstream.endpoints[0].text, "10.0.0.1:80");
    assert_eq!(loaded.snapshot.routes.all()[0].timeout, std::time::Duration::from_secs(5));
    let filter = &loaded.snapshot.routes.all()[0].filters[0];
    assert!(format!("{filter:?}").contains("s3cret"));
    assert_eq!(filter.describe(), "headers = { request = { set = { Authorization = \"env:TOKEN\" } } }");
    // The effective text has the references, and not what they stand for.
    let shown = effective(&loaded.snapshot);
    assert!(
        shown.contains("env:TOKEN") && shown.contains("env:USERS") && !shown.contains("s3cret"),
        "{shown}"
    );
}

#[test]
fn references_are_left_alone_when_told_so() {
    let route = "timeout = \"env:MISSING\"\nrequest = { set = { Authorization = \"file:missing\" } }";
    let text = around(route, "").replace("\"127.0.0.1:3000\"", "\"env:MISSING\"");
    assert!(load_as(&text, Secrets::Ignore).is_ok());
    assert_eq!(load(&text).unwrap_err().0.len(), 3);
}

#[test]
fn a_reference_to_a_file_is_its_text_without_the_last_line_end() {
    let text = around("response = { set = { X-Example = \"file:one-line.txt\" } }", "");
    let folder = std::env::temp_dir().join(format!("ringway-config-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("one-line.txt"), "value\n").unwrap();
    let loaded = load_with("t", &text, &folder, &mut Names::default(), Secrets::Resolve, &SURROUNDINGS);
    std::fs::remove_dir_all(&folder).unwrap();
    assert!(
        format!("{:?}", loaded.unwrap().snapshot.routes.all()[0].filters)
            .contains(r#""X-Example: value\r\n""#)
    );
}

#[test]
fn the_difference_names_what_changed() {
    let old = load(&around("", "")).unwrap().snapshot;
    assert_eq!(diff(&old, &old), Vec::<String>::new());
    let text = around("timeout = \"30s\"\nretry = { attempts = 2 }", "keepalive = 8")
        .replace("127.0.0.1:3000", "127.0.0.1:3001")
        .replace("127.0.0.1:0", "127.0.0.1:1")
        + "[routes.new]\nmatch = { path = \"/x\" }\nrespond = \"ready\"\n[server]\ndrain_timeout = \"5s\"\n[metrics]\n";
    let new = load(&text).unwrap().snapshot;
    let expected = [
        "changed server: drain_timeout 30s -> 5s",
        "changed metrics: bind off -> 127.0.0.1:9090",
        "changed listeners.http: bind 127.0.0.1:0 -> 127.0.0.1:1",
        "changed routes.app: timeout 60s -> 30s",
        "added routes.new",
        "changed upstreams.app: endpoints 127.0.0.1:3000*100 -> 127.0.0.1:3001*100, keepalive 32 -> 8",
    ];
    assert_eq!(diff(&old, &new), expected);
    assert_eq!(diff(&new, &old)[3], "removed routes.new");
}

#[test]
fn the_difference_shows_no_secret() {
    let old = load(&around("request = { set = { Authorization = \"old-s3cret\" } }", "")).unwrap().snapshot;
    let new = load(&around("request = { set = { Authorization = \"env:TOKEN\" } }", "")).unwrap().snapshot;
    assert_eq!(diff(&old, &new), ["changed routes.app: filters"]);
}

#[test]
fn a_secret_in_the_file_itself_is_redacted_and_warned_of() {
    let text = around(
        "request = { set = { authorization = \"Basic s3cret\", X-Api-Key = \"env:TOKEN\" } }\nuse = [\"f\"]",
        "[filters.f.headers]\nresponse = { add = { Set-Cookie = \"s3cret\", X-Plain = \"plain\" } }",
    );
    let loaded = load(&text).unwrap();
    assert_eq!(loaded.warnings.len(), 2, "{:?}", loaded.warnings);
    let expected = "t.toml:6:22: filters.f.headers.response.add.Set-Cookie: this looks";
    assert!(loaded.warnings[0].starts_with(expected), "{:?}", loaded.warnings);
    let shown = effective(&loaded.snapshot);
    assert!(
        !shown.contains("s3cret") && shown.contains("\"redacted\"") && shown.contains("plain"),
        "{shown}"
    );
    let again = load(&shown).unwrap();
    assert_eq!(effective(&again.snapshot), shown);
}

#[test]
fn no_text_makes_reading_panic() {
    // A small generator with a fixed seed: each run tries the same texts.
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = move |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % u64::try_from(below).unwrap()).unwrap()
    };
    let pieces =
        ["\"", "{", "}", "[", "]", "=", "\n", "1", "-1", "true", "é", "env:", "$", "\0", ".", "[[x]]", "'''"];
    for _ in 0..1_500 {
        let mut text = EXAMPLES[1 + random(3)].1.to_owned();
        for _ in 0..=random(4) {
            let mut at = random(text.len());
            while !text.is_char_boundary(at) {
                at -= 1;
            }
            let mut end = (at + random(20)).min(text.len());
            while !text.is_char_boundary(end) {
                end -= 1;
            }
            text.replace_range(at..end.max(at), pieces[random(pieces.len())]);
        }
        if let Err(errors) = load(&text) {
            let is_sorted = errors.0.is_sorted_by_key(|error| (error.line, error.column));
            assert!(!errors.0.is_empty() && is_sorted, "{errors}\n{text}");
        }
    }
}

#[test]
fn what_is_legal_but_hardly_meant_draws_a_warning() {
    let text = around(
        "",
        "[upstreams.spare]\nendpoints = [\"127.0.0.1:1\"]\n[filters.spare.headers]\nrequest = { remove = [\"X\"] }",
    ) + "[routes.files]\nmatch = { path = \"/f\" }\nstatic = { root = \"nowhere\" }\n\
       [admin]\nbind = \"0.0.0.0:8001\"\n";
    let warnings = load(&text).unwrap().warnings;
    let expected = [
        "t.toml:5:12: upstreams.spare: no route uses this upstream; ",
        "t.toml:7:10: filters.spare: no route uses this filter; ",
        "t.toml:15:19: routes.files.static.root: there is no such folder now, ",
        "t.toml:17:8: admin.bind: the admin API at 0.0.0.0:8001 can be reached from other machines; ",
    ];
    assert_eq!(warnings.len(), expected.len(), "{warnings:?}");
    for (warning, expected) in warnings.iter().zip(expected) {
        assert!(warning.starts_with(expected), "{warning}");
    }
}
