//! Entry points of the fuzz targets. Each takes any bytes and asserts what must hold for all of them: nothing
//! beyond the input is consumed, the outcome does not depend on how the input was split, and what was read is
//! read again the same after it was written.

use crate::error::{BodyError, HeadError};
use crate::fields::{Fields, Known};
use crate::head::{Framing, Limits, Method, Persistence, RequestHead, ResponseHead, Version};
use crate::known::HOP_BY_HOP;

use super::{
    BodyEvent, BodyReader, BodySize, BodyWriter, HeadReader, write_interim, write_request, write_response,
};

/// Small, so that short inputs reach them.
const LIMITS: Limits = Limits { head_bytes_max: 2048, fields_max: 32, uri_bytes_max: 256 };

/// Large enough for whatever was read under [`LIMITS`], with what a writer adds.
const ROOM: Limits = Limits { head_bytes_max: 16 * 1024, fields_max: 64, uri_bytes_max: 4096 };

/// What the writers decide, and what is therefore not compared.
const FRAMED: u64 = HOP_BY_HOP | Known::Host.bit() | Known::ContentLength.bit();

/// Reads a request head, whole and byte by byte, writes it and reads it again.
pub fn request(input: &[u8]) {
    let mut head = RequestHead::new();
    let outcome = HeadReader::new().request(input, &LIMITS, &mut head);
    let mut pieces = RequestHead::new();
    let mut reader = HeadReader::new();
    let split = bytewise(input, |prefix| reader.request(prefix, &LIMITS, &mut pieces));
    assert_eq!(outcome, split, "a split head has another outcome");
    let Ok(Some(consumed)) = outcome else { return };
    assert!(consumed <= input.len() && consumed == head.wire_bytes);
    assert_same_request(&head, &pieces);
    assert!(head.framing != Framing::UntilClose, "a request cannot end with the connection");
    // CONNECT is never forwarded, and a head without an authority needs one from its caller.
    if head.method == Method::Connect || head.authority().is_empty() {
        return;
    }
    if head.version == Version::Http10 {
        // It was ignored, and would not be in the HTTP/1.1 request that is written.
        head.fields.remove_known(Known::Expect);
    }
    let mut target = String::from(head.path());
    if let Some(query) = head.query() {
        target.push('?');
        target.push_str(query);
    }
    let mut wire = Vec::new();
    let (method, authority) = (head.method_text(), head.authority());
    write_request(&mut wire, method, &target, authority, &head.fields, head.framing, head.upgrade());
    let mut again = RequestHead::new();
    let reread = HeadReader::new().request(&wire, &ROOM, &mut again);
    assert_eq!(reread, Ok(Some(wire.len())), "what was written is refused");
    assert_same_request(&head, &again);
}

/// The same for a response; the first byte chooses the request's method.
pub fn response(input: &[u8]) {
    let Some((choice, input)) = input.split_first() else { return };
    let method = match choice % 3 {
        0 => Method::Head,
        1 => Method::Connect,
        _ => Method::Get,
    };
    let mut head = ResponseHead::new();
    let outcome = HeadReader::new().response(input, &LIMITS, method, &mut head);
    let mut pieces = ResponseHead::new();
    let mut reader = HeadReader::new();
    let split = bytewise(input, |prefix| reader.response(prefix, &LIMITS, method, &mut pieces));
    assert_eq!(outcome, split, "a split head has another outcome");
    let Ok(Some(consumed)) = outcome else { return };
    assert!(consumed <= input.len());
    assert_same_response(&head, &pieces);
    let mut wire = Vec::new();
    if head.is_interim() {
        write_interim(&mut wire, head.status, &head.fields);
    } else {
        let size = match head.framing {
            Framing::None => BodySize::Forbidden,
            Framing::Length(length) => BodySize::Known(length),
            Framing::Chunked | Framing::UntilClose => BodySize::Unknown,
        };
        let (persistence, client) = (head.persistence, Version::Http11);
        let written = write_response(&mut wire, client, head.status, &head.fields, size, persistence, None);
        assert_eq!(written.1, persistence);
        if head.framing == Framing::UntilClose {
            head.framing = Framing::Chunked;
        }
        assert_eq!(written.0.framing(), head.framing);
    }
    let mut again = ResponseHead::new();
    let reread = HeadReader::new().response(&wire, &ROOM, method, &mut again);
    assert_eq!(reread, Ok(Some(wire.len())), "what was written is refused");
    if head.is_interim() {
        // `Connection` is not written for those: they do not end a connection.
        again.persistence = head.persistence;
    }
    assert_same_response(&head, &again);
}

/// Reads a chunked body in several splits, writes it and reads it again.
pub fn chunked(input: &[u8]) {
    let whole = Body::read(input, input.len(), &LIMITS);
    for piece in [1, 2, 3, 7] {
        assert_eq!(Body::read(input, piece, &LIMITS), whole, "a split body has another outcome");
    }
    if whole.outcome != Ok(true) {
        return;
    }
    let mut trailers = Fields::new();
    for (name, value) in &whole.trailers {
        assert!(trailers.push(name, value).is_ok(), "a trailer that was read is no field");
    }
    let mut writer = BodyWriter::new(Framing::Chunked);
    let mut wire = Vec::new();
    for data in whole.data.chunks(5) {
        assert_eq!(writer.before_data(data.len(), &mut wire), Ok(()));
        wire.extend_from_slice(data);
        writer.after_data(&mut wire);
    }
    assert_eq!(writer.finish(&trailers, &mut wire), Ok(()));
    let again = Body::read(&wire, wire.len(), &ROOM);
    assert_eq!(again, Body { consumed: wire.len(), ..whole });
}

/// Feeds ever longer prefixes until one has an outcome.
fn bytewise(
    input: &[u8],
    mut read: impl FnMut(&[u8]) -> Result<Option<usize>, HeadError>,
) -> Result<Option<usize>, HeadError> {
    for len in 0..=input.len() {
        let outcome = read(input.get(..len).unwrap_or_default());
        if outcome != Ok(None) {
            return outcome;
        }
    }
    Ok(None)
}

pub(crate) fn assert_same_request(one: &RequestHead, other: &RequestHead) {
    assert_eq!(one.method_text(), other.method_text());
    assert_eq!(one.path(), other.path());
    assert_eq!(one.query(), other.query());
    assert_eq!(one.host(), other.host());
    assert_eq!(one.authority(), other.authority());
    assert_eq!(one.framing, other.framing);
    assert_eq!(one.upgrade(), other.upgrade());
    assert_eq!(one.expects_continue, other.expects_continue);
    assert!(one.fields.iter_without(FRAMED).eq(other.fields.iter_without(FRAMED)));
}

fn assert_same_response(one: &ResponseHead, other: &ResponseHead) {
    assert_eq!(one.status, other.status);
    assert_eq!(one.framing, other.framing);
    // Closing is passed on; a written response may close where the one that was read did not.
    assert!(one.persistence == other.persistence || other.persistence == Persistence::Close);
    assert!(one.fields.iter_without(FRAMED).eq(other.fields.iter_without(FRAMED)));
}

/// Everything that can be seen of a body that was read. The outcome says whether it is complete.
#[derive(Debug, PartialEq, Eq)]
struct Body {
    data: Vec<u8>,
    trailers: Vec<(String, Vec<u8>)>,
    consumed: usize,
    outcome: Result<bool, BodyError>,
}

impl Body {
    /// Reads a chunked body in pieces of so many bytes.
    fn read(input: &[u8], piece: usize, limits: &Limits) -> Self {
        let mut reader = BodyReader::new(Framing::Chunked, limits);
        let mut body = Self { data: Vec::new(), trailers: Vec::new(), consumed: 0, outcome: Ok(false) };
        for piece in input.chunks(piece.max(1)) {
            body.outcome = body.feed(&mut reader, piece);
            if body.outcome != Ok(false) {
                break;
            }
        }
        if body.outcome.is_err() {
            // Where in the input an error shows is not promised.
            body.consumed = 0;
        }
        body.trailers =
            reader.trailers().iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        body
    }

    fn feed(&mut self, reader: &mut BodyReader, mut piece: &[u8]) -> Result<bool, BodyError> {
        loop {
            let twin = reader.clone().step(piece);
            let step = reader.step(piece);
            assert_eq!(step, twin, "a clone steps elsewhere");
            let step = step?;
            assert!(step.consumed <= piece.len());
            let (used, rest) = piece.split_at_checked(step.consumed).unwrap_or_default();
            self.consumed += step.consumed;
            match step.event {
                BodyEvent::Data(range) => {
                    assert!(!range.is_empty() && range.end <= step.consumed);
                    self.data.extend_from_slice(used.get(range).unwrap_or_default());
                }
                BodyEvent::More => {
                    assert!(rest.is_empty(), "all input is consumed when more is asked for");
                    return Ok(reader.is_done());
                }
                BodyEvent::End => {
                    assert!(reader.is_done() && reader.end_of_input().is_ok());
                    return Ok(true);
                }
            }
            piece = rest;
        }
    }
}
