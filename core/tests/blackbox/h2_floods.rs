//! Clients that attack by HTTP/2: what each can do before its connection is closed, and that others do not notice.

use std::time::Duration;

use crate::support::h2::{
    ACK, CANCEL, CONTINUATION, DATA, END_HEADERS, END_STREAM, ENHANCE_YOUR_CALM, HEADERS, INITIAL_WINDOW,
    MAX_STREAMS, PING, PRIORITY, Peer, REFUSED_STREAM, RST_STREAM, SETTINGS, WINDOW_UPDATE, asking, frame,
    getting,
};
use crate::support::hpack::block;
use crate::support::{Client, Gateway, H2Origin, Origin, eventually, now, ok, proxying};

/// An origin whose `/slow` is never answered.
fn stubborn() -> Origin {
    Origin::start(|visit| match visit.path() {
        "/slow" => visit.until_peer_leaves(),
        _ => visit.send(ok("x")),
    })
}

/// Sends a ping and waits for its answer: all that was sent before has been looked at.
fn sync(client: &mut Peer) {
    let pongs = client.pongs;
    client.send(frame(PING, 0, 0, [7; 8]));
    client.wait_for("a pong", |client| client.pongs > pongs);
}

/// A client whose greeting has been answered: from then on it is told why its connection ends.
fn greeted(gateway: &Gateway) -> Peer {
    let mut client = Peer::connect(gateway.at(8080));
    client.wait_for("the greeting", |client| !client.settings.is_empty());
    client
}

/// Waits for the end of a connection that was flooded, which has been told so.
fn calmed(client: &mut Peer) {
    let clean = client.until_closed();
    let told = client.goaways.last().map(|&(_, code)| code);
    assert_eq!(told, Some(ENHANCE_YOUR_CALM), "after {} frames, clean: {clean}", client.frames);
}

#[test]
fn streams_are_counted_at_once() {
    let origin = stubborn();
    let gateway = Gateway::start(&(proxying(&origin) + "\n[limits]\nh2_streams = 10\n"));
    let mut client = Peer::connect(gateway.at(8080));
    let open: Vec<u32> = (0..10).map(|_| client.ask(&getting("/slow"))).collect();
    eventually("ten are under way", || origin.requests() == 10);
    let over = client.ask(&getting("/"));
    assert_eq!(client.outcome(over).reset, Some(REFUSED_STREAM));
    assert_eq!(client.settings.get(&MAX_STREAMS), Some(&10));
    client.reset(open[0], CANCEL);
    assert_eq!(client.get("/").text(), "x", "one has made room");
    assert_eq!(origin.requests(), 11);
}

#[test]
fn resets_are_counted() {
    let origin = stubborn();
    let more = "\n[limits]\nh2_resets = 10\n[metrics]\nbind = \"GATEWAY:9090\"\n";
    let gateway = Gateway::start(&(proxying(&origin) + more));
    let mut client = Peer::connect(gateway.at(8080));
    // Ten, and one for every second request.
    for _ in 0..20 {
        let stream = client.ask(&getting("/slow"));
        client.reset(stream, CANCEL);
        sync(&mut client);
    }
    let stream = client.ask(&getting("/slow"));
    client.reset(stream, CANCEL);
    calmed(&mut client);
    eventually("nothing is left", || origin.open_connections() == 0);
    let page = Client::connect(gateway.at(9090)).get("/metrics").text().to_owned();
    for line in ["ringway_http2_floods_total 1", "total{reason=\"h2.flood.resets\"} 1"] {
        assert!(page.contains(line), "{line}: {page}");
    }
}

#[test]
fn rapid_resets_reach_the_origin_no_more_than_the_limit_says() {
    let origin = stubborn();
    let gateway = Gateway::before(&origin);
    let mut client = greeted(&gateway);
    for _ in 0..5000 {
        let stream = client.ask(&getting("/slow"));
        client.reset(stream, CANCEL);
    }
    calmed(&mut client);
    assert!(origin.requests() <= 401, "{} requests", origin.requests());
    assert_eq!(Peer::connect(gateway.at(8080)).get("/").text(), "x");
}

#[test]
fn resets_that_the_client_provokes_are_counted() {
    type Provocation = fn(u32) -> Vec<u8>;
    let cases: [(&str, Provocation); 4] = [
        ("an overflow", |stream| frame(WINDOW_UPDATE, 0, stream, 0x7fff_ffff_u32.to_be_bytes())),
        ("nothing granted", |stream| frame(WINDOW_UPDATE, 0, stream, [0; 4])),
        ("data behind the end", |stream| frame(DATA, 0, stream, b"x")),
        ("a priority on itself", |stream| {
            frame(PRIORITY, 0, stream, [&stream.to_be_bytes()[..], &[1]].concat())
        }),
    ];
    let origin = stubborn();
    let gateway = Gateway::before(&origin);
    for (name, provoke) in cases {
        let before = origin.requests();
        let mut client = Peer::connect(gateway.at(8080));
        let began = now();
        let mut asked = 0;
        while client.goaways.is_empty() && asked < 3000 {
            let stream = client.ask(&getting("/slow"));
            client.send(provoke(stream));
            asked += 1;
            if asked % 20 == 0 && !client.read_for(Duration::from_millis(1)) {
                break;
            }
            assert!(now() - began < Duration::from_secs(20), "{name}");
        }
        client.until_closed();
        assert!(!client.goaways.is_empty(), "{name}: told why");
        assert!(origin.requests() - before <= 1100, "{name}: {} requests", origin.requests() - before);
        eventually("nothing is left", || origin.open_connections() == 0);
    }
}

#[test]
fn frames_that_carry_nothing_are_counted() {
    let origin = stubborn();
    let gateway = Gateway::start(&(proxying(&origin) + "\n[limits]\nh2_control_frames = 400\n"));
    let priority = frame(PRIORITY, 0, 9, [0, 0, 0, 0, 1]);
    let unknown = frame(0xbe, 0, 0, [0; 20]);
    // Half of them, a quarter, a quarter, a tenth, a fortieth less two for the greeting, a twentieth.
    let cases = [
        ("window updates", 200, frame(WINDOW_UPDATE, 0, 0, 1u32.to_be_bytes())),
        ("priorities", 100, priority),
        ("unknown", 100, unknown),
        ("pings", 39, frame(PING, 0, 0, [0; 8])),
        ("settings", 8, frame(SETTINGS, 0, 0, [])),
        ("empty data", 20, frame(DATA, 0, 1, [])),
    ];
    for (name, most, bytes) in cases {
        let mut client = greeted(&gateway);
        let stream = client.open(&asking("POST", "/slow"), 0);
        // It takes part in what is allowed: one header block, and a few bytes that were sent.
        let slack = if name == "window updates" { 30 } else { 10 };
        (0..most - 1).for_each(|_| client.send(&bytes));
        if name != "pings" {
            sync(&mut client);
        }
        assert!(client.goaways.is_empty(), "{name}: {most} are allowed");
        (0..=slack).for_each(|_| client.send(&bytes));
        calmed(&mut client);
        assert!(!client.stream(stream).ended, "{name}");
    }
}

#[test]
fn a_flood_is_over_soon_even_when_its_answers_are_read() {
    let origin = stubborn();
    let gateway = Gateway::before(&origin);
    let cases = [
        ("pings", frame(PING, 0, 0, [0; 8])),
        ("settings", frame(SETTINGS, 0, 0, [])),
        ("window updates", frame(WINDOW_UPDATE, 0, 0, 1u32.to_be_bytes())),
        (
            "pings and window updates",
            [frame(PING, 0, 0, [0; 8]), frame(WINDOW_UPDATE, 0, 0, [0, 0, 0, 1])].concat(),
        ),
    ];
    for (name, bytes) in cases {
        let mut client = greeted(&gateway);
        let mut sent = 0;
        while client.goaways.is_empty() && sent < 20_000 {
            client.send(bytes.repeat(50));
            sent += 50;
            if !client.read_for(Duration::from_millis(1)) {
                break;
            }
        }
        assert!(sent < 3000, "{name}: {sent} were taken");
        calmed(&mut client);
    }
}

#[test]
fn a_header_block_that_does_not_end_is_cut() {
    let origin = stubborn();
    let gateway = Gateway::before(&origin);
    assert_eq!(Peer::connect(gateway.at(8080)).get("/").text(), "x");
    let before = gateway.resident_kib();
    let piece = block(&[("x-piece", "p".repeat(16_000))]);
    for payload in [&piece[..], &[]] {
        for _ in 0..10 {
            let mut client = greeted(&gateway);
            client.send(frame(HEADERS, END_STREAM, 1, block(&getting("/"))));
            let mut sent = 0;
            while sent < 100 && client.try_send(frame(CONTINUATION, 0, 1, payload)) {
                sent += 1;
            }
            calmed(&mut client);
        }
    }
    let grown = gateway.resident_kib().saturating_sub(before);
    assert!(grown < 8 * 1024, "{grown} KiB for twenty connections");
    assert_eq!(origin.requests(), 1);
}

#[test]
fn a_small_block_that_means_much_is_not_unpacked() {
    let origin = stubborn();
    let gateway = Gateway::before(&origin);
    let mut client = Peer::connect(gateway.at(8080));
    assert_eq!(client.get("/").text(), "x");
    let before = gateway.resident_kib();
    // A line that the table remembers, and then that line so many times.
    let mut bomb = vec![0x40, 1, b'x', 0x7f, 0xa1, 0x1e];
    bomb.extend_from_slice(&[b'v'; 4000]);
    bomb.extend_from_slice(&[0xbe; 12_000]);
    for number in 0..50 {
        let stream = 3 + 2 * number;
        let head = [block(&getting("/")), bomb.clone()].concat();
        if !client.try_send(frame(HEADERS, END_STREAM | END_HEADERS, stream, head)) {
            break;
        }
        if !client.read_for(Duration::from_millis(5)) {
            break;
        }
        let outcome = client.stream(stream);
        assert!(outcome.heads.is_empty() || outcome.status() == 431, "{:?}", outcome.heads);
    }
    let grown = gateway.resident_kib().saturating_sub(before);
    assert!(grown < 8 * 1024, "{grown} KiB for blocks that mean 48 MB each");
    assert_eq!(origin.requests(), 1);
}

#[test]
fn heads_are_held_to_the_same_limits_as_in_http1() {
    let origin = stubborn();
    let text = proxying(&origin) + "\n[limits]\nhead = \"4KB\"\nfields = 20\nuri = \"100B\"\n";
    let gateway = Gateway::start(&text);
    let mut client = Peer::connect(gateway.at(8080));
    // The host is one of the fields.
    let fields = |count: usize| -> Vec<(String, String)> {
        (0..count).map(|n| (format!("x-{n}"), "v".into())).collect()
    };
    let mut ask = |path: &str, more: &[(String, String)]| -> u16 {
        let head: Vec<(String, String)> = getting(path)
            .iter()
            .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()))
            .chain(more.to_vec())
            .collect();
        let stream = client.ask(&head);
        client.answer(stream).status()
    };
    assert_eq!(ask("/", &fields(19)), 200);
    assert_eq!(ask("/", &fields(20)), 431);
    // `GET`, `/`, `test`, `x-big`, and four bytes of a line in HTTP/1.1.
    let big = |size: usize| vec![("x-big".to_owned(), "v".repeat(size))];
    assert_eq!(ask("/", &big(4096 - 17)), 200);
    assert_eq!(ask("/", &big(4096 - 16)), 431);
    assert_eq!(ask(&format!("/{}", "p".repeat(99)), &[]), 200);
    assert_eq!(ask(&format!("/{}", "p".repeat(100)), &[]), 414);
    assert_eq!(ask("/", &[]), 200, "the connection lives on");
    assert_eq!(origin.requests(), 4);
}

#[test]
fn trailers_are_held_to_limits() {
    let origin = Origin::start(|visit| {
        visit.count_body();
        visit.send(ok("whole"));
    });
    let gateway = Gateway::before(&origin);
    let mut client = Peer::connect(gateway.at(8080));
    let stream = client.open(&asking("POST", "/"), 0);
    client.data(stream, b"abc", 0);
    let many: Vec<(String, String)> = (0..2000).map(|n| (format!("x-{n}"), "v".to_owned())).collect();
    let trailers = block(&many);
    let (first, rest) = trailers.split_at(16_000);
    client.send(frame(HEADERS, END_STREAM, stream, first));
    client.send(frame(CONTINUATION, END_HEADERS, stream, rest));
    let outcome = client.outcome(stream);
    assert!(outcome.reset.is_some() || outcome.status() >= 400, "{outcome:?}");
    assert_eq!(client.get("/").text(), "whole");
}

#[test]
fn tiny_frames_that_nobody_takes_end_the_connection() {
    // It takes heads and grants no window for bodies.
    let origin = H2Origin::start_with(&[(INITIAL_WINDOW, 0)], |peer, _| while peer.step().is_ok() {});
    let gateway = Gateway::start(&origin.proxying());
    let mut client = greeted(&gateway);
    sync(&mut client);
    let before = gateway.resident_kib();
    let streams: Vec<u32> = (0..8).map(|_| client.open(&asking("POST", "/"), 0)).collect();
    // A byte in each frame: the windows count bytes, and would let a million frames through.
    for stream in streams.iter().cycle().take(960) {
        client.send(frame(DATA, 0, *stream, b"x").repeat(1000));
    }
    calmed(&mut client);
    let grown = gateway.resident_kib().saturating_sub(before);
    assert!(grown < 8 * 1024, "{grown} KiB for frames of one byte");
}

#[test]
fn tiny_frames_that_are_taken_may_be_many() {
    let origin = Origin::start(|visit| {
        let received = visit.count_body();
        visit.send(ok(&received.to_string()));
    });
    let gateway = Gateway::before(&origin);
    let mut client = greeted(&gateway);
    let stream = client.open(&asking("POST", "/"), 0);
    for _ in 0..150 {
        client.send(frame(DATA, 0, stream, b"x").repeat(200));
        sync(&mut client);
    }
    client.data(stream, b"", END_STREAM);
    assert_eq!(client.answer(stream).text(), "30000");
}

#[test]
fn answers_that_nobody_reads_are_bounded() {
    let origin = stubborn();
    let gateway = Gateway::before(&origin);
    let mut client = Peer::connect(gateway.at(8080));
    assert_eq!(client.get("/").text(), "x");
    let before = gateway.resident_kib();
    client.socket().set_write_timeout(Some(Duration::from_millis(500))).unwrap();
    // Each asks for an answer, and none is read; the answers are refusals, which no window holds back.
    let mut number = 3;
    let mut sent = 0;
    while sent < 300_000 {
        let mut batch = Vec::new();
        for _ in 0..500 {
            batch.extend(frame(HEADERS, END_STREAM | END_HEADERS, number, block(&getting("/none"))));
            number += 2;
        }
        if !client.try_send(batch) {
            break;
        }
        sent += 500;
    }
    let grown = gateway.resident_kib().saturating_sub(before);
    assert!(grown < 32 * 1024, "{grown} KiB for {sent} requests whose answers are not read");
    assert_eq!(Peer::connect(gateway.at(8080)).get("/").text(), "x");
}

#[test]
fn acknowledgements_that_nobody_asked_for_end_the_connection() {
    let origin = stubborn();
    let gateway = Gateway::before(&origin);
    let mut client = Peer::connect(gateway.at(8080));
    sync(&mut client);
    client.send(frame(SETTINGS, ACK, 0, []));
    assert!(client.closed_with().is_some());
    let mut client = Peer::connect(gateway.at(8080));
    sync(&mut client);
    client.send(frame(RST_STREAM, 0, 99, CANCEL.to_be_bytes()));
    assert_eq!(
        client.closed_with(),
        Some(crate::support::h2::PROTOCOL_ERROR),
        "a stream that was never opened"
    );
}
