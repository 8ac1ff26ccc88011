//! Response heads: status, framing by the request's method, and what is refused. Every row is fed in every
//! split.
#![allow(
    dead_code,
    clippy::allow_attributes,
    reason = "each test binary uses its part of the support module"
)]

use ringway_http::{Limits, Method};

mod support;

fn check(method: Method, rows: &[(&[u8], &str)]) {
    for (input, expected) in rows {
        let found = support::response(input, &Limits::default(), method);
        assert_eq!(found, *expected, "{method:?}: {}", input.escape_ascii());
    }
}

#[test]
fn status_lines_have_a_version_and_three_digits() {
    check(
        Method::Get,
        &[
            (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "200 length=0"),
            (b"HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n", "200 length=0"),
            (b"HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", "200 length=0"),
            (b"HTTP/1.1 200  a  \t\xe9 \r\nContent-Length: 0\r\n\r\n", "200 length=0"),
            (b"HTTP/1.1 599 X\r\nContent-Length: 0\r\n\r\n", "599 length=0"),
            (b"HTTP/1.1 100\r\n\r\n", "100 none"),
            (b"", "more"),
            (b"HTT", "more"),
            (b"HTTP/1.1 200 OK\r\n", "more"),
            (b"HTTP/1.1 200 O\0K\r\n\r\n", "response.status"),
            (b"HTTP/1.1 200OK\r\n\r\n", "response.status"),
            (b"HTTP/1.1 099 X\r\n\r\n", "response.status"),
            (b"HTTP/1.1 600 X\r\n\r\n", "response.status"),
            (b"HTTP/1.1 20 X\r\n\r\n", "response.status"),
            (b"HTTP/1.1 2000 X\r\n\r\n", "response.status"),
            (b"HTTP/1.1 +20 X\r\n\r\n", "response.status"),
            (b"HTTP/1.1  200 X\r\n\r\n", "response.status"),
            (b"HTTP/1.1\t200 X\r\n\r\n", "response.line"),
            (b"HTTP/1.1\r\n\r\n", "response.line"),
            (b"HTTP/2.0 200 X\r\n\r\n", "response.version"),
            (b"HTTP/2 200 X\r\n\r\n", "response.version"),
            (b"HTTP/1.2 200 X\r\n\r\n", "response.version"),
            (b"HTTP/1.1x 200 X\r\n\r\n", "response.version"),
            (b"http/1.1 200 X\r\n\r\n", "response.line"),
            (b"ICY 200 OK\r\n\r\n", "response.line"),
            (b"<html>", "response.line"),
            (b"\r\nHTTP/1.1 200 OK\r\n\r\n", "response.line"),
            (b" HTTP/1.1 200 OK\r\n\r\n", "response.line"),
        ],
    );
}

#[test]
fn framing_follows_the_fields() {
    check(
        Method::Get,
        &[
            (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", "200 length=5"),
            (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\n", "200 length=5 close"),
            (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n", "200 chunked"),
            (b"HTTP/1.1 200 OK\r\n\r\n", "200 until-close close"),
            (b"HTTP/1.1 200 OK\r\nConnection: keep-alive\r\n\r\n", "200 until-close close"),
            (b"HTTP/1.0 200 OK\r\n\r\n", "200 until-close close 1.0"),
            (b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\n", "200 length=5 close 1.0"),
            (b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\nConnection: keep-alive\r\n\r\n", "200 length=5 1.0"),
            (
                b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
                "response.framing.both",
            ),
            (
                b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n",
                "response.framing.length.repeated",
            ),
            (b"HTTP/1.1 200 OK\r\nContent-Length: 5,5\r\n\r\n", "response.framing.length"),
            (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", "response.framing.coding"),
            (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, gzip\r\n\r\n", "response.framing.coding"),
            (
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
                "response.framing.coding.unknown",
            ),
            (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n\r\n", "response.framing.coding"),
            (b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "response.framing.coding.forbidden"),
        ],
    );
}

#[test]
fn some_responses_have_no_body() {
    check(
        Method::Get,
        &[
            (b"HTTP/1.1 204 No Content\r\n\r\n", "204 none"),
            (b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", "204 none"),
            (b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n", "204 none close"),
            (b"HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n", "204 none close"),
            (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", "304 none"),
            (b"HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n", "304 none"),
            (b"HTTP/1.1 101 Switching Protocols\r\n\r\n", "101 none"),
            (b"HTTP/1.1 103 Early Hints\r\nLink: <a>\r\n\r\n", "103 none"),
            (b"HTTP/1.1 100 Continue\r\nContent-Length: 0\r\n\r\n", "100 none"),
            (
                b"HTTP/1.1 100 Continue\r\nTransfer-Encoding: chunked\r\n\r\n",
                "response.framing.coding.forbidden",
            ),
        ],
    );
    check(
        Method::Head,
        &[
            (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", "200 none"),
            (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "200 none"),
            (b"HTTP/1.1 200 OK\r\n\r\n", "200 none"),
            (b"HTTP/1.1 404 Not Found\r\nContent-Length: x\r\n\r\n", "response.framing.length"),
        ],
    );
    check(
        Method::Connect,
        &[
            (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", "200 none"),
            (b"HTTP/1.1 407 No\r\nContent-Length: 5\r\n\r\n", "407 length=5"),
        ],
    );
}

#[test]
fn lines_and_fields_are_held_to_the_same_rules_as_in_requests() {
    check(
        Method::Get,
        &[
            (b"HTTP/1.1 200 OK\nContent-Length: 0\r\n\r\n", "response.line_end"),
            (b"HTTP/1.1 200 OK\r\nContent-Length: 0\n\n", "response.line_end"),
            (b"HTTP/1.1 200 OK\rX\r\n\r\n", "response.line_end"),
            (b"HTTP/1.1 200 OK\r\nX: a\r\n b\r\n\r\n", "response.field.fold"),
            (b"HTTP/1.1 200 OK\r\nX : a\r\n\r\n", "response.field.space"),
            (b"HTTP/1.1 200 OK\r\n: a\r\n\r\n", "response.field.name"),
            (b"HTTP/1.1 200 OK\r\nX: \0\r\n\r\n", "response.field.value"),
        ],
    );
}

#[test]
fn limits_hold_at_the_limit_and_one_over() {
    let limits = Limits { head_bytes_max: 64, fields_max: 3, uri_bytes_max: 1 };
    let rows = [
        (format!("HTTP/1.1 204\r\nX: {}\r\n\r\n", "x".repeat(64 - 21)), "204 none"),
        (format!("HTTP/1.1 204\r\nX: {}\r\n\r\n", "x".repeat(64 - 20)), "response.head.length"),
        (format!("HTTP/1.1 204\r\n{}\r\n", "X:\r\n".repeat(3)), "204 none"),
        (format!("HTTP/1.1 204\r\n{}\r\n", "X:\r\n".repeat(4)), "response.field.count"),
        // Refused before its end.
        (format!("HTTP/1.1 200 {}", "x".repeat(64 - 13)), "response.head.length"),
    ];
    for (input, expected) in rows {
        assert_eq!(support::response(input.as_bytes(), &limits, Method::Get), expected, "{input}");
    }
}
