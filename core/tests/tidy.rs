//! The house rules that a compiler does not know: this test walks the tree and names every line that breaks one.
//!
//! A rule that is not here, in clippy or in cargo-deny is a wish.
#![expect(clippy::unwrap_used, reason = "a test that cannot read the tree has failed")]

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use ringway_config::load::{Names, Secrets, load_file, load_str};

const LINE_CHARACTERS_MAX: usize = 120;
const FILE_LINES_MAX: usize = 500;

/// One text file of the tree.
struct Source {
    /// Relative to the root, with `/`.
    path: String,
    text: String,
}

impl Source {
    fn is_rust(&self) -> bool {
        self.has_extension("rs")
    }

    fn has_extension(&self, extension: &str) -> bool {
        Path::new(&self.path).extension().is_some_and(|e| e == extension)
    }

    /// What is not test code: all before the first `#[cfg(test)] mod`; nothing below a `tests` folder.
    fn product(&self) -> &str {
        if self.path.contains("/tests/") {
            return "";
        }
        self.text.split("\n#[cfg(test)]\nmod ").next().unwrap_or_default()
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

/// Every text file of the repository, apart from what is built or fetched.
fn tree() -> Vec<Source> {
    let root = root();
    let mut folders = vec![root.clone()];
    let mut sources = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap().map(Result::unwrap) {
            let (path, kind) = (entry.path(), entry.file_type().unwrap());
            let name = entry.file_name().into_string().unwrap();
            let skipped = ["target", ".git", "corpus", "artifacts", "seeds", "coverage"];
            if kind.is_dir() && !skipped.contains(&name.as_str()) {
                folders.push(path);
            } else if kind.is_file() {
                let relative = path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
                // What is not text (a seed, a certificate in DER) has no lines to judge.
                if let Ok(text) = std::fs::read_to_string(&path) {
                    sources.push(Source { path: relative, text });
                }
            }
        }
    }
    sources.sort_by(|a, b| a.path.cmp(&b.path));
    assert!(sources.len() > 30, "only {} files were found: the walk is broken", sources.len());
    sources
}

/// Fails with every finding, not only the first.
fn report(rule: &str, findings: &[String]) {
    let mut text = String::new();
    for finding in findings {
        let _ = write!(text, "\n  {finding}");
    }
    assert!(findings.is_empty(), "{rule}:{text}");
}

/// The places of the lines of all files that break a rule.
fn lines_where(
    files: impl Fn(&Source) -> bool,
    text: impl Fn(&Source) -> &str,
    breaks: impl Fn(&str) -> bool,
) -> Vec<String> {
    let mut findings = Vec::new();
    for source in tree().iter().filter(|s| files(s)) {
        for (at, line) in text(source).lines().enumerate().filter(|(_, line)| breaks(line)) {
            findings.push(format!("{}:{}: {}", source.path, at + 1, line.trim()));
        }
    }
    findings
}

#[test]
fn lines_are_at_most_120_characters() {
    let long = |line: &str| line.chars().count() > LINE_CHARACTERS_MAX;
    report("too long", &lines_where(Source::is_rust, |s| &s.text, long));
}

#[test]
fn files_are_at_most_500_lines_before_their_tests() {
    let mut findings = Vec::new();
    for source in tree().iter().filter(|s| s.is_rust() && !s.path.contains("/tests/")) {
        let lines = source.product().lines().count();
        if lines > FILE_LINES_MAX {
            findings.push(format!("{}: {lines} lines", source.path));
        }
    }
    report("too long; find the second subject in it", &findings);
}

#[test]
fn every_rust_file_says_first_what_it_is() {
    let silent =
        |s: &&Source| s.is_rust() && !s.text.starts_with("//! ") && !s.text.starts_with("#![no_main]\n//! ");
    let findings: Vec<String> = tree().iter().filter(silent).map(|s| s.path.clone()).collect();
    report("no //! line at the top", &findings);
}

#[test]
fn dependencies_between_the_rooms_are_a_straight_line() {
    let allowed: [(&str, &[&str]); 6] = [
        ("http", &[]),
        ("filters", &["http"]),
        ("config", &["filters", "http"]),
        ("core", &["config", "filters", "http"]),
        ("benches", &["core", "config", "filters", "http"]),
        ("loadtest", &[]),
    ];
    let mut findings = Vec::new();
    for (room, may_use) in allowed {
        let text = std::fs::read_to_string(root().join(room).join("Cargo.toml")).unwrap();
        let manifest: toml::Table = text.parse().unwrap();
        for section in ["dependencies", "dev-dependencies", "build-dependencies"] {
            let Some(table) = manifest.get(section).and_then(toml::Value::as_table) else { continue };
            for used in table.keys().filter_map(|name| name.strip_prefix("ringway-")) {
                if !may_use.contains(&used) {
                    findings.push(format!("{room}/Cargo.toml [{section}]: ringway-{used}"));
                }
            }
        }
    }
    report("not on the line core -> config -> filters -> http", &findings);
}

#[test]
fn versions_of_dependencies_live_in_the_root_manifest() {
    let mut findings = Vec::new();
    for room in ["http", "filters", "config", "core", "benches", "loadtest"] {
        let text = std::fs::read_to_string(root().join(room).join("Cargo.toml")).unwrap();
        let manifest: toml::Table = text.parse().unwrap();
        for section in ["dependencies", "dev-dependencies", "build-dependencies"] {
            let Some(table) = manifest.get(section).and_then(toml::Value::as_table) else { continue };
            for (name, value) in table {
                if value.get("workspace").and_then(toml::Value::as_bool) != Some(true) {
                    findings.push(format!("{room}/Cargo.toml [{section}]: {name}"));
                }
            }
        }
    }
    report("not `workspace = true`", &findings);
}

#[test]
fn only_core_net_names_the_runtime() {
    let named = |line: &str| !line.trim_start().starts_with("//") && line.contains("monoio");
    let outside =
        |s: &Source| s.is_rust() && !s.path.starts_with("core/src/net/") && s.path != "core/tests/tidy.rs";
    report("names monoio", &lines_where(outside, |s| &s.text, named));
}

#[test]
fn http_filters_and_config_neither_wait_nor_open_sockets() {
    let words = [".await", "async fn", "std::net::Tcp", "std::net::Udp", "std::os::unix::net", "std::thread"];
    let below = |s: &Source| {
        s.is_rust()
            && ["http/src/", "filters/src/", "config/src/"].iter().any(|room| s.path.starts_with(room))
    };
    let breaks =
        |line: &str| !line.trim_start().starts_with("//") && words.iter().any(|word| line.contains(word));
    report("does IO below core", &lines_where(below, Source::product, breaks));
}

#[test]
fn types_are_named_by_what_they_are() {
    let forbidden = ["Manager", "Helper", "Util"];
    let breaks = |line: &str| {
        let mut words =
            line.split_whitespace().skip_while(|w| !["struct", "enum", "trait", "type", "mod"].contains(w));
        let name = words.nth(1).unwrap_or_default();
        !line.trim_start().starts_with("//") && forbidden.iter().any(|word| name.contains(word))
    };
    report("a name that says nothing", &lines_where(Source::is_rust, |s| &s.text, breaks));
}

#[test]
fn nothing_is_left_unfinished() {
    // Put together here, so that this file does not find itself.
    let markers =
        [concat!("todo", "!("), concat!("unimplemented", "!("), concat!("TO", "DO"), concat!("FIX", "ME")];
    let breaks = |line: &str| markers.iter().any(|marker| line.contains(marker));
    let ours = |s: &Source| s.is_rust() || s.has_extension("md") || s.has_extension("toml");
    let text = |s: &Source| -> String { if s.is_rust() { s.product().to_owned() } else { s.text.clone() } };
    let mut findings = Vec::new();
    for source in tree().iter().filter(|s| ours(s) && s.path != "Cargo.toml") {
        for (at, line) in text(source).lines().enumerate().filter(|(_, line)| breaks(line)) {
            findings.push(format!("{}:{}: {}", source.path, at + 1, line.trim()));
        }
    }
    report("left unfinished", &findings);
}

#[test]
fn every_example_is_a_configuration() {
    let mut findings = Vec::new();
    let mut count = 0;
    for source in tree().iter().filter(|s| s.path.starts_with("config/examples/") && s.has_extension("toml"))
    {
        count += 1;
        if let Err(errors) = load_file(&root().join(&source.path), &mut Names::default(), Secrets::Ignore) {
            findings.push(errors.to_string());
        }
    }
    report("an example that is refused", &findings);
    assert!(count > 0, "config/examples holds no example");
}

#[test]
fn every_configuration_in_the_readme_is_one() {
    let text = std::fs::read_to_string(root().join("README.md")).unwrap();
    let blocks: Vec<&str> =
        text.split("```toml\n").skip(1).filter_map(|rest| rest.split("\n```").next()).collect();
    assert!(!blocks.is_empty(), "the README shows no configuration");
    for block in blocks {
        let loaded = load_str("README.md", block, &root(), &mut Names::default(), Secrets::Ignore);
        assert!(loaded.is_ok(), "{}", loaded.unwrap_err());
    }
}

#[test]
fn every_link_between_documents_leads_somewhere() {
    let mut findings = Vec::new();
    for source in tree().iter().filter(|s| s.has_extension("md")) {
        let folder = root().join(&source.path).parent().unwrap().to_path_buf();
        let targets = source.text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        for target in targets.filter(|t| !t.contains("://") && !t.starts_with('#') && !t.contains(' ')) {
            let path = target.split('#').next().unwrap_or_default();
            if !folder.join(path).exists() {
                findings.push(format!("{}: {target}", source.path));
            }
        }
    }
    report("a link to nothing", &findings);
}

#[test]
fn every_code_fence_names_its_language() {
    let mut findings = Vec::new();
    for source in tree().iter().filter(|s| s.has_extension("md")) {
        let mut inside = false;
        for (at, line) in source.text.lines().enumerate() {
            let Some(language) = line.trim_start().strip_prefix("```") else { continue };
            if !inside && language.trim().is_empty() {
                findings.push(format!("{}:{}", source.path, at + 1));
            }
            inside = !inside;
        }
        if inside {
            findings.push(format!("{}: a fence that does not end", source.path));
        }
    }
    report("a code fence without a language", &findings);
}

#[test]
fn nothing_depends_on_one_machine() {
    let places = [concat!("/wo", "rk/"), concat!("/fa", "rm/"), concat!("/ro", "ot/"), concat!("/ho", "me/")];
    let breaks = |line: &str| places.iter().any(|place| line.contains(place));
    let ours = |s: &Source| s.path != "Cargo.lock";
    report("names a place of one machine", &lines_where(ours, |s| &s.text, breaks));
}

#[test]
fn the_binary_is_a_few_lines_over_the_library() {
    let text = std::fs::read_to_string(root().join("core/src/main.rs")).unwrap();
    assert!(text.lines().count() < 100, "core/src/main.rs: {} lines", text.lines().count());
}
