//! Entry points of the fuzz targets. Each takes any bytes and asserts what must hold for all of them: what is sent is
//! whole frames, the outcome does not depend on how the input was split, and a head that was read means the same when
//! it is written and read again, in either version of HTTP.

use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;

use crate::error::HeadError;
use crate::fields::{Fields, Known};
use crate::h1::fuzz::assert_same_request;
use crate::h1::{BodySize, HeadReader, write_request};
use crate::head::{Framing, Limits, Method, RequestHead, ResponseHead, Version};
use crate::known::HOP_BY_HOP;

use super::{Body, Client, GuardLimits, Incoming, Outgoing, Requests, Scheme, Server, Settings};

/// What a client sends first.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Small, so that short inputs reach them.
const LIMITS: Limits = Limits { head_bytes_max: 2048, fields_max: 32, uri_bytes_max: 256 };

/// Large enough for whatever was read under [`LIMITS`], with what a writer adds.
const ROOM: Limits = Limits { head_bytes_max: 16 * 1024, fields_max: 64, uri_bytes_max: 4096 };

/// Bytes of a frame that no peer has allowed more of.
const FRAME_BYTES_MAX: usize = 16 * 1024;

/// Polls of one connection. Each one makes progress, or is the last.
const POLLS_MAX: usize = 100_000;

fn settings() -> Settings {
    // Whether the limit on streams that were reset before they were taken is met depends on when they are taken.
    let pending_resets_max = 1000;
    let guard = GuardLimits { continuations_max: 3, empty_data_max: 3, ..GuardLimits::default() };
    Settings { pending_resets_max, guard, streams_max: 8, ..Settings::default() }
}

fn context() -> Context<'static> {
    Context::from_waker(Waker::noop())
}

/// A client that sends its preface and then these bytes: frames, or what may come instead of them.
pub fn server(input: &[u8]) {
    let mut wire = PREFACE.to_vec();
    wire.extend_from_slice(input);
    let whole = Heard::all(&wire, wire.len());
    for piece in [1, 7] {
        let split = Heard::all(&wire, piece);
        assert_eq!(split.heads, whole.heads, "split requests have another outcome");
        assert_eq!(split.over, whole.over, "split frames have another outcome");
    }
    talk(&wire);
}

/// Everything that a server makes of a connection on which it does not answer.
struct Heard {
    heads: Vec<String>,
    /// The connection has ended.
    over: bool,
}

impl Heard {
    fn all(wire: &[u8], piece: usize) -> Self {
        let mut server = Server::<Bytes>::new(&settings());
        let (mut streams, mut output, mut over) = (Vec::new(), Vec::new(), false);
        for piece in wire.chunks(piece.max(1)) {
            over |= server.feed(piece, Duration::ZERO).is_err();
            over |= hear(&mut server, &mut streams);
            server.take_output(&mut output);
            if over {
                break;
            }
        }
        assert_frames(&output);
        // A stream that came together with the end of its connection is not served.
        let heads: Vec<_> = streams.iter().map(describe).collect();
        let heads = if over { Vec::new() } else { heads };
        Self { heads, over }
    }
}

/// Takes the streams that were opened; whether the connection is over.
fn hear(server: &mut Server<Bytes>, streams: &mut Vec<Incoming<Bytes>>) -> bool {
    loop {
        match server.poll(&mut context()) {
            Poll::Ready(Ok(Some(stream))) => streams.push(stream),
            Poll::Ready(Ok(None) | Err(_)) => return true,
            Poll::Pending => return false,
        }
    }
}

/// What a request says, or what is wrong with it. What is right must be right in HTTP/1.1.
fn describe(stream: &Incoming<Bytes>) -> String {
    let mut head = RequestHead::new();
    if let Err(error) = stream.read_head(&LIMITS, &mut head) {
        return error.reason().to_owned();
    }
    assert_eq!(head.version, Version::Http2);
    assert!(head.framing != Framing::UntilClose, "a request cannot end with the connection");
    assert!(head.method == Method::Connect || head.path().starts_with('/') || head.path() == "*");
    assert_eq!(head.fields.known_all(Known::Host).collect::<Vec<_>>(), [head.authority().as_bytes()]);
    let text =
        format!("{} {} {:?} {:?}", head.method_text(), head.target(), head.framing, lines(&head.fields));
    if head.method != Method::Connect {
        assert_same_in_http_1(&mut head);
    }
    text
}

/// Writes a head in HTTP/1.1 and reads it again.
fn assert_same_in_http_1(head: &mut RequestHead) {
    head.fields.remove_hop_by_hop();
    let target = target_of(head);
    let mut wire = Vec::new();
    let (method, authority) = (head.method_text(), head.authority());
    write_request(&mut wire, method, &target, authority, &head.fields, head.framing, head.upgrade());
    let mut again = RequestHead::new();
    let read = HeadReader::new().request(&wire, &ROOM, &mut again);
    assert_eq!(read, Ok(Some(wire.len())), "what was read in HTTP/2 is refused in HTTP/1.1");
    assert_same_request(head, &again);
}

fn target_of(head: &RequestHead) -> String {
    let mut target = String::from(head.path());
    if let Some(query) = head.query() {
        target.push('?');
        target.push_str(query);
    }
    target
}

/// Answers each stream of a connection as it comes, with what its request says.
fn talk(wire: &[u8]) {
    let mut server = Server::<Bytes>::new(&settings());
    let (mut bodies, mut output) = (Vec::new(), Vec::new());
    for piece in wire.chunks(33) {
        let flooded = server.feed(piece, Duration::ZERO).is_err();
        let over = serve(&mut server, &mut bodies);
        server.take_output(&mut output);
        if flooded || over {
            break;
        }
    }
    server.end_of_input();
    assert!(serve(&mut server, &mut bodies), "a connection without input goes on");
    server.take_output(&mut output);
    assert_frames(&output);
}

/// Answers what has come and reads what is there; whether the connection is over.
fn serve(server: &mut Server<Bytes>, bodies: &mut Vec<Body>) -> bool {
    let mut streams = Vec::new();
    let over = hear(server, &mut streams);
    for stream in streams {
        let mut head = RequestHead::new();
        let outcome = stream.read_head(&LIMITS, &mut head);
        let (body, respond) = stream.into_halves();
        bodies.push(body);
        // It errs for a stream that was reset meanwhile.
        let _ = answer(respond, outcome, &head);
    }
    let mut trailers = Fields::new();
    bodies.retain_mut(|body| {
        loop {
            match body.poll_data(&mut context()) {
                Poll::Ready(Some(Ok(data))) => body.release(data.len()),
                Poll::Ready(Some(Err(_))) => return false,
                Poll::Ready(None) => {
                    let _ = body.poll_trailers(&mut context(), &LIMITS, &mut trailers);
                    return false;
                }
                Poll::Pending => return true,
            }
        }
    });
    over || hear(server, &mut Vec::new())
}

fn answer(
    mut respond: super::Respond<Bytes>,
    outcome: Result<(), HeadError>,
    head: &RequestHead,
) -> Result<(), super::StreamError> {
    let status = outcome.map_or_else(HeadError::status, |()| 200);
    let mut out = respond.send_head(status, &head.fields, BodySize::Unknown, false)?;
    out.reserve(10);
    if let Poll::Ready(capacity) = out.poll_capacity(&mut context()) {
        out.send(Bytes::from(vec![b'x'; capacity?.min(10)]), false)?;
    }
    out.send_trailers(&head.fields)
}

/// Output is whole frames of an allowed size.
fn assert_frames(mut output: &[u8]) {
    while let Some((&[a, b, c, ..], rest)) = output.split_first_chunk::<9>() {
        let len = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
        assert!(len <= FRAME_BYTES_MAX && len <= rest.len(), "a frame of {len} bytes");
        output = rest.get(len..).unwrap_or_default();
    }
    assert!(output.is_empty(), "half a frame");
}

/// Reads a request or a response in HTTP/1.1 and passes it on in HTTP/2: the same head must come out at the other end.
/// The first byte chooses which, and the request's method.
pub fn heads(input: &[u8]) {
    match input.split_first() {
        Some((0, input)) => request(input),
        Some((choice, input)) => response(input, if choice % 2 == 0 { Method::Head } else { Method::Get }),
        None => {}
    }
}

/// Both ends of a connection.
struct Pair {
    client: Client<Bytes>,
    requests: Requests<Bytes>,
    server: Server<Bytes>,
}

impl Pair {
    fn new() -> Option<Self> {
        let (client, requests) = Client::new(&settings()).ok()?;
        Some(Self { client, requests, server: Server::new(&settings()) })
    }

    /// Moves bytes both ways until there are none; the last stream that was opened.
    fn run(&mut self) -> Option<Incoming<Bytes>> {
        let (mut streams, mut wire) = (Vec::new(), Vec::new());
        for _ in 0..POLLS_MAX {
            let _ = self.client.poll(&mut context());
            let mut moved = self.client.take_output(&mut wire);
            assert_eq!(self.server.feed(&wire, Duration::ZERO), Ok(()));
            wire.clear();
            hear(&mut self.server, &mut streams);
            moved += self.server.take_output(&mut wire);
            assert_eq!(self.client.feed(&wire, Duration::ZERO), Ok(()));
            wire.clear();
            if moved == 0 {
                break;
            }
        }
        streams.pop()
    }
}

fn request(input: &[u8]) {
    let mut head = RequestHead::new();
    if !matches!(HeadReader::new().request(input, &LIMITS, &mut head), Ok(Some(_))) {
        return;
    }
    if head.method == Method::Connect || head.authority().is_empty() {
        return;
    }
    if head.version == Version::Http10 {
        // It was ignored, and would not be in HTTP/2.
        head.fields.remove_known(Known::Expect);
    }
    head.fields.remove_hop_by_hop();
    let is_websocket = head.upgrade() == Some(b"websocket") && head.method == Method::Get;
    if is_websocket {
        head.fields.remove_known(Known::ContentLength);
        head.fields.remove_known(Known::Expect);
        (head.framing, head.expects_continue) = (Framing::None, false);
        for name in ["sec-websocket-key", "sec-websocket-accept"] {
            head.fields.remove(name);
        }
    } else {
        head.upgrade.clear();
    }
    let Some(mut pair) = Pair::new() else { return };
    let target = target_of(&head);
    let request = Outgoing {
        method: head.method_text(),
        scheme: Scheme::Https,
        authority: head.authority(),
        path: &target,
        fields: &head.fields,
        framing: head.framing,
        te_trailers: false,
        protocol: is_websocket.then_some("websocket"),
    };
    let ends = !is_websocket && matches!(head.framing, Framing::None | Framing::Length(0));
    let sent = pair.requests.send(&request, ends);
    assert!(sent.is_ok(), "a request of HTTP/1.1 cannot be written in HTTP/2: {:?}", sent.err());
    let mut again = RequestHead::new();
    let read = pair.run().map(|incoming| incoming.read_head(&ROOM, &mut again));
    assert_eq!(read, Some(Ok(())), "a request of HTTP/1.1 is refused in HTTP/2");
    assert_eq!(again.extended_connect, is_websocket);
    assert_eq!(sorted(&head.fields), sorted(&again.fields));
    assert_eq!(head.query().map(super::request::escape), again.query().map(super::request::escape));
    // Compared above, without what may differ.
    head.fields.clear();
    again.fields.clear();
    (head.query_start, again.query_start) = (None, None);
    assert_same_request(&head, &again);
}

fn response(input: &[u8], method: Method) {
    let mut head = ResponseHead::new();
    if !matches!(HeadReader::new().response(input, &LIMITS, method, &mut head), Ok(Some(_)))
        || head.status == 101
    {
        return;
    }
    head.fields.remove_hop_by_hop();
    let Some(mut pair) = Pair::new() else { return };
    let none = Fields::new();
    let request = Outgoing {
        method: method.text().unwrap_or_default(),
        scheme: Scheme::Http,
        authority: "a",
        path: "/",
        fields: &none,
        framing: Framing::None,
        te_trailers: false,
        protocol: None,
    };
    let Ok((mut response, _upload)) = pair.requests.send(&request, true) else { return };
    let Some(Incoming { mut respond, .. }) = pair.run() else { return };
    let size = match head.framing {
        Framing::None => BodySize::Forbidden,
        Framing::Length(length) => BodySize::Known(length),
        Framing::Chunked | Framing::UntilClose => BodySize::Unknown,
    };
    let mut again = ResponseHead::new();
    let mut out = None;
    if head.is_interim() {
        assert_eq!(respond.send_interim(head.status, &head.fields), Ok(()));
        pair.run();
        let read = response.poll_interim(&mut context(), &ROOM, &mut again);
        assert_eq!(read, Poll::Ready(Ok(true)), "an interim response of HTTP/1.1 is refused in HTTP/2");
    } else {
        let sent = respond.send_head(head.status, &head.fields, size, false);
        assert!(sent.is_ok(), "a response of HTTP/1.1 cannot be written in HTTP/2: {:?}", sent.err());
        out = sent.ok();
        pair.run();
        let read = response.poll(&mut context(), &ROOM, &mut again);
        assert!(matches!(read, Poll::Ready(Ok(_))), "a response of HTTP/1.1 is refused in HTTP/2: {read:?}");
    }
    let framing = if head.framing == Framing::UntilClose { Framing::Chunked } else { head.framing };
    assert_eq!((head.status, framing), (again.status, again.framing));
    if matches!(head.status, 100..=199 | 204) {
        head.fields.remove_known(Known::ContentLength);
    }
    assert_eq!(sorted(&head.fields), sorted(&again.fields));
    drop(out);
}

fn lines(fields: &Fields) -> Vec<(String, Vec<u8>)> {
    fields.iter().map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned())).collect()
}

/// The fields by name, each name's in order, cookies joined. The order of different names means nothing (RFC 9110,
/// 5.3).
fn sorted(fields: &Fields) -> Vec<(String, Vec<u8>)> {
    let cookie = fields.known_all(Known::Cookie).collect::<Vec<_>>().join(&b"; "[..]);
    let skip = HOP_BY_HOP | Known::Host.bit() | Known::Cookie.bit() | Known::ContentLength.bit();
    let mut sorted: Vec<_> = fields
        .iter_without(skip)
        .map(|(name, value)| (String::from_utf8_lossy(name).to_ascii_lowercase(), value.to_owned()))
        .chain([("cookie".to_owned(), cookie)])
        .chain(fields.known(Known::ContentLength).map(|value| ("content-length".to_owned(), number(value))))
        .collect();
    sorted.sort_by(|one, other| one.0.cmp(&other.0));
    sorted
}

/// Digits without zeros in front.
fn number(digits: &[u8]) -> Vec<u8> {
    let start = digits.iter().position(|digit| *digit != b'0').unwrap_or(digits.len());
    digits.get(start..).unwrap_or_default().to_vec()
}
