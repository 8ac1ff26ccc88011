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

            /// The name with the colon and the space that stand before a value.
            pub(crate) const fn prefix(self) -> &'static str {
                match self {
                    $(Self::$variant => concat!($name, ": "),)*
                }
            }

            /// The name in its customary spelling.
            pub const fn name(self) -> &'static str {
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
    XForwardedPort = "X-Forwarded-Port",
    XForwardedPrefix = "X-Forwarded-Prefix",
    XForwardedProto = "X-Forwarded-Proto",
    XForwardedServer = "X-Forwarded-Server",
    XRealIp = "X-Real-IP",
    XRequestId = "X-Request-ID",
}

impl Known {
    /// The known field of that name, compared without case.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::from_bytes(name.as_bytes())
    }

    /// The same, for a name that need not be text.
    pub(crate) fn from_bytes(name: &[u8]) -> Option<Self> {
        let words = words(name)?;
        let number = *INDEX.slots.get(slot(words, name.len(), INDEX.seed))?;
        let spelling = SPELLINGS.get(usize::from(number))?;
        let (letters, like) = (spelling.letters, spelling.words);
        // A byte with the bit of the lower case set is the lower-case letter only if it is that letter in either case.
        let different = ((words.0 | letters.0) ^ like.0)
            | ((words.1 | letters.1) ^ like.1)
            | ((words.2 | letters.2) ^ like.2);
        (different == 0 && name.len() == spelling.len).then_some(spelling.known)
    }

    /// Its bit in a set of known fields.
    pub(crate) const fn bit(self) -> u64 {
        1 << (self as u8)
    }
}

/// Bytes of a known name, at most: three words.
const NAME_BYTES_MAX: usize = 24;
/// No field has this number.
const NONE: u8 = u8::MAX;

/// A known name as it is compared: eight bytes at once.
#[derive(Clone, Copy)]
struct Spelling {
    known: Known,
    len: usize,
    /// In lower case.
    words: (u64, u64, u64),
    /// The bit of the lower case wherever there is a letter.
    letters: (u64, u64, u64),
}

/// Where to look for a name: each known one leads to a slot of its own.
struct Index {
    seed: u64,
    /// Numbers of known fields.
    slots: [u8; 256],
}

/// The slot of a name, by its first and last bytes without regard to case, and its length.
const fn slot(words: (u64, u64, u64), len: usize, seed: u64) -> usize {
    const LETTERS: u64 = 0x1f1f_1f1f_1f1f_1f1f;
    let mixed = (words.0 & LETTERS).rotate_left(5) ^ (words.2 & LETTERS) ^ len as u64;
    (mixed.wrapping_mul(seed) >> 56) as usize
}

/// All bytes of a name of up to 24, some of them twice; `None` for a longer one.
const fn words(name: &[u8]) -> Option<(u64, u64, u64)> {
    if name.len() > NAME_BYTES_MAX {
        return None;
    }
    if let (Some((first, rest)), Some(last)) = (name.split_first_chunk::<8>(), name.last_chunk::<8>()) {
        let middle = match rest.first_chunk::<8>() {
            Some(middle) if name.len() > 16 => u64::from_le_bytes(*middle),
            _ => 0,
        };
        return Some((u64::from_le_bytes(*first), middle, u64::from_le_bytes(*last)));
    }
    if let (Some(first), Some(last)) = (name.first_chunk::<4>(), name.last_chunk::<4>()) {
        return Some((u32::from_le_bytes(*first) as u64, 0, u32::from_le_bytes(*last) as u64));
    }
    match *name {
        [a, b, c] => Some((u32::from_le_bytes([a, b, c, 0]) as u64, 0, 0)),
        [a, b] => Some((u32::from_le_bytes([a, b, 0, 0]) as u64, 0, 0)),
        [a] => Some((a as u64, 0, 0)),
        _ => Some((0, 0, 0)),
    }
}

#[expect(clippy::indexing_slicing, reason = "this runs in the compiler")]
static SPELLINGS: [Spelling; Known::ALL.len()] = {
    let none = Spelling { known: Known::Allow, len: 0, words: (0, 0, 0), letters: (0, 0, 0) };
    let mut table = [none; Known::ALL.len()];
    let mut at = 0;
    while at < table.len() {
        let known = Known::ALL[at];
        let name = known.name().as_bytes();
        let (mut lower, mut letters) = ([0; NAME_BYTES_MAX], [0; NAME_BYTES_MAX]);
        let mut byte = 0;
        while byte < name.len() {
            lower[byte] = name[byte].to_ascii_lowercase();
            letters[byte] = if name[byte].is_ascii_alphabetic() { 0x20 } else { 0 };
            byte += 1;
        }
        let (Some(words), Some(letters)) =
            (words(lower.split_at(name.len()).0), words(letters.split_at(name.len()).0))
        else {
            panic!("a name of more than 24 bytes");
        };
        table[at] = Spelling { known, len: name.len(), words, letters };
        at += 1;
    }
    table
};

/// The first seed that gives each known name a slot of its own.
static INDEX: Index = {
    let mut seed: u64 = 0x9E37_79B9_7F4A_7C15;
    let mut tries = 0;
    loop {
        if let Some(slots) = slots(seed) {
            break Index { seed, slots };
        }
        assert!(
            tries < 1000,
            "two names lead to the same slot with any seed, or there are too many for 256 slots"
        );
        tries += 1;
        seed = seed.wrapping_mul(0xD134_2543_DE82_EF95).wrapping_add(2);
    }
};

#[expect(clippy::indexing_slicing, clippy::cast_possible_truncation, reason = "this runs in the compiler")]
const fn slots(seed: u64) -> Option<[u8; 256]> {
    let mut slots = [NONE; 256];
    let mut at = 0;
    while at < Known::ALL.len() {
        let name = Known::ALL[at].name().as_bytes();
        let Some(words) = words(name) else { return None };
        let place = slot(words, name.len(), seed);
        if slots[place] != NONE {
            return None;
        }
        slots[place] = at as u8;
        at += 1;
    }
    Some(slots)
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
pub(crate) fn is_control(name: &[u8]) -> bool {
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
    NAMES.iter().any(|control| control.as_bytes().eq_ignore_ascii_case(name))
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
    fn no_other_byte_passes_for_one_of_a_name() {
        for known in Known::ALL {
            let name = known.name().as_bytes();
            for at in 0..name.len() {
                for byte in 0..=u8::MAX {
                    let mut other = name.to_vec();
                    other[at] = byte;
                    let same = other.eq_ignore_ascii_case(name);
                    assert_eq!(Known::from_bytes(&other) == Some(*known), same, "{}", other.escape_ascii());
                }
            }
        }
    }

    #[test]
    fn names_of_every_length_may_be_unknown() {
        for len in 0..300 {
            for letter in ['a', 'X', '\0'] {
                assert_eq!(Known::from_name(&letter.to_string().repeat(len)), None, "{len} of {letter:?}");
            }
        }
    }

    #[test]
    fn the_set_of_known_fields_fits_its_bitmap() {
        assert!(Known::ALL.len() <= 64);
        let union = Known::ALL.iter().fold(0u64, |set, known| set | known.bit());
        assert_eq!(union.count_ones() as usize, Known::ALL.len());
    }
}
