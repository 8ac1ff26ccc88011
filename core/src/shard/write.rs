//! The worker's pen: every count is a load and a store on a line that only this worker writes.

use std::cell::RefCell;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::marker::PhantomData;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ringway_http::Method;

use super::table::{bump, lower};
use super::{
    BUCKETS, Count, ENDPOINT_COUNTS, EndpointCount, ExchangeCount, HistogramSlot, OTHER, OTHER_REASON,
    SeriesKey, SeriesSlot, Shard,
};

/// The worker's pen: made once per shard, on the worker, and `!Send` there.
#[derive(Debug)]
pub struct Writer {
    shard: Arc<Shard>,
    index: RefCell<Index>,
    /// A pen stays on its thread.
    _local: PhantomData<*const ()>,
}

/// One of what a gauge shows.
#[derive(Debug)]
#[must_use = "it counts for as long as it is held"]
pub struct Held {
    counts: Rc<Writer>,
    name: Count,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.counts.sub(self.name, 1);
    }
}

impl Writer {
    /// The only writer of this shard.
    pub fn new(shard: Arc<Shard>) -> Self {
        let index = RefCell::new(Index::new(&shard));
        Self { shard, index, _local: PhantomData }
    }

    /// Counts a finished exchange.
    pub fn exchange(&self, count: &ExchangeCount) {
        let key = SeriesKey {
            route: count.route,
            upstream: count.upstream,
            method: count.method,
            status: count.status,
        };
        let mut index = self.index.borrow_mut();
        let place = index.series(&self.shard, key);
        if let Some(slot) = self.shard.series.slot(place.series) {
            bump(&slot.count, 1);
        }
        if let Some(slot) = self.shard.histograms.slot(place.histogram) {
            let nanos = u64::try_from(count.duration.as_nanos()).unwrap_or(u64::MAX);
            if let Some(bucket) = slot.buckets.get(bucket_of(nanos)) {
                bump(bucket, 1);
            }
            bump(&slot.sum_ns, nanos);
        }
        if place.overflowed() {
            self.add(Count::SeriesOverflowed, 1);
        }
        if let Some(word) = count.reason {
            self.count_reason(&mut index, word);
        }
        self.add(Count::BytesIn, count.bytes_in);
        self.add(Count::BytesOut, count.bytes_out);
    }

    /// Counts a reason that ended something else than an exchange.
    pub fn reason(&self, word: &'static str) {
        self.count_reason(&mut self.index.borrow_mut(), word);
    }

    fn count_reason(&self, index: &mut Index, word: &'static str) {
        let (place, overflowed) = index.reason(&self.shard, word);
        if let Some(slot) = self.shard.reasons.slot(place) {
            bump(&slot.count, 1);
        }
        if overflowed {
            self.add(Count::SeriesOverflowed, 1);
        }
    }

    /// Adds to a counter or gauge.
    pub fn add(&self, name: Count, n: u64) {
        if let Some(cell) = self.cell(name) {
            bump(cell, n);
        }
    }

    /// Takes from a gauge.
    pub fn sub(&self, name: Count, n: u64) {
        if let Some(cell) = self.cell(name) {
            lower(cell, n);
        }
    }

    /// Counts one more of what a gauge shows, until what is returned is dropped, if only by a panic.
    pub fn hold(self: &Rc<Self>, name: Count) -> Held {
        self.add(name, 1);
        Held { counts: Rc::clone(self), name }
    }

    /// Sets a gauge.
    pub fn set(&self, name: Count, value: u64) {
        if let Some(cell) = self.cell(name) {
            cell.store(value, Ordering::Relaxed);
        }
    }

    /// Adds to an endpoint's counter or gauge; `endpoint` is `Endpoint::metric`.
    pub fn endpoint_add(&self, endpoint: u32, name: EndpointCount, n: u64) {
        if let Some(cell) = self.endpoint(endpoint).get(name as usize) {
            bump(cell, n);
        }
    }

    /// Takes from an endpoint's gauge.
    pub fn endpoint_sub(&self, endpoint: u32, name: EndpointCount, n: u64) {
        if let Some(cell) = self.endpoint(endpoint).get(name as usize) {
            lower(cell, n);
        }
    }

    fn cell(&self, name: Count) -> Option<&AtomicU64> {
        self.shard.counts.0.get(name as usize)
    }

    fn endpoint(&self, endpoint: u32) -> &[AtomicU64; ENDPOINT_COUNTS] {
        self.shard.endpoints.slot(endpoint as usize).unwrap_or_else(|| {
            self.add(Count::SeriesOverflowed, 1);
            &self.shard.endpoint_other.0
        })
    }
}

/// Where a series is counted.
#[derive(Debug, Clone, Copy)]
struct Place {
    series: usize,
    histogram: usize,
}

impl Place {
    /// Slot 0 of both tables is for what does not fit.
    fn overflowed(self) -> bool {
        self.series == 0
    }
}

/// The series of a route that was counted last. Small: with many routes, each is cold when its turn comes.
#[derive(Debug, Clone, Copy, Default)]
struct Recent {
    /// The key's [`pack`] without the route. Series 0 is nobody's, so a default is no one's either.
    rest: u64,
    series: u32,
    histogram: u32,
}

/// Which slot is whose: this worker's own notes, never shared.
#[derive(Debug)]
struct Index {
    /// By route, for those with a number below `series_max`: mostly the next exchange of a route is like the last.
    recent: Vec<Recent>,
    series: HashMap<u128, Place, Mixing>,
    histograms: HashMap<u128, usize, Mixing>,
    /// By address and length: the same word from two places takes two slots, and the reader adds them.
    reasons: HashMap<(usize, usize), usize, Mixing>,
    series_max: usize,
    histograms_max: usize,
    reasons_max: usize,
}

impl Index {
    /// Takes slot 0 of each table for `_other`.
    fn new(shard: &Shard) -> Self {
        let other = SeriesKey { route: OTHER, upstream: OTHER, method: Method::Other, status: 0 };
        if let Some(slot) = shard.series.slot(0) {
            slot.key.get_or_init(|| other);
        }
        if let Some(slot) = shard.histograms.slot(0) {
            slot.key.get_or_init(|| other);
        }
        if let Some(slot) = shard.reasons.slot(0) {
            slot.word.get_or_init(|| OTHER_REASON);
        }
        Self {
            recent: Vec::new(),
            series: HashMap::default(),
            histograms: HashMap::default(),
            reasons: HashMap::default(),
            series_max: shard.series.capacity(),
            histograms_max: shard.histograms.capacity(),
            reasons_max: shard.reasons.capacity(),
        }
    }

    fn series(&mut self, shard: &Shard, key: SeriesKey) -> Place {
        let rest = pack_rest(key);
        let recent = self.recent.get(key.route as usize).filter(|recent| recent.rest == rest);
        if let Some(recent) = recent.filter(|recent| recent.series != 0) {
            return Place { series: recent.series as usize, histogram: recent.histogram as usize };
        }
        let place = self.find_series(shard, key);
        self.note_recent(key, place);
        place
    }

    fn note_recent(&mut self, key: SeriesKey, place: Place) {
        let route = key.route as usize;
        let (Ok(series), Ok(histogram)) = (u32::try_from(place.series), u32::try_from(place.histogram))
        else {
            return;
        };
        if route < self.series_max && !place.overflowed() {
            if self.recent.len() <= route {
                self.recent.resize(route + 1, Recent::default());
            }
            if let Some(recent) = self.recent.get_mut(route) {
                *recent = Recent { rest: pack_rest(key), series, histogram };
            }
        }
    }

    fn find_series(&mut self, shard: &Shard, key: SeriesKey) -> Place {
        let packed = pack(key);
        if let Some(place) = self.series.get(&packed) {
            return *place;
        }
        let series = self.series.len() + 1;
        let histogram = self.histogram(shard, SeriesKey { status: 0, ..key });
        if series >= self.series_max {
            // Not remembered: the map stays as small as the table.
            return Place { series: 0, histogram };
        }
        let place = Place { series, histogram };
        if let Some(slot) = shard.series.slot(series) {
            let SeriesSlot { key: at, count: _ } = slot;
            at.get_or_init(|| key);
        }
        self.series.insert(packed, place);
        place
    }

    fn histogram(&mut self, shard: &Shard, key: SeriesKey) -> usize {
        let packed = pack(key);
        if let Some(place) = self.histograms.get(&packed) {
            return *place;
        }
        let place = self.histograms.len() + 1;
        if place >= self.histograms_max {
            return 0;
        }
        if let Some(slot) = shard.histograms.slot(place) {
            let HistogramSlot { key: at, .. } = slot;
            at.get_or_init(|| key);
        }
        self.histograms.insert(packed, place);
        place
    }

    /// The word's slot, and whether that is the one for words that do not fit.
    fn reason(&mut self, shard: &Shard, word: &'static str) -> (usize, bool) {
        let key = (word.as_ptr().addr(), word.len());
        if let Some(place) = self.reasons.get(&key) {
            return (*place, false);
        }
        let place = self.reasons.len() + 1;
        if place >= self.reasons_max {
            return (0, true);
        }
        if let Some(slot) = shard.reasons.slot(place) {
            slot.word.get_or_init(|| word);
        }
        self.reasons.insert(key, place);
        (place, false)
    }
}

/// One number for a key: 32 + 32 + 8 + 16 bits.
fn pack(key: SeriesKey) -> u128 {
    u128::from(key.route) << 56 | u128::from(pack_rest(key))
}

/// One number for all of a key but the route: 32 + 8 + 16 bits.
fn pack_rest(key: SeriesKey) -> u64 {
    u64::from(key.upstream) << 24 | u64::from(key.method as u8) << 16 | u64::from(key.status)
}

/// The bucket of a duration: the first whose bound is not below it.
fn bucket_of(nanos: u64) -> usize {
    BUCKETS.iter().position(|(bound, _)| nanos <= *bound).unwrap_or(BUCKETS.len())
}

/// Keys are numbers that the configuration gave out (a client only chooses among them), so a multiplication
/// is hash enough.
type Mixing = BuildHasherDefault<Mix>;

/// Folds words by multiplication and rotation.
#[derive(Debug, Default, Clone, Copy)]
struct Mix(u64);

impl Mix {
    /// 2^64 divided by the golden ratio, odd.
    const ODD: u64 = 0x9E37_79B9_7F4A_7C15;

    fn fold(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(26) ^ word).wrapping_mul(Self::ODD);
    }
}

impl Hasher for Mix {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.fold(u64::from(*byte));
        }
    }
    fn write_u64(&mut self, word: u64) {
        self.fold(word);
    }
    fn write_usize(&mut self, word: usize) {
        self.fold(word as u64);
    }
    fn write_u128(&mut self, word: u128) {
        #[expect(clippy::cast_possible_truncation, reason = "the halves, one after the other")]
        self.fold(word as u64);
        self.fold((word >> 64) as u64);
    }
    fn finish(&self) -> u64 {
        // The table takes its tag from the top bits and its place from the bottom ones.
        self.0 ^ (self.0 >> 32)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::{NO_ROUTE, NO_UPSTREAM, Reader};
    use super::*;

    fn count(route: u32, status: u16) -> ExchangeCount {
        ExchangeCount {
            route,
            upstream: NO_UPSTREAM,
            method: Method::Get,
            status,
            reason: None,
            duration: Duration::from_micros(700),
            bytes_in: 100,
            bytes_out: 900,
        }
    }

    #[test]
    fn one_exchange_is_one_request_one_duration_and_its_bytes() {
        let shard = Shard::new(64);
        let (writer, reader) = (Writer::new(Arc::clone(&shard)), Reader::new(shard));
        writer.exchange(&count(7, 200));
        writer.exchange(&count(7, 200));
        writer.exchange(&count(7, 404));
        writer.exchange(&count(NO_ROUTE, 404));
        let mut series: Vec<_> = reader.series().map(|s| (s.key.route, s.key.status, s.count)).collect();
        series.sort_unstable();
        assert_eq!(series, [(7, 200, 2), (7, 404, 1), (NO_ROUTE, 404, 1)]);
        let seven = reader.histograms().find(|h| h.key.route == 7).unwrap();
        assert_eq!(seven.buckets[1], 3);
        assert_eq!(seven.sum_ns, 3 * 700_000);
        assert_eq!((reader.count(Count::BytesIn), reader.count(Count::BytesOut)), (400, 3600));
    }

    #[test]
    fn series_that_take_turns_are_kept_apart() {
        let shard = Shard::new(64);
        let (writer, reader) = (Writer::new(Arc::clone(&shard)), Reader::new(shard));
        // Routes within the table and one past it, each with two upstreams and two statuses in turn.
        for turn in 0..12_u16 {
            for route in [0, 5, 1_000] {
                let upstream = u32::from(turn / 2 % 2);
                writer.exchange(&ExchangeCount { upstream, ..count(route, 200 + turn % 2) });
            }
        }
        let mut series: Vec<_> =
            reader.series().map(|s| (s.key.route, s.key.upstream, s.key.status, s.count)).collect();
        series.sort_unstable();
        let expected = [0, 5, 1_000].into_iter().flat_map(|route| {
            [(0, 200), (0, 201), (1, 200), (1, 201)].map(|(upstream, status)| (route, upstream, status, 3))
        });
        assert_eq!(series, expected.collect::<Vec<_>>());
        let mut histograms: Vec<_> = reader
            .histograms()
            .filter(|h| h.buckets.iter().sum::<u64>() > 0)
            .map(|h| (h.key.route, h.key.upstream, h.buckets[1]))
            .collect();
        histograms.sort_unstable();
        let expected = [0, 5, 1_000].into_iter().flat_map(|route| [(route, 0, 6), (route, 1, 6)]);
        assert_eq!(histograms, expected.collect::<Vec<_>>());
    }

    #[test]
    fn a_full_table_counts_under_other_and_says_so() {
        let shard = Shard::new(64);
        let (writer, reader) = (Writer::new(Arc::clone(&shard)), Reader::new(shard));
        for route in 0..100 {
            writer.exchange(&count(route, 200));
        }
        // Slot 0 is for the rest, so 63 series fit.
        let other: Vec<_> = reader.series().filter(|s| s.key.route == OTHER).map(|s| s.count).collect();
        assert_eq!(other, [37]);
        assert_eq!(reader.series().map(|s| s.count).sum::<u64>(), 100);
        assert_eq!(reader.histograms().map(|h| h.buckets.iter().sum::<u64>()).sum::<u64>(), 100);
        assert_eq!(reader.count(Count::SeriesOverflowed), 37);
    }

    #[test]
    fn reasons_are_counted_by_word() {
        let shard = Shard::new(64);
        let (writer, reader) = (Writer::new(Arc::clone(&shard)), Reader::new(shard));
        for reason in ["route.none", "upstream.timeout", "route.none"] {
            writer.exchange(&ExchangeCount { reason: Some(reason), ..count(1, 404) });
        }
        let mut reasons: Vec<_> = reader.reasons().collect();
        reasons.sort_unstable();
        assert_eq!(reasons, [("route.none", 2), ("upstream.timeout", 1)]);
    }

    #[test]
    fn an_endpoint_past_the_table_shares_one_place() {
        let shard = Shard::new(64);
        let (writer, reader) = (Writer::new(Arc::clone(&shard)), Reader::new(shard));
        writer.endpoint_add(5, EndpointCount::Idle, 3);
        writer.endpoint_sub(5, EndpointCount::Idle, 1);
        writer.endpoint_add(u32::MAX, EndpointCount::Attempts, 1);
        assert_eq!(reader.endpoint(5).map(|e| e.count(EndpointCount::Idle)), Some(2));
        assert_eq!(reader.endpoint_other().count(EndpointCount::Attempts), 1);
        assert_eq!(reader.count(Count::SeriesOverflowed), 1);
    }

    #[test]
    fn a_duration_on_a_bound_is_within_it() {
        for (nanos, bucket) in [(0, 0), (500_000, 0), (500_001, 1), (10_000_000_000, 13), (u64::MAX, 14)] {
            assert_eq!(bucket_of(nanos), bucket, "{nanos}");
        }
    }

    #[test]
    fn packing_keeps_keys_apart() {
        let base = SeriesKey { route: NO_ROUTE, upstream: NO_UPSTREAM, method: Method::Get, status: 200 };
        let others = [
            SeriesKey { route: 0, ..base },
            SeriesKey { upstream: 0, ..base },
            SeriesKey { method: Method::Other, ..base },
            SeriesKey { status: 201, ..base },
        ];
        for other in others {
            assert_ne!(pack(base), pack(other));
        }
    }
}
