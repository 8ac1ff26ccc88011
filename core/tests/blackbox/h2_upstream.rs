//! HTTP/2 to an origin: few connections for many exchanges, and what becomes of both when the origin misbehaves.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::support::h2::{
    CANCEL, DATA, END_STREAM, INITIAL_WINDOW, MAX_STREAMS, NO_ERROR, Peer, REFUSED_STREAM, frame, getting,
};
use crate::support::{Client, Gateway, H2Origin, Origin, eventually, get, now, thread};

/// Asks from so many HTTP/1.1 clients at the same time: the bodies that came.
fn crowd(gateway: &Gateway, count: usize) -> Vec<String> {
    let address = gateway.at(8080);
    let ask = |_| thread(move || Client::connect(address).get("/").text().to_owned());
    let clients: Vec<_> = (0..count).map(ask).collect();
    clients.into_iter().map(|client| client.join().unwrap()).collect()
}

/// An origin that answers nothing before it has so many requests in all of its connections.
fn gathering(count: usize, settings: &[(u16, u32)]) -> (H2Origin, Arc<AtomicUsize>) {
    let (waiting, most) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
    let seen = Arc::clone(&most);
    let origin = H2Origin::start_with(settings, move |peer, _| {
        let mut open = Vec::new();
        loop {
            let total = waiting.load(Ordering::SeqCst);
            if total >= count {
                open.drain(..).for_each(|stream| peer.say(stream, "x"));
            }
            if !peer.read_for(Duration::from_millis(5)) {
                return;
            }
            while let Some((stream, _)) = peer.request_now() {
                open.push(stream);
                seen.fetch_max(open.len(), Ordering::SeqCst);
                waiting.fetch_add(1, Ordering::SeqCst);
            }
        }
    });
    (origin, most)
}

#[test]
fn many_clients_share_one_connection() {
    let (origin, most) = gathering(50, &[]);
    let gateway = Gateway::start(&origin.proxying());
    assert_eq!(crowd(&gateway, 50), vec!["x"; 50]);
    assert_eq!((origin.connections(), most.load(Ordering::SeqCst)), (1, 50));
    assert_eq!(crowd(&gateway, 10), vec!["x"; 10]);
    assert_eq!(origin.connections(), 1);
}

#[test]
fn another_connection_is_opened_when_all_streams_are_taken() {
    let (origin, most) = gathering(25, &[]);
    let gateway = Gateway::start(&origin.proxying_with("streams = 10"));
    assert_eq!(crowd(&gateway, 25), vec!["x"; 25]);
    assert_eq!((origin.connections(), most.load(Ordering::SeqCst)), (3, 10));
}

#[test]
fn the_origins_own_limit_of_streams_is_kept_to() {
    let (origin, most) = gathering(13, &[(MAX_STREAMS, 4)]);
    let gateway = Gateway::start(&origin.proxying());
    // The first one hears what is allowed.
    let first = thread({
        let address = gateway.at(8080);
        move || Client::connect(address).get("/").text().to_owned()
    });
    eventually("it is under way", || most.load(Ordering::SeqCst) == 1);
    assert_eq!(crowd(&gateway, 12), vec!["x"; 12]);
    assert_eq!(first.join().unwrap(), "x");
    assert!(most.load(Ordering::SeqCst) <= 4, "{most:?}");
    assert_eq!(origin.connections(), 4);
}

#[test]
fn what_an_origin_allows_is_kept_to_by_the_first_burst_too() {
    let (origin, most) = gathering(12, &[(MAX_STREAMS, 3)]);
    let gateway = Gateway::start(&origin.proxying());
    assert_eq!(crowd(&gateway, 12), vec!["x"; 12]);
    assert!(most.load(Ordering::SeqCst) <= 3, "{most:?}");
}

#[test]
fn streams_above_the_last_one_of_a_goaway_are_sent_again() {
    let origin = H2Origin::start(|peer, number| {
        let Some((first, _)) = peer.request() else { return };
        if number > 1 {
            peer.say(first, "second connection");
            while let Some((stream, _)) = peer.request() {
                peer.say(stream, "second connection");
            }
            return;
        }
        // One is under way, one has come after the last that counts.
        let (_, second) = peer.request().unwrap();
        assert!(second.ended);
        peer.go_away(first, NO_ERROR);
        peer.say(first, "first connection");
        while peer.step().is_ok() {}
    });
    let gateway = Gateway::start(&origin.proxying());
    let (mut one, mut two) = (gateway.client(), gateway.client());
    one.send(get("/one"));
    eventually("the first one is there", || origin.requests().len() == 1);
    // A POST is no less unprocessed.
    two.send("POST /two HTTP/1.1\r\nHost: t\r\nContent-Length: 4\r\n\r\nbody");
    assert_eq!(one.response().text(), "first connection");
    assert_eq!(two.response().text(), "second connection");
    assert_eq!(origin.connections(), 2);
    assert_eq!(origin.requests()[2].body, b"body");
}

#[test]
fn a_lane_that_is_told_to_go_takes_no_more() {
    let origin = H2Origin::start(|peer, number| {
        while let Some((stream, _)) = peer.request() {
            peer.say(stream, "x");
            if number == 1 {
                peer.go_away(stream, NO_ERROR);
            }
        }
    });
    let gateway = Gateway::start(&origin.proxying());
    let mut client = gateway.client();
    for _ in 0..5 {
        assert_eq!(client.get("/").text(), "x");
    }
    assert_eq!(origin.connections(), 2);
    eventually("the first one is closed", || origin.open_connections() == 1);
}

#[test]
fn a_refused_stream_is_sent_once_more() {
    let origin = H2Origin::start(|peer, _| {
        let mut refused = false;
        while let Some((stream, _)) = peer.request() {
            if std::mem::replace(&mut refused, true) {
                peer.say(stream, "taken");
            } else {
                peer.reset(stream, REFUSED_STREAM);
            }
        }
    });
    let gateway = Gateway::start(&origin.proxying());
    let mut client = gateway.client();
    let answer = client.ask("POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 4\r\n\r\nbody");
    assert_eq!((answer.status, answer.text()), (200, "taken"));
    assert_eq!(origin.requests().len(), 2);
}

#[test]
fn an_origin_that_refuses_all_gets_no_storm() {
    let origin = H2Origin::start(|peer, _| {
        while let Some((stream, _)) = peer.request() {
            peer.reset(stream, REFUSED_STREAM);
        }
    });
    let gateway = Gateway::start(&origin.proxying());
    let answer = gateway.client().get("/");
    assert_eq!((answer.status, answer.reason().as_str()), (503, "upstream.unprocessed"));
    assert!(origin.requests().len() <= 3, "{}", origin.requests().len());
}

/// An origin that sends the beginning of an answer, and then does something to it.
fn cutting(cut: impl Fn(&mut Peer, u32) + Send + Sync + 'static) -> H2Origin {
    H2Origin::start(move |peer, _| {
        while let Some((stream, request)) = peer.request() {
            let length = [(":status", "200"), ("content-length", "100")];
            let head = if request.field(":path") == Some("/length") { &length[..] } else { &length[..1] };
            peer.head(stream, head, 0);
            peer.send(frame(DATA, 0, stream, b"begun"));
            cut(peer, stream);
        }
    })
}

#[test]
fn a_cut_answer_never_looks_whole() {
    type Cut = fn(&mut Peer, u32);
    let cuts: [(&str, Cut); 5] = [
        ("a reset", |peer, stream| peer.reset(stream, 2)),
        ("a reset without an error", |peer, stream| peer.reset(stream, NO_ERROR)),
        ("a close", |peer, _| drop(peer.socket().shutdown(std::net::Shutdown::Both))),
        ("an early end", |peer, stream| peer.send(frame(DATA, END_STREAM, stream, []))),
        ("a broken frame", |peer, stream| peer.send(frame(DATA, 0x8, stream, [200]))),
    ];
    for (name, cut) in cuts {
        let origin = cutting(cut);
        let gateway = Gateway::start(&origin.proxying());
        for path in ["/length", "/unknown"] {
            if (name, path) == ("an early end", "/unknown") {
                continue;
            }
            let mut one = gateway.client();
            one.send(get(path));
            assert!(one.try_response("GET").is_err(), "{name}, {path}: HTTP/1.1");
            let mut ten = gateway.client();
            ten.send(format!("GET {path} HTTP/1.0\r\nHost: t\r\n\r\n"));
            let (bytes, clean) = ten.rest();
            let has_length = String::from_utf8_lossy(&bytes).to_lowercase().contains("content-length: 100");
            assert!(!clean || has_length, "{name}, {path}: HTTP/1.0");
            let mut two = Peer::connect(gateway.at(8080));
            let stream = two.ask(&getting(path));
            let outcome = two.outcome(stream);
            assert!(!outcome.ended && outcome.reset.is_some(), "{name}, {path}: {outcome:?}");
        }
    }
}

#[test]
fn an_origin_that_dies_before_its_answer_is_a_502_or_asked_again() {
    let origin = H2Origin::start(|peer, number| {
        while let Some((stream, _)) = peer.request() {
            if number == 1 {
                return;
            }
            peer.say(stream, "again");
        }
    });
    let gateway = Gateway::start(&origin.proxying());
    let post = gateway.client().ask("POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(post.status, 502, "{:?}", post.reason());
    assert_eq!(gateway.client().get("/").text(), "again");
}

#[test]
fn nobody_there_and_nobody_answering() {
    let nowhere = format!(
        "[routes.all]\nmatch = {{ prefix = \"/\" }}\nupstream = \"o\"\n[upstreams.o]\nprotocol = \"http2\"\n\
         endpoints = [\"{}\"]\n",
        Origin::nowhere()
    );
    let gateway = Gateway::start(&nowhere);
    let refused = gateway.client().get("/");
    assert_eq!((refused.status, refused.reason().as_str()), (502, "upstream.connect.refused"));
    let silent = H2Origin::start(|peer, _| while peer.step().is_ok() {});
    let gateway =
        Gateway::start(&silent.proxying().replace("upstream = ", "timeout = \"300ms\"\nupstream = "));
    for answer in crowd_of(&gateway, 5) {
        assert_eq!(answer, (504, "upstream.timeout".to_owned()));
    }
    assert_eq!(silent.connections(), 1, "the connection is not to blame");
    eventually("all streams are given up", || silent.requests().is_empty());
}

fn crowd_of(gateway: &Gateway, count: usize) -> Vec<(u16, String)> {
    let address = gateway.at(8080);
    let ask = |_| {
        thread(move || {
            let answer = Client::connect(address).get("/");
            (answer.status, answer.reason())
        })
    };
    let clients: Vec<_> = (0..count).map(ask).collect();
    clients.into_iter().map(|client| client.join().unwrap()).collect()
}

#[test]
fn another_endpoint_is_tried() {
    let origin = H2Origin::saying("alive");
    let text =
        origin.proxying().replace("endpoints = [", &format!("endpoints = [\"{}\", ", Origin::nowhere()));
    let gateway = Gateway::start(&text);
    for _ in 0..4 {
        assert_eq!(gateway.client().get("/").text(), "alive");
    }
}

#[test]
fn a_resting_lane_is_closed() {
    let origin = H2Origin::saying("x");
    let gateway = Gateway::start(&origin.proxying_with("keepalive_timeout = \"300ms\""));
    assert_eq!(gateway.client().get("/").text(), "x");
    let began = now();
    assert_eq!(origin.open_connections(), 1);
    eventually("it is closed", || origin.open_connections() == 0);
    assert!(now() - began < Duration::from_secs(3));
    assert_eq!(gateway.client().get("/").text(), "x");
    assert_eq!(origin.connections(), 2);
}

#[test]
fn a_reload_keeps_lanes() {
    let origin = H2Origin::saying("x");
    let gateway = Gateway::start(&origin.proxying());
    assert_eq!(gateway.client().get("/").text(), "x");
    gateway.reload(
        &(origin.proxying() + "\n[routes.new]\nmatch = { path = \"/new\" }\nrespond = { status = 204 }\n"),
    );
    eventually("the new file is in force", || gateway.client().get("/new").status == 204);
    assert_eq!(gateway.client().get("/").text(), "x");
    assert_eq!(origin.connections(), 1);
    gateway.reload("[routes.new]\nmatch = { path = \"/new\" }\nrespond = { status = 205 }\n");
    eventually("a lane that nobody needs is closed", || origin.open_connections() == 0);
}

#[test]
fn an_answer_before_the_end_of_the_request_gets_through() {
    let origin = H2Origin::start(|peer, _| {
        while let Some((stream, _)) = peer.request_head() {
            peer.head(stream, &[(":status", "403"), ("content-length", "2")], 0);
            peer.send(frame(DATA, END_STREAM, stream, b"no"));
            peer.reset(stream, NO_ERROR);
        }
    });
    let gateway = Gateway::start(&origin.proxying());
    for _ in 0..10 {
        let mut client = gateway.client();
        client.send("POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 10000000\r\n\r\n");
        client.send_what_fits(&vec![b'x'; 300_000]);
        let answer = client.response();
        assert_eq!((answer.status, answer.text()), (403, "no"));
    }
    assert_eq!(origin.connections(), 1, "the connection lives on");
}

#[test]
fn a_client_that_leaves_cancels_its_stream_alone() {
    let code = Arc::<AtomicUsize>::default();
    let reset = Arc::clone(&code);
    let origin = H2Origin::start(move |peer, _| {
        let Some((slow, _)) = peer.request() else { return };
        let cancelled = peer.stream_when(slow, |stream| stream.reset.is_some());
        reset.store(cancelled.reset.unwrap_or(0) as usize, Ordering::SeqCst);
        while let Some((stream, _)) = peer.request() {
            peer.say(stream, "x");
        }
    });
    let gateway = Gateway::start(&origin.proxying());
    let mut client = gateway.client();
    client.send(get("/slow"));
    eventually("it is under way", || origin.requests().len() == 1);
    drop(client);
    eventually("its stream is given up", || code.load(Ordering::SeqCst) != 0);
    assert_eq!(code.load(Ordering::SeqCst), CANCEL as usize);
    assert_eq!(gateway.client().get("/").text(), "x");
    assert_eq!(origin.connections(), 1);
}

#[test]
fn a_small_window_of_the_origin_holds_an_upload_back() {
    let origin = H2Origin::start_with(&[(INITIAL_WINDOW, 100)], |peer, _| {
        while let Some((stream, request)) = peer.request() {
            peer.say(stream, &request.body.len().to_string());
        }
    });
    let gateway = Gateway::start(&origin.proxying());
    let mut client = gateway.client();
    client.send("POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 20000\r\n\r\n");
    client.send(vec![b'x'; 20_000]);
    assert_eq!(client.response().text(), "20000");
}
