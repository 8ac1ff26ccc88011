//! The life of an HTTP/2 connection: what ends it, what it is told, and that no stream is lost on the way.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::process::Signal;

use crate::support::h2::{END_STREAM, NO_ERROR, PREFACE, Peer, asking, getting, settings};
use crate::support::{Gateway, Origin, eventually, listens, now, ok, proxying};

/// The last stream that there can be.
const ANY: u32 = 0x7fff_ffff;

/// An origin that answers `/slow` when it is let.
fn gated(go: &Arc<AtomicBool>) -> Origin {
    let go = Arc::clone(go);
    Origin::start(move |visit| {
        if visit.path() == "/slow" {
            eventually("the test lets it answer", || go.load(Ordering::SeqCst));
        }
        visit.send(ok("whole"));
    })
}

#[test]
fn a_drain_says_goaway_and_finishes_what_is_open() {
    let go = Arc::default();
    let origin = gated(&go);
    let mut gateway = Gateway::before(&origin);
    let mut client = Peer::connect(gateway.at(8080));
    let first = client.ask(&getting("/slow"));
    eventually("it is under way", || origin.requests() == 1);
    gateway.signal(Signal::TERM);
    client.wait_for("both frames", |client| client.goaways.len() == 2);
    assert_eq!(client.goaways, [(ANY, NO_ERROR), (first, NO_ERROR)], "a warning, and then the last stream");
    assert!(gateway.ended().is_none());
    go.store(true, Ordering::SeqCst);
    assert_eq!(client.answer(first).text(), "whole");
    assert!(client.until_closed(), "a close, not a reset");
    assert!(gateway.wait().success());
}

#[test]
fn a_request_that_crosses_the_goaway_is_answered() {
    let origin = Origin::saying("x");
    let mut gateway = Gateway::before(&origin);
    let mut client = Peer::connect(gateway.at(8080));
    assert_eq!(client.get("/").text(), "x");
    client.acknowledges = false;
    gateway.signal(Signal::TERM);
    client.wait_for("the warning", |client| client.goaways.len() == 1);
    // It takes a while until the client has seen it: a round trip of a tenth of a second.
    client.read_for(Duration::from_millis(100));
    assert_eq!(client.get("/crossed").text(), "x");
    assert!(client.until_closed(), "a close, not a reset");
    assert_eq!(client.goaways.last(), Some(&(3, NO_ERROR)), "it is told which stream was the last");
    assert!(gateway.wait().success());
}

#[test]
fn a_drain_lets_resting_connections_go_at_once() {
    let origin = Origin::saying("x");
    let mut gateway = Gateway::before(&origin);
    let mut clients: Vec<Peer> = (0..10).map(|_| Peer::connect(gateway.at(8080))).collect();
    for client in &mut clients {
        assert_eq!(client.get("/").text(), "x");
    }
    let began = now();
    gateway.signal(Signal::TERM);
    for client in &mut clients {
        assert!(client.until_closed());
        assert_eq!(client.goaways.last(), Some(&(1, NO_ERROR)));
    }
    assert!(gateway.wait().success());
    assert!(now() - began < Duration::from_secs(4), "{:?}", now() - began);
}

#[test]
fn a_connection_that_was_told_to_go_before_the_drain_neither_spins_nor_stays() {
    let go = Arc::default();
    let origin = gated(&go);
    let text = proxying(&origin) + "\n[limits]\nrequests_per_connection = 1\nconnection_age = \"1s\"\n";
    let mut gateway = Gateway::start(&text);
    let mut client = Peer::connect(gateway.at(8080));
    let stream = client.ask(&getting("/slow"));
    client.wait_for("it is told", |client| client.goaways.len() == 2);
    // Its age comes, and then the drain, while its last stream is still open.
    client.read_for(Duration::from_millis(1200));
    gateway.signal(Signal::TERM);
    eventually("no new connections are taken", || !listens(gateway.at(8080)));
    let (began, before) = (now(), gateway.cpu_time());
    client.read_for(Duration::from_millis(500));
    let spent = gateway.cpu_time().saturating_sub(before);
    assert!(spent < (now() - began) / 4, "{spent:?} of CPU time while nothing happens");
    go.store(true, Ordering::SeqCst);
    assert_eq!(client.answer(stream).text(), "whole");
    assert!(client.until_closed());
    assert!(gateway.wait().success());
}

#[test]
fn the_end_of_a_drain_cuts_what_is_left() {
    let origin = Origin::silent();
    let text = proxying(&origin) + "\n[server]\nworkers = 1\ndrain_timeout = \"1s\"\n";
    let mut gateway = Gateway::start(&text);
    let mut client = Peer::connect(gateway.at(8080));
    let streams: Vec<u32> = (0..5).map(|_| client.ask(&getting("/"))).collect();
    let up = client.open(&asking("POST", "/up"), 0);
    eventually("all are under way", || origin.requests() == 6);
    let began = now();
    gateway.signal(Signal::TERM);
    client.until_closed();
    let took = now() - began;
    assert!(took > Duration::from_millis(900) && took < Duration::from_secs(6), "{took:?}");
    for stream in streams.into_iter().chain([up]) {
        let cut = client.stream(stream);
        assert!(!cut.ended || cut.status() == 503, "an answer, a reset or nothing: {cut:?}");
    }
    assert!(gateway.wait().success());
    gateway.line_with(&["\"reason\":\"drain"]);
}

#[test]
fn a_reload_without_the_listener_says_goaway() {
    let go = Arc::default();
    let origin = gated(&go);
    let one = proxying(&origin);
    let listeners = "\n[listeners.a]\nbind = \"GATEWAY:8080\"\n[listeners.b]\nbind = \"GATEWAY:8081\"\n";
    let gateway = Gateway::start(&(one.clone() + listeners));
    let (mut gone, mut kept) = (Peer::connect(gateway.at(8080)), Peer::connect(gateway.at(8081)));
    let slow = gone.ask(&getting("/slow"));
    assert_eq!(kept.get("/").text(), "whole");
    eventually("it is under way", || origin.requests() == 2);
    gateway.reload(&(one + "\n[listeners.b]\nbind = \"GATEWAY:8081\"\n"));
    gone.wait_for("both frames", |client| client.goaways.len() == 2);
    go.store(true, Ordering::SeqCst);
    assert_eq!(gone.answer(slow).text(), "whole");
    assert!(gone.until_closed());
    assert_eq!(kept.get("/").text(), "whole");
    assert!(kept.goaways.is_empty());
}

#[test]
fn the_last_request_of_a_connection_is_counted() {
    let origin = Origin::saying("x");
    let gateway = Gateway::start(&(proxying(&origin) + "\n[limits]\nrequests_per_connection = 3\n"));
    let mut client = Peer::connect(gateway.at(8080));
    for _ in 0..2 {
        assert_eq!(client.get("/").text(), "x");
        client.read_for(Duration::from_millis(20));
        assert!(client.goaways.is_empty());
    }
    assert_eq!(client.get("/").text(), "x");
    assert!(client.until_closed());
    assert_eq!(client.goaways, [(ANY, NO_ERROR), (5, NO_ERROR)]);
}

#[test]
fn who_does_not_hear_the_goaway_is_refused_in_the_end() {
    let go = Arc::default();
    let origin = gated(&go);
    let gateway = Gateway::start(&(proxying(&origin) + "\n[limits]\nrequests_per_connection = 1\n"));
    let mut client = Peer::connect(gateway.at(8080));
    client.acknowledges = false;
    let slow = client.ask(&getting("/slow"));
    let (began, mut answered) = (now(), 0);
    let refused = loop {
        let stream = client.ask(&getting("/more"));
        let outcome = client.outcome(stream);
        if let Some(code) = outcome.reset {
            break code;
        }
        answered += 1;
        client.read_for(Duration::from_millis(10));
        assert!(now() - began < Duration::from_secs(10), "{answered} requests after the last one");
    };
    assert_eq!(refused, crate::support::h2::REFUSED_STREAM);
    go.store(true, Ordering::SeqCst);
    assert_eq!(client.answer(slow).text(), "whole");
}

#[test]
fn an_old_connection_is_told_to_go() {
    let origin = Origin::saying("x");
    let gateway = Gateway::start(&(proxying(&origin) + "\n[limits]\nconnection_age = \"1s\"\n"));
    let mut client = Peer::connect(gateway.at(8080));
    let began = now();
    assert_eq!(client.get("/").text(), "x");
    assert!(client.until_closed());
    assert!(now() - began > Duration::from_millis(900), "{:?}", now() - began);
    assert_eq!(client.goaways, [(ANY, NO_ERROR), (1, NO_ERROR)]);
}

#[test]
fn a_resting_connection_is_told_to_go() {
    let origin = Origin::saying("x");
    let gateway = Gateway::start(&(proxying(&origin) + "\n[limits]\nidle_timeout = \"400ms\"\n"));
    let mut client = Peer::connect(gateway.at(8080));
    for _ in 0..3 {
        assert_eq!(client.get("/").text(), "x");
        assert!(client.read_for(Duration::from_millis(200)), "not yet");
    }
    let began = now();
    assert!(client.until_closed());
    assert!(now() - began < Duration::from_millis(1500), "{:?}", now() - began);
    assert_eq!(client.goaways, [(ANY, NO_ERROR), (5, NO_ERROR)]);
}

#[test]
fn an_open_stream_is_not_rest() {
    let go = Arc::default();
    let origin = gated(&go);
    let gateway = Gateway::start(&(proxying(&origin) + "\n[limits]\nidle_timeout = \"200ms\"\n"));
    let mut client = Peer::connect(gateway.at(8080));
    let slow = client.ask(&getting("/slow"));
    assert!(client.read_for(Duration::from_millis(700)), "the connection lives");
    assert!(client.goaways.is_empty());
    go.store(true, Ordering::SeqCst);
    assert_eq!(client.answer(slow).text(), "whole");
}

#[test]
fn pings_do_not_keep_a_resting_connection() {
    let origin = Origin::saying("x");
    let gateway = Gateway::start(&(proxying(&origin) + "\n[limits]\nidle_timeout = \"400ms\"\n"));
    let mut client = Peer::connect(gateway.at(8080));
    assert_eq!(client.get("/").text(), "x");
    let began = now();
    while client.read_for(Duration::from_millis(50)) {
        client.send(crate::support::h2::frame(crate::support::h2::PING, 0, 0, [0; 8]));
        assert!(now() - began < Duration::from_secs(5), "it is still here");
    }
}

#[test]
fn the_first_request_has_the_header_timeout() {
    let origin = Origin::saying("x");
    let gateway = Gateway::start(&(proxying(&origin) + "\n[limits]\nheader_timeout = \"400ms\"\n"));
    let began = now();
    let mut silent = Peer::connect(gateway.at(8080));
    let mut half = Peer::silent(gateway.at(8080));
    half.send(&PREFACE[..20]);
    let mut bare = Peer::silent(gateway.at(8080));
    bare.send(PREFACE);
    let mut within = Peer::connect(gateway.at(8080));
    // A header block that never ends.
    within.send(crate::support::h2::frame(1, END_STREAM, 1, [0, 3]));
    let mut slow = Peer::silent(gateway.at(8080));
    slow.send([PREFACE, &settings(&[])].concat());
    for client in [&mut silent, &mut half, &mut bare, &mut within, &mut slow] {
        let _ = client.socket().set_read_timeout(Some(Duration::from_secs(5)));
        drain_socket(client);
    }
    let took = now() - began;
    assert!(took > Duration::from_millis(350) && took < Duration::from_secs(3), "{took:?}");
}

/// Reads until the end, whatever comes.
fn drain_socket(client: &mut Peer) {
    use std::io::Read;
    let mut chunk = [0; 4096];
    let mut socket = client.socket();
    while let Ok(1..) = socket.read(&mut chunk) {}
}
