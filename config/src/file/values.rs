//! Values that carry their unit: durations, sizes and rates, read and written.

use std::time::Duration;

/// Reads `"250ms"`, `"30s"`, `"5m"`, `"24h"`.
pub(crate) fn parse_duration(text: &str) -> Option<Duration> {
    let (number, unit) = split_unit(text)?;
    let millis = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return None,
    };
    Some(Duration::from_millis(number.checked_mul(millis)?))
}

/// Writes a duration in the largest unit that holds it exactly.
pub(crate) fn show_duration(duration: Duration) -> String {
    let millis = duration.as_millis();
    for (unit, size) in [("h", 3_600_000), ("m", 60_000), ("s", 1_000)] {
        // "60s" reads better than "1m", and "0s" than "0h".
        if millis.is_multiple_of(size) && millis > 0 && (unit, millis / size) != ("m", 1) {
            return format!("{}{unit}", millis / size);
        }
    }
    if millis == 0 { "0s".to_owned() } else { format!("{millis}ms") }
}

/// Reads `"512B"`, `"64KB"`, `"10MB"`, `"1GB"`; a KB is 1,024 bytes.
pub(crate) fn parse_size(text: &str) -> Option<u64> {
    let (number, unit) = split_unit(text)?;
    let bytes: u64 = match unit {
        "B" => 1,
        "KB" => 1 << 10,
        "MB" => 1 << 20,
        "GB" => 1 << 30,
        _ => return None,
    };
    number.checked_mul(bytes)
}

/// Writes a size in the largest unit that holds it exactly.
pub(crate) fn show_size(bytes: u64) -> String {
    for (unit, size) in [("GB", 1 << 30), ("MB", 1 << 20), ("KB", 1 << 10)] {
        if bytes > 0 && bytes.is_multiple_of(size) {
            return format!("{}{unit}", bytes / size);
        }
    }
    format!("{bytes}B")
}

/// Reads bytes a second: `"1KB/s"`.
pub(crate) fn parse_rate(text: &str) -> Option<u64> {
    parse_size(text.strip_suffix("/s")?)
}

/// Splits `30s` into 30 and `s`; the number is decimal digits only.
fn split_unit(text: &str) -> Option<(u64, &str)> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits)?;
    Some((number.parse().ok()?, unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_a_number_and_a_unit() {
        let table = [
            ("250ms", Some(250)),
            ("30s", Some(30_000)),
            ("5m", Some(300_000)),
            ("24h", Some(86_400_000)),
            ("0s", Some(0)),
            ("30", None),
            ("s", None),
            ("", None),
            ("1.5s", None),
            ("-1s", None),
            ("30 s", None),
            ("30S", None),
            ("1d", None),
            ("18446744073709551615h", None),
            ("99999999999999999999s", None),
        ];
        for (text, millis) in table {
            assert_eq!(parse_duration(text), millis.map(Duration::from_millis), "{text}");
        }
    }

    #[test]
    fn sizes_are_a_number_and_a_unit_of_1024() {
        let table = [
            ("512B", Some(512)),
            ("64KB", Some(65_536)),
            ("10MB", Some(10_485_760)),
            ("1GB", Some(1_073_741_824)),
            ("64kb", None),
            ("64K", None),
            ("64KiB", None),
            ("64", None),
            ("17179869184GB", None),
        ];
        for (text, bytes) in table {
            assert_eq!(parse_size(text), bytes, "{text}");
        }
        assert_eq!(parse_rate("1KB/s"), Some(1_024));
        assert_eq!(parse_rate("1KB"), None);
        assert_eq!(parse_rate("1KB/m"), None);
    }

    #[test]
    fn what_is_written_reads_back_equal() {
        for millis in [0, 1, 250, 999, 1_000, 1_500, 60_000, 75_000, 300_000, 3_600_000, 86_400_000] {
            let duration = Duration::from_millis(millis);
            assert_eq!(parse_duration(&show_duration(duration)), Some(duration), "{millis}");
        }
        assert_eq!(show_duration(Duration::from_secs(60)), "60s");
        assert_eq!(show_duration(Duration::from_secs(3_600)), "1h");
        assert_eq!(show_duration(Duration::from_secs(86_400)), "24h");
        for bytes in [0, 1, 1_023, 1_024, 65_536, 10_485_760, 1 << 30, (1 << 30) + 1] {
            assert_eq!(parse_size(&show_size(bytes)), Some(bytes), "{bytes}");
        }
    }
}
