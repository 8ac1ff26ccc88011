//! Messages as they leave. The framing fields are written from the framing and from nothing else, so that
//! what is sent can state only one.

use crate::error::BodyError;
use crate::fields::{Fields, Known};
use crate::head::{Framing, Persistence, Version};
use crate::known::HOP_BY_HOP;

use super::reason_phrase;

/// Fields of a request that its writer decides.
const REQUEST_SKIP: u64 = HOP_BY_HOP | Known::Host.bit() | Known::ContentLength.bit();

/// Writes a body by its framing into an output buffer.
#[derive(Debug, Clone)]
pub struct BodyWriter {
    framing: Framing,
    /// Bytes still to be written of a stated length.
    left: u64,
    /// Whether a chunk's data was announced and its end not yet written.
    in_chunk: bool,
}

impl BodyWriter {
    /// A writer for a body of this framing.
    pub fn new(framing: Framing) -> Self {
        let left = match framing {
            Framing::Length(length) => length,
            Framing::None | Framing::Chunked | Framing::UntilClose => 0,
        };
        Self { framing, left, in_chunk: false }
    }

    /// The framing it writes.
    pub fn framing(&self) -> Framing {
        self.framing
    }

    /// Appends what must stand before `data_len` bytes of data (a chunk size line, or nothing). Errs when a
    /// stated length would be exceeded. No data is nothing: a chunk of size zero would end the body.
    pub fn before_data(&mut self, data_len: usize, out: &mut Vec<u8>) -> Result<(), BodyError> {
        if data_len == 0 {
            return Ok(());
        }
        match self.framing {
            Framing::None => return Err(BodyError::Overrun),
            Framing::Length(_) => {
                self.left = self.left.checked_sub(data_len as u64).ok_or(BodyError::Overrun)?;
            }
            Framing::Chunked => {
                debug_assert!(!self.in_chunk, "after_data was not called for the chunk before");
                push_hex(data_len, out);
                out.extend_from_slice(b"\r\n");
                self.in_chunk = true;
            }
            Framing::UntilClose => {}
        }
        Ok(())
    }

    /// Appends what must stand after the data (the chunk's CRLF, or nothing).
    pub fn after_data(&mut self, out: &mut Vec<u8>) {
        if std::mem::take(&mut self.in_chunk) {
            out.extend_from_slice(b"\r\n");
        }
    }

    /// Appends the end (the last chunk with trailers, or nothing). Errs with [`BodyError::Truncated`] when
    /// fewer bytes were written than stated.
    pub fn finish(&mut self, trailers: &Fields, out: &mut Vec<u8>) -> Result<(), BodyError> {
        match self.framing {
            Framing::Length(_) if self.left > 0 => Err(BodyError::Truncated),
            Framing::Chunked => {
                debug_assert!(!self.in_chunk, "after_data was not called for the last chunk");
                out.extend_from_slice(b"0\r\n");
                // Known fields all mean something that must not change once the head is gone.
                push_fields(trailers, u64::MAX, out);
                out.extend_from_slice(b"\r\n");
                Ok(())
            }
            Framing::None | Framing::Length(_) | Framing::UntilClose => Ok(()),
        }
    }
}

/// Appends a request head: request line, `Host: authority`, the head's fields in order (hop-by-hop fields,
/// `Host`, `Content-Length` already removed by the caller or skipped here), and the framing's field.
/// `upgrade` adds `Connection: upgrade` and `Upgrade`.
///
/// Method, path and authority must come from a parsed head or from checked configuration: they are written as
/// they are.
pub fn write_request(
    out: &mut Vec<u8>,
    method: &str,
    path_and_query: &str,
    authority: &str,
    fields: &Fields,
    framing: Framing,
    upgrade: Option<&[u8]>,
) {
    debug_assert!(crate::octets::is_token(method.as_bytes()), "method: {method:?}");
    debug_assert!(path_and_query.bytes().all(|byte| byte.is_ascii_graphic()), "target: {path_and_query:?}");
    debug_assert!(authority.bytes().all(|byte| byte.is_ascii_graphic()), "authority: {authority:?}");
    debug_assert!(framing != Framing::UntilClose, "a request cannot end with the connection");
    out.reserve(method.len() + path_and_query.len() + authority.len() + fields.wire_bytes() + 128);
    for part in [method, " ", path_and_query, " HTTP/1.1\r\nHost: ", authority, "\r\n"] {
        out.extend_from_slice(part.as_bytes());
    }
    push_fields(fields, REQUEST_SKIP, out);
    match framing {
        Framing::None => {}
        Framing::Length(length) => push_length(length, out),
        // Never without a framing, whatever the caller asks: the upstream would take the body for a request.
        Framing::Chunked | Framing::UntilClose => out.extend_from_slice(b"Transfer-Encoding: chunked\r\n"),
    }
    push_upgrade(upgrade, out);
    out.extend_from_slice(b"\r\n");
}

/// What the response's body will be, before the framing towards this client is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodySize {
    /// No body can follow (HEAD, 1xx, 204, 304): fields such as `Content-Length` are kept as they are.
    Forbidden,
    /// Exactly so many bytes.
    Known(u64),
    /// Unknown until its end: chunked for HTTP/1.1, until close for HTTP/1.0.
    Unknown,
}

/// Appends a response head (status line with the standard reason phrase, fields without hop-by-hop ones,
/// framing, `Connection` as needed) and returns the body's writer and whether the connection lives on: it
/// does only if `persistence` says so and the framing allows.
///
/// A 1xx, 204 or 304 has no body, whatever `size` says; 1xx and 204 state no length either (RFC 9110, 8.6).
pub fn write_response(
    out: &mut Vec<u8>,
    client: Version,
    status: u16,
    fields: &Fields,
    size: BodySize,
    persistence: Persistence,
    upgrade: Option<&[u8]>,
) -> (BodyWriter, Persistence) {
    let bodiless = status < 200 || status == 204 || status == 304;
    let framing = match size {
        BodySize::Forbidden => Framing::None,
        _ if bodiless => Framing::None,
        BodySize::Known(length) => Framing::Length(length),
        BodySize::Unknown if client == Version::Http10 => Framing::UntilClose,
        BodySize::Unknown => Framing::Chunked,
    };
    let persistence = if framing == Framing::UntilClose { Persistence::Close } else { persistence };
    out.reserve(fields.wire_bytes() + 192);
    push_status_line(status, out);
    let keeps_length = framing == Framing::None && status >= 200 && status != 204;
    let skip = if keeps_length { HOP_BY_HOP } else { HOP_BY_HOP | Known::ContentLength.bit() };
    push_fields(fields, skip, out);
    match framing {
        Framing::None | Framing::UntilClose => {}
        Framing::Length(length) => push_length(length, out),
        Framing::Chunked => out.extend_from_slice(b"Transfer-Encoding: chunked\r\n"),
    }
    match (persistence, client) {
        _ if upgrade.is_some() => push_upgrade(upgrade, out),
        (Persistence::Close, _) => out.extend_from_slice(b"Connection: close\r\n"),
        (Persistence::KeepAlive, Version::Http10) => out.extend_from_slice(b"Connection: keep-alive\r\n"),
        (Persistence::KeepAlive, Version::Http11 | Version::Http2) => {}
    }
    out.extend_from_slice(b"\r\n");
    (BodyWriter::new(framing), persistence)
}

/// Appends an interim response (100, 103) with its fields.
pub fn write_interim(out: &mut Vec<u8>, status: u16, fields: &Fields) {
    debug_assert!((100..200).contains(&status), "not interim: {status}");
    push_status_line(status, out);
    push_fields(fields, HOP_BY_HOP | Known::ContentLength.bit(), out);
    out.extend_from_slice(b"\r\n");
}

fn push_status_line(status: u16, out: &mut Vec<u8>) {
    debug_assert!((100..600).contains(&status), "not a status: {status}");
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(itoa::Buffer::new().format(status).as_bytes());
    out.push(b' ');
    out.extend_from_slice(reason_phrase(status).as_bytes());
    out.extend_from_slice(b"\r\n");
}

fn push_fields(fields: &Fields, skip: u64, out: &mut Vec<u8>) {
    fields.write_without(skip, out);
}

fn push_field(name: &[u8], value: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

fn push_length(length: u64, out: &mut Vec<u8>) {
    push_field(b"Content-Length", itoa::Buffer::new().format(length).as_bytes(), out);
}

fn push_upgrade(upgrade: Option<&[u8]>, out: &mut Vec<u8>) {
    if let Some(protocol) = upgrade {
        debug_assert!(crate::octets::is_value(protocol), "upgrade: {protocol:?}");
        out.extend_from_slice(b"Connection: upgrade\r\n");
        push_field(b"Upgrade", protocol, out);
    }
}

/// The shortest hexadecimal digits of a number that is not zero.
fn push_hex(number: usize, out: &mut Vec<u8>) {
    let digits = (usize::BITS - number.leading_zeros()).div_ceil(4);
    for place in (0..digits).rev() {
        let digit = number >> (4 * place) & 0xf;
        out.push(b"0123456789abcdef".get(digit).copied().unwrap_or_default());
    }
}
