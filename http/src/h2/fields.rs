//! Lists of fields between [`Fields`] and the library's maps.
//!
//! What comes in is checked again as if it had come as text: nothing here relies on what the library lets pass. What
//! goes out was checked when it was put into [`Fields`], and is checked again by the map.

use bytes::Bytes;
use http::header::{HeaderMap, HeaderName, HeaderValue};

use crate::error::{BodyError, HeadError};
use crate::fields::{Fields, Known};
use crate::head::Limits;
use crate::known::HOP_BY_HOP;

use super::StreamError;

/// What a field line takes in HTTP/1.1 besides its name and value.
const LINE_OVERHEAD: usize = ": \r\n".len();
/// What may only be said of one connection, and not at all in HTTP/2 (RFC 9113, 8.2.2). `TE` may say one thing.
const CONNECTION_SPECIFIC: u64 = Known::Connection.bit()
    | Known::KeepAlive.bit()
    | Known::ProxyConnection.bit()
    | Known::TransferEncoding.bit()
    | Known::Upgrade.bit();

/// Fields that no table of a connection remembers: those with secrets, for many clients share one to an upstream, and
/// sizes tell (RFC 7541, 7.1); and the one that never comes twice, which would only push the others out.
const UNREMEMBERED: u64 = Known::Authorization.bit() | Known::Cookie.bit() | Known::XRequestId.bit();

/// Reads the fields of a head into an empty list: how many bytes they would take in HTTP/1.1.
pub(super) fn read(map: &HeaderMap, limits: &Limits, fields: &mut Fields) -> Result<usize, HeadError> {
    let bytes = map.iter().map(|(name, value)| line_bytes(name, value)).sum::<usize>();
    if bytes > limits.head_bytes_max {
        return Err(HeadError::HeadLength);
    }
    if map.len() > limits.fields_max {
        return Err(HeadError::FieldCount);
    }
    let mut cookies = 0;
    for (name, value) in map {
        let name = checked_name(name).ok_or(HeadError::FieldName)?;
        let value = checked_value(value).ok_or(HeadError::FieldValue)?;
        let known = Known::from_name(name);
        if known == Some(Known::Cookie) {
            cookies += 1;
            continue;
        }
        fields.push(name, value).map_err(|_| HeadError::FieldValue)?;
        if known.is_some_and(|known| known.bit() & CONNECTION_SPECIFIC != 0)
            || (known == Some(Known::Te) && !value.eq_ignore_ascii_case(b"trailers"))
        {
            return Err(HeadError::FieldConnection);
        }
    }
    if cookies > 0 {
        read_cookies(map, cookies, fields)?;
    }
    Ok(bytes)
}

/// Reads trailers into an empty list.
pub(super) fn read_trailers(map: &HeaderMap, limits: &Limits, fields: &mut Fields) -> Result<(), BodyError> {
    let bytes = map.iter().map(|(name, value)| line_bytes(name, value)).sum::<usize>();
    if bytes > limits.head_bytes_max || map.len() > limits.fields_max {
        return Err(BodyError::TrailerLength);
    }
    for (name, value) in map {
        let name = checked_name(name).ok_or(BodyError::Trailer)?;
        let value = checked_value(value).ok_or(BodyError::Trailer)?;
        fields.push(name, value).map_err(|_| BodyError::Trailer)?;
    }
    fields.keep_trailers();
    Ok(())
}

/// The library's map of the fields, without the known ones in `skip` and without what belongs to one connection.
/// `more` are lines that the caller will add.
pub(super) fn write(fields: &Fields, skip: u64, more: usize) -> Result<HeaderMap, StreamError> {
    let mut map = HeaderMap::try_with_capacity(fields.len() + more).map_err(|_| StreamError::Unwritable)?;
    // All values are slices of one copy.
    let arena = Bytes::copy_from_slice(fields.arena());
    for (name, known, value) in fields.spans_without(skip | HOP_BY_HOP) {
        let name = HeaderName::from_bytes(name).map_err(|_| StreamError::Unwritable)?;
        let mut value =
            HeaderValue::from_maybe_shared(arena.slice(value)).map_err(|_| StreamError::Unwritable)?;
        value.set_sensitive(match known {
            Some(known) => known.bit() & UNREMEMBERED != 0,
            None => name == http::header::SET_COOKIE || name == http::header::PROXY_AUTHORIZATION,
        });
        map.try_append(name, value).map_err(|_| StreamError::Unwritable)?;
    }
    Ok(map)
}

/// The library's map of trailers. Known fields all mean something that must not change once the head is gone.
pub(super) fn write_trailers(trailers: &Fields) -> Result<HeaderMap, StreamError> {
    write(trailers, u64::MAX, 0)
}

/// Joins the crumbs of a cookie (RFC 9113, 8.2.3).
fn read_cookies(map: &HeaderMap, crumbs: usize, fields: &mut Fields) -> Result<(), HeadError> {
    let values = map.get_all(http::header::COOKIE);
    let mut joined = Vec::new();
    for crumb in values {
        let crumb = checked_value(crumb).ok_or(HeadError::FieldValue)?;
        if crumbs == 1 {
            return fields.push_known(Known::Cookie, crumb).map_err(|_| HeadError::FieldValue);
        }
        if !joined.is_empty() {
            joined.extend_from_slice(b"; ");
        }
        joined.extend_from_slice(crumb);
    }
    fields.push_known(Known::Cookie, &joined).map_err(|_| HeadError::FieldValue)
}

fn line_bytes(name: &HeaderName, value: &HeaderValue) -> usize {
    name.as_str().len() + value.len() + LINE_OVERHEAD
}

/// A name in lower case only (RFC 9113, 8.2.1).
fn checked_name(name: &HeaderName) -> Option<&str> {
    let name = name.as_str();
    (!name.bytes().any(|byte| byte.is_ascii_uppercase())).then_some(name)
}

/// A value without white space around it (RFC 9113, 8.2.1).
fn checked_value(value: &HeaderValue) -> Option<&[u8]> {
    let value = value.as_bytes();
    let is_space = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
    (!is_space(value.first()) && !is_space(value.last())).then_some(value)
}
