//! The field `grpc-timeout`: up to eight digits and a unit.

use std::time::Duration;

/// The field's name.
pub const FIELD: &str = "grpc-timeout";

/// Digits of a timeout.
const DIGITS_MAX: usize = 8;
const VALUE_MAX: u128 = 99_999_999;

/// Units, from the finest, with their nanoseconds.
const UNITS: [(u8, u128); 6] = [
    (b'n', 1),
    (b'u', 1_000),
    (b'm', 1_000_000),
    (b'S', 1_000_000_000),
    (b'M', 60_000_000_000),
    (b'H', 3_600_000_000_000),
];

/// Reads a timeout; `None` for what is none.
pub fn parse(value: &[u8]) -> Option<Duration> {
    let (unit, digits) = value.split_last()?;
    if digits.is_empty() || digits.len() > DIGITS_MAX || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let count = digits.iter().fold(0, |count, digit| count * 10 + u64::from(digit - b'0'));
    match unit {
        b'H' => Some(Duration::from_secs(count * 3_600)),
        b'M' => Some(Duration::from_secs(count * 60)),
        b'S' => Some(Duration::from_secs(count)),
        b'm' => Some(Duration::from_millis(count)),
        b'u' => Some(Duration::from_micros(count)),
        b'n' => Some(Duration::from_nanos(count)),
        _ => None,
    }
}

/// Appends a timeout in the finest unit that has room for it, rounded up: a receiver must not give up before its
/// sender. What no unit has room for becomes the longest there is, 11,415 years.
pub fn write(timeout: Duration, out: &mut Vec<u8>) {
    let nanos = timeout.as_nanos();
    let fitting = UNITS.iter().find(|(_, size)| nanos.div_ceil(*size) <= VALUE_MAX);
    let (unit, value) = fitting.map_or((b'H', VALUE_MAX), |(unit, size)| (*unit, nanos.div_ceil(*size)));
    let mut digits = itoa::Buffer::new();
    out.extend_from_slice(digits.format(value).as_bytes());
    out.push(unit);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_unit_is_read() {
        for (text, expected) in [
            ("1H", Duration::from_secs(3_600)),
            ("2M", Duration::from_secs(120)),
            ("3S", Duration::from_secs(3)),
            ("4m", Duration::from_millis(4)),
            ("5u", Duration::from_micros(5)),
            ("6n", Duration::from_nanos(6)),
            ("0S", Duration::ZERO),
            ("00000001S", Duration::from_secs(1)),
            ("99999999H", Duration::from_secs(99_999_999 * 3_600)),
        ] {
            assert_eq!(parse(text.as_bytes()), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_timeout_is_none() {
        for text in
            ["", "S", "1", "1s", "1h", "000000001S", "123456789n", "-1S", "+1S", " 1S", "1 S", "1.5S", "1SS"]
        {
            assert_eq!(parse(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn a_written_timeout_is_the_shortest_that_is_not_too_short() {
        for (timeout, expected) in [
            (Duration::ZERO, "0n"),
            (Duration::from_nanos(1), "1n"),
            (Duration::from_nanos(99_999_999), "99999999n"),
            (Duration::from_millis(100), "100000u"),
            (Duration::from_nanos(100_000_001), "100001u"),
            (Duration::from_secs(1), "1000000u"),
            (Duration::from_micros(99_999_999), "99999999u"),
            (Duration::from_nanos(99_999_999_001), "100000m"),
            (Duration::from_millis(99_999_999), "99999999m"),
            (Duration::from_secs(100_000), "100000S"),
            (Duration::from_secs(99_999_999), "99999999S"),
            (Duration::from_secs(100_000_000), "1666667M"),
            (Duration::from_secs(99_999_999 * 60), "99999999M"),
            (Duration::from_secs(100_000_000 * 60), "1666667H"),
            (Duration::MAX, "99999999H"),
        ] {
            let mut out = Vec::new();
            write(timeout, &mut out);
            assert_eq!(String::from_utf8(out.clone()).unwrap(), expected);
            if timeout < Duration::MAX {
                assert!(parse(&out).unwrap() >= timeout, "{expected}");
            }
        }
    }
}
