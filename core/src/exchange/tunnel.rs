//! A tunnel: after a 101, bytes go both ways as they come, under back-pressure, until both sides have ended, nothing
//! has moved for `tunnel_timeout`, it is `tunnel_age` old, or the worker drains.
//!
//! Where the protocol is known, which is where it is a WebSocket, the gateway ends a tunnel in its words: each side
//! gets a close frame between two frames of the other, and some time to answer it (RFC 6455, 7.1.1). Frames are
//! followed as they pass and never kept, so that they do not wait.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use ringway_config::snapshot::Limits;
use ringway_http::websocket::{self, Frames, Masking};

use super::record::Record;
use crate::clock::Moment;
use crate::downstream::Connection;
use crate::net::{Buffer, Deadline, Hold, NetError};
use crate::shard::Count;
use crate::upstream::Checkout;
use crate::wire::{Inlet, Outlet};
use crate::worker::{Guest, Local, Scratch};

/// Both sides of a WebSocket in which nothing moves get so long to answer the close frame.
const IDLE_CLOSING_TIME: Duration = Duration::from_secs(2);

/// Later than any clock says.
const NEVER: Moment = Moment(u64::MAX);

/// What a tunnel is held to.
pub(super) struct Terms {
    speaks: Speaks,
    timeout: Duration,
    age: Option<Duration>,
}

/// What is spoken in a tunnel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Speaks {
    WebSocket,
    Unknown,
}

impl Terms {
    /// The terms of the exchange that becomes a tunnel.
    pub(super) fn new(limits: &Limits, scratch: &Scratch) -> Self {
        let is_websocket = websocket::is_websocket(&scratch.upgrade, &scratch.response.fields)
            // On a stream nothing else is taken for an upgrade.
            || scratch.request.extended_connect;
        let speaks = if is_websocket { Speaks::WebSocket } else { Speaks::Unknown };
        Self { speaks, timeout: limits.tunnel_timeout, age: limits.tunnel_age }
    }
}

/// Carries bytes until the end. Counts them in the record.
pub(super) async fn run(
    local: &Rc<Local>,
    connection: &mut Connection,
    up: Checkout,
    record: &mut Record,
    terms: Terms,
) {
    let Checkout {
        reader: mut up_reader, writer: mut up_writer, input: from_up, deadline: up_deadline, ..
    } = up;
    let Connection { reader, writer, input, stay, .. } = connection;
    reader.set_hold(Hold::Buffer);
    let (bytes_in, bytes_out) = (Cell::new(0), Cell::new(0));
    let open = local.counts.hold(Count::TunnelsActive);
    let course = Course::new(local, &terms);
    let upward = Way {
        reader,
        writer: &mut up_writer,
        deadline: &stay.entry.deadline,
        bytes: &bytes_in,
        course: &course,
        follow: Follow::new(terms.speaks, Masking::Masked),
    };
    let downward = Way {
        reader: &mut up_reader,
        writer,
        deadline: &up_deadline,
        bytes: &bytes_out,
        course: &course,
        follow: Follow::new(terms.speaks, Masking::Bare),
    };
    let ended = both(&course, upward.run(std::mem::take(input)), downward.run(from_up)).await;
    if ended.is_err() {
        // What one side did not end, must not look ended to the other.
        connection.writer.leave_cut();
        up_writer.leave_cut();
    }
    record.reason = course.reason(matches!(ended, Err(NetError::TimedOut))).or(record.reason);
    drop(open);
    record.bytes_in += bytes_in.get();
    record.bytes_out += bytes_out.get();
}

/// What both ways know: when either last moved, and whether the gateway has begun to end the tunnel.
struct Course<'a> {
    local: &'a Local,
    speaks: Speaks,
    moved: Cell<Moment>,
    timeout: Duration,
    /// When it is `tunnel_age` old.
    aged: Moment,
    ending: Cell<Option<Ending>>,
    /// Where a drain reaches a tunnel that can say goodbye.
    guest: Option<Guest>,
}

/// The gateway's end of a tunnel: both sides have been told, or are as soon as a frame ends.
#[derive(Debug, Clone, Copy)]
struct Ending {
    why: Why,
    /// Then it is over, whatever they have answered.
    until: Moment,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Why {
    Idle,
    Age,
    Drain,
}

impl<'a> Course<'a> {
    fn new(local: &'a Rc<Local>, terms: &Terms) -> Self {
        let now = local.now();
        Self {
            local,
            speaks: terms.speaks,
            moved: Cell::new(now),
            timeout: terms.timeout,
            aged: terms.age.map_or(NEVER, |age| now.after(age)),
            ending: Cell::new(None),
            guest: (terms.speaks == Speaks::WebSocket).then(|| Guest::enter(local)),
        }
    }

    /// Until when a wait for bytes may last.
    fn until(&self) -> Moment {
        self.quiet_until().min(if self.ending.get().is_none() { self.aged } else { NEVER })
    }

    /// Until when a send may last. A WebSocket's may go on beyond its age: it would be cut within a frame.
    fn send_until(&self) -> Moment {
        match self.speaks {
            Speaks::WebSocket if self.ending.get().is_none() && self.aged < NEVER => {
                self.quiet_until().min(self.aged.after(self.closing_time(Why::Age)))
            }
            Speaks::WebSocket => self.quiet_until(),
            Speaks::Unknown => self.until(),
        }
    }

    /// The end of the tunnel's end, or of its silence.
    fn quiet_until(&self) -> Moment {
        match self.ending.get() {
            _ if self.local.cut.get() => Moment(0),
            Some(ending) => ending.until,
            None => self.moved.get().after(self.timeout),
        }
    }

    /// Notes that bytes move.
    fn touch(&self) {
        self.moved.set(self.local.now());
    }

    /// Begins the end when the worker drains.
    fn look(&self, cx: &Context<'_>) {
        let due = self.guest.as_ref().is_some_and(|guest| guest.poll_due(cx).is_ready());
        if due && self.ending.get().is_none() {
            self.begin(Why::Drain);
        }
    }

    fn begin(&self, why: Why) {
        let until = self.local.now().after(self.closing_time(why));
        self.ending.set(Some(Ending { why, until }));
    }

    /// How long both sides have to answer the gateway's close frame, and to end the frames that are under way.
    fn closing_time(&self, why: Why) -> Duration {
        match why {
            Why::Idle => IDLE_CLOSING_TIME,
            Why::Age | Why::Drain => self.local.plan().snapshot.server.drain_timeout,
        }
    }

    /// Why the time is over.
    fn why_late(&self) -> Why {
        if self.local.now() >= self.aged { Why::Age } else { Why::Idle }
    }

    /// A wait's time is over: an error when the tunnel's is too.
    fn late(&self) -> Result<(), NetError> {
        if self.until() > self.local.now() {
            // The other way has moved.
            return Ok(());
        }
        if self.local.cut.get() || self.ending.get().is_some() || self.speaks == Speaks::Unknown {
            return Err(NetError::TimedOut);
        }
        self.begin(self.why_late());
        Ok(())
    }

    /// Why the gateway has ended the tunnel; `None` where others have.
    fn reason(&self, timed_out: bool) -> Option<&'static str> {
        let why = self.ending.get().map(|ending| ending.why);
        match why.or_else(|| timed_out.then(|| self.why_late()))? {
            _ if timed_out && self.local.cut.get() => Some("drain.cut"),
            Why::Idle => Some("tunnel.idle"),
            Why::Age => Some("tunnel.age"),
            Why::Drain => Some("drain.tunnel"),
        }
    }
}

/// How far a way's frames are followed.
enum Follow {
    /// Not at all: its protocol is not known.
    Blind,
    /// As they pass.
    Passing(Frames),
    /// The gateway's close frame has gone out in their place: they are looked through for the sender's own, and
    /// dropped (RFC 6455, 5.5.1).
    Dropping(Frames),
}

impl Follow {
    fn new(speaks: Speaks, masking: Masking) -> Self {
        match speaks {
            Speaks::WebSocket => Self::Passing(Frames::new(masking)),
            Speaks::Unknown => Self::Blind,
        }
    }

    /// Whether the gateway's close frame may be sent now.
    fn may_part(&self) -> bool {
        matches!(self, Self::Passing(frames) if frames.is_at_boundary())
    }

    /// Whether the sender has said all that counts, once the gateway ends the tunnel.
    fn is_over(&self) -> bool {
        match self {
            Self::Blind => false,
            Self::Passing(frames) => frames.is_closed(),
            Self::Dropping(frames) => frames.is_closed() || frames.is_lost(),
        }
    }
}

/// One way of a tunnel.
struct Way<'a> {
    reader: &'a mut Inlet,
    writer: &'a mut Outlet,
    deadline: &'a Deadline,
    /// Bytes sent.
    bytes: &'a Cell<u64>,
    course: &'a Course<'a>,
    follow: Follow,
}

/// What a way's wait has brought.
enum Received {
    Bytes(Buffer),
    /// The gateway ends the tunnel, and this way can do something about it.
    Ending,
    /// Its sender has ended.
    End,
}

impl Way<'_> {
    /// Carries until the sender ends, and passes the end on; or until the sender has answered the gateway's close
    /// frame.
    async fn run(mut self, first: Buffer) -> Result<(), NetError> {
        self.carry(first).await?;
        loop {
            match self.receive().await? {
                Received::Bytes(bytes) => self.carry(bytes).await?,
                Received::Ending if self.follow.is_over() => return self.writer.settle(self.deadline).await,
                Received::Ending => self.part(Buffer::empty(), 0).await?,
                Received::End => break,
            }
        }
        self.writer.settle(self.deadline).await?;
        self.writer.finish();
        Ok(())
    }

    /// Waits for bytes as long as the other way moves, or this one is within its time.
    async fn receive(&mut self) -> Result<Received, NetError> {
        let Self { reader, deadline, course, follow, .. } = self;
        loop {
            deadline.set(course.until());
            let mut receiving = pin!(reader.recv(deadline));
            let received = poll_fn(|cx| {
                if let Some(ending) = course.ending.get() {
                    if follow.may_part() || follow.is_over() {
                        return Poll::Ready(None);
                    }
                    if deadline.at().is_none_or(|at| at > ending.until) {
                        deadline.set(ending.until);
                    }
                }
                receiving.as_mut().poll(cx).map(Some)
            });
            return match received.await {
                None => Ok(Received::Ending),
                Some(Ok(Some(bytes))) => Ok(Received::Bytes(bytes)),
                Some(Ok(None)) => Ok(Received::End),
                Some(Err(NetError::TimedOut)) => {
                    course.late()?;
                    continue;
                }
                Some(Err(error)) => Err(error),
            };
        }
    }

    /// Passes bytes on, or what of them still counts.
    async fn carry(&mut self, bytes: Buffer) -> Result<(), NetError> {
        if bytes.is_empty() {
            return Ok(());
        }
        self.course.touch();
        match &mut self.follow {
            Follow::Blind => {}
            Follow::Dropping(frames) => {
                frames.push(bytes.filled());
                return Ok(());
            }
            Follow::Passing(frames) if self.course.ending.get().is_none() => frames.push(bytes.filled()),
            Follow::Passing(frames) => {
                let taken = frames.push_to_boundary(bytes.filled());
                if frames.is_at_boundary() {
                    return self.part(bytes, taken).await;
                }
            }
        }
        self.send(bytes).await
    }

    /// Sends what ends the frame under way, and the gateway's close frame behind it.
    async fn part(&mut self, mut bytes: Buffer, taken: usize) -> Result<(), NetError> {
        let Follow::Passing(mut frames) = std::mem::replace(&mut self.follow, Follow::Blind) else {
            return Ok(());
        };
        frames.push(bytes.filled().get(taken..).unwrap_or_default());
        bytes.narrow(0..taken);
        // The key is not to be guessed (RFC 6455, 5.3); this is keyed with the operating system's randomness.
        let random = || RandomState::new().build_hasher().finish();
        let key = (frames.masking() == Masking::Masked).then(|| {
            let [a, b, c, d, ..] = random().to_be_bytes();
            [a, b, c, d]
        });
        websocket::write_close(websocket::GOING_AWAY, key, bytes.append());
        self.follow = Follow::Dropping(frames);
        self.send(bytes).await
    }

    async fn send(&mut self, bytes: Buffer) -> Result<(), NetError> {
        self.bytes.set(self.bytes.get() + bytes.len() as u64);
        self.deadline.set(self.course.send_until());
        drop(self.writer.send(bytes, self.deadline).await?);
        self.course.touch();
        Ok(())
    }
}

/// Polls both ways until both have ended, or one has failed.
async fn both(
    course: &Course<'_>,
    a: impl Future<Output = Result<(), NetError>>,
    b: impl Future<Output = Result<(), NetError>>,
) -> Result<(), NetError> {
    let mut a = pin!(a);
    let mut b = pin!(b);
    let (mut a_done, mut b_done) = (false, false);
    poll_fn(|cx| {
        loop {
            course.look(cx);
            let was_ending = course.ending.get().is_some();
            if !a_done && let Poll::Ready(ended) = a.as_mut().poll(cx) {
                a_done = true;
                ended?;
            }
            if !b_done && let Poll::Ready(ended) = b.as_mut().poll(cx) {
                b_done = true;
                ended?;
            }
            if a_done && b_done {
                return Poll::Ready(Ok(()));
            }
            // An end that the second way has begun is the first one's too.
            if course.ending.get().is_some() == was_ending {
                return Poll::Pending;
            }
        }
    })
    .await
}
