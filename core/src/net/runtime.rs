//! Starting a runtime on this thread: the ring ladder, and the refusal when there is no ring.

use std::future::Future;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

use monoio::{IoUringDriver, LegacyDriver, Runtime, RuntimeBuilder};
use pin_project_lite::pin_project;
use ringway_config::snapshot::Driver;

use super::socket::{set_epoll, set_ring};
use super::{Timers, file, mailbox, outbox};

/// Which driver runs, for the first log line and the metric.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DriverInfo {
    /// `io_uring` or `epoll`.
    pub driver: &'static str,
    /// The ring's flags, such as `SINGLE_ISSUER|DEFER_TASKRUN`.
    pub flags: &'static str,
    /// Submission queue entries.
    pub entries: u32,
    /// What the operator should know: why it is epoll, or why the ring is small.
    pub note: Option<String>,
}

/// Why no runtime could be built: names the cause (sysctl, seccomp, memlock) and the setting that allows epoll.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct RuntimeError(pub String);

/// One step of the ladder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flags {
    DeferTaskrun,
    CoopTaskrun,
    Plain,
}

impl Flags {
    const LADDER: [Self; 3] = [Self::DeferTaskrun, Self::CoopTaskrun, Self::Plain];

    fn name(self) -> &'static str {
        match self {
            Self::DeferTaskrun => "SINGLE_ISSUER|DEFER_TASKRUN",
            Self::CoopTaskrun => "COOP_TASKRUN",
            Self::Plain => "none",
        }
    }
}

/// Submission and completion queue entries. A connection has at most two operations with the ring that complete on
/// their own (its watch and a send), and a completion queue that overflows costs time but loses nothing, so the
/// first step serves any number of connections.
const SIZES: [(u32, u32); 3] = [(1024, 16_384), (512, 4096), (256, 1024)];

/// Builds a runtime by the ladder, tells which, and runs a future to its end on this thread. Tasks that are still
/// there then are dropped, or left to the process's end when they wait for the driver: they must have been told to
/// end before.
pub fn run<F: Future>(driver: Driver, main: impl FnOnce(DriverInfo) -> F) -> Result<F::Output, RuntimeError> {
    let note = if driver == Driver::Epoll {
        None
    } else {
        match build_ring() {
            Ok((mut ring, info, readers_max)) => {
                set_ring(readers_max);
                return Ok(ring.block_on(whole(main(info))));
            }
            Err(why) if driver == Driver::IoUring => {
                let way_out = "driver = \"auto\" or \"epoll\" in [server] allows to run without it";
                return Err(RuntimeError(format!("{why}; {way_out}")));
            }
            Err(why) => Some(why),
        }
    };
    set_epoll();
    let mut epoll: Runtime<LegacyDriver> = RuntimeBuilder::<LegacyDriver>::new()
        .build()
        .map_err(|error| RuntimeError(format!("epoll cannot be used: {error}")))?;
    let info = DriverInfo { driver: "epoll", flags: "none", entries: 0, note };
    Ok(epoll.block_on(whole(main(info))))
}

/// The main future and the end of what this thread's seam holds.
async fn whole<F: Future>(main: F) -> F::Output {
    let _wheel = Timers::start();
    let output = main.await;
    file::close_desk();
    mailbox::forget_seats();
    outbox::stop();
    Timers::stop().await;
    output
}

fn build_ring() -> Result<(Runtime<IoUringDriver>, DriverInfo, u32), String> {
    let mut last = String::new();
    for (step, (entries, completions)) in SIZES.into_iter().enumerate() {
        for flags in Flags::LADDER {
            match try_ring(flags, entries, completions) {
                Ok(ring) => {
                    let note = (step > 0).then(|| {
                        format!("the ring has {entries} entries because the kernel refused more: {last}")
                    });
                    let info = DriverInfo { driver: "io_uring", flags: flags.name(), entries, note };
                    return Ok((ring, info, readers_max(flags, completions)));
                }
                Err(error) => {
                    let errno = error.raw_os_error().unwrap_or_default();
                    let sysctl = std::fs::read_to_string("/proc/sys/kernel/io_uring_disabled").ok();
                    last = explain(errno, sysctl.as_deref());
                    match errno {
                        // Flags that the kernel does not know.
                        libc::EINVAL => {}
                        libc::ENOMEM => break,
                        _ => return Err(last),
                    }
                }
            }
        }
    }
    Err(last)
}

/// With how many readers receives may be armed: none where the kernel completes operations at any time, and otherwise
/// so many that the completions of all that a connection can have with the ring (a receive, a send, a cancellation)
/// fit into their queue, with room for the rest.
fn readers_max(flags: Flags, completions: u32) -> u32 {
    match flags {
        Flags::DeferTaskrun => completions.saturating_sub(256) / 3,
        Flags::CoopTaskrun | Flags::Plain => 0,
    }
}

fn try_ring(flags: Flags, entries: u32, completions: u32) -> io::Result<Runtime<IoUringDriver>> {
    let mut ring = io_uring::IoUring::builder();
    ring.setup_cqsize(completions);
    match flags {
        Flags::DeferTaskrun => ring.setup_single_issuer().setup_defer_taskrun(),
        Flags::CoopTaskrun => ring.setup_coop_taskrun(),
        Flags::Plain => &mut ring,
    };
    RuntimeBuilder::<IoUringDriver>::new().with_entries(entries).uring_builder(ring).build()
}

/// Why the kernel refuses a ring, from the error and the content of `/proc/sys/kernel/io_uring_disabled`.
fn explain(errno: i32, sysctl: Option<&str>) -> String {
    let disabled = sysctl.map(str::trim);
    let cause = match errno {
        libc::EPERM | libc::EACCES => match disabled {
            Some("2") => {
                "the sysctl kernel.io_uring_disabled is 2: it is switched off for all processes".to_owned()
            }
            Some("1") => "the sysctl kernel.io_uring_disabled is 1: only members of the group in \
                          kernel.io_uring_group and processes with CAP_SYS_ADMIN may use it"
                .to_owned(),
            _ => "a seccomp profile or security module forbids it (the default ones of Docker and containerd do); \
                  kernel.io_uring_disabled does not"
                .to_owned(),
        },
        libc::ENOSYS => {
            "the kernel has no io_uring (5.11 or later is needed), or a seccomp profile hides it".to_owned()
        }
        libc::ENOMEM => "not enough memory may be locked: raise RLIMIT_MEMLOCK (LimitMEMLOCK= in a systemd unit, \
                         ulimit -l in a shell) or the memory limit of the control group"
            .to_owned(),
        libc::EMFILE | libc::ENFILE => "no descriptor is left: raise RLIMIT_NOFILE".to_owned(),
        libc::EINVAL => "the kernel is too old for it (5.11 or later is needed)".to_owned(),
        _ => "the kernel refuses it".to_owned(),
    };
    format!("io_uring cannot be used: {cause} ({})", io::Error::from_raw_os_error(errno))
}

/// Spawns a task on this thread. The task must own a way to end. A panic ends the task alone (the panic hook has
/// told by then).
pub fn spawn(task: impl Future<Output = ()> + 'static) {
    // The handle's end detaches the task.
    drop(monoio::spawn(Guarded { task }));
}

pin_project! {
    /// A task whose panic is its end. A type of its own, because an `async` block would keep the task's memory twice:
    /// as what it captured, and as what it pinned.
    struct Guarded<F> {
        #[pin]
        task: F,
    }
}

impl<F: Future<Output = ()>> Future for Guarded<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let task = self.project().task;
        catch_unwind(AssertUnwindSafe(|| task.poll(cx))).unwrap_or(Poll::Ready(()))
    }
}

/// Runs what must not take its caller along when it panics, such as one connection's part in a loop for all.
pub fn contain(run: impl FnOnce()) {
    drop(catch_unwind(AssertUnwindSafe(run)));
}

/// Raises the soft limit of open descriptors to the hard one, and says what it is now.
pub fn raise_nofile() -> io::Result<u64> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })?;
    }
    Ok(limit.maximum.unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_names_its_cause() {
        for (errno, sysctl, word) in [
            (libc::EPERM, Some("2\n"), "io_uring_disabled is 2"),
            (libc::EPERM, Some("1\n"), "io_uring_group"),
            (libc::EPERM, Some("0\n"), "seccomp"),
            (libc::EPERM, None, "seccomp"),
            (libc::ENOSYS, None, "kernel has no io_uring"),
            (libc::ENOMEM, Some("0"), "RLIMIT_MEMLOCK"),
            (libc::EMFILE, None, "RLIMIT_NOFILE"),
            (libc::EINVAL, None, "too old"),
            (libc::EIO, None, "refuses"),
        ] {
            let text = explain(errno, sysctl);
            assert!(text.contains(word) && text.starts_with("io_uring cannot be used: "), "{text}");
        }
    }

    #[test]
    fn both_drivers_run_a_future_and_its_tasks() {
        for (driver, name) in [(Driver::IoUring, "io_uring"), (Driver::Epoll, "epoll")] {
            let seen = run(driver, |info| async move {
                let (sender, receiver) = crossbeam_channel::bounded(1);
                spawn(async move { sender.send(7).unwrap() });
                super::super::sleep(std::time::Duration::from_millis(1)).await;
                (info.driver, receiver.try_recv())
            });
            assert_eq!(seen.unwrap(), (name, Ok(7)));
        }
    }

    #[test]
    fn a_panic_ends_its_task_alone() {
        let after = run(Driver::Auto, |_| async {
            spawn(async { panic!("on purpose") });
            super::super::sleep(std::time::Duration::from_millis(1)).await;
            5
        });
        assert_eq!(after.unwrap(), 5);
    }
}
