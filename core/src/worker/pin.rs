//! Which CPUs the process may use, and pinning this thread to one.
//!
//! Two things limit a process: its affinity mask says which CPUs, and the quota of its control group says how much
//! CPU time in all. A container with `--cpus=2` on 64 CPUs has a mask of 64 and a quota of 2: workers beyond the
//! quota would only be throttled.

use std::path::{Path, PathBuf};

use ringway_config::snapshot::Workers;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// Where workers go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placement {
    /// The CPU of each worker.
    pub cpus: Vec<usize>,
    /// What the operator should know (more workers than CPUs, a quota that limits them).
    pub warnings: Vec<String>,
}

/// Decides from the affinity mask and the cgroup quota (v2 `cpu.max`, v1 `cpu.cfs_quota_us`, rounded up, at least
/// 1). A listed CPU that the process may not use is an error.
pub fn place(workers: &Workers) -> Result<Placement, String> {
    let allowed = allowed().map_err(|error| format!("the CPU affinity cannot be read: {error}"))?;
    decide(workers, &allowed, quota(Path::new("/")))
}

/// Pins this thread.
pub fn pin(cpu: usize) -> std::io::Result<()> {
    if cpu >= CpuSet::MAX_CPU {
        return Err(std::io::ErrorKind::InvalidInput.into());
    }
    let mut set = CpuSet::new();
    set.set(cpu);
    Ok(sched_setaffinity(None, &set)?)
}

/// The CPUs of this thread's mask, in order.
fn allowed() -> std::io::Result<Vec<usize>> {
    let set = sched_getaffinity(None)?;
    Ok((0..CpuSet::MAX_CPU).filter(|cpu| set.is_set(*cpu)).collect())
}

/// The decision itself; `quota` is in whole CPUs, rounded up.
fn decide(workers: &Workers, allowed: &[usize], quota: Option<usize>) -> Result<Placement, String> {
    if allowed.is_empty() {
        return Err("the affinity mask is empty".to_owned());
    }
    let usable = quota.map_or(allowed.len(), |quota| quota.clamp(1, allowed.len()));
    let mut warnings = Vec::new();
    let cpus = match workers {
        Workers::Auto => {
            if usable < allowed.len() {
                warnings.push(format!(
                    "{usable} of {} CPUs are used, because the control group's CPU quota allows no more",
                    allowed.len()
                ));
            }
            allowed.iter().copied().take(usable).collect()
        }
        Workers::Count(count) => {
            if *count > usable {
                warnings.push(format!(
                    "{count} workers share {usable} CPUs (affinity {}, quota {}): more workers than CPUs only add \
                     switches",
                    allowed.len(),
                    quota.map_or_else(|| "none".to_owned(), |quota| quota.to_string()),
                ));
            }
            allowed.iter().copied().cycle().take((*count).max(1)).collect()
        }
        Workers::Cpus(listed) => {
            if let Some(cpu) = listed.iter().find(|cpu| !allowed.contains(cpu)) {
                return Err(format!(
                    "CPU {cpu} may not be used by this process; allowed are {}",
                    ranges(allowed)
                ));
            }
            if listed.is_empty() {
                return Err("no CPU is listed".to_owned());
            }
            if listed.len() > usable {
                warnings.push(format!(
                    "{} workers on a CPU quota of {usable}: they will be throttled together",
                    listed.len()
                ));
            }
            listed.clone()
        }
    };
    Ok(Placement { cpus, warnings })
}

/// `0-3,8` for `[0, 1, 2, 3, 8]`.
fn ranges(cpus: &[usize]) -> String {
    let mut runs: Vec<(usize, usize)> = Vec::new();
    for cpu in cpus {
        match runs.last_mut() {
            Some((_, last)) if *last + 1 == *cpu => *last = *cpu,
            _ => runs.push((*cpu, *cpu)),
        }
    }
    let text: Vec<String> = runs
        .into_iter()
        .map(|(first, last)| if first == last { first.to_string() } else { format!("{first}-{last}") })
        .collect();
    text.join(",")
}

/// The least quota on the way from this process's control group to the root, in whole CPUs. `root` is `/` but in
/// tests.
fn quota(root: &Path) -> Option<usize> {
    let groups = std::fs::read_to_string(root.join("proc/self/cgroup")).ok()?;
    let base = root.join("sys/fs/cgroup");
    let own = Groups::parse(&groups);
    let unified = own.unified.and_then(|path| least(&base, path, v2));
    let legacy = own.cpu.and_then(|path| {
        // Mounted under either name, and in a container often without the group's own path.
        ["cpu", "cpu,cpuacct"].iter().find_map(|name| least(&base.join(name), path, v1))
    });
    [unified, legacy].into_iter().flatten().min()
}

/// Asks every folder from the group's own up to the mount.
fn least(base: &Path, path: &str, ask: impl Fn(&Path) -> Option<usize>) -> Option<usize> {
    let mut folder: PathBuf = base.join(path.trim_start_matches('/'));
    let mut found = None;
    while folder.starts_with(base) {
        found = [found, ask(&folder)].into_iter().flatten().min();
        if !folder.pop() {
            break;
        }
    }
    found
}

fn v2(folder: &Path) -> Option<usize> {
    cpu_max(&std::fs::read_to_string(folder.join("cpu.max")).ok()?)
}

fn v1(folder: &Path) -> Option<usize> {
    let quota = std::fs::read_to_string(folder.join("cpu.cfs_quota_us")).ok()?;
    let period = std::fs::read_to_string(folder.join("cpu.cfs_period_us")).ok()?;
    whole(quota.trim(), period.trim())
}

/// The content of `cpu.max`: `max 100000` or `150000 100000`.
fn cpu_max(text: &str) -> Option<usize> {
    let (quota, period) = text.trim().split_once(' ')?;
    whole(quota, period)
}

/// Rounded up; `None` when there is no limit (`max`, -1) or no sense in it.
fn whole(quota: &str, period: &str) -> Option<usize> {
    let (quota, period): (u64, u64) = (quota.parse().ok()?, period.parse().ok()?);
    if quota == 0 || period == 0 {
        return None;
    }
    usize::try_from(quota.div_ceil(period)).ok()
}

/// The control groups in `/proc/self/cgroup` that may limit CPU time.
struct Groups<'a> {
    unified: Option<&'a str>,
    cpu: Option<&'a str>,
}

impl<'a> Groups<'a> {
    fn parse(text: &'a str) -> Self {
        let mut groups = Self { unified: None, cpu: None };
        for line in text.lines() {
            let mut parts = line.splitn(3, ':');
            let (Some(id), Some(controllers), Some(path)) = (parts.next(), parts.next(), parts.next()) else {
                continue;
            };
            if id == "0" && controllers.is_empty() {
                groups.unified = Some(path);
            } else if controllers.split(',').any(|name| name == "cpu") {
                groups.cpu = Some(path);
            }
        }
        groups
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quota_is_rounded_up_and_no_limit_is_none() {
        for (text, cpus) in [
            ("max 100000\n", None),
            ("100000 100000\n", Some(1)),
            ("150000 100000\n", Some(2)),
            ("50000 100000", Some(1)),
            ("0 100000", None),
            ("100000 0", None),
            ("100000", None),
            ("", None),
            ("x y", None),
        ] {
            assert_eq!(cpu_max(text), cpus, "{text:?}");
        }
        assert_eq!(whole("-1", "100000"), None);
        assert_eq!(whole("250000", "100000"), Some(3));
    }

    #[test]
    fn the_groups_are_found_by_controller() {
        let text = "12:cpuset:/a\n5:cpu,cpuacct:/docker/x\n0::/system.slice/y\n";
        let groups = Groups::parse(text);
        assert_eq!((groups.unified, groups.cpu), (Some("/system.slice/y"), Some("/docker/x")));
        let groups = Groups::parse("garbage\n1:name=systemd:/z\n");
        assert_eq!((groups.unified, groups.cpu), (None, None));
    }

    #[test]
    fn the_least_quota_on_the_way_up_counts() {
        let root = std::env::temp_dir().join(format!("ringway-pin-{}", std::process::id()));
        let write = |path: &str, text: &str| {
            let path = root.join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        write("proc/self/cgroup", "0::/a/b\n4:cpu,cpuacct:/gone\n");
        write("sys/fs/cgroup/a/b/cpu.max", "max 100000\n");
        assert_eq!(quota(&root), None);
        write("sys/fs/cgroup/a/cpu.max", "250000 100000\n");
        assert_eq!(quota(&root), Some(3));
        write("sys/fs/cgroup/a/b/cpu.max", "400000 100000\n");
        assert_eq!(quota(&root), Some(3));
        write("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "110000\n");
        write("sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n");
        assert_eq!(quota(&root), Some(2));
        std::fs::remove_dir_all(&root).unwrap();
    }

    #[test]
    fn workers_are_placed_within_mask_and_quota() {
        let allowed = [2, 3, 5, 7];
        let cpus = |workers, quota| {
            decide(&workers, &allowed, quota).map(|placed| (placed.cpus, placed.warnings.len()))
        };
        assert_eq!(cpus(Workers::Auto, None), Ok((vec![2, 3, 5, 7], 0)));
        assert_eq!(cpus(Workers::Auto, Some(2)), Ok((vec![2, 3], 1)));
        assert_eq!(cpus(Workers::Auto, Some(99)), Ok((vec![2, 3, 5, 7], 0)));
        assert_eq!(cpus(Workers::Count(2), None), Ok((vec![2, 3], 0)));
        assert_eq!(cpus(Workers::Count(6), None), Ok((vec![2, 3, 5, 7, 2, 3], 1)));
        assert_eq!(cpus(Workers::Count(3), Some(2)), Ok((vec![2, 3, 5], 1)));
        assert_eq!(cpus(Workers::Cpus(vec![7, 2]), None), Ok((vec![7, 2], 0)));
        let error = cpus(Workers::Cpus(vec![2, 4]), None).unwrap_err();
        assert!(error.contains("CPU 4") && error.contains("2-3,5,7"), "{error}");
        assert!(cpus(Workers::Cpus(vec![]), None).is_err());
        assert!(decide(&Workers::Auto, &[], None).is_err());
    }

    #[test]
    fn a_pinned_thread_has_one_cpu() {
        let cpu = *allowed().unwrap().last().unwrap();
        let pinned = std::thread::Builder::new().spawn(move || {
            pin(cpu).unwrap();
            allowed().unwrap()
        });
        assert_eq!(pinned.unwrap().join().unwrap(), [cpu]);
        assert!(pin(1 << 20).is_err());
        assert!(!place(&Workers::Auto).unwrap().cpus.is_empty());
    }
}
