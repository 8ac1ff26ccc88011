//! Request heads: from the library's to ours, and back.

use std::borrow::Cow;

use bytes::{BufMut, Bytes, BytesMut};
use http::header::HeaderValue;
use http::uri::{Authority, PathAndQuery, Uri};

use crate::error::HeadError;
use crate::fields::{Fields, Known};
use crate::h1::{METHOD_BYTES_MAX, expects_continue, length};
use crate::head::{Framing, Limits, Method, Persistence, RequestHead, Version};
use crate::target::{self, Target};

use super::{StreamError, fields};

/// The one protocol that extended CONNECT may ask for.
const WEBSOCKET: &str = "websocket";

/// Reads a request's head. `ends`: its stream ended with it.
pub(super) fn read(
    parts: &http::request::Parts,
    ends: bool,
    limits: &Limits,
    head: &mut RequestHead,
) -> Result<(), HeadError> {
    head.clear();
    head.version = Version::Http2;
    head.persistence = Persistence::KeepAlive;
    read_method(parts, head)?;
    read_target(&parts.uri, limits, head)?;
    let bytes = fields::read(&parts.headers, limits, &mut head.fields)?;
    head.wire_bytes = bytes + head.method_text().len() + head.target.len() + head.authority.len();
    if head.wire_bytes > limits.head_bytes_max {
        return Err(HeadError::HeadLength);
    }
    take_host(head)?;
    head.framing = framing(head, ends)?;
    let expects = expects_continue(&head.fields)?;
    head.expects_continue = expects && !matches!(head.framing, Framing::None | Framing::Length(0));
    Ok(())
}

fn read_method(parts: &http::request::Parts, head: &mut RequestHead) -> Result<(), HeadError> {
    let method = parts.method.as_str();
    if method.len() > METHOD_BYTES_MAX {
        return Err(HeadError::MethodLength);
    }
    if !crate::octets::is_token(method.as_bytes()) {
        return Err(HeadError::Method);
    }
    head.method = Method::from_text(method.as_bytes());
    if head.method == Method::Other {
        head.other_method.push_str(method);
    }
    if let Some(protocol) = parts.extensions.get::<::h2::ext::Protocol>() {
        if protocol.as_str() != WEBSOCKET {
            return Err(HeadError::Protocol);
        }
        // RFC 8441, 5: what HTTP/1.1 asks for by a GET with `Upgrade`.
        head.method = Method::Get;
        head.extended_connect = true;
        head.upgrade.extend_from_slice(WEBSOCKET.as_bytes());
    }
    Ok(())
}

fn read_target(uri: &Uri, limits: &Limits, head: &mut RequestHead) -> Result<(), HeadError> {
    if let Some(scheme) = uri.scheme_str()
        && !scheme.eq_ignore_ascii_case("http")
        && !scheme.eq_ignore_ascii_case("https")
    {
        return Err(HeadError::TargetScheme);
    }
    if let Some(authority) = uri.authority() {
        let authority = authority.as_str();
        let port = target::split_authority(authority, &mut head.host).map_err(|_| HeadError::HostInvalid)?;
        head.authority.push_str(authority);
        if head.method == Method::Connect {
            // RFC 9113, 8.5: there is no path, and the port is part of what is asked for.
            head.target.push_str(authority);
            return if port.is_some() { Ok(()) } else { Err(HeadError::Target) };
        }
    }
    if head.method == Method::Connect {
        return Err(HeadError::Target);
    }
    // Without `:path`, the library's text of the path is a slash all the same.
    if uri.path().is_empty() {
        return Err(HeadError::Target);
    }
    let text = uri.path_and_query().map_or("", PathAndQuery::as_str);
    if text.len() > limits.uri_bytes_max {
        return Err(HeadError::TargetLength);
    }
    let text = target::text(text.as_bytes())?;
    match target::parse(head.method, text)? {
        Target::Origin { path, query } => {
            head.target.push_str(text);
            head.query_start = query.map(|query| text.len() - query.len());
            target::normalise(path, &mut head.path).map_err(|_| HeadError::Path)
        }
        Target::Asterisk => {
            head.target.push('*');
            head.path.push('*');
            Ok(())
        }
        Target::Absolute { .. } | Target::Authority(_) => Err(HeadError::Target),
    }
}

/// Settles the authority: `:authority` or, without it, `Host`. Both must say the same (RFC 9113, 8.3.1).
fn take_host(head: &mut RequestHead) -> Result<(), HeadError> {
    let RequestHead { fields, authority, host, .. } = head;
    let (first, second) = {
        let mut hosts = fields.known_all(Known::Host);
        (hosts.next(), hosts.next())
    };
    if second.is_some() {
        return Err(HeadError::HostRepeated);
    }
    let is_same = match first {
        None if authority.is_empty() => return Err(HeadError::HostMissing),
        None => false,
        Some(value) => {
            let text = std::str::from_utf8(value).map_err(|_| HeadError::HostInvalid)?;
            if authority.is_empty() {
                target::split_authority(text, host).map_err(|_| HeadError::HostInvalid)?;
                authority.push_str(text);
            } else if !text.eq_ignore_ascii_case(authority) {
                return Err(HeadError::HostDifferent);
            }
            text == authority
        }
    };
    if !is_same {
        fields.set_known(Known::Host, authority.as_bytes()).map_err(|_| HeadError::HostInvalid)?;
    }
    Ok(())
}

/// How the body ends: HTTP/2 always says it by the end of the stream, and may state the length before.
fn framing(head: &RequestHead, ends: bool) -> Result<Framing, HeadError> {
    let length = length(&head.fields)?;
    if head.method == Method::Connect || head.extended_connect {
        // RFC 9110, 9.3.6: what follows is not a body.
        return if length.is_none() { Ok(Framing::None) } else { Err(HeadError::Length) };
    }
    match (length, ends) {
        (Some(0), _) => Ok(Framing::Length(0)),
        (Some(_), true) => Err(HeadError::Length),
        (Some(length), false) => Ok(Framing::Length(length)),
        (None, true) => Ok(Framing::None),
        (None, false) => Ok(Framing::Chunked),
    }
}

/// `http` or `https`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Scheme {
    Http,
    Https,
}

/// A request to send.
#[derive(Debug, Clone, Copy)]
pub struct Outgoing<'a> {
    /// The method, a token. Not used for an extended CONNECT.
    pub method: &'a str,
    /// The scheme that the client used.
    pub scheme: Scheme,
    /// Host and port.
    pub authority: &'a str,
    /// The path and the query, or `*`; not used for CONNECT.
    pub path: &'a str,
    /// The fields. What belongs to one connection, `Host` and `Content-Length` are left out.
    pub fields: &'a Fields,
    /// Where `content-length` is taken from.
    pub framing: Framing,
    /// Says `te: trailers`: trailers of the response will be passed on (gRPC asks for it).
    pub te_trailers: bool,
    /// Makes it an extended CONNECT to that protocol (RFC 8441), such as `websocket`.
    pub protocol: Option<&'a str>,
}

/// The library's request.
pub(super) fn write(request: &Outgoing<'_>) -> Result<http::Request<()>, StreamError> {
    let refuse = |_| StreamError::Unwritable;
    let is_connect = request.protocol.is_none() && request.method == "CONNECT";
    let mut skip = Known::Host.bit() | Known::ContentLength.bit();
    if is_connect || request.protocol.is_some() {
        skip |= Known::Expect.bit();
    }
    let mut headers = fields::write(request.fields, skip, 2)?;
    if let Framing::Length(length) = request.framing {
        headers.insert(http::header::CONTENT_LENGTH, HeaderValue::from(length));
    }
    if request.te_trailers {
        headers.insert(http::header::TE, HeaderValue::from_static("trailers"));
    }
    let path = escape(request.path);
    let mut text = BytesMut::with_capacity(request.authority.len() + path.len());
    text.put_slice(request.authority.as_bytes());
    text.put_slice(path.as_bytes());
    let text = text.freeze();
    let mut host = String::new();
    target::split_authority(request.authority, &mut host).map_err(|_| StreamError::Unwritable)?;
    let authority = text.slice(..request.authority.len());
    let mut parts = http::uri::Parts::default();
    parts.authority = Some(Authority::from_maybe_shared(authority).map_err(|_| StreamError::Unwritable)?);
    if !is_connect {
        parts.scheme = Some(match request.scheme {
            Scheme::Http => http::uri::Scheme::HTTP,
            Scheme::Https => http::uri::Scheme::HTTPS,
        });
        parts.path_and_query = Some(path_and_query(text.slice(request.authority.len()..))?);
    }
    let uri = Uri::from_parts(parts).map_err(|_| StreamError::Unwritable)?;
    let method = if request.protocol.is_some() { "CONNECT" } else { request.method };
    let method = http::Method::from_bytes(method.as_bytes()).map_err(|_| StreamError::Unwritable)?;
    let mut out = http::Request::builder().method(method).uri(uri).body(()).map_err(refuse)?;
    *out.version_mut() = http::Version::HTTP_2;
    *out.headers_mut() = headers;
    if let Some(protocol) = request.protocol {
        for name in ["sec-websocket-key", "sec-websocket-accept"] {
            // RFC 8441, 5.1: the stream itself is proof that the peer understands.
            out.headers_mut().remove(name);
        }
        out.extensions_mut().insert(::h2::ext::Protocol::from(protocol));
    }
    Ok(out)
}

/// Escapes what a query may hold in HTTP/1.1, for it says nothing to us, and what the library refuses, for no URI has
/// it (RFC 3986, 2): `"`, `<`, `>`.
pub(super) fn escape(target: &str) -> Cow<'_, str> {
    if !target.contains(['"', '<', '>']) {
        return Cow::Borrowed(target);
    }
    Cow::Owned(target.replace('"', "%22").replace('<', "%3C").replace('>', "%3E"))
}

fn path_and_query(path: Bytes) -> Result<PathAndQuery, StreamError> {
    let is_form = matches!(path.as_ref(), [b'/', ..] | b"*");
    if !is_form || target::text(&path).is_err() {
        return Err(StreamError::Unwritable);
    }
    PathAndQuery::from_maybe_shared(path).map_err(|_| StreamError::Unwritable)
}
