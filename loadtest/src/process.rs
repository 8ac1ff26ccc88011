//! What the kernel knows about processes: CPU time, memory, affinity, limits; and how they end.

use std::fs;
use std::process::{Child, Command};
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::process::{Pid, Resource, Rlimit, Signal};
use rustix::thread::CpuSet;

use crate::clock;

/// What the scheduler counted for a process, in nanoseconds rather than ticks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct CpuTime {
    /// On a CPU, in user land and in the kernel.
    pub(crate) ran: Duration,
    /// Ready to run, while others had the CPU.
    pub(crate) waited: Duration,
}

impl CpuTime {
    pub(crate) fn since(self, before: Self) -> Self {
        Self { ran: self.ran.saturating_sub(before.ran), waited: self.waited.saturating_sub(before.waited) }
    }
}

/// A process and its children, such as a master and its workers, as they were found once.
#[derive(Debug, Clone)]
pub(crate) struct Family(Vec<u32>);

impl Family {
    pub(crate) fn of(pid: u32) -> Result<Self> {
        family(pid).map(Self)
    }

    pub(crate) fn pids(&self) -> &[u32] {
        &self.0
    }

    /// CPU time of all their threads, those that the kernel started for them included.
    pub(crate) fn cpu_time(&self) -> Result<CpuTime> {
        let mut total = CpuTime::default();
        for pid in &self.0 {
            for task in fs::read_dir(format!("/proc/{pid}/task")).with_context(|| format!("process {pid}"))? {
                // A thread may have ended since; so may its file.
                let Ok(text) = fs::read_to_string(task?.path().join("schedstat")) else { continue };
                let mut numbers =
                    text.split_whitespace().map_while(|word| word.parse().ok().map(Duration::from_nanos));
                let (ran, waited) =
                    numbers.next().zip(numbers.next()).with_context(|| format!("schedstat: `{text}`"))?;
                total = CpuTime { ran: total.ran + ran, waited: total.waited + waited };
            }
        }
        Ok(total)
    }

    /// The most bytes that were resident at any time, summed over the processes.
    pub(crate) fn peak_bytes(&self) -> Result<u64> {
        self.0.iter().map(|pid| memory(*pid, "VmHWM:")).sum()
    }
}

#[cfg(test)]
impl Family {
    /// A process without its children.
    pub(crate) fn alone(pid: u32) -> Self {
        Self(vec![pid])
    }
}

/// Resident bytes of a process and its children.
pub(crate) fn resident_bytes(pid: u32) -> Result<u64> {
    family(pid)?.into_iter().map(|pid| memory(pid, "VmRSS:")).sum()
}

/// A line of a process's status that is in kilobytes.
fn memory(pid: u32, title: &str) -> Result<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).with_context(|| format!("process {pid}"))?;
    let line = text.lines().find_map(|line| line.strip_prefix(title));
    let kilobytes = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    Ok(kilobytes.with_context(|| format!("process {pid} has no {title}"))? * 1024)
}

/// The process and its children, such as a master and its workers.
fn family(pid: u32) -> Result<Vec<u32>> {
    let mut members = vec![pid];
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(other) = name.to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        if parent(other) == Some(pid) {
            members.push(other);
        }
    }
    Ok(members)
}

/// The parent is the second field behind the name, which stands in brackets and may hold anything.
fn parent(pid: u32) -> Option<u32> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    text.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

/// Pins the calling thread, and what it starts from now on, to these CPUs.
pub(crate) fn pin(cpus: &[usize]) -> Result<()> {
    let mut set = CpuSet::new();
    for cpu in cpus {
        set.set(*cpu);
    }
    rustix::thread::sched_setaffinity(None, &set).with_context(|| format!("cannot pin to CPUs {cpus:?}"))
}

/// Raises the number of open descriptors to its hard limit.
pub(crate) fn raise_descriptor_limit() -> Result<()> {
    let limit = rustix::process::getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    rustix::process::setrlimit(Resource::Nofile, raised).context("cannot raise the descriptor limit")
}

/// A started process, stopped when dropped.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
}

impl Running {
    /// Starts a command on its CPUs and comes back to its own; both threads and children inherit theirs.
    pub(crate) fn start(command: &mut Command, cpus: &[usize], own_cpu: usize) -> Result<Self> {
        pin(cpus)?;
        let started = command.spawn();
        pin(&[own_cpu])?;
        let child = started.with_context(|| format!("cannot start {}", command.get_program().display()))?;
        Ok(Self { child })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whether it has ended by itself.
    pub(crate) fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.has_ended() {
            return;
        }
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            // It may end at this very moment, which is as well.
            let _ = rustix::process::kill_process(pid, Signal::TERM);
        }
        if !clock::until(Duration::from_secs(5), || self.has_ended()) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_time_grows_with_work_and_memory_is_known() {
        let pid = std::process::id();
        // Children of other tests come and go.
        let family = Family::alone(pid);
        let before = family.cpu_time().unwrap().ran;
        assert!(clock::until(Duration::from_secs(10), || {
            std::hint::black_box((0..100_000_u64).map(std::hint::black_box).sum::<u64>());
            family.cpu_time().unwrap().ran > before + Duration::from_millis(1)
        }));
        assert!(memory(pid, "VmRSS:").unwrap() > 100_000);
        assert!(family.peak_bytes().unwrap() >= 100_000);
        assert!(Family(vec![u32::MAX]).cpu_time().is_err());
    }

    #[test]
    fn a_dropped_process_is_gone_and_counted_until_then() {
        let running = Running { child: Command::new("sleep").arg("60").spawn().unwrap() };
        let pid = running.pid();
        assert!(family(std::process::id()).unwrap().contains(&pid));
        drop(running);
        assert_eq!(parent(pid), None);
    }
}
