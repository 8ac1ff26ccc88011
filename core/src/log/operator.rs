//! The operator's log: what the gateway says about itself, on standard error. Written by a thread of its own,
//! so that a slow terminal stops neither a worker nor control; before [`start`] and after [`finish`] it is
//! written at once.

use std::fmt::Display;
use std::io::{self, Write};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};
use ringway_config::snapshot::{Level, Log, LogFormat};

use super::json;
use super::stamp::Stamp;
use crate::clock;

/// Lines on their way to the thread.
const QUEUED_LINES: usize = 1024;

/// The least important level that is written, by [`rank`].
static LEVEL: AtomicU8 = AtomicU8::new(rank(Level::Info));
/// Whether lines are JSON.
static JSON: AtomicBool = AtomicBool::new(true);
/// The way to the thread.
static QUEUE: OnceLock<Sender<Order>> = OnceLock::new();
/// Whether the thread takes lines.
static RUNNING: AtomicBool = AtomicBool::new(false);
/// Lines that found the queue full.
static DROPPED: AtomicU64 = AtomicU64::new(0);

enum Order {
    Line(Vec<u8>),
    Finish(Sender<()>),
}

/// Says something: an event word that stays the same, a sentence for people, and what belongs to it. Never
/// waits for the thread.
pub fn say(level: Level, event: &str, sentence: &str, fields: &[(&str, &dyn Display)]) {
    if rank(level) > LEVEL.load(Ordering::Relaxed) {
        return;
    }
    let mut line = Vec::with_capacity(256);
    let mut stamp = Stamp::default();
    let said = Said { stamp: stamp.text(clock::wall()), level, event, sentence, fields };
    if JSON.load(Ordering::Relaxed) {
        said.json(&mut line);
    } else {
        said.text(&mut line);
    }
    if RUNNING.load(Ordering::Acquire)
        && let Some(queue) = QUEUE.get()
    {
        if queue.try_send(Order::Line(line)).is_err() {
            DROPPED.fetch_add(1, Ordering::Relaxed);
        }
        return;
    }
    put(&line);
}

/// Sets level and format, at the start and at each reload.
pub fn configure(log: &Log) {
    LEVEL.store(rank(log.level), Ordering::Relaxed);
    JSON.store(log.format == LogFormat::Json, Ordering::Relaxed);
}

/// Starts the thread. A second call changes nothing.
pub fn start() -> io::Result<()> {
    let (queue, lines) = bounded(QUEUED_LINES);
    if QUEUE.set(queue).is_ok() {
        std::thread::Builder::new().name("operator-log".to_owned()).spawn(move || run(&lines))?;
        RUNNING.store(true, Ordering::Release);
    }
    Ok(())
}

/// Writes what is queued, waiting at most so long; what is said later is written at once.
pub fn finish(timeout: Duration) {
    if !RUNNING.swap(false, Ordering::AcqRel) {
        return;
    }
    let (done, finished) = bounded(1);
    if QUEUE.get().is_some_and(|queue| queue.send_timeout(Order::Finish(done), timeout).is_ok()) {
        // Ends by the word of the thread or by the timeout: either way there is no more to wait for.
        let _either = finished.recv_timeout(timeout);
    }
}

/// Lines that found the queue full.
pub fn dropped() -> u64 {
    DROPPED.load(Ordering::Relaxed)
}

fn run(orders: &Receiver<Order>) {
    while let Ok(order) = orders.recv() {
        match order {
            Order::Line(line) => put(&line),
            Order::Finish(done) => {
                let _gone = done.try_send(());
            }
        }
    }
}

fn put(line: &[u8]) {
    // There is nowhere left to report that standard error is gone.
    drop(io::stderr().lock().write_all(line));
}

struct Said<'a> {
    stamp: &'a [u8],
    level: Level,
    event: &'a str,
    sentence: &'a str,
    fields: &'a [(&'a str, &'a dyn Display)],
}

impl Said<'_> {
    fn json(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"timestamp\":");
        json::string(out, self.stamp);
        let fixed = [("level", word(self.level)), ("event", self.event), ("message", self.sentence)];
        for (name, value) in fixed {
            pair(out, name, value);
        }
        for (name, value) in self.fields {
            pair(out, name, &value.to_string());
        }
        out.extend_from_slice(b"}\n");
    }

    fn text(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.stamp);
        out.push(b' ');
        out.extend_from_slice(word(self.level).to_uppercase().as_bytes());
        out.push(b' ');
        for part in [self.event, " ", self.sentence] {
            one_line(out, part);
        }
        for (name, value) in self.fields {
            out.push(b' ');
            out.extend_from_slice(name.as_bytes());
            out.push(b'=');
            let value = value.to_string();
            if value.contains([' ', '"', '=']) || value.is_empty() {
                json::string(out, value.as_bytes());
            } else {
                one_line(out, &value);
            }
        }
        out.push(b'\n');
    }
}

/// Text for people: what would break or forge a line is escaped, quotes are not.
fn one_line(out: &mut Vec<u8>, text: &str) {
    for c in text.chars() {
        if c.is_control() {
            out.extend(c.escape_default().map(|c| u8::try_from(c).unwrap_or(b'?')));
        } else {
            out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
        }
    }
}

fn pair(out: &mut Vec<u8>, name: &str, value: &str) {
    out.push(b',');
    json::string(out, name.as_bytes());
    out.push(b':');
    json::string(out, value.as_bytes());
}

const fn rank(level: Level) -> u8 {
    match level {
        Level::Error => 0,
        Level::Warn => 1,
        Level::Info => 2,
        Level::Debug => 3,
    }
}

const fn word(level: Level) -> &'static str {
    match level {
        Level::Error => "error",
        Level::Warn => "warn",
        Level::Info => "info",
        Level::Debug => "debug",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said<'a>(sentence: &'a str, fields: &'a [(&'a str, &'a dyn Display)]) -> Said<'a> {
        Said { stamp: b"2026-11-20T13:11:58.042Z", level: Level::Warn, event: "dns.failed", sentence, fields }
    }

    #[test]
    fn json_is_one_object_a_line() {
        let mut out = Vec::new();
        said("no answer for \"db\"", &[("name", &"db"), ("tries", &3)]).json(&mut out);
        let expected = concat!(
            r#"{"timestamp":"2026-11-20T13:11:58.042Z","level":"warn","event":"dns.failed","#,
            r#""message":"no answer for \"db\"","name":"db","tries":"3"}"#,
            "\n"
        );
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn text_is_one_line_whatever_is_said() {
        let mut out = Vec::new();
        said("no \"answer\"\nat\x1b all", &[("name", &"a b"), ("tries", &3)]).text(&mut out);
        let text = String::from_utf8(out).unwrap();
        assert_eq!(
            text,
            "2026-11-20T13:11:58.042Z WARN dns.failed no \"answer\"\\nat\\u{1b} all name=\"a b\" tries=3\n"
        );
    }
}
