//! Bodies stream both ways: promptly, within bounded memory, and never end in a way that hides a loss.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use crate::support::{Gateway, Origin, eventually, get, now, ok, settled, thread};

const MIB: usize = 1 << 20;

#[test]
fn an_event_is_forwarded_before_the_next_is_made() {
    let (next, wanted) = mpsc::channel::<()>();
    let wanted = Arc::new(Shared::new(wanted));
    let origin = Origin::start(move |visit| {
        visit
            .send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n");
        while wanted.lock().unwrap().recv().is_ok() {
            visit.send("c\r\ndata: hello\n\r\n");
        }
        visit.send("0\r\n\r\n");
    });
    let gateway = Gateway::before(&origin);
    let mut client = gateway.client();
    client.send(get("/events"));
    assert_eq!(client.head().field("content-type"), Some("text/event-stream"));
    let mut quickest = Duration::MAX;
    for _ in 0..50 {
        let began = now();
        next.send(()).unwrap();
        client.until(b"data: hello\n");
        quickest = quickest.min(now() - began);
    }
    drop(next);
    client.until(b"0\r\n\r\n");
    // The best of many: how long the gateway takes, and not how long a busy machine does.
    assert!(quickest < Duration::from_millis(2), "{quickest:?}");
}

#[expect(clippy::disallowed_types, reason = "the origin's thread and the test share a channel's end")]
type Shared<T> = std::sync::Mutex<T>;

#[test]
fn a_large_upload_adds_no_memory() {
    let origin = Origin::start(|visit| {
        let received = visit.count_body();
        visit.send(ok(&received.to_string()));
    });
    let gateway = Gateway::before(&origin);
    let upload = |size: usize| {
        let mut client = gateway.client();
        client.send(format!("PUT /big HTTP/1.1\r\nHost: t\r\nContent-Length: {size}\r\n\r\n"));
        let piece = vec![b'x'; MIB];
        (0..size / MIB).for_each(|_| client.send(&piece));
        assert_eq!(client.response().text(), size.to_string());
    };
    upload(20 * MIB);
    let before = gateway.resident_kib();
    upload(200 * MIB);
    let growth = gateway.resident_kib().saturating_sub(before);
    assert!(growth < 1024, "{growth} KiB more");
}

#[test]
fn a_large_download_adds_no_memory() {
    let origin = Origin::start(|visit| {
        let size: usize = visit.number();
        visit.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n"));
        let piece = vec![b'x'; MIB];
        (0..size / MIB).for_each(|_| visit.send(&piece));
    });
    let gateway = Gateway::before(&origin);
    let mut client = gateway.client();
    assert_eq!(client.get(&format!("/{}", 20 * MIB)).body.len(), 20 * MIB);
    let before = gateway.resident_kib();
    assert_eq!(client.get(&format!("/{}", 200 * MIB)).body.len(), 200 * MIB);
    let growth = gateway.resident_kib().saturating_sub(before);
    assert!(growth < 1024, "{growth} KiB more");
}

#[test]
fn an_origin_that_dies_mid_body_never_gives_a_short_success() {
    for cut in [
        "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this",
        "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nzz\r\n",
    ] {
        let origin = Origin::start(move |visit| {
            visit.send(cut);
            visit.close();
        });
        let gateway = Gateway::before(&origin);
        let mut client = gateway.client();
        client.send(get("/"));
        let outcome = client.try_response("GET");
        assert!(
            outcome.is_err() || outcome.is_ok_and(|response| response.status == 502),
            "{cut:?} looked whole"
        );
    }
}

#[test]
fn a_body_cut_by_a_reset_is_not_ended_cleanly() {
    let origin = Origin::start(|visit| {
        visit.send("HTTP/1.1 200 OK\r\n\r\nuntil the end");
        eventually_flushed();
        visit.reset();
    });
    let gateway = Gateway::before(&origin);
    let mut client = gateway.client();
    client.send(get("/"));
    assert!(client.try_response("GET").is_err(), "a reset was passed on as an end");
}

/// Gives the bytes before a reset the time to be read by the other side; whether they are does not change the outcome.
fn eventually_flushed() {
    std::thread::park_timeout(Duration::from_millis(50));
}

#[test]
fn an_http_1_0_client_can_tell_a_cut_body_from_a_whole_one() {
    let origin = Origin::start(|visit| {
        visit.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
        eventually_flushed();
        visit.close();
    });
    let gateway = Gateway::before(&origin);
    let mut client = gateway.client();
    client.send("GET / HTTP/1.0\r\n\r\n");
    assert_eq!(client.try_response("GET").unwrap_err(), "reset");
}

#[test]
fn a_client_that_leaves_mid_body_stops_the_origins_work() {
    let origin = Origin::start(|visit| {
        visit.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        while visit.try_send("5\r\nhello\r\n").is_ok() {}
        visit.close();
    });
    let gateway = Gateway::before(&origin);
    let mut client = gateway.client();
    client.send(get("/"));
    client.until(b"hello");
    drop(client);
    eventually("the origin's connection is closed", || origin.open_connections() == 0);
}

#[test]
fn a_client_that_leaves_before_the_answer_stops_the_origins_work() {
    let origin = Origin::start(|visit| {
        visit.until_peer_leaves();
    });
    let gateway = Gateway::before(&origin);
    let mut client = gateway.client();
    client.send(get("/"));
    eventually("the request has come", || origin.requests() == 1);
    drop(client);
    eventually("the origin's connection is closed", || origin.open_connections() == 0);
}

#[test]
fn a_client_that_leaves_mid_upload_is_not_taken_for_done() {
    let origin = Origin::start(|visit| {
        let received = visit.count_body();
        visit.send(ok(&received.to_string()));
    });
    let gateway = Gateway::before(&origin);
    for request in [
        "PUT / HTTP/1.1\r\nHost: t\r\nContent-Length: 100\r\n\r\npart",
        "PUT / HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n4\r\npart\r\n",
    ] {
        let mut client = gateway.client();
        client.send(request);
        drop(client);
    }
    eventually("both connections to the origin are closed", || origin.open_connections() == 0);
    assert_eq!(origin.bodies_complete(), 0);
}

#[test]
fn a_slow_reader_holds_its_origin_back() {
    let sent = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&sent);
    let origin = Origin::start(move |visit| {
        visit.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", 128 * MIB));
        let piece = vec![b'x'; 64 * 1024];
        for _ in 0..2048 {
            visit.send(&piece);
            counter.fetch_add(piece.len(), Ordering::SeqCst);
        }
    });
    let gateway = Gateway::before(&origin);
    let before = gateway.resident_kib();
    let mut client = gateway.client();
    client.send(get("/"));
    client.head();
    let held_at = settled(|| sent.load(Ordering::SeqCst));
    assert!(held_at < 32 * MIB, "{held_at} bytes were taken from the origin");
    let growth = gateway.resident_kib().saturating_sub(before);
    assert!(growth < 2048, "{growth} KiB more");
    assert_eq!(client.exactly(128 * MIB).len(), 128 * MIB);
}

#[test]
fn a_slow_origin_holds_its_client_back() {
    let (go, wait) = mpsc::channel::<()>();
    let wait = Shared::new(wait);
    let origin = Origin::start(move |visit| {
        wait.lock().unwrap().recv().unwrap();
        let received = visit.count_body();
        visit.send(ok(&received.to_string()));
    });
    let gateway = Gateway::before(&origin);
    let mut client = gateway.client();
    let body = vec![b'x'; 64 * MIB];
    client.send(format!("PUT / HTTP/1.1\r\nHost: t\r\nContent-Length: {}\r\n\r\n", body.len()));
    let taken = client.send_what_fits(&body);
    assert!(taken < 32 * MIB, "{taken} bytes were taken");
    go.send(()).unwrap();
    client.send(&body[taken..]);
    assert_eq!(client.response().text(), body.len().to_string());
}

#[test]
fn an_answer_before_the_end_of_the_upload_reaches_the_client() {
    let origin = Origin::start(|visit| {
        visit.send("HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\nConnection: close\r\n\r\nbig");
        visit.until_peer_leaves();
    });
    let gateway = Gateway::before(&origin);
    let mut client = gateway.client();
    client.send(format!("PUT / HTTP/1.1\r\nHost: t\r\nContent-Length: {}\r\n\r\n", 10 * MIB));
    client.send_what_fits(&vec![b'x'; 10 * MIB]);
    let response = client.response();
    assert_eq!((response.status, response.text()), (413, "big"));
}

#[test]
fn request_and_response_bodies_flow_at_the_same_time() {
    let origin = Origin::start(|visit| {
        visit.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", 32 * MIB));
        for _ in 0..32 * 16 {
            let Some(piece) = visit.receive(64 * 1024) else { return visit.close() };
            visit.send(piece);
        }
        visit.close();
    });
    let gateway = Gateway::before(&origin);
    let address = gateway.at(8080);
    let echoed = thread(move || {
        let mut client = crate::support::Client::connect(address);
        client.send(format!("PUT / HTTP/1.1\r\nHost: t\r\nContent-Length: {}\r\n\r\n", 32 * MIB));
        let piece = vec![b'x'; MIB];
        let mut count = 0;
        for round in 0..32 {
            client.send(&piece);
            if round == 0 {
                client.head();
            }
            count += client.exactly(MIB).len();
        }
        count
    });
    assert_eq!(echoed.join().unwrap(), 32 * MIB);
}
