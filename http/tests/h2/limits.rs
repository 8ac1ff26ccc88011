//! Each limit of an HTTP/2 connection: at it, and one over.

use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crate::frames::{
    ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PING, PREFACE, PRIORITY, Peer,
    RST_STREAM, SETTINGS, WINDOW_UPDATE, block, frame,
};
use bytes::Bytes;
use ringway_http::h1::BodySize;
use ringway_http::h2::{Flood, GuardLimits, Reason, Settings};
use ringway_http::{Fields, HeadError, Limits, RequestHead};

const REFUSED_STREAM: u32 = 7;
const ENHANCE_YOUR_CALM: u32 = 11;

fn get() -> Vec<u8> {
    block(&[(":method", "GET"), (":scheme", "https"), (":authority", "a"), (":path", "/")])
}

fn open(stream: u32, flags: u8) -> Vec<u8> {
    frame(HEADERS, END_HEADERS | flags, stream, &get())
}

/// Few of everything.
fn strict() -> Settings {
    let guard = GuardLimits {
        window: Duration::from_secs(10),
        resets_max: 5,
        settings_max: 5,
        pings_max: 5,
        ignored_max: 5,
        empty_data_max: 5,
        window_updates_max: 5,
        sent_bytes_per_frame: 1_000_000,
        continuations_max: 4,
    };
    Settings { guard, ..Settings::default() }
}

/// Frames that each count once, and which limit they meet.
fn floods() -> Vec<(Vec<u8>, Flood)> {
    let one = 1u32.to_be_bytes();
    vec![
        (frame(SETTINGS, 0, 0, &[]), Flood::Settings),
        (frame(PING, 0, 0, &[0; 8]), Flood::Pings),
        (frame(PING, ACK, 0, &[0; 8]), Flood::Pings),
        (frame(PRIORITY, 0, 1, &[0, 0, 0, 3, 0]), Flood::Ignored),
        (frame(0xbe, 0, 1, b"whatever"), Flood::Ignored),
        (frame(DATA, 0, 1, &[]), Flood::EmptyData),
        (frame(DATA, 0x8, 1, &[3, 0, 0, 0]), Flood::EmptyData),
        (frame(WINDOW_UPDATE, 0, 0, &one), Flood::WindowUpdates),
    ]
}

#[test]
fn floods_end_the_connection_one_frame_over_their_limit() {
    for (bytes, flood) in floods() {
        // The greeting holds two SETTINGS frames, and the header block pays for one frame that is ignored.
        let most = 5 - 2 * u32::from(flood == Flood::Settings) + u32::from(flood == Flood::Ignored);
        let mut peer = Peer::new(&strict());
        peer.feed(&open(1, 0)).unwrap();
        for _ in 0..most {
            assert_eq!(peer.feed(&bytes), Ok(()), "{flood}");
        }
        assert!(!peer.over, "{flood}: {:?}", peer.sent);
        assert_eq!(peer.feed(&bytes), Err(flood));
        assert_eq!(peer.code(GOAWAY), Some(ENHANCE_YOUR_CALM), "{flood}");
        assert!(peer.over && flood.reason().starts_with("h2.flood."));
    }
}

#[test]
fn a_window_later_counting_starts_anew() {
    let ping = frame(PING, 0, 0, &[0; 8]);
    let mut peer = Peer::new(&strict());
    for window in 0..4 {
        for _ in 0..5 {
            assert_eq!(peer.feed_at(&ping, Duration::from_secs(10 * window)), Ok(()));
        }
    }
    assert_eq!(peer.feed_at(&ping, Duration::from_millis(39_999)), Err(Flood::Pings));
}

#[test]
fn frames_are_counted_however_they_are_split() {
    let mut wire = PREFACE.to_vec();
    wire.extend(frame(SETTINGS, 0, 0, &[0, 4, 0, 1, 0, 0]));
    wire.extend(frame(HEADERS, END_HEADERS, 1, &get()));
    for _ in 0..6 {
        wire.extend(frame(DATA, 0, 1, &[]));
    }
    for piece in 1..wire.len() {
        let mut peer = Peer::silent(&strict());
        let outcomes: Vec<_> = wire.chunks(piece).map(|piece| peer.feed(piece)).collect();
        assert_eq!(outcomes.last(), Some(&Err(Flood::EmptyData)), "pieces of {piece}");
        assert_eq!(outcomes.iter().filter(|outcome| outcome.is_err()).count(), 1, "pieces of {piece}");
    }
}

#[test]
fn rapid_resets_end_the_connection_and_cancelling_half_of_the_streams_does_not() {
    let cancel = |stream| frame(RST_STREAM, 0, stream, &8u32.to_be_bytes());
    let mut peer = Peer::new(&strict());
    let mut flooded = None;
    for request in 0..100 {
        let stream = 2 * request + 1;
        peer.feed(&open(stream, END_STREAM)).unwrap();
        if let Err(flood) = peer.feed(&cancel(stream)) {
            flooded = Some((request, flood));
            break;
        }
    }
    // Five, and one for every second stream: the eleventh of eleven is one too many.
    assert_eq!(flooded, Some((10, Flood::Resets)));
    let mut peer = Peer::new(&strict());
    for request in 0..100 {
        let stream = 2 * request + 1;
        peer.feed(&open(stream, END_STREAM)).unwrap();
        if request % 2 == 1 {
            peer.feed(&cancel(stream)).unwrap();
        }
        peer.streams.clear();
        peer.run();
    }
    assert!(!peer.over);
}

#[test]
fn an_answer_pays_for_window_updates_and_pings() {
    let mut settings = strict();
    settings.guard.sent_bytes_per_frame = 10;
    let mut peer = Peer::new(&settings);
    peer.feed(&open(1, END_STREAM)).unwrap();
    let (_body, mut respond) = peer.streams.remove(0).into_halves();
    let mut out = respond.send_head(200, &Fields::new(), BodySize::Known(1000), false).unwrap();
    out.send(Bytes::from(vec![b'x'; 1000]), true).unwrap();
    peer.run();
    for _ in 0..105 {
        assert_eq!(peer.feed(&frame(WINDOW_UPDATE, 0, 0, &1u32.to_be_bytes())), Ok(()));
        assert_eq!(peer.feed(&frame(PING, ACK, 0, &[0; 8])), Ok(()));
    }
}

#[test]
fn acknowledgements_pay_for_nothing() {
    let mut settings = strict();
    settings.guard.sent_bytes_per_frame = 10;
    let mut peer = Peer::new(&settings);
    // The greeting pays for a few of them.
    let refused = (0..30).map(|_| peer.feed(&frame(PING, 0, 0, &[0; 8]))).find(Result::is_err);
    assert_eq!(refused, Some(Err(Flood::Pings)));
}

#[test]
fn a_header_block_has_so_many_continuations() {
    for (count, expected) in [(4, Ok(())), (5, Err(Flood::Continuations))] {
        let mut peer = Peer::new(&strict());
        peer.feed(&frame(HEADERS, END_STREAM, 1, &get())).unwrap();
        let mut outcome = Ok(());
        for at in 1..=count {
            let flags = if at == count { END_HEADERS } else { 0 };
            outcome = peer.feed(&frame(CONTINUATION, flags, 1, &[]));
        }
        assert_eq!(outcome, expected);
        assert_eq!(peer.streams.len(), usize::from(outcome.is_ok()));
        assert_eq!(peer.code(GOAWAY), outcome.err().map(|_| ENHANCE_YOUR_CALM));
    }
}

#[test]
fn the_default_of_continuations_is_what_the_library_allows() {
    let most = Settings::default().guard.continuations_max;
    let mut peer = Peer::new(&Settings::default());
    peer.feed(&frame(HEADERS, END_STREAM, 1, &get())).unwrap();
    for at in 1..=most {
        let flags = if at == most { END_HEADERS } else { 0 };
        peer.feed(&frame(CONTINUATION, flags, 1, &[])).unwrap();
    }
    assert_eq!(peer.streams.len(), 1);
}

#[test]
fn streams_over_the_limit_are_refused() {
    let mut peer = Peer::new(&Settings { streams_max: 3, ..Settings::default() });
    for stream in [1, 3, 5] {
        peer.feed(&open(stream, 0)).unwrap();
    }
    assert_eq!((peer.streams.len(), peer.code(RST_STREAM)), (3, None));
    peer.feed(&open(7, 0)).unwrap();
    assert_eq!((peer.streams.len(), peer.code(RST_STREAM)), (3, Some(REFUSED_STREAM)));
    // One that ends makes room.
    peer.streams.remove(0).respond.reset(Reason::CANCEL);
    peer.run();
    peer.feed(&open(9, 0)).unwrap();
    assert_eq!(peer.streams.len(), 3);
}

#[test]
fn streams_reset_before_they_are_taken_are_few() {
    for (count, over) in [(3, false), (4, true)] {
        let mut peer = Peer::new(&Settings { pending_resets_max: 3, ..Settings::default() });
        let mut wire = Vec::new();
        for request in 0..count {
            wire.extend(open(2 * request + 1, END_STREAM));
            wire.extend(frame(RST_STREAM, 0, 2 * request + 1, &8u32.to_be_bytes()));
        }
        peer.feed(&wire).unwrap();
        assert_eq!(peer.over, over, "{count}");
        assert_eq!(peer.code(GOAWAY), over.then_some(ENHANCE_YOUR_CALM));
    }
}

#[test]
fn streams_that_a_peer_makes_reset_are_few() {
    // A window beyond 2^31-1 is an error of its stream, which this end then has to reset ("made you reset").
    for (count, over) in [(3, false), (4, true)] {
        let mut peer = Peer::new(&Settings { error_resets_max: 3, ..Settings::default() });
        for request in 0..count {
            peer.feed(&open(2 * request + 1, 0)).unwrap();
            peer.feed(&frame(WINDOW_UPDATE, 0, 2 * request + 1, &[0x7f, 0xff, 0xff, 0xff])).unwrap();
        }
        assert_eq!(peer.over, over, "{count}: {:?}", peer.sent);
        assert_eq!(peer.code(GOAWAY), over.then_some(ENHANCE_YOUR_CALM));
    }
}

#[test]
fn heads_over_the_limit_of_the_library_are_answered_by_it() {
    let limits = Limits { head_bytes_max: 1000, ..Limits::default() };
    let settings = Settings::default().with_heads(&limits);
    let list = |value: usize| {
        let mut lines = vec![(":method", "GET"), (":scheme", "https"), (":authority", "a"), (":path", "/")];
        let value = "v".repeat(value);
        lines.push(("x", &value));
        frame(HEADERS, END_HEADERS | END_STREAM, 1, &block(&lines))
    };
    // Over the limit of heads, and known by its reader.
    let mut peer = Peer::new(&settings);
    peer.feed(&list(1000)).unwrap();
    let outcome = peer.streams[0].read_head(&limits, &mut RequestHead::new());
    assert_eq!(outcome, Err(HeadError::HeadLength));
    // Over what such heads may take: a 431 of the library.
    let mut peer = Peer::new(&settings);
    peer.feed(&list(1000 + 128 * 32)).unwrap();
    assert!(peer.streams.is_empty());
    let answer = peer.sent.iter().find(|frame| frame.kind == HEADERS).unwrap();
    // `:status` from the static table, and 431 in Huffman's code (RFC 7541, A and B).
    assert_eq!(answer.payload, b"\x48\x83\x69\x90\xff");
}

#[test]
fn frames_over_the_frame_size_end_the_connection() {
    for (len, code) in [(16 * 1024, None), (16 * 1024 + 1, Some(6))] {
        let mut peer = Peer::new(&Settings::default());
        peer.feed(&open(1, 0)).unwrap();
        peer.feed(&frame(DATA, 0, 1, &vec![b'x'; len])).unwrap();
        assert_eq!(peer.code(GOAWAY), code, "{len}");
    }
}

#[test]
fn a_sender_that_ignores_its_windows_is_stopped() {
    for (bytes, stopped) in [(128 * 1024, false), (128 * 1024 + 1, true)] {
        let mut peer = Peer::new(&Settings::default());
        peer.feed(&open(1, 0)).unwrap();
        for piece in vec![b'x'; bytes].chunks(16 * 1024) {
            peer.feed(&frame(DATA, 0, 1, piece)).unwrap();
        }
        assert_eq!(
            peer.code(RST_STREAM).is_some() || peer.code(GOAWAY).is_some(),
            stopped,
            "{bytes}: {:?}",
            peer.sent
        );
    }
}

#[test]
fn small_pieces_that_wait_cost_what_they_may() {
    // One byte counts for 255 more.
    for (count, over) in [(10, false), (11, true)] {
        let mut peer = Peer::new(&Settings { pieces_bytes_max: 10 * 255, ..Settings::default() });
        peer.feed(&open(1, 0)).unwrap();
        for _ in 0..count {
            peer.feed(&frame(DATA, 0, 1, b"x")).unwrap();
        }
        assert_eq!(peer.over, over, "{count}");
        assert_eq!(peer.code(GOAWAY), over.then_some(ENHANCE_YOUR_CALM));
    }
}

#[test]
fn small_pieces_meet_their_window_first() {
    let mut peer = Peer::new(&Settings::default());
    peer.feed(&open(1, 0)).unwrap();
    for _ in 0..128 * 1024 / 20 {
        peer.feed(&frame(DATA, 0, 1, &[b'x'; 20])).unwrap();
    }
    assert_eq!((peer.over, peer.code(GOAWAY)), (false, None));
}

#[test]
fn output_that_nobody_takes_stops_input() {
    let settings = Settings { output_bytes_max: 1000, input_bytes_max: 500, ..Settings::default() };
    let mut peer = Peer::new(&settings);
    let cx = &mut Context::from_waker(Waker::noop());
    let ping = frame(PING, 0, 0, &[0; 8]);
    let mut fed = 0;
    while peer.server.wants_input() {
        peer.server.feed(&ping, Duration::ZERO).unwrap();
        assert!(peer.server.poll(cx).is_pending());
        fed += 1;
        assert!(fed < 1000, "output grows for ever");
    }
    assert!((1000..1000 + 17 + 100).contains(&peer.server.output_len()), "{}", peer.server.output_len());
    // Once it is taken, the rest follows.
    peer.run();
    assert!(peer.server.wants_input());
    assert_eq!(peer.sent.iter().filter(|frame| frame.kind == PING).count(), fed);
}

#[test]
fn a_stream_buffers_what_it_may_and_no_more() {
    let settings = Settings { send_buffer_bytes_max: 5000, ..Settings::default() };
    let mut peer = Peer::new(&settings);
    peer.feed(&open(1, END_STREAM)).unwrap();
    let (_body, mut respond) = peer.streams.remove(0).into_halves();
    let mut out = respond.send_head(200, &Fields::new(), BodySize::Unknown, false).unwrap();
    out.reserve(60_000);
    let Poll::Ready(Ok(capacity)) = out.poll_capacity(&mut Context::from_waker(Waker::noop())) else {
        panic!("no capacity");
    };
    assert_eq!(capacity, 5000);
}

#[test]
fn larger_heads_may_take_more_continuations() {
    let head_bytes_max = 512 * 1024;
    let settings = Settings::default().with_heads(&Limits { head_bytes_max, ..Limits::default() });
    let most = settings.guard.continuations_max;
    // 516 KiB in frames of 16 KiB, and a quarter more.
    assert_eq!((settings.header_bytes_max, most), (516 * 1024 + 32, 40));
    for (count, expected) in [(most, Ok(())), (most + 1, Err(Flood::Continuations))] {
        let mut peer = Peer::new(&settings);
        peer.feed(&frame(HEADERS, END_STREAM, 1, &get())).unwrap();
        let mut outcome = Ok(());
        for at in 1..=count {
            let flags = if at == count { END_HEADERS } else { 0 };
            outcome = peer.feed(&frame(CONTINUATION, flags, 1, &[]));
        }
        assert_eq!((outcome, peer.streams.len()), (expected, usize::from(expected.is_ok())));
    }
}
