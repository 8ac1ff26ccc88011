//! Where one thing meets another: a client ahead of its answer, a tunnel behind a body, a drain behind a PROXY header.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::process::Signal;

use crate::support::{Gateway, Origin, eventually, get, listens, now, ok, proxying};

#[test]
fn a_client_that_sends_ahead_and_leaves_stops_the_upstream() {
    let origin = Origin::start(|visit| {
        visit.until_peer_leaves();
    });
    let gateway = Gateway::before(&origin);
    let mut client = gateway.client();
    client.send(get("/hang"));
    eventually("the request is under way", || origin.requests() == 1);
    client.send("GET /next HT");
    drop(client);
    eventually("the upstream's connection is closed", || origin.open_connections() == 0);
}

#[test]
fn requests_sent_ahead_of_an_answer_keep_their_order_and_bytes() {
    let go = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&go);
    let origin = Origin::start(move |visit| {
        eventually("the test lets it answer", || flag.load(Ordering::SeqCst));
        let body = visit.body();
        visit.send(ok(&format!("{} {}", visit.path(), body.len())));
    });
    let gateway = Gateway::before(&origin);
    let mut client = gateway.client();
    client.send("POST /0 HTTP/1.1\r\nHost: t\r\nContent-Length: 4\r\n\r\nbody");
    eventually("the first is under way", || origin.requests() == 1);
    for i in 1..40 {
        let body = "x".repeat(i * 50);
        client.send(format!("POST /{i} HTTP/1.1\r\nHost: t\r\nContent-Length: {}\r\n\r\n{body}", body.len()));
    }
    go.store(true, Ordering::SeqCst);
    assert_eq!(client.response().text(), "/0 4");
    for i in 1..40 {
        assert_eq!(client.response().text(), format!("/{i} {}", i * 50));
    }
}

#[test]
fn pipelined_requests_are_all_answered_after_a_half_close() {
    let origin = Origin::start(|visit| visit.send(ok(visit.path())));
    let gateway = Gateway::before(&origin);
    let mut client = gateway.client();
    client.send([get("/1"), get("/2"), get("/3")].concat());
    client.finish();
    for path in ["/1", "/2", "/3"] {
        assert_eq!(client.response().text(), path);
    }
    client.expect_closed();
}

#[test]
fn a_client_that_sends_on_after_its_last_request_gets_its_answer_and_an_end() {
    let go = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&go);
    let origin = Origin::start(move |visit| {
        eventually("the test lets it answer", || flag.load(Ordering::SeqCst));
        visit.send(ok(visit.path()));
    });
    let gateway = Gateway::before(&origin);
    let mut client = gateway.client();
    client.send("GET /last HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n");
    eventually("the request is under way", || origin.requests() == 1);
    client.send("GET /too-much HTTP/1.1\r\nHost: t\r\n\r\n");
    go.store(true, Ordering::SeqCst);
    assert_eq!(client.response().text(), "/last");
    client.expect_closed();
    assert_eq!(origin.requests(), 1, "what follows the last request is no request");
}

#[test]
fn a_last_answer_of_any_size_and_framing_comes_whole_before_the_close() {
    let origin = Origin::start(|visit| {
        let size: usize = visit.path().rsplit('/').next().unwrap().parse().unwrap();
        let body = "x".repeat(size);
        if visit.path().starts_with("/chunked") {
            visit.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
            visit.send(format!("{size:x}\r\n{body}\r\n"));
            visit.send("0\r\n\r\n");
        } else {
            visit.send(ok(&body));
        }
    });
    let gateway = Gateway::before(&origin);
    for size in [1, 500, 4_096, 16_384, 70_000, 3_000_000] {
        for framing in ["length", "chunked"] {
            for version in ["1.0", "1.1"] {
                let mut client = gateway.client();
                let line = format!("GET /{framing}/{size} HTTP/{version}");
                client.send(format!("{line}\r\nHost: t\r\nConnection: close\r\n\r\n"));
                assert_eq!(client.response().body.len(), size, "{line}");
                client.expect_closed();
            }
        }
    }
}

#[test]
fn a_body_before_a_tunnel_is_sent_once() {
    let origin = Origin::start(|visit| {
        assert_eq!(visit.body(), b"hello");
        visit.send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n");
        while let Some(bytes) = visit.receive(1) {
            visit.send(bytes);
        }
        visit.close();
    });
    let gateway = Gateway::before(&origin);
    let mut client = gateway.client();
    let head = "GET / HTTP/1.1\r\nHost: t\r\nConnection: upgrade\r\nUpgrade: x\r\nContent-Length: 5\r\n\r\n";
    client.send([head, "hello"].concat());
    assert_eq!(client.response_to("GET").status, 101);
    client.send("!");
    assert_eq!(client.exactly(1), b"!");
}

#[test]
fn a_drain_does_not_take_a_request_behind_a_proxy_header_for_idle() {
    let origin = Origin::start(|visit| {
        let until = now() + Duration::from_millis(1_500);
        eventually("longer than a fresh connection is given", || now() >= until);
        visit.send(ok("whole"));
    });
    let mut gateway = Gateway::start(&format!(
        "{}\n[server]\nworkers = 1\ntrusted_proxies = [\"127.0.0.0/8\"]\n[listeners.http]\n\
         bind = \"GATEWAY:8080\"\nproxy_protocol = true\n",
        proxying(&origin)
    ));
    let mut client = gateway.client();
    client.send(["PROXY TCP4 1.2.3.4 10.0.0.1 4000 8080\r\n", &get("/")].concat());
    eventually("the request is under way", || origin.requests() == 1);
    gateway.signal(Signal::TERM);
    eventually("no new connections are taken", || !listens(gateway.at(8080)));
    assert_eq!(client.response().text(), "whole");
    assert!(gateway.wait().success());
}

#[test]
fn max_forwards_counts_down_and_ends_at_the_gateway() {
    let origin = Origin::mirror();
    let gateway = Gateway::before(&origin);
    let mut client = gateway.client();
    let ask =
        |method: &str, left: &str| format!("{method} / HTTP/1.1\r\nHost: t\r\nMax-Forwards: {left}\r\n\r\n");
    assert_eq!(client.ask(ask("OPTIONS", "0")).status, 204);
    let trace = client.ask(ask("TRACE", "0"));
    assert_eq!((trace.status, trace.reason().as_str()), (405, "request.trace"));
    assert_eq!(origin.requests(), 0);
    assert_eq!(client.ask(ask("OPTIONS", "3")).status, 200);
    assert!(origin.head().contains("Max-Forwards: 2\r\n"), "{}", origin.head());
    assert_eq!(client.ask(ask("GET", "0")).status, 200);
}

#[test]
fn a_refused_connect_is_not_repeated_at_the_only_endpoint() {
    let gateway = Gateway::start(&format!(
        "[log]\naccess = \"stdout\"\n[routes.all]\nmatch = {{ prefix = \"/\" }}\nupstream = \"gone\"\n\
         [upstreams.gone]\nendpoints = [\"{}\"]\n",
        Origin::nowhere()
    ));
    let response = gateway.client().get("/");
    assert_eq!((response.status, response.reason().as_str()), (502, "upstream.connect.refused"));
    gateway.line_with(&["\"message\":\"request\"", "\"attempts\":1,"]);
}

#[test]
fn an_answer_that_breaks_within_its_head_is_not_asked_for_again() {
    let origin = Origin::start(|visit| {
        if visit.path() == "/warm" {
            return visit.send(ok("warm"));
        }
        visit.send("HTTP/1.1 200 OK\r\nConte");
        visit.close();
    });
    let gateway = Gateway::before(&origin);
    let mut client = gateway.client();
    assert_eq!(client.get("/warm").text(), "warm");
    let response = client.get("/cut");
    assert_eq!((response.status, response.reason().as_str()), (502, "upstream.reset.within_headers"));
    assert_eq!(origin.requests(), 2);
}

#[test]
fn a_drain_delay_shows_red_before_the_doors_close() {
    let origin = Origin::saying("x");
    let mut gateway = Gateway::start(&format!(
        "{}\n[routes.ready]\nmatch = {{ path = \"/ready\" }}\nrespond = \"ready\"\n\
         [server]\nworkers = 1\ndrain_delay = \"700ms\"\n",
        proxying(&origin)
    ));
    assert_eq!(gateway.client().get("/ready").status, 200);
    gateway.signal(Signal::TERM);
    eventually("readiness is red", || gateway.client().get("/ready").status == 503);
    let response = gateway.client().get("/");
    assert_eq!((response.status, response.field("connection")), (200, Some("close")));
    assert!(gateway.wait().success());
}
