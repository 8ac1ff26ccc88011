//! Control's side of a shard: reads what the worker wrote, without stopping it.
//!
//! A reading is not one moment's: counters that move together may be one exchange apart. Each of them only
//! grows.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use super::table::read;
use super::{BUCKET_COUNT, Count, ENDPOINT_COUNTS, EndpointCount, SeriesKey, Shard};

/// Reads one worker's shard.
#[derive(Debug, Clone)]
pub struct Reader {
    shard: Arc<Shard>,
}

/// One request counter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SeriesReading {
    /// What it is about.
    pub key: SeriesKey,
    /// How many exchanges.
    pub count: u64,
}

/// One histogram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HistogramReading {
    /// What it is about; its status is 0.
    pub key: SeriesKey,
    /// Exchanges in each bucket alone, not cumulative.
    pub buckets: [u64; BUCKET_COUNT],
    /// All durations.
    pub sum_ns: u64,
}

/// One endpoint's counters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EndpointReading([u64; ENDPOINT_COUNTS]);

impl EndpointReading {
    /// One of them.
    pub fn count(&self, name: EndpointCount) -> u64 {
        self.0.get(name as usize).copied().unwrap_or(0)
    }
}

impl Reader {
    /// A reader of this shard.
    pub fn new(shard: Arc<Shard>) -> Self {
        Self { shard }
    }

    /// A counter or gauge.
    pub fn count(&self, name: Count) -> u64 {
        self.shard.counts.0.get(name as usize).map_or(0, read)
    }

    /// All request counters that have counted.
    pub fn series(&self) -> impl Iterator<Item = SeriesReading> {
        // Slots are taken in order, so the first without a key is the end.
        (0..self.shard.series.capacity())
            .map_while(|at| {
                let slot = self.shard.series.existing(at)?;
                Some(SeriesReading { key: *slot.key.get()?, count: read(&slot.count) })
            })
            .filter(|reading| reading.count > 0)
    }

    /// All histograms that have counted.
    pub fn histograms(&self) -> impl Iterator<Item = HistogramReading> {
        (0..self.shard.histograms.capacity())
            .map_while(|at| {
                let slot = self.shard.histograms.existing(at)?;
                let key = *slot.key.get()?;
                Some(HistogramReading {
                    key,
                    buckets: slot.buckets.each_ref().map(read),
                    sum_ns: read(&slot.sum_ns),
                })
            })
            .filter(|reading| reading.buckets.iter().any(|n| *n > 0))
    }

    /// All reason words that have counted; a word may come more than once.
    pub fn reasons(&self) -> impl Iterator<Item = (&'static str, u64)> {
        (0..self.shard.reasons.capacity())
            .map_while(|at| {
                let slot = self.shard.reasons.existing(at)?;
                Some((*slot.word.get()?, read(&slot.count)))
            })
            .filter(|(_, count)| *count > 0)
    }

    /// An endpoint's counters, if it has any.
    pub fn endpoint(&self, metric: u32) -> Option<EndpointReading> {
        self.shard.endpoints.existing(metric as usize).map(reading)
    }

    /// The counters of endpoints that have none of their own.
    pub fn endpoint_other(&self) -> EndpointReading {
        reading(&self.shard.endpoint_other.0)
    }
}

fn reading(cells: &[AtomicU64; ENDPOINT_COUNTS]) -> EndpointReading {
    EndpointReading(cells.each_ref().map(read))
}
