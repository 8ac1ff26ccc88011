//! Connections to an origin that many clients share: what one of them does is not felt by the others.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::support::h2::{INITIAL_WINDOW, MAX_STREAMS, Peer, getting};
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
