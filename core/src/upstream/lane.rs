//! Connections to an endpoint that carry many exchanges at once (HTTP/2), and how few of them there are.
//!
//! A lane is such a connection: its task moves its bytes and ends with it. Exchanges open streams on it; one more lane
//! is opened only when those that there are have no room, and while one is being opened all who want one wait for it.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use ringway_http::h2::{Client, GuardLimits, Requests, Settings};

use super::connection::dial;
use super::pool::Pool;
use crate::clock::Moment;
use crate::error::Fault;
use crate::net::tls::Alpn;
use crate::net::{self, Buffer, Deadline, Hold, Reader, Writer};
use crate::wire::Pump;
use crate::worker::Local;

/// An endpoint that takes nothing of what is sent to it for so long is given up.
const PATIENCE: Duration = Duration::from_secs(60);

/// What small pieces of answers may cost on one lane while their clients do not take them.
const PIECES_BYTES_MAX: usize = 64 * 1024 * 1024;

/// What an endpoint may do on a lane of so many streams. The exchanges on it are many clients', so what one of them
/// does must not end or hold up the others'.
fn settings(streams_max: usize) -> Settings {
    let default = Settings::default();
    let streams = u32::try_from(streams_max).unwrap_or(u32::MAX);
    Settings {
        // Each stream's window whole: bytes that a slow client leaves unread keep nobody else's from coming.
        connection_window: default.stream_window.saturating_mul(streams),
        pieces_bytes_max: PIECES_BYTES_MAX,
        // They come of answers that clients have given up, and are counted over a lane's life.
        error_resets_max: usize::MAX,
        // An endpoint that refuses much is busy, and does no harm to those that it serves.
        guard: GuardLimits { resets_max: u32::MAX, ..default.guard },
        ..default
    }
    .with_heads(&ringway_http::Limits::default())
}

/// One connection of many exchanges.
pub(crate) struct Lane {
    requests: Requests<Buffer>,
    /// Exchanges on it.
    streams: Cell<usize>,
    /// Exchanges that it has carried.
    carried: Cell<u64>,
    /// What its windows were made for; a reload that allows more is for new ones.
    streams_max: usize,
    /// How often bytes have come.
    heard: Cell<u64>,
    /// It takes no further ones.
    is_leaving: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

/// An exchange's stay on a lane.
pub(crate) struct Ride {
    lane: Rc<Lane>,
    /// How often bytes had come when it began.
    heard: u64,
}

/// The lanes to one address.
#[derive(Default)]
pub(super) struct Lanes {
    open: RefCell<Vec<Rc<Lane>>>,
    opening: RefCell<Option<Rc<Opening>>>,
}

impl std::fmt::Debug for Lanes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lanes").field("open", &self.open.borrow().len()).finish_non_exhaustive()
    }
}

/// A lane that is being opened.
#[derive(Default)]
struct Opening {
    /// The time of the one that asked for it.
    until: Option<Moment>,
    result: Cell<Option<Result<(), Fault>>>,
    waiters: RefCell<Vec<Waker>>,
}

impl Lanes {
    /// A lane with room, if there is one.
    fn find(&self, streams_max: usize) -> Option<Ride> {
        let open = self.open.borrow();
        let lane = open.iter().find(|lane| lane.has_room(streams_max))?;
        Some(Ride::on(lane))
    }

    /// Ends all lanes once what they carry has ended.
    pub(super) fn leave(&self) {
        for lane in self.open.borrow().iter() {
            lane.leave();
        }
    }

    fn remove(&self, lane: &Rc<Lane>) {
        self.open.borrow_mut().retain(|other| !Rc::ptr_eq(other, lane));
    }
}

/// A place on a lane that is open, if there is one.
pub(super) fn find(pool: &Pool) -> Option<Ride> {
    pool.lanes.find(pool.terms().streams_max)
}

/// A place on a lane, by `deadline` at the latest.
pub(super) async fn board(local: &Rc<Local>, pool: &Rc<Pool>, deadline: &Deadline) -> Result<Ride, Fault> {
    loop {
        if let Some(ride) = find(pool) {
            return Ok(ride);
        }
        let opening = Rc::clone(pool.lanes.opening.borrow_mut().get_or_insert_with(|| {
            let opening = Rc::new(Opening { until: deadline.at(), ..Opening::default() });
            // It is nobody's own: who waits first may give up while others still wait.
            net::spawn(open(Rc::clone(local), Rc::clone(pool), Rc::clone(&opening)));
            opening
        }));
        let opened = poll_fn(|cx| {
            if let Some(result) = opening.result.get() {
                return Poll::Ready(Ok(result));
            }
            opening.waiters.borrow_mut().push(cx.waker().clone());
            deadline.poll_expired(cx).map(|()| Err(Fault::ConnectTimeout))
        })
        .await?;
        match opened {
            // Who asked first had less time: that says nothing about the endpoint, and this one has some left.
            Err(Fault::ConnectTimeout) if deadline.at() > opening.until => {}
            opened => opened?,
        }
    }
}

/// Opens a lane, tells those that wait, and carries its bytes to its end.
async fn open(local: Rc<Local>, pool: Rc<Pool>, opening: Rc<Opening>) {
    let deadline = local.timers.deadline();
    deadline.set(opening.until.unwrap_or(Moment(0)));
    let dialled = dial(&local, &pool, &deadline).await;
    let begun = dialled.and_then(|(reader, writer, alpn)| match alpn {
        Alpn::H2 => begin(reader, writer, &local, &pool),
        // It chose otherwise the last time: who asks again is served as it is now.
        Alpn::H1 => Err(Fault::UpstreamAlpn),
    });
    let opened = match begun {
        Ok(mut task) => task.hear(&local, &deadline).await.map(|()| task),
        Err(fault) => Err(fault),
    };
    if let Ok(task) = &opened {
        pool.lanes.open.borrow_mut().push(Rc::clone(&task.lane));
    }
    pool.lanes.opening.borrow_mut().take();
    opening.result.set(Some(opened.as_ref().map(|_| ()).map_err(|fault| *fault)));
    for waker in opening.waiters.borrow_mut().drain(..) {
        waker.wake();
    }
    drop(opening);
    let Ok(mut task) = opened else { return };
    drop(pool);
    task.run(&local).await;
}

/// A place on a lane over a connection that is open already, by `deadline` at the latest.
pub(super) async fn begin_with(
    local: &Rc<Local>,
    pool: &Rc<Pool>,
    (reader, writer): (Reader, Writer),
    deadline: &Deadline,
) -> Result<Ride, Fault> {
    let mut task = begin(reader, writer, local, pool)?;
    task.hear(local, deadline).await?;
    pool.lanes.open.borrow_mut().push(Rc::clone(&task.lane));
    let ride = Ride::on(&task.lane);
    let local = Rc::clone(local);
    net::spawn(async move { task.run(&local).await });
    Ok(ride)
}

fn begin(reader: Reader, writer: Writer, local: &Rc<Local>, pool: &Rc<Pool>) -> Result<Task, Fault> {
    let settings = settings(pool.terms().streams_max);
    let (machine, requests) = Client::new(&settings).map_err(|_| Fault::ConnectFailed)?;
    let lane = Rc::new(Lane {
        requests,
        streams: Cell::new(0),
        carried: Cell::new(0),
        streams_max: pool.terms().streams_max,
        heard: Cell::new(0),
        is_leaving: Cell::new(false),
        waker: RefCell::new(None),
    });
    let idle = local.timers.deadline();
    let pump = Pump::new(reader, writer, local, PATIENCE);
    Ok(Task { lane, pool: Rc::downgrade(pool), pump, machine, idle, rests: false, has_heard: false })
}

/// The task of a lane.
struct Task {
    lane: Rc<Lane>,
    pool: Weak<Pool>,
    pump: Pump,
    machine: Client<Buffer>,
    /// Set while it carries nothing.
    idle: Deadline,
    rests: bool,
    /// The endpoint has said something.
    has_heard: bool,
}

/// The endpoint is gone, or the connection has ended.
struct Gone;

/// What a turn has come to.
enum Turn {
    Over,
    Rests,
}

impl Task {
    async fn run(&mut self, local: &Rc<Local>) {
        while let Turn::Rests = poll_fn(|cx| self.turn(local, cx)).await {
            self.pump.let_go().await;
            self.machine.shrink();
        }
        self.lane.is_leaving.set(true);
        if let Some(pool) = self.pool.upgrade() {
            pool.lanes.remove(&self.lane);
        }
        // A word of farewell, as far as it goes at once.
        let _ = self.pump.send(&mut self.machine, local, &mut Context::from_waker(Waker::noop()));
    }

    /// Waits for the endpoint's first words, which are its settings (RFC 9113, 3.4): what is sent before could be more
    /// than it allows.
    async fn hear(&mut self, local: &Rc<Local>, deadline: &Deadline) -> Result<(), Fault> {
        poll_fn(|cx| match self.advance(local, cx) {
            Err(Gone) => Poll::Ready(Err(Fault::ConnectFailed)),
            // One that allows no stream is of no use, and neither would be the next one.
            Ok(()) if self.has_heard && !self.lane.has_room(usize::MAX) => {
                Poll::Ready(Err(Fault::ConnectFailed))
            }
            Ok(()) if self.has_heard => Poll::Ready(Ok(())),
            Ok(()) => deadline.poll_expired(cx).map(|()| Err(Fault::ConnectTimeout)),
        })
        .await
    }

    /// Goes as far as it goes without a wait.
    fn advance(&mut self, local: &Rc<Local>, cx: &mut Context<'_>) -> Result<(), Gone> {
        loop {
            let received = self.pump.receive(&mut self.machine, local, cx).map_err(|_| Gone)?;
            if self.machine.poll(cx).is_ready() {
                return Err(Gone);
            }
            self.has_heard |= received;
            self.lane.heard.set(self.lane.heard.get() + u64::from(received));
            let sent = self.pump.send(&mut self.machine, local, cx).map_err(|_| Gone)?;
            if !received && !sent {
                return Ok(());
            }
        }
    }

    fn turn(&mut self, local: &Rc<Local>, cx: &mut Context<'_>) -> Poll<Turn> {
        if let Err(Gone) = self.advance(local, cx) {
            return Poll::Ready(Turn::Over);
        }
        *self.lane.waker.borrow_mut() = Some(cx.waker().clone());
        if self.lane.streams.get() > 0 {
            if std::mem::take(&mut self.rests) {
                self.pump.set_hold(Hold::Buffer);
            }
            self.idle.clear();
            return Poll::Pending;
        }
        if self.lane.is_leaving.get() {
            return Poll::Ready(Turn::Over);
        }
        if !std::mem::replace(&mut self.rests, true) {
            let time = self.pool.upgrade().map(|pool| pool.terms().keepalive_timeout).unwrap_or_default();
            self.idle.set(local.now().after(time));
            return Poll::Ready(Turn::Rests);
        }
        self.idle.poll_expired(cx).map(|()| Turn::Over)
    }
}

impl Lane {
    fn has_room(&self, streams_max: usize) -> bool {
        let requests = &self.requests;
        let max = streams_max.min(self.streams_max).min(requests.streams_max());
        if self.is_leaving.get() || self.streams.get() >= max {
            return false;
        }
        if requests.is_closed() {
            self.leave();
        }
        !self.is_leaving.get()
    }

    fn leave(&self) {
        self.is_leaving.set(true);
        self.wake();
    }

    fn wake(&self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

impl Ride {
    fn on(lane: &Rc<Lane>) -> Self {
        lane.streams.set(lane.streams.get() + 1);
        lane.carried.set(lane.carried.get() + 1);
        if lane.streams.get() == 1 {
            // It rests no longer.
            lane.wake();
        }
        Self { lane: Rc::clone(lane), heard: lane.heard.get() }
    }

    /// Whether others have ridden before.
    pub(super) fn is_first(&self) -> bool {
        self.lane.carried.get() == 1
    }

    /// Whether the endpoint has said that it understands extended CONNECT (RFC 8441, 3).
    pub(crate) fn allows_extended_connect(&self) -> bool {
        self.lane.requests.allows_extended_connect()
    }

    /// What opens a stream.
    pub(crate) fn requests(&self) -> &Requests<Buffer> {
        &self.lane.requests
    }

    /// Its time is over. Where nothing at all has come since it began, the connection may be dead without a word, and
    /// takes no further exchanges.
    pub(crate) fn give_up(&self) {
        if self.lane.heard.get() == self.heard {
            self.lane.leave();
        }
    }
}

impl Drop for Ride {
    fn drop(&mut self) {
        let left = self.lane.streams.get().saturating_sub(1);
        self.lane.streams.set(left);
        if left == 0 {
            self.lane.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_all_streams_of_a_lane_may_leave_unread_fits_on_it() {
        for streams in [1, 100, 10_000] {
            let settings = settings(streams);
            let unread = streams as u64 * u64::from(settings.stream_window);
            assert_eq!(u64::from(settings.connection_window), unread, "{streams}");
        }
        assert!(settings(usize::MAX).connection_window > 0);
    }
}
