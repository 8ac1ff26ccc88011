//! Bad files, and exactly what is said of them: `refusals.txt` has both, one after the other.

use super::*;

#[test]
fn bad_files_are_refused_with_every_error_at_its_place() {
    let cases: Vec<&str> = include_str!("refusals.txt").split("== file\n").skip(1).collect();
    assert!(cases.len() > 20);
    for case in cases {
        let (text, expected) = case.split_once("== refused\n").unwrap();
        assert_eq!(refusal(text), expected.trim_end(), "of:\n{text}");
    }
}

#[test]
fn a_file_that_cannot_be_read_is_refused_by_name() {
    let folder = std::env::temp_dir().join(format!("ringway-refused-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join("latin1.toml");
    std::fs::write(&file, b"# caf\xe9\n").unwrap();
    let said =
        |path: &Path| load_file(path, &mut Names::default(), Secrets::Resolve).unwrap_err().to_string();
    let (latin1, missing) = (said(&file), said(&folder.join("missing.toml")));
    std::fs::remove_dir_all(&folder).unwrap();
    assert!(latin1.ends_with("latin1.toml:1:1: not UTF-8 at byte 5"), "{latin1}");
    assert!(missing.contains("missing.toml:1:1: cannot be read: "), "{missing}");
}

#[test]
fn columns_count_characters() {
    let text = around("", "").replace("\"127.0.0.1:3000\"", "\"é.é:1\", \"a\"");
    assert!(
        refusal(&text).contains("t.toml:4:23: upstreams.app.endpoints[1]: expected a port"),
        "{}",
        refusal(&text)
    );
}

#[test]
fn what_a_reference_stands_for_is_never_said() {
    for route in [
        "timeout = \"env:TOKEN\"",
        "errors = \"env:TOKEN\"",
        "max_body = \"env:TOKEN\"",
        "use = [\"env:TOKEN\"]",
        "rewrite = { to = \"env:TOKEN\" }",
        "rewrite = { regex = \"env:BAD\", to = \"(?<s3cret\" }",
        "request = { set = { X = \"env:BAD\" } }",
        "request = { remove = [\"env:BAD\"] }",
    ] {
        let text = around(route, "");
        let said = refusal(&text).replace("(?<s3cret", "");
        assert!(!said.contains("s3cret") && said != "loads", "{route}: {said}");
    }
    let rules = [
        "hosts = [\"env:BAD\"]",
        "path = \"env:TOKEN\"",
        "methods = [\"env:BAD\"]",
        "headers = { A = \"env:BAD\" }",
    ];
    for rule in rules {
        let said = refusal(&around("", "").replace("prefix = \"/api\"", rule));
        assert!(!said.contains("s3cret") && said != "loads", "{rule}: {said}");
    }
    for (old, new) in [("\"127.0.0.1:0\"", "\"env:TOKEN\""), ("\"127.0.0.1:3000\"", "\"env:BAD\"")] {
        let said = refusal(&around("", "").replace(old, new));
        assert!(!said.contains("s3cret") && said != "loads", "{new}: {said}");
    }
}
