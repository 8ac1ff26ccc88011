//! From a request's path to a name below the root.

/// What a path names, relative to the root and decoded: segments that are plain names, without a leading slash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Name {
    /// The route's prefix itself, without its final slash.
    Root,
    /// Ends in a slash, or is empty.
    Folder(String),
    /// Anything else, which may turn out to be a folder.
    File(String),
}

/// Strips the prefix of a normalised path and decodes the rest. `None` is a 404: a segment that is hidden (begins
/// with a dot), or that decodes to something that is no plain name (a slash, a backslash, a control byte, not UTF-8).
pub(crate) fn parse(prefix: &str, path: &str) -> Option<Name> {
    let prefix = prefix.strip_suffix('/').unwrap_or(prefix);
    let rest = path.strip_prefix(prefix)?;
    if rest.is_empty() {
        return Some(Name::Root);
    }
    let rest = rest.strip_prefix('/')?;
    let mut decoded = String::with_capacity(rest.len());
    let mut segments = rest.split('/').peekable();
    while let Some(segment) = segments.next() {
        if segment.is_empty() {
            // Only the last one of a normalised path is.
            return segments.peek().is_none().then_some(Name::Folder(decoded));
        }
        let start = decoded.len();
        decode(segment, &mut decoded)?;
        let name = decoded.get(start..).unwrap_or_default();
        if name.starts_with('.') || name.contains(['/', '\\']) || name.contains(|c: char| c.is_control()) {
            return None;
        }
        if segments.peek().is_some() {
            decoded.push('/');
        }
    }
    Some(Name::File(decoded))
}

fn decode(segment: &str, out: &mut String) -> Option<()> {
    if !segment.contains('%') {
        out.push_str(segment);
        return Some(());
    }
    let mut bytes = Vec::with_capacity(segment.len());
    let mut rest = segment.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let [high, low, tail @ ..] = rest else { return None };
        let digit = |digit: &u8| char::from(*digit).to_digit(16);
        bytes.push(u8::try_from(digit(high)? << 4 | digit(low)?).ok()?);
        rest = tail;
    }
    out.push_str(std::str::from_utf8(&bytes).ok()?);
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_become_names_below_the_root() {
        let file = |text: &str| Some(Name::File(text.to_owned()));
        let folder = |text: &str| Some(Name::Folder(text.to_owned()));
        for (prefix, path, name) in [
            ("", "/a.txt", file("a.txt")),
            ("", "/", folder("")),
            ("/", "/a/b", file("a/b")),
            ("/docs", "/docs", Some(Name::Root)),
            ("/docs/", "/docs", Some(Name::Root)),
            ("/docs/", "/docs/", folder("")),
            ("/docs", "/docs/a/", folder("a/")),
            ("/docs", "/docs/a%20b/%C3%A9.html", file("a b/é.html")),
            ("/docs", "/docs/100%25", file("100%")),
            ("/docs", "/docsx/a", None),
            ("/docs", "/other", None),
        ] {
            assert_eq!(parse(prefix, path), name, "{prefix} {path}");
        }
    }

    #[test]
    fn what_is_no_plain_name_is_not_there() {
        for path in [
            "/.git/config",
            "/a/.env",
            "/%2Egit/config",
            "/..",
            "/%2E%2E/x",
            "/a/%2E%2E/b",
            "/a%2Fb",
            "/a%2Fb/..%2Fc",
            "/%2Fetc/passwd",
            "/a%5Cb",
            "/..%5Cb",
            "/a%00.txt",
            "/a%0A",
            "/a%7F",
            "/%FF",
            "/%C0%AE%C0%AE/",
            "/a%2",
            "/a//b",
            "*",
            "",
        ] {
            let name = parse("", path);
            assert!(name.is_none() || path.is_empty() && name == Some(Name::Root), "{path}: {name:?}");
        }
    }
}
