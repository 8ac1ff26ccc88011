//! The conformance suite h2spec, where it is on the `PATH`. No distribution packages it, so nothing insists on it.

use std::process::Command;

use crate::support::{Authority, Gateway, Leaf, Origin, fresh_dir, ok, proxying};

/// Every case must pass, those of the suite's strict mode too.
fn passes(gateway: &Gateway, words: &[&str]) {
    let output = Command::new("h2spec")
        .args(["--strict", "--timeout", "5", "-h", &gateway.ip().to_string()])
        .args(words)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let failures = said.split("Failures:").nth(1).unwrap_or(&said);
    assert!(output.status.success() && said.contains("147 passed"), "{failures}\n{}", gateway.output());
}

/// Something behind the gateway, so that a request is more than frames. It answers when all of a request has come: with
/// an early answer the gateway resets the stream itself, rightly ignores what follows, and the suite waits in vain.
fn origin() -> Option<Origin> {
    if Command::new("h2spec").arg("--version").output().is_err() {
        eprintln!("skipped: no h2spec on the PATH");
        return None;
    }
    Some(Origin::start(|visit| {
        visit.body();
        visit.send(ok("hello"));
    }))
}

#[test]
fn h2spec_passes_in_clear() {
    let Some(origin) = origin() else { return };
    passes(&Gateway::start(&proxying(&origin)), &["-p", "8080"]);
}

#[test]
fn h2spec_passes_over_tls() {
    let Some(origin) = origin() else { return };
    let authority = Authority::new(&fresh_dir());
    authority.issue("shop", &Leaf::of(&["localhost"]));
    let listener =
        "[listeners.https]\nbind = \"GATEWAY:8443\"\ntls = { cert = \"shop.pem\", key = \"shop.key\" }\n";
    let gateway = Gateway::start_in(authority.dir(), &format!("{}{listener}", proxying(&origin)));
    passes(&gateway, &["-p", "8443", "-t", "-k"]);
}
