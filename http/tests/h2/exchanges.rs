//! Both ends of an HTTP/2 connection, in memory.

use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use ringway_http::h1::BodySize;
use ringway_http::h2::{
    Body, Client, ConnectionError, Incoming, Outbound, Outgoing, Reason, Requests, Respond, Response, Scheme,
    Server, Settings, StreamError,
};
use ringway_http::{Fields, Framing, Limits, Method, RequestHead, ResponseHead, Version};

/// A client and a server, and what goes between them.
struct Pair {
    client: Client<Bytes>,
    requests: Requests<Bytes>,
    server: Server<Bytes>,
    wire: Vec<u8>,
}

fn context() -> Context<'static> {
    Context::from_waker(Waker::noop())
}

impl Pair {
    fn new(settings: &Settings) -> Self {
        let (client, requests) = Client::new(settings).unwrap();
        Self { client, requests, server: Server::new(settings), wire: Vec::new() }
    }

    /// Moves bytes both ways until nothing moves; the streams that were opened.
    fn run(&mut self) -> Vec<Incoming<Bytes>> {
        let mut opened = Vec::new();
        loop {
            assert!(self.client.poll(&mut context()).is_pending());
            let mut moved = self.client.take_output(&mut self.wire);
            self.server.feed(&self.wire, Duration::ZERO).unwrap();
            self.wire.clear();
            while let Poll::Ready(stream) = self.server.poll(&mut context()) {
                opened.push(stream.unwrap().unwrap());
            }
            moved += self.server.take_output(&mut self.wire);
            self.client.feed(&self.wire, Duration::ZERO).unwrap();
            self.wire.clear();
            if moved == 0 {
                return opened;
            }
        }
    }
}

fn get(fields: &Fields) -> Outgoing<'_> {
    Outgoing {
        method: "GET",
        scheme: Scheme::Https,
        authority: "example.com",
        path: "/a/b?c",
        fields,
        framing: Framing::None,
        te_trailers: false,
        protocol: None,
    }
}

fn ready<T>(poll: Poll<T>) -> T {
    match poll {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("not ready"),
    }
}

fn of(lines: &[(&str, &str)]) -> Fields {
    let mut fields = Fields::new();
    for (name, value) in lines {
        fields.push(name, value.as_bytes()).unwrap();
    }
    fields
}

fn lines(fields: &Fields) -> Vec<String> {
    fields.iter().map(|(name, value)| format!("{name}: {}", value.escape_ascii())).collect()
}

/// One stream, seen from both sides.
struct Stream {
    response: Response,
    upload: Outbound<Bytes>,
    head: RequestHead,
    body: Body,
    respond: Respond<Bytes>,
}

impl Pair {
    fn open(&mut self, request: &Outgoing<'_>, ends: bool) -> Stream {
        let (response, upload) = self.requests.send(request, ends).unwrap();
        let incoming = self.run().pop().unwrap();
        let mut head = RequestHead::new();
        incoming.read_head(&Limits::default(), &mut head).unwrap();
        let (body, respond) = incoming.into_halves();
        Stream { response, upload, head, body, respond }
    }
}

impl Stream {
    fn response(&mut self) -> Result<(ResponseHead, Body), StreamError> {
        let mut head = ResponseHead::new();
        let body = ready(self.response.poll(&mut context(), &Limits::default(), &mut head))?;
        Ok((head, body))
    }
}

/// All data that is there, released; whether the end is there, too.
fn drain(body: &mut Body) -> (Vec<u8>, bool) {
    let mut all = Vec::new();
    loop {
        match body.poll_data(&mut context()) {
            Poll::Ready(Some(data)) => {
                let data = data.unwrap();
                all.extend_from_slice(&data);
                body.release(data.len());
            }
            Poll::Ready(None) => return (all, true),
            Poll::Pending => return (all, false),
        }
    }
}

#[test]
fn a_request_is_answered() {
    let mut pair = Pair::new(&Settings::default());
    let mut stream = pair.open(&get(&of(&[("X-A", "1")])), true);
    let head = &stream.head;
    assert_eq!((head.method, head.version, head.framing), (Method::Get, Version::Http2, Framing::None));
    assert_eq!((head.path(), head.query(), head.host()), ("/a/b", Some("c"), "example.com"));
    assert_eq!(lines(&head.fields), ["x-a: 1", "Host: example.com"]);
    let mut out = stream.respond.send_head(200, &Fields::new(), BodySize::Known(5), false).unwrap();
    out.reserve(5);
    assert_eq!(ready(out.poll_capacity(&mut context())), Ok(5));
    out.send(Bytes::from_static(b"hello"), true).unwrap();
    pair.run();
    let (head, mut body) = stream.response().unwrap();
    assert_eq!((head.status, head.framing), (200, Framing::Length(5)));
    assert_eq!(drain(&mut body), (b"hello".to_vec(), true));
    assert!(body.is_end());
}

#[test]
fn what_belongs_to_one_connection_does_not_leave() {
    let hop = [
        ("Connection", "close"),
        ("Keep-Alive", "5"),
        ("Proxy-Connection", "close"),
        ("TE", "gzip"),
        ("Trailer", "x"),
        ("Transfer-Encoding", "chunked"),
        ("Upgrade", "websocket"),
        ("Content-Length", "99"),
        ("X-Kept", "1"),
    ];
    let mut pair = Pair::new(&Settings::default());
    let mut fields = of(&hop);
    fields.push("Host", b"other").unwrap();
    let mut stream = pair.open(&Outgoing { framing: Framing::Length(5), ..get(&fields) }, false);
    assert_eq!(lines(&stream.head.fields), ["x-kept: 1", "content-length: 5", "Host: example.com"]);
    stream.respond.send_head(200, &of(&hop), BodySize::Unknown, true).unwrap();
    pair.run();
    let (head, body) = stream.response().unwrap();
    assert_eq!((lines(&head.fields), head.framing), (vec!["x-kept: 1".to_owned()], Framing::Length(0)));
    assert!(body.is_end());
}

#[test]
fn lengths_are_stated_as_in_http_1() {
    let fields = of(&[("Content-Length", "7")]);
    let rows = [
        ("GET", 200, BodySize::Known(5), "content-length: 5", Framing::Length(5), false),
        ("GET", 200, BodySize::Known(0), "content-length: 0", Framing::Length(0), true),
        ("GET", 200, BodySize::Unknown, "", Framing::Chunked, false),
        ("HEAD", 200, BodySize::Forbidden, "content-length: 7", Framing::None, true),
        ("GET", 304, BodySize::Forbidden, "content-length: 7", Framing::None, true),
        ("GET", 204, BodySize::Known(5), "", Framing::None, true),
    ];
    for (method, status, size, length, framing, ends) in rows {
        let mut pair = Pair::new(&Settings::default());
        let mut stream = pair.open(&Outgoing { method, ..get(&Fields::new()) }, true);
        let mut out = stream.respond.send_head(status, &fields, size, false).unwrap();
        assert_eq!(out.send(Bytes::from_static(b"12345"), true).is_err(), ends, "{method} {status} {size:?}");
        pair.run();
        let (head, body) = stream.response().unwrap();
        assert_eq!((lines(&head.fields).concat(), head.framing), (length.to_owned(), framing));
        assert_eq!(body.is_end(), ends, "{method} {status} {size:?}");
    }
}

#[test]
fn interim_responses_come_before_the_final_one() {
    let mut pair = Pair::new(&Settings::default());
    let mut stream = pair.open(&get(&Fields::new()), true);
    stream.respond.send_interim(100, &Fields::new()).unwrap();
    stream.respond.send_interim(103, &of(&[("Link", "</a>"), ("Content-Length", "1")])).unwrap();
    assert_eq!(stream.respond.send_interim(101, &Fields::new()), Err(StreamError::Unwritable));
    stream.respond.send_head(204, &Fields::new(), BodySize::Forbidden, true).unwrap();
    pair.run();
    let mut head = ResponseHead::new();
    let mut seen = Vec::new();
    while ready(stream.response.poll_interim(&mut context(), &Limits::default(), &mut head)).unwrap() {
        seen.push((head.status, lines(&head.fields).concat()));
    }
    assert_eq!(seen, [(100, String::new()), (103, "link: </a>".to_owned())]);
    assert_eq!(stream.response().unwrap().0.status, 204);
    assert!(matches!(stream.response(), Err(StreamError::Closed)), "a response comes once");
}

#[test]
fn trailers_go_both_ways_without_what_must_not_be_in_them() {
    let trailers = [("Grpc-Status", "0"), ("Content-Length", "5"), ("Set-Cookie", "a=b"), ("X-Sum", "1")];
    let mut pair = Pair::new(&Settings::default());
    let mut stream = pair.open(&Outgoing { te_trailers: true, ..get(&Fields::new()) }, false);
    assert_eq!(
        (stream.head.fields.value("te"), stream.head.framing),
        (Some(&b"trailers"[..]), Framing::Chunked)
    );
    let mut out = stream.respond.send_head(200, &Fields::new(), BodySize::Unknown, false).unwrap();
    stream.upload.send_trailers(&of(&trailers)).unwrap();
    out.send_trailers(&of(&trailers)).unwrap();
    pair.run();
    let (_, answer) = stream.response().unwrap();
    for mut body in [stream.body, answer] {
        let mut fields = Fields::new();
        assert_eq!(drain(&mut body), (Vec::new(), true));
        assert_eq!(ready(body.poll_trailers(&mut context(), &Limits::default(), &mut fields)), Ok(true));
        assert_eq!(lines(&fields), ["grpc-status: 0", "x-sum: 1"]);
        assert!(body.is_end());
    }
}

#[test]
fn trailers_are_held_to_the_limits_of_a_head() {
    let trailers = of(&[("a", "1"), ("b", "2")]);
    for (fields_max, head_bytes_max, fits) in [(2, 12, true), (1, 12, false), (2, 9, false)] {
        let mut pair = Pair::new(&Settings::default());
        let mut stream = pair.open(&get(&Fields::new()), false);
        stream.upload.send_trailers(&trailers).unwrap();
        pair.run();
        let limits = Limits { fields_max, head_bytes_max, ..Limits::default() };
        drain(&mut stream.body);
        let outcome = ready(stream.body.poll_trailers(&mut context(), &limits, &mut Fields::new()));
        assert_eq!(outcome.is_ok(), fits, "{fields_max} {head_bytes_max}: {outcome:?}");
    }
}

#[test]
fn a_websocket_is_asked_for_and_its_bytes_pass() {
    let mut pair = Pair::new(&Settings::default());
    pair.run();
    assert!(pair.requests.allows_extended_connect());
    let fields = of(&[("Sec-WebSocket-Key", "k"), ("Sec-WebSocket-Version", "13"), ("Upgrade", "websocket")]);
    let mut stream = pair.open(&Outgoing { protocol: Some("websocket"), ..get(&fields) }, false);
    let head = &stream.head;
    assert!(head.extended_connect && head.upgrade() == Some(b"websocket") && head.method == Method::Get);
    assert_eq!(lines(&head.fields), ["sec-websocket-version: 13", "Host: example.com"]);
    let mut out = stream.respond.send_head(200, &Fields::new(), BodySize::Unknown, false).unwrap();
    out.send(Bytes::from_static(b"down"), false).unwrap();
    stream.upload.send(Bytes::from_static(b"up"), false).unwrap();
    pair.run();
    let (head, mut body) = stream.response().unwrap();
    assert_eq!((head.status, head.framing), (200, Framing::None));
    assert_eq!(
        (drain(&mut body), drain(&mut stream.body)),
        ((b"down".to_vec(), false), (b"up".to_vec(), false))
    );
}

#[test]
fn a_sender_waits_for_the_windows_of_its_receiver() {
    let settings = Settings { stream_window: 70_000, send_buffer_bytes_max: 1 << 20, ..Settings::default() };
    let mut pair = Pair::new(&settings);
    pair.run();
    let mut stream = pair.open(&get(&Fields::new()), false);
    let (mut sent, mut received) = (0, 0);
    for round in 0..5 {
        stream.upload.reserve(100_000);
        let capacity = ready(stream.upload.poll_capacity(&mut context())).unwrap();
        assert_eq!(capacity, 70_000, "round {round}");
        stream.upload.send(Bytes::from(vec![b'x'; capacity]), false).unwrap();
        sent += capacity;
        pair.run();
        stream.upload.reserve(1);
        assert!(stream.upload.poll_capacity(&mut context()).is_pending());
        received += drain(&mut stream.body).0.len();
        pair.run();
    }
    assert_eq!(sent, received);
}

#[test]
fn a_refused_stream_was_not_processed_and_a_cancelled_one_may_have_been() {
    for (reason, expected) in [
        (Reason::REFUSED_STREAM, StreamError::NotProcessed),
        (Reason::CANCEL, StreamError::Reset(Reason::CANCEL)),
        (Reason::INTERNAL_ERROR, StreamError::Reset(Reason::INTERNAL_ERROR)),
    ] {
        let mut pair = Pair::new(&Settings::default());
        let mut stream = pair.open(&get(&Fields::new()), false);
        stream.respond.reset(reason);
        pair.run();
        assert_eq!(stream.response().err(), Some(expected));
        assert_eq!(ready(stream.upload.poll_reset(&mut context())), StreamError::Reset(reason));
        assert_eq!(ready(stream.upload.poll_capacity(&mut context())), Err(StreamError::Reset(reason)));
        assert_eq!(stream.upload.send(Bytes::new(), true), Err(StreamError::Closed));
    }
}

#[test]
fn a_client_that_gives_up_is_seen_on_both_halves() {
    let mut pair = Pair::new(&Settings::default());
    let mut waiting = pair.open(&get(&Fields::new()), false);
    waiting.upload.reset(Reason::CANCEL);
    pair.run();
    let cancelled = StreamError::Reset(Reason::CANCEL);
    assert_eq!(ready(waiting.respond.poll_reset(&mut context())), cancelled);
    assert_eq!(ready(waiting.body.poll_data(&mut context())).unwrap(), Err(cancelled));
    // Dropped before it was answered, and before it was sent whole.
    let dropped = pair.open(&get(&Fields::new()), false);
    let Stream { response, upload, mut respond, .. } = dropped;
    drop((response, upload));
    pair.run();
    assert_eq!(ready(respond.poll_reset(&mut context())), cancelled);
}

#[test]
fn going_away_serves_what_was_opened_and_nothing_else() {
    let mut pair = Pair::new(&Settings::default());
    let mut stream = pair.open(&get(&Fields::new()), true);
    pair.server.go_away();
    pair.run();
    assert!(pair.requests.is_closed(), "no new streams");
    assert_eq!(pair.requests.send(&get(&Fields::new()), true).err(), Some(StreamError::NotProcessed));
    let mut out = stream.respond.send_head(200, &Fields::new(), BodySize::Unknown, false).unwrap();
    out.send(Bytes::from_static(b"late"), true).unwrap();
    let cx = &mut context();
    assert!(is_over(&pair.server.poll(cx)) && pair.server.is_closed());
    pair.server.take_output(&mut pair.wire);
    pair.client.feed(&pair.wire, Duration::ZERO).unwrap();
    drop(pair.requests);
    let _ = pair.client.poll(cx);
    let (head, mut body) = stream.response().unwrap();
    assert_eq!((head.status, drain(&mut body)), (200, (b"late".to_vec(), true)));
}

/// Whether a server says that its connection has ended well.
fn is_over(said: &Poll<Result<Option<Incoming<Bytes>>, ConnectionError>>) -> bool {
    matches!(said, Poll::Ready(Ok(None)))
}

#[test]
fn streams_end_with_their_connection() {
    let mut pair = Pair::new(&Settings::default());
    let mut stream = pair.open(&get(&Fields::new()), false);
    pair.server.end_of_input();
    assert!(is_over(&pair.server.poll(&mut context())));
    assert_eq!(
        ready(stream.respond.poll_reset(&mut context())),
        StreamError::Connection(ConnectionError::Closed)
    );
    pair.client.end_of_input();
    assert!(pair.client.poll(&mut context()).is_ready());
    assert_eq!(stream.response().err(), Some(StreamError::Connection(ConnectionError::Closed)));
    assert!(pair.requests.is_closed());
}

#[test]
fn an_aborted_connection_says_why() {
    let mut pair = Pair::new(&Settings::default());
    let mut stream = pair.open(&get(&Fields::new()), false);
    pair.server.abort(Reason::ENHANCE_YOUR_CALM);
    assert!(is_over(&pair.server.poll(&mut context())));
    pair.server.take_output(&mut pair.wire);
    pair.client.feed(&pair.wire, Duration::ZERO).unwrap();
    pair.client.end_of_input();
    let ended = ready(pair.client.poll(&mut context()));
    assert_eq!(ended, Err(ConnectionError::Peer(Reason::ENHANCE_YOUR_CALM)));
    // The stream's number is not above the last one in the GOAWAY: it may have been processed.
    assert!(matches!(stream.response().err(), Some(StreamError::Connection(_))));
}

#[test]
fn what_cannot_be_written_is_refused() {
    let mut pair = Pair::new(&Settings::default());
    let fields = Fields::new();
    let rows = [
        Outgoing { method: "G T", ..get(&fields) },
        Outgoing { method: "", ..get(&fields) },
        Outgoing { authority: "", ..get(&fields) },
        Outgoing { authority: "a\r\nb", ..get(&fields) },
        Outgoing { authority: "u@a", ..get(&fields) },
        Outgoing { path: "", ..get(&fields) },
        Outgoing { path: "a", ..get(&fields) },
        Outgoing { path: "/a b", ..get(&fields) },
        Outgoing { path: "/a\r\n", ..get(&fields) },
        Outgoing { path: "/a#b", ..get(&fields) },
        Outgoing { path: "http://b/", ..get(&fields) },
    ];
    for request in rows {
        assert_eq!(pair.requests.send(&request, true).err(), Some(StreamError::Unwritable), "{request:?}");
    }
    assert!(pair.run().is_empty());
}

#[test]
fn a_query_is_escaped_where_no_uri_has_its_bytes() {
    let mut pair = Pair::new(&Settings::default());
    let stream = pair.open(&Outgoing { path: "/a?b=\"<c>\"{d}", ..get(&Fields::new()) }, true);
    assert_eq!(stream.head.query(), Some("b=%22%3Cc%3E%22{d}"));
}

#[test]
fn secrets_are_never_indexed() {
    let secrets =
        ["Authorization", "Cookie", "Proxy-Authorization", "Set-Cookie"].map(|name| (name, "secret"));
    let mut pair = Pair::new(&Settings::default());
    pair.run();
    let (_response, _upload) = pair.requests.send(&get(&of(&secrets)), true).unwrap();
    assert!(pair.client.poll(&mut context()).is_pending());
    pair.client.take_output(&mut pair.wire);
    // Literals with names of the static table: 23, 32, 49 and 55 behind a prefix of four bits (RFC 7541, 6.2.3).
    for index in [23, 32, 49, 55] {
        let literal = [0x1f, index - 15];
        assert!(pair.wire.windows(2).any(|bytes| bytes == literal), "{index}: {}", pair.wire.escape_ascii());
    }
}

#[test]
fn a_resting_connection_holds_no_memory_of_its_own_and_goes_on() {
    let mut pair = Pair::new(&Settings::default());
    for _ in 0..3 {
        let mut stream = pair.open(&get(&Fields::new()), true);
        stream.respond.send_head(204, &Fields::new(), BodySize::Forbidden, true).unwrap();
        pair.run();
        assert_eq!(stream.response().unwrap().0.status, 204);
        drop(stream);
        pair.server.shrink();
        pair.client.shrink();
        assert!(!pair.server.has_streams());
    }
}

#[test]
fn a_connect_has_an_authority_and_nothing_else() {
    let mut pair = Pair::new(&Settings::default());
    let fields = Fields::new();
    let request = Outgoing { method: "CONNECT", authority: "a:443", path: "", ..get(&fields) };
    let stream = pair.open(&request, false);
    let head = stream.head;
    assert_eq!(
        (head.method, head.authority(), head.host(), head.path()),
        (Method::Connect, "a:443", "a", "")
    );
    assert_eq!(head.framing, Framing::None);
}
