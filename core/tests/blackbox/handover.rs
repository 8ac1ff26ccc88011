//! Requests that follow an answer which promised to keep the connection, on a listener that goes meanwhile.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::process::Signal;

use crate::support::{Gateway, Origin, eventually, get, listens, ok, proxying};

/// Answers `/begun` with a head and a byte, and with the rest when `go` is set; anything else at once.
fn hesitant(go: &Arc<AtomicBool>) -> Origin {
    let go = Arc::clone(go);
    Origin::start(move |visit| {
        if visit.path() == "/begun" {
            visit.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\na");
            eventually("the test lets it go on", || go.load(Ordering::SeqCst));
            visit.send("b");
        } else {
            visit.send(ok("next"));
        }
    })
}

/// A client in the middle of an answer; `leaves` makes its listener go; its next request is answered.
fn the_next_request_is_answered(leaves: impl FnOnce(&Gateway, &Origin)) {
    let go = Arc::new(AtomicBool::new(false));
    let origin = hesitant(&go);
    let gateway = Gateway::before(&origin);
    let mut client = gateway.client();
    client.send(get("/begun"));
    let head = client.head();
    assert_eq!((head.status, head.field("connection")), (200, None));
    assert_eq!(client.exactly(1), b"a");
    leaves(&gateway, &origin);
    go.store(true, Ordering::SeqCst);
    assert_eq!(client.exactly(1), b"b");
    let next = client.get("/next");
    assert_eq!((next.text(), next.field("connection")), ("next", Some("close")));
    client.expect_closed();
}

#[test]
fn a_client_in_mid_answer_may_ask_once_more_when_its_listener_is_bound_anew() {
    the_next_request_is_answered(|gateway, origin| {
        let more = "[listeners.http]\nbind = [\"GATEWAY:8080\", \"GATEWAY:8081\"]\n";
        gateway.reload(&(proxying(origin) + more));
        gateway.line_with(&["reload.done"]);
        eventually("8081 is listened on", || listens(gateway.at(8081)));
    });
}

#[test]
fn a_client_in_mid_answer_may_ask_once_more_when_the_gateway_drains() {
    the_next_request_is_answered(|gateway, _| {
        gateway.signal(Signal::TERM);
        eventually("no new connections are taken", || !listens(gateway.at(8080)));
    });
}
