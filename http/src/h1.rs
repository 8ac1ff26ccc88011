//! HTTP/1.1 machines over httparse: a request reader and a response writer for the client's side, a request writer and a response
//! reader for the upstream's side. They are fed bytes and never wait.

use std::ops::Range;

use crate::error::{BodyError, HeadError};
use crate::fields::Fields;
use crate::head::{Framing, Limits, Persistence, RequestHead, ResponseHead, Version};

/// What became of one look at the input of a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BodyEvent {
    /// Body bytes: this range of the input given. Framing around it is in `consumed`.
    Data(Range<usize>),
    /// The input holds nothing further; feed more after dropping `consumed`.
    More,
    /// The body is complete; trailers can be read.
    End,
}

/// One step of a body: how much of the input is done with, and what it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BodyStep {
    /// Bytes of the input that may be dropped once the event has been used.
    pub consumed: usize,
    /// What it was.
    pub event: BodyEvent,
}

/// Reads a body by its framing. Cloning one and feeding it the same bytes again gives the same events.
#[derive(Debug, Clone)]
pub struct BodyReader {
    _private: (),
}

impl BodyReader {
    /// A reader for a body of this framing. Trailers are held to `limits`.
    pub fn new(_framing: Framing, _limits: &Limits) -> Self {
        todo!()
    }
    /// Takes one step over the input.
    pub fn step(&mut self, _input: &[u8]) -> Result<BodyStep, BodyError> {
        todo!()
    }
    /// Says that no input will follow: fine for a complete body or one framed by the close, otherwise [`BodyError::Truncated`].
    pub fn end_of_input(&mut self) -> Result<(), BodyError> {
        todo!()
    }
    /// Whether the body is complete.
    pub fn is_done(&self) -> bool {
        todo!()
    }
    /// Bytes of the body still to come, if known.
    pub fn remaining(&self) -> Option<u64> {
        todo!()
    }
    /// The trailer fields, once complete; empty for other framings. Fields that must not be in trailers are left out (RFC 9110, 6.5.1).
    pub fn trailers(&self) -> &Fields {
        todo!()
    }
}

/// Looks for a head at the front of the input; remembers how far it has looked, so that a slow sender costs no second look.
#[derive(Debug, Clone, Default)]
pub struct HeadReader {
    _scanned: usize,
}

impl HeadReader {
    /// A reader at the start of a head.
    pub fn new() -> Self {
        Self::default()
    }
    /// `None`: feed more (the same input with bytes appended). `Some(n)`: the head is in `head`, `n` bytes are consumed
    /// (leading empty lines included), and the reader is at the start again.
    pub fn request(
        &mut self,
        _input: &[u8],
        _limits: &Limits,
        _head: &mut RequestHead,
    ) -> Result<Option<usize>, HeadError> {
        todo!()
    }
    /// The same for a response to `request_method`, whose framing depends on it.
    pub fn response(
        &mut self,
        _input: &[u8],
        _limits: &Limits,
        _request_method: crate::head::Method,
        _head: &mut ResponseHead,
    ) -> Result<Option<usize>, HeadError> {
        todo!()
    }
}

/// Writes a body by its framing into an output buffer.
#[derive(Debug, Clone)]
pub struct BodyWriter {
    _private: (),
}

impl BodyWriter {
    /// A writer for a body of this framing.
    pub fn new(_framing: Framing) -> Self {
        todo!()
    }
    /// The framing it writes.
    pub fn framing(&self) -> Framing {
        todo!()
    }
    /// Appends what must stand before `data_len` bytes of data (a chunk size line, or nothing). Errs when a stated length would be exceeded.
    pub fn before_data(&mut self, _data_len: usize, _out: &mut Vec<u8>) -> Result<(), BodyError> {
        todo!()
    }
    /// Appends what must stand after the data (the chunk's CRLF, or nothing).
    pub fn after_data(&mut self, _out: &mut Vec<u8>) {
        todo!()
    }
    /// Appends the end (the last chunk with trailers, or nothing). Errs with [`BodyError::Truncated`] when fewer bytes were written than stated.
    pub fn finish(&mut self, _trailers: &Fields, _out: &mut Vec<u8>) -> Result<(), BodyError> {
        todo!()
    }
}

/// Appends a request head: request line, the head's fields in order (hop-by-hop fields, `Host`, `Content-Length` already removed by the
/// caller or skipped here), `Host: authority`, and the framing's field. `upgrade` adds `Connection: upgrade` and `Upgrade`.
pub fn write_request(
    _out: &mut Vec<u8>,
    _method: &str,
    _path_and_query: &str,
    _authority: &str,
    _fields: &Fields,
    _framing: Framing,
    _upgrade: Option<&[u8]>,
) {
    todo!()
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

/// Appends a response head (status line with the standard reason phrase, fields without hop-by-hop ones, framing, `Connection` as needed)
/// and returns the body's writer and whether the connection lives on: it does only if `persistence` says so and the framing allows.
pub fn write_response(
    _out: &mut Vec<u8>,
    _client: Version,
    _status: u16,
    _fields: &Fields,
    _size: BodySize,
    _persistence: Persistence,
    _upgrade: Option<&[u8]>,
) -> (BodyWriter, Persistence) {
    todo!()
}

/// Appends an interim response (100, 103) with its fields.
pub fn write_interim(_out: &mut Vec<u8>, _status: u16, _fields: &Fields) {
    todo!()
}

/// The standard reason phrase of a status, or an empty string.
pub fn reason_phrase(_status: u16) -> &'static str {
    todo!()
}
