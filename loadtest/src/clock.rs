//! The one place here that reads a clock and sleeps.
#![expect(
    clippy::disallowed_methods,
    reason = "a load test has a clock of its own; it is no part of the gateway"
)]

use std::time::{Duration, Instant};

pub(crate) fn now() -> Instant {
    Instant::now()
}

pub(crate) fn wait(time: Duration) {
    std::thread::sleep(time);
}

/// Asks again and again, until it is so or the time is up.
pub(crate) fn until(limit: Duration, mut is_so: impl FnMut() -> bool) -> bool {
    let start = now();
    while start.elapsed() < limit {
        if is_so() {
            return true;
        }
        wait(Duration::from_millis(10));
    }
    is_so()
}
