//! Start lines: `method SP target SP version` and `version SP status [SP reason]` (RFC 9112, 3 and 4), single
//! spaces only.

use crate::error::HeadError;
use crate::head::{Limits, Method, RequestHead, ResponseHead, Version};
use crate::octets::{is_token, is_token_byte, is_value};
use crate::target::{self, Target};

/// Bytes of a method, at most. A longer one is not implemented (RFC 9112, 3).
pub const METHOD_BYTES_MAX: usize = 32;

/// Checks a prefix of a request line against what any prefix must hold. Whether its target is known to be
/// short enough.
pub(super) fn check_request_prefix(line: &[u8], limits: &Limits) -> Result<bool, HeadError> {
    match line {
        // Nothing yet, or perhaps an empty line.
        [] | [b'\r'] => return Ok(false),
        [first, ..] if !is_token_byte(*first) => return Err(HeadError::Malformed),
        _ => {}
    }
    let (method, rest) = split_at_space(line.get(..=METHOD_BYTES_MAX).unwrap_or(line));
    if rest.is_none() {
        return if method.len() > METHOD_BYTES_MAX { Err(HeadError::MethodLength) } else { Ok(false) };
    }
    let rest = line.get(method.len() + 1..).unwrap_or_default();
    let Some(target_and_space) = rest.get(..=limits.uri_bytes_max) else { return Ok(false) };
    if memchr::memchr(b' ', target_and_space).is_none() { Err(HeadError::TargetLength) } else { Ok(true) }
}

/// Checks a prefix of a status line against what any prefix must hold.
pub(super) fn check_response_prefix(line: &[u8]) -> Result<(), HeadError> {
    const START: &[u8] = b"HTTP/";
    let common = line.len().min(START.len());
    if line.get(..common) == START.get(..common) { Ok(()) } else { Err(HeadError::Malformed) }
}

/// Parses a request line into an emptied head: method, version, target, path, query, and an authority if the
/// target has one.
pub(super) fn request(line: &[u8], head: &mut RequestHead) -> Result<(), HeadError> {
    head.clear();
    parse_request(line, head).map_err(|error| blame_bare_cr(line, error))
}

/// Parses a status line into an emptied head. The reason phrase says nothing and is not kept; it may be
/// missing.
pub(super) fn response(line: &[u8], head: &mut ResponseHead) -> Result<(), HeadError> {
    head.clear();
    parse_response(line, head).map_err(|error| blame_bare_cr(line, error))
}

fn parse_request(line: &[u8], head: &mut RequestHead) -> Result<(), HeadError> {
    let (method, rest) = split_at_space(line);
    if !is_token(method) {
        return Err(HeadError::Method);
    }
    let (target, version) = split_at_space(rest.ok_or(HeadError::Malformed)?);
    if target.is_empty() {
        return Err(HeadError::Malformed);
    }
    head.version = match version {
        Some(version) => version_of(version)?,
        // A line without a version is HTTP/0.9, if it is anything.
        None if target.iter().all(u8::is_ascii_graphic) => return Err(HeadError::Version),
        None => return Err(HeadError::Malformed),
    };
    head.method = Method::from_text(method);
    if head.method == Method::Other {
        head.other_method.push_str(std::str::from_utf8(method).map_err(|_| HeadError::Method)?);
    }
    take_target(target, head)
}

fn take_target(bytes: &[u8], head: &mut RequestHead) -> Result<(), HeadError> {
    let text = target::text(bytes)?;
    let parsed = target::parse(head.method, text)?;
    head.target.push_str(text);
    let (path, query) = match parsed {
        Target::Origin { path, query } => (path, query),
        Target::Absolute { authority, path, query } => {
            target::split_authority(authority, &mut head.host).map_err(|_| HeadError::HostInvalid)?;
            head.authority.push_str(authority);
            (path, query)
        }
        Target::Authority(authority) => {
            let port = target::split_authority(authority, &mut head.host).map_err(|_| HeadError::Target)?;
            head.authority.push_str(authority);
            return if port.is_some() { Ok(()) } else { Err(HeadError::Target) };
        }
        Target::Asterisk => {
            head.path.push('*');
            return Ok(());
        }
    };
    head.query_start = query.map(|query| bytes.len() - query.len());
    match path {
        // RFC 9112, 3.2.4: OPTIONS for a whole server, asked by absolute-form.
        "" if head.method == Method::Options && query.is_none() => head.path.push('*'),
        "" => head.path.push('/'),
        path => target::normalise(path, &mut head.path).map_err(|_| HeadError::Path)?,
    }
    Ok(())
}

fn parse_response(line: &[u8], head: &mut ResponseHead) -> Result<(), HeadError> {
    let (version, rest) = split_at_space(line);
    head.version = version_of(version)?;
    let (status, reason) = split_at_space(rest.ok_or(HeadError::Malformed)?);
    let &[hundreds @ b'1'..=b'5', tens @ b'0'..=b'9', ones @ b'0'..=b'9'] = status else {
        return Err(HeadError::Status);
    };
    let digit = |byte: u8| u16::from(byte - b'0');
    head.status = digit(hundreds) * 100 + digit(tens) * 10 + digit(ones);
    if is_value(reason.unwrap_or_default()) { Ok(()) } else { Err(HeadError::Status) }
}

fn version_of(version: &[u8]) -> Result<Version, HeadError> {
    match version {
        b"HTTP/1.1" => Ok(Version::Http11),
        b"HTTP/1.0" => Ok(Version::Http10),
        _ if version.is_empty() || !version.iter().all(u8::is_ascii_graphic) => Err(HeadError::Malformed),
        _ => Err(HeadError::Version),
    }
}

/// A bare CR is an error wherever it stands; this says so rather than where it stood.
fn blame_bare_cr(line: &[u8], error: HeadError) -> HeadError {
    if memchr::memchr(b'\r', line).is_some() { HeadError::LineEnd } else { error }
}

fn split_at_space(bytes: &[u8]) -> (&[u8], Option<&[u8]>) {
    let end = memchr::memchr(b' ', bytes).unwrap_or(bytes.len());
    let (first, rest) = bytes.split_at_checked(end).unwrap_or((bytes, &[]));
    (first, rest.get(1..))
}
