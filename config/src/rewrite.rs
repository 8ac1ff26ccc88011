//! How a route changes the path on its way to the upstream.
//!
//! Whatever a rewrite is made of, what it writes is a path: it starts with `/`, and holds no dot segment, no empty
//! segment but the last, no broken escape, and no byte that would need one.

use std::fmt;

use regex_automata::PatternID;
use regex_automata::util::primitives::NonMaxUsize;
use ringway_filters::Params;

use crate::regex::{Regex, Scratch, group};
use crate::routes::PathRule;
use crate::routes::path::{encode, is_path_byte};
use crate::routes::rule::hex;

/// A route's rewrite, compiled.
#[derive(Debug, Default)]
pub enum Rewrite {
    /// The normalised path as it is.
    #[default]
    Keep,
    /// Without the route's prefix, which is kept without its final slash: of `/api`, `/api/x` becomes `/x`, `/api`
    /// becomes `/`.
    StripPrefix(String),
    /// Every match of a regular expression replaced.
    Regex(Replace),
    /// A path with the route's parameters put in.
    Template(Template),
}

/// Groups that a replacement can name: with the whole match, this many offsets fit on the stack.
const GROUPS_MAX: usize = 9;
const SLOTS_MAX: usize = 2 * (GROUPS_MAX + 1);

/// A regular expression and what stands in its matches' place.
#[derive(Debug)]
pub struct Replace {
    regex: Regex,
    to: String,
    parts: Vec<Part<usize>>,
}

/// A path with parameters in it.
#[derive(Debug)]
pub struct Template {
    to: String,
    parts: Vec<Part<String>>,
}

/// A piece of what is written: as it stands, or to be filled in.
#[derive(Debug, PartialEq, Eq)]
enum Part<Name> {
    Literal(String),
    Filled(Name),
}

impl Rewrite {
    /// `strip_prefix = true` for a route that matches by this rule.
    pub fn strip_prefix(rule: &PathRule) -> Result<Self, String> {
        match rule {
            PathRule::Prefix(prefix) => Ok(Self::StripPrefix(prefix.clone())),
            // There is nothing to strip from `prefix = "/"`.
            PathRule::Any => Ok(Self::Keep),
            PathRule::Exact(_) | PathRule::Pattern(_) | PathRule::Regex(_) => {
                Err(format!("`strip_prefix` strips what `prefix` matched, and this route matches by {rule}"))
            }
        }
    }

    /// `rewrite = { regex, to }`: every match is replaced by `to`, in which `$1` and `${1}` stand for a group,
    /// `${name}` for a named one and `$$` for a dollar sign.
    pub fn regex(text: &str, to: &str) -> Result<Self, String> {
        let regex = Regex::new(text)?;
        let parts = parse_replacement(to, &regex)?;
        Ok(Self::Regex(Replace { regex, to: to.to_owned(), parts }))
    }

    /// A path such as `/internal/{id}` with the parameters of the route's pattern.
    pub fn template(to: &str, rule: &PathRule) -> Result<Self, String> {
        if !to.starts_with('/') {
            return Err(format!("expected a path that starts with `/`, found `{to}`"));
        }
        let parts = parse_template(to, rule)?;
        Ok(Self::Template(Template { to: to.to_owned(), parts }))
    }

    /// The regular expression that it searches with.
    pub(crate) fn regex_mut(&mut self) -> Option<&mut Regex> {
        match self {
            Self::Regex(replace) => Some(&mut replace.regex),
            Self::Keep | Self::StripPrefix(_) | Self::Template(_) => None,
        }
    }

    /// Appends the upstream's path (query not included) for a normalised request path. The `*` of `OPTIONS *` stays
    /// as it is, or adds nothing to a base path that is already in `out`. `scratch` is the worker's own.
    pub fn apply(&self, path: &str, params: &Params, scratch: &mut Scratch, out: &mut String) {
        let start = out.len();
        if !path.starts_with('/') {
            out.push_str(if start == 0 { "*" } else { "" });
            return;
        }
        match self {
            Self::Keep => out.push_str(path),
            Self::StripPrefix(prefix) => {
                let rest = path.strip_prefix(prefix.as_str()).unwrap_or(path);
                out.push_str(if rest.is_empty() { "/" } else { rest });
            }
            Self::Regex(replace) => {
                replace.apply(path, scratch, out);
                clean(out, start);
            }
            Self::Template(template) => {
                for part in &template.parts {
                    out.push_str(match part {
                        Part::Literal(text) => text,
                        Part::Filled(name) => params.value(name).unwrap_or_default(),
                    });
                }
                clean(out, start);
            }
        }
    }
}

impl fmt::Display for Rewrite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Keep => f.write_str("the path stays as it is"),
            Self::StripPrefix(prefix) => write!(f, "the prefix {prefix} is stripped"),
            Self::Regex(replace) => write!(f, "matches of {} become {}", replace.regex.as_str(), replace.to),
            Self::Template(template) => write!(f, "the path becomes {}", template.to),
        }
    }
}

impl Replace {
    fn apply(&self, path: &str, scratch: &mut Scratch, out: &mut String) {
        // No more offsets than are needed: the whole match alone is found faster.
        let last_group = self.parts.iter().map(Part::group).max().unwrap_or_default();
        let mut slots = [None; SLOTS_MAX];
        let slots = slots.get_mut(..2 * (last_group + 1)).unwrap_or_default();
        let (mut at, mut copied, mut last_end) = (0, 0, None);
        while at <= path.len() {
            let Some((start, end)) = self.regex.find_at(path, at, slots, scratch) else { break };
            // An empty match counts only where no match has just ended; either way the search goes on after it.
            at = if start == end { end + 1 } else { end };
            if start == end && last_end == Some(end) {
                continue;
            }
            out.push_str(path.get(copied..start).unwrap_or_default());
            self.fill(path, slots, out);
            (copied, last_end) = (end, Some(end));
        }
        out.push_str(path.get(copied..).unwrap_or_default());
    }

    fn fill(&self, path: &str, slots: &[Option<NonMaxUsize>], out: &mut String) {
        for part in &self.parts {
            match part {
                Part::Literal(text) => out.push_str(text),
                Part::Filled(number) => {
                    let found = group(slots, *number).and_then(|(start, end)| path.get(start..end));
                    out.push_str(found.unwrap_or_default());
                }
            }
        }
    }
}

impl Part<usize> {
    fn group(&self) -> usize {
        match self {
            Self::Literal(_) => 0,
            Self::Filled(number) => *number,
        }
    }
}

fn parse_replacement(to: &str, regex: &Regex) -> Result<Vec<Part<usize>>, String> {
    let mut parts = Vec::new();
    let mut rest = to;
    while let Some((literal, after)) = rest.split_once('$') {
        push_literal(&mut parts, literal)?;
        if let Some(after) = after.strip_prefix('$') {
            push_literal(&mut parts, "$")?;
            rest = after;
            continue;
        }
        let (name, after) = match after.strip_prefix('{') {
            Some(inner) => inner.split_once('}').ok_or_else(|| format!("`${{` is not closed in `{to}`"))?,
            None => after.split_at(after.bytes().take_while(u8::is_ascii_digit).count()),
        };
        if name.is_empty() {
            return Err(format!(
                "`$` begins `$1` or `${{name}}`, found `{to}`; for the sign itself write `$$`"
            ));
        }
        let groups = regex.groups().group_len(PatternID::ZERO).saturating_sub(1);
        let number = match name.parse::<usize>() {
            Ok(number) => Some(number).filter(|number| *number <= groups),
            Err(_) => regex.groups().to_index(PatternID::ZERO, name),
        };
        let group = number.ok_or_else(|| {
            format!("the regular expression has no group `{name}` for `{to}`; it has {groups} group(s)")
        })?;
        if group > GROUPS_MAX {
            return Err(format!("only the first {GROUPS_MAX} groups can be used, found `{name}` in `{to}`"));
        }
        parts.push(Part::Filled(group));
        rest = after;
    }
    push_literal(&mut parts, rest)?;
    Ok(parts)
}

fn parse_template(to: &str, rule: &PathRule) -> Result<Vec<Part<String>>, String> {
    let names: Vec<&str> = match rule {
        PathRule::Pattern(pattern) => pattern.names().collect(),
        PathRule::Any | PathRule::Exact(_) | PathRule::Prefix(_) | PathRule::Regex(_) => Vec::new(),
    };
    let mut parts = Vec::new();
    let mut rest = to;
    while let Some((literal, after)) = rest.split_once('{') {
        push_literal(&mut parts, literal)?;
        let (name, after) = after.split_once('}').ok_or_else(|| format!("`{{` is not closed in `{to}`"))?;
        let name = name.strip_suffix("...").unwrap_or(name);
        if !names.contains(&name) {
            let known =
                if names.is_empty() { "none".to_owned() } else { format!("`{}`", names.join("`, `")) };
            return Err(format!("the route has no parameter `{name}`; its parameters: {known}"));
        }
        parts.push(Part::Filled(name.to_owned()));
        rest = after;
    }
    push_literal(&mut parts, rest)?;
    Ok(parts)
}

/// Adds text that is written as it stands, if it can stand in a path.
fn push_literal<Name>(parts: &mut Vec<Part<Name>>, text: &str) -> Result<(), String> {
    if let Some(bad) =
        text.chars().find(|&c| !(c.is_ascii() && (is_path_byte(c as u8) || c == '/' || c == '%')))
    {
        let encoded = encode(bad.encode_utf8(&mut [0; 4]));
        let shown = bad.escape_default();
        return Err(format!(
            "`{shown}` cannot stand in a path as it is, found in `{text}`; write `{encoded}`"
        ));
    }
    let escapes = text.split('%').skip(1);
    for escape in escapes {
        if !matches!(escape.as_bytes(), [high, low, ..] if hex(*high).is_some() && hex(*low).is_some()) {
            return Err(format!(
                "`%` begins an escape such as `%20`, found `{text}`; for the sign itself write `%25`"
            ));
        }
    }
    if text.split('/').any(|segment| segment == "..") {
        return Err(format!("a rewrite cannot step up with `..`, found `{text}`"));
    }
    if let Some(Part::Literal(last)) = parts.last_mut() {
        last.push_str(text);
    } else if !text.is_empty() {
        parts.push(Part::Literal(text.to_owned()));
    }
    Ok(())
}

/// Makes a path of what a replacement left from `start` on. Almost always it is one already; but matches may be cut
/// out of the middle of a segment or an escape, and pieces that are harmless alone may join to a dot segment.
fn clean(out: &mut String, start: usize) {
    let made = out.get(start..).unwrap_or_default();
    if is_clean(made) {
        return;
    }
    let text = mend_escapes(made);
    let mut segments: Vec<&str> = Vec::new();
    let mut ends_in_slash = true;
    for segment in text.split('/') {
        // With a parameter (`..;x`) it is a step up to some upstreams and a name to others.
        let name =
            if segment.starts_with('.') { segment.split(';').next().unwrap_or(segment) } else { segment };
        ends_in_slash = matches!(name, "" | "." | "..");
        match name {
            "" | "." => {}
            ".." => drop(segments.pop()),
            _ => segments.push(segment),
        }
    }
    out.truncate(start);
    for segment in &segments {
        out.push('/');
        out.push_str(segment);
    }
    if ends_in_slash || segments.is_empty() {
        out.push('/');
    }
}

fn is_clean(path: &str) -> bool {
    let Some(tail) = path.strip_prefix('/') else { return false };
    let escape_is_sound = |escape: &str| match escape.as_bytes() {
        [high, low, ..] => {
            hex(*high).is_some() && hex(*low).is_some() && !(*high == b'2' && matches!(low, b'E' | b'e'))
        }
        _ => false,
    };
    let segment_is_sound = |segment: &str| !matches!(segment.split(';').next(), Some("." | ".."));
    !path.contains("//")
        && tail.split('/').all(segment_is_sound)
        && path.split('%').skip(1).all(escape_is_sound)
}

/// Writes `%25` for a `%` that begins no escape, and `.` for its escape.
fn mend_escapes(text: &str) -> String {
    let mut mended = String::with_capacity(text.len() + 2);
    let mut pieces = text.split('%');
    mended.push_str(pieces.next().unwrap_or_default());
    for piece in pieces {
        match piece.as_bytes() {
            [b'2', b'E' | b'e', ..] => {
                mended.push('.');
                mended.push_str(piece.get(2..).unwrap_or_default());
            }
            [high, low, ..] if hex(*high).is_some() && hex(*low).is_some() => {
                mended.push('%');
                mended.push_str(piece);
            }
            _ => {
                mended.push_str("%25");
                mended.push_str(piece);
            }
        }
    }
    mended
}

#[cfg(test)]
mod tests {
    use super::*;

    fn apply(rewrite: &Rewrite, path: &str, params: &[(&str, &str)]) -> String {
        let mut all = Params::default();
        for (name, value) in params {
            all.push(name, value);
        }
        let mut out = String::from("/base");
        rewrite.apply(path, &all, &mut Scratch::default(), &mut out);
        out.strip_prefix("/base").unwrap().to_owned()
    }

    #[test]
    fn a_prefix_is_stripped_and_a_slash_remains() {
        let strip = |prefix| Rewrite::strip_prefix(&PathRule::prefix(prefix).unwrap()).unwrap();
        for (prefix, path, out) in [
            ("/api", "/api/x", "/x"),
            ("/api/", "/api/x/", "/x/"),
            ("/api", "/api", "/"),
            ("/api/", "/api/", "/"),
            ("/", "/x", "/x"),
        ] {
            assert_eq!(apply(&strip(prefix), path, &[]), out, "{prefix} {path}");
        }
        assert!(Rewrite::strip_prefix(&PathRule::exact("/a").unwrap()).unwrap_err().contains("path /a"));
    }

    #[test]
    fn matches_are_replaced() {
        for (regex, to, path, out) in [
            ("^/api/v1/users", "/users", "/api/v1/users/7", "/users/7"),
            ("^/api/v1/users", "/users", "/other", "/other"),
            ("^/api", "", "/api/x", "/x"),
            ("^/api", "", "/api", "/"),
            ("^/v([0-9]+)/(.*)$", "/$2/v${1}x", "/v3/a/b", "/a/b/v3x"),
            ("^/(?<user>[^/]+)/(?<rest>.*)", "/users/${user}/$2", "/ann/x/y", "/users/ann/x/y"),
            ("_", "-", "/a_b_c", "/a-b-c"),
            ("^/a(x)?", "/b$1", "/a", "/b"),
            ("^/", "/$$/", "/a", "/$/a"),
            (".*", "/x", "/abc", "/x"),
            ("^", "/x", "/abc", "/x/abc"),
            ("b*", "-", "/abc", "/-/-a-c-"),
            ("(b*)", "$1-", "/abc", "/-/-ab-c-"),
            ("(.)(.)(.)(.)(.)(.)(.)(.)(.)(.)", "/$9", "/abcdefghi", "/h"),
        ] {
            assert_eq!(apply(&Rewrite::regex(regex, to).unwrap(), path, &[]), out, "{regex} {to} {path}");
        }
    }

    #[test]
    fn what_a_replacement_makes_is_a_path() {
        for (regex, to, path, out) in [
            ("x", ".", "/a/x./b", "/b"),
            ("x", ".", "/xx/b", "/b"),
            ("(%2)F", "${1}E", "/a/%2F./b", "/b"),
            ("2F", "", "/a%2Fb", "/a%25b"),
            ("F", "", "/a%2F", "/a%252"),
            ("b", "", "/a/b/c", "/a/c"),
            ("^/", "", "/a", "/a"),
            ("x", ".", "/a/x", "/a/"),
            ("x", "%2e", "/x/a", "/a"),
            ("b", ".", "/a/b.;y/c", "/c"),
            ("x", ".", "/x;y", "/"),
        ] {
            let made = apply(&Rewrite::regex(regex, to).unwrap(), path, &[]);
            assert_eq!(made, out, "{regex} {to} {path}");
            let mut normal = String::new();
            ringway_http::target::normalise(&made, &mut normal).unwrap();
            assert_eq!(normal, made, "it is in normal form");
        }
    }

    #[test]
    fn parameters_stand_as_they_are_in_the_path() {
        let rule = PathRule::pattern("/users/{id}/{rest...}").unwrap();
        for (to, params, out) in [
            ("/internal/{id}", ["7", ""], "/internal/7"),
            ("/internal/{id}.json", ["a%2Fb", ""], "/internal/a%2Fb.json"),
            ("/{rest...}", ["7", "a/b/"], "/a/b/"),
            ("/x/{rest}/y", ["7", ""], "/x/y"),
            ("/x/.{rest}", ["7", "."], "/"),
            ("/fixed", ["7", ""], "/fixed"),
        ] {
            let rewrite = Rewrite::template(to, &rule).unwrap();
            assert_eq!(apply(&rewrite, "/p", &[("id", params[0]), ("rest", params[1])]), out, "{to}");
        }
    }

    #[test]
    fn what_cannot_be_written_is_refused() {
        for (regex, to, part) in [
            ("(", "/x", "unclosed group"),
            ("^/a", "/$1", "no group `1`"),
            ("^/(a)", "/${b}", "no group `b`"),
            ("^/(a)", "/$", "`$$`"),
            ("()()()()()()()()()()", "/$10", "first 9 groups"),
            ("^/(a)", "/${1", "not closed"),
            ("^/a", "/a b", "write `%20`"),
            ("^/a", "/a?b=1", "write `%3F`"),
            ("^/a", "/a#b", "write `%23`"),
            ("^/a", "/é", "write `%C3%A9`"),
            ("^/a", "/a\r\n", "write `%0D`"),
            ("^/a", "/%2", "`%25`"),
            ("^/a", "/../b", "`..`"),
        ] {
            let message = Rewrite::regex(regex, to).unwrap_err();
            assert!(message.contains(part), "{regex} {to}: {message}");
        }
        let rule = PathRule::pattern("/users/{id}").unwrap();
        for (to, part) in [
            ("/x/{name}", "its parameters: `id`"),
            ("x/{id}", "starts with `/`"),
            ("/{id", "not closed"),
            ("/{id}?", "%3F"),
        ] {
            let message = Rewrite::template(to, &rule).unwrap_err();
            assert!(message.contains(part), "{to}: {message}");
        }
        assert!(Rewrite::template("/{id}", &PathRule::Any).unwrap_err().contains("parameters: none"));
    }

    #[test]
    fn the_star_of_options_is_no_path() {
        let mut out = String::new();
        Rewrite::Keep.apply("*", &Params::default(), &mut Scratch::default(), &mut out);
        assert_eq!(out, "*");
        assert_eq!(apply(&Rewrite::regex(".*", "/x").unwrap(), "*", &[]), "");
    }
}
