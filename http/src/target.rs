//! The request target: its forms (RFC 9112, 3.2) and the one path normalisation that routing and forwarding share.

/// A path that cannot be normalised (bad percent-encoding, `%00`, a step above the root, a byte outside the grammar).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a valid path")]
pub struct InvalidPath;

/// Normalises a path: percent-encoded unreserved bytes are decoded, other escapes get upper-case hex and stay, dot
/// segments (also spelt `%2e`) are resolved, repeated slashes are merged. Appends to `out`. `%2F` and `%5C` stay escaped.
pub fn normalise(_path: &str, _out: &mut String) -> Result<(), InvalidPath> {
    todo!()
}
