//! HTTP/2 frames, written and read by hand.

use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use ringway_http::h2::{Flood, Incoming, Server, Settings};

pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub(crate) const DATA: u8 = 0x0;
pub(crate) const HEADERS: u8 = 0x1;
pub(crate) const PRIORITY: u8 = 0x2;
pub(crate) const RST_STREAM: u8 = 0x3;
pub(crate) const SETTINGS: u8 = 0x4;
pub(crate) const PING: u8 = 0x6;
pub(crate) const GOAWAY: u8 = 0x7;
pub(crate) const WINDOW_UPDATE: u8 = 0x8;
pub(crate) const CONTINUATION: u8 = 0x9;

pub(crate) const END_STREAM: u8 = 0x1;
pub(crate) const END_HEADERS: u8 = 0x4;
pub(crate) const ACK: u8 = 0x1;

/// One frame.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let len = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut out = vec![len[1], len[2], len[3], kind, flags];
    out.extend_from_slice(&stream.to_be_bytes());
    out.extend_from_slice(payload);
    out
}

/// A header block of literals that nobody remembers, whatever they hold.
pub(crate) fn block<N: AsRef<[u8]>, V: AsRef<[u8]>>(lines: &[(N, V)]) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, value) in lines {
        out.push(0);
        for text in [name.as_ref(), value.as_ref()] {
            integer(text.len(), &mut out);
            out.extend_from_slice(text);
        }
    }
    out
}

/// A length of 7 bits and what does not fit them (RFC 7541, 5.1).
fn integer(value: usize, out: &mut Vec<u8>) {
    if value < 127 {
        out.push(u8::try_from(value).unwrap());
        return;
    }
    out.push(127);
    let mut left = value - 127;
    while left >= 128 {
        out.push(u8::try_from(left % 128).unwrap() | 0x80);
        left /= 128;
    }
    out.push(u8::try_from(left).unwrap());
}

/// A frame that was read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

/// Whole frames, and nothing else.
pub(crate) fn frames(mut bytes: &[u8]) -> Vec<Frame> {
    let mut frames = Vec::new();
    while let Some((head, rest)) = bytes.split_first_chunk::<9>() {
        let len = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
        let stream = u32::from_be_bytes([head[5] & 0x7f, head[6], head[7], head[8]]);
        let payload = rest[..len].to_vec();
        frames.push(Frame { kind: head[3], flags: head[4], stream, payload });
        bytes = &rest[len..];
    }
    assert!(bytes.is_empty(), "half a frame");
    frames
}

/// A server that raw bytes are fed to.
pub(crate) struct Peer {
    pub(crate) server: Server<Bytes>,
    /// What it has sent, settings and acknowledgements left out.
    pub(crate) sent: Vec<Frame>,
    pub(crate) streams: Vec<Incoming<Bytes>>,
    /// Whether the connection is over.
    pub(crate) over: bool,
}

impl Peer {
    /// Nothing has been said yet.
    pub(crate) fn silent(settings: &Settings) -> Self {
        Self { server: Server::new(settings), sent: Vec::new(), streams: Vec::new(), over: false }
    }

    /// Both have said hello.
    pub(crate) fn new(settings: &Settings) -> Self {
        let mut peer = Self::silent(settings);
        peer.feed(PREFACE).unwrap();
        peer.feed(&frame(SETTINGS, 0, 0, &[])).unwrap();
        peer.feed(&frame(SETTINGS, ACK, 0, &[])).unwrap();
        peer
    }

    pub(crate) fn feed(&mut self, bytes: &[u8]) -> Result<(), Flood> {
        self.feed_at(bytes, Duration::ZERO)
    }

    pub(crate) fn feed_at(&mut self, bytes: &[u8], now: Duration) -> Result<(), Flood> {
        let outcome = self.server.feed(bytes, now);
        self.run();
        outcome
    }

    /// Takes whatever the server has.
    pub(crate) fn run(&mut self) {
        let cx = &mut Context::from_waker(Waker::noop());
        let mut out = Vec::new();
        loop {
            let poll = self.server.poll(cx);
            let moved = self.server.take_output(&mut out);
            match poll {
                Poll::Ready(Ok(Some(stream))) => self.streams.push(stream),
                Poll::Ready(Ok(None) | Err(_)) => {
                    self.over = true;
                    break;
                }
                Poll::Pending if moved == 0 => break,
                Poll::Pending => {}
            }
        }
        self.sent.extend(
            frames(&out).into_iter().filter(|frame| frame.kind != SETTINGS && frame.kind != WINDOW_UPDATE),
        );
    }

    /// The code of the frame that ended a stream or the connection.
    pub(crate) fn code(&self, kind: u8) -> Option<u32> {
        let frame = self.sent.iter().find(|frame| frame.kind == kind)?;
        let at = if kind == GOAWAY { 4 } else { 0 };
        Some(u32::from_be_bytes(frame.payload[at..at + 4].try_into().unwrap()))
    }
}
