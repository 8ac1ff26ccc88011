//! The `Date` field's value (RFC 9110, 6.6.1), made once a second.

use std::cell::Cell;
use std::time::{Duration, UNIX_EPOCH};

/// The current value; [`Date::refresh`] keeps it so.
#[derive(Debug)]
pub(crate) struct Date {
    second: Cell<u64>,
    text: Cell<[u8; 29]>,
}

impl Date {
    /// The value for a wall clock time since the Unix epoch.
    pub(crate) fn new(wall: Duration) -> Self {
        let date = Self { second: Cell::new(u64::MAX), text: Cell::new([b' '; 29]) };
        date.refresh(wall);
        date
    }

    /// Formats again when the second has changed.
    pub(crate) fn refresh(&self, wall: Duration) {
        if self.second.replace(wall.as_secs()) == wall.as_secs() {
            return;
        }
        let text = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(wall.as_secs()));
        if let Ok(bytes) = <[u8; 29]>::try_from(text.as_bytes()) {
            self.text.set(bytes);
        }
    }

    /// The value.
    pub(crate) fn value(&self) -> [u8; 29] {
        self.text.get()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_as_imf_fixdate() {
        let date = Date::new(Duration::from_secs(784_111_777));
        assert_eq!(&date.value(), b"Sun, 06 Nov 1994 08:49:37 GMT");
        date.refresh(Duration::from_secs(784_111_778));
        assert_eq!(&date.value(), b"Sun, 06 Nov 1994 08:49:38 GMT");
    }
}
