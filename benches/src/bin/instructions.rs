//! Counts the instructions of each operation under callgrind and holds them against the committed budget. Unlike time,
//! the count is nearly the same on a machine that is busy.
//!
//! ```sh
//! cargo run --release -p ringway-benches --bin instructions              # compare with benches/budget.toml
//! cargo run --release -p ringway-benches --bin instructions -- --renew   # write benches/budget.toml
//! ```
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command talks to the person who typed it")]

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail, ensure};
use ringway_benches::budget::{self, Counts, Line, Verdict};
use ringway_benches::operations::{ALL, NOTHING, Operation};

/// A run that makes everything warm, and one that does the operation so many times more: what they differ by is the
/// operation alone.
const FEW: u64 = 100;
const MANY: u64 = 1_100;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let done = match *words.as_slice() {
        [] => check(),
        ["--renew"] => renew(),
        ["--run", name, times] => repeat(name, times).map(|()| ExitCode::SUCCESS),
        _ => Err(anyhow::anyhow!("usage: instructions [--renew]")),
    };
    done.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}

fn budget_file() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("budget.toml")
}

fn check() -> Result<ExitCode> {
    let text = std::fs::read_to_string(budget_file()).context("benches/budget.toml")?;
    let Some(budget) = budget::read(&text, std::env::consts::ARCH)? else {
        println!("skipped: benches/budget.toml has no budget for {}", std::env::consts::ARCH);
        return Ok(ExitCode::SUCCESS);
    };
    let Some(counts) = count_all()? else { return skip() };
    let counts: Counts = counts.into_iter().map(|(name, count)| (name.to_owned(), count)).collect();
    let lines = budget::compare(&budget, &counts);
    for line in &lines {
        println!("{}", show(line));
    }
    if lines.iter().any(|line| line.verdict == Verdict::Under) {
        println!("cheaper than the budget: keep what was won with `-- --renew`");
    }
    if lines.iter().any(|line| matches!(line.verdict, Verdict::Over | Verdict::Unmatched)) {
        println!(
            "over the budget; if that has a reason, renew it with `-- --renew` and say the reason in the commit"
        );
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

fn renew() -> Result<ExitCode> {
    let counts = count_all()?.context("valgrind is not installed")?;
    std::fs::write(budget_file(), budget::write(std::env::consts::ARCH, &counts))?;
    println!("benches/budget.toml is renewed; `git diff` shows what changed");
    Ok(ExitCode::SUCCESS)
}

/// Without valgrind nothing can be counted. That is a failure where everything must be there.
fn skip() -> Result<ExitCode> {
    ensure!(
        std::env::var_os("RINGWAY_REQUIRE_PEERS").is_none(),
        "valgrind is not installed, and RINGWAY_REQUIRE_PEERS is set"
    );
    println!("skipped: valgrind is not installed");
    Ok(ExitCode::SUCCESS)
}

fn show(line: &Line) -> String {
    let number = |value: Option<u64>| value.map_or_else(|| "-".to_owned(), |value| value.to_string());
    let word = match line.verdict {
        Verdict::Within => "",
        Verdict::Over => "  OVER",
        Verdict::Under => "  cheaper",
        Verdict::Unmatched => "  UNMATCHED",
    };
    format!("{:40} {:>8} of {:>8}{word}", line.name, number(line.count), number(line.budget))
}

/// Every operation's instructions, in their order; `None`: there is no valgrind.
fn count_all() -> Result<Option<Vec<(&'static str, u64)>>> {
    let Some(nothing) = count(&NOTHING)? else { return Ok(None) };
    let mut counts = Vec::new();
    for operation in ALL {
        let Some(count) = count(operation)? else { return Ok(None) };
        counts.push((operation.name, count.saturating_sub(nothing)));
    }
    Ok(Some(counts))
}

fn count(operation: &Operation) -> Result<Option<u64>> {
    let Some(few) = collect(operation, FEW)? else { return Ok(None) };
    let Some(many) = collect(operation, MANY)? else { return Ok(None) };
    let more = many.checked_sub(few).with_context(|| format!("{}: more cost less", operation.name))?;
    Ok(Some(more / (MANY - FEW)))
}

/// All instructions of this program doing an operation so many times.
fn collect(operation: &Operation, times: u64) -> Result<Option<u64>> {
    let run = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(std::env::current_exe()?)
        .args(["--run", operation.name, &times.to_string()])
        .output();
    let output = match run {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        other => other.context("valgrind")?,
    };
    let text = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{} under valgrind: {}\n{text}", operation.name, output.status);
    let counted =
        text.lines().find_map(|line| line.split_once("Collected : ")).map(|(_, count)| count.trim());
    let count = counted.and_then(|count| count.parse().ok());
    count.map(Some).with_context(|| format!("valgrind does not say what it collected:\n{text}"))
}

/// What runs under valgrind.
fn repeat(name: &str, times: &str) -> Result<()> {
    let times: u64 = times.parse().context("not a number of times")?;
    let Some(operation) = ALL.iter().chain([&NOTHING]).find(|operation| operation.name == name) else {
        bail!("no operation is named `{name}`");
    };
    let mut step = (operation.make)()?;
    for _ in 0..times {
        std::hint::black_box(step());
    }
    Ok(())
}
