//! The requests of the load and the answers of the origin in HTTP/2. Their blocks of fields are written without a
//! dynamic table, so that they are the same bytes each time (RFC 7541, section 6.2.2).

use super::frame;
use crate::body::Body;

/// A request or an answer, to be sent on one stream after the other.
#[derive(Debug)]
pub(crate) struct Message {
    block: Vec<u8>,
    pub(crate) body: Vec<u8>,
    /// Fields behind the body; empty: none.
    trailers: Vec<u8>,
}

/// What a request asks for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked<'a> {
    pub(crate) over_tls: bool,
    pub(crate) authority: &'a str,
    pub(crate) path: &'a str,
}

impl Message {
    /// What the load sends: a call, or a request, which without a body is a GET.
    pub(crate) fn of_load(grpc: bool, asked: Asked<'_>, length: usize, body: &Body) -> Self {
        if grpc { Self::call(asked, length, body) } else { Self::request(asked, length, body) }
    }

    /// What the origin answers.
    pub(crate) fn of_origin(grpc: bool, length: usize, body: &Body) -> Self {
        if grpc { Self::reply(length, body) } else { Self::answer(length, body) }
    }

    /// A GET, or with a body of that length a POST.
    fn request(asked: Asked<'_>, posts: usize, body: &Body) -> Self {
        let mut block = asked.block(posts > 0);
        if posts > 0 {
            put_field(&mut block, 28, posts.to_string().as_bytes());
        }
        Self { block, body: whole(body, posts), trailers: Vec::new() }
    }

    /// A gRPC call with a message of that length.
    fn call(asked: Asked<'_>, message: usize, body: &Body) -> Self {
        let mut block = asked.block(true);
        put_field(&mut block, 31, b"application/grpc");
        put_new_field(&mut block, b"te", b"trailers");
        Self { block, body: framed(body, message), trailers: Vec::new() }
    }

    /// A 200 with a body of that length.
    fn answer(length: usize, body: &Body) -> Self {
        let mut block = vec![0x88];
        put_field(&mut block, 54, b"origin");
        put_field(&mut block, 31, b"text/plain");
        put_field(&mut block, 28, length.to_string().as_bytes());
        Self { block, body: whole(body, length), trailers: Vec::new() }
    }

    /// What a gRPC service says: a message of that length, and that the call has succeeded.
    fn reply(message: usize, body: &Body) -> Self {
        let mut block = vec![0x88];
        put_field(&mut block, 31, b"application/grpc");
        let mut trailers = Vec::new();
        put_new_field(&mut trailers, b"grpc-status", b"0");
        Self { block, body: framed(body, message), trailers }
    }

    /// Appends its frames on a stream.
    pub(crate) fn put(&self, out: &mut Vec<u8>, stream: u32) {
        let ends = |is_last: bool| if is_last { frame::END_STREAM } else { 0 };
        let has_trailers = !self.trailers.is_empty();
        let is_alone = self.body.is_empty() && !has_trailers;
        frame::put(out, frame::HEADERS, frame::END_HEADERS | ends(is_alone), stream, &self.block);
        let mut rest = self.body.chunks(frame::PAYLOAD_MAX).peekable();
        while let Some(piece) = rest.next() {
            frame::put(out, frame::DATA, ends(rest.peek().is_none() && !has_trailers), stream, piece);
        }
        if has_trailers {
            let flags = frame::END_HEADERS | frame::END_STREAM;
            frame::put(out, frame::HEADERS, flags, stream, &self.trailers);
        }
    }
}

impl Asked<'_> {
    /// The pseudo-fields: the first three are entries of the static table where they can be.
    fn block(self, posts: bool) -> Vec<u8> {
        let mut block = vec![if posts { 0x83 } else { 0x82 }, if self.over_tls { 0x87 } else { 0x86 }];
        if self.path == "/" {
            block.push(0x84);
        } else {
            put_field(&mut block, 4, self.path.as_bytes());
        }
        put_field(&mut block, 1, self.authority.as_bytes());
        block
    }
}

/// The bytes of a body of that length, or with a message of that length.
pub(crate) fn payload(grpc: bool, length: usize, body: &Body) -> Vec<u8> {
    if grpc { framed(body, length) } else { whole(body, length) }
}

fn whole(body: &Body, length: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(length);
    while bytes.len() < length {
        bytes.extend_from_slice(body.piece(bytes.len(), length - bytes.len()));
    }
    bytes
}

/// A gRPC message: not compressed, its length, its bytes.
fn framed(body: &Body, message: usize) -> Vec<u8> {
    let mut bytes = vec![0];
    bytes.extend_from_slice(&u32::try_from(message).unwrap_or(u32::MAX).to_be_bytes());
    bytes.extend(whole(body, message));
    bytes
}

/// A field that no table is to keep, its name an entry of the static table.
fn put_field(block: &mut Vec<u8>, name: usize, value: &[u8]) {
    put_integer(block, name, 0x0f);
    put_text(block, value);
}

fn put_new_field(block: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    block.push(0);
    put_text(block, name);
    put_text(block, value);
}

fn put_text(block: &mut Vec<u8>, text: &[u8]) {
    put_integer(block, text.len(), 0x7f);
    block.extend_from_slice(text);
}

/// A number with a prefix of `most`, the bits before it clear (RFC 7541, section 5.1).
fn put_integer(block: &mut Vec<u8>, number: usize, most: u8) {
    let Some(mut rest) = number.checked_sub(usize::from(most)) else {
        block.push(u8::try_from(number).unwrap_or(most));
        return;
    };
    block.push(most);
    while rest >= 0x80 {
        block.push(u8::try_from(rest & 0x7f).unwrap_or(0) | 0x80);
        rest >>= 7;
    }
    block.push(u8::try_from(rest).unwrap_or(0));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::h2::frame::Frame;

    /// Kind, flags and payload of each frame.
    fn frames(message: &Message) -> Vec<(u8, u8, Vec<u8>)> {
        let (mut bytes, mut found) = (Vec::new(), Vec::new());
        message.put(&mut bytes, 7);
        let mut rest = &bytes[..];
        while let Some((frame, behind)) = Frame::first(rest).unwrap() {
            assert_eq!(frame.stream, 7);
            found.push((frame.kind, frame.flags, frame.payload.to_vec()));
            rest = behind;
        }
        found
    }

    #[test]
    fn numbers_are_written_as_the_rfc_shows() {
        for (number, most, expected) in
            [(10, 0x1f, &[10][..]), (1337, 0x1f, &[31, 154, 10]), (31, 0x1f, &[31, 0]), (31, 0x0f, &[15, 16])]
        {
            let mut block = Vec::new();
            put_integer(&mut block, number, most);
            assert_eq!(block, expected, "{number}");
        }
    }

    #[test]
    fn a_get_is_one_frame() {
        let asked = Asked { over_tls: true, authority: "a:1", path: "/" };
        let expected = b"\x82\x87\x84\x01\x03a:1".to_vec();
        assert_eq!(frames(&Message::request(asked, 0, &Body::new())), [(frame::HEADERS, 5, expected)]);
    }

    #[test]
    fn bodies_and_trailers_end_the_stream_once() {
        let body = Body::new();
        let kinds = |message: &Message| {
            frames(message).iter().map(|(kind, flags, _)| (*kind, *flags)).collect::<Vec<_>>()
        };
        assert_eq!(kinds(&Message::answer(0, &body)), [(frame::HEADERS, 5)]);
        assert_eq!(kinds(&Message::answer(500, &body)), [(frame::HEADERS, 4), (frame::DATA, 1)]);
        assert_eq!(
            kinds(&Message::answer(16_385, &body)),
            [(frame::HEADERS, 4), (frame::DATA, 0), (frame::DATA, 1)]
        );
        assert_eq!(
            kinds(&Message::reply(100, &body)),
            [(frame::HEADERS, 4), (frame::DATA, 0), (frame::HEADERS, 5)]
        );
        let asked = Asked { over_tls: false, authority: "a", path: "/a.B/C" };
        let call = Message::call(asked, 100, &body);
        assert_eq!(kinds(&call), [(frame::HEADERS, 4), (frame::DATA, 1)]);
        assert_eq!((call.body.len(), &call.body[..5]), (105, &[0, 0, 0, 0, 100][..]));
    }

    #[test]
    fn a_peer_reads_what_is_written_here() {
        // The literal forms, as RFC 7541 appendix C.2.2 writes them: `:path: /sample/path` without indexing.
        let mut block = Vec::new();
        put_field(&mut block, 4, b"/sample/path");
        assert_eq!(block, b"\x04\x0c/sample/path");
        block.clear();
        put_new_field(&mut block, b"te", b"trailers");
        assert_eq!(block, b"\x00\x02te\x08trailers");
    }
}
