//! How large records are: a record can be used once its last byte has come. At the start of a connection, and after
//! a pause, the network takes little at a time, so that the first records of what is long fit a segment each; then
//! they are as large as can be, which costs least. What fits one record is one, always.

use std::time::Duration;

use crate::clock::Moment;

/// The largest record's plaintext (RFC 8446, 5.1).
pub(super) const RECORD_MAX: usize = 16 * 1024;
/// What fits a segment of 1,460 bytes with TCP's time stamps, an IPv6 header and the record's own bytes.
const SEGMENT: usize = 1_370;
/// So many bytes go in small records: ten segments and a little, what a kernel sends at first.
const EARLY_BYTES: usize = 16 * 1024;
/// A longer silence makes the network forget how much it takes.
const PAUSE: Duration = Duration::from_secs(1);

/// What one connection has sent.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// Bytes sent in small records since the start or the last pause; at most a record more than `EARLY_BYTES`.
    early: usize,
    /// When something long was last sent.
    last: Moment,
}

impl Pace {
    /// A message of so many bytes begins.
    pub(super) fn begin(&mut self, bytes: usize, now: impl FnOnce() -> Moment) {
        if bytes <= RECORD_MAX {
            return;
        }
        let now = now();
        if now.since(self.last) > PAUSE {
            self.early = 0;
        }
        self.last = now;
    }

    /// The next record's plaintext, of a message of which so much is left; `whole` is the message's size.
    pub(super) fn record(&mut self, whole: usize, left: usize) -> usize {
        if whole <= RECORD_MAX || self.early >= EARLY_BYTES {
            return left.min(RECORD_MAX);
        }
        let record = left.min(SEGMENT);
        self.early += record;
        record
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records(pace: &mut Pace, bytes: usize, at: u64) -> Vec<usize> {
        pace.begin(bytes, || Moment(at));
        let (mut left, mut sizes) = (bytes, Vec::new());
        while left > 0 {
            let record = pace.record(bytes, left);
            sizes.push(record);
            left -= record;
        }
        sizes
    }

    #[test]
    fn what_is_long_begins_in_segments_after_a_start_and_a_pause() {
        let mut pace = Pace::default();
        let second = 1_000_000_000;
        let now = 100 * second;
        let (one, over) = (RECORD_MAX, RECORD_MAX + 1);
        assert_eq!(records(&mut pace, one, now), [one]);
        assert_eq!(records(&mut pace, over, now), [vec![SEGMENT; 11], vec![1_315]].concat());
        let long = records(&mut pace, 40_000, now + second);
        assert_eq!(long, [RECORD_MAX, RECORD_MAX, 40_000 - 2 * RECORD_MAX]);
        let after = records(&mut pace, 40_000, now + 2 * second + 1);
        assert!(after.starts_with(&[SEGMENT; 12]), "{after:?}");
        assert_eq!(after.get(12), Some(&RECORD_MAX));
    }
}
