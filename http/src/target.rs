//! The request target: its forms (RFC 9112, 3.2) and the one path normalisation that routing and forwarding
//! share.

use std::net::Ipv6Addr;

use crate::error::HeadError;
use crate::head::Method;

/// Bytes of a host name, at most (a name in the DNS has 253).
pub const HOST_BYTES_MAX: usize = 255;

/// A path that cannot be normalised (bad percent-encoding, `%00`, a step above the root, a byte outside the
/// grammar).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a valid path")]
pub struct InvalidPath;

/// Not a host with an optional port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a valid host")]
pub struct InvalidAuthority;

/// Normalises a path: percent-encoded unreserved bytes are decoded, other escapes get upper-case hex and
/// stay, dot segments (also spelt `%2e`) are resolved, repeated slashes are merged. Appends to `out`. `%2F`
/// and `%5C` stay escaped.
///
/// Slashes are merged before dot segments are resolved, and a dot segment with a parameter (`..;x`), which
/// some upstreams would resolve and some not, is refused. Normalising twice is the same as once. On an error
/// `out` is unchanged.
pub fn normalise(path: &str, out: &mut String) -> Result<(), InvalidPath> {
    if is_normal(path.as_bytes()) {
        out.push_str(path);
        return Ok(());
    }
    let base = out.len();
    let result = rewrite(path, base, out);
    if result.is_err() {
        out.truncate(base);
    }
    result
}

/// Checks an authority (`host` or `host:port`, without user information) and appends its host in lower case,
/// without a final dot, to `host`. An IPv6 address keeps its brackets. On an error `host` is unchanged.
pub fn split_authority(authority: &str, host: &mut String) -> Result<Option<u16>, InvalidAuthority> {
    let mut has_upper = true;
    let (name, rest) = if let Some(bracketed) = authority.strip_prefix('[') {
        let (address, rest) = bracketed.split_once(']').ok_or(InvalidAuthority)?;
        address.parse::<Ipv6Addr>().map_err(|_| InvalidAuthority)?;
        (authority.get(..address.len() + 2).ok_or(InvalidAuthority)?, rest)
    } else {
        let end = name_end(authority.as_bytes())?;
        let (name, rest) = authority.split_at_checked(end.at).ok_or(InvalidAuthority)?;
        let name = name.strip_suffix('.').unwrap_or(name);
        if name.is_empty() || name.len() > HOST_BYTES_MAX {
            return Err(InvalidAuthority);
        }
        has_upper = end.has_upper;
        (name, rest)
    };
    let port = match rest.strip_prefix(':') {
        Some(digits) => Some(parse_port(digits)?),
        None if rest.is_empty() => None,
        None => return Err(InvalidAuthority),
    };
    let start = host.len();
    host.push_str(name);
    if has_upper && let Some(host) = host.get_mut(start..) {
        host.make_ascii_lowercase();
    }
    Ok(port)
}

/// A request target taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Target<'a> {
    /// `/path?query`.
    Origin {
        /// Up to the question mark.
        path: &'a str,
        /// After it.
        query: Option<&'a str>,
    },
    /// `http://authority/path?query`.
    Absolute {
        /// Host and port.
        authority: &'a str,
        /// Up to the question mark; empty if there is none.
        path: &'a str,
        /// After it.
        query: Option<&'a str>,
    },
    /// `authority`, with CONNECT only.
    Authority(&'a str),
    /// `*`, with OPTIONS only.
    Asterisk,
}

/// A target as text, if no byte of it is out of place in every form.
#[inline]
pub(crate) fn text(target: &[u8]) -> Result<&str, HeadError> {
    let visible = target.iter().fold(true, |visible, byte| visible & byte.is_ascii_graphic());
    let fragments = target.iter().fold(0, |found, byte| found | u8::from(*byte == b'#'));
    // RFC 9112, 3.2: whatever is not visible ASCII can only be an attempt to be read in two ways.
    if !visible {
        return Err(HeadError::Target);
    }
    if fragments > 0 {
        return Err(HeadError::TargetFragment);
    }
    std::str::from_utf8(target).map_err(|_| HeadError::Target)
}

/// Takes a target apart by the form that its method allows (RFC 9112, 3.2).
#[inline]
pub(crate) fn parse(method: Method, target: &str) -> Result<Target<'_>, HeadError> {
    if method == Method::Connect {
        return Ok(Target::Authority(target));
    }
    if target.starts_with('/') {
        let (path, query) = split_query(target);
        return Ok(Target::Origin { path, query });
    }
    if target == "*" {
        return if method == Method::Options { Ok(Target::Asterisk) } else { Err(HeadError::Target) };
    }
    let (scheme, rest) = target.split_once("://").ok_or(HeadError::Target)?;
    if !scheme.eq_ignore_ascii_case("http") && !scheme.eq_ignore_ascii_case("https") {
        return Err(HeadError::TargetScheme);
    }
    let (authority, rest) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let (path, query) = split_query(rest);
    Ok(Target::Absolute { authority, path, query })
}

fn split_query(target: &str) -> (&str, Option<&str>) {
    // Not `split_once`, whose search costs more than most targets are long.
    let mark = memchr::memchr(b'?', target.as_bytes());
    match mark.and_then(|mark| target.split_at_checked(mark)) {
        Some((path, query)) => (path, query.get(1..)),
        None => (target, None),
    }
}

/// Where a name ends, and whether it has upper-case letters.
struct NameEnd {
    at: usize,
    has_upper: bool,
}

/// A registered name or an IPv4 address: labels of letters, digits, `-`, `_` and `~`, none of them empty, apart from
/// one after a final dot.
fn name_end(name: &[u8]) -> Result<NameEnd, InvalidAuthority> {
    let mut end = NameEnd { at: name.len(), has_upper: false };
    let mut before = b'.';
    let mut empty = false;
    for (at, byte) in name.iter().enumerate() {
        let lower = HOST.get(usize::from(*byte)).copied().unwrap_or_default();
        if lower == 0 {
            end.at = at;
            break;
        }
        end.has_upper |= lower != *byte;
        empty |= lower == b'.' && before == b'.';
        before = lower;
    }
    if empty { Err(InvalidAuthority) } else { Ok(end) }
}

fn parse_port(digits: &str) -> Result<u16, InvalidAuthority> {
    if digits.is_empty() || digits.len() > 5 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(InvalidAuthority);
    }
    digits.parse().map_err(|_| InvalidAuthority)
}

/// Whether a path is already in normal form, as far as one look per byte can tell.
fn is_normal(path: &[u8]) -> bool {
    let mut after_slash = false;
    let mut valid = path.first() == Some(&b'/');
    for byte in path {
        let is_slash = *byte == b'/';
        valid &= class(*byte) <= Class::Reserved;
        valid &= !(after_slash && (is_slash || *byte == b'.'));
        after_slash = is_slash;
    }
    valid
}

fn rewrite(path: &str, base: usize, out: &mut String) -> Result<(), InvalidPath> {
    let segments = path.strip_prefix('/').ok_or(InvalidPath)?.split('/');
    let mut ends_in_slash = true;
    for segment in segments {
        ends_in_slash = true;
        if segment.is_empty() {
            continue;
        }
        let mark = out.len();
        out.push('/');
        decode_segment(segment, out)?;
        let decoded = out.get(mark + 1..).unwrap_or_default();
        match decoded {
            "." => out.truncate(mark),
            ".." => {
                out.truncate(mark);
                let parent = out.get(base..).and_then(|done| done.rfind('/')).ok_or(InvalidPath)?;
                out.truncate(base + parent);
            }
            _ if decoded.starts_with(".;") || decoded.starts_with("..;") => return Err(InvalidPath),
            _ => ends_in_slash = false,
        }
    }
    if ends_in_slash {
        out.push('/');
    }
    Ok(())
}

fn decode_segment(segment: &str, out: &mut String) -> Result<(), InvalidPath> {
    let mut rest = segment.as_bytes();
    while let Some((byte, tail)) = rest.split_first() {
        rest = tail;
        match class(*byte) {
            Class::Unreserved | Class::Reserved => out.push(char::from(*byte)),
            Class::Escape => {
                let [high, low, tail @ ..] = rest else { return Err(InvalidPath) };
                rest = tail;
                push_escape(hex(*high)? << 4 | hex(*low)?, out)?;
            }
            Class::Other => return Err(InvalidPath),
        }
    }
    Ok(())
}

fn push_escape(byte: u8, out: &mut String) -> Result<(), InvalidPath> {
    if byte == 0 {
        return Err(InvalidPath);
    }
    if class(byte) == Class::Unreserved {
        out.push(char::from(byte));
        return Ok(());
    }
    out.push('%');
    for digit in [byte >> 4, byte & 0xf] {
        out.push(char::from(if digit < 10 { b'0' + digit } else { b'A' + digit - 10 }));
    }
    Ok(())
}

fn hex(digit: u8) -> Result<u8, InvalidPath> {
    match digit {
        b'0'..=b'9' => Ok(digit - b'0'),
        b'a'..=b'f' => Ok(digit - b'a' + 10),
        b'A'..=b'F' => Ok(digit - b'A' + 10),
        _ => Err(InvalidPath),
    }
}

/// What a byte is in a path (RFC 3986, 2 and 3.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Class {
    /// A letter, a digit, `-`, `.`, `_`, `~`: escaping it changes nothing.
    Unreserved,
    /// Allowed as it is, and different from its escape. The slash is here too.
    Reserved,
    /// The percent sign.
    Escape,
    /// Not allowed unescaped.
    Other,
}

fn class(byte: u8) -> Class {
    CLASSES.get(usize::from(byte)).copied().unwrap_or(Class::Other)
}

/// The bytes of a host's name, its letters in lower case; zero for all others.
static HOST: [u8; 256] = {
    let mut table = [0; 256];
    let mut byte = 0u8;
    while byte < 0x80 {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'~' | b'.') {
            #[expect(clippy::indexing_slicing, reason = "a byte is below 256, and this runs in the compiler")]
            {
                table[byte as usize] = byte.to_ascii_lowercase();
            }
        }
        byte += 1;
    }
    table
};

static CLASSES: [Class; 256] = {
    let mut table = [Class::Other; 256];
    let mut byte = 0u8;
    while byte < 0x80 {
        let class = match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => Class::Unreserved,
            b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'=' | b':' | b'@'
            | b'/' => Class::Reserved,
            b'%' => Class::Escape,
            _ => Class::Other,
        };
        #[expect(clippy::indexing_slicing, reason = "a byte is below 256, and this runs in the compiler")]
        {
            table[byte as usize] = class;
        }
        byte += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    fn normal(path: &str) -> Option<String> {
        let mut out = String::from("kept");
        let result = normalise(path, &mut out);
        let tail = out.strip_prefix("kept").unwrap().to_owned();
        if result.is_err() {
            assert_eq!(tail, "", "an error must leave the output unchanged: {path}");
        }
        result.ok().map(|()| tail)
    }

    #[test]
    fn paths_become_their_normal_form() {
        let rows = [
            ("/", "/"),
            ("/a/b", "/a/b"),
            ("/a/b/", "/a/b/"),
            ("//", "/"),
            ("///a//b///", "/a/b/"),
            ("/./a/./b/.", "/a/b/"),
            ("/a/../b", "/b"),
            ("/a/b/..", "/a/"),
            ("/a/b/../", "/a/"),
            ("/a/b/../../", "/"),
            ("/a//../b", "/b"),
            ("/a/%2e%2E/b", "/b"),
            ("/a/.%2e/b", "/b"),
            ("/%2e/a", "/a"),
            ("/.well-known/x", "/.well-known/x"),
            ("/...", "/..."),
            ("/..a/.b", "/..a/.b"),
            ("/%41%7e%2d%5f%30", "/A~-_0"),
            ("/a%2fb%5c..%5Cc", "/a%2Fb%5C..%5Cc"),
            ("/%252e%252e/", "/%252e%252e/"),
            ("/%c3%a9%0a", "/%C3%A9%0A"),
            ("/a;p=1,2/b:c@d!$&'()*+", "/a;p=1,2/b:c@d!$&'()*+"),
            ("/a%3bb%3F%23", "/a%3Bb%3F%23"),
            ("/a..;x/b", "/a..;x/b"),
        ];
        for (path, expected) in rows {
            assert_eq!(normal(path).as_deref(), Some(expected), "{path}");
            assert_eq!(normal(expected).as_deref(), Some(expected), "twice: {path}");
        }
    }

    #[test]
    fn paths_that_have_no_normal_form_are_refused() {
        let rows = [
            "",
            "a",
            "*",
            "?",
            "/..",
            "/../a",
            "/a/../..",
            "/%2e%2e",
            "/a/../../b",
            "//..",
            "/%",
            "/%4",
            "/%4g",
            "/%g4",
            "/%00",
            "/a%00b",
            "/a b",
            "/a\\b",
            "/a\tb",
            "/é",
            "/a?b",
            "/a#b",
            "/<",
            "/\"",
            "/{x}",
            "/a|b",
            "/[x]",
            "/^",
            "/`",
            "/..;/a",
            "/.;/a",
            "/%2e%2e;x/a",
            "/\u{7f}",
        ];
        for path in rows {
            assert_eq!(normal(path), None, "{path}");
        }
    }

    #[test]
    fn authorities_are_split_and_lowered() {
        let rows = [
            ("Example.COM", "example.com", None),
            ("example.com.", "example.com", None),
            ("example.com:8080", "example.com", Some(8080)),
            ("example.com.:1", "example.com", Some(1)),
            ("127.0.0.1:65535", "127.0.0.1", Some(65535)),
            ("a_b~c-d", "a_b~c-d", None),
            ("[::1]", "[::1]", None),
            ("[2001:DB8::1]:443", "[2001:db8::1]", Some(443)),
            ("[::ffff:1.2.3.4]", "[::ffff:1.2.3.4]", None),
        ];
        for (authority, host, port) in rows {
            let mut out = String::new();
            assert_eq!(split_authority(authority, &mut out), Ok(port), "{authority}");
            assert_eq!(out, host);
        }
        let longest = "a".repeat(HOST_BYTES_MAX);
        assert!(split_authority(&longest, &mut String::new()).is_ok());
        assert!(split_authority(&format!("{longest}a"), &mut String::new()).is_err());
    }

    #[test]
    fn malformed_authorities_are_refused() {
        let rows = [
            "",
            ".",
            ":",
            ":80",
            "a:",
            "a:x",
            "a:+1",
            "a:65536",
            "a:000080",
            "a:80:80",
            "user@a",
            "user:pw@a",
            "a b",
            "a,b",
            "a/b",
            "a..b",
            ".a",
            "a..",
            "[::1",
            "::1",
            "[::1]x",
            "[::1]:",
            "[]",
            "[1.2.3.4]",
            "[fe80::1%25eth0]",
            "[v1.a]",
            "a%41",
            "a\\b",
            "é",
            "a?b",
            "a\0",
            "(a)",
            "a'b",
            "a;b",
        ];
        for authority in rows {
            let mut out = String::from("kept");
            assert_eq!(split_authority(authority, &mut out), Err(InvalidAuthority), "{authority}");
            assert_eq!(out, "kept");
        }
    }
}
