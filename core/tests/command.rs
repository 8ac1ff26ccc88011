//! The command as an operator meets it: what it prints where, and how it ends.

#![expect(clippy::unwrap_used, reason = "a test says what it expects by failing")]

use std::path::PathBuf;
use std::process::{Command, Output};

/// A file of its own for each test, removed at the end.
struct File(PathBuf);

impl File {
    fn new(name: &str, text: &str) -> Self {
        let path = std::env::temp_dir().join(format!("ringway-command-{}-{name}.toml", std::process::id()));
        std::fs::write(&path, text).unwrap();
        Self(path)
    }

    fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for File {
    fn drop(&mut self) {
        drop(std::fs::remove_file(&self.0));
    }
}

const GOOD: &str = "[listeners.http]\nbind = \"127.0.0.1:0\"\n\
                    [routes.user]\nmatch = { pattern = \"/users/{id}\", methods = [\"GET\"] }\nupstream = \"app\"\n\
                    request = { set = { Authorization = \"env:RINGWAY_TEST_TOKEN\" } }\n\
                    [upstreams.app]\nendpoints = [\"127.0.0.1:3000\"]\n";

fn ringway(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ringway"));
    command.args(arguments).env("RINGWAY_TEST_TOKEN", "s3cret").output().unwrap()
}

/// Checks the exit code, and that standard output and error have these parts.
fn check(arguments: &[&str], code: i32, out: &str, err: &str) {
    let output = ringway(arguments);
    let (said, erred) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{arguments:?}:\n{said}\n{erred}");
    assert!(said.contains(out) && said.is_empty() == out.is_empty(), "{arguments:?}:\n{said}");
    assert!(erred.contains(err) && erred.is_empty() == err.is_empty(), "{arguments:?}:\n{erred}");
    assert!(!said.contains("s3cret") && !erred.contains("s3cret"), "{arguments:?}: {said}{erred}");
}

#[test]
fn a_valid_file_is_checked_explained_and_listed() {
    let file = File::new("valid", GOOD);
    let path = file.path();
    check(&["check", path], 0, "valid: 1 listener, 1 route, 1 upstream\n", "");
    check(&["check", "--effective", path], 0, "connect_timeout = \"1s\"\n", "");
    check(&["check", "--effective", path], 0, "\"env:RINGWAY_TEST_TOKEN\"", "");
    check(&["explain", "-c", path, "GET", "/users/7"], 0, "route `user`", "");
    check(&["explain", "-c", path, "POST", "/users/7"], 0, "405", "");
    check(&["routes", "-c", path], 0, "/users/{id}", "");
}

#[test]
fn a_bad_file_ends_with_1_and_all_its_errors() {
    let file = File::new("bad", &GOOD.replace("bind", "bnd").replace("\"app\"", "\"ap\""));
    let path = file.path();
    for arguments in [&["check", path][..], &["run", "-c", path], &["routes", "-c", path]] {
        check(arguments, 1, "", "bad.toml:2:1: listeners.http.bnd: unknown key `bnd`; did you mean `bind`?");
        check(
            arguments,
            1,
            "",
            "bad.toml:5:12: routes.user.upstream: there is no upstream `ap`; did you mean `app`?",
        );
        check(arguments, 1, "", "\n3 errors; nothing was started or changed\n");
    }
    check(&["check", "no-such-file.toml"], 1, "", "no-such-file.toml:1:1: cannot be read: ");
}

#[test]
fn a_missing_reference_fails_unless_secrets_are_left_alone() {
    let file = File::new("reference", &GOOD.replace("RINGWAY_TEST_TOKEN", "RINGWAY_TEST_MISSING"));
    check(&["check", file.path()], 1, "", "the environment has no variable `RINGWAY_TEST_MISSING`");
    check(&["check", "--no-secrets", file.path()], 0, "valid", "");
}

#[test]
fn what_is_not_understood_ends_with_2() {
    for arguments in
        [&["chek", "x"][..], &["run", "x"], &["check"], &["check", "--efective", "x"], &["explain"]]
    {
        check(arguments, 2, "", "Try `ringway --help`.");
    }
    let file = File::new("question", GOOD);
    check(&["explain", "-c", file.path(), "-l", "htp", "GET", "/"], 2, "", "http");
}

#[test]
fn version_and_help_are_told() {
    check(&["--version"], 0, concat!("ringway ", env!("CARGO_PKG_VERSION"), "\n"), "");
    check(&["--help"], 0, "ringway explain -c FILE METHOD URL", "");
}
