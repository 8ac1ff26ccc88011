//! The one place where time is read.

use std::time::Duration;

/// A moment, in nanoseconds of a monotonic clock of this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Moment(pub u64);

impl Moment {
    /// The time that passed since an earlier moment; zero when it is later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
    /// This moment moved on by a duration.
    #[must_use]
    pub fn after(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)))
    }
}

/// Reads the monotonic clock (quanta; a TSC read where the machine allows).
#[derive(Debug, Clone)]
pub struct Clock {
    source: quanta::Clock,
}

impl Default for Clock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock {
    /// A clock; all clocks of a process agree.
    pub fn new() -> Self {
        Self { source: quanta::Clock::new() }
    }
    /// Now.
    pub fn now(&self) -> Moment {
        Moment(self.source.delta_as_nanos(0, self.source.raw()))
    }
}

/// The wall clock, since the Unix epoch.
pub fn wall() -> Duration {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default()
}
