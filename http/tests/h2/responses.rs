//! What a client makes of responses, frame by frame as a server may send them.

use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crate::frames::{
    DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PING, PREFACE, RST_STREAM, SETTINGS, block, frame, frames,
};
use bytes::Bytes;
use ringway_http::h2::{
    Client, ConnectionError, Flood, Outgoing, Reason, Requests, Response, Scheme, Settings, StreamError,
};
use ringway_http::{Fields, Framing, Limits, ResponseHead};

/// A client whose server is written by hand.
struct Upstream {
    client: Client<Bytes>,
    requests: Requests<Bytes>,
}

fn context() -> Context<'static> {
    Context::from_waker(Waker::noop())
}

impl Upstream {
    fn new(settings: &Settings) -> Self {
        let (client, requests) = Client::new(settings).unwrap();
        let mut upstream = Self { client, requests };
        upstream.answer(&frame(SETTINGS, 0, 0, &[])).unwrap();
        upstream
    }

    fn ask(&mut self, method: &str) -> Response {
        let fields = Fields::new();
        let request = Outgoing {
            method,
            scheme: Scheme::Http,
            authority: "a",
            path: "/",
            fields: &fields,
            framing: Framing::None,
            te_trailers: false,
            protocol: None,
        };
        let (response, _) = self.requests.send(&request, true).unwrap();
        assert!(self.client.poll(&mut context()).is_pending());
        response
    }

    fn answer(&mut self, bytes: &[u8]) -> Result<(), Flood> {
        self.client.feed(bytes, Duration::ZERO)?;
        let _ = self.client.poll(&mut context());
        Ok(())
    }
}

/// What is said of a response, if it has come.
fn outcome(response: &mut Response) -> String {
    let mut head = ResponseHead::new();
    match response.poll(&mut context(), &Limits::default(), &mut head) {
        Poll::Ready(Ok(_)) => format!("{} {:?}", head.status, head.framing),
        Poll::Ready(Err(StreamError::Head(error))) => error.response_reason().to_owned(),
        Poll::Ready(Err(error)) => error.to_string(),
        Poll::Pending => "waits".to_owned(),
    }
}

#[test]
fn a_client_says_hello() {
    let (mut client, _requests) = Client::<Bytes>::new(&Settings::default()).unwrap();
    assert!(client.poll(&mut context()).is_pending());
    let mut out = Vec::new();
    client.take_output(&mut out);
    let said = frames(out.strip_prefix(PREFACE).unwrap());
    // No push, and no streams that a server opens.
    assert_eq!((said[0].kind, &said[0].payload[..6]), (SETTINGS, &[0, 2, 0, 0, 0, 0][..]));
}

#[test]
fn responses_are_what_they_would_be_in_http_1() {
    type Row<'a> = (&'a str, &'a [(&'a str, &'a str)], bool, &'a str);
    let malformed = "the stream was malformed: unspecific protocol error detected";
    let rows: &[Row<'_>] = &[
        ("GET", &[(":status", "200")], false, "200 Chunked"),
        ("GET", &[(":status", "200")], true, "200 Length(0)"),
        ("GET", &[(":status", "200"), ("content-length", "5")], false, "200 Length(5)"),
        ("GET", &[(":status", "200"), ("content-length", "5")], true, malformed),
        (
            "GET",
            &[(":status", "200"), ("content-length", "5"), ("content-length", "5")],
            false,
            "response.framing.length.repeated",
        ),
        ("GET", &[(":status", "200"), ("content-length", "5"), ("content-length", "6")], false, malformed),
        ("GET", &[(":status", "200"), ("content-length", "x")], false, malformed),
        ("HEAD", &[(":status", "200"), ("content-length", "5")], true, "200 None"),
        ("GET", &[(":status", "304"), ("content-length", "5")], true, "304 None"),
        ("GET", &[(":status", "204")], true, "204 None"),
        ("GET", &[(":status", "999")], true, "response.status"),
        ("GET", &[(":status", "600")], true, "response.status"),
        ("GET", &[("x", "1")], true, malformed),
        ("GET", &[(":status", "200"), ("connection", "close")], true, malformed),
        ("GET", &[(":status", "200"), ("transfer-encoding", "chunked")], false, malformed),
        ("GET", &[(":status", "200"), ("upgrade", "h2c")], false, malformed),
        ("GET", &[(":status", "200"), ("x", " 1")], true, "response.field.value"),
        ("GET", &[(":status", "200"), (":status", "200")], true, malformed),
        ("GET", &[("x", "1"), (":status", "200")], true, malformed),
        ("GET", &[(":status", "200"), (":path", "/")], true, "200 Length(0)"),
    ];
    for (method, lines, ends, expected) in rows {
        let mut upstream = Upstream::new(&Settings::default());
        let mut response = upstream.ask(method);
        let flags = END_HEADERS | if *ends { END_STREAM } else { 0 };
        upstream.answer(&frame(HEADERS, flags, 1, &block(lines))).unwrap();
        assert_eq!(outcome(&mut response), *expected, "{method} {lines:?}");
    }
}

#[test]
fn bytes_that_no_field_has_end_the_connection() {
    let rows: [(&[u8], &[u8]); 9] = [
        (b"X", b"1"),
        (b"x y", b"1"),
        (b"x:", b"1"),
        (b"x\r\ny", b"1"),
        (b"", b"1"),
        (b"x", b"1\r\ny: 2"),
        (b"x", b"1\n"),
        (b"x", b"\0"),
        (b"x", b"\x7f"),
    ];
    for (name, value) in rows {
        let mut upstream = Upstream::new(&Settings::default());
        let mut response = upstream.ask("GET");
        let lines: [(&[u8], &[u8]); 2] = [(b":status", b"200"), (name, value)];
        upstream.answer(&frame(HEADERS, END_HEADERS, 1, &block(&lines))).unwrap();
        assert!(outcome(&mut response).starts_with("the connection ended"), "{}", name.escape_ascii());
        assert!(upstream.requests.is_closed());
    }
}

#[test]
fn a_101_has_no_place_in_http_2() {
    let mut upstream = Upstream::new(&Settings::default());
    let mut response = upstream.ask("GET");
    upstream.answer(&frame(HEADERS, END_HEADERS, 1, &block(&[(":status", "101")]))).unwrap();
    let mut head = ResponseHead::new();
    let interim = response.poll_interim(&mut context(), &Limits::default(), &mut head);
    assert!(matches!(interim, Poll::Ready(Err(StreamError::Head(_)))), "{interim:?}");
}

#[test]
fn going_away_says_which_streams_were_not_processed() {
    let mut upstream = Upstream::new(&Settings::default());
    let (mut first, mut second) = (upstream.ask("GET"), upstream.ask("GET"));
    upstream.answer(&frame(GOAWAY, 0, 0, &[0, 0, 0, 1, 0, 0, 0, 0])).unwrap();
    assert_eq!(outcome(&mut second), StreamError::NotProcessed.to_string());
    assert!(upstream.requests.is_closed());
    assert_eq!(outcome(&mut first), "waits");
    upstream.answer(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &block(&[(":status", "200")]))).unwrap();
    assert_eq!(outcome(&mut first), "200 Length(0)");
}

#[test]
fn what_was_processed_before_the_connection_broke_is_not_said_to_be_safe() {
    let mut upstream = Upstream::new(&Settings::default());
    let mut response = upstream.ask("GET");
    upstream.answer(&frame(GOAWAY, 0, 0, &[0, 0, 0, 1, 0, 0, 0, 2])).unwrap();
    upstream.client.end_of_input();
    let ended = upstream.client.poll(&mut context());
    assert_eq!(ended, Poll::Ready(Err(ConnectionError::Peer(Reason::INTERNAL_ERROR))));
    assert_eq!(outcome(&mut response), "the connection ended: the connection was closed");
}

#[test]
fn a_server_that_floods_is_closed() {
    let mut upstream = Upstream::new(&Settings::default());
    let most = Settings::default().guard.pings_max;
    let mut response = upstream.ask("GET");
    let ping = frame(PING, 0, 0, &[0; 8]);
    for _ in 0..most {
        assert_eq!(upstream.answer(&ping), Ok(()));
    }
    assert_eq!(upstream.answer(&ping), Err(Flood::Pings));
    assert!(upstream.client.is_closed());
    assert!(outcome(&mut response).starts_with("the connection ended"));
}

#[test]
fn a_pushed_stream_ends_the_connection() {
    let mut upstream = Upstream::new(&Settings::default());
    let _response = upstream.ask("GET");
    let mut payload = 2u32.to_be_bytes().to_vec();
    payload.extend(block(&[(":method", "GET"), (":scheme", "http"), (":authority", "a"), (":path", "/")]));
    upstream.answer(&frame(0x5, END_HEADERS, 1, &payload)).unwrap();
    assert!(upstream.requests.is_closed());
}

#[test]
fn an_answer_may_come_before_the_request_is_whole() {
    let mut upstream = Upstream::new(&Settings::default());
    let mut response = upstream.ask("GET");
    let mut wire = frame(HEADERS, END_HEADERS, 1, &block(&[(":status", "413")]));
    wire.extend(frame(DATA, END_STREAM, 1, b"no"));
    wire.extend(frame(RST_STREAM, 0, 1, &0u32.to_be_bytes()));
    upstream.answer(&wire).unwrap();
    let mut head = ResponseHead::new();
    let Poll::Ready(Ok(mut body)) = response.poll(&mut context(), &Limits::default(), &mut head) else {
        panic!("the answer is lost");
    };
    assert_eq!(body.poll_data(&mut context()), Poll::Ready(Some(Ok(Bytes::from_static(b"no")))));
}
