//! The comparison from end to end, without a gateway: the floor and the origin itself, very shortly.

use std::process::Command;

/// Some of those that need no program of others.
const SCENARIOS: &str = "keepalive-500B-c64,body-1MiB,post-4KiB,h1-c64-to-h2c,grpc-unary-100B";

#[test]
fn the_floor_and_the_origin_are_compared() {
    let output = Command::new(env!("CARGO_BIN_EXE_ringway-loadtest"))
        .args(["compare", "--scenario", SCENARIOS, "--only", "floor,direct"])
        .args(["--pairs", "2", "--warm-up", "0.05", "--window", "0.2", "--connections", "4"])
        .args(["--no-write", "--no-strace"])
        .output()
        .unwrap();
    let (text, said) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{text}\n{said}");
    for name in SCENARIOS.split(',') {
        assert!(text.contains(&format!("# {name}")), "{text}");
    }
    let rows =
        |start: &str| text.lines().filter(|line| line.starts_with(start) && line.contains(" of ")).count();
    // What speaks HTTP/2 with clients has no floor.
    assert_eq!((rows("| floor |"), rows("| direct |")), (4, 5), "{text}");
}

#[test]
fn what_is_asked_for_wrongly_is_refused_with_a_hint() {
    for (words, hint) in [
        (&["compare", "--scenario", "nothing"][..], "--list"),
        (&["compare", "--only", "nobody"], "--only"),
        (&["compare", "--target-cpu", "0", "--only", "floor"], "a CPU each"),
        (&["compare", "--windw", "1", "--only", "floor"], "--help"),
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_ringway-loadtest")).args(words).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains(hint), "{words:?}: {said}");
    }
}
