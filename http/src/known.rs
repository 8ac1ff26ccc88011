//! The field names that the gateway itself looks at, and the classes they fall into.

/// Defines [`Known`] and its table of names together, so that neither can miss one.
macro_rules! known {
    ($($variant:ident = $name:literal,)*) => {
        /// Field names that the gateway itself looks at, found in constant time.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum Known {
            $(#[doc = concat!("`", $name, "`")] $variant,)*
        }

        impl Known {
            /// All of them, in the order of their numbers.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The name in its customary spelling.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }
        }
    };
}

known! {
    AcceptEncoding = "Accept-Encoding",
    Allow = "Allow",
    Authorization = "Authorization",
    Connection = "Connection",
    ContentLength = "Content-Length",
    ContentType = "Content-Type",
    Cookie = "Cookie",
    Date = "Date",
    Expect = "Expect",
    Forwarded = "Forwarded",
    Host = "Host",
    IfModifiedSince = "If-Modified-Since",
    IfNoneMatch = "If-None-Match",
    IfRange = "If-Range",
    KeepAlive = "Keep-Alive",
    Location = "Location",
    MaxForwards = "Max-Forwards",
    ProxyConnection = "Proxy-Connection",
    Range = "Range",
    Referer = "Referer",
    RetryAfter = "Retry-After",
    Server = "Server",
    Te = "TE",
    Trailer = "Trailer",
    TransferEncoding = "Transfer-Encoding",
    Upgrade = "Upgrade",
    UserAgent = "User-Agent",
    Via = "Via",
    XForwardedFor = "X-Forwarded-For",
    XForwardedHost = "X-Forwarded-Host",
    XForwardedProto = "X-Forwarded-Proto",
    XRealIp = "X-Real-IP",
    XRequestId = "X-Request-ID",
}

impl Known {
    /// The known field of that name, compared without case.
    pub fn from_name(name: &str) -> Option<Self> {
        let bytes = name.as_bytes();
        let first = bytes.first()?.to_ascii_lowercase();
        // Length and first letter leave at most two candidates.
        let candidates: &[Self] = match (bytes.len(), first) {
            (2, b't') => &[Self::Te],
            (3, b'v') => &[Self::Via],
            (4, b'd') => &[Self::Date],
            (4, b'h') => &[Self::Host],
            (5, b'a') => &[Self::Allow],
            (5, b'r') => &[Self::Range],
            (6, b'c') => &[Self::Cookie],
            (6, b'e') => &[Self::Expect],
            (6, b's') => &[Self::Server],
            (7, b'r') => &[Self::Referer],
            (7, b't') => &[Self::Trailer],
            (7, b'u') => &[Self::Upgrade],
            (8, b'i') => &[Self::IfRange],
            (8, b'l') => &[Self::Location],
            (9, b'f') => &[Self::Forwarded],
            (9, b'x') => &[Self::XRealIp],
            (10, b'c') => &[Self::Connection],
            (10, b'k') => &[Self::KeepAlive],
            (10, b'u') => &[Self::UserAgent],
            (11, b'r') => &[Self::RetryAfter],
            (12, b'c') => &[Self::ContentType],
            (12, b'm') => &[Self::MaxForwards],
            (12, b'x') => &[Self::XRequestId],
            (13, b'a') => &[Self::Authorization],
            (13, b'i') => &[Self::IfNoneMatch],
            (14, b'c') => &[Self::ContentLength],
            (15, b'a') => &[Self::AcceptEncoding],
            (15, b'x') => &[Self::XForwardedFor],
            (16, b'p') => &[Self::ProxyConnection],
            (16, b'x') => &[Self::XForwardedHost],
            (17, b'i') => &[Self::IfModifiedSince],
            (17, b't') => &[Self::TransferEncoding],
            (17, b'x') => &[Self::XForwardedProto],
            _ => &[],
        };
        candidates.iter().copied().find(|known| known.name().eq_ignore_ascii_case(name))
    }

    /// Its bit in a set of known fields.
    pub(crate) const fn bit(self) -> u64 {
        1 << (self as u8)
    }
}

/// What belongs to one connection and is never forwarded (RFC 9110, 7.6.1).
pub(crate) const HOP_BY_HOP: u64 = Known::Connection.bit()
    | Known::KeepAlive.bit()
    | Known::ProxyConnection.bit()
    | Known::Te.bit()
    | Known::Trailer.bit()
    | Known::TransferEncoding.bit()
    | Known::Upgrade.bit();

/// Whether a field that is not [`Known`] must survive a `Connection` that names it, and must not arrive in
/// trailers: it tells recipients how to treat the message, and a sender has no business to smuggle it in or
/// out.
pub(crate) fn is_control(name: &str) -> bool {
    const NAMES: &[&str] = &[
        "Age",
        "Cache-Control",
        "Content-Encoding",
        "Content-Range",
        "Expires",
        "If-Match",
        "If-Unmodified-Since",
        "Pragma",
        "Proxy-Authenticate",
        "Proxy-Authentication-Info",
        "Proxy-Authorization",
        "Set-Cookie",
        "Vary",
        "WWW-Authenticate",
    ];
    NAMES.iter().any(|control| control.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_known_name_is_found_in_any_case() {
        for known in Known::ALL {
            for name in [
                known.name().to_owned(),
                known.name().to_ascii_lowercase(),
                known.name().to_ascii_uppercase(),
            ] {
                assert_eq!(Known::from_name(&name), Some(*known), "{name}");
            }
            assert_eq!(Known::from_name(&format!("{}x", known.name())), None);
        }
        assert_eq!(Known::from_name(""), None);
        assert_eq!(Known::from_name("HosT "), None);
    }

    #[test]
    fn the_set_of_known_fields_fits_its_bitmap() {
        assert!(Known::ALL.len() <= 64);
        let union = Known::ALL.iter().fold(0u64, |set, known| set | known.bit());
        assert_eq!(union.count_ones() as usize, Known::ALL.len());
    }
}
