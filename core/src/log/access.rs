//! The access log: a worker formats a line into its batch; a helper thread writes batches. A worker never
//! waits: what does not fit is dropped and counted.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use ringway_config::snapshot::AccessSink;

use super::json;
use super::stamp::Stamp;
use super::writer::{self, Order};
use crate::clock;

/// When each stage of an exchange ended, in microseconds since the head's first byte; `None`: it did not
/// happen.
#[derive(Debug, Clone, Copy, Default)]
pub struct Stages {
    /// How long the TLS handshake took, which was before all others; `None` but for a connection's first request.
    pub tls_us: Option<u32>,
    /// The head was complete.
    pub head_us: u32,
    /// Route found and request filters done.
    pub filters_us: u32,
    /// A connection to the endpoint was at hand (pooled or new).
    pub connect_us: Option<u32>,
    /// The request was handed to the endpoint: head, and the body if it was there.
    pub sent_us: Option<u32>,
    /// The response head had come.
    pub first_byte_us: Option<u32>,
    /// All was done.
    pub total_us: u32,
}

/// What an access line says.
#[derive(Debug, Clone, Copy)]
pub struct AccessRecord<'a> {
    /// The request id.
    pub request_id: &'a str,
    /// The client's address.
    pub client_ip: IpAddr,
    /// The listener's name.
    pub listener: &'a str,
    /// The method.
    pub method: &'a str,
    /// The target as sent.
    pub target: &'a str,
    /// The host.
    pub host: &'a str,
    /// `HTTP/1.0` or `HTTP/1.1`.
    pub protocol: &'static str,
    /// The version of TLS, or empty.
    pub tls: &'static str,
    /// The name that the client asked for in its handshake, or empty.
    pub sni: &'a str,
    /// Whether that went on with an earlier session; `None` without TLS.
    pub resumed: Option<bool>,
    /// The route, or empty.
    pub route: &'a str,
    /// The upstream, or empty.
    pub upstream: &'a str,
    /// The endpoint of the last attempt, or empty.
    pub endpoint: &'a str,
    /// How many attempts.
    pub attempts: u32,
    /// The status sent; 0 when none was.
    pub status: u16,
    /// The reason word, when the gateway answered itself or cut the exchange.
    pub reason: Option<&'static str>,
    /// Request bytes, head included.
    pub bytes_in: u64,
    /// Response bytes, head included.
    pub bytes_out: u64,
    /// `User-Agent`; at most [`FIELD_BYTES_MAX`] bytes of it are written.
    pub user_agent: &'a [u8],
    /// `Referer`, likewise.
    pub referer: &'a [u8],
    /// The stages.
    pub stages: Stages,
}

/// Bytes of a client's field that a line takes over, so that a client does not decide how much disk a request costs.
pub const FIELD_BYTES_MAX: usize = 1024;

/// Bytes that make a batch full.
const BATCH_BYTES: usize = 32 * 1024;
/// A batch's memory that is worth keeping; one that long lines have made larger is given back.
pub(super) const BATCH_MEMORY_MAX: usize = 2 * BATCH_BYTES;
/// Batches on their way to the writer, over all workers: 8 MB at most.
const QUEUED_BATCHES: usize = 256;

/// Lines on their way to the writer.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) bytes: Vec<u8>,
    pub(super) lines: u32,
}

/// What the workers, the writer and control share: written when the sink changes or a write fails, so read
/// for nothing.
#[derive(Debug, Default)]
pub(super) struct Shared {
    /// Whether lines are wanted.
    pub(super) on: AtomicBool,
    /// Lines that could not be written (a full disk).
    pub(super) lost: AtomicU64,
}

/// A worker's end of the access log.
#[derive(Debug)]
pub struct AccessLog {
    shared: Arc<Shared>,
    batch: Batch,
    stamp: Stamp,
    orders: Sender<Order>,
    empties: Receiver<Vec<u8>>,
}

/// The writer thread's handle.
#[derive(Debug)]
pub struct AccessWriter {
    shared: Arc<Shared>,
    orders: Sender<Order>,
    empties: Receiver<Vec<u8>>,
}

/// A sink that has been opened.
#[derive(Debug)]
pub struct OpenSink {
    wanted: bool,
    output: writer::Output,
}

impl AccessWriter {
    /// Starts the thread for a sink; a file that cannot be opened is an error.
    pub fn start(sink: &AccessSink) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        shared.on.store(*sink != AccessSink::Off, Ordering::Relaxed);
        let (orders, inbox) = bounded(QUEUED_BATCHES);
        let (used, empties) = bounded(QUEUED_BATCHES);
        let output = writer::open(sink)?;
        let seen = Arc::clone(&shared);
        std::thread::Builder::new()
            .name("access-log".to_owned())
            .spawn(move || writer::run(output, &inbox, &used, &seen))?;
        Ok(Self { shared, orders, empties })
    }

    /// A worker's end; `Send`.
    pub fn log(&self) -> AccessLog {
        AccessLog {
            shared: Arc::clone(&self.shared),
            batch: Batch::default(),
            stamp: Stamp::default(),
            orders: self.orders.clone(),
            empties: self.empties.clone(),
        }
    }

    /// Opens another sink, so that an error is the caller's before anything has changed. It may be slow, so
    /// not on a worker.
    pub fn open(sink: &AccessSink) -> io::Result<OpenSink> {
        Ok(OpenSink { wanted: *sink != AccessSink::Off, output: writer::open(sink)? })
    }

    /// Goes on with another sink.
    pub fn redirect(&self, sink: OpenSink) -> io::Result<()> {
        self.shared.on.store(sink.wanted, Ordering::Relaxed);
        self.order(Order::Redirect(sink.output))
    }

    /// Opens the file again, because it was moved away.
    pub fn reopen(&self) -> io::Result<()> {
        self.order(Order::Reopen)
    }

    /// Lines that could not be written.
    pub fn lost(&self) -> u64 {
        self.shared.lost.load(Ordering::Relaxed)
    }

    /// Writes what is queued and ends, waiting at most so long. Workers must have flushed before.
    pub fn finish(&self, timeout: Duration) {
        let (done, finished) = bounded(1);
        if self.orders.send_timeout(Order::Finish(done), timeout).is_ok() {
            // By the thread's word or by the timeout: either way there is no more to wait for.
            let _either = finished.recv_timeout(timeout);
        }
    }

    fn order(&self, order: Order) -> io::Result<()> {
        self.orders.try_send(order).map_err(|_| io::Error::other("the access log's writer is behind"))
    }
}

impl AccessLog {
    /// Whether lines are written at all.
    pub fn is_on(&self) -> bool {
        self.shared.on.load(Ordering::Relaxed)
    }

    /// Adds a line to the batch; hands the batch over when it is full. Says how many lines were dropped.
    pub fn write(&mut self, record: &AccessRecord<'_>) -> u32 {
        if !self.is_on() {
            return 0;
        }
        let stamp = self.stamp.text(clock::wall());
        format(&mut self.batch.bytes, stamp, record);
        self.batch.lines += 1;
        if self.batch.bytes.len() >= BATCH_BYTES { self.flush() } else { 0 }
    }

    /// Hands the batch over; called by the worker some ten times a second and at its end. Says how many lines
    /// were dropped.
    pub fn flush(&mut self) -> u32 {
        if self.batch.lines == 0 {
            return 0;
        }
        let empty =
            self.empties.try_recv().unwrap_or_else(|_| Vec::with_capacity(BATCH_BYTES + BATCH_BYTES / 8));
        let full = std::mem::replace(&mut self.batch, Batch { bytes: empty, lines: 0 });
        match self.orders.try_send(Order::Write(full)) {
            Err(TrySendError::Full(Order::Write(full)) | TrySendError::Disconnected(Order::Write(full))) => {
                // The memory is kept for the next lines.
                let lines = full.lines;
                self.batch.bytes = full.bytes;
                self.batch.bytes.clear();
                lines
            }
            Ok(()) | Err(_) => 0,
        }
    }
}

/// Appends one line: an object whose names do not change.
fn format(out: &mut Vec<u8>, stamp: &[u8], record: &AccessRecord<'_>) {
    out.extend_from_slice(b"{\"timestamp\":\"");
    out.extend_from_slice(stamp);
    out.extend_from_slice(b"\",\"message\":\"request\"");
    text(out, "request_id", record.request_id.as_bytes());
    out.extend_from_slice(b",\"ip\":\"");
    address(out, record.client_ip);
    out.push(b'"');
    text(out, "listener", record.listener.as_bytes());
    text(out, "method", record.method.as_bytes());
    text(out, "path", record.target.as_bytes());
    text(out, "host", record.host.as_bytes());
    text(out, "protocol", record.protocol.as_bytes());
    text(out, "tls", record.tls.as_bytes());
    text(out, "sni", record.sni.as_bytes());
    name(out, "resumed");
    out.extend_from_slice(match record.resumed {
        None => b"null",
        Some(false) => b"false",
        Some(true) => b"true",
    });
    text(out, "route", record.route.as_bytes());
    text(out, "upstream", record.upstream.as_bytes());
    text(out, "endpoint", record.endpoint.as_bytes());
    number(out, "attempts", record.attempts.into());
    number(out, "status", record.status.into());
    text(out, "reason", record.reason.unwrap_or_default().as_bytes());
    number(out, "bytes_in", record.bytes_in);
    number(out, "bytes_out", record.bytes_out);
    text(out, "user_agent", within(record.user_agent));
    text(out, "referer", within(record.referer));
    let stages = &record.stages;
    maybe(out, "tls_us", stages.tls_us);
    number(out, "head_us", stages.head_us.into());
    number(out, "filters_us", stages.filters_us.into());
    maybe(out, "connect_us", stages.connect_us);
    maybe(out, "sent_us", stages.sent_us);
    maybe(out, "first_byte_us", stages.first_byte_us);
    number(out, "total_us", stages.total_us.into());
    milliseconds(out, stages.total_us);
    out.extend_from_slice(b"}\n");
}

/// The first bytes of a field.
fn within(value: &[u8]) -> &[u8] {
    value.get(..FIELD_BYTES_MAX).unwrap_or(value)
}

fn name(out: &mut Vec<u8>, name: &str) {
    out.extend_from_slice(b",\"");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
}

fn text(out: &mut Vec<u8>, field: &str, value: &[u8]) {
    name(out, field);
    json::string(out, value);
}

fn number(out: &mut Vec<u8>, field: &str, value: u64) {
    name(out, field);
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

fn maybe(out: &mut Vec<u8>, field: &str, value: Option<u32>) {
    if let Some(value) = value {
        number(out, field, value.into());
    } else {
        name(out, field);
        out.extend_from_slice(b"null");
    }
}

/// `duration_ms`, with the microseconds as decimals.
fn milliseconds(out: &mut Vec<u8>, micros: u32) {
    number(out, "duration_ms", u64::from(micros / 1000));
    let rest = micros % 1000;
    out.push(b'.');
    for digit in [rest / 100, rest / 10 % 10, rest % 10] {
        out.push(b'0' + u8::try_from(digit).unwrap_or(0));
    }
}

/// An address by hand for IPv4, which is most of them; the standard form for IPv6.
fn address(out: &mut Vec<u8>, ip: IpAddr) {
    match ip {
        IpAddr::V4(v4) => {
            for (at, octet) in v4.octets().into_iter().enumerate() {
                if at > 0 {
                    out.push(b'.');
                }
                out.extend_from_slice(itoa::Buffer::new().format(octet).as_bytes());
            }
        }
        IpAddr::V6(v6) => {
            // Writing to a Vec cannot fail.
            let _infallible = io::Write::write_fmt(out, format_args!("{v6}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> AccessRecord<'static> {
        AccessRecord {
            request_id: "r-1",
            client_ip: "192.0.2.10".parse().unwrap(),
            listener: "http",
            method: "GET",
            target: "/a\"b?q=1",
            host: "example.com",
            protocol: "HTTP/1.1",
            tls: "TLSv1.3",
            sni: "example.com",
            resumed: Some(false),
            route: "api",
            upstream: "users",
            endpoint: "127.0.0.1:3000",
            attempts: 1,
            status: 200,
            reason: None,
            bytes_in: 80,
            bytes_out: 1234,
            user_agent: b"curl\xff",
            referer: b"",
            stages: Stages {
                tls_us: None,
                head_us: 1,
                filters_us: 2,
                connect_us: Some(3),
                sent_us: None,
                first_byte_us: Some(40),
                total_us: 12_045,
            },
        }
    }

    fn temporary(name: &str) -> std::path::PathBuf {
        let folder = std::env::temp_dir().join(format!("ringway-access-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        folder.join("access.log")
    }

    #[test]
    fn a_line_is_one_object_with_every_field() {
        let mut out = Vec::new();
        format(&mut out, b"2026-11-20T13:11:58.042Z", &record());
        let expected = concat!(
            r#"{"timestamp":"2026-11-20T13:11:58.042Z","message":"request","request_id":"r-1","ip":"192.0.2.10","#,
            r#""listener":"http","method":"GET","path":"/a\"b?q=1","host":"example.com","protocol":"HTTP/1.1","#,
            r#""tls":"TLSv1.3","sni":"example.com","resumed":false,"#,
            r#""route":"api","upstream":"users","endpoint":"127.0.0.1:3000","attempts":1,"status":200,"reason":"","#,
            r#""bytes_in":80,"bytes_out":1234,"user_agent":"curl\u00ff","referer":"","tls_us":null,"#,
            r#""head_us":1,"filters_us":2,"#,
            r#""connect_us":3,"sent_us":null,"first_byte_us":40,"total_us":12045,"duration_ms":12.045}"#,
            "\n"
        );
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn a_long_field_is_cut() {
        for (length, written) in [(FIELD_BYTES_MAX, FIELD_BYTES_MAX), (FIELD_BYTES_MAX + 1, FIELD_BYTES_MAX)]
        {
            let (mut out, agent) = (Vec::new(), vec![b'~'; length]);
            format(&mut out, b"", &AccessRecord { user_agent: &agent, ..record() });
            assert_eq!(out.split(|byte| *byte == b'~').count() - 1, written);
        }
    }

    #[test]
    fn what_was_flushed_is_in_the_file_after_the_end() {
        let path = temporary("flushed");
        let writer = AccessWriter::start(&AccessSink::File(path.clone())).unwrap();
        let mut log = writer.log();
        assert_eq!(log.write(&record()) + log.write(&record()) + log.flush(), 0);
        writer.finish(Duration::from_secs(10));
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text.lines().count(), 2);
        assert!(text.ends_with("}\n"));
        std::fs::remove_dir_all(path.parent().unwrap()).unwrap();
    }

    #[test]
    fn a_file_moved_away_is_opened_again() {
        let path = temporary("moved");
        let old = path.with_extension("1");
        let writer = AccessWriter::start(&AccessSink::File(path.clone())).unwrap();
        let mut log = writer.log();
        log.write(&record());
        log.flush();
        std::fs::rename(&path, &old).unwrap();
        writer.reopen().unwrap();
        log.write(&record());
        log.flush();
        writer.finish(Duration::from_secs(10));
        assert!(path.exists(), "the new file");
        let lines = |path| std::fs::read_to_string(path).unwrap().lines().count();
        assert_eq!(lines(&old) + lines(&path), 2);
        assert_eq!(lines(&path), 1);
        std::fs::remove_dir_all(path.parent().unwrap()).unwrap();
    }

    #[test]
    fn when_off_nothing_is_formatted_until_a_sink_comes() {
        let path = temporary("off");
        let writer = AccessWriter::start(&AccessSink::Off).unwrap();
        let mut log = writer.log();
        log.write(&record());
        assert_eq!(log.batch.bytes.capacity(), 0);
        writer.redirect(AccessWriter::open(&AccessSink::File(path.clone())).unwrap()).unwrap();
        log.write(&record());
        log.flush();
        writer.finish(Duration::from_secs(10));
        assert_eq!(std::fs::read_to_string(&path).unwrap().lines().count(), 1);
        std::fs::remove_dir_all(path.parent().unwrap()).unwrap();
    }

    #[test]
    fn lines_that_find_the_queue_full_are_dropped_and_counted() {
        let (orders, _kept) = bounded(1);
        let (_emptied, empties) = bounded(1);
        let shared = Arc::new(Shared::default());
        shared.on.store(true, Ordering::Relaxed);
        let mut log = AccessLog { shared, batch: Batch::default(), stamp: Stamp::default(), orders, empties };
        log.write(&record());
        assert_eq!(log.flush(), 0);
        log.write(&record());
        log.write(&record());
        assert_eq!(log.flush(), 2);
        assert!(log.batch.bytes.is_empty());
    }

    #[test]
    fn the_file_dev_full_costs_lines_and_not_the_log() {
        let writer = AccessWriter::start(&AccessSink::File("/dev/full".into())).unwrap();
        let mut log = writer.log();
        log.write(&record());
        log.flush();
        let shared = Arc::clone(&writer.shared);
        writer.finish(Duration::from_secs(10));
        assert_eq!(shared.lost.load(Ordering::Relaxed), 1);
    }
}
