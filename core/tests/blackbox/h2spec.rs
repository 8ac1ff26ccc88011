//! The conformance suite h2spec, where it is on the `PATH`. No distribution packages it, so nothing insists on it.

use std::process::Command;

use crate::support::{Gateway, Origin, ok, proxying};

/// Every case must pass, those of the suite's strict mode too. In front of an origin of HTTP/1.1, so that a request is
/// more than frames.
fn passes(gateway: &Gateway, words: &[&str]) {
    let output = Command::new("h2spec").args(["--strict", "--timeout", "5"]).args(words).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let failures = said.split("Failures:").nth(1).unwrap_or(&said);
    assert!(output.status.success() && said.contains("147 passed"), "{failures}\n{}", gateway.output());
}

fn is_there() -> bool {
    let found = Command::new("h2spec").arg("--version").output().is_ok();
    if !found {
        eprintln!("skipped: no h2spec on the PATH");
    }
    found
}

#[test]
fn h2spec_passes_in_clear() {
    if !is_there() {
        return;
    }
    let origin = Origin::start(|visit| {
        visit.body();
        visit.send(ok("hello"));
    });
    let gateway = Gateway::start(&proxying(&origin));
    passes(&gateway, &["-h", &gateway.ip().to_string(), "-p", "8080"]);
}
