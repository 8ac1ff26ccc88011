//! Starting a runtime on this thread: the ring ladder, and the refusal when there is no ring.

use std::future::Future;

use ringway_config::snapshot::Driver;

/// Which driver runs, for the first log line and the metric.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DriverInfo {
    /// `io_uring` or `epoll`.
    pub driver: &'static str,
    /// The ring's flags, such as `SINGLE_ISSUER|DEFER_TASKRUN`.
    pub flags: &'static str,
    /// Submission queue entries.
    pub entries: u32,
}

/// Why no runtime could be built: names the cause (sysctl, seccomp, memlock) and the setting that allows epoll.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct RuntimeError(pub String);

/// Builds a runtime by the ladder, tells which, and runs a future to its end on this thread.
pub fn run<F: Future>(
    _driver: Driver,
    _main: impl FnOnce(DriverInfo) -> F,
) -> Result<F::Output, RuntimeError> {
    todo!()
}

/// Spawns a task on this thread. The task must own a way to end.
pub fn spawn(_task: impl Future<Output = ()> + 'static) {
    todo!()
}
