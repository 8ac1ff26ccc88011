//! When each request of an open loop is due: at a constant rate, whatever became of those before.

use std::time::{Duration, Instant};

const NANOS: u64 = 1_000_000_000;

/// A constant rate from a moment on, for a while.
#[derive(Debug, Clone)]
pub(crate) struct Schedule {
    start: Instant,
    per_second: u64,
    /// The number of the next request; there are `count` in all.
    next: u64,
    count: u64,
}

impl Schedule {
    /// `per_second` is at least one.
    pub(crate) fn new(start: Instant, per_second: u64, time: Duration) -> Self {
        let count = u128::from(per_second) * time.as_nanos() / u128::from(NANOS);
        Self {
            start,
            per_second: per_second.max(1),
            next: 0,
            count: u64::try_from(count).unwrap_or(u64::MAX),
        }
    }

    /// The next moment that has come, once.
    pub(crate) fn due(&mut self, now: Instant) -> Option<Instant> {
        let moment = self.moment()?;
        (moment <= now).then(|| {
            self.next += 1;
            moment
        })
    }

    /// Whether no request is left.
    pub(crate) fn is_over(&self) -> bool {
        self.next >= self.count
    }

    /// The next moment. Each is counted from the start, so that no rounding adds up.
    fn moment(&self) -> Option<Instant> {
        if self.is_over() {
            return None;
        }
        let nanos = u128::from(self.next) * u128::from(NANOS) / u128::from(self.per_second);
        self.start.checked_add(Duration::from_nanos(u64::try_from(nanos).ok()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    #[test]
    fn requests_are_due_at_the_rate_and_none_is_left_out_or_moved_by_a_late_look() {
        let start = clock::now();
        let at = |nanos| start + Duration::from_nanos(nanos);
        let mut schedule = Schedule::new(start, 3_000, Duration::from_millis(2));
        assert_eq!((schedule.count, schedule.due(at(0))), (6, Some(at(0))));
        assert_eq!(schedule.due(at(333_332)), None);
        assert_eq!(schedule.due(at(333_333)), Some(at(333_333)));
        // Somebody looked away for a while: all moments are as they were.
        let late: Vec<_> = std::iter::from_fn(|| schedule.due(at(1_000_000))).collect();
        assert_eq!(late, [at(666_666), at(1_000_000)]);
        assert!(!schedule.is_over());
        let rest: Vec<_> = std::iter::from_fn(|| schedule.due(at(u64::from(u32::MAX)))).collect();
        assert_eq!(rest, [at(1_333_333), at(1_666_666)], "and none after the end");
        assert!(schedule.is_over());
    }

    #[test]
    fn rounding_does_not_add_up() {
        let start = clock::now();
        let mut schedule = Schedule::new(start, 30_011, Duration::from_secs(3600));
        schedule.next = schedule.count - 1;
        let last = schedule.due(start + Duration::from_secs(3600)).unwrap();
        let gap = start + Duration::from_secs(3600) - last;
        assert!(gap <= Duration::from_nanos(NANOS / 30_011 + 1), "{gap:?}");
        assert!(Schedule::new(start, 5, Duration::from_millis(100)).is_over(), "not even one");
    }
}
