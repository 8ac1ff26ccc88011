//! Request heads: what is accepted and as what, what is refused and how. Every row is fed in every split.
#![allow(
    dead_code,
    clippy::allow_attributes,
    reason = "each test binary uses its part of the support module"
)]

use ringway_http::h1::{CONNECTION_OPTIONS_MAX, HeadReader, LEADING_EMPTY_LINES_MAX, METHOD_BYTES_MAX};
use ringway_http::{Framing, HeadError, Known, Limits, RequestHead};

mod support;

/// Bytes, and what becomes of them.
type Row = (&'static [u8], &'static str);

fn check(rows: &[Row]) {
    for (input, expected) in rows {
        assert_eq!(support::request(input, &Limits::default()), *expected, "{}", input.escape_ascii());
    }
}

/// A complete GET with these field lines after a valid `Host`.
fn check_fields(rows: &[Row]) {
    for (lines, expected) in rows {
        let input = [b"POST / HTTP/1.1\r\nHost: a\r\n", *lines, b"\r\n"].concat();
        assert_eq!(support::request(&input, &Limits::default()), *expected, "{}", input.escape_ascii());
    }
}

#[test]
fn start_lines_have_single_spaces_and_known_versions() {
    check(&[
        (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "GET a / none"),
        (b"GET / HTTP/1.0\r\n\r\n", "GET - / none close 1.0"),
        (b"PURGE /x HTTP/1.1\r\nHost: a\r\n\r\n", "PURGE a /x none"),
        (b"get / HTTP/1.1\r\nHost: a\r\n\r\n", "get a / none"),
        (b"!#$%&'*+-.^_`|~09Az / HTTP/1.1\r\nHost: a\r\n\r\n", "!#$%&'*+-.^_`|~09Az a / none"),
        (b"", "more"),
        (b"GET / HTTP/1.1\r\nHost: a\r\n", "more"),
        (b"GET / HTTP/1.1\r\nHost: a\r\n\r", "more"),
        (b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n", "400 request.line"),
        (b"GET /  HTTP/1.1\r\nHost: a\r\n\r\n", "400 request.line"),
        (b"GET / HTTP/1.1 \r\nHost: a\r\n\r\n", "400 request.line"),
        (b" GET / HTTP/1.1\r\nHost: a\r\n\r\n", "400 request.line"),
        (b"GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n", "400 request.method"),
        (b"GET /\tHTTP/1.1\r\nHost: a\r\n\r\n", "400 request.line"),
        (b"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", "400 request.line"),
        (b"GET\r\n\r\n", "400 request.line"),
        (b"GET \r\n\r\n", "400 request.line"),
        (b"GET HTTP/1.1\r\nHost: a\r\n\r\n", "505 request.version"),
        (b"G(T / HTTP/1.1\r\nHost: a\r\n\r\n", "400 request.method"),
        (b"G\xc3\xa9T / HTTP/1.1\r\nHost: a\r\n\r\n", "400 request.method"),
        (b"\x16\x03\x01\x02\x00\x01", "400 request.line"),
        (b"GET /\r\n", "505 request.version"),
        (b"GET / \r\n\r\n", "400 request.line"),
        (b"GET / HTTP/0.9\r\n\r\n", "505 request.version"),
        (b"GET / HTTP/1.2\r\nHost: a\r\n\r\n", "505 request.version"),
        (b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", "505 request.version"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "505 request.version"),
        (b"GET / HTTP/1.10\r\nHost: a\r\n\r\n", "505 request.version"),
        (b"GET / HTTP/01.1\r\nHost: a\r\n\r\n", "505 request.version"),
        (b"GET / http/1.1\r\nHost: a\r\n\r\n", "505 request.version"),
        (b"GET / HTTP/1,1\r\nHost: a\r\n\r\n", "505 request.version"),
        (b"GET / HTTP/1.1\x00\r\nHost: a\r\n\r\n", "400 request.line"),
    ]);
}

#[test]
fn lines_end_in_crlf_and_nothing_else() {
    check(&[
        (b"GET / HTTP/1.1\nHost: a\r\n\r\n", "400 request.line_end"),
        (b"GET / HTTP/1.1\r\nHost: a\n\r\n", "400 request.line_end"),
        (b"GET / HTTP/1.1\r\nHost: a\r\n\n", "400 request.line_end"),
        (b"GET / HTTP/1.1\r\rHost: a\r\n\r\n", "400 request.line_end"),
        (b"GET / HTTP/1.1\r\r\nHost: a\r\n\r\n", "400 request.line_end"),
        (b"GET /\r HTTP/1.1\r\nHost: a\r\n\r\n", "400 request.line_end"),
        (b"GET / HTTP/1.1\r\nHost: a\rX: b\r\n\r\n", "400 request.line_end"),
        (b"GET / HTTP/1.1\r\nHost: a\r\r\n\r\n", "400 request.line_end"),
        (b"GET / HTTP/1.1\r\nHost: a\r\n\r\r\n", "400 request.line_end"),
        (b"GET / HTTP/1.1\r\nHost\r: a\r\n\r\n", "400 request.line_end"),
        (b"\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", "400 request.line_end"),
        (b"\rGET / HTTP/1.1\r\nHost: a\r\n\r\n", "400 request.line"),
        (b"\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", "GET a / none"),
        (b"\r\n\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", "GET a / none"),
        (b"\r\n\r\n\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", "400 request.line"),
        (b"\r\n\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", "400 request.line_end"),
        (b"\r\n \r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", "400 request.line"),
    ]);
    assert_eq!(LEADING_EMPTY_LINES_MAX, 4);
}

#[test]
fn targets_have_the_form_that_their_method_asks_for() {
    check(&[
        (b"GET /a/../b?c=d?e HTTP/1.1\r\nHost: a\r\n\r\n", "GET a /b?c=d?e none"),
        (b"GET /a? HTTP/1.1\r\nHost: a\r\n\r\n", "GET a /a? none"),
        (b"GET /?[x]={\"|\"}%zz HTTP/1.1\r\nHost: a\r\n\r\n", "GET a /?[x]={\"|\"}%zz none"),
        (b"GET //a//b HTTP/1.1\r\nHost: a\r\n\r\n", "GET a /a/b none"),
        (b"GET http://B.c/d?e HTTP/1.1\r\nHost: a\r\n\r\n", "GET b.c /d?e none"),
        (b"GET HTTPS://b:8443 HTTP/1.1\r\nHost: a\r\n\r\n", "GET b / none"),
        (b"GET http://b?q HTTP/1.1\r\nHost: b\r\n\r\n", "GET b /?q none"),
        (b"GET http://b/ HTTP/1.0\r\n\r\n", "GET b / none close 1.0"),
        (b"GET http://b/ HTTP/1.1\r\n\r\n", "400 request.host.missing"),
        (b"GET http://b/ HTTP/1.1\r\nHost: a b\r\n\r\n", "400 request.host.invalid"),
        (b"OPTIONS http://b HTTP/1.1\r\nHost: a\r\n\r\n", "OPTIONS b * none"),
        (b"OPTIONS http://b/ HTTP/1.1\r\nHost: a\r\n\r\n", "OPTIONS b / none"),
        (b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", "OPTIONS a * none"),
        (b"GET * HTTP/1.1\r\nHost: a\r\n\r\n", "400 request.target"),
        (b"OPTIONS *?a HTTP/1.1\r\nHost: a\r\n\r\n", "400 request.target"),
        (b"CONNECT b:443 HTTP/1.1\r\nHost: b:443\r\n\r\n", "CONNECT b  none"),
        (b"CONNECT b HTTP/1.1\r\nHost: b\r\n\r\n", "400 request.target"),
        (b"CONNECT / HTTP/1.1\r\nHost: b\r\n\r\n", "400 request.target"),
        (b"CONNECT http://b/ HTTP/1.1\r\nHost: b\r\n\r\n", "400 request.target"),
        (b"GET b:443 HTTP/1.1\r\nHost: b\r\n\r\n", "400 request.target"),
        (b"GET a/b HTTP/1.1\r\nHost: a\r\n\r\n", "400 request.target"),
        (b"GET ?a HTTP/1.1\r\nHost: a\r\n\r\n", "400 request.target"),
        (b"GET ftp://b/ HTTP/1.1\r\nHost: a\r\n\r\n", "400 request.target.scheme"),
        (b"GET http:/b HTTP/1.1\r\nHost: a\r\n\r\n", "400 request.target"),
        (b"GET http:///b HTTP/1.1\r\nHost: a\r\n\r\n", "400 request.host.invalid"),
        (b"GET http://u@b/ HTTP/1.1\r\nHost: a\r\n\r\n", "400 request.host.invalid"),
        (b"GET http://b:99999/ HTTP/1.1\r\nHost: a\r\n\r\n", "400 request.host.invalid"),
        (b"GET http://b\\c/ HTTP/1.1\r\nHost: a\r\n\r\n", "400 request.host.invalid"),
        (b"GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n", "400 request.target.fragment"),
        (b"GET /?a#b HTTP/1.1\r\nHost: a\r\n\r\n", "400 request.target.fragment"),
        (b"GET /\xc3\xa9 HTTP/1.1\r\nHost: a\r\n\r\n", "400 request.target"),
        (b"GET /?\xff HTTP/1.1\r\nHost: a\r\n\r\n", "400 request.target"),
        (b"GET /\x01 HTTP/1.1\r\nHost: a\r\n\r\n", "400 request.target"),
        (b"GET /?\x7f HTTP/1.1\r\nHost: a\r\n\r\n", "400 request.target"),
        (b"GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n", "400 request.target"),
        (b"GET /.. HTTP/1.1\r\nHost: a\r\n\r\n", "400 request.path"),
        (b"GET /%2e%2e/x HTTP/1.1\r\nHost: a\r\n\r\n", "400 request.path"),
        (b"GET /%00 HTTP/1.1\r\nHost: a\r\n\r\n", "400 request.path"),
        (b"GET /% HTTP/1.1\r\nHost: a\r\n\r\n", "400 request.path"),
        (b"GET /a\\b HTTP/1.1\r\nHost: a\r\n\r\n", "400 request.path"),
    ]);
}

#[test]
fn the_targets_authority_replaces_host() {
    for (host, expected) in [("a", "B:80"), ("B:80", "B:80"), ("b:80", "B:80")] {
        let input = format!("GET http://B:80/ HTTP/1.1\r\nHost: {host}\r\n\r\n");
        let (outcome, head) = support::request_head(input.as_bytes(), &Limits::default());
        assert_eq!(outcome, Ok(Some(input.len())));
        assert_eq!((head.authority(), head.host()), (expected, "b"));
        assert_eq!(head.fields.known_all(Known::Host).collect::<Vec<_>>(), [expected.as_bytes()]);
        assert_eq!(head.target(), "http://B:80/");
    }
}

#[test]
fn host_is_given_once_and_is_a_host() {
    check(&[
        (b"GET / HTTP/1.1\r\nHost: Example.COM:8080\r\n\r\n", "GET example.com / none"),
        (b"GET / HTTP/1.1\r\nhOST:a.\t \r\n\r\n", "GET a / none"),
        (b"GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", "GET [::1] / none"),
        (b"GET / HTTP/1.0\r\nHost: a\r\n\r\n", "GET a / none close 1.0"),
        (b"GET / HTTP/1.1\r\n\r\n", "400 request.host.missing"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", "400 request.host.repeated"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nhost: b\r\n\r\n", "400 request.host.repeated"),
        (b"GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n", "400 request.host.repeated"),
        (b"GET / HTTP/1.1\r\nHost:\r\n\r\n", "400 request.host.invalid"),
        (b"GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", "400 request.host.invalid"),
        (b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", "400 request.host.invalid"),
        (b"GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", "400 request.host.invalid"),
        (b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", "400 request.host.invalid"),
        (b"GET / HTTP/1.1\r\nHost: http://a\r\n\r\n", "400 request.host.invalid"),
        (b"GET / HTTP/1.1\r\nHost: a:\r\n\r\n", "400 request.host.invalid"),
        (b"GET / HTTP/1.1\r\nHost: a:-1\r\n\r\n", "400 request.host.invalid"),
        (b"GET / HTTP/1.1\r\nHost: a:65536\r\n\r\n", "400 request.host.invalid"),
        (b"GET / HTTP/1.1\r\nHost: a..b\r\n\r\n", "400 request.host.invalid"),
        (b"GET / HTTP/1.1\r\nHost: \xc3\xa9\r\n\r\n", "400 request.host.invalid"),
        (b"GET / HTTP/1.1\r\nHost: \xff\r\n\r\n", "400 request.host.invalid"),
    ]);
}

#[test]
fn field_lines_are_name_colon_value() {
    check_fields(&[
        (b"X: \t a b\xff\t \r\nEmpty:\r\nBlank: \r\n", "POST a / none"),
        (b"X:1\r\nx:2\r\n", "POST a / none"),
        (b"X : a\r\n", "400 request.field.space"),
        (b"X\t: a\r\n", "400 request.field.space"),
        (b": a\r\n", "400 request.field.name"),
        (b"X\r\n", "400 request.field.name"),
        (b"X Y: a\r\n", "400 request.field.name"),
        (b"X\xff: a\r\n", "400 request.field.name"),
        (b"X\0: a\r\n", "400 request.field.name"),
        (b"X(: a\r\n", "400 request.field.name"),
        (b"\"X\": a\r\n", "400 request.field.name"),
        (b"X: a\r\n b\r\n", "400 request.field.fold"),
        (b"X: a\r\n\tb: c\r\n", "400 request.field.fold"),
        (b"X:\r\n a\r\n", "400 request.field.fold"),
        (b"X: a\0b\r\n", "400 request.field.value"),
        (b"X: \x01\r\n", "400 request.field.value"),
        (b"X: a\x7f\r\n", "400 request.field.value"),
        (b"X: \x0b\r\n", "400 request.field.value"),
    ]);
    check(&[
        (b"GET / HTTP/1.1\r\n Host: a\r\n\r\n", "400 request.field.fold"),
        (b"GET / HTTP/1.1\r\n\tX: b\r\nHost: a\r\n\r\n", "400 request.field.fold"),
        (b"GET / HTTP/1.1\r\n \r\nHost: a\r\n\r\n", "400 request.field.fold"),
    ]);
}

#[test]
fn a_body_is_framed_in_one_way() {
    check_fields(&[
        (b"Content-Length: 0\r\n", "POST a / length=0"),
        (b"content-length:\t5 \r\n", "POST a / length=5"),
        (b"Content-Length: 005\r\n", "POST a / length=5"),
        (b"Content-Length: 18446744073709551615\r\n", "POST a / length=18446744073709551615"),
        (b"Content-Length: 18446744073709551616\r\n", "400 request.framing.length"),
        (b"Content-Length: 99999999999999999999999\r\n", "400 request.framing.length"),
        (b"Content-Length:\r\n", "400 request.framing.length"),
        (b"Content-Length: +5\r\n", "400 request.framing.length"),
        (b"Content-Length: -5\r\n", "400 request.framing.length"),
        (b"Content-Length: 5,5\r\n", "400 request.framing.length"),
        (b"Content-Length: 5 5\r\n", "400 request.framing.length"),
        (b"Content-Length: 0x5\r\n", "400 request.framing.length"),
        (b"Content-Length: 5_0\r\n", "400 request.framing.length"),
        (b"Content-Length: 5.0\r\n", "400 request.framing.length"),
        (b"Content-Length: \xd9\xa5\r\n", "400 request.framing.length"),
        (b"Content-Length: 5\r\nContent-Length: 5\r\n", "400 request.framing.length.repeated"),
        (b"Content-Length: 5\r\ncontent-length: 6\r\n", "400 request.framing.length.repeated"),
        (b"Transfer-Encoding: chunked\r\n", "POST a / chunked"),
        (b"transfer-encoding: \tChUnKeD \r\n", "POST a / chunked"),
        (b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", "400 request.framing.both"),
        (b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "400 request.framing.both"),
        (b"Transfer-Encoding: chunked, chunked\r\n", "400 request.framing.coding"),
        (b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "400 request.framing.coding"),
        (b"Transfer-Encoding: gzip, chunked\r\n", "501 request.framing.coding.unknown"),
        (b"Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n", "501 request.framing.coding.unknown"),
        (b"Transfer-Encoding: chunked, gzip, chunked\r\n", "400 request.framing.coding"),
        (b"Transfer-Encoding: chunked, gzip\r\n", "400 request.framing.coding"),
        (b"Transfer-Encoding: gzip\r\n", "400 request.framing.coding"),
        (b"Transfer-Encoding: identity\r\n", "400 request.framing.coding"),
        (b"Transfer-Encoding: identity, chunked\r\n", "400 request.framing.coding"),
        (b"Transfer-Encoding:\r\n", "400 request.framing.coding"),
        (b"Transfer-Encoding: ,chunked\r\n", "400 request.framing.coding"),
        (b"Transfer-Encoding: chunked,\r\n", "400 request.framing.coding"),
        (b"Transfer-Encoding: chunked;a=b\r\n", "400 request.framing.coding"),
        (b"Transfer-Encoding: xchunked\r\n", "400 request.framing.coding"),
        (b"Transfer-Encoding: \"chunked\"\r\n", "400 request.framing.coding"),
        (b"Transfer-Encoding: chunked\x0b\r\n", "400 request.field.value"),
        (b"Transfer-Encoding : chunked\r\n", "400 request.field.space"),
        (b"Transfer_Encoding: chunked\r\n", "POST a / none"),
    ]);
    check(&[
        (b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", "400 request.framing.coding.forbidden"),
        (b"POST / HTTP/1.0\r\nContent-Length: 3\r\n\r\n", "POST - / length=3 close 1.0"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n", "GET a / length=3"),
    ]);
}

#[test]
fn connection_options_decide_persistence_and_upgrade() {
    check_fields(&[
        (b"Connection: close\r\n", "POST a / none close"),
        (b"Connection: x,\tCLOSE , keep-alive\r\n", "POST a / none close"),
        (b"Connection: x\r\nConnection: close\r\n", "POST a / none close"),
        (b"Connection: closed\r\n", "POST a / none"),
        (b"Connection: ,,\r\n", "POST a / none"),
        (b"Connection: Upgrade\r\nUpgrade: websocket\r\n", "POST a / none upgrade=websocket"),
        (
            b"Connection: upgrade\r\nUpgrade: a/1\r\nUpgrade:\r\nUpgrade: b\r\n",
            "POST a / none upgrade=a/1, b",
        ),
        (b"Upgrade: websocket\r\n", "POST a / none"),
        (b"Connection: upgrade\r\n", "POST a / none"),
        (b"Connection: upgrade\r\nUpgrade: h2c\r\n", "POST a / none"),
        (b"Connection: upgrade\r\nUpgrade: websocket, H2C\r\n", "POST a / none"),
        (b"Connection: upgrade\r\nUpgrade: HTTP/2.0\r\n", "POST a / none"),
    ]);
    check(&[
        (b"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", "GET - / none 1.0"),
        (b"GET / HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n", "GET - / none close 1.0"),
        (b"GET / HTTP/1.0\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n", "GET - / none close 1.0"),
    ]);
    for (count, expected) in [
        (CONNECTION_OPTIONS_MAX, "GET a / none"),
        (CONNECTION_OPTIONS_MAX + 1, "400 request.connection.options"),
    ] {
        let options = vec!["x"; count].join(",");
        let input = format!("GET / HTTP/1.1\r\nHost: a\r\nConnection: {options}\r\n\r\n");
        assert_eq!(support::request(input.as_bytes(), &Limits::default()), expected);
    }
}

#[test]
fn only_one_expectation_can_be_met() {
    check_fields(&[
        (b"Expect: 100-continue\r\nContent-Length: 1\r\n", "POST a / length=1 continue"),
        (b"Expect: 100-Continue\r\nTransfer-Encoding: chunked\r\n", "POST a / chunked continue"),
        (b"Expect: 100-continue\r\nContent-Length: 0\r\n", "POST a / length=0"),
        (b"Expect: 100-continue\r\n", "POST a / none"),
        (b"Expect: 200-ok\r\n", "417 request.expectation"),
        (b"Expect: 100-continue, x\r\n", "417 request.expectation"),
        (b"Expect:\r\n", "417 request.expectation"),
    ]);
    check(&[(
        b"POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n",
        "POST - / length=1 close 1.0",
    )]);
}

#[test]
fn limits_hold_at_the_limit_and_one_over() {
    let limits = Limits { head_bytes_max: 200, fields_max: 5, uri_bytes_max: 50 };
    let head = |target: usize, fields: usize, bytes: usize| {
        let start = format!("GET /{} HTTP/1.1\r\nHost: a\r\n", "t".repeat(target - 1));
        let middle = "X:\r\n".repeat(fields - 2);
        let fixed = start.len() + middle.len() + "Y: \r\n\r\n".len();
        format!("{start}{middle}Y: {}\r\n\r\n", "y".repeat(bytes - fixed))
    };
    let path = format!("GET a /{} none", "t".repeat(49));
    let rows = [
        (head(50, 5, 200), path.as_str()),
        (head(50, 5, 201), "431 request.head.length"),
        (head(50, 6, 200), "431 request.field.count"),
        (head(51, 5, 200), "414 request.target.length"),
        (format!("\r\n\r\n{}", head(50, 5, 200)), path.as_str()),
        (format!("\r\n{}", head(50, 5, 201)), "431 request.head.length"),
        (
            format!("{} / HTTP/1.1\r\nHost: a\r\n\r\n", "M".repeat(METHOD_BYTES_MAX + 1)),
            "501 request.method.length",
        ),
    ];
    for (input, expected) in rows {
        assert_eq!(support::request(input.as_bytes(), &limits), expected, "{input}");
    }
    let longest = format!("{} / HTTP/1.1\r\nHost: a\r\n\r\n", "M".repeat(METHOD_BYTES_MAX));
    assert!(support::request(longest.as_bytes(), &limits).ends_with(" a / none"));
}

#[test]
fn a_limit_is_enforced_before_the_head_ends() {
    let limits = Limits { head_bytes_max: 200, fields_max: 5, uri_bytes_max: 50 };
    let rows = [
        (format!("GET /{}", "t".repeat(49)), "t", HeadError::TargetLength),
        ("M".repeat(METHOD_BYTES_MAX), "M", HeadError::MethodLength),
        (format!("GET / HTTP/1.1\r\nX: {}", "x".repeat(180)), "x", HeadError::HeadLength),
        (format!("GET / HTTP/1.1\r\n{}X:\r", "X:\r\n".repeat(5)), "\n", HeadError::FieldCount),
        ("GET / HTTP/1.1".into(), "\n", HeadError::LineEnd),
        ("GET / HTTP/3.0\r".into(), "\n", HeadError::Version),
        (String::new(), " ", HeadError::Malformed),
    ];
    for (mut input, last, error) in rows {
        assert_eq!(support::request_head(input.as_bytes(), &limits).0, Ok(None), "{input:?}");
        input.push_str(last);
        assert_eq!(support::request_head(input.as_bytes(), &limits).0, Err(error), "{input:?}");
    }
}

#[test]
fn more_fields_than_the_default_limit_are_read_where_it_is_raised() {
    let limits = Limits { fields_max: 300, ..Limits::default() };
    for count in [23, 24, 25, 127, 128, 129, 299] {
        let input = format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X-A: b\r\n".repeat(count));
        let mut head = RequestHead::new();
        let outcome = HeadReader::new().request(input.as_bytes(), &limits, &mut head);
        assert_eq!(outcome, Ok(Some(input.len())));
        assert_eq!(head.fields.len(), count + 1);
        assert_eq!(head.fields.values("x-a").count(), count);
    }
}

#[test]
fn pipelined_requests_are_read_one_after_another() {
    let input = b"GET /1 HTTP/1.1\r\nHost: a\r\n\r\n\
        \r\nPUT /2 HTTP/1.1\r\nHost: b\r\nContent-Length: 3\r\n\r\nabcGET /3";
    let mut reader = HeadReader::new();
    let mut head = RequestHead::new();
    let first = reader.request(input, &Limits::default(), &mut head).unwrap().unwrap();
    assert_eq!((head.path(), head.framing), ("/1", Framing::None));
    let second = reader.request(&input[first..], &Limits::default(), &mut head).unwrap().unwrap();
    assert_eq!((head.path(), head.host(), head.framing), ("/2", "b", Framing::Length(3)));
    let rest = &input[first + second + 3..];
    assert_eq!(rest, b"GET /3");
    assert_eq!(reader.request(rest, &Limits::default(), &mut head), Ok(None));
}
