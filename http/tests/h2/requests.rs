//! What a server makes of requests, byte by byte as they come.

use std::task::{Context, Poll, Waker};

use crate::frames::{
    DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PREFACE, Peer, RST_STREAM, SETTINGS, block, frame,
};
use ringway_http::h2::Settings;
use ringway_http::{Limits, RequestHead};

const PROTOCOL_ERROR: u32 = 1;

/// A header list as it is written in a test.
type Lines<'a> = &'a [(&'a str, &'a str)];

/// What became of a request: its head in one line, or the status and word of what is wrong with it, or the code of the
/// reset or of the connection's end.
fn outcome(lines: Lines<'_>, ends: bool) -> String {
    outcome_of(&block(lines), if ends { END_STREAM } else { 0 }, &Limits::default())
}

fn outcome_of(block: &[u8], flags: u8, limits: &Limits) -> String {
    let mut wire = PREFACE.to_vec();
    wire.extend(frame(SETTINGS, 0, 0, &[]));
    wire.extend(frame(HEADERS, END_HEADERS | flags, 1, block));
    let whole = outcome_split(&wire, wire.len(), 0, limits);
    for at in [1, 24, 25, 33, 34, 42, 43, 50, wire.len() - 1] {
        assert_eq!(outcome_split(&wire, at.min(wire.len()), 0, limits), whole, "split at {at}");
    }
    assert_eq!(outcome_split(&wire, 1, 1, limits), whole, "byte by byte");
    whole
}

/// Feeds `first` bytes and then the rest, in pieces of so many bytes (0: at once).
fn outcome_split(wire: &[u8], first: usize, piece: usize, limits: &Limits) -> String {
    let mut peer = Peer::silent(&Settings::default());
    let (start, rest) = wire.split_at(first);
    peer.feed(start).unwrap();
    for piece in rest.chunks(if piece == 0 { rest.len().max(1) } else { piece }) {
        peer.feed(piece).unwrap();
    }
    if let Some(code) = peer.code(GOAWAY) {
        return format!("goaway {code}");
    }
    if let Some(code) = peer.code(RST_STREAM) {
        return format!("reset {code}");
    }
    let mut head = RequestHead::new();
    match peer.streams[0].read_head(limits, &mut head) {
        Ok(()) => describe(&head),
        Err(error) => format!("{} {}", error.status(), error.reason()),
    }
}

fn describe(head: &RequestHead) -> String {
    let (method, path, host) = (head.method_text(), head.path(), head.host());
    let query = head.query().map(|query| format!("?{query}")).unwrap_or_default();
    let mut line = format!("{method} {host} {path}{query} {:?}", head.framing);
    if head.expects_continue {
        line += " expects";
    }
    if let Some(upgrade) = head.upgrade() {
        assert!(head.extended_connect);
        line.extend([" upgrade=".to_owned(), upgrade.escape_ascii().to_string()]);
    }
    let fields: Vec<_> = head
        .fields
        .iter()
        .filter(|(name, _)| !name.eq_ignore_ascii_case("host"))
        .map(|(name, value)| format!(" {name}={}", value.escape_ascii()))
        .collect();
    assert_eq!(head.fields.value("host"), Some(head.authority().as_bytes()));
    line + &fields.concat()
}

/// A GET of `/` on `a` with more lines.
fn with(more: Lines<'_>) -> Vec<(&str, &str)> {
    let mut lines = vec![(":method", "GET"), (":scheme", "https"), (":authority", "a"), (":path", "/")];
    lines.extend(more);
    lines
}

/// A request for `path` on `authority`.
fn target<'a>(method: &'a str, authority: &'a str, path: &'a str) -> Vec<(&'a str, &'a str)> {
    vec![(":method", method), (":scheme", "https"), (":authority", authority), (":path", path)]
}

#[test]
fn heads_are_what_they_would_be_in_http_1() {
    let rows: &[(Lines<'_>, bool, &str)] = &[
        (&with(&[]), true, "GET a / None"),
        (&with(&[]), false, "GET a / Chunked"),
        (&with(&[("content-length", "0")]), true, "GET a / Length(0) content-length=0"),
        (&with(&[("content-length", "5")]), false, "GET a / Length(5) content-length=5"),
        (&with(&[("content-length", "5")]), true, "reset 1"),
        (
            &with(&[("x-a", "1"), ("accept", "*/*"), ("x-a", "2")]),
            true,
            "GET a / None x-a=1 x-a=2 accept=*/*",
        ),
        (
            &with(&[("cookie", "a=1"), ("x-b", ""), ("cookie", "b=2")]),
            true,
            "GET a / None x-b= Cookie=a=1; b=2",
        ),
        (&with(&[("te", "trailers")]), true, "GET a / None te=trailers"),
        (&with(&[("host", "a")]), true, "GET a / None"),
        (&with(&[("host", "A")]), true, "GET a / None"),
        (&with(&[("expect", "100-continue")]), false, "GET a / Chunked expects expect=100-continue"),
        (&with(&[("expect", "100-continue")]), true, "GET a / None expect=100-continue"),
        (&with(&[("expect", "more")]), false, "417 request.expectation"),
        (&[(":method", "GET"), (":scheme", "http"), (":path", "/x"), ("host", "B:1")], true, "GET b /x None"),
        (&[(":method", "PURGE"), (":scheme", "http"), (":path", "/"), ("host", "b")], true, "PURGE b / None"),
    ];
    for (lines, ends, expected) in rows {
        assert_eq!(outcome(lines, *ends), *expected, "{lines:?}");
    }
}

#[test]
fn targets_have_the_forms_of_their_methods() {
    let rows = [
        (target("GET", "a", "/b/../c/%7e?d=/../#"), "GET a /c/~?d=/../"),
        (target("GET", "Example.COM.:8080", "//x"), "GET example.com /x"),
        (target("GET", "[::1]:1", "/"), "GET [::1] /"),
        (target("OPTIONS", "a", "*"), "OPTIONS a *"),
        (target("GET", "a", "*"), "400 request.target"),
        (target("GET", "a", "x"), "reset 1"),
        (target("GET", "a", "http://b/"), "reset 1"),
        (target("GET", "a", "/.."), "400 request.path"),
        (target("GET", "a", "/%00"), "400 request.path"),
        (target("GET", "a", ""), "reset 1"),
        (target("GET", "a", "/ b"), "reset 1"),
        (target("GET", "a", "/\u{e9}"), "400 request.target"),
        (target("GET", "", "/"), "reset 1"),
        (target("GET", "u@a", "/"), "400 request.host.invalid"),
        (target("GET", "a..b", "/"), "400 request.host.invalid"),
        (target("GET", "a:", "/"), "400 request.host.invalid"),
        (target("GET", "a/b", "/"), "reset 1"),
        (
            vec![(":method", "GET"), (":scheme", "ftp"), (":authority", "a"), (":path", "/")],
            "400 request.target.scheme",
        ),
        (vec![(":method", "GET"), (":authority", "a"), (":path", "/")], "reset 1"),
        (vec![(":scheme", "http"), (":authority", "a"), (":path", "/")], "reset 1"),
        (vec![(":method", "GET"), (":scheme", "http"), (":authority", "a")], "reset 1"),
        (vec![(":method", "GET"), (":scheme", "http"), ("host", "a")], "400 request.target"),
        (vec![(":method", "GET"), (":scheme", "http"), (":path", "/")], "400 request.host.missing"),
        (vec![(":method", "CONNECT"), (":authority", "a:443")], "CONNECT a "),
        (vec![(":method", "CONNECT"), (":authority", "a")], "400 request.target"),
        (vec![(":method", "CONNECT"), (":authority", "a:443"), (":path", "/")], "reset 1"),
        (vec![(":method", "CONNECT"), ("host", "a:443")], "400 request.target"),
    ];
    for (lines, expected) in rows {
        let outcome = outcome(&lines, true);
        let outcome = outcome.strip_suffix(" None").unwrap_or(&outcome);
        assert_eq!(outcome, expected, "{lines:?}");
    }
}

#[test]
fn an_extended_connect_is_an_upgrade() {
    let websocket = |more: Lines<'static>| {
        let mut lines = target("CONNECT", "a", "/chat");
        lines.insert(0, (":protocol", "websocket"));
        lines.extend(more);
        lines
    };
    let rows = [
        (websocket(&[]), "GET a /chat None upgrade=websocket"),
        (
            websocket(&[("sec-websocket-version", "13")]),
            "GET a /chat None upgrade=websocket sec-websocket-version=13",
        ),
        (websocket(&[("content-length", "1")]), "400 request.framing.length"),
        (vec![(":method", "CONNECT"), (":protocol", "websocket"), (":authority", "a")], "reset 1"),
    ];
    for (lines, expected) in rows {
        assert_eq!(outcome(&lines, false), expected, "{lines:?}");
    }
    for (method, protocol, expected) in
        [("GET", "websocket", "reset 1"), ("CONNECT", "connect-udp", "501 request.protocol")]
    {
        let mut lines = target(method, "a", "/");
        lines.insert(0, (":protocol", protocol));
        assert_eq!(outcome(&lines, false), expected, "{lines:?}");
    }
}

#[test]
fn nothing_can_be_injected() {
    let rows: &[(&[u8], &[u8], &str)] = &[
        (b"x\r", b"1", "connection"),
        (b"x\n", b"1", "connection"),
        (b"x\0", b"1", "connection"),
        (b"x:", b"1", "connection"),
        (b"x y", b"1", "connection"),
        (b" x", b"1", "connection"),
        (b"X", b"1", "connection"),
        (b"", b"1", "connection"),
        (b"x\xe9", b"1", "connection"),
        (b"x", b"1\r", "connection"),
        (b"x", b"1\n2", "connection"),
        (b"x", b"1\r\ny: 2", "connection"),
        (b"x", b"1\0", "connection"),
        (b"x", b"\x7f", "connection"),
        (b"x", b" 1", "400 request.field.value"),
        (b"x", b"1\t", "400 request.field.value"),
        (b"connection", b"close", "reset 1"),
        (b"connection", b"", "reset 1"),
        (b"keep-alive", b"1", "reset 1"),
        (b"proxy-connection", b"close", "reset 1"),
        (b"transfer-encoding", b"chunked", "reset 1"),
        (b"upgrade", b"websocket", "reset 1"),
        (b"te", b"gzip", "reset 1"),
        (b"te", b"trailers, gzip", "reset 1"),
        (b"host", b"b", "400 request.host.different"),
        (b"host", b"a:80", "400 request.host.different"),
        (b"host", b"", "400 request.host.different"),
        (b"content-length", b"-1", "reset 1"),
        (b"content-length", b"1, 1", "reset 1"),
        (b":authority", b"b", "reset 1"),
        (b":path", b"/b", "reset 1"),
        (b":status", b"200", "reset 1"),
        (b":unknown", b"1", "connection"),
    ];
    for (name, value, expected) in rows {
        let lines: Vec<(&[u8], &[u8])> = with(&[("a", "b")])
            .into_iter()
            .map(|(name, value)| (name.as_bytes(), value.as_bytes()))
            .chain([(*name, *value)])
            .collect();
        let outcome = outcome_of(&block(&lines), END_STREAM, &Limits::default());
        let outcome = if outcome.starts_with("goaway") { "connection" } else { &outcome };
        assert_eq!(outcome, *expected, "{}: {}", name.escape_ascii(), value.escape_ascii());
    }
}

#[test]
fn repeated_lengths_and_hosts_are_refused() {
    let rows: &[(Lines<'_>, &str)] = &[
        (&[("content-length", "3"), ("content-length", "3")], "400 request.framing.length.repeated"),
        (&[("content-length", "3"), ("content-length", "4")], "reset 1"),
        (&[("host", "a"), ("host", "a")], "400 request.host.repeated"),
    ];
    for (more, expected) in rows {
        assert_eq!(outcome(&with(more), false), *expected, "{more:?}");
    }
}

#[test]
fn heads_are_held_to_the_limits_of_http_1() {
    let limits = Limits { head_bytes_max: 200, fields_max: 3, uri_bytes_max: 20 };
    let read = |lines: Lines<'_>| outcome_of(&block(lines), END_STREAM, &limits);
    let longest = format!("/{}", "p".repeat(19));
    assert_eq!(read(&target("GET", "a", &longest)), format!("GET a {longest} None"));
    assert_eq!(read(&target("GET", "a", &format!("{longest}p"))), "414 request.target.length");
    assert!(read(&with(&[("a", "1"), ("b", "2"), ("c", "3")])).starts_with("GET"));
    assert_eq!(read(&with(&[("a", "1"), ("b", "2"), ("c", "3"), ("d", "4")])), "431 request.field.count");
    // Method, target and authority, and a name, two separators and a line end.
    let room = 200 - "GET/a".len() - "x: \r\n".len();
    assert!(read(&with(&[("x", &"v".repeat(room))])).starts_with("GET"));
    assert_eq!(read(&with(&[("x", &"v".repeat(room + 1))])), "431 request.head.length");
    assert!(outcome(&target(&"M".repeat(32), "a", "/"), true).starts_with('M'));
    assert_eq!(outcome(&target(&"M".repeat(33), "a", "/"), true), "501 request.method.length");
}

#[test]
fn data_agree_with_the_stated_length() {
    for (pieces, fits) in
        [(&[5usize][..], true), (&[2, 3], true), (&[4], false), (&[6], false), (&[3, 3], false)]
    {
        let mut peer = Peer::new(&Settings::default());
        let block = block(&with(&[("content-length", "5")]));
        peer.feed(&frame(HEADERS, END_HEADERS, 1, &block)).unwrap();
        for (at, piece) in pieces.iter().enumerate() {
            let flags = if at + 1 == pieces.len() { END_STREAM } else { 0 };
            peer.feed(&frame(DATA, flags, 1, &vec![b'x'; *piece])).unwrap();
        }
        let code = peer.code(RST_STREAM);
        assert_eq!(code, if fits { None } else { Some(PROTOCOL_ERROR) }, "{pieces:?}");
        let (mut body, _respond) = peer.streams.remove(0).into_halves();
        let mut read = 0;
        let outcome = loop {
            match body.poll_data(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready(Some(Ok(data))) => read += data.len(),
                Poll::Ready(Some(Err(error))) => break Err(error),
                Poll::Ready(None) => break Ok(()),
                Poll::Pending => panic!("the body goes on"),
            }
        };
        assert_eq!(outcome.is_ok(), fits, "{pieces:?}: {read}");
    }
}
