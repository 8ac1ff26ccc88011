//! Which CPUs the process may use, and pinning this thread to one.

use ringway_config::snapshot::Workers;

/// Where workers go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placement {
    /// The CPU of each worker.
    pub cpus: Vec<usize>,
    /// What the operator should know (more workers than CPUs, a quota that limits them).
    pub warnings: Vec<String>,
}

/// Decides from the affinity mask and the cgroup quota (v2 `cpu.max`, v1 `cpu.cfs_quota_us`, rounded up, at least 1). A listed CPU that
/// the process may not use is an error.
pub fn place(_workers: &Workers) -> Result<Placement, String> {
    todo!()
}

/// Pins this thread.
pub fn pin(_cpu: usize) -> std::io::Result<()> {
    todo!()
}
