//! A closed loop: each connection sends its next request when the answer to the last has been checked.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::answer;
use crate::args::Url;
use crate::clock;
use crate::epoll::Epoll;
use crate::process::{self, CpuTime};

/// What a run is to do.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) connections: usize,
    /// Before the window opens.
    pub(crate) warm_up: Duration,
    /// While requests and CPU time are counted.
    pub(crate) window: Duration,
    /// Bytes that each body must have; none: any.
    pub(crate) length: Option<usize>,
}

/// What came of it, within the window.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) requests: u64,
    pub(crate) errors: Errors,
    window: Duration,
    /// CPU time of the measured process, if one was named.
    cpu: Option<CpuTime>,
}

/// What went wrong, in the window or before, and how often.
#[derive(Debug, Default)]
pub(crate) struct Errors(BTreeMap<String, u64>);

impl Errors {
    fn add(&mut self, why: impl Into<String>) {
        *self.0.entry(why.into()).or_default() += 1;
    }

    pub(crate) fn total(&self) -> u64 {
        self.0.values().sum()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, u64)> {
        self.0.iter().map(|(why, count)| (why.as_str(), *count))
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts of a run are far below 2^52")]
impl Outcome {
    pub(crate) fn per_second(&self) -> f64 {
        self.requests as f64 / self.window.as_secs_f64()
    }

    /// Nanoseconds.
    pub(crate) fn cpu_per_request(&self) -> Option<f64> {
        let cpu = self.cpu.filter(|_| self.requests > 0)?;
        Some(cpu.ran.as_secs_f64() * 1e9 / self.requests as f64)
    }

    /// How much of one CPU the process used.
    pub(crate) fn busy_percent(&self) -> Option<f64> {
        Some(self.percent(self.cpu?.ran))
    }

    /// How much of the window the process would have run, had others not had the CPU.
    pub(crate) fn waited_percent(&self) -> Option<f64> {
        Some(self.percent(self.cpu?.waited))
    }

    fn percent(&self, part: Duration) -> f64 {
        part.as_secs_f64() * 100.0 / self.window.as_secs_f64()
    }
}

/// One connection of the load.
#[derive(Debug)]
struct Connection {
    stream: TcpStream,
    /// What has come of the current answer.
    input: Vec<u8>,
}

/// Runs the loop on this thread; `pid` names the process whose CPU time is read.
pub(crate) fn run(url: &Url, plan: &Plan, pid: Option<u32>) -> Result<Outcome> {
    let mut load = Load::open(url, plan)?;
    load.turn_for(plan.warm_up)?;
    load.outcome.requests = 0;
    let before = pid.map(process::cpu_time).transpose()?;
    let start = clock::now();
    load.turn_for(plan.window)?;
    load.outcome.window = start.elapsed();
    let after = pid.map(process::cpu_time).transpose()?;
    load.outcome.cpu = before.zip(after).map(|(before, after)| after.since(before));
    Ok(load.outcome)
}

struct Load<'p> {
    url: &'p Url,
    plan: &'p Plan,
    request: Vec<u8>,
    epoll: Epoll,
    connections: Vec<Connection>,
    buffer: Vec<u8>,
    outcome: Outcome,
}

impl<'p> Load<'p> {
    fn open(url: &'p Url, plan: &'p Plan) -> Result<Self> {
        let (request, epoll) = (url.request(), Epoll::new()?);
        let (outcome, buffer) = (Outcome::default(), vec![0; 64 * 1024]);
        let mut load = Self { url, plan, request, epoll, connections: Vec::new(), buffer, outcome };
        for number in 0..plan.connections {
            let connection = load.connect(number)?;
            load.connections.push(connection);
        }
        Ok(load)
    }

    /// A connection with its first request sent.
    fn connect(&self, number: usize) -> Result<Connection> {
        let stream = TcpStream::connect(self.url.address).with_context(|| self.url.address.to_string())?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        self.epoll.add(&stream, u64::try_from(number)?)?;
        let mut connection = Connection { stream, input: Vec::with_capacity(2048) };
        connection.send(&self.request)?;
        Ok(connection)
    }

    fn turn_for(&mut self, time: Duration) -> Result<()> {
        let start = clock::now();
        let mut ready = Vec::new();
        while start.elapsed() < time {
            self.epoll.wait(Duration::from_millis(100), &mut ready)?;
            for &number in &ready {
                self.turn(usize::try_from(number)?)?;
            }
        }
        Ok(())
    }

    /// One connection can be read.
    fn turn(&mut self, number: usize) -> Result<()> {
        let Some(connection) = self.connections.get_mut(number) else { return Ok(()) };
        let why = match connection.read(&mut self.buffer) {
            Ok(None) => return Ok(()),
            Ok(Some(answer)) => match self.plan.length {
                _ if answer.status != 200 => format!("status {}", answer.status),
                Some(length) if answer.length != length => {
                    format!("{} bytes instead of {length}", answer.length)
                }
                _ => {
                    self.outcome.requests += 1;
                    if !answer.closes && connection.send(&self.request).is_ok() {
                        return Ok(());
                    }
                    // An announced close is no error; a failed send shows at the next read.
                    return self.reconnect(number);
                }
            },
            Err(why) => why,
        };
        self.outcome.errors.add(why);
        if self.outcome.errors.total() > 10_000 {
            bail!("too many errors: {:?}", self.outcome.errors);
        }
        self.reconnect(number)
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
    fn send(&mut self, request: &[u8]) -> Result<()> {
        // One small request at a time always fits into the socket's buffer.
        self.stream.write_all(request).context("a request could not be sent")
    }

    /// The answer, once it is complete, and nothing behind it.
    fn read(&mut self, buffer: &mut [u8]) -> Result<Option<answer::Answer>, String> {
        let read = match self.stream.read(buffer) {
            Ok(0) => return Err("closed without an answer".to_owned()),
            Ok(read) => read,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
            Err(error) => return Err(error.kind().to_string()),
        };
        self.input.extend_from_slice(buffer.get(..read).unwrap_or_default());
        let answer = answer::parse(&self.input).map_err(str::to_owned)?;
        let Some(found) = answer else { return Ok(None) };
        if found.wire_bytes != self.input.len() {
            return Err("bytes behind the answer".to_owned());
        }
        self.input.clear();
        Ok(answer)
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddr};

    use super::*;
    use crate::origin;

    #[test]
    fn only_answers_of_the_right_length_are_counted() {
        let origin = origin::start(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), 500).unwrap();
        let url = Url::root(origin.address());
        let time = Duration::from_millis(50);
        let mut plan = Plan { connections: 4, warm_up: time, window: time, length: Some(500) };
        let outcome = run(&url, &plan, Some(std::process::id())).unwrap();
        assert!(outcome.requests > 0 && outcome.errors.total() == 0, "{outcome:?}");
        assert!(outcome.cpu_per_request().unwrap() > 0.0, "{outcome:?}");
        plan.length = Some(501);
        let outcome = run(&url, &plan, None);
        let (counted, refused) = match &outcome {
            Ok(outcome) => (outcome.requests, outcome.errors.total()),
            Err(_) => (0, 1),
        };
        assert!(counted == 0 && refused > 0, "{outcome:?}");
    }
}
