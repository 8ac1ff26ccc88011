//! What a route asks of a path. Paths are compared in their normalised form, so a rule is written in that form: a
//! rule that no normalised path can match is refused, and the message says how to write it.

use std::fmt;

use ringway_filters::Params;
use ringway_http::target::normalise;

use super::rule::hex;
use crate::regex::{Regex, Scratch};

/// `path`, `prefix`, `pattern` or `regex` of a `match`.
#[derive(Debug, Clone, Default)]
pub enum PathRule {
    /// Every path, and the `*` of `OPTIONS *`. `prefix = "/"` is the same.
    #[default]
    Any,
    /// Exactly this one: `/a` is not `/a/`.
    Exact(String),
    /// This one and all below it, in whole segments; kept without its final slash, which makes no difference:
    /// `/admin` and `/admin/` both match `/admin`, `/admin/` and `/admin/x`, and not `/administrator`.
    Prefix(String),
    /// Segments, some of which are parameters.
    Pattern(Pattern),
    /// A regular expression that the path must match somewhere; `^` and `$` anchor it.
    Regex(Regex),
}

/// `pattern = "/users/{id}"`: `{id}` stands for one segment that is not empty. `{rest...}` at the end stands for all
/// that remains, with slashes, or for nothing: `/files/{rest...}` matches `/files`, `/files/` and `/files/a/b`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    text: String,
    pieces: Vec<Piece>,
}

/// One segment of a pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Piece {
    Literal(String),
    Param(String),
    Rest(String),
}

impl PathRule {
    /// `path = "..."`.
    pub fn exact(text: &str) -> Result<Self, String> {
        check_path(text)?;
        Ok(Self::Exact(text.to_owned()))
    }

    /// `prefix = "..."`.
    pub fn prefix(text: &str) -> Result<Self, String> {
        check_path(text)?;
        let kept = text.strip_suffix('/').unwrap_or(text);
        Ok(if kept.is_empty() { Self::Any } else { Self::Prefix(kept.to_owned()) })
    }

    /// `pattern = "..."`.
    pub fn pattern(text: &str) -> Result<Self, String> {
        Pattern::parse(text).map(Self::Pattern)
    }

    /// `regex = "..."`. Classes such as `\d` are those of ASCII, since a normalised path is.
    pub fn regex(text: &str) -> Result<Self, String> {
        Regex::new(text).map(Self::Regex)
    }

    /// Whether a normalised path matches.
    pub fn matches(&self, path: &str, scratch: &mut Scratch) -> bool {
        match self {
            Self::Any => true,
            Self::Exact(text) => text == path,
            Self::Prefix(text) => {
                path.strip_prefix(text.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            }
            Self::Pattern(pattern) => pattern.walk(path, |_, _| ()),
            Self::Regex(regex) => regex.is_match(path, scratch),
        }
    }
}

impl fmt::Display for PathRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("any path"),
            Self::Exact(text) => write!(f, "path {text}"),
            Self::Prefix(text) => write!(f, "prefix {text}"),
            Self::Pattern(pattern) => write!(f, "pattern {}", pattern.text),
            Self::Regex(regex) => write!(f, "regex {}", regex.as_str()),
        }
    }
}

impl Pattern {
    fn parse(text: &str) -> Result<Self, String> {
        let Some(tail) = text.strip_prefix('/') else {
            return Err(format!("expected a pattern that starts with `/`, found `{text}`"));
        };
        let mut pieces = Vec::new();
        let mut segments = tail.split('/').peekable();
        while let Some(segment) = segments.next() {
            let inner = segment.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
            let piece = match inner {
                None if segment.contains(['{', '}']) => {
                    return Err(format!(
                        "a parameter fills a whole segment, as in `/users/{{id}}`, found `{segment}`"
                    ));
                }
                None => Piece::Literal(segment.to_owned()),
                Some(name) => match name.strip_suffix("...") {
                    Some(_) if segments.peek().is_some() => {
                        return Err(format!(
                            "`{segment}` takes all that remains, so it must be the last segment"
                        ));
                    }
                    Some(name) => Piece::Rest(parameter(name)?),
                    None => Piece::Param(parameter(name)?),
                },
            };
            if piece.name().is_some_and(|name| pieces.iter().any(|other: &Piece| other.name() == Some(name)))
            {
                return Err(format!("the parameter `{segment}` is there twice"));
            }
            pieces.push(piece);
        }
        let pattern = Self { text: text.to_owned(), pieces };
        // What remains when each parameter is an ordinary segment must be a path that can arrive.
        check_path(&pattern.with("x"))?;
        if pattern.names().next().is_none() {
            return Err(format!(
                "a pattern has a parameter, as in `/users/{{id}}`; write `path = \"{text}\"`"
            ));
        }
        Ok(pattern)
    }

    fn with(&self, stand_in: &str) -> String {
        let mut out = String::new();
        for piece in &self.pieces {
            out.push('/');
            out.push_str(match piece {
                Piece::Literal(text) => text,
                Piece::Param(_) | Piece::Rest(_) => stand_in,
            });
        }
        out
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The parameters' names in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.pieces.iter().filter_map(Piece::name)
    }

    /// How many segments are literal: the more, the earlier it goes.
    pub fn literals(&self) -> usize {
        self.pieces.iter().filter(|piece| matches!(piece, Piece::Literal(_))).count()
    }

    pub(crate) fn pieces(&self) -> &[Piece] {
        &self.pieces
    }

    /// Whether it ends in `{rest...}`.
    pub(crate) fn has_rest(&self) -> bool {
        matches!(self.pieces.last(), Some(Piece::Rest(_)))
    }

    /// Adds the parameters of a path that matches.
    pub(super) fn capture(&self, path: &str, params: &mut Params) {
        self.walk(path, |name, value| params.push(name, value));
    }

    /// Whether a path matches; `found` is told each parameter on the way.
    fn walk(&self, path: &str, mut found: impl FnMut(&str, &str)) -> bool {
        let mut left = path.strip_prefix('/');
        for piece in &self.pieces {
            if let Piece::Rest(name) = piece {
                found(name, left.unwrap_or_default());
                return path.starts_with('/');
            }
            let Some(text) = left else { return false };
            let (segment, after) = split_segment(text);
            match piece {
                Piece::Literal(literal) if literal == segment => {}
                Piece::Param(name) if !segment.is_empty() => found(name, segment),
                Piece::Literal(_) | Piece::Param(_) | Piece::Rest(_) => return false,
            }
            left = after;
        }
        left.is_none()
    }
}

impl Piece {
    pub(crate) fn name(&self) -> Option<&str> {
        match self {
            Self::Literal(_) => None,
            Self::Param(name) | Self::Rest(name) => Some(name),
        }
    }
}

/// The first segment, and what follows its slash if there is one.
pub(super) fn split_segment(text: &str) -> (&str, Option<&str>) {
    // Not `split_once`, whose search costs more than most segments are long.
    let slash = text.bytes().position(|byte| byte == b'/');
    match slash.and_then(|slash| text.split_at_checked(slash)) {
        Some((segment, left)) => (segment, left.get(1..)),
        None => (text, None),
    }
}

/// A parameter's name.
fn parameter(name: &str) -> Result<String, String> {
    let starts_well = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    if starts_well && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
        return Ok(name.to_owned());
    }
    Err(format!("expected a parameter's name of letters, digits and `_`, as in `{{id}}`, found `{{{name}}}`"))
}

/// Refuses a path that cannot arrive, because it is not in normalised form.
pub(crate) fn check_path(path: &str) -> Result<(), String> {
    let Some(tail) = path.strip_prefix('/') else {
        return Err(format!("expected a path that starts with `/`, found `{path}`"));
    };
    if path.contains(['?', '#']) {
        return Err(format!("a path has no `?` and no `#`, found `{path}`; for parameters there is `query`"));
    }
    if let Some(bad) = path.bytes().find(|&byte| byte != b'%' && byte != b'/' && !is_path_byte(byte)) {
        let shown = char::from(bad).escape_default();
        return Err(if bad.is_ascii() {
            format!("`{shown}` arrives percent-encoded in a path; write `%{bad:02X}`")
        } else {
            format!("paths arrive in ASCII; write `{}`", encode(path))
        });
    }
    check_escapes(path)?;
    let mut segments = tail.split('/').peekable();
    while let Some(segment) = segments.next() {
        match segment {
            "" if segments.peek().is_some() => {
                return Err(format!(
                    "repeated slashes are merged before routes are looked up; write `{path}` without"
                ));
            }
            "." | ".." => {
                return Err(format!(
                    "`{segment}` is resolved before routes are looked up; write `{path}` without it"
                ));
            }
            _ => {}
        }
    }
    let mut normal = String::new();
    match normalise(path, &mut normal) {
        Ok(()) if normal == path => Ok(()),
        Ok(()) => Err(format!("the path arrives as `{normal}`; write it so")),
        Err(_) => Err(format!("a request with the path `{path}` is refused, so no route can have it")),
    }
}

/// Escapes in a normalised path are in upper case, and only of bytes that need one.
fn check_escapes(path: &str) -> Result<(), String> {
    let mut rest = path.as_bytes();
    while let Some(at) = rest.iter().position(|&byte| byte == b'%') {
        let (Some(&high), Some(&low)) = (rest.get(at + 1), rest.get(at + 2)) else {
            return Err(format!(
                "`%` begins an escape such as `%20`, found `{path}`; for the sign itself write `%25`"
            ));
        };
        let (Some(upper), Some(lower)) = (hex(high), hex(low)) else {
            return Err(format!(
                "`%` begins an escape such as `%20`, found `{path}`; for the sign itself write `%25`"
            ));
        };
        let byte = upper << 4 | lower;
        let (high, low) = (char::from(high), char::from(low));
        if byte == 0 {
            return Err(format!("`%00` is refused in a path, found `{path}`"));
        }
        if is_unreserved(byte) {
            return Err(format!("`%{high}{low}` arrives decoded; write `{}`", char::from(byte)));
        }
        if high.is_ascii_lowercase() || low.is_ascii_lowercase() {
            return Err(format!("escapes arrive in upper case; write `%{byte:02X}` for `%{high}{low}`"));
        }
        rest = rest.get(at + 3..).unwrap_or_default();
    }
    Ok(())
}

/// Percent-encodes what cannot stand in a path as it is.
pub(crate) fn encode(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        if byte == b'/' || is_path_byte(byte) {
            out.push(char::from(byte));
        } else {
            let digit = |nibble: u8| char::from_digit(nibble.into(), 16).unwrap_or('0').to_ascii_uppercase();
            out.extend(['%', digit(byte >> 4), digit(byte & 15)]);
        }
    }
    out
}

fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)
}

/// RFC 3986, 3.3: a byte that stands in a segment unescaped.
pub(crate) fn is_path_byte(byte: u8) -> bool {
    is_unreserved(byte) || b"!$&'()*+,;=:@".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_matches_whole_segments() {
        for (rule, path, matches) in [
            ("/admin", "/admin", true),
            ("/admin", "/admin/", true),
            ("/admin", "/admin/x", true),
            ("/admin", "/administrator", false),
            ("/admin", "/", false),
            ("/api/v2/", "/api/v2", true),
            ("/api/v2/", "/api/v2/x", true),
            ("/api/v2/", "/api/v22", false),
            ("/", "/", true),
            ("/", "/anything", true),
            ("/", "*", true),
        ] {
            assert_eq!(
                PathRule::prefix(rule).unwrap().matches(path, &mut Scratch::default()),
                matches,
                "{rule} {path}"
            );
        }
    }

    #[test]
    fn a_pattern_matches_segment_by_segment() {
        for (rule, path, expected) in [
            ("/users/{id}", "/users/7", Some("id=7;")),
            ("/users/{id}", "/users/", None),
            ("/users/{id}", "/users", None),
            ("/users/{id}", "/users/7/", None),
            ("/users/{id}", "/users/7/posts", None),
            ("/users/{id}/posts/{post}", "/users/7/posts/a%2Fb", Some("id=7;post=a%2Fb;")),
            ("/{a}/x", "/q/x", Some("a=q;")),
            ("/{a}/", "/q/", Some("a=q;")),
            ("/files/{rest...}", "/files", Some("rest=;")),
            ("/files/{rest...}", "/files/", Some("rest=;")),
            ("/files/{rest...}", "/files/a/b/", Some("rest=a/b/;")),
            ("/files/{rest...}", "/filesystem", None),
            ("/{rest...}", "/", Some("rest=;")),
            ("/{rest...}", "*", None),
        ] {
            let PathRule::Pattern(pattern) = PathRule::pattern(rule).unwrap() else { panic!("{rule}") };
            let mut text = String::new();
            let matched = pattern.walk(path, |name, value| text += &[name, "=", value, ";"].concat());
            assert_eq!(matched.then_some(text.as_str()), expected, "{rule} {path}");
        }
    }

    #[test]
    fn regexes_are_unanchored_and_ascii() {
        for (rule, path, matches) in [
            (r"^/v[0-9]+/", "/v12/x", true),
            (r"^/v[0-9]+/", "/a/v12/x", false),
            (r"\d", "/a/1", true),
            (r"(?i)^/ABC$", "/abc", true),
            (r"/.+\.png$", "/a/b.png", true),
        ] {
            assert_eq!(
                PathRule::regex(rule).unwrap().matches(path, &mut Scratch::default()),
                matches,
                "{rule} {path}"
            );
        }
        assert!(PathRule::regex("(").unwrap_err().contains("unclosed group"));
        assert!(PathRule::regex("(a{1000}){1000}").unwrap_err().contains("1 MiB"));
    }

    #[test]
    fn a_path_that_cannot_arrive_is_refused_with_the_fix() {
        for (path, part) in [
            ("", "starts with `/`"),
            ("a", "starts with `/`"),
            ("/a?b=1", "`query`"),
            ("/a b", "write `%20`"),
            ("/é", "write `/%C3%A9`"),
            ("/a//b", "merged"),
            ("/a/./b", "resolved"),
            ("/a/..", "resolved"),
            ("/%zz", "`%25`"),
            ("/%2", "`%25`"),
            ("/%00", "refused"),
            ("/%2f", "write `%2F`"),
            ("/%41", "write `A`"),
            ("/a/..;x/b", "is refused"),
        ] {
            let message = PathRule::exact(path).unwrap_err();
            assert!(message.contains(part), "{path}: {message}");
        }
        for path in ["/", "/a/", "/a%2Fb", "/a:b@c!$&'()*+,;=", "/~x/%20"] {
            assert!(PathRule::exact(path).is_ok(), "{path}");
        }
    }

    #[test]
    fn a_pattern_is_checked() {
        for (text, part) in [
            ("users/{id}", "starts with"),
            ("/users/{id}.json", "whole segment"),
            ("/users/{}", "letters, digits"),
            ("/users/{1}", "letters, digits"),
            ("/{a}/{a}", "twice"),
            ("/{a...}/b", "last segment"),
            ("/users", "write `path = \"/users\"`"),
            ("/a b/{id}", "%20"),
            ("/a//{id}", "merged"),
        ] {
            let message = PathRule::pattern(text).unwrap_err();
            assert!(message.contains(part), "{text}: {message}");
        }
    }
}
