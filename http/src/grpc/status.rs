//! gRPC's statuses, and which of them an HTTP status is.

/// A status, by gRPC's numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Status {
    /// `UNKNOWN`: nothing better is known.
    Unknown = 2,
    /// `DEADLINE_EXCEEDED`: the time was over.
    DeadlineExceeded = 4,
    /// `PERMISSION_DENIED`.
    PermissionDenied = 7,
    /// `RESOURCE_EXHAUSTED`: over a limit.
    ResourceExhausted = 8,
    /// `UNIMPLEMENTED`: nobody serves that.
    Unimplemented = 12,
    /// `INTERNAL`: a message that is not one.
    Internal = 13,
    /// `UNAVAILABLE`: may be tried again.
    Unavailable = 14,
    /// `UNAUTHENTICATED`.
    Unauthenticated = 16,
}

impl Status {
    /// What an HTTP answer without a gRPC status means, by gRPC's own table.
    pub fn of_http(status: u16) -> Self {
        match status {
            400 => Self::Internal,
            401 => Self::Unauthenticated,
            403 => Self::PermissionDenied,
            404 => Self::Unimplemented,
            429 | 502..=504 => Self::Unavailable,
            _ => Self::Unknown,
        }
    }

    /// What the gateway's own answer means. It knows more than a status tells others: that a time was over, that
    /// something was over a limit, that a method is not served.
    pub fn of_own(status: u16) -> Self {
        match status {
            408 | 504 => Self::DeadlineExceeded,
            413 | 414 | 429 | 431 => Self::ResourceExhausted,
            405 | 501 | 505 => Self::Unimplemented,
            other => Self::of_http(other),
        }
    }

    /// Its number, as `grpc-status` carries it.
    pub fn code(self) -> u8 {
        self as u8
    }
}

/// gRPC's statuses in the order of their numbers.
const NAMES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

/// The name of a number that somebody else has sent.
pub fn name(code: u32) -> Option<&'static str> {
    NAMES.get(usize::try_from(code).ok()?).copied()
}

/// Appends a text as the value of `grpc-message`: bytes outside of visible ASCII and space, and `%`, are escaped.
pub fn push_message(text: &str, out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for byte in text.bytes() {
        if matches!(byte, b' '..=b'~') && byte != b'%' {
            out.push(byte);
        } else {
            let digit = |nibble: u8| HEX.get(usize::from(nibble)).copied().unwrap_or(b'0');
            out.extend_from_slice(&[b'%', digit(byte >> 4), digit(byte & 0x0f)]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn http_statuses_are_those_of_grpcs_table() {
        for (http, code) in [
            (400, 13),
            (401, 16),
            (403, 7),
            (404, 12),
            (429, 14),
            (502, 14),
            (503, 14),
            (504, 14),
            (200, 2),
            (302, 2),
            (408, 2),
            (413, 2),
            (500, 2),
            (501, 2),
            (505, 2),
        ] {
            assert_eq!(Status::of_http(http).code(), code, "{http}");
        }
    }

    #[test]
    fn own_answers_say_what_others_cannot_know() {
        for (http, code) in [
            (400, 13),
            (401, 16),
            (403, 7),
            (404, 12),
            (405, 12),
            (408, 4),
            (413, 8),
            (414, 8),
            (429, 8),
            (431, 8),
            (500, 2),
            (501, 12),
            (502, 14),
            (503, 14),
            (504, 4),
            (505, 12),
            (508, 2),
        ] {
            assert_eq!(Status::of_own(http).code(), code, "{http}");
        }
    }

    #[test]
    fn a_number_has_its_name() {
        for (status, expected) in [
            (Status::Unknown, "UNKNOWN"),
            (Status::DeadlineExceeded, "DEADLINE_EXCEEDED"),
            (Status::PermissionDenied, "PERMISSION_DENIED"),
            (Status::ResourceExhausted, "RESOURCE_EXHAUSTED"),
            (Status::Unimplemented, "UNIMPLEMENTED"),
            (Status::Internal, "INTERNAL"),
            (Status::Unavailable, "UNAVAILABLE"),
            (Status::Unauthenticated, "UNAUTHENTICATED"),
        ] {
            assert_eq!(name(u32::from(status.code())), Some(expected));
        }
        assert_eq!(
            (name(0), name(5), name(16), name(17)),
            (Some("OK"), Some("NOT_FOUND"), Some("UNAUTHENTICATED"), None)
        );
    }

    #[test]
    fn a_message_is_escaped_where_it_must_be() {
        for (text, expected) in [
            ("Not found", "Not found"),
            ("100 %", "100 %25"),
            ("a\r\nb\u{7f}\t", "a%0D%0Ab%7F%09"),
            ("Grüße ~", "Gr%C3%BC%C3%9Fe ~"),
            ("", ""),
        ] {
            let mut out = Vec::new();
            push_message(text, &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
    }
}
