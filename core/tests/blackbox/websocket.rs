//! WebSocket: frames pass as they are, and the gateway ends one in its own words.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Waker};
use std::time::Duration;

use bytes::Bytes;
use ringway_http::{Fields, Framing, Limits, ResponseHead, h2};
use rustix::process::Signal;

use crate::support::{Client, Gateway, Origin, PATIENCE, Visit, WebSocketPeer, eventually, now, proxying};

const SWITCH: &str = "GET /ws HTTP/1.1\r\nHost: t\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                      Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
const SWITCHED: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                        Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
/// The gateway's close frame towards the client.
const GOING_AWAY: [u8; 4] = [0x88, 2, 3, 0xe9];
const CLOSE: u8 = 0x88;
const KEY: [u8; 4] = [9, 8, 7, 6];

/// A frame; a client's has a key.
fn frame(first: u8, payload: &[u8], key: Option<[u8; 4]>) -> Vec<u8> {
    let mask = if key.is_some() { 0x80 } else { 0 };
    let mut out = vec![first];
    match payload.len() {
        short @ ..126 => out.push(mask | u8::try_from(short).unwrap()),
        long @ ..65_536 => {
            out.push(mask | 0x7e);
            out.extend(u16::try_from(long).unwrap().to_be_bytes());
        }
        longer => {
            out.push(mask | 0x7f);
            out.extend((longer as u64).to_be_bytes());
        }
    }
    match key {
        None => out.extend_from_slice(payload),
        Some(key) => {
            out.extend(key);
            out.extend(payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key));
        }
    }
    out
}

/// Reads a frame: its first byte, its payload unmasked, and whether it was masked. `None`: the connection ended.
fn read_frame(mut exactly: impl FnMut(usize) -> Option<Vec<u8>>) -> Option<(u8, Vec<u8>, bool)> {
    let head = exactly(2)?;
    let length = match head[1] & 0x7f {
        126 => usize::from(u16::from_be_bytes(exactly(2)?.try_into().unwrap())),
        127 => usize::try_from(u64::from_be_bytes(exactly(8)?.try_into().unwrap())).unwrap(),
        short => usize::from(short),
    };
    let masked = head[1] & 0x80 != 0;
    let key = if masked { exactly(4)? } else { vec![0] };
    let payload = exactly(length)?;
    let payload = payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key).collect();
    Some((head[0], payload, masked))
}

/// Sends every message back, answers a close frame and closes.
fn echo(visit: &mut Visit<'_>) {
    visit.send(SWITCHED);
    while let Some((first, payload, masked)) = read_frame(|count| visit.receive(count)) {
        assert!(masked, "a client's frames come masked");
        visit.send(frame(first, &payload, None));
        if first == CLOSE {
            break;
        }
    }
    visit.close();
}

/// A client whose connection has become a WebSocket.
fn open(gateway: &Gateway) -> Client {
    let mut client = gateway.client();
    let response = client.ask(SWITCH);
    assert_eq!((response.status, response.field("upgrade")), (101, Some("websocket")));
    assert_eq!(response.field("sec-websocket-accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    client
}

fn drain(gateway: &Gateway) {
    gateway.signal(Signal::TERM);
    gateway.line_with(&["drain.started"]);
}

fn access_line(gateway: &Gateway) -> serde_json::Value {
    serde_json::from_str(&gateway.line_with(&["\"path\":\"/ws\""])).unwrap()
}

#[test]
fn frames_of_every_size_pass_both_ways() {
    let origin = Origin::start(echo);
    let gateway = Gateway::before(&origin);
    let mut client = open(&gateway);
    for size in [0, 1, 125, 126, 65_535, 65_536, 1 << 20, 16 << 20, (16 << 20) + 1] {
        let payload: Vec<u8> = (0..size).map(|n| u8::try_from(n % 251).unwrap()).collect();
        client.send(frame(0x82, &payload, Some(KEY)));
        let (first, back, masked) = read_frame(|count| Some(client.exactly(count))).unwrap();
        assert!(first == 0x82 && !masked && back == payload, "{size} bytes");
    }
    client.send(frame(CLOSE, &[3, 0xe8], Some(KEY)));
    assert_eq!(client.rest(), (frame(CLOSE, &[3, 0xe8], None), true));
    drop(client);
    let line = access_line(&gateway);
    assert_eq!((&line["status"], &line["reason"]), (&101.into(), &"".into()), "{line}");
}

#[test]
fn a_part_of_a_frame_does_not_wait_for_the_rest() {
    let origin = Origin::start(|visit| {
        visit.send(SWITCHED);
        while let Some(byte) = visit.receive(1) {
            visit.send(byte);
        }
        visit.close();
    });
    let gateway = Gateway::before(&origin);
    let mut client = open(&gateway);
    for byte in frame(0x82, b"slowly", Some(KEY)) {
        client.send([byte]);
        assert_eq!(client.exactly(1), [byte]);
    }
}

#[test]
fn a_drain_closes_a_websocket_with_both_sides() {
    let origin = Origin::start(echo);
    let mut gateway = Gateway::before(&origin);
    let mut client = open(&gateway);
    client.send(frame(0x81, b"before", Some(KEY)));
    assert_eq!(client.exactly(8), frame(0x81, b"before", None));
    let began = now();
    drain(&gateway);
    assert_eq!(client.exactly(4), GOING_AWAY);
    // The origin has had its own close frame and answered it; the gateway waits for the client.
    assert!(client.silent_for(Duration::from_millis(200)));
    client.send(frame(0x81, b"late", Some(KEY)));
    client.send(frame(CLOSE, &[3, 0xe9], Some(KEY)));
    client.expect_closed();
    gateway.wait();
    assert!(now() - began < Duration::from_secs(10), "well before the drain's deadline of 30 s");
    let line = access_line(&gateway);
    assert_eq!(line["reason"], "drain.tunnel", "{line}");
}

#[test]
fn a_drain_waits_for_the_end_of_each_frame() {
    let go = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&go);
    let down = frame(0x82, &[b'd'; 300], None);
    let sent = down.clone();
    let origin = Origin::start(move |visit| {
        visit.send(SWITCHED);
        visit.send(&sent[..200]);
        eventually("the drain has begun", || flag.load(Ordering::SeqCst));
        // The rest of the frame, and one that comes too late.
        visit.send([&sent[200..], &frame(0x82, b"never", None)].concat());
        let got = [read_frame(|n| visit.receive(n)), read_frame(|n| visit.receive(n))].map(Option::unwrap);
        assert_eq!(got, [(0x82, vec![b'u'; 300], true), (CLOSE, vec![3, 0xe9], true)]);
        visit.send(frame(CLOSE, &[3, 0xe9], None));
        visit.until_peer_leaves();
    });
    let mut gateway = Gateway::before(&origin);
    let mut client = open(&gateway);
    let up = frame(0x82, &[b'u'; 300], Some(KEY));
    client.send(&up[..100]);
    assert_eq!(client.exactly(200), down[..200]);
    drain(&gateway);
    assert!(client.silent_for(Duration::from_millis(200)), "nothing is put into a frame");
    go.store(true, Ordering::SeqCst);
    assert_eq!(client.exactly(down.len() - 200), down[200..]);
    assert_eq!(client.exactly(4), GOING_AWAY);
    client.send([&up[100..], &frame(CLOSE, &[3, 0xe9], Some(KEY))].concat());
    client.expect_closed();
    gateway.wait();
    eventually("the origin's script has ended well", || origin.open_connections() == 0);
    assert_eq!(access_line(&gateway)["reason"], "drain.tunnel");
}

#[test]
fn a_close_that_is_under_way_is_not_closed_again() {
    let go = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&go);
    let origin = Origin::start(move |visit| {
        visit.send(SWITCHED);
        let close = read_frame(|n| visit.receive(n)).unwrap();
        assert_eq!(close, (CLOSE, vec![3, 0xe8], true));
        visit.send(frame(CLOSE, &[3, 0xe8], None));
        eventually("the drain has begun", || flag.load(Ordering::SeqCst));
        assert_eq!(visit.receive(1), None, "not a second close frame");
        visit.close();
    });
    let mut gateway = Gateway::before(&origin);
    let mut client = open(&gateway);
    client.send(frame(CLOSE, &[3, 0xe8], Some(KEY)));
    assert_eq!(client.exactly(4), frame(CLOSE, &[3, 0xe8], None));
    drain(&gateway);
    go.store(true, Ordering::SeqCst);
    client.expect_closed();
    gateway.wait();
    eventually("the origin's script has ended well", || origin.open_connections() == 0);
}

#[test]
fn sides_that_do_not_answer_are_cut_at_the_drains_deadline() {
    let origin = Origin::start(|visit| {
        visit.send(SWITCHED);
        visit.until_peer_leaves();
    });
    let text = proxying(&origin) + "[server]\nworkers = 1\ndrain_timeout = \"1s\"\n";
    let mut gateway = Gateway::start(&text);
    let mut client = open(&gateway);
    let began = now();
    drain(&gateway);
    assert_eq!(client.rest().0, GOING_AWAY);
    assert!(now() - began >= Duration::from_millis(800), "they had their time");
    gateway.wait();
}

#[test]
fn what_is_no_websocket_after_all_gets_no_close_frame() {
    let origin = Origin::start(|visit| {
        visit.send(SWITCHED);
        visit.send("HTTP is not frames");
        while let Some(bytes) = visit.receive(4) {
            visit.send(bytes);
        }
        visit.close();
    });
    let text = proxying(&origin) + "[server]\nworkers = 1\ndrain_timeout = \"1s\"\n";
    let gateway = Gateway::start(&text);
    let mut client = open(&gateway);
    assert_eq!(client.exactly(18), b"HTTP is not frames");
    // An unmasked frame: as a client's, it is none.
    client.send([0x81, 2, b'o', b'k']);
    assert_eq!(client.exactly(4), [0x81, 2, b'o', b'k']);
    drain(&gateway);
    client.send("ping");
    assert_eq!(client.exactly(4), b"ping", "bytes go on until the deadline");
    assert_eq!(client.rest().0, b"");
}

#[test]
fn a_silent_websocket_is_closed_and_need_not_answer() {
    let origin = Origin::start(|visit| {
        visit.send(SWITCHED);
        assert_eq!(read_frame(|n| visit.receive(n)), Some((CLOSE, vec![3, 0xe9], true)));
        visit.until_peer_leaves();
    });
    let gateway = Gateway::start(&(proxying(&origin) + "[limits]\ntunnel_timeout = \"300ms\"\n"));
    let mut client = open(&gateway);
    let began = now();
    assert_eq!(client.exactly(4), GOING_AWAY);
    assert!(now() - began >= Duration::from_millis(250));
    client.expect_closed();
    assert!(now() - began < Duration::from_secs(10), "an answer is not waited for for long");
    let line = access_line(&gateway);
    assert_eq!(line["reason"], "tunnel.idle", "{line}");
    eventually("the origin's script has ended well", || origin.open_connections() == 0);
}

#[test]
fn a_busy_websocket_is_closed_at_its_age() {
    let origin = Origin::start(echo);
    let gateway = Gateway::start(&(proxying(&origin) + "[limits]\ntunnel_age = \"1s\"\n"));
    let (mut client, began) = (open(&gateway), now());
    let last = loop {
        client.send(frame(0x81, b"busy", Some(KEY)));
        let (first, payload, _) = read_frame(|count| Some(client.exactly(count))).unwrap();
        if first == CLOSE {
            break payload;
        }
        assert_eq!((first, payload.as_slice()), (0x81, &b"busy"[..]));
        assert!(began.elapsed() < Duration::from_secs(15), "nobody minds");
    };
    assert_eq!(last, [3, 0xe9]);
    assert!(began.elapsed() >= Duration::from_millis(900), "{:?}", began.elapsed());
    client.send(frame(CLOSE, &last, Some(KEY)));
    client.expect_closed();
    eventually("the origin's end is closed", || origin.open_connections() == 0);
    assert_eq!(access_line(&gateway)["reason"], "tunnel.age");
}

#[test]
fn a_frame_that_is_under_way_at_a_websockets_age_is_sent_whole() {
    let origin = Origin::start(|visit| {
        visit.send(SWITCHED);
        visit.send(frame(0x82, &vec![b'd'; 16 << 20], None));
        assert_eq!(read_frame(|n| visit.receive(n)), Some((CLOSE, vec![3, 0xe9], true)));
        visit.send(frame(CLOSE, &[3, 0xe9], None));
        visit.close();
    });
    let gateway = Gateway::start(&(proxying(&origin) + "[limits]\ntunnel_age = \"1s\"\n"));
    let mut client = open(&gateway);
    // Nothing is read until long after: the sockets' buffers do not hold the frame.
    assert_eq!(client.exactly(10).len(), 10);
    std::thread::park_timeout(Duration::from_millis(1500));
    assert!(client.exactly(16 << 20).iter().all(|byte| *byte == b'd'));
    assert_eq!(client.exactly(4), GOING_AWAY);
    client.send(frame(CLOSE, &[3, 0xe9], Some(KEY)));
    client.expect_closed();
    assert_eq!(access_line(&gateway)["reason"], "tunnel.age");
}

#[test]
fn a_tunnel_of_another_protocol_ends_at_its_age() {
    let origin = Origin::start(|visit| {
        visit.send(SWITCHED.replace("websocket", "x"));
        while let Some(bytes) = visit.receive(4) {
            visit.send(bytes);
        }
        visit.close();
    });
    let gateway = Gateway::start(&(proxying(&origin) + "[limits]\ntunnel_age = \"1s\"\n"));
    let (mut client, began) = (gateway.client(), now());
    assert_eq!(client.ask(SWITCH.replace("websocket", "x")).status, 101);
    let mut echoed = 0;
    while began.elapsed() < Duration::from_millis(700) {
        client.send("ping");
        assert_eq!(client.exactly(4), b"ping");
        echoed += 1;
    }
    assert!(echoed > 10);
    client.expect_closed();
    assert!(began.elapsed() >= Duration::from_millis(900), "{:?}", began.elapsed());
    assert_eq!(access_line(&gateway)["reason"], "tunnel.age");
}

#[test]
fn a_reload_does_not_touch_a_websocket() {
    let origin = Origin::start(echo);
    let gateway = Gateway::before(&origin);
    let mut client = open(&gateway);
    gateway.reload(&(proxying(&origin) + "[limits]\ntunnel_timeout = \"100ms\"\n"));
    gateway.line_with(&["reload.done"]);
    for _ in 0..5 {
        assert!(client.silent_for(Duration::from_millis(100)));
        client.send(frame(0x81, b"still", Some(KEY)));
        assert_eq!(client.exactly(7), frame(0x81, b"still", None));
    }
}

#[test]
fn another_implementation_is_served_and_told_to_go() {
    let Some(mut server) = WebSocketPeer::start(&["serve"]) else { return };
    let port = server.line();
    let gateway = Gateway::start(&format!(
        "[routes.all]\nmatch = {{ prefix = \"/\" }}\nupstream = \"peer\"\n\
         [upstreams.peer]\nendpoints = [\"127.0.0.1:{port}\"]\n"
    ));
    let mut client = WebSocketPeer::start(&["ask", &format!("ws://{}/ws", gateway.at(8080))]).unwrap();
    assert_eq!(client.line(), "ok");
    drain(&gateway);
    assert_eq!(client.line(), "closed 1001");
    assert_eq!(server.line(), "closed 1001");
    assert_eq!(access_line(&gateway)["reason"], "drain.tunnel");
}

/// The status that an extended CONNECT for a WebSocket is answered with.
fn status_of_connect(gateway: &Gateway, path: &str) -> u16 {
    let mut socket = TcpStream::connect(gateway.at(8080)).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let (mut machine, requests) = h2::Client::<Bytes>::new(&h2::Settings::default()).unwrap();
    let cx = &mut Context::from_waker(Waker::noop());
    let (mut out, mut input, fields) = (Vec::new(), [0; 4096], Fields::new());
    let (mut response, mut head) = (None, ResponseHead::new());
    loop {
        assert!(machine.poll(cx).is_pending());
        machine.take_output(&mut out);
        socket.write_all(&out).unwrap();
        out.clear();
        let received = socket.read(&mut input).unwrap();
        assert!(received > 0, "closed without an answer");
        machine.feed(&input[..received], Duration::ZERO).unwrap();
        assert!(machine.poll(cx).is_pending());
        if response.is_none() && requests.allows_extended_connect() {
            let outgoing = h2::Outgoing {
                method: "CONNECT",
                scheme: h2::Scheme::Http,
                authority: "t",
                path,
                fields: &fields,
                framing: Framing::None,
                te_trailers: false,
                protocol: Some("websocket"),
            };
            response = Some(requests.send(&outgoing, false).unwrap());
        }
        if let Some((response, _)) = &mut response
            && response.poll(cx, &Limits::default(), &mut head).is_ready()
        {
            return head.status;
        }
    }
}

#[test]
fn a_plain_answer_does_not_open_a_websocket_over_http2() {
    let origin = Origin::start(|visit| {
        let status = if visit.path() == "/refused" { "403 Forbidden" } else { "200 OK" };
        visit.send(format!("HTTP/1.1 {status}\r\nContent-Length: 4\r\n\r\npage"));
    });
    let own = "[routes.own]\nmatch = { prefix = \"/own\" }\nrespond = { status = 200, body = \"hello\" }\n";
    let gateway = Gateway::start(&format!("{own}{}", proxying(&origin)));
    for (path, status) in [("/", 502), ("/refused", 403), ("/own", 501)] {
        assert_eq!(status_of_connect(&gateway, path), status, "{path}");
    }
}

#[test]
fn a_post_is_no_websocket() {
    let origin = Origin::saying("posted");
    let gateway = Gateway::before(&origin);
    let request = "POST / HTTP/1.1\r\nHost: t\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                   Content-Length: 5\r\n\r\nhello";
    assert_eq!(gateway.client().ask(request).text(), "posted");
    assert!(!origin.head().to_ascii_lowercase().contains("upgrade"), "{}", origin.head());
    // It answers before it has read.
    eventually("the body at the origin", || origin.bodies() == [b"hello"]);
}
