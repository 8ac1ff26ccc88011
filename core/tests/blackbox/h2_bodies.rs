//! Bodies over HTTP/2: under flow control both ways, within bounded memory, and never cut in a way that hides it.

use std::time::Duration;

use crate::support::h2::{DATA, END_STREAM, INITIAL_WINDOW, Peer, asking, frame, getting};
use crate::support::{Gateway, Origin, eventually, now, ok, proxying, settled};

const MIB: usize = 1 << 20;

/// Bytes of which each place can be told.
fn pattern(size: usize) -> Vec<u8> {
    (0..size).map(|n| u8::try_from((n * 31 + n / 251) % 256).unwrap()).collect()
}

/// An origin that sends back what it has received.
fn echo() -> Origin {
    Origin::start(|visit| {
        let body = visit.body();
        visit.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len()));
        visit.send(body);
    })
}

#[test]
fn large_bodies_go_both_ways_unchanged() {
    let origin = echo();
    let gateway = Gateway::before(&origin);
    let body = pattern(6 * MIB);
    for window in [1_000, 65_535, 4_000_000] {
        let body = if window < 10_000 { &body[..MIB / 2] } else { &body[..] };
        let mut client = Peer::connect_with(gateway.at(8080), &[(INITIAL_WINDOW, window)]);
        let answer = client.post("/", body);
        assert_eq!(answer.status(), 200);
        assert!(
            answer.body == body,
            "{} bytes of {} with a window of {window}",
            answer.body.len(),
            body.len()
        );
    }
}

#[test]
fn a_window_that_opens_byte_by_byte_is_kept_to() {
    let origin = Origin::saying("0123456789");
    let gateway = Gateway::before(&origin);
    let mut client = Peer::connect_with(gateway.at(8080), &[(INITIAL_WINDOW, 0)]);
    client.grants = false;
    let stream = client.ask(&getting("/"));
    client.stream_when(stream, |stream| stream.heads.len() == 1);
    for sent in 1..=10 {
        client.grant(stream, 1);
        let came = client.stream_when(stream, |stream| stream.body.len() >= sent);
        assert_eq!(came.body.len(), sent);
    }
    assert_eq!(client.answer(stream).text(), "0123456789");
}

#[test]
fn a_slow_reader_does_not_grow_the_gateway() {
    let origin = Origin::start(|visit| {
        if visit.path() == "/warm" {
            return visit.send(ok("x"));
        }
        visit.send("HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n");
        while visit.try_send(vec![b'x'; 65_536]).is_ok() {}
        visit.close();
    });
    let gateway = Gateway::before(&origin);
    assert_eq!(Peer::connect(gateway.at(8080)).get("/warm").text(), "x");
    let before = gateway.resident_kib();
    // Windows as large as a client can offer, and nothing is read of what fills them.
    let offer = |_| {
        let mut client = Peer::connect_with(gateway.at(8080), &[(INITIAL_WINDOW, 0x7fff_ffff)]);
        client.grant(0, 0x7fff_0000);
        for _ in 0..3 {
            client.ask(&getting("/"));
        }
        client
    };
    let clients: Vec<Peer> = (0..10).map(offer).collect();
    eventually("all have begun", || origin.requests() >= 11);
    let grown = settled(|| usize::try_from(gateway.resident_kib()).unwrap()) as u64 - before;
    // A few hundred KiB for each, and as much for each connection.
    assert!(grown < 40 * 1024, "{grown} KiB for thirty downloads that nobody reads");
    drop(clients);
    eventually("all are given up", || origin.open_connections() == 0);
}

#[test]
fn a_slow_origin_holds_the_client_back() {
    let origin = Origin::start(|visit| {
        if visit.path() == "/warm" {
            return visit.send(ok("x"));
        }
        // It reads the head, and then nothing until the test is over.
        std::thread::park_timeout(Duration::from_secs(5));
        visit.close();
    });
    let gateway = Gateway::before(&origin);
    let mut client = Peer::connect(gateway.at(8080));
    assert_eq!(client.get("/warm").text(), "x");
    let before = gateway.resident_kib();
    let streams: Vec<u32> = (0..2).map(|_| client.open(&asking("POST", "/"), 0)).collect();
    // The kernel's buffers take some megabytes of it.
    let (mut last, mut sent) = (now(), 0);
    while now() - last < Duration::from_millis(500) {
        for stream in &streams {
            let free = client.window_left(*stream).min(16_384);
            if free > 0 {
                (last, sent) = (now(), sent + free);
                client.data(*stream, &vec![b'x'; free], 0);
            }
        }
        assert!(client.read_for(Duration::from_millis(2)) && sent < 100 * MIB, "{sent}");
    }
    let grown = gateway.resident_kib().saturating_sub(before);
    assert!(grown < 4 * 1024, "{grown} KiB for {sent} bytes that nobody takes");
}

#[test]
fn one_stuck_stream_does_not_keep_others_waiting() {
    let origin = Origin::start(|visit| match visit.path() {
        "/big" => visit.send(ok(&"x".repeat(MIB))),
        _ => visit.send(ok("small")),
    });
    let gateway = Gateway::before(&origin);
    let mut client = Peer::connect(gateway.at(8080));
    client.grants = false;
    let stuck = client.ask(&getting("/big"));
    // It takes its own window; the connection's is then opened for others.
    client.stream_when(stuck, |stream| stream.body.len() == 65_535);
    client.grant(0, 1000);
    assert_eq!(client.get("/small").text(), "small");
    assert_eq!(client.stream(stuck).body.len(), 65_535);
    client.grant(0, 2_000_000);
    client.grant(stuck, 2_000_000);
    assert_eq!(client.answer(stuck).body.len(), MIB);
}

#[test]
fn a_window_that_never_opens_ends_by_the_body_timeout() {
    let origin = Origin::start(|visit| visit.send(ok(&"x".repeat(MIB))));
    let gateway = Gateway::start(&(proxying(&origin) + "\n[limits]\nbody_timeout = \"500ms\"\n"));
    let mut client = Peer::connect_with(gateway.at(8080), &[(INITIAL_WINDOW, 0)]);
    client.grants = false;
    client.ask(&getting("/warm"));
    client.outcome(1);
    let before = gateway.resident_kib();
    for _ in 0..5 {
        let streams: Vec<u32> = (0..100).map(|_| client.ask(&getting("/"))).collect();
        for stream in streams {
            let outcome = client.outcome(stream);
            assert!(outcome.reset.is_some() && outcome.body.is_empty(), "{outcome:?}");
        }
    }
    assert_eq!(origin.requests(), 501);
    eventually("the origin is let go", || origin.open_connections() == 0);
    let grown = gateway.resident_kib().saturating_sub(before);
    // A hundred at once, a buffer of what the origin sends for each.
    assert!(grown < 48 * 1024, "{grown} KiB kept of 500 answers that were never taken");
    gateway.line_with(&["client.stalled"]);
}

#[test]
fn an_upload_that_stops_ends_by_the_body_timeout() {
    let origin = Origin::silent();
    let gateway = Gateway::start(&(proxying(&origin) + "\n[limits]\nbody_timeout = \"300ms\"\n"));
    let mut client = Peer::connect(gateway.at(8080));
    let stream = client.open(&asking("POST", "/"), 0);
    client.data(stream, b"some", 0);
    let outcome = client.outcome(stream);
    assert_eq!((outcome.status(), outcome.reason().as_str()), (408, "limit.body_timeout"));
    eventually("the origin is let go", || origin.open_connections() == 0);
}

#[test]
fn data_behind_an_early_answer_is_harmless() {
    let origin = Origin::start(|visit| {
        visit.send("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno");
        visit.close();
    });
    let gateway = Gateway::before(&origin);
    let mut client = Peer::connect(gateway.at(8080));
    for _ in 0..50 {
        let stream = client.open(&asking("POST", "/"), 0);
        client.data(stream, &[b'x'; 1000], 0);
        client.stream_when(stream, |stream| stream.ended);
        // The answer is whole; more data on the stream crosses its end.
        client.send(frame(DATA, 0, stream, [b'x'; 1000]));
        client.send(frame(DATA, END_STREAM, stream, [b'x'; 1000]));
        assert_eq!((client.stream(stream).status(), client.stream(stream).text()), (403, "no"));
    }
    // What was received and dropped is granted again: 150 kB are more than the first window.
    assert_eq!(client.get("/").status(), 403);
    assert!(client.goaways.is_empty(), "{:?}", client.goaways);
}

#[test]
fn a_cut_answer_is_a_reset_stream() {
    let origin = Origin::start(|visit| {
        match visit.path() {
            "/length" => visit.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfive!"),
            "/chunked" => visit.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfive!\r\n"),
            _ => visit.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfive!\r\nzz\r\n"),
        }
        visit.close();
    });
    let gateway = Gateway::before(&origin);
    let mut client = Peer::connect(gateway.at(8080));
    for path in ["/length", "/chunked", "/malformed"] {
        let stream = client.ask(&getting(path));
        let outcome = client.outcome(stream);
        assert!(!outcome.ended && outcome.reset.is_some(), "{path}: {outcome:?}");
    }
    assert!(client.goaways.is_empty());
}

#[test]
fn an_answer_until_the_close_ends_its_stream() {
    let origin = Origin::start(|visit| {
        visit.send("HTTP/1.1 200 OK\r\n\r\nto the end");
        visit.close();
    });
    let gateway = Gateway::before(&origin);
    let answer = Peer::connect(gateway.at(8080)).get("/");
    assert_eq!((answer.text(), answer.field("content-length")), ("to the end", None));
}
