//! One end of an HTTP/2 connection, frame by frame: it sends whatever a test wants, well-formed or not, and files what
//! comes by stream. Acknowledgements and windows are looked after unless the test asks for that not to be done.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use super::h2_origin::Seen;
use super::hpack::{Decoder, Fields, block};
use super::{PATIENCE, now};

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

pub(crate) const NO_ERROR: u32 = 0x0;
pub(crate) const PROTOCOL_ERROR: u32 = 0x1;
pub(crate) const REFUSED_STREAM: u32 = 0x7;
pub(crate) const CANCEL: u32 = 0x8;
pub(crate) const ENHANCE_YOUR_CALM: u32 = 0xb;

pub(crate) const INITIAL_WINDOW: u16 = 0x4;
pub(crate) const MAX_STREAMS: u16 = 0x3;

/// The window of HTTP/2 without an agreement.
const WINDOW: i64 = 65_535;

/// What a read that waited too long is called.
const SILENCE: &str = "timed out";

/// One frame.
#[derive(Debug, Clone)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

/// What has come on one stream.
#[derive(Debug, Clone, Default)]
pub(crate) struct Stream {
    /// Heads in the order in which they came: interim ones, the final one, trailers.
    pub(crate) heads: Vec<Fields>,
    pub(crate) body: Vec<u8>,
    /// The stream was ended as it should be.
    pub(crate) ended: bool,
    /// It was reset, with this code.
    pub(crate) reset: Option<u32>,
}

/// One end of a connection.
pub(crate) struct Peer {
    stream: TcpStream,
    received: Vec<u8>,
    decoder: Decoder,
    /// A header block that is not whole: its stream, its first frame's flags, its bytes.
    unfinished: Option<(u32, u8, Vec<u8>)>,
    streams: BTreeMap<u32, Stream>,
    /// Streams in the order in which they ended.
    pub(crate) ended: Vec<u32>,
    /// `GOAWAY` frames: the last stream and the code.
    pub(crate) goaways: Vec<(u32, u32)>,
    /// The peer's settings, the last value of each.
    pub(crate) settings: BTreeMap<u16, u32>,
    /// Frames that came, all of them.
    pub(crate) frames: u64,
    /// Acknowledgements of pings.
    pub(crate) pongs: u64,
    /// What may be sent on the connection and on each stream.
    window: i64,
    windows: BTreeMap<u32, i64>,
    /// Whether what came is granted again at once.
    pub(crate) grants: bool,
    /// Whether settings and pings are acknowledged.
    pub(crate) acknowledges: bool,
    next: u32,
    /// Where requests are noted, if this is an origin.
    pub(super) seen: Option<Arc<Seen>>,
    /// Requests that have been handed out.
    pub(super) handed: BTreeSet<u32>,
}

/// One frame's bytes.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: impl AsRef<[u8]>) -> Vec<u8> {
    let payload = payload.as_ref();
    let len = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut out = vec![len[1], len[2], len[3], kind, flags];
    out.extend_from_slice(&stream.to_be_bytes());
    out.extend_from_slice(payload);
    out
}

/// A `SETTINGS` frame.
pub(crate) fn settings(values: &[(u16, u32)]) -> Vec<u8> {
    let bytes = values.iter().flat_map(|(id, value)| [&id.to_be_bytes()[..], &value.to_be_bytes()].concat());
    frame(SETTINGS, 0, 0, bytes.collect::<Vec<u8>>())
}

/// The fields of a GET.
pub(crate) fn getting(path: &str) -> Vec<(&str, &str)> {
    asking("GET", path)
}

/// The pseudo-headers of a request.
pub(crate) fn asking<'a>(method: &'a str, path: &'a str) -> Vec<(&'a str, &'a str)> {
    vec![(":method", method), (":scheme", "http"), (":authority", "test"), (":path", path)]
}

impl Peer {
    /// A client that has said hello.
    pub(crate) fn connect(address: SocketAddr) -> Self {
        Self::connect_with(address, &[])
    }

    /// The same with settings.
    pub(crate) fn connect_with(address: SocketAddr, values: &[(u16, u32)]) -> Self {
        let mut peer = Self::silent(address);
        peer.send([PREFACE, &settings(values)].concat());
        peer
    }

    /// A connection on which nothing has been sent.
    pub(crate) fn silent(address: SocketAddr) -> Self {
        Self::of(TcpStream::connect_timeout(&address, PATIENCE).unwrap(), 1)
    }

    pub(super) fn of(stream: TcpStream, next: u32) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self {
            stream,
            received: Vec::new(),
            decoder: Decoder::default(),
            unfinished: None,
            streams: BTreeMap::new(),
            ended: Vec::new(),
            goaways: Vec::new(),
            settings: BTreeMap::new(),
            frames: 0,
            pongs: 0,
            window: WINDOW,
            windows: BTreeMap::new(),
            grants: true,
            acknowledges: true,
            next,
            seen: None,
            handed: BTreeSet::new(),
        }
    }

    /// Sends all of it. A peer that has already closed is for the following read to see.
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.stream.write_all(bytes.as_ref());
    }

    /// The same, for who needs to know how much a peer takes; `false`: it took no more.
    pub(crate) fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.stream.write_all(bytes.as_ref()).is_ok()
    }

    /// Opens a stream with a request of these fields: its number.
    pub(crate) fn open<N: AsRef<[u8]>, V: AsRef<[u8]>>(&mut self, fields: &[(N, V)], flags: u8) -> u32 {
        let stream = self.next;
        self.next += 2;
        self.send(frame(HEADERS, flags | END_HEADERS, stream, block(fields)));
        stream
    }

    /// Opens a stream with a request that has no body.
    pub(crate) fn ask<N: AsRef<[u8]>, V: AsRef<[u8]>>(&mut self, fields: &[(N, V)]) -> u32 {
        self.open(fields, END_STREAM)
    }

    /// Sends a GET and waits for its answer.
    pub(crate) fn get(&mut self, path: &str) -> Stream {
        let stream = self.ask(&getting(path));
        self.answer(stream)
    }

    /// Sends a request with a body and waits for its answer. A small body comes in one piece with its head.
    pub(crate) fn post(&mut self, path: &str, body: &[u8]) -> Stream {
        let fields = asking("POST", path);
        if body.len() > 16_384.min(usize::try_from(WINDOW).unwrap()) {
            let stream = self.open(&fields, 0);
            self.data(stream, body, END_STREAM);
            return self.answer(stream);
        }
        let stream = self.next;
        self.next += 2;
        let mut whole = frame(HEADERS, END_HEADERS, stream, block(&fields));
        whole.extend(frame(DATA, END_STREAM, stream, body));
        self.window -= i64::try_from(body.len()).unwrap();
        self.send(whole);
        self.answer(stream)
    }

    /// Sends fields on a stream: a head, or trailers.
    pub(crate) fn head<N: AsRef<[u8]>, V: AsRef<[u8]>>(&mut self, stream: u32, fields: &[(N, V)], flags: u8) {
        self.send(frame(HEADERS, flags | END_HEADERS, stream, block(fields)));
    }

    /// Sends data as its windows let it, reading meanwhile. Ends early when the stream or the connection does.
    pub(crate) fn data(&mut self, stream: u32, mut bytes: &[u8], flags: u8) {
        loop {
            let len = bytes.len().min(16_384).min(self.window_left(stream));
            if len == 0 && !bytes.is_empty() {
                let over = self.streams.get(&stream).is_some_and(|stream| stream.reset.is_some());
                if over || self.step().is_err() {
                    return;
                }
                continue;
            }
            let (now, rest) = bytes.split_at(len);
            let last = if rest.is_empty() { flags } else { 0 };
            self.send(frame(DATA, last, stream, now));
            let sent = i64::try_from(len).unwrap();
            self.window -= sent;
            *self.windows.entry(stream).or_insert(0) -= sent;
            bytes = rest;
            if rest.is_empty() {
                return;
            }
        }
    }

    /// What may be sent on a stream now.
    pub(crate) fn window_left(&self, stream: u32) -> usize {
        usize::try_from(self.window.min(self.window_of(stream))).unwrap_or(0)
    }

    fn window_of(&self, stream: u32) -> i64 {
        let initial = self.settings.get(&INITIAL_WINDOW).map_or(WINDOW, |&value| i64::from(value));
        initial + self.windows.get(&stream).copied().unwrap_or(0)
    }

    /// Resets a stream.
    pub(crate) fn reset(&mut self, stream: u32, code: u32) {
        self.send(frame(RST_STREAM, 0, stream, code.to_be_bytes()));
    }

    /// Grants more of a window; stream 0 is the connection.
    pub(crate) fn grant(&mut self, stream: u32, bytes: u32) {
        self.send(frame(WINDOW_UPDATE, 0, stream, bytes.to_be_bytes()));
    }

    /// Says that no stream above this one was processed.
    pub(crate) fn go_away(&mut self, last: u32, code: u32) {
        self.send(frame(GOAWAY, 0, 0, [last.to_be_bytes(), code.to_be_bytes()].concat()));
    }

    /// Waits for a whole answer on a stream that ends as it should.
    pub(crate) fn answer(&mut self, stream: u32) -> Stream {
        let outcome = self.outcome(stream);
        assert_eq!(outcome.reset, None, "stream {stream} was reset after {:?}", outcome.heads);
        outcome
    }

    /// Waits for the end of a stream, whatever it is.
    pub(crate) fn outcome(&mut self, stream: u32) -> Stream {
        self.wait_for("a stream's end", |peer| peer.is_over(stream));
        self.streams.get(&stream).cloned().unwrap()
    }

    /// Waits until a stream has something.
    pub(crate) fn stream_when(&mut self, stream: u32, holds: impl Fn(&Stream) -> bool) -> Stream {
        self.wait_for("what a stream has", |peer| peer.streams.get(&stream).is_some_and(&holds));
        self.streams.get(&stream).cloned().unwrap()
    }

    /// What has come on a stream.
    pub(crate) fn stream(&self, stream: u32) -> Stream {
        self.streams.get(&stream).cloned().unwrap_or_default()
    }

    /// The streams on which something has come.
    pub(crate) fn numbers(&self) -> Vec<u32> {
        self.streams.keys().copied().collect()
    }

    fn is_over(&self, stream: u32) -> bool {
        self.streams.get(&stream).is_some_and(|stream| stream.ended || stream.reset.is_some())
    }

    /// Reads until something is so.
    pub(crate) fn wait_for(&mut self, what: &str, holds: impl Fn(&Self) -> bool) {
        let deadline = now() + PATIENCE;
        while !holds(self) {
            assert!(now() < deadline, "never came: {what}");
            if let Err(why) = self.step() {
                panic!("{why} while waiting for {what}; goaways {:?}", self.goaways);
            }
        }
    }

    /// Reads what comes within a time, and returns early with `false` when the connection ends.
    pub(crate) fn read_for(&mut self, time: Duration) -> bool {
        let deadline = now() + time;
        while let Some(left) = deadline.checked_duration_since(now()).filter(|left| !left.is_zero()) {
            self.stream.set_read_timeout(Some(left)).unwrap();
            let outcome = self.step();
            self.stream.set_read_timeout(Some(PATIENCE)).unwrap();
            if let Err(why) = outcome {
                return why == SILENCE;
            }
        }
        true
    }

    /// Reads until the connection ends: whether by a close (and not a reset).
    pub(crate) fn until_closed(&mut self) -> bool {
        let deadline = now() + PATIENCE;
        loop {
            match self.step() {
                Ok(()) => assert!(now() < deadline, "the connection does not end"),
                Err(why) if why == "closed" => return true,
                Err(why) if why == "reset" => return false,
                Err(why) => panic!("{why} while waiting for the connection's end"),
            }
        }
    }

    /// The connection's end, and the code of its last `GOAWAY`.
    pub(crate) fn closed_with(&mut self) -> Option<u32> {
        self.until_closed();
        self.goaways.last().map(|&(_, code)| code)
    }

    /// Reads and files one frame.
    pub(crate) fn step(&mut self) -> Result<(), String> {
        let frame = self.frame()?;
        self.frames += 1;
        let number = |at: usize| u32::from_be_bytes(frame.payload[at..at + 4].try_into().unwrap());
        match frame.kind {
            DATA => {
                let stream = self.streams.entry(frame.stream).or_default();
                stream.body.extend_from_slice(&frame.payload);
                let len = u32::try_from(frame.payload.len()).unwrap();
                if self.grants && len > 0 {
                    let ends = frame.flags & END_STREAM != 0;
                    self.grant(0, len);
                    if !ends {
                        self.grant(frame.stream, len);
                    }
                }
                self.note_end(&frame);
            }
            HEADERS | CONTINUATION => self.headers(frame),
            RST_STREAM => {
                self.streams.entry(frame.stream).or_default().reset = Some(number(0));
                self.ended.push(frame.stream);
            }
            SETTINGS if frame.flags & ACK == 0 => {
                for value in frame.payload.chunks(6) {
                    let id = u16::from_be_bytes([value[0], value[1]]);
                    let value = u32::from_be_bytes(value[2..6].try_into().unwrap());
                    self.settings.insert(id, value);
                }
                if self.acknowledges {
                    self.send(self::frame(SETTINGS, ACK, 0, []));
                }
            }
            PING if frame.flags & ACK != 0 => self.pongs += 1,
            PING if self.acknowledges => self.send(self::frame(PING, ACK, 0, &frame.payload)),
            GOAWAY => self.goaways.push((number(0) & 0x7fff_ffff, number(4))),
            WINDOW_UPDATE if frame.stream == 0 => self.window += i64::from(number(0)),
            WINDOW_UPDATE => *self.windows.entry(frame.stream).or_insert(0) += i64::from(number(0)),
            _ => {}
        }
        Ok(())
    }

    fn headers(&mut self, frame: Frame) {
        let (flags, mut bytes) = match self.unfinished.take() {
            Some((_, flags, bytes)) => (flags, bytes),
            None => (frame.flags, Vec::new()),
        };
        assert_eq!(frame.flags & 0x28, 0, "neither padding nor priorities are understood");
        bytes.extend_from_slice(&frame.payload);
        if frame.flags & END_HEADERS == 0 {
            self.unfinished = Some((frame.stream, flags, bytes));
            return;
        }
        let fields = self.decoder.read(&bytes);
        self.streams.entry(frame.stream).or_default().heads.push(fields);
        self.note_end(&Frame { flags, ..frame });
    }

    fn note_end(&mut self, frame: &Frame) {
        if frame.flags & END_STREAM != 0 {
            self.streams.entry(frame.stream).or_default().ended = true;
            self.ended.push(frame.stream);
        }
    }

    /// The next frame, unfiled.
    pub(crate) fn frame(&mut self) -> Result<Frame, String> {
        self.fill(9)?;
        let head: [u8; 9] = self.received[..9].try_into().unwrap();
        let len = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
        self.fill(9 + len)?;
        let payload = self.received[9..9 + len].to_vec();
        self.received.drain(..9 + len);
        let stream = u32::from_be_bytes([head[5] & 0x7f, head[6], head[7], head[8]]);
        Ok(Frame { kind: head[3], flags: head[4], stream, payload })
    }

    /// Receives until so many bytes are here.
    pub(super) fn fill(&mut self, count: usize) -> Result<(), String> {
        while self.received.len() < count {
            let mut chunk = vec![0; 32 * 1024];
            match self.stream.read(&mut chunk) {
                Ok(0) => return Err("closed".into()),
                Ok(n) => self.received.extend_from_slice(&chunk[..n]),
                Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    return Err(SILENCE.into());
                }
                Err(e) if matches!(e.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe) => {
                    return Err("reset".into());
                }
                Err(e) => return Err(e.to_string()),
            }
        }
        Ok(())
    }

    /// Takes so many raw bytes.
    pub(crate) fn take(&mut self, count: usize) -> Vec<u8> {
        self.fill(count).unwrap();
        self.received.drain(..count).collect()
    }

    /// The socket, for what frames cannot do.
    pub(crate) fn socket(&self) -> &TcpStream {
        &self.stream
    }
}

impl Stream {
    /// The final head's status.
    pub(crate) fn status(&self) -> u16 {
        self.field(":status").and_then(|status| status.parse().ok()).unwrap_or(0)
    }

    /// The final head: the last one with a status, or a request's.
    pub(crate) fn final_head(&self) -> &Fields {
        let is_interim = |head: &&Fields| head.iter().any(|(n, v)| n == ":status" && v.starts_with('1'));
        self.heads.iter().find(|head| !is_interim(head)).expect("a final head")
    }

    /// A field of the final head, or of a request's, that must not be there twice.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        let mut values = self.final_head().iter().filter(|(n, _)| n == name).map(|(_, value)| value.as_str());
        let value = values.next();
        assert!(values.next().is_none(), "{name} occurs twice in {:?}", self.heads);
        value
    }

    /// What came behind the body.
    pub(crate) fn trailers(&self) -> Option<&Fields> {
        let trailers = self.heads.last()?;
        (!trailers.iter().any(|(name, _)| name.starts_with(':'))).then_some(trailers)
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    /// The reason word of an answer that the gateway made.
    pub(crate) fn reason(&self) -> String {
        let body: serde_json::Value =
            serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {:?}", self.text()));
        body["error"]["code"].as_str().unwrap().to_owned()
    }
}
