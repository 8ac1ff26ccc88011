//! The fields (header lines) of a message: one arena of bytes and spans into it, reused from message
//! to message, so that parsing and editing allocate nothing in the steady state.

/// Field names that the gateway itself looks at, found in constant time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Known {
    /// `Accept-Encoding`
    AcceptEncoding,
    /// `Allow`
    Allow,
    /// `Authorization`
    Authorization,
    /// `Connection`
    Connection,
    /// `Content-Length`
    ContentLength,
    /// `Content-Type`
    ContentType,
    /// `Cookie`
    Cookie,
    /// `Date`
    Date,
    /// `Expect`
    Expect,
    /// `Forwarded`
    Forwarded,
    /// `Host`
    Host,
    /// `If-Modified-Since`
    IfModifiedSince,
    /// `If-None-Match`
    IfNoneMatch,
    /// `If-Range`
    IfRange,
    /// `Keep-Alive`
    KeepAlive,
    /// `Location`
    Location,
    /// `Max-Forwards`
    MaxForwards,
    /// `Proxy-Connection`
    ProxyConnection,
    /// `Range`
    Range,
    /// `Referer`
    Referer,
    /// `Retry-After`
    RetryAfter,
    /// `Server`
    Server,
    /// `TE`
    Te,
    /// `Trailer`
    Trailer,
    /// `Transfer-Encoding`
    TransferEncoding,
    /// `Upgrade`
    Upgrade,
    /// `User-Agent`
    UserAgent,
    /// `Via`
    Via,
    /// `X-Forwarded-For`
    XForwardedFor,
    /// `X-Forwarded-Host`
    XForwardedHost,
    /// `X-Forwarded-Proto`
    XForwardedProto,
    /// `X-Real-IP`
    XRealIp,
    /// `X-Request-ID`
    XRequestId,
}

/// A name that is not a token, or a value with CR, LF, NUL or another control byte (RFC 9110, 5.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a valid field name or value")]
pub struct InvalidField;

/// An ordered list of fields. Names compare without case; order and duplicates are kept.
#[derive(Debug, Default, Clone)]
pub struct Fields {
    bytes: Vec<u8>,
}

impl Fields {
    /// An empty list.
    pub fn new() -> Self {
        Self::default()
    }
    /// Forgets all fields and keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
    }
    /// How many field lines there are.
    pub fn len(&self) -> usize {
        todo!()
    }
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// All lines in order, as (name, value); names as they were written.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        std::iter::empty()
    }
    /// Whether a field of that name is present.
    pub fn has(&self, _name: Known) -> bool {
        todo!()
    }
    /// The first value of a known field.
    pub fn known(&self, _name: Known) -> Option<&[u8]> {
        todo!()
    }
    /// All values of a known field, in order.
    pub fn known_all(&self, _name: Known) -> impl Iterator<Item = &[u8]> {
        std::iter::empty()
    }
    /// The first value of any field.
    pub fn value(&self, _name: &str) -> Option<&[u8]> {
        todo!()
    }
    /// All values of any field, in order.
    pub fn values<'a>(&'a self, _name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        std::iter::empty()
    }
    /// Whether a list-valued field holds the token (without case), such as `close` in `Connection`.
    pub fn has_token(&self, _name: Known, _token: &str) -> bool {
        todo!()
    }
    /// Appends a line.
    pub fn push(&mut self, _name: &str, _value: &[u8]) -> Result<(), InvalidField> {
        todo!()
    }
    /// Removes every line of that name, then appends one.
    pub fn set(&mut self, _name: &str, _value: &[u8]) -> Result<(), InvalidField> {
        todo!()
    }
    /// Removes every line of that name; how many there were.
    pub fn remove(&mut self, _name: &str) -> usize {
        todo!()
    }
    /// Removes a known field; how many lines there were.
    pub fn remove_known(&mut self, _name: Known) -> usize {
        todo!()
    }
    /// Removes what belongs to one connection only: the fields that `Connection` names, and
    /// `Connection`, `Keep-Alive`, `Proxy-Connection`, `TE`, `Trailer`, `Transfer-Encoding`,
    /// `Upgrade` (RFC 9110, 7.6.1). `Content-Length` stays, and a `Connection` that names it, or `Host`, or another
    /// field that must not be dropped, does not remove it.
    pub fn remove_hop_by_hop(&mut self) {
        todo!()
    }
}
