//! Requests that mean one thing in HTTP/2 and another in HTTP/1.1: none of them reaches an origin in two pieces.

use crate::support::h2::{DATA, END_HEADERS, END_STREAM, HEADERS, Peer, Stream, asking, frame, getting};
use crate::support::hpack::block;
use crate::support::{Gateway, Origin, eventually, ok};

/// Fields of a request in the order in which they are sent.
type Lines = Vec<(&'static str, &'static str)>;

/// A GET with more lines.
fn with(more: &[(&'static str, &'static str)]) -> Lines {
    [&getting("/"), more].concat()
}

/// A request with these in place of a GET's pseudo-headers.
fn pseudo(lines: &[(&'static str, &'static str)]) -> Lines {
    lines.to_vec()
}

/// Asks on a connection of its own, as a connection's end may be the answer: what came, or nothing.
fn ask(gateway: &Gateway, lines: &[(&str, &str)]) -> Option<Stream> {
    let mut client = Peer::connect(gateway.at(8080));
    let stream = client.ask(lines);
    end_of(&mut client, stream)
}

/// The end of a stream; none: the connection's was sooner.
fn end_of(client: &mut Peer, stream: u32) -> Option<Stream> {
    loop {
        let state = client.stream(stream);
        if state.ended || state.reset.is_some() {
            return Some(state);
        }
        client.step().ok()?;
    }
}

/// An origin that keeps all that it reads, and a gateway before it.
fn recording() -> (Origin, Gateway) {
    let origin = Origin::saying("x");
    let gateway = Gateway::before(&origin);
    (origin, gateway)
}

#[test]
fn lines_that_http1_would_read_otherwise_are_refused() {
    let (origin, gateway) = recording();
    let cases: Vec<(&str, Lines)> = vec![
        ("a line break in a value", with(&[("x-a", "b\r\nx-c: d")])),
        ("a request in a value", with(&[("x-a", "b\r\n\r\nGET /evil HTTP/1.1\r\nHost: t\r\n\r\n")])),
        ("a bare line feed", with(&[("x-a", "b\nx-c: d")])),
        ("a bare carriage return", with(&[("x-a", "b\rx-c: d")])),
        ("a null in a value", with(&[("x-a", "b\0c")])),
        ("a line break in a name", with(&[("x-a: b\r\nx-c", "d")])),
        ("a colon in a name", with(&[("x-a:b", "c")])),
        ("a space in a name", with(&[("x-a ", "b")])),
        ("an empty name", with(&[("", "b")])),
        ("a null in a name", with(&[("x\0a", "b")])),
        ("upper case", with(&[("X-A", "b")])),
        ("transfer-encoding in capitals", with(&[("Transfer-Encoding", "chunked")])),
        ("transfer-encoding", with(&[("transfer-encoding", "chunked")])),
        ("transfer-encoding with a tab", with(&[("transfer-encoding", "\tchunked")])),
        ("connection", with(&[("connection", "close")])),
        ("keep-alive", with(&[("keep-alive", "1")])),
        ("proxy-connection", with(&[("proxy-connection", "keep-alive")])),
        ("upgrade", with(&[("upgrade", "websocket")])),
        ("te", with(&[("te", "gzip")])),
        ("te with more", with(&[("te", "trailers, gzip")])),
        ("white space before a value", with(&[("x-a", " b")])),
        ("white space behind a value", with(&[("x-a", "b\t")])),
        ("two lengths", with(&[("content-length", "0"), ("content-length", "1")])),
        ("a length that is none", with(&[("content-length", "+0")])),
        ("a list of lengths", with(&[("content-length", "0, 1")])),
        ("a length without a body", with(&[("content-length", "5")])),
        ("an unknown pseudo-header", with(&[(":evil", "b")])),
        ("a status", with(&[(":status", "200")])),
        ("a pseudo-header late", with(&[("x-a", "b"), (":path", "/late")])),
        ("two paths", with(&[(":path", "/two")])),
        ("two methods", with(&[(":method", "POST")])),
        ("two schemes", with(&[(":scheme", "http")])),
        ("two authorities", with(&[(":authority", "test")])),
        ("another host", with(&[("host", "other")])),
        ("two hosts", with(&[("host", "test"), ("host", "test")])),
    ];
    for (name, lines) in cases {
        let outcome = ask(&gateway, &lines);
        let refused = outcome.as_ref().is_none_or(|o| o.reset.is_some() || o.status() == 400);
        assert!(refused, "{name}: {outcome:?}");
        assert_eq!(origin.requests(), 0, "{name} went through: {:?}", origin.heads());
    }
}

#[test]
fn targets_that_http1_would_read_otherwise_are_refused() {
    let (origin, gateway) = recording();
    let target = |path: &'static str| asking("GET", path);
    let cases: Vec<(&str, Lines)> = vec![
        ("a space", target("/a b")),
        ("a version", target("/ HTTP/1.1\r\nX-Evil: 1\r\n\r\nGET /b")),
        ("a line break", target("/a\r\nx: y")),
        ("a null", target("/a\0b")),
        ("a tab", target("/a\tb")),
        ("nothing", target("")),
        ("no slash", target("evil")),
        ("absolute", target("http://other/")),
        ("an asterisk", target("*")),
        ("no path", pseudo(&[(":method", "GET"), (":scheme", "http"), (":authority", "test")])),
        ("no scheme", pseudo(&[(":method", "GET"), (":authority", "test"), (":path", "/")])),
        ("no method", pseudo(&[(":scheme", "http"), (":authority", "test"), (":path", "/")])),
        ("no authority", pseudo(&[(":method", "GET"), (":scheme", "http"), (":path", "/")])),
        ("a method with a space", asking("GET /evil", "/")),
        ("a method with a line break", asking("GET\r\nX: y", "/")),
        ("an empty method", asking("", "/")),
        (
            "a scheme with a line break",
            pseudo(&[(":method", "GET"), (":scheme", "http\r\n"), (":authority", "test"), (":path", "/")]),
        ),
        (
            "another scheme",
            pseudo(&[(":method", "GET"), (":scheme", "ftp"), (":authority", "test"), (":path", "/")]),
        ),
        (
            "an authority with a path",
            pseudo(&[(":method", "GET"), (":scheme", "http"), (":authority", "test/x"), (":path", "/")]),
        ),
        (
            "an authority with a user",
            pseudo(&[(":method", "GET"), (":scheme", "http"), (":authority", "u@test"), (":path", "/")]),
        ),
        (
            "an authority with a space",
            pseudo(&[(":method", "GET"), (":scheme", "http"), (":authority", "te st"), (":path", "/")]),
        ),
        (
            "an authority with a line break",
            pseudo(&[
                (":method", "GET"),
                (":scheme", "http"),
                (":authority", "test\r\nx: y"),
                (":path", "/"),
            ]),
        ),
        (
            "an empty authority",
            pseudo(&[(":method", "GET"), (":scheme", "http"), (":authority", ""), (":path", "/")]),
        ),
        ("connect with a path", pseudo(&[(":method", "CONNECT"), (":authority", "test:1"), (":path", "/")])),
        ("connect", pseudo(&[(":method", "CONNECT"), (":authority", "test:443")])),
        ("another protocol", [&asking("CONNECT", "/")[..], &[(":protocol", "evil")]].concat()),
        ("a protocol of a GET", [&asking("GET", "/")[..], &[(":protocol", "websocket")]].concat()),
    ];
    for (name, lines) in cases {
        let outcome = ask(&gateway, &lines);
        let refused = outcome.as_ref().is_none_or(|o| o.reset.is_some() || (400..=501).contains(&o.status()));
        assert!(refused, "{name}: {outcome:?}");
        assert_eq!(origin.requests(), 0, "{name} went through: {:?}", origin.heads());
    }
}

#[test]
fn data_that_is_not_what_was_stated_is_refused() {
    let origin = Origin::start(|visit| {
        visit.count_body();
        visit.send(ok("whole"));
    });
    let gateway = Gateway::before(&origin);
    for (stated, sent) in [("5", &b"123456"[..]), ("5", b"1234"), ("0", b"1"), ("5", b"")] {
        let mut client = Peer::connect(gateway.at(8080));
        let stream = client.open(&[&asking("POST", "/")[..], &[("content-length", stated)]].concat(), 0);
        client.send(frame(DATA, END_STREAM, stream, sent));
        let outcome = client.outcome(stream);
        let refused = outcome.reset.is_some() || outcome.status() == 400;
        assert!(refused, "{stated} stated, {} sent: {outcome:?}", sent.len());
    }
    // What states that it has no body is whole before one comes.
    assert!(origin.bodies_complete() <= 1);
    eventually("no connection is left in the middle of a message", || origin.open_connections() == 0);
    assert_eq!(Peer::connect(gateway.at(8080)).get("/").text(), "whole");
}

#[test]
fn a_body_that_looks_like_a_request_stays_a_body() {
    let origin = Origin::start(|visit| {
        let body = visit.body();
        visit.send(ok(&body.len().to_string()));
    });
    let gateway = Gateway::before(&origin);
    let mut client = Peer::connect(gateway.at(8080));
    for body in
        [&b"0\r\n\r\nGET /evil HTTP/1.1\r\nHost: t\r\n\r\n"[..], b"\r\n\r\nGET /evil HTTP/1.1\r\n\r\n", b"0"]
    {
        assert_eq!(client.post("/", body).text(), body.len().to_string());
        // A method that has no body of its own is no different.
        let stream = client.open(&getting("/"), 0);
        client.data(stream, body, END_STREAM);
        assert_eq!(client.answer(stream).text(), body.len().to_string());
    }
    assert!(origin.heads().iter().all(|head| !head.contains("evil")));
    assert_eq!(origin.requests(), 6);
}

#[test]
fn trailers_smuggle_nothing() {
    let origin = Origin::start(|visit| {
        let body = visit.body();
        visit.send(ok(&body.len().to_string()));
    });
    let gateway = Gateway::before(&origin);
    let cases: [(&str, &[(&str, &str)]); 5] = [
        ("a line break", &[("x-a", "b\r\n\r\nGET /evil HTTP/1.1\r\n\r\n")]),
        ("a pseudo-header", &[(":path", "/evil")]),
        ("upper case", &[("X-Evil", "1")]),
        ("a name of two lines", &[("x\r\nevil", "1")]),
        ("a null", &[("x-a", "\0")]),
    ];
    for (name, trailers) in cases {
        let mut client = Peer::connect(gateway.at(8080));
        let stream = client.open(&asking("POST", "/"), 0);
        client.data(stream, b"abc", 0);
        client.send(frame(HEADERS, END_STREAM | END_HEADERS, stream, block(trailers)));
        let outcome = end_of(&mut client, stream);
        let refused = outcome.as_ref().is_none_or(|o| o.reset.is_some() || o.status() >= 400);
        // The library takes a pseudo-header out, where RFC 9113, 8.1 would have the whole refused.
        let refused = refused || name == "a pseudo-header";
        assert!(refused, "{name}: {outcome:?}");
    }
    assert!(origin.heads().iter().all(|head| !head.contains("evil")), "{:?}", origin.heads());
    assert_eq!(Peer::connect(gateway.at(8080)).get("/").text(), "0");
}

#[test]
fn what_is_only_odd_arrives_as_it_is() {
    let (origin, gateway) = recording();
    let lines = [
        &asking("GET", "/a%20b/%0d%0a?q=%0d%0aX:y#gone")[..],
        &[
            ("host", "test"),
            ("te", "trailers"),
            ("cookie", "a=1"),
            ("cookie", "b=2"),
            ("x-colon", "GET / HTTP/1.1"),
            ("x-empty", ""),
            ("x-bytes", "\u{e9}\u{20ac}"),
        ],
    ]
    .concat();
    let outcome = ask(&gateway, &lines).expect("an answer");
    assert_eq!(outcome.status(), 200, "{outcome:?}");
    let head = origin.head();
    assert!(head.starts_with("GET /a%20b/%0D%0A?q=%0d%0aX:y HTTP/1.1\r\n"), "{head}");
    let lower = head.to_lowercase();
    assert_eq!(lower.matches("\r\nhost: test\r\n").count(), 1, "{head}");
    assert!(lower.contains("\r\ncookie: a=1; b=2\r\n"), "{head}");
    assert!(lower.contains("\r\nx-colon: get / http/1.1\r\n"), "{head}");
    assert!(!lower.contains("transfer-encoding") && !lower.contains("content-length"), "{head}");
}
