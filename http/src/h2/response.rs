//! Response heads: from the library's to ours, and back.

use http::header::HeaderValue;
use http::status::StatusCode;

use crate::error::HeadError;
use crate::fields::{Fields, Known};
use crate::h1::{BodySize, length};
use crate::head::{Framing, Limits, Method, Persistence, ResponseHead, Version};

use super::{StreamError, fields};

/// Reads a response's head, interim or final. `ends`: its stream ended with it.
pub(super) fn read(
    parts: &http::response::Parts,
    ends: bool,
    method: Method,
    limits: &Limits,
    head: &mut ResponseHead,
) -> Result<(), HeadError> {
    head.clear();
    head.version = Version::Http2;
    head.persistence = Persistence::KeepAlive;
    head.status = parts.status.as_u16();
    // RFC 9113, 8.6: there is no 101 in HTTP/2.
    if !(100..600).contains(&head.status) || head.status == 101 {
        return Err(HeadError::Status);
    }
    fields::read(&parts.headers, limits, &mut head.fields)?;
    let length = length(&head.fields)?;
    let success = (200..300).contains(&head.status);
    head.framing = match (head.status, length) {
        (100..=199 | 204 | 304, _) => Framing::None,
        _ if method == Method::Head || (method == Method::Connect && success) => Framing::None,
        // Trailers may still follow.
        (_, Some(0)) if !ends => Framing::Chunked,
        (_, Some(length)) if !ends || length == 0 => Framing::Length(length),
        (_, Some(_)) => return Err(HeadError::Length),
        (_, None) if ends => Framing::Length(0),
        (_, None) => Framing::Chunked,
    };
    Ok(())
}

/// The library's response, and whether its stream ends with it. `content-length` is written from `size`.
pub(super) fn write(
    status: u16,
    fields: &Fields,
    size: BodySize,
) -> Result<(http::Response<()>, bool), StreamError> {
    let bodiless = status < 200 || status == 204 || status == 304;
    let framing = match size {
        BodySize::Forbidden => Framing::None,
        _ if bodiless => Framing::None,
        BodySize::Known(length) => Framing::Length(length),
        BodySize::Unknown => Framing::Chunked,
    };
    // What a HEAD or a 304 says of a length is about what is not sent.
    let keeps_length = framing == Framing::None && status >= 200 && status != 204;
    let skip = if keeps_length { 0 } else { Known::ContentLength.bit() };
    let mut headers = fields::write(fields, skip, 1)?;
    if let Framing::Length(length) = framing {
        headers.insert(http::header::CONTENT_LENGTH, HeaderValue::from(length));
    }
    let ends = status >= 200 && matches!(framing, Framing::None | Framing::Length(0));
    Ok((assemble(status, headers)?, ends))
}

/// The library's interim response.
pub(super) fn write_interim(status: u16, fields: &Fields) -> Result<http::Response<()>, StreamError> {
    if !(100..200).contains(&status) || status == 101 {
        return Err(StreamError::Unwritable);
    }
    assemble(status, fields::write(fields, Known::ContentLength.bit(), 0)?)
}

fn assemble(status: u16, headers: http::HeaderMap) -> Result<http::Response<()>, StreamError> {
    let mut response = http::Response::new(());
    *response.status_mut() = StatusCode::from_u16(status).map_err(|_| StreamError::Unwritable)?;
    *response.headers_mut() = headers;
    Ok(response)
}
