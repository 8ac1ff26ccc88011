//! Parsed message heads, with framing already decided: two framings at once cannot be represented.

use crate::fields::{Fields, Known};

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
    /// The method of that text. Case matters (RFC 9110, 9.1).
    pub fn from_text(text: &[u8]) -> Self {
        match text {
            b"GET" => Self::Get,
            b"HEAD" => Self::Head,
            b"POST" => Self::Post,
            b"PUT" => Self::Put,
            b"DELETE" => Self::Delete,
            b"CONNECT" => Self::Connect,
            b"OPTIONS" => Self::Options,
            b"TRACE" => Self::Trace,
            b"PATCH" => Self::Patch,
            _ => Self::Other,
        }
    }

    /// The method's text, unless it is [`Method::Other`].
    pub fn text(self) -> Option<&'static str> {
        Some(match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Delete => "DELETE",
            Self::Connect => "CONNECT",
            Self::Options => "OPTIONS",
            Self::Trace => "TRACE",
            Self::Patch => "PATCH",
            Self::Other => return None,
        })
    }

    /// GET, HEAD, OPTIONS, TRACE, PUT, DELETE (RFC 9110, 9.2.2).
    pub fn is_idempotent(self) -> bool {
        match self {
            Self::Get | Self::Head | Self::Options | Self::Trace | Self::Put | Self::Delete => true,
            Self::Post | Self::Connect | Self::Patch | Self::Other => false,
        }
    }
}

/// HTTP/1.0, HTTP/1.1 or HTTP/2.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Version {
    Http10,
    Http11,
    Http2,
}

/// How a body's end is known (RFC 9112, 6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Framing {
    /// There is no body.
    None,
    /// Exactly so many bytes. Zero is represented by `Length(0)` when a length was given.
    Length(u64),
    /// Chunked transfer coding; in HTTP/2, until the end of the stream.
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
    /// It came as an extended CONNECT (RFC 8441): what [`RequestHead::upgrade`] names begins with the response's
    /// head, a 2xx, on the stream itself. The method is GET, as it would be in HTTP/1.1.
    pub extended_connect: bool,
    /// Bytes that the head took on the wire; in HTTP/2, before compression.
    pub wire_bytes: usize,
    /// The text of a [`Method::Other`]; empty for the rest.
    pub(crate) other_method: String,
    /// The target as it was sent.
    pub(crate) target: String,
    /// The normalised path, `*`, or empty for CONNECT.
    pub(crate) path: String,
    /// Where the query begins in `target`, after its question mark.
    pub(crate) query_start: Option<usize>,
    /// Host and port as they were sent.
    pub(crate) authority: String,
    /// The host in lower case.
    pub(crate) host: String,
    /// What the client would upgrade to; empty if it did not ask.
    pub(crate) upgrade: Vec<u8>,
}

impl RequestHead {
    /// An empty head to parse into.
    pub fn new() -> Self {
        Self {
            method: Method::Get,
            version: Version::Http11,
            fields: Fields::new(),
            framing: Framing::None,
            persistence: Persistence::Close,
            expects_continue: false,
            extended_connect: false,
            wire_bytes: 0,
            other_method: String::new(),
            target: String::new(),
            path: String::new(),
            query_start: None,
            authority: String::new(),
            host: String::new(),
            upgrade: Vec::new(),
        }
    }

    /// Forgets everything and keeps the memory.
    pub fn clear(&mut self) {
        self.method = Method::Get;
        self.version = Version::Http11;
        self.fields.clear();
        self.framing = Framing::None;
        self.persistence = Persistence::Close;
        self.expects_continue = false;
        self.extended_connect = false;
        self.wire_bytes = 0;
        self.other_method.clear();
        self.target.clear();
        self.path.clear();
        self.query_start = None;
        self.authority.clear();
        self.host.clear();
        self.upgrade.clear();
    }

    /// The method's text.
    pub fn method_text(&self) -> &str {
        self.method.text().unwrap_or(&self.other_method)
    }

    /// The target as it was sent, for logs.
    pub fn target(&self) -> &str {
        &self.target
    }

    /// The normalised path, which both routing and forwarding use; `*` for `OPTIONS *`, empty for CONNECT.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// What follows the `?`, as it was sent.
    pub fn query(&self) -> Option<&str> {
        self.target.get(self.query_start?..)
    }

    /// The host without port, in lower case and without a final dot, from absolute-form or `Host`; empty if
    /// an HTTP/1.0 client sent none.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Host and port as they were sent.
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// Sets a field to the authority, or removes it when there is none.
    pub fn copy_authority_to(&mut self, name: Known) {
        if self.authority.is_empty() {
            self.fields.remove_known(name);
        } else {
            // An authority has been parsed: it is a valid value.
            let _ = self.fields.set_known(name, self.authority.as_bytes());
        }
    }

    /// Whether this asks for a protocol upgrade (`Connection: upgrade` and `Upgrade`), and to what. Still
    /// known after the hop-by-hop fields are removed. An upgrade to another version of HTTP (`h2c`,
    /// `HTTP/2.0`), which would carry requests past the routes, is not reported: a server may ignore an
    /// upgrade (RFC 9110, 7.8).
    pub fn upgrade(&self) -> Option<&[u8]> {
        if self.upgrade.is_empty() { None } else { Some(&self.upgrade) }
    }
}

impl Default for RequestHead {
    fn default() -> Self {
        Self::new()
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
        Self {
            status: 200,
            version: Version::Http11,
            fields: Fields::new(),
            framing: Framing::None,
            persistence: Persistence::KeepAlive,
        }
    }

    /// Back to an empty 200, keeping the memory.
    pub fn clear(&mut self) {
        self.status = 200;
        self.version = Version::Http11;
        self.fields.clear();
        self.framing = Framing::None;
        self.persistence = Persistence::KeepAlive;
    }

    /// 1xx except 101.
    pub fn is_interim(&self) -> bool {
        (100..200).contains(&self.status) && self.status != 101
    }
}

impl Default for ResponseHead {
    fn default() -> Self {
        Self::new()
    }
}
