//! Times as logs write them: RFC 3339 in UTC with milliseconds.

use std::time::Duration;

/// The length of `2026-01-02T03:04:05.678Z`.
const LEN: usize = 24;

/// Writes times; keeps the text of the last second, because most lines share it.
#[derive(Debug, Clone)]
pub(crate) struct Stamp {
    /// The second that `text` is of; `None` before the first.
    second: Option<u64>,
    text: [u8; LEN],
}

impl Default for Stamp {
    fn default() -> Self {
        Self { second: None, text: *b"1970-01-01T00:00:00.000Z" }
    }
}

impl Stamp {
    /// The text of a time since the Unix epoch.
    pub(crate) fn text(&mut self, since_epoch: Duration) -> &[u8; LEN] {
        let second = since_epoch.as_secs();
        if self.second != Some(second) {
            self.second = Some(second);
            let (year, month, day) = civil(second / 86_400);
            let of_day = second % 86_400;
            self.put(0, 4, year);
            self.put(5, 2, month);
            self.put(8, 2, day);
            self.put(11, 2, of_day / 3600);
            self.put(14, 2, of_day / 60 % 60);
            self.put(17, 2, of_day % 60);
        }
        self.put(20, 3, u64::from(since_epoch.subsec_millis()));
        &self.text
    }

    fn put(&mut self, at: usize, digits: usize, mut value: u64) {
        if let Some(place) = self.text.get_mut(at..at + digits) {
            for digit in place.iter_mut().rev() {
                *digit = b'0' + u8::try_from(value % 10).unwrap_or(0);
                value /= 10;
            }
        }
    }
}

/// Year, month and day of a day since 1970-01-01 in the Gregorian calendar.
///
/// Counts in eras of 400 years (146,097 days) of years that begin in March, so that the leap day is the last
/// of its year.
fn civil(days: u64) -> (u64, u64, u64) {
    // 719,468 days lie between 0000-03-01 and 1970-01-01.
    let days = days + 719_468;
    let era = days / 146_097;
    let of_era = days % 146_097;
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_rfc_3339_in_utc() {
        let cases = [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_399_999, "2000-02-28T23:59:59.999Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_709_251_200_001, "2024-03-01T00:00:00.001Z"),
            (1_795_180_318_042, "2026-11-20T13:11:58.042Z"),
            (4_107_542_399_000, "2100-02-28T23:59:59.000Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
        ];
        let mut stamp = Stamp::default();
        for (millis, text) in cases {
            assert_eq!(std::str::from_utf8(stamp.text(Duration::from_millis(millis))).unwrap(), text);
        }
    }

    #[test]
    fn only_the_milliseconds_change_within_a_second() {
        let mut stamp = Stamp::default();
        stamp.text(Duration::from_millis(1_795_180_318_042));
        assert_eq!(stamp.text(Duration::from_millis(1_795_180_318_999)), b"2026-11-20T13:11:58.999Z");
    }
}
