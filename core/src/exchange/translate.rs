//! What becomes of a body's bytes between gRPC-web and gRPC.

use ringway_http::grpc::Dialect;
use ringway_http::grpc::web::{Coding, Decode, Encode, WebError, encoded_len};
use ringway_http::{BodyError, Fields, Framing};

use super::grpc;

/// One body's translation.
pub(super) enum Translation {
    /// A request's, out of base64.
    Decode(Decode),
    /// A response's, with its trailers as its last frame.
    Encode(Encode),
}

/// The framing of a request's body once it is translated: base64 does not say how long it is without.
pub(super) fn decoded(framing: Framing, web: Option<Coding>) -> Framing {
    match (framing, web) {
        (Framing::Length(length), Some(Coding::Text)) if length > 0 => Framing::Chunked,
        _ => framing,
    }
}

impl Translation {
    /// That of a request; bytes that are not base64 stay as they are.
    pub(super) fn of_request(web: Option<Coding>) -> Option<Self> {
        match web? {
            Coding::Text => Some(Self::Decode(Decode::new(Coding::Text))),
            Coding::Binary => None,
        }
    }

    /// That of a response, if it is gRPC; its content type becomes the client's.
    pub(super) fn of_response(web: Option<Coding>, fields: &mut Fields) -> Option<Self> {
        let coding = web?;
        grpc::translate_type(fields, Dialect::Grpc, grpc::web_dialect(coding))?;
        Some(Self::Encode(Encode::new(coding)))
    }

    /// How much room so many bytes need.
    pub(super) fn room(&self, bytes: usize) -> usize {
        match self {
            Self::Decode(_) => bytes,
            Self::Encode(encode) => encoded_len(encode.coding(), bytes),
        }
    }

    /// Takes bytes, and appends what becomes of them.
    pub(super) fn push(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), BodyError> {
        match self {
            Self::Decode(decode) => decode.push(bytes, out).map_err(body_error),
            Self::Encode(encode) => {
                encode.push(bytes, out);
                Ok(())
            }
        }
    }

    /// The body has ended with these trailers.
    pub(super) fn finish(&self, trailers: &Fields, out: &mut Vec<u8>) -> Result<(), BodyError> {
        match self {
            Self::Decode(decode) => decode.finish(),
            Self::Encode(encode) => encode.finish(Some(trailers), out),
        }
        .map_err(body_error)
    }
}

fn body_error(error: WebError) -> BodyError {
    match error {
        WebError::Malformed | WebError::Truncated => BodyError::Base64,
        WebError::Trailers => BodyError::TrailerLength,
    }
}
