//! An open loop: requests are sent at a constant rate, whatever became of those before, and the time of each is
//! counted from the moment at which it was due. A target that stalls is not spared the requests that were to come
//! meanwhile, as it would be by a loop that waits for answers (coordinated omission).
//!
//! One thread makes the load and turns the origin, and never sleeps: what is measured is not how fast it wakes up. How
//! late it was with requests that could have been sent is recorded, so that a run in which it was shows.

mod latency;
mod rounds;
mod schedule;

use std::collections::VecDeque;
use std::fmt;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::answer::Head;
use crate::args::Url;
use crate::body::Body;
use crate::clock;
use crate::epoll::Epoll;
use crate::load::Errors;
use crate::message::Receiving;
use crate::origin::Origin;
use crate::process::{CpuTime, Family};

use latency::{Percentiles, Times};
pub(crate) use rounds::run as rounds;
use schedule::Schedule;

/// So long after the last request was due, answers are still waited for.
const PATIENCE: Duration = Duration::from_secs(5);
const ERRORS_MAX: u64 = 1_000;
/// Something came on a connection that owed no answer.
const UNASKED: &str = "bytes that nobody had asked for";

/// When requests are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pace {
    /// So many in each second.
    Rate(u64),
    /// The next as soon as the last of its connection has been answered: no open loop, but times are taken as other
    /// load generators take them.
    Closed,
}

/// What is to be done.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) connections: usize,
    pub(crate) pace: Pace,
    /// Bytes that each body must have; none: any, and the content is not compared either.
    pub(crate) length: Option<usize>,
    pub(crate) warm_up: Duration,
    pub(crate) window: Duration,
}

/// What came of the requests that were due in the window; errors also before.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// From the moment at which a request was due to the end of its answer.
    pub(crate) times: Times,
    /// From the moment at which a request was due to the one at which it was sent, if a connection was free.
    pub(crate) late: Times,
    /// Requests that had to wait for a connection: all were waiting for answers.
    pub(crate) held: u64,
    pub(crate) errors: Errors,
    /// From the first request that was due to the last answer.
    pub(crate) window: Duration,
    /// CPU time of the measured processes, if there are any.
    pub(crate) cpu: Option<CpuTime>,
}

#[expect(clippy::cast_precision_loss, reason = "counts of a run are far below 2^52")]
impl Outcome {
    pub(crate) fn per_second(&self) -> f64 {
        self.times.count() as f64 / self.window.as_secs_f64()
    }

    /// Microseconds of CPU per request.
    pub(crate) fn cpu_per_request(&self) -> Option<f64> {
        let cpu = self.cpu.filter(|_| self.times.count() > 0)?;
        Some(cpu.ran.as_secs_f64() * 1e6 / self.times.count() as f64)
    }

    /// How many of all requests had to wait for a connection.
    pub(crate) fn held_percent(&self) -> f64 {
        let all = self.held + self.late.count();
        if all == 0 { 0.0 } else { self.held as f64 * 100.0 / all as f64 }
    }

    pub(crate) fn busy_percent(&self) -> Option<f64> {
        Some(self.cpu?.ran.as_secs_f64() * 100.0 / self.window.as_secs_f64())
    }

    pub(crate) fn waited_percent(&self) -> Option<f64> {
        Some(self.cpu?.waited.as_secs_f64() * 100.0 / self.window.as_secs_f64())
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (count, errors, held) = (self.times.count(), self.errors.total(), self.held_percent());
        writeln!(out, "{count} requests, {:.0} per second, {errors} errors", self.per_second())?;
        for (why, count) in self.errors.iter() {
            writeln!(out, "  {count} x {why}")?;
        }
        for (title, times) in [("answered after", &self.times), ("sent late by", &self.late)] {
            if let Some(Percentiles { p50, p90, p99, p999, max }) = times.percentiles() {
                write!(out, "{title}, us: p50 {p50:.1}, p90 {p90:.1}, p99 {p99:.1}, ")?;
                writeln!(out, "p99.9 {p999:.1}, max {max:.1}")?;
            }
        }
        writeln!(out, "{held:.2} % had to wait for a connection")?;
        if let Some((cpu, busy)) = self.cpu_per_request().zip(self.busy_percent()) {
            writeln!(out, "{cpu:.2} us of CPU per request; busy {busy:.0} %")?;
        }
        Ok(())
    }
}

/// Runs an open loop on this thread, which turns the origin too, if it is given.
pub(crate) fn run(
    url: &Url,
    plan: &Plan,
    origin: Option<&mut Origin>,
    family: Option<&Family>,
) -> Result<Outcome> {
    ensure!(plan.pace != Pace::Rate(0) && plan.connections > 0, "a rate and connections are needed");
    let mut load = Load::open(url, plan, origin)?;
    load.follow(plan.warm_up)?;
    (load.outcome.times, load.outcome.late, load.outcome.held) = (Times::new()?, Times::new()?, 0);
    // Nothing is under way while the kernel is asked, so that its answer delays no request.
    let before = family.map(Family::cpu_time).transpose()?;
    load.outcome.window = load.follow(plan.window)?;
    let after = family.map(Family::cpu_time).transpose()?;
    load.outcome.cpu = before.zip(after).map(|(before, after)| after.since(before));
    Ok(load.outcome)
}

struct Load<'p> {
    url: &'p Url,
    plan: &'p Plan,
    origin: Option<&'p mut Origin>,
    request: Vec<u8>,
    body: Body,
    epoll: Epoll,
    ready: Vec<u64>,
    connections: Vec<Connection>,
    /// Connections without a request, the longest idle one first.
    free: VecDeque<usize>,
    /// Requests that are due and have not been sent.
    waiting: VecDeque<Due>,
    buffer: Vec<u8>,
    outcome: Outcome,
}

#[derive(Debug, Clone, Copy)]
struct Due {
    moment: Instant,
    /// It has to wait for a connection.
    is_held: bool,
}

#[derive(Debug)]
struct Connection {
    stream: TcpStream,
    receiving: Receiving,
    /// When the request that is under way was due.
    since: Option<Instant>,
}

impl<'p> Load<'p> {
    fn open(url: &'p Url, plan: &'p Plan, origin: Option<&'p mut Origin>) -> Result<Self> {
        let (late, times) = (Times::new()?, Times::new()?);
        let (errors, window) = (Errors::default(), Duration::ZERO);
        let mut load = Self {
            url,
            plan,
            origin,
            request: url.request(),
            body: Body::new(),
            epoll: Epoll::new()?,
            ready: Vec::new(),
            connections: Vec::new(),
            free: (0..plan.connections).collect(),
            waiting: VecDeque::new(),
            buffer: vec![0; 64 * 1024],
            outcome: Outcome { times, late, held: 0, errors, window, cpu: None },
        };
        for number in 0..plan.connections {
            let connection = load.connect(number)?;
            load.connections.push(connection);
        }
        Ok(load)
    }

    fn connect(&self, number: usize) -> Result<Connection> {
        let stream = TcpStream::connect(self.url.address).with_context(|| self.url.address.to_string())?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        self.epoll.add(&stream, u64::try_from(number)?)?;
        Ok(Connection { stream, receiving: Receiving::new(self.plan.length.is_some()), since: None })
    }

    /// Follows a schedule to its end, and to the last answer. How long that took.
    fn follow(&mut self, time: Duration) -> Result<Duration> {
        let start = clock::now();
        let (mut schedule, limit) = match self.plan.pace {
            Pace::Rate(rate) => (Some(Schedule::new(start, rate, time)), Duration::ZERO),
            // It sleeps until there is an answer, unless the origin is turned here too.
            Pace::Closed if self.origin.is_none() => (None, Duration::from_millis(20)),
            Pace::Closed => (None, Duration::ZERO),
        };
        let mut now = start;
        loop {
            let mut is_over = now - start >= time;
            if let Some(schedule) = &mut schedule {
                let due = std::iter::from_fn(|| schedule.due(now));
                self.waiting.extend(due.map(|moment| Due { moment, is_held: false }));
                is_over = schedule.is_over();
            } else if !is_over {
                let moment = clock::now();
                self.waiting.extend(self.free.iter().map(|_| Due { moment, is_held: false }));
            }
            self.send()?;
            if is_over && self.waiting.is_empty() && self.free.len() == self.connections.len() {
                return Ok(now - start);
            }
            if let Some(origin) = self.origin.as_mut() {
                origin.turn(Duration::ZERO)?;
            }
            self.turn(limit)?;
            now = clock::now();
            if now - start > time + PATIENCE {
                self.give_up()?;
            }
        }
    }

    /// Sends what is due, as far as connections are free.
    fn send(&mut self) -> Result<()> {
        while let Some(due) = self.waiting.front().copied()
            && let Some(number) = self.free.pop_front()
        {
            self.waiting.pop_front();
            let Some(connection) = self.connections.get_mut(number) else { continue };
            connection.since = Some(due.moment);
            if !due.is_held {
                self.outcome.late.add(clock::now() - due.moment);
            }
            // One small request at a time always fits into the socket's buffer.
            if connection.stream.write_all(&self.request).is_err() {
                self.fail(number, "a request could not be sent")?;
            }
        }
        for due in self.waiting.iter_mut().rev().take_while(|due| !due.is_held) {
            due.is_held = true;
            self.outcome.held += 1;
        }
        Ok(())
    }

    /// Reads what has come.
    fn turn(&mut self, limit: Duration) -> Result<()> {
        let mut ready = std::mem::take(&mut self.ready);
        self.epoll.wait(limit, &mut ready)?;
        for &number in &ready {
            let number = usize::try_from(number)?;
            let Some(connection) = self.connections.get_mut(number) else { continue };
            match connection.read(&mut self.buffer, &self.body) {
                Ok(None) => {}
                Ok(Some(head)) => self.answered(number, head)?,
                Err(why) => {
                    // A connection that owes nothing may be closed; it may not speak.
                    if connection.since.is_none() && why == UNASKED {
                        self.outcome.errors.add(UNASKED);
                    }
                    self.fail(number, &why)?;
                }
            }
        }
        self.ready = ready;
        Ok(())
    }

    fn answered(&mut self, number: usize, head: Head) -> Result<()> {
        let length = head.length.unwrap_or(0);
        if head.status != 200 {
            return self.fail(number, &format!("status {}", head.status));
        }
        if let Some(wanted) = self.plan.length.filter(|wanted| *wanted != length) {
            return self.fail(number, &format!("{length} bytes instead of {wanted}"));
        }
        if let Some(since) = self.connections.get_mut(number).and_then(|connection| connection.since.take()) {
            self.outcome.times.add(clock::now() - since);
            self.free.push_back(number);
        }
        if head.closes { self.reconnect(number) } else { Ok(()) }
    }

    /// The connection is of no more use; that is an error if it owed an answer.
    fn fail(&mut self, number: usize, why: &str) -> Result<()> {
        let Some(connection) = self.connections.get_mut(number) else { return Ok(()) };
        if connection.since.take().is_some() {
            self.free.push_back(number);
            self.outcome.errors.add(why);
            if self.outcome.errors.total() > ERRORS_MAX {
                bail!("too many errors: {:?}", self.outcome.errors);
            }
        }
        self.reconnect(number)
    }

    /// All that is still owed is an error.
    fn give_up(&mut self) -> Result<()> {
        let why = format!("no answer within {PATIENCE:?} of the end");
        for _ in self.waiting.drain(..) {
            self.outcome.errors.add(why.as_str());
        }
        for number in 0..self.connections.len() {
            if self.connections.get(number).is_some_and(|connection| connection.since.is_some()) {
                self.fail(number, &why)?;
            }
        }
        Ok(())
    }

    fn reconnect(&mut self, number: usize) -> Result<()> {
        let connection = self.connect(number)?;
        if let Some(slot) = self.connections.get_mut(number) {
            *slot = connection;
        }
        Ok(())
    }
}

impl Connection {
    /// The answer, once it is complete, and nothing behind it.
    fn read(&mut self, buffer: &mut [u8], body: &Body) -> Result<Option<Head>, String> {
        let read = match self.stream.read(buffer) {
            Ok(0) => return Err("closed without an answer".to_owned()),
            Ok(_) if self.since.is_none() => return Err(UNASKED.to_owned()),
            Ok(read) => read,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
            Err(error) => return Err(error.kind().to_string()),
        };
        let (taken, end) = self.receiving.take(buffer.get(..read).unwrap_or_default(), body)?;
        if taken < read {
            return Err("bytes behind the answer".to_owned());
        }
        Ok(end)
    }
}

#[cfg(test)]
mod tests;
