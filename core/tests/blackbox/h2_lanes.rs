//! Connections to an origin that many clients share: what one of them does is not felt by the others.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::support::h2::{END_STREAM, INITIAL_WINDOW, MAX_STREAMS, Peer, REFUSED_STREAM, getting};
use crate::support::{Gateway, H2Origin, eventually};

/// What an endpoint may send on a stream before some of it is taken.
const STREAM_WINDOW: usize = 128 * 1024;

/// An origin whose answers to `/endless` go as far as the windows allow, in pieces of that size; and how many bytes of
/// them it has sent.
fn endless(piece: usize) -> (H2Origin, Arc<AtomicUsize>) {
    let sent = Arc::<AtomicUsize>::default();
    let count = Arc::clone(&sent);
    let origin = H2Origin::start(move |peer, _| {
        let mut open = Vec::new();
        while peer.read_for(Duration::from_millis(5)) {
            while let Some((stream, request)) = peer.request_now() {
                if request.field(":path") == Some("/endless") {
                    peer.head(stream, &[(":status", "200")], 0);
                    open.push(stream);
                } else {
                    peer.say(stream, "x");
                }
            }
            for &stream in &open {
                while peer.window_left(stream) >= piece {
                    peer.data(stream, &vec![b'x'; piece], 0);
                    count.fetch_add(piece, Ordering::SeqCst);
                }
            }
        }
    });
    (origin, sent)
}

#[test]
fn clients_that_take_nothing_hold_up_nobody_else() {
    // More than eight streams, and pieces that are all overhead.
    for (streams, piece) in [(12, 16 * 1024), (4, 20)] {
        let (origin, sent) = endless(piece);
        let gateway = Gateway::start(&origin.proxying());
        let mut slow = Peer::connect_with(gateway.at(8080), &[(INITIAL_WINDOW, 0)]);
        slow.grants = false;
        for _ in 0..streams {
            slow.ask(&getting("/endless"));
        }
        let most = streams * (STREAM_WINDOW / piece * piece);
        eventually("every stream has used its window", || sent.load(Ordering::SeqCst) >= most);
        assert_eq!(gateway.client().get("/").text(), "x");
        assert_eq!(origin.connections(), 1);
    }
}

#[test]
fn an_origin_that_allows_no_stream_is_not_stormed() {
    let origin = H2Origin::start_with(&[(MAX_STREAMS, 0)], |peer, _| while peer.step().is_ok() {});
    let gateway = Gateway::start(&origin.proxying());
    let response = gateway.client().get("/");
    assert_eq!((response.status, response.reason().as_str()), (502, "upstream.connect.failed"));
    assert_eq!(origin.connections(), 1);
}

#[test]
fn a_connection_on_which_nothing_comes_is_left() {
    let origin = H2Origin::start(|peer, visit| {
        while let Some((stream, _)) = peer.request() {
            // The first one takes what is sent and never says a word again.
            if visit > 1 {
                peer.say(stream, "awake");
            }
        }
    });
    let gateway = Gateway::start(&origin.proxying().replace("upstream =", "timeout = \"300ms\"\nupstream ="));
    // What it says to our settings may come within the first one's time.
    for _ in 0..2 {
        let answer = gateway.client().get("/");
        assert!([200, 504].contains(&answer.status), "{}", answer.status);
    }
    let answer = gateway.client().get("/");
    assert_eq!((answer.status, answer.text()), (200, "awake"));
    assert_eq!(origin.connections(), 2);
}

#[test]
fn what_was_refused_is_sent_again_for_clients_of_both_protocols() {
    let origin = H2Origin::start(|peer, _| {
        let mut refused = false;
        while let Some((stream, request)) = peer.request() {
            refused = !refused;
            if refused {
                peer.reset(stream, REFUSED_STREAM);
            } else {
                peer.say(stream, if request.body == b"body" { "taken" } else { "not what was sent" });
            }
        }
    });
    let gateway = Gateway::start(&origin.proxying());
    let one = gateway.client().ask("POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 4\r\n\r\nbody");
    assert_eq!((one.status, one.text()), (200, "taken"));
    let two = Peer::connect(gateway.at(8080)).post("/", b"body");
    assert_eq!((two.status(), two.text()), (200, "taken"));
    assert_eq!(origin.requests().len(), 4);
}

#[test]
fn trailers_follow_an_answer_of_no_bytes() {
    let origin = H2Origin::start(|peer, _| {
        while let Some((stream, _)) = peer.request() {
            peer.head(stream, &[(":status", "200"), ("content-length", "0")], 0);
            peer.head(stream, &[("x-sum", "1")], END_STREAM);
        }
    });
    let gateway = Gateway::start(&origin.proxying());
    let answer = Peer::connect(gateway.at(8080)).get("/");
    assert_eq!(answer.trailers(), Some(&vec![("x-sum".to_owned(), "1".to_owned())]));
}
