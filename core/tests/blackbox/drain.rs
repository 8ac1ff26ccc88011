//! The end of a gateway: what is under way is finished, who waits is let go, nobody is reset, the deadline holds.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use rustix::process::Signal;

use crate::lifecycle::{TUNNEL, busy_origin};
use crate::support::{Client, Gateway, Origin, eventually, get, listens, now, ok, proxying, thread};

/// Everything to an origin, and `/epoch` answering with a number, so that it can be seen which file is in force.

#[test]
fn a_drain_finishes_what_is_under_way() {
    let go = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&go);
    let origin = Origin::start(move |visit| {
        eventually("the test lets it answer", || flag.load(Ordering::SeqCst));
        visit.send(ok("whole"));
    });
    let mut gateway = Gateway::before(&origin);
    let mut client = gateway.client();
    client.send(get("/"));
    eventually("the request is under way", || origin.requests() == 1);
    gateway.signal(Signal::TERM);
    eventually("no new connections are taken", || !listens(gateway.at(8080)));
    assert!(gateway.ended().is_none());
    go.store(true, Ordering::SeqCst);
    let response = client.response();
    assert_eq!((response.text(), response.field("connection")), ("whole", Some("close")));
    client.expect_closed();
    assert!(gateway.wait().success());
}

#[test]
fn a_drain_lets_idle_clients_go_and_ends_cleanly() {
    let origin = Origin::saying("x");
    let mut gateway = Gateway::before(&origin);
    let mut clients: Vec<Client> = (0..20).map(|_| gateway.client()).collect();
    for client in &mut clients {
        assert_eq!(client.get("/").status, 200);
    }
    gateway.signal(Signal::TERM);
    assert!(gateway.wait().success());
    assert_eq!(origin.requests(), 20);
    for client in &mut clients {
        let (bytes, clean) = client.rest();
        assert!(bytes.is_empty() && clean, "a close, not a reset");
    }
}

#[test]
fn a_drain_has_a_deadline() {
    let origin = busy_origin(&Arc::new(AtomicBool::new(false)));
    let mut gateway =
        Gateway::start(&format!("{}\n[server]\nworkers = 1\ndrain_timeout = \"1s\"\n", proxying(&origin)));
    let (mut tunnel, mut download) = (gateway.client(), gateway.client());
    assert_eq!(tunnel.ask(TUNNEL).status, 101);
    download.send(get("/download"));
    download.until(b"hello");
    let began = now();
    gateway.signal(Signal::TERM);
    let status = gateway.wait();
    let took = now() - began;
    assert!(status.success(), "{status}");
    assert!(took > Duration::from_millis(900) && took < Duration::from_secs(6), "{took:?}");
    let (bytes, _) = download.rest();
    assert!(!bytes.ends_with(b"0\r\n\r\n"), "what was cut does not look whole");
}

#[test]
fn a_connect_flood_sees_no_reset_when_the_gateway_drains() {
    let origin = Origin::saying("x");
    let mut gateway = Gateway::start(&format!("{}\n[server]\nworkers = 2\n", proxying(&origin)));
    let address = gateway.at(8080);
    let answered = Arc::new(AtomicUsize::new(0));
    let flood = |_| {
        let answered = Arc::clone(&answered);
        thread(move || -> Result<(), String> {
            // Until a connection is refused: those that were taken must be answered.
            while let Ok(mut client) = Client::try_connect(address) {
                client.send("GET / HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n");
                let response = client.try_response("GET")?;
                if response.status != 200 {
                    return Err(response.head);
                }
                answered.fetch_add(1, Ordering::SeqCst);
            }
            Ok(())
        })
    };
    let threads: Vec<_> = (0..8).map(flood).collect();
    eventually("the flood runs", || answered.load(Ordering::SeqCst) > 500);
    gateway.signal(Signal::TERM);
    assert!(gateway.wait().success());
    for thread in threads {
        assert_eq!(thread.join().unwrap(), Ok(()));
    }
}

#[test]
fn readiness_is_red_while_draining() {
    let origin = Origin::start(|visit| {
        if visit.path() == "/slow" {
            visit.wait_for_requests(2);
        }
        visit.send(ok("x"));
    });
    let text = format!(
        "{}\n[routes.ready]\nmatch = {{ path = \"/ready\" }}\nrespond = \"ready\"\n",
        proxying(&origin)
    );
    let gateway = Gateway::start(&text);
    let (mut slow, mut probe, mut waker) = (gateway.client(), gateway.client(), gateway.client());
    assert_eq!(probe.get("/ready").status, 200);
    // A request whose head is half sent keeps its connection through the drain's beginning.
    probe.send("GET /ready HTTP/1.1\r\n");
    waker.send("GET /wake HTTP/1.1\r\n");
    slow.send(get("/slow"));
    eventually("a request is under way", || origin.requests() == 1);
    gateway.signal(Signal::TERM);
    eventually("no new connections are taken", || !listens(gateway.at(8080)));
    probe.send("Host: t\r\n\r\n");
    let red = probe.response();
    assert_eq!((red.status, red.field("connection")), (503, Some("close")));
    waker.send("Host: t\r\n\r\n");
    assert_eq!(waker.response().text(), "x");
    assert_eq!(slow.response().text(), "x");
}

#[test]
fn a_second_signal_ends_at_once() {
    let origin = busy_origin(&Arc::new(AtomicBool::new(false)));
    let mut gateway = Gateway::before(&origin);
    let mut tunnel = gateway.client();
    assert_eq!(tunnel.ask(TUNNEL).status, 101);
    let began = now();
    gateway.signal(Signal::TERM);
    gateway.line_with(&["drain.started"]);
    assert!(gateway.ended().is_none());
    gateway.signal(Signal::TERM);
    gateway.wait();
    assert!(now() - began < Duration::from_secs(10), "well before the drain's deadline of 30 s");
}
