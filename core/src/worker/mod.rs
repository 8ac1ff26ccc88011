//! One pinned thread and all that it owns.

pub mod cap;
mod date;
pub mod inbox;
mod listen;
mod local;
mod parting;
pub mod pin;
mod plan;
mod registry;
mod scratch;
mod secure;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use ringway_config::Snapshot;
use ringway_config::snapshot::{Driver, ListenerId};

use crate::clock::{self, Clock};
use crate::exchange::request_id::RequestIds;
use crate::log::access::AccessLog;
use crate::log::{self, Level};
use crate::net::tls::Tickets;
use crate::net::{self, BoundListener, Buffers, DriverInfo, Mailbox, MailboxSender, RuntimeError, Timers};
use crate::shard::{self, Count, Shard};
use crate::upstream::Pools;
use cap::ConnectionCap;
use inbox::{Command, Directory, Report};

pub(crate) use local::Local;
pub(crate) use parting::Guest;
pub(crate) use plan::{ListenerSeat, Plan};
pub(crate) use registry::{Carries, Entry, Registry, Stay};
pub(crate) use scratch::Scratch;

/// How often the access log's batch is handed over and the `Date` looked at.
const TICK: Duration = Duration::from_millis(100);
/// A drain gives connections that were just accepted so long to send their first request.
const FIRST_REQUEST_GRACE: Duration = Duration::from_secs(1);
/// After the drain's deadline, cut connections have so long to end as errors.
const CUT_GRACE: Duration = Duration::from_millis(500);

/// All that a worker is started with.
#[derive(Debug)]
pub struct Start {
    /// Which worker, from 0.
    pub id: usize,
    /// The CPU to pin to.
    pub cpu: usize,
    /// Which driver may run.
    pub driver: Driver,
    /// The first snapshot.
    pub snapshot: Arc<Snapshot>,
    /// Its members.
    pub directory: Directory,
    /// Its listening sockets.
    pub listeners: Vec<(ListenerId, BoundListener)>,
    /// From control.
    pub inbox: Mailbox<Command>,
    /// To control.
    pub reports: MailboxSender<Report>,
    /// This worker's counters.
    pub shard: Arc<Shard>,
    /// This worker's end of the access log.
    pub access: AccessLog,
    /// The process-wide connection limits.
    pub connections: Arc<ConnectionCap>,
    /// Makes session tickets; control publishes the keys.
    pub tickets: Tickets,
}

/// Runs a worker on this thread until it has drained. Reports `Started` first, with the driver in use.
pub fn run(start: Start) -> Result<DriverInfo, RuntimeError> {
    if let Err(error) = pin::pin(start.cpu) {
        // A worker that is not pinned still serves.
        let fields: [(&str, &dyn std::fmt::Display); 3] =
            [("worker", &start.id), ("cpu", &start.cpu), ("error", &error)];
        log::say(Level::Warn, "worker.not_pinned", "a worker could not be pinned to its CPU", &fields);
    }
    net::run(start.driver, |driver| async move {
        let worker = Worker::seat(start);
        let _ = worker.reports.send(Report::Started { worker: worker.id, driver: driver.clone() });
        worker.serve().await;
        driver
    })
}

/// The thread's root: what its commands act upon.
struct Worker {
    id: usize,
    local: Rc<Local>,
    listeners: RefCell<Vec<Rc<ListenerSeat>>>,
    reports: MailboxSender<Report>,
    inbox: RefCell<Option<Mailbox<Command>>>,
}

impl Worker {
    fn seat(start: Start) -> Self {
        let counts = Rc::new(shard::Writer::new(start.shard));
        let pools = Pools::new(Rc::clone(&counts));
        let plan = Rc::new(Plan::seat(&start.snapshot, &start.directory, &pools, &start.tickets, None));
        let local = Rc::new(Local {
            clock: Clock::new(),
            buffers: Buffers::new(),
            timers: Timers::start(),
            counts,
            access: RefCell::new(start.access),
            pools,
            plan: RefCell::new(plan),
            ready: Cell::new(true),
            cut: Cell::new(false),
            accepting: Cell::new(0),
            registry: Registry::default(),
            parting: parting::Parting::default(),
            scratches: scratch::Scratches::default(),
            runners: crate::downstream::Runners::default(),
            date: date::Date::new(clock::wall()),
            request_ids: RequestIds::new(),
            connections: start.connections,
            tickets: start.tickets,
        });
        local.counts.set(Count::Epoch, start.snapshot.epoch.0);
        let worker = Self {
            id: start.id,
            local,
            listeners: RefCell::default(),
            reports: start.reports,
            inbox: RefCell::new(Some(start.inbox)),
        };
        worker.listen(start.listeners);
        worker
    }

    async fn serve(&self) {
        net::spawn(tick(Rc::clone(&self.local)));
        let Some(mut inbox) = self.inbox.borrow_mut().take() else { return };
        while let Some(command) = inbox.recv().await {
            match command {
                Command::Seat { snapshot, directory, listeners } => {
                    self.reseat(&snapshot, &directory, listeners);
                }
                Command::Directory { epoch, directory } => {
                    let plan = self.local.plan();
                    if plan.snapshot.epoch == epoch {
                        plan.set_directory(&directory, &self.local.pools);
                    }
                }
                Command::Unready => self.local.ready.set(false),
                Command::Drain { timeout } => return self.drain(timeout).await,
            }
        }
        // Control is gone: there is nobody left to serve for.
        self.drain(Duration::ZERO).await;
    }

    fn listen(&self, sockets: Vec<(ListenerId, BoundListener)>) {
        let plan = self.local.plan();
        for (id, socket) in sockets {
            let Some(spec) = plan.snapshot.listeners.get(id.0 as usize) else { continue };
            let known = self.listeners.borrow().iter().find(|seat| seat.name == spec.name).cloned();
            let seat = known.unwrap_or_else(|| {
                let seat = ListenerSeat::new(Arc::clone(&spec.name), Rc::clone(&plan), id);
                self.listeners.borrow_mut().push(Rc::clone(&seat));
                seat
            });
            match socket.seat() {
                Ok(acceptor) => {
                    self.local.accepting.set(self.local.accepting.get() + 1);
                    net::spawn(listen::accept_loop(Rc::clone(&self.local), seat, acceptor));
                }
                Err(error) => listen::say_accept_error(&spec.name, &error),
            }
        }
    }

    fn reseat(
        &self,
        snapshot: &Arc<Snapshot>,
        directory: &Directory,
        sockets: Vec<(ListenerId, BoundListener)>,
    ) {
        let previous = self.local.plan();
        let local = &self.local;
        let plan = Plan::seat(snapshot, directory, &local.pools, &local.tickets, Some(&previous));
        let plan = Rc::new(plan);
        *self.local.plan.borrow_mut() = Rc::clone(&plan);
        // A listener whose addresses changed comes with all of its sockets anew, and its old ones are closed.
        self.listeners.borrow_mut().retain(|seat| {
            let place = snapshot.listeners.iter().position(|spec| spec.name == seat.name);
            match place.and_then(|index| u32::try_from(index).ok()) {
                Some(index) if !sockets.iter().any(|(id, _)| id.0 == index) => {
                    seat.set_place(Rc::clone(&plan), ListenerId(index));
                    true
                }
                _ => {
                    seat.close();
                    false
                }
            }
        });
        self.listen(sockets);
        // Idle connections of a listener that went are closed; those with an exchange finish it first.
        self.local
            .registry
            .release(|entry| entry.idle.get() && !entry.fresh.get() && entry.listener.is_closing());
        self.local.registry.tell(|entry| entry.listener.is_closing());
        self.local.counts.set(Count::Epoch, snapshot.epoch.0);
        let _ = self.reports.send(Report::Seated { worker: self.id, epoch: snapshot.epoch });
    }

    async fn drain(&self, timeout: Duration) {
        let local = &self.local;
        local.ready.set(false);
        for seat in self.listeners.borrow_mut().drain(..) {
            seat.close();
        }
        local.parting.begin();
        let until = local.now().after(timeout);
        let fresh_until = local.now().after(FIRST_REQUEST_GRACE);
        // Accept loops take what was queued and end; idle connections go as they come to rest.
        while (local.accepting.get() > 0 || local.registry.len() > 0) && local.now() < until {
            let strangers_too = local.now() >= fresh_until;
            local.registry.release(|entry| entry.idle.get() && (strangers_too || !entry.fresh.get()));
            local.registry.tell(|entry| strangers_too || !entry.fresh.get());
            net::sleep(Duration::from_millis(10)).await;
        }
        let cut = local.registry.connections() as u64;
        if cut > 0 {
            local.cut.set(true);
            local.timers.expire_all();
            let grace = local.now().after(CUT_GRACE);
            while local.registry.len() > 0 && local.now() < grace {
                local.registry.wake(|_| true);
                net::sleep(Duration::from_millis(10)).await;
            }
        }
        local.pools.clear();
        let dropped = local.access.borrow_mut().flush();
        local.counts.add(Count::LogLinesDropped, u64::from(dropped));
        let _ = self.reports.send(Report::Drained { worker: self.id, cut });
    }
}

/// The worker's housekeeping.
async fn tick(local: Rc<Local>) {
    let mut ticks = 0_u32;
    loop {
        net::sleep(TICK).await;
        ticks = ticks.wrapping_add(1);
        net::contain(|| housekeep(&local, ticks));
    }
}

fn housekeep(local: &Local, ticks: u32) {
    local.date.refresh(clock::wall());
    let dropped = local.access.borrow_mut().flush();
    if dropped > 0 {
        local.counts.add(Count::LogLinesDropped, u64::from(dropped));
    }
    if ticks.is_multiple_of(10) {
        local.pools.reap(local.now());
    }
}
