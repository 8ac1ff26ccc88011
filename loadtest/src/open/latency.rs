//! Times, recorded in a histogram that keeps three digits of each, so that far percentiles are as exact as near ones.

use std::time::Duration;

use anyhow::Result;
use hdrhistogram::Histogram;

/// Longer times count as this one, and show in the maximum.
const LONGEST: Duration = Duration::from_secs(60);
const DIGITS: u8 = 3;

/// Times of one kind.
#[derive(Debug, Clone)]
pub(crate) struct Times {
    histogram: Histogram<u64>,
    /// To the nanosecond.
    longest: Duration,
}

/// What is told of many times, in microseconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Percentiles {
    pub(crate) p50: f64,
    pub(crate) p90: f64,
    pub(crate) p99: f64,
    pub(crate) p999: f64,
    pub(crate) max: f64,
}

impl Times {
    pub(crate) fn new() -> Result<Self> {
        let longest = u64::try_from(LONGEST.as_nanos())?;
        Ok(Self { histogram: Histogram::new_with_bounds(1, longest, DIGITS)?, longest: Duration::ZERO })
    }

    pub(crate) fn add(&mut self, time: Duration) {
        self.histogram.saturating_record(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
        self.longest = self.longest.max(time);
    }

    pub(crate) fn count(&self) -> u64 {
        self.histogram.len()
    }

    /// None: there are no times.
    pub(crate) fn percentiles(&self) -> Option<Percentiles> {
        (!self.histogram.is_empty()).then(|| Percentiles {
            p50: self.at(0.5),
            p90: self.at(0.9),
            p99: self.at(0.99),
            p999: self.at(0.999),
            max: self.longest.as_secs_f64() * 1e6,
        })
    }

    fn at(&self, quantile: f64) -> f64 {
        Duration::from_nanos(self.histogram.value_at_quantile(quantile)).as_secs_f64() * 1e6
    }
}

impl Percentiles {
    /// What each is more than another's; less than nothing, if it is less.
    pub(crate) fn over(self, other: Self) -> Self {
        Self {
            p50: self.p50 - other.p50,
            p90: self.p90 - other.p90,
            p99: self.p99 - other.p99,
            p999: self.p999 - other.p999,
            max: self.max - other.max,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(value: f64, expected: f64) -> bool {
        (value - expected).abs() <= expected / 1000.0
    }

    #[test]
    fn percentiles_are_those_of_the_recorded_times() {
        let mut times = Times::new().unwrap();
        assert_eq!(times.percentiles(), None);
        for micros in (1..=10_000).rev() {
            times.add(Duration::from_micros(micros));
        }
        let found = times.percentiles().unwrap();
        let all = [found.p50, found.p90, found.p99, found.p999];
        for (value, expected) in all.into_iter().zip([5_000.0, 9_000.0, 9_900.0, 9_990.0]) {
            assert!(near(value, expected), "{value} instead of {expected}");
        }
        assert_eq!((found.max, times.count()), (10_000.0, 10_000));
    }

    #[test]
    fn a_few_slow_ones_show_only_in_the_percentiles_that_they_reach() {
        let mut times = Times::new().unwrap();
        (0..9_980).for_each(|_| times.add(Duration::from_micros(100)));
        (0..20).for_each(|_| times.add(Duration::from_secs(100)));
        let found = times.percentiles().unwrap();
        assert!(near(found.p99, 100.0) && near(found.p999, 60e6), "{found:?}");
        assert!(near(found.max, 100e6), "what is longer than all bounds shows as it is");
    }

    #[test]
    fn what_is_added_can_be_less_than_nothing() {
        let all = |value| Percentiles { p50: value, p90: value, p99: value, p999: value, max: value };
        assert_eq!(all(70.0).over(all(50.0)), all(20.0));
        assert_eq!(all(50.0).over(all(70.0)), all(-20.0));
    }
}
