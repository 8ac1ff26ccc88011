//! A closed loop: each connection sends its next request when the answer to the last has been checked.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::net::RecvFlags;

use crate::answer::Head;
use crate::args::Url;
use crate::body::Body;
use crate::epoll::Epoll;
use crate::line::{Got, Line};
use crate::message::{Message, Receiving, Sending};
use crate::tls::{Client, Session};

/// Of a large body, one read in so many is compared; the others are counted and left in the kernel.
const SAMPLE: usize = 8;
/// A body is sampled if it is larger; this is also the most that is read at once.
const LARGE: usize = 256 * 1024;
pub(crate) const ERRORS_MAX: u64 = 1_000;

/// What the requests of a run are, and what their answers must be.
#[derive(Debug, Clone, Default)]
pub(crate) struct Plan {
    pub(crate) connections: usize,
    /// Bytes that each request posts; 0: a GET.
    pub(crate) posts: usize,
    /// Paths that are asked for in turn; none: the URL's.
    pub(crate) paths: Vec<String>,
    /// Whether a connection serves more than one request.
    pub(crate) reuse: bool,
    /// Bytes that each body must have; none: any, and the content is not compared either.
    pub(crate) length: Option<usize>,
    /// Streams on each connection; 0: HTTP/1.1.
    pub(crate) streams: usize,
    /// Whether bodies are gRPC messages; only of HTTP/2.
    pub(crate) grpc: bool,
    /// None: in clear.
    pub(crate) tls: Option<Client>,
}

/// What came of it since the last look.
#[derive(Debug, Default, Clone)]
pub(crate) struct Tally {
    pub(crate) requests: u64,
    /// Of these on a connection of their own, how many resumed a TLS session.
    pub(crate) resumed: u64,
    /// Of bodies, in both directions, as they were sent or received.
    pub(crate) bytes: u64,
    pub(crate) errors: Errors,
}

/// What went wrong, and how often.
#[derive(Debug, Default, Clone)]
pub(crate) struct Errors(BTreeMap<String, u64>);

impl Errors {
    pub(crate) fn add(&mut self, why: impl Into<String>) {
        *self.0.entry(why.into()).or_default() += 1;
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        for (why, count) in &other.0 {
            *self.0.entry(why.clone()).or_default() += count;
        }
    }

    pub(crate) fn total(&self) -> u64 {
        self.0.values().sum()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, u64)> {
        self.0.iter().map(|(why, count)| (why.as_str(), *count))
    }
}

/// The connections of a run. They are closed when it is dropped.
pub(crate) struct Load<'p> {
    url: &'p Url,
    plan: &'p Plan,
    requests: Vec<Message>,
    body: Body,
    epoll: Epoll,
    ready: Vec<u64>,
    connections: Vec<Connection>,
    buffer: Vec<u8>,
    pub(crate) tally: Tally,
}

/// One connection of the load.
#[derive(Debug)]
struct Connection {
    line: Line,
    /// Which of the requests is under way.
    request: usize,
    sending: Sending,
    is_sent: bool,
    waits_for_room: bool,
    receiving: Receiving,
    /// Reads of the present body.
    reads: usize,
    /// The checked answer, while its connection's end is waited for.
    last: Option<Head>,
}

/// What a turn of a connection led to.
enum Turn {
    Waits,
    Answered(Head),
    /// The answer and then the end, as agreed.
    Ended(Head),
}

impl Plan {
    /// What is wrong with a complete answer, if anything.
    fn is_wrong(&self, head: Head) -> Option<String> {
        match (self.length, head.length.unwrap_or(0)) {
            _ if head.status != 200 => Some(format!("status {}", head.status)),
            (Some(wanted), length) if length != wanted => Some(format!("{length} bytes instead of {wanted}")),
            _ => None,
        }
    }
}

impl<'p> Load<'p> {
    /// Opens all connections, each with its first request sent.
    pub(crate) fn open(url: &'p Url, plan: &'p Plan) -> Result<Self> {
        let body = Body::new();
        let paths = if plan.paths.is_empty() { vec![url.path.clone()] } else { plan.paths.clone() };
        let requests = paths.iter().map(|path| request(url, plan, path, &body)).collect();
        let mut load = Self {
            url,
            plan,
            requests,
            body,
            epoll: Epoll::new()?,
            ready: Vec::new(),
            connections: Vec::new(),
            buffer: vec![0; LARGE],
            tally: Tally::default(),
        };
        for number in 0..plan.connections {
            let connection = load.connect(number, number)?;
            load.connections.push(connection);
        }
        Ok(load)
    }

    /// Waits for answers at most this long and deals with them. How much there was.
    pub(crate) fn turn(&mut self, limit: Duration) -> Result<usize> {
        let mut ready = std::mem::take(&mut self.ready);
        self.epoll.wait(limit, &mut ready)?;
        for &number in &ready {
            self.turn_one(usize::try_from(number)?)?;
        }
        let count = ready.len();
        self.ready = ready;
        Ok(count)
    }

    fn connect(&mut self, number: usize, request: usize) -> Result<Connection> {
        let line = Line::connect(self.url.address, self.plan.tls.as_ref())
            .with_context(|| self.url.address.to_string())?;
        if self.plan.reuse {
            line.socket().set_nodelay(true)?;
        }
        self.epoll.add(line.socket(), u64::try_from(number)?)?;
        let mut connection = Connection {
            line,
            request: request % self.requests.len(),
            sending: Sending::default(),
            is_sent: false,
            waits_for_room: false,
            receiving: Receiving::new(self.plan.length.is_some()),
            reads: 0,
            last: None,
        };
        // A failure shows at the first read.
        let _ = connection.send(&self.requests, &self.body, self.plan, &mut self.tally);
        connection.watch_room(&self.epoll, number)?;
        Ok(connection)
    }

    fn turn_one(&mut self, number: usize) -> Result<()> {
        let Some(connection) = self.connections.get_mut(number) else { return Ok(()) };
        let turned = connection
            .send(&self.requests, &self.body, self.plan, &mut self.tally)
            .and_then(|()| connection.read(&mut self.buffer, &self.body, self.plan, &mut self.tally));
        let is_resumed = connection.line.session().and_then(Session::is_resumed) == Some(true);
        let next = connection.request + self.plan.connections;
        let wrong = match &turned {
            Ok(Turn::Answered(head) | Turn::Ended(head)) => self.plan.is_wrong(*head),
            Ok(Turn::Waits) | Err(_) => None,
        };
        let why = match (wrong, turned) {
            (Some(why), _) | (None, Err(why)) => why,
            (None, Ok(Turn::Waits)) => {
                // What was read may have been the end of a handshake. A failure shows at the next read.
                let _ = connection.send(&self.requests, &self.body, self.plan, &mut self.tally);
                return connection.watch_room(&self.epoll, number);
            }
            (None, Ok(Turn::Answered(head))) if !head.closes => {
                self.tally.requests += 1;
                connection.request = next % self.requests.len();
                connection.is_sent = false;
                // A failure shows at the next read.
                let _ = connection.send(&self.requests, &self.body, self.plan, &mut self.tally);
                return connection.watch_room(&self.epoll, number);
            }
            // An announced end is no error.
            (None, Ok(Turn::Answered(_) | Turn::Ended(_))) => {
                self.tally.requests += 1;
                self.tally.resumed += u64::from(is_resumed);
                return self.reconnect(number, next);
            }
        };
        self.tally.errors.add(why);
        if self.tally.errors.total() > ERRORS_MAX {
            bail!("too many errors: {:?}", self.tally.errors);
        }
        self.reconnect(number, next)
    }

    fn reconnect(&mut self, number: usize, request: usize) -> Result<()> {
        let connection = self.connect(number, request)?;
        if let Some(slot) = self.connections.get_mut(number) {
            *slot = connection;
        }
        Ok(())
    }
}

impl AsFd for Load<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }
}

impl Connection {
    /// Goes on with the request, unless all of it has been sent.
    fn send(
        &mut self,
        requests: &[Message],
        body: &Body,
        plan: &Plan,
        tally: &mut Tally,
    ) -> Result<(), String> {
        let Some(request) = requests.get(self.request).filter(|_| !self.is_sent) else { return Ok(()) };
        let before = self.sending.sent();
        self.is_sent =
            self.sending.turn(&mut self.line, request, body).map_err(|error| error.kind().to_string())?;
        if plan.posts > 0 {
            let now = if self.is_sent { request.whole() } else { self.sending.sent() };
            tally.bytes += u64::try_from(now - before).unwrap_or(0);
        }
        Ok(())
    }

    fn watch_room(&mut self, epoll: &Epoll, number: usize) -> Result<()> {
        // A request that waits for a handshake waits for what is to be read.
        let watches = self.line.wants_room() || (self.line.is_open() && !self.is_sent);
        if self.waits_for_room != watches {
            self.waits_for_room = watches;
            epoll.watch_room(self.line.socket(), u64::try_from(number)?, watches)?;
        }
        Ok(())
    }

    /// Reads once.
    fn read(
        &mut self,
        buffer: &mut [u8],
        body: &Body,
        plan: &Plan,
        tally: &mut Tally,
    ) -> Result<Turn, String> {
        let is_sampled = self.receiving.rest() > LARGE && {
            self.reads += 1;
            !self.reads.is_multiple_of(SAMPLE)
        };
        if is_sampled && self.line.is_clear() {
            return self.skip(buffer, tally);
        }
        let Self { line, receiving, last, .. } = self;
        let mut answered = None;
        let got = line.read(buffer, |input| {
            if last.is_some() || answered.is_some() {
                return Err("bytes behind the answer".to_owned());
            }
            answered = take(receiving, input, body, is_sampled, tally)?;
            Ok(())
        })?;
        match (answered, got) {
            (Some(head), _) if plan.reuse => return Ok(Turn::Answered(head)),
            (Some(head), Got::Something | Got::Nothing) => self.last = Some(head),
            (Some(head), Got::End) => return Ok(Turn::Ended(head)),
            (None, Got::End) => return self.ended(),
            (None, Got::Something | Got::Nothing) => {}
        }
        Ok(Turn::Waits)
    }

    /// Lets the kernel throw bytes of a large body away, and counts them.
    fn skip(&mut self, buffer: &mut [u8], tally: &mut Tally) -> Result<Turn, String> {
        // Less than the rest: a body's end is always read.
        match rustix::net::recv(self.line.socket(), buffer, RecvFlags::TRUNC) {
            Ok((_, 0)) => self.ended(),
            Ok((_, skipped)) => {
                self.receiving.count(skipped);
                tally.bytes += u64::try_from(skipped).unwrap_or(0);
                Ok(Turn::Waits)
            }
            Err(rustix::io::Errno::AGAIN) => Ok(Turn::Waits),
            Err(error) => Err(error.to_string()),
        }
    }

    fn ended(&mut self) -> Result<Turn, String> {
        if self.receiving.is_under_way() {
            return Err("closed within an answer".to_owned());
        }
        self.last.take().map(Turn::Ended).ok_or_else(|| "closed without an answer".to_owned())
    }
}

/// Takes bytes of an answer, and counts those of its body. Its head, if it ends with them. Bytes of a large body are
/// only counted, if `skips` and its end is not among them.
fn take(
    receiving: &mut Receiving,
    input: &[u8],
    body: &Body,
    skips: bool,
    tally: &mut Tally,
) -> Result<Option<Head>, String> {
    let rest = receiving.rest();
    if skips && input.len() < rest {
        receiving.count(input.len());
        tally.bytes += u64::try_from(input.len()).unwrap_or(0);
        return Ok(None);
    }
    let (taken, end) = receiving.take(input, body)?;
    if taken < input.len() {
        return Err("bytes behind the answer".to_owned());
    }
    // The first bytes of a body are counted by what is left of it.
    let bytes = match (end, rest) {
        (Some(head), 0) => head.length.unwrap_or(0),
        (Some(_), rest) => rest,
        (None, 0) => receiving.begun(),
        (None, rest) => rest - receiving.rest(),
    };
    tally.bytes += u64::try_from(bytes).unwrap_or(0);
    Ok(end)
}

fn request(url: &Url, plan: &Plan, path: &str, body: &Body) -> Message {
    let method = if plan.posts > 0 { "POST" } else { "GET" };
    let mut head = format!("{method} {path} HTTP/1.1\r\nHost: {}\r\n", url.authority);
    if plan.posts > 0 {
        // Writing to a string cannot fail.
        let _ = write!(head, "Content-Length: {}\r\n", plan.posts);
    }
    if !plan.reuse {
        head.push_str("Connection: close\r\n");
    }
    head.push_str("\r\n");
    Message::new(&head, plan.posts, body)
}
