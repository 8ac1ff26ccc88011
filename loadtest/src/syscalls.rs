//! System calls per request, counted by strace in a run of its own: it slows the target down a lot.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal};

use crate::bench::Bench;
use crate::clock;
use crate::process::Family;

/// Whether strace can be run.
pub(crate) fn can_count() -> bool {
    Command::new("strace")
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// Counts while a load that is warm goes on for a while. None: strace is not allowed to look.
pub(crate) fn per_request(bench: &mut Bench<'_>, family: &Family, folder: &Path) -> Result<Option<f64>> {
    let file = folder.join("strace");
    let _ = fs::remove_file(&file);
    let mut command = Command::new("strace");
    command.args(["-c", "-f", "-q", "-o"]).arg(&file);
    for pid in family.pids() {
        command.args(["-p", &pid.to_string()]);
    }
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut strace = command.spawn().context("strace")?;
    let looks = || family.pids().iter().all(|pid| is_traced(*pid)) || !matches!(strace.try_wait(), Ok(None));
    ensure!(clock::until(Duration::from_secs(5), looks), "strace did not attach");
    bench.take_requests();
    let ran = bench.run(Duration::from_millis(600));
    let requests = bench.take_requests();
    if let Some(pid) = i32::try_from(strace.id()).ok().and_then(Pid::from_raw) {
        // It may have ended by itself, which its file then tells.
        let _ = rustix::process::kill_process(pid, Signal::INT);
    }
    if !clock::until(Duration::from_secs(5), || !matches!(strace.try_wait(), Ok(None))) {
        let _ = strace.kill();
    }
    let _ = strace.wait();
    ran?;
    let calls = fs::read_to_string(&file).ok().and_then(|text| total(&text));
    Ok(calls.filter(|_| requests > 0).map(|calls| ratio(calls, requests)))
}

fn is_traced(pid: u32) -> bool {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    text.lines().any(|line| line.strip_prefix("TracerPid:").is_some_and(|tracer| tracer.trim() != "0"))
}

/// The calls of all kinds, from the last line of strace's table.
fn total(table: &str) -> Option<u64> {
    let line = table.lines().find(|line| line.trim_end().ends_with(" total"))?;
    line.split_whitespace().nth(3)?.parse().ok()
}

#[expect(clippy::cast_precision_loss, reason = "counts of a run are far below 2^52")]
fn ratio(calls: u64, requests: u64) -> f64 {
    calls as f64 / requests as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_total_is_read_from_the_table() {
        let table = "\
% time     seconds  usecs/call     calls    errors syscall
------ ----------- ----------- --------- --------- ----------------
 87.00    0.030000          12      2400           io_uring_enter
 13.00    0.004000           3      1300        12 read
------ ----------- ----------- --------- --------- ----------------
100.00    0.034000           9      3700        12 total
";
        assert_eq!(total(table), Some(3700));
        assert_eq!(total("strace: attach: ptrace(PTRACE_SEIZE, 1): Operation not permitted\n"), None);
    }

    #[test]
    fn a_process_without_a_tracer_is_seen_as_such() {
        assert!(!is_traced(u32::MAX));
    }
}
