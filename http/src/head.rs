//! Parsed message heads, with framing already decided: two framings at once cannot be represented.

use crate::fields::Fields;

/// A request method (RFC 9110, 9).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the names are the methods")]
pub enum Method {
    Get,
    Head,
    Post,
    Put,
    Delete,
    Connect,
    Options,
    Trace,
    Patch,
    /// Any other token; its text is in the head.
    Other,
}

impl Method {
    /// GET, HEAD, OPTIONS, TRACE, PUT, DELETE (RFC 9110, 9.2.2).
    pub fn is_idempotent(self) -> bool {
        todo!()
    }
}

/// HTTP/1.0 or HTTP/1.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Version {
    Http10,
    Http11,
}

/// How a body's end is known (RFC 9112, 6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Framing {
    /// There is no body.
    None,
    /// Exactly so many bytes. Zero is represented by `Length(0)` when a length was given.
    Length(u64),
    /// Chunked transfer coding.
    Chunked,
    /// Until the connection closes; responses only.
    UntilClose,
}

/// Whether the sender of a message wants the connection to live on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Persistence {
    KeepAlive,
    Close,
}

/// What a head may be at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the whole head, start line and final empty line included. Over it: 431.
    pub head_bytes_max: usize,
    /// Field lines. Over it: 431.
    pub fields_max: usize,
    /// Bytes of the request target. Over it: 414.
    pub uri_bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { head_bytes_max: 64 * 1024, fields_max: 128, uri_bytes_max: 8 * 1024 }
    }
}

/// A request's head. Reused from request to request.
#[derive(Debug, Clone)]
pub struct RequestHead {
    /// The method.
    pub method: Method,
    /// The version of the sender.
    pub version: Version,
    /// The fields, as received; `Host` is validated and single.
    pub fields: Fields,
    /// How the body ends.
    pub framing: Framing,
    /// Whether the client would keep the connection.
    pub persistence: Persistence,
    /// `Expect: 100-continue` was sent by an HTTP/1.1 client and a body follows.
    pub expects_continue: bool,
    /// Bytes that the head took on the wire.
    pub wire_bytes: usize,
}

impl RequestHead {
    /// An empty head to parse into.
    pub fn new() -> Self {
        todo!()
    }
    /// The method's text.
    pub fn method_text(&self) -> &str {
        todo!()
    }
    /// The target as it was sent, for logs.
    pub fn target(&self) -> &str {
        todo!()
    }
    /// The normalised path, which both routing and forwarding use; `*` for `OPTIONS *`.
    pub fn path(&self) -> &str {
        todo!()
    }
    /// What follows the `?`, as it was sent.
    pub fn query(&self) -> Option<&str> {
        todo!()
    }
    /// The host without port, in lower case, from absolute-form or `Host`; empty if an HTTP/1.0 client sent none.
    pub fn host(&self) -> &str {
        todo!()
    }
    /// Host and port as they were sent.
    pub fn authority(&self) -> &str {
        todo!()
    }
    /// Whether this asks for a protocol upgrade (`Connection: upgrade` and `Upgrade`), and to what.
    pub fn upgrade(&self) -> Option<&[u8]> {
        todo!()
    }
}

/// A response's head. Reused from response to response.
#[derive(Debug, Clone)]
pub struct ResponseHead {
    /// The status code, 100 to 599 (a code outside is refused when parsed).
    pub status: u16,
    /// The version of the sender.
    pub version: Version,
    /// The fields, as received.
    pub fields: Fields,
    /// How the body ends.
    pub framing: Framing,
    /// Whether the sender would keep the connection.
    pub persistence: Persistence,
}

impl ResponseHead {
    /// An empty 200.
    pub fn new() -> Self {
        todo!()
    }
    /// 1xx except 101.
    pub fn is_interim(&self) -> bool {
        todo!()
    }
}
