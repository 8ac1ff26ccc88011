//! HTTP/2 towards the client: one connection, many streams, each of them an exchange of its own.
//!
//! The connection's task moves bytes and opens streams; a stream's task runs its exchange as every exchange is run,
//! over the stream's two halves. What the connection has at rest is the machine of the protocol and a watch.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use ringway_config::snapshot::{Limits, ListenerId};
use ringway_http::HeadError;
use ringway_http::h2::{ConnectionError, Flood, Incoming, Reason, Server};

use super::runner::{self, Job};
use super::{After, Connection, linger};
use crate::clock::Moment;
use crate::error::Fault;
use crate::exchange::{self, Opening};
use crate::net::{self, Buffer, Hold};
use crate::shard::Count;
use crate::wire::{self, Broken, Inlet, Outlet, Pump};
use crate::worker::{Carries, Entry, Local, Plan, Registry, Scratch};

/// A rest of a request that was answered is read for so long at most.
const DISCARD_TIME: Duration = Duration::from_secs(1);
/// Of at most so many bytes; a longer one is stopped.
const DISCARD_BYTES_MAX: usize = 64 * 1024;

/// A stream's request: its head has been read, or refused.
pub(super) struct Request {
    scratch: Box<Scratch>,
    plan: Rc<Plan>,
    listener: ListenerId,
    limits: Limits,
    began: Moment,
    refused: Option<HeadError>,
}

/// Streams of a connection whose tasks have not ended.
#[derive(Default)]
struct Open {
    count: Cell<u32>,
    /// The connection's task, which is woken when the last one ends.
    waker: RefCell<Option<Waker>>,
}

/// One stream's part in it.
struct Part(Rc<Open>);

impl Part {
    fn of(open: &Rc<Open>) -> Self {
        open.count.set(open.count.get() + 1);
        Self(Rc::clone(open))
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        let left = self.0.count.get().saturating_sub(1);
        self.0.count.set(left);
        if left == 0
            && let Some(waker) = self.0.waker.take()
        {
            waker.wake();
        }
    }
}

/// How a connection ends.
enum End {
    /// Everything was said: what is left goes out, and then the connection.
    Flush,
    /// There is nobody to say anything to, or no time.
    Now,
}

/// A connection of many streams.
struct Session<'a> {
    local: &'a Rc<Local>,
    connection: Connection,
    pump: Pump,
    machine: Server<Buffer>,
    open: Rc<Open>,
    /// The client has been told to open no more streams. It may not have heard it for [`Entry::grace_until`].
    told: bool,
    /// When the last stream ended, or the connection was accepted.
    rested: Moment,
    /// When it has lived long enough.
    aged: Moment,
}

/// Serves a connection whose preface is in its input.
pub(super) async fn serve(local: &Rc<Local>, mut connection: Connection) {
    let input = std::mem::take(&mut connection.input);
    let Some(limits) = connection.stay.entry.listener.with_spec(|spec| spec.limits) else { return };
    let (inlet, outlet) = (connection.reader.take(), connection.writer.take());
    let (Some(reader), Some(writer)) = (inlet, outlet) else { return };
    local.counts.add(Count::Http2Connections, 1);
    let mut machine = Server::new(&wire::settings(&limits));
    if let Err(flood) = machine.feed(input.filled(), Duration::from_nanos(local.now().0)) {
        count(local, flood);
    }
    drop(input);
    connection.stay.entry.carries.set(Carries::Many);
    connection.stay.entry.fresh.set(false);
    let mut session = Session {
        local,
        pump: Pump::new(reader, writer, local, limits.body_timeout),
        machine,
        open: Rc::default(),
        told: false,
        rested: connection.accepted,
        aged: limits.connection_age.map_or(Moment(u64::MAX - 1), |age| connection.accepted.after(age)),
        connection,
    };
    let end = session.run().await;
    session.close(end).await;
}

impl Session<'_> {
    async fn run(&mut self) -> End {
        self.set_deadline();
        loop {
            let turned = poll_fn(|cx| self.turn(cx)).await;
            match turned {
                Turn::Ended(end) => return end,
                Turn::TimedOut => {
                    if let Some(end) = self.time_is_over() {
                        return end;
                    }
                }
                Turn::Rests => {
                    self.pump.let_go().await;
                    self.machine.shrink();
                }
            }
        }
    }

    /// Goes as far as it goes without a wait.
    fn turn(&mut self, cx: &mut Context<'_>) -> Poll<Turn> {
        match self.advance(cx) {
            Ok(Some(end)) => return Poll::Ready(Turn::Ended(end)),
            Ok(None) => {}
            Err(Broken::Peer) => return Poll::Ready(Turn::Ended(End::Now)),
            Err(Broken::Flood(flood)) => {
                count(self.local, flood);
                // What the machine says to it is its last word.
                let _ = self.machine.poll(cx);
                return Poll::Ready(Turn::Ended(End::Flush));
            }
        }
        *self.open.waker.borrow_mut() = Some(cx.waker().clone());
        let entry = &self.connection.stay.entry;
        let idle = self.open.count.get() == 0 && !self.machine.has_streams();
        if idle != entry.idle.replace(idle) {
            self.rested = self.local.now();
            self.pump.set_hold(if idle { Hold::Nothing } else { Hold::Buffer });
            self.set_deadline();
            if idle && self.pump.is_settled() {
                return Poll::Ready(Turn::Rests);
            }
        }
        if self.local.cut.get() {
            // All deadlines have passed, for good: its streams end now, and then it does.
            if self.open.count.get() > 0 {
                return Poll::Pending;
            }
            return Poll::Ready(Turn::Ended(self.farewell()));
        }
        self.connection.stay.entry.deadline.poll_expired(cx).map(|()| Turn::TimedOut)
    }

    fn advance(&mut self, cx: &mut Context<'_>) -> Result<Option<End>, Broken> {
        loop {
            let mut moved = self.pump.receive(&mut self.machine, self.local, cx)?;
            loop {
                match self.machine.poll(cx) {
                    Poll::Ready(Ok(Some(incoming))) => {
                        moved = true;
                        self.begin(incoming);
                    }
                    Poll::Ready(Ok(None)) => return Ok(Some(End::Flush)),
                    Poll::Ready(Err(error)) => return Ok(Some(self.broken(error))),
                    Poll::Pending => break,
                }
            }
            moved |= self.pump.send(&mut self.machine, self.local, cx)?;
            if !moved {
                return Ok(None);
            }
        }
    }

    fn broken(&self, error: ConnectionError) -> End {
        match error {
            ConnectionError::Protocol(_) => {
                self.local.counts.add(Count::Http2ProtocolErrors, 1);
                End::Flush
            }
            ConnectionError::Here(_) => End::Flush,
            ConnectionError::Peer(_) | ConnectionError::Closed => End::Now,
        }
    }

    /// Opens a stream: reads its head and spawns its exchange.
    fn begin(&mut self, incoming: Incoming<Buffer>) {
        let local = self.local;
        let connection = &mut self.connection;
        let (plan, listener) = connection.stay.entry.listener.place();
        let Some(limits) = plan.snapshot.listeners.get(listener.0 as usize).map(|spec| spec.limits) else {
            return;
        };
        if self.told && local.now() >= connection.stay.entry.grace_until() {
            // It does not want to hear. Nothing of this one was looked at: it is safe to send it elsewhere.
            let (_, mut respond) = incoming.into_halves();
            return respond.reset(Reason::REFUSED_STREAM);
        }
        connection.served += 1;
        if limits.requests_per_connection.is_some_and(|max| connection.served >= max) {
            self.tell();
        }
        let connection = &self.connection;
        let mut scratch = local.scratches.take(&local.timers);
        let refused = incoming.read_head(&limits.head, &mut scratch.request).err();
        let (inlet, outlet) = wire::accepted(incoming, &limits.head, &local.buffers);
        let entry = Entry {
            deadline: local.timers.deadline(),
            idle: Cell::new(false),
            fresh: Cell::new(false),
            carries: Cell::new(Carries::Stream),
            rested: Cell::default(),
            listener: Rc::clone(&connection.stay.entry.listener),
        };
        let stream = Box::new(connection.stream(
            Inlet::Stream(Box::new(inlet)),
            Outlet::Stream(Box::new(outlet)),
            Registry::enter(local, entry),
        ));
        let request = Box::new(Request { scratch, plan, listener, limits, began: local.now(), refused });
        let part = Part::of(&self.open);
        let local = Rc::clone(local);
        net::spawn(async move {
            let (mut stream, after, _) = runner::run(&local, stream, Job::Stream(request)).await;
            match after {
                After::Close | After::Reset | After::Http2 => stream.writer.reset_on_close(),
                After::KeepAlive | After::Finish | After::Linger => discard(&local, &mut stream).await,
            }
            // The halves are dropped first: what was not ended is reset then, and the connection's task woken.
            drop(stream);
            drop(part);
        });
    }

    /// Tells the client to open no more streams.
    fn tell(&mut self) {
        let entry = &self.connection.stay.entry;
        if !std::mem::replace(&mut self.told, true) {
            entry.carries.set(Carries::ManyLast);
            entry.rested.set(self.local.now());
            self.machine.go_away();
        }
    }

    /// The next moment at which something has to be done about the connection as such.
    fn set_deadline(&self) {
        let entry = &self.connection.stay.entry;
        let is_idle = self.open.count.get() == 0;
        let at = match (self.told, is_idle) {
            // One that has heard it has closed by then.
            (true, true) => entry.grace_until(),
            (true, false) => Moment(u64::MAX - 1),
            (false, true) => self.aged.min(self.forgotten()),
            (false, false) => self.aged,
        };
        self.connection.set_deadline(self.local, at);
    }

    /// When it has rested for long enough.
    fn forgotten(&self) -> Moment {
        let time = self.connection.stay.entry.listener.with_spec(|spec| match self.connection.served {
            0 => spec.limits.header_timeout,
            _ => spec.limits.idle_timeout,
        });
        self.rested.after(time.unwrap_or_default())
    }

    /// A moment has come: what is it that was waited for?
    fn time_is_over(&mut self) -> Option<End> {
        let (local, now) = (self.local, self.local.now());
        let entry = &self.connection.stay.entry;
        let is_idle = self.open.count.get() == 0;
        if self.told && is_idle && now >= entry.grace_until() {
            if !self.machine.has_streams() {
                return Some(self.farewell());
            }
            // What its last streams have sent is still on its way into the socket, which has a time limit of its own.
            entry.rested.set(now);
        }
        let is_leaving = !local.ready.get() || entry.listener.is_closing() || now >= self.aged;
        if is_leaving || is_idle && now >= self.forgotten() {
            self.tell();
        }
        self.set_deadline();
        None
    }

    /// Has the client told which stream was the last that was looked at.
    fn farewell(&mut self) -> End {
        self.machine.abort(Reason::NO_ERROR);
        let _ = self.machine.poll(&mut Context::from_waker(Waker::noop()));
        End::Flush
    }

    async fn close(self, end: End) {
        let Self { local, mut pump, mut machine, connection, .. } = self;
        if let End::Flush = end
            && pump.flush(&mut machine, local).await.is_ok()
        {
            let (reader, writer) = pump.into_halves();
            // A client that still sends would meet a reset, which may overtake the last words.
            return linger::linger(local, connection.with_socket(reader, writer)).await;
        }
    }
}

/// Counts a connection that is closed for too much of something, and of what.
fn count(local: &Local, flood: Flood) {
    local.counts.add(Count::Http2Floods, 1);
    local.counts.reason(flood.reason());
}

/// Reads what is left of an answered request, for a moment.
async fn discard(local: &Local, stream: &mut Connection) {
    stream.set_deadline(local, local.now().after(DISCARD_TIME));
    if let Inlet::Stream(inlet) = &mut stream.reader {
        inlet.discard(DISCARD_BYTES_MAX, &stream.stay.entry.deadline).await;
    }
}

/// What a turn has come to.
enum Turn {
    Ended(End),
    /// Its deadline has passed.
    TimedOut,
    /// Its last stream has ended.
    Rests,
}

/// Runs the one exchange of a stream.
pub(super) async fn exchange(
    local: &Rc<Local>,
    stream: &mut Connection,
    request: Box<Request>,
) -> (After, Moment) {
    let Request { mut scratch, plan, listener, limits, began, refused } = *request;
    let opening = Opening { plan, listener, began, limits };
    let after = match refused {
        None => exchange::run(local, stream, &mut scratch, opening).await,
        Some(error) => exchange::refuse(local, stream, &mut scratch, opening, Fault::Head(error)).await,
    };
    local.scratches.give(scratch);
    (after, local.now())
}
