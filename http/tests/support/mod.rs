//! Reads the same bytes whole, split in two at every position, and byte by byte, and insists on one outcome.

use ringway_http::h1::{BodyEvent, BodyReader, HeadReader};
use ringway_http::{
    BodyError, Framing, HeadError, Limits, Method, Persistence, RequestHead, ResponseHead, Version,
};

/// What became of a request's bytes, in one line: `method host path?query framing persistence`, or status and
/// reason word, or `more`.
pub(crate) fn request(input: &[u8], limits: &Limits) -> String {
    let (outcome, head) = request_head(input, limits);
    match outcome {
        Ok(None) => "more".into(),
        Err(error) => format!("{} {}", error.status(), error.reason()),
        Ok(Some(consumed)) => {
            assert_eq!(consumed, head.wire_bytes);
            describe(&head)
        }
    }
}

/// A request's head, and how many bytes it took.
pub(crate) fn request_head(input: &[u8], limits: &Limits) -> (Result<Option<usize>, HeadError>, RequestHead) {
    let mut whole = RequestHead::new();
    let outcome = HeadReader::new().request(input, limits, &mut whole);
    for feeds in all_splits(input) {
        let mut reader = HeadReader::new();
        let mut head = RequestHead::new();
        let mut split = Ok(None);
        for feed in feeds {
            split = reader.request(feed, limits, &mut head);
            if split != Ok(None) {
                break;
            }
        }
        assert_eq!(split, outcome, "{}", input.escape_ascii());
        if let Ok(Some(_)) = outcome {
            assert_eq!(describe(&head), describe(&whole), "{}", input.escape_ascii());
        }
    }
    (outcome, whole)
}

/// What became of a response's bytes: `status framing persistence`, or a reason word, or `more`.
pub(crate) fn response(input: &[u8], limits: &Limits, method: Method) -> String {
    let mut whole = ResponseHead::new();
    let outcome = HeadReader::new().response(input, limits, method, &mut whole);
    for feeds in all_splits(input) {
        let mut reader = HeadReader::new();
        let mut head = ResponseHead::new();
        let mut split = Ok(None);
        for feed in feeds {
            split = reader.response(feed, limits, method, &mut head);
            if split != Ok(None) {
                break;
            }
        }
        assert_eq!(split, outcome, "{}", input.escape_ascii());
    }
    match outcome {
        Ok(None) => "more".into(),
        Err(error) => error.response_reason().into(),
        Ok(Some(_)) => {
            let old = if whole.version == Version::Http10 { " 1.0" } else { "" };
            format!("{} {}{}{old}", whole.status, framing(whole.framing), persistence(whole.persistence))
        }
    }
}

/// What became of a body's bytes: `data|trailers|bytes left over`, or a reason word, or `more`.
pub(crate) fn body(input: &[u8], limits: &Limits, framing: Framing) -> String {
    let whole = describe_body(&[input], limits, framing);
    for at in 0..=input.len() {
        let (first, second) = input.split_at(at);
        let split = describe_body(&[first, second], limits, framing);
        assert_eq!(split, whole, "split at {at}: {}", input.escape_ascii());
    }
    let bytes: Vec<_> = input.chunks(1).collect();
    assert_eq!(describe_body(&bytes, limits, framing), whole, "byte by byte: {}", input.escape_ascii());
    whole
}

fn describe_body(pieces: &[&[u8]], limits: &Limits, framing: Framing) -> String {
    let mut reader = BodyReader::new(framing, limits);
    let mut data = Vec::new();
    let mut left = 0;
    for piece in pieces {
        match feed(&mut reader, piece, &mut data) {
            Ok(consumed) => left += piece.len() - consumed,
            Err(error) => return error.reason().into(),
        }
    }
    if !reader.is_done() {
        return "more".into();
    }
    let trailers: Vec<_> =
        reader.trailers().iter().map(|(name, value)| format!("{name}:{}", value.escape_ascii())).collect();
    format!("{}|{}|{left}", data.escape_ascii(), trailers.join(","))
}

/// Feeds one piece; how much of it was consumed.
fn feed(reader: &mut BodyReader, piece: &[u8], data: &mut Vec<u8>) -> Result<usize, BodyError> {
    let mut consumed = 0;
    loop {
        let rest = piece.get(consumed..).unwrap_or_default();
        let step = reader.step(rest)?;
        consumed += step.consumed;
        match step.event {
            BodyEvent::Data(range) => data.extend_from_slice(rest.get(range).unwrap_or_default()),
            BodyEvent::More | BodyEvent::End => return Ok(consumed),
        }
    }
}

/// The prefixes to feed: two for every position, and all of them.
fn all_splits(input: &[u8]) -> impl Iterator<Item = Vec<&[u8]>> {
    let prefix = |len| input.get(..len).unwrap_or_default();
    let in_two = (0..=input.len()).map(move |at| vec![prefix(at), input]);
    let bytewise = (0..=input.len()).map(prefix).collect();
    in_two.chain([bytewise])
}

fn describe(head: &RequestHead) -> String {
    let query = head.query().map_or(String::new(), |query| format!("?{query}"));
    let host = if head.host().is_empty() { "-" } else { head.host() };
    let old = if head.version == Version::Http10 { " 1.0" } else { "" };
    let expects = if head.expects_continue { " continue" } else { "" };
    let upgrade =
        head.upgrade().map_or(String::new(), |protocol| format!(" upgrade={}", protocol.escape_ascii()));
    let (framing, close) = (framing(head.framing), persistence(head.persistence));
    let (method, path) = (head.method_text(), head.path());
    format!("{method} {host} {path}{query} {framing}{close}{old}{expects}{upgrade}")
}

fn framing(framing: Framing) -> String {
    match framing {
        Framing::None => "none".into(),
        Framing::Length(length) => format!("length={length}"),
        Framing::Chunked => "chunked".into(),
        Framing::UntilClose => "until-close".into(),
    }
}

fn persistence(persistence: Persistence) -> &'static str {
    match persistence {
        Persistence::KeepAlive => "",
        Persistence::Close => " close",
    }
}
