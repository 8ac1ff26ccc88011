//! What control asks of the process itself: signals on one thread, and as many file descriptors as the
//! operator allows.
#![expect(unsafe_code, reason = "signal masks and resource limits have no safe interface in std")]

use std::io;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1};
use signal_hook::iterator::Signals;

use super::engine::Event;
use crate::net::MailboxSender;

/// The signals that mean something here.
const HEARD: [libc::c_int; 4] = [SIGHUP, SIGTERM, SIGINT, SIGUSR1];

/// What a signal asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Signal {
    /// SIGHUP: load the configuration again.
    Reload,
    /// SIGTERM, SIGINT: finish and end.
    Drain,
    /// SIGUSR1: open the log files again.
    Reopen,
}

/// Hears signals on a thread of their own. To be called before any other thread starts: the others inherit a
/// mask that keeps signals, and so interrupted system calls, away from them.
pub(super) fn hear(events: MailboxSender<Event>) -> io::Result<()> {
    let mut signals = Signals::new(HEARD)?;
    mask(libc::SIG_BLOCK)?;
    std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
        if mask(libc::SIG_UNBLOCK).is_err() {
            return;
        }
        for signal in &mut signals {
            let meaning = match signal {
                SIGHUP => Signal::Reload,
                SIGUSR1 => Signal::Reopen,
                _ => Signal::Drain,
            };
            // A full mailbox holds a signal of this kind already, or control has ended.
            drop(events.send(Event::Signal(meaning)));
        }
    })?;
    Ok(())
}

/// Blocks or unblocks what is heard, for this thread and those that it starts.
fn mask(how: libc::c_int) -> io::Result<()> {
    let mut set = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: `set` is memory for one signal set, which this call initialises.
    unsafe { libc::sigemptyset(set.as_mut_ptr()) };
    for signal in HEARD {
        // SAFETY: `set` was initialised above, and the signal numbers are valid.
        unsafe { libc::sigaddset(set.as_mut_ptr(), signal) };
    }
    // SAFETY: `set` is initialised, and the old mask is not asked for.
    match unsafe { libc::pthread_sigmask(how, set.as_ptr(), std::ptr::null_mut()) } {
        0 => Ok(()),
        error => Err(io::Error::from_raw_os_error(error)),
    }
}

/// Raises the limit of open files to its hard limit; says what it is now.
pub(super) fn raise_open_files() -> io::Result<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is a place for the answer.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) } != 0 {
        return Err(io::Error::last_os_error());
    }
    if limit.rlim_cur < limit.rlim_max {
        let raised = libc::rlimit { rlim_cur: limit.rlim_max, ..limit };
        // SAFETY: `raised` is a valid limit, read by the call only.
        if unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const raised) } != 0 {
            return Err(io::Error::last_os_error());
        }
        limit = raised;
    }
    Ok(limit.rlim_cur)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn raising_the_limit_twice_changes_nothing_more() {
        let first = raise_open_files().unwrap();
        assert_eq!(raise_open_files().unwrap(), first);
    }
}
