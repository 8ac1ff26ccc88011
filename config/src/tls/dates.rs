//! Dates of certificates in words. The clock is the caller's.

use std::time::Duration;

use x509_cert::der::DateTime;

const DAY_SECONDS: u64 = 86_400;
/// How long before its end a certificate draws a warning.
const NOTICE_DAYS: u64 = 14;

/// What is to be said of something that is valid between two times, in seconds since 1970; at `not_after` it still is.
pub(super) fn warning(what: &str, not_before: u64, not_after: u64, now: u64) -> Option<String> {
    if now > not_after {
        return Some(format!("{what} expired on {}; replace it", date(not_after)));
    }
    if now < not_before {
        return Some(format!("{what} is not valid before {}; is the clock right?", date(not_before)));
    }
    let days = (not_after - now) / DAY_SECONDS;
    (not_after - now <= NOTICE_DAYS * DAY_SECONDS)
        .then(|| format!("{what} expires on {}, in {days} days; renew it", date(not_after)))
}

/// Such as `2026-11-20`.
fn date(seconds: u64) -> String {
    DateTime::from_unix_duration(Duration::from_secs(seconds)).map_or_else(
        |_| "a day after the year 9999".to_owned(),
        |at| format!("{:04}-{:02}-{:02}", at.year(), at.month(), at.day()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_ends_within_two_weeks_or_is_not_valid_is_told() {
        let day = DAY_SECONDS;
        let said = |now: u64| warning("it", 100 * day, 200 * day, now);
        assert_eq!(said(100 * day - 1).unwrap(), "it is not valid before 1970-04-11; is the clock right?");
        assert_eq!(said(100 * day), None);
        assert_eq!(said(186 * day - 1), None);
        assert_eq!(said(186 * day).unwrap(), "it expires on 1970-07-20, in 14 days; renew it");
        assert_eq!(said(200 * day).unwrap(), "it expires on 1970-07-20, in 0 days; renew it");
        assert_eq!(said(200 * day + 1).unwrap(), "it expired on 1970-07-20; replace it");
        assert!(warning("it", 0, u64::MAX, 0).is_none());
    }
}
