//! Every fault has one reason word: in the answer's body, in `X-Ringway-Reason`, in the access log and in the metrics.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;
use socket2::{Domain, SockRef, Socket, Type};

use crate::support::{Client, Gateway, Origin, Visit, eventually, fresh_dir, get, ok, own_address};

/// What is expected of one exchange.
struct Case {
    /// The route, the path below `/`, and what the origin does.
    name: &'static str,
    /// What the client sends; empty: a GET of the path.
    request: String,
    /// The answer's status; where the head was relayed before the fault, the origin's; 0: nothing was sent.
    status: u16,
    word: &'static str,
    /// Whether a route with `reason_header` was found before the fault.
    routed: bool,
}

fn case(name: &'static str, status: u16, word: &'static str) -> Case {
    Case { name, request: get(&format!("/{name}")), status, word, routed: true }
}

impl Case {
    fn asking(mut self, request: String) -> Self {
        self.request = request;
        self
    }

    fn without_route(mut self) -> Self {
        self.routed = false;
        self
    }
}

/// A PUT to a path with these fields and this much of its body.
fn put(name: &str, rest: &str) -> String {
    format!("PUT /{name} HTTP/1.1\r\nHost: t\r\n{rest}")
}

/// Faults that the gateway answers.
fn answered() -> Vec<Case> {
    let via = "Via: 1.1 ringway\r\n".repeat(8);
    let chunked = |chunks: &str| format!("Transfer-Encoding: chunked\r\n\r\n{chunks}");
    vec![
        case("refused", 502, "upstream.connect.refused"),
        case("full", 504, "upstream.connect.timeout"),
        case("reset", 502, "upstream.reset.before_headers"),
        case("close", 502, "upstream.reset.before_headers"),
        case("half-head", 502, "upstream.reset.within_headers"),
        case("slow-head", 504, "upstream.timeout"),
        case("status", 502, "response.status"),
        case("lengths", 502, "response.framing.length.repeated"),
        case("long-head", 502, "response.head.length"),
        case("bad-chunks", 502, "upstream.bad_body"),
        case("interim", 502, "upstream.interim"),
        case("unasked", 502, "upstream.upgrade"),
        case("declared", 413, "limit.body").asking(put("declared", "Content-Length: 101\r\n\r\n")),
        case("chunked", 413, "limit.body")
            .asking(put("chunked", &chunked(&format!("65\r\n{}\r\n", "x".repeat(0x65))))),
        case("bad-chunk", 400, "body.chunk.size").asking(put("bad-chunk", &chunked("1\r\nx\r\nzz\r\n"))),
        case("stalled", 408, "limit.body_timeout").asking(put("stalled", "Content-Length: 9\r\n\r\nx")),
        case("files", 404, "static.not_found"),
        case("files-put", 405, "static.method").asking(put("files-put", "Content-Length: 0\r\n\r\n")),
        case("nowhere", 404, "route.not_found").without_route(),
        case("only-get", 405, "route.method")
            .asking(put("only-get", "Content-Length: 0\r\n\r\n"))
            .without_route(),
        case("loop", 508, "request.loop")
            .asking(format!("GET /loop HTTP/1.1\r\nHost: t\r\n{via}\r\n"))
            .without_route(),
    ]
}

/// Faults after the response's head has been passed on.
fn cut() -> Vec<Case> {
    vec![
        case("bad-later", 200, "upstream.bad_body"),
        case("cut-length", 200, "upstream.truncated"),
        case("cut-chunked", 200, "upstream.truncated"),
        case("cut-by-reset", 200, "upstream.truncated"),
        case("slow-body", 200, "upstream.timeout.body"),
    ]
}

/// The origin's part.
fn misbehave(visit: &mut Visit<'_>) {
    let head = |fields: &str| format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\n");
    match visit.path().trim_start_matches('/').to_owned().as_str() {
        "reset" => visit.reset(),
        "close" => visit.close(),
        "half-head" => {
            visit.send("HTTP/1.1 200 OK\r\nContent-Len");
            visit.close();
        }
        "status" => visit.send("HTTP/1.1 2x0 OK\r\nContent-Length: 0\r\n\r\n"),
        "lengths" => visit.send(head("Content-Length: 1\r\nContent-Length: 1") + "x"),
        "long-head" => visit.send(head(&format!("A: {}", "x".repeat(1 << 20)))),
        "interim" => visit.send("HTTP/1.1 103 Early Hints\r\n\r\n".repeat(17)),
        "unasked" => {
            visit.send("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n");
        }
        "cut-length" => {
            visit.send(head("Content-Length: 9") + "x");
            visit.close();
        }
        "cut-chunked" => {
            visit.send(head("Transfer-Encoding: chunked") + "1\r\nx\r\n");
            visit.close();
        }
        "cut-by-reset" => {
            visit.send(head("Content-Length: 9") + "x");
            visit.reset();
        }
        "bad-chunks" => visit.send(head("Transfer-Encoding: chunked") + "1\r\nx\r\nzz\r\n"),
        "bad-later" => {
            visit.send(head("Transfer-Encoding: chunked") + "1\r\nx\r\n");
            // The client asks for something else once it has this.
            visit.wait_for_requests(2);
            visit.send("zz\r\n");
        }
        "fine" => visit.send(ok("x")),
        "slow-body" => {
            visit.send(head("Content-Length: 9") + "x");
            visit.until_peer_leaves();
        }
        "unread" => {
            visit.send(head("Content-Length: 1000000000"));
            while visit.try_send(vec![0; 65536]).is_ok() {}
            visit.close();
        }
        "tunnel" => {
            visit.send("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n");
            visit.until_peer_leaves();
        }
        _ => visit.until_peer_leaves(),
    }
}

/// A gateway with a route for each name.
fn gateway(origin: &Origin, full: SocketAddr) -> Gateway {
    let (dir, mut routes) = (fresh_dir(), String::new());
    let all = answered().into_iter().chain(cut()).filter(|case| case.routed).map(|case| case.name);
    for name in all.chain(["fine", "unread", "leaves", "resets", "uploads", "tunnel"]) {
        let terminal = match name {
            "refused" => "upstream = \"refused\"",
            "full" => "upstream = \"full\"",
            "files" | "files-put" => "static = { root = \"DIR\" }",
            "slow-head" | "slow-body" => "upstream = \"origin\"\ntimeout = \"300ms\"",
            "stalled" | "unread" => "upstream = \"origin\"\nbody_timeout = \"300ms\"",
            "declared" | "chunked" => "upstream = \"origin\"\nmax_body = \"100B\"",
            "tunnel" => "upstream = \"origin\"\ntunnel_timeout = \"300ms\"",
            _ => "upstream = \"origin\"",
        };
        routes +=
            &["[routes.", name, "]\nmatch = { path = \"/", name, "\" }\nreason_header = true\n"].concat();
        routes += &[terminal, "\n"].concat();
    }
    let config = format!(
        "{routes}[routes.only-get]\nmatch = {{ path = \"/only-get\", methods = [\"GET\"] }}\nrespond = \"health\"\n\
         [upstreams.origin]\nendpoints = [\"{}\"]\n\
         [upstreams.refused]\nendpoints = [\"{}\"]\n\
         [upstreams.full]\nendpoints = [\"{full}\"]\nconnect_timeout = \"200ms\"\n\
         [metrics]\nbind = \"GATEWAY:9090\"\n[limits]\nheader_timeout = \"300ms\"\n",
        origin.address(),
        Origin::nowhere(),
    );
    Gateway::start_in(&dir, &config)
}

/// A listener whose queue is full, so that the kernel drops what else wants to connect; and what fills it.
pub(crate) fn full_listener() -> (Socket, SocketAddr, Vec<TcpStream>) {
    let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    let address = SocketAddr::from((own_address(), 3000));
    listener.bind(&address.into()).unwrap();
    listener.listen(0).unwrap();
    let connect = || TcpStream::connect_timeout(&address, Duration::from_millis(300)).ok();
    let filling: Vec<TcpStream> = std::iter::from_fn(connect).take(16).collect();
    assert!(filling.len() < 16, "the queue never was full");
    (listener, address, filling)
}

/// The one access line of a path.
fn access_line(gateway: &Gateway, path: &str) -> Value {
    let path = format!("\"path\":\"{path}\"");
    gateway.line_with(&[&path]);
    let output = gateway.output();
    let lines: Vec<&str> = output.lines().filter(|line| line.contains(&path)).collect();
    assert_eq!(lines.len(), 1, "{lines:?}");
    serde_json::from_str(lines[0]).unwrap()
}

/// All reasons that the metrics have counted.
fn counted(gateway: &Gateway) -> BTreeMap<String, u64> {
    let page = Client::connect(gateway.at(9090)).get("/metrics");
    let sample = |line: &str| {
        let (word, count) =
            line.strip_prefix("ringway_requests_by_reason_total{reason=\"")?.split_once("\"} ")?;
        Some((word.to_owned(), count.parse().unwrap()))
    };
    page.text().lines().filter_map(sample).filter(|(_, count)| *count > 0).collect()
}

/// What log and metrics say once these exchanges are over: each word as often as it was earned, and no other.
fn assert_told<'a>(gateway: &Gateway, cases: impl Iterator<Item = &'a Case>) {
    let mut expected = BTreeMap::new();
    for Case { name, status, word, .. } in cases {
        let line = access_line(gateway, &format!("/{name}"));
        assert_eq!(
            (&line["reason"], &line["status"]),
            (&Value::from(*word), &Value::from(*status)),
            "{line}"
        );
        *expected.entry((*word).to_owned()).or_insert(0) += 1;
    }
    eventually("each word is counted as often as it was given", || counted(gateway) == expected);
}

#[test]
fn an_answered_fault_has_one_word_everywhere() {
    let (origin, (_listener, full, _filling)) = (Origin::start(misbehave), full_listener());
    let gateway = gateway(&origin, full);
    let cases = answered();
    for Case { name, request, status, word, routed } in &cases {
        let mut client = gateway.client();
        let response = client.ask(request);
        assert_eq!((response.status, response.reason().as_str()), (*status, *word), "{name}");
        assert_eq!(response.field("x-ringway-reason"), routed.then_some(*word), "{name}");
    }
    assert_told(&gateway, cases.iter());
}

#[test]
fn a_fault_within_the_body_has_one_word_everywhere_and_is_seen_as_a_cut() {
    let (origin, (_listener, full, _filling)) = (Origin::start(misbehave), full_listener());
    let gateway = gateway(&origin, full);
    let cases = cut();
    for case in &cases {
        let mut client = gateway.client();
        client.send(&case.request);
        let head = client.head();
        assert_eq!((head.status, head.field("x-ringway-reason")), (200, None), "{}", case.name);
        if case.name == "bad-later" {
            assert_eq!(gateway.client().get("/fine").text(), "x");
        }
        let (rest, _) = client.rest();
        assert!(!rest.ends_with(b"0\r\n\r\n"), "{}: {:?}", case.name, String::from_utf8_lossy(&rest));
    }
    assert_told(&gateway, cases.iter());
}

#[test]
fn a_client_that_goes_wrong_has_one_word_in_log_and_metrics() {
    let (origin, (_listener, full, _filling)) = (Origin::start(misbehave), full_listener());
    let gateway = gateway(&origin, full);
    let cases = [
        case("leaves", 0, "client.closed"),
        case("resets", 0, "client.reset"),
        case("uploads", 0, "client.closed").asking(put("uploads", "Content-Length: 9\r\n\r\nx")),
        case("unread", 200, "client.stalled"),
        case("tunnel", 101, "tunnel.idle").asking(
            "GET /tunnel HTTP/1.1\r\nHost: t\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n".to_owned(),
        ),
    ];
    let mut kept = Vec::new();
    for (nth, Case { name, request, .. }) in cases.iter().enumerate() {
        let stream = TcpStream::connect(gateway.at(8080)).unwrap();
        std::io::Write::write_all(&mut &stream, request.as_bytes()).unwrap();
        eventually("the origin was asked", || origin.requests() > nth);
        match *name {
            "unread" | "tunnel" => kept.push(stream),
            "resets" => SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap(),
            _ => {}
        }
    }
    assert_told(&gateway, cases.iter());
    eventually("no attempt is left", || origin.open_connections() == 0);
}

#[test]
fn a_head_that_is_late_or_refused_has_one_word_in_answer_log_and_metrics() {
    let (origin, (_listener, full, _filling)) = (Origin::start(misbehave), full_listener());
    let gateway = gateway(&origin, full);
    let mut expected = BTreeMap::new();
    for (request, status, word) in [
        ("GET /late HTTP/1.1\r\nHo", 408, "limit.header_timeout"),
        ("GET /x HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400, "request.host.repeated"),
        (
            "GET /x HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            400,
            "request.framing.both",
        ),
        ("GET /x HTTP/3.1\r\nHost: a\r\n\r\n", 505, "request.version"),
        ("CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n", 405, "request.connect"),
    ] {
        let response = gateway.client().ask(request);
        assert_eq!((response.status, response.reason().as_str()), (status, word), "{request:?}");
        let line: Value =
            serde_json::from_str(&gateway.line_with(&[&format!("\"reason\":\"{word}\"")])).unwrap();
        assert_eq!(line["status"], status, "{line}");
        expected.insert(word.to_owned(), 1);
    }
    eventually("each word is counted once", || counted(&gateway) == expected);
}

#[test]
fn an_upstream_without_a_healthy_endpoint_has_one_word_everywhere() {
    let health = "health = { path = \"/\", interval = \"100ms\", unhealthy_after = 1 }";
    let gateway = Gateway::start(&format!(
        "[routes.sick]\nmatch = {{ prefix = \"/\" }}\nupstream = \"sick\"\nreason_header = true\n\
         [upstreams.sick]\nendpoints = [\"{}\"]\n{health}\n[metrics]\nbind = \"GATEWAY:9090\"\n",
        Origin::nowhere()
    ));
    let mut asked = 0;
    eventually("the endpoint is known to be unhealthy", || {
        asked += 1;
        gateway.client().get(&format!("/{asked}")).status == 503
    });
    let word = "upstream.unavailable";
    let response = gateway.client().get("/last");
    assert_eq!((response.status, response.reason().as_str()), (503, word));
    assert_eq!(response.field("x-ringway-reason"), Some(word));
    let line = access_line(&gateway, "/last");
    assert_eq!((&line["reason"], &line["attempts"]), (&word.into(), &0.into()), "{line}");
    eventually("two of them are counted", || counted(&gateway).get(word) == Some(&2));
}
