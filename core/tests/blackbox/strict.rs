//! What is ambiguous or malformed is refused on a real socket: the right status, a reason word, a closed connection,
//! and never an answer to the bytes that follow.

use crate::support::{Gateway, Origin, ok};

/// What follows each refused message: a request that a confused gateway would answer.
const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nHost: t\r\n\r\n";

/// Sends each request and what follows it on a connection of its own.
fn refused(cases: &[(&str, &[u8], u16)]) {
    let origin = Origin::saying("never");
    let gateway = Gateway::before(&origin);
    for (name, request, status) in cases {
        let mut client = gateway.client();
        client.send(request);
        client.send(SMUGGLED);
        let response = client.try_response("GET").unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(response.status, *status, "{name}: {}", response.text());
        assert!(response.reason().starts_with("request."), "{name}: {}", response.reason());
        assert_eq!(response.field("connection"), Some("close"), "{name}");
        let (more, _) = client.rest();
        assert!(more.is_empty(), "{name}: answered more: {}", String::from_utf8_lossy(&more));
    }
    assert_eq!(origin.heads(), Vec::<String>::new());
    assert_eq!(gateway.client().get("/").text(), "never", "the worker goes on");
}

#[test]
fn two_framings_are_refused() {
    refused(&[
        (
            "cl and te",
            b"POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            400,
        ),
        (
            "te and cl",
            b"POST / HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
            400,
        ),
        (
            "cl 0 and te",
            b"POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            400,
        ),
        (
            "two lengths",
            b"POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
            400,
        ),
        ("a list of lengths", b"POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 1, 2\r\n\r\nab", 400),
    ]);
}

#[test]
fn malformed_lengths_are_refused() {
    refused(&[
        ("plus", b"POST / HTTP/1.1\r\nHost: t\r\nContent-Length: +1\r\n\r\na", 400),
        ("minus", b"POST / HTTP/1.1\r\nHost: t\r\nContent-Length: -1\r\n\r\na", 400),
        ("hex", b"POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 0x1\r\n\r\na", 400),
        ("empty", b"POST / HTTP/1.1\r\nHost: t\r\nContent-Length:\r\n\r\na", 400),
        ("inner space", b"POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 1 1\r\n\r\na", 400),
        ("over 64 bits", b"POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 99999999999999999999\r\n\r\na", 400),
    ]);
}

#[test]
fn transfer_codings_other_than_chunked_are_refused() {
    refused(&[
        ("identity", b"POST / HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: identity\r\n\r\n", 400),
        (
            "gzip then chunked",
            b"POST / HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
            501,
        ),
    ]);
    let origin = Origin::saying("never");
    let gateway = Gateway::before(&origin);
    for coding in
        ["chunked, gzip", "chunked, chunked", "xchunked", "chunked;q=1", "\x0bchunked", "", "chunked,"]
    {
        let mut client = gateway.client();
        client.send(format!(
            "POST / HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: {coding}\r\n\r\n0\r\n\r\n{SMUGGLED}"
        ));
        let response = client.response();
        assert!([400, 501].contains(&response.status), "{coding:?}: {}", response.status);
        assert!(client.rest().0.is_empty(), "{coding:?}");
    }
    assert_eq!(origin.requests(), 0);
}

#[test]
fn a_transfer_coding_from_an_http_1_0_client_is_refused() {
    refused(&[(
        "te in 1.0",
        b"POST / HTTP/1.0\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
    )]);
}

#[test]
fn malformed_lines_are_refused() {
    refused(&[
        ("bare lf", b"GET / HTTP/1.1\nHost: t\n\n", 400),
        ("bare lf after a field", b"GET / HTTP/1.1\r\nHost: t\nX: y\r\n\r\n", 400),
        ("bare cr in a value", b"GET / HTTP/1.1\r\nHost: t\r\nX: a\rb\r\n\r\n", 400),
        ("nul in a value", b"GET / HTTP/1.1\r\nHost: t\r\nX: a\0b\r\n\r\n", 400),
        ("obs-fold", b"GET / HTTP/1.1\r\nHost: t\r\nX: a\r\n b\r\n\r\n", 400),
        ("obs-fold by tab", b"GET / HTTP/1.1\r\nHost: t\r\nX: a\r\n\tb\r\n\r\n", 400),
        ("fold of the first field", b"GET / HTTP/1.1\r\n Host: t\r\n\r\n", 400),
        ("space before colon", b"GET / HTTP/1.1\r\nHost : t\r\n\r\n", 400),
        ("tab before colon", b"POST / HTTP/1.1\r\nHost: t\r\nContent-Length\t: 5\r\n\r\nabcde", 400),
        ("no colon", b"GET / HTTP/1.1\r\nHost: t\r\nnothing\r\n\r\n", 400),
        ("empty name", b"GET / HTTP/1.1\r\nHost: t\r\n: x\r\n\r\n", 400),
        ("byte in a name", b"GET / HTTP/1.1\r\nHost: t\r\nX\xff: y\r\n\r\n", 400),
    ]);
}

#[test]
fn malformed_request_lines_are_refused() {
    refused(&[
        ("two spaces", b"GET  / HTTP/1.1\r\nHost: t\r\n\r\n", 400),
        ("space in the target", b"GET /a b HTTP/1.1\r\nHost: t\r\n\r\n", 400),
        ("a relative target", b"GET index.html HTTP/1.1\r\nHost: t\r\n\r\n", 400),
        ("a fragment", b"GET /a#b HTTP/1.1\r\nHost: t\r\n\r\n", 400),
        ("a star for GET", b"GET * HTTP/1.1\r\nHost: t\r\n\r\n", 400),
        ("a bad escape", b"GET /%zz HTTP/1.1\r\nHost: t\r\n\r\n", 400),
        ("a null escape", b"GET /a%00b HTTP/1.1\r\nHost: t\r\n\r\n", 400),
        ("above the root", b"GET /../etc HTTP/1.1\r\nHost: t\r\n\r\n", 400),
        ("a control byte", b"GET /a\x01b HTTP/1.1\r\nHost: t\r\n\r\n", 400),
        ("a method with a colon", b"GE:T / HTTP/1.1\r\nHost: t\r\n\r\n", 400),
    ]);
}

#[test]
fn other_versions_are_refused() {
    let origin = Origin::saying("never");
    let gateway = Gateway::before(&origin);
    for version in
        [" HTTP/2.0", " HTTP/0.9", " HTTP/1.2", " HTTP/1.10", " HTTP/3.0", "", " http/1.1", " ICAP/1.0"]
    {
        let mut client = gateway.client();
        let response = client.ask(format!("GET /{version}\r\nHost: t\r\n\r\n{SMUGGLED}"));
        assert!([400, 505].contains(&response.status), "{version}: {}", response.status);
        assert!(client.rest().0.is_empty(), "{version}");
    }
    assert_eq!(origin.requests(), 0);
}

#[test]
fn a_host_must_be_there_once_and_well_formed() {
    refused(&[
        ("none", b"GET / HTTP/1.1\r\n\r\n", 400),
        ("two", b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        ("two of the same", b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400),
        ("a path in it", b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400),
        ("a user in it", b"GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", 400),
        ("a space in it", b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400),
        ("a list", b"GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", 400),
        ("a bad port", b"GET / HTTP/1.1\r\nHost: a:b\r\n\r\n", 400),
    ]);
}

#[test]
fn a_bad_chunk_ends_the_connection_and_is_never_a_request() {
    let origin = Origin::start(|visit| {
        let body = visit.body();
        visit.send(ok(&format!("{} bytes", body.len())));
    });
    let gateway = Gateway::before(&origin);
    for chunks in [
        "g\r\nabc\r\n0\r\n\r\n",
        "-1\r\na\r\n0\r\n\r\n",
        "+1\r\na\r\n0\r\n\r\n",
        "0x1\r\na\r\n0\r\n\r\n",
        " 1\r\na\r\n0\r\n\r\n",
        "1 \r\na\r\n0\r\n\r\n",
        "\r\na\r\n0\r\n\r\n",
        "1\na\n0\n\n",
        "3\r\nabcd\r\n0\r\n\r\n",
        "3\r\nabc0\r\n\r\n",
        "10000000000000000\r\na\r\n0\r\n\r\n",
        "1;a\nb\r\na\r\n0\r\n\r\n",
        "1\r\na\r\n0\r\nBad Trailer: x\r\n\r\n",
    ] {
        let mut client = gateway.client();
        client.send(format!(
            "POST / HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}{SMUGGLED}"
        ));
        let (answer, _) = client.rest();
        let answer = String::from_utf8_lossy(&answer).into_owned();
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 400 "), "{chunks:?}: {answer}");
        assert_eq!(answer.matches("HTTP/1.1 ").count(), answer.len().min(1), "{chunks:?}: {answer}");
    }
    assert!(origin.heads().iter().all(|head| head.starts_with("POST ")), "{:?}", origin.heads());
}

#[test]
fn an_origins_ambiguous_answer_is_a_bad_gateway() {
    for answer in [
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\nx",
        "HTTP/1.1 200 OK\r\nX : y\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n",
        "HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n",
        "SSH-2.0-OpenSSH_9.2\r\n\r\n",
        "\0\0\0\0\r\n\r\n",
    ] {
        let origin = Origin::start(move |visit| {
            visit.send(answer);
            visit.close();
        });
        let gateway = Gateway::before(&origin);
        let response = gateway.client().get("/");
        assert_eq!(response.status, 502, "{answer:?}: {}", response.text());
        assert!(response.reason().starts_with("response."), "{answer:?}: {}", response.reason());
    }
}

#[test]
fn bytes_after_an_origins_answer_never_answer_the_next_request() {
    let origin = Origin::start(|visit| {
        visit.send(ok("one") + &ok("stray"));
    });
    let gateway = Gateway::before(&origin);
    let mut client = gateway.client();
    for _ in 0..5 {
        assert_eq!(client.get("/").text(), "one");
    }
    assert_eq!(origin.connections(), 5, "a connection with stray bytes is not used again");
}

#[test]
fn every_refusal_has_the_one_error_form() {
    let gateway = Gateway::before(&Origin::saying("never"));
    let response = gateway.client().ask("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n");
    assert_eq!(response.field("content-type"), Some("application/json"));
    let body: serde_json::Value = serde_json::from_slice(&response.body).unwrap();
    let error = body["error"].as_object().unwrap();
    assert!(error["code"].as_str().unwrap().starts_with("request."), "{body}");
    assert!(!error["message"].as_str().unwrap().is_empty(), "{body}");
    assert!(!error["request_id"].as_str().unwrap().is_empty(), "{body}");
}

#[test]
fn an_origin_that_never_comes_to_its_answer_is_a_bad_gateway() {
    let interim = "HTTP/1.1 103 Early Hints\r\n\r\n".repeat(1000);
    let endless = format!("HTTP/1.1 200 OK\r\n{}", "X: y\r\n".repeat(100_000));
    for bytes in [interim, endless] {
        let origin = Origin::start(move |visit| {
            visit.send(&bytes);
            visit.close();
        });
        let gateway = Gateway::before(&origin);
        let mut client = gateway.client();
        client.send("GET / HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n");
        let response = client.try_response("GET").unwrap();
        assert_eq!(response.status, 502, "{}", response.text());
    }
}

#[test]
fn trailers_and_extensions_have_limits() {
    let origin = Origin::start(|visit| {
        visit.count_body();
        visit.send(ok("x"));
    });
    let gateway = Gateway::before(&origin);
    let trailers = format!("0\r\n{}\r\n", "X: y\r\n".repeat(100_000));
    let extension = format!("1;x={}\r\na\r\n0\r\n\r\n", "y".repeat(1_000_000));
    for chunks in [trailers, extension] {
        let mut client = gateway.client();
        client.send(format!("POST / HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}"));
        let (answer, _) = client.rest();
        let answer = String::from_utf8_lossy(&answer);
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
    }
    assert_eq!(origin.bodies_complete(), 0);
}
