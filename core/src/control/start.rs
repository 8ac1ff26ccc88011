//! The start: everything bound and laid out, then workers started, then the first line of the log.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use ringway_config::load::{Loaded, Names};
use ringway_config::snapshot::Epoch;

use super::directory::{self, Resolved};
use super::engine::{EVENTS_MAX, EngineError, Event, Ready, Source, system};
use super::health::Health;
use super::labels::Labels;
use super::outbox::Outbox;
use super::pages::Served;
use super::probe::Probes;
use super::resolve::Services;
use super::sockets::{self, Bound, Held, Which};
use super::state::{Control, Live, Phase, Standing, Tally, Worker};
use super::tickets::TicketKeys;
use super::watch::Watch;
use crate::clock::{self, Clock};
use crate::log::access::AccessWriter;
use crate::log::{Level, say};
use crate::net::tls::Tickets;
use crate::net::{Buffers, DriverInfo, Mailbox, MailboxSender, Timers, mailbox};
use crate::shard::{Reader, Shard};
use crate::worker::cap::ConnectionCap;
use crate::worker::inbox::{Command, Report};
use crate::worker::pin::Placement;
use crate::worker::{self, Start};

/// Commands that may wait for a worker, in its inbox.
const COMMANDS_MAX: usize = 256;
/// The bounds of a shard's request series; within them, some for each route.
const SERIES: (usize, usize) = (4096, 65_536);
const SERIES_PER_ROUTE: usize = 8;

/// What an operator should know when the system allows fewer files than the configuration allows connections.
pub(super) fn too_few_files(files: u64, connections_max: usize) -> Option<String> {
    let connections_max = connections_max as u64;
    (files < connections_max).then(|| {
        format!(
            "server.max_connections is {connections_max}, and the hard limit of open files {files}: raise \
             it (LimitNOFILE), or connections wait to be accepted"
        )
    })
}

/// What a worker's thread is given beside what all share.
pub(super) struct Hand {
    inbox: Mailbox<Command>,
    reports: MailboxSender<Report>,
}

pub(super) type Prepared = (Rc<Control>, Vec<Bound>, (Vec<Hand>, Mailbox<Report>));

/// Binds everything and lays out control's state; nothing runs yet.
pub(super) fn prepare(
    source: Source,
    mut loaded: Loaded,
    names: Names,
    placement: &Placement,
    events: MailboxSender<Event>,
    access: AccessWriter,
) -> Result<Prepared, EngineError> {
    loaded.snapshot.epoch = Epoch(1);
    let snapshot = Arc::new(loaded.snapshot);
    let (clock, count) = (Clock::new(), placement.cpus.len());
    let held = Held::default();
    let bound = sockets::bind_new(&snapshot, &held, count, clock.now(), Which::New)
        .map_err(|errors| EngineError::Refused(errors.join("\n")))?;
    let series = (snapshot.routes.all().len() * SERIES_PER_ROUTE).clamp(SERIES.0, SERIES.1);
    let (reports, reported) = mailbox(EVENTS_MAX).map_err(system("making the reports' mailbox"))?;
    let (mut workers, mut hands) = (Vec::new(), Vec::new());
    for cpu in &placement.cpus {
        let (sender, inbox) = mailbox(COMMANDS_MAX).map_err(system("making a worker's mailbox"))?;
        let shard = Shard::new(series);
        workers.push(Worker {
            cpu: *cpu,
            reader: Reader::new(Arc::clone(&shard)),
            shard,
            outbox: Outbox::new(sender),
            standing: RefCell::new(Standing::Starting),
            seated: Cell::default(),
            drained: Cell::default(),
        });
        hands.push(Hand { inbox, reports: reports.clone() });
    }
    let mut labels = Labels::default();
    labels.learn(&snapshot);
    let (tickets, folder) = (Tickets::default(), snapshot.server.state_dir.clone());
    let watch = Watch::start(events.clone()).map_err(system("starting the thread watch"))?;
    let live = Live {
        phase: Phase::Resolving,
        directory: directory::build(&snapshot, &Resolved::new(), |_, _, _| true, None),
        held: held.after(&snapshot, &bound, clock.now()),
        resolved: Resolved::new(),
        answered: BTreeSet::new(),
        failing: BTreeSet::new(),
        health: Health::default(),
        probes: Probes::default(),
        labels,
        served: Served::bind(&snapshot, &Served::default()).map_err(EngineError::Refused)?,
        tally: Tally::default(),
        names: Some(names),
        staged: None,
        retired: Vec::new(),
        seating: None,
        reload_again: None,
        warnings: loaded.warnings,
        snapshot: Arc::clone(&snapshot),
    };
    let control = Control {
        began: clock.now(),
        began_wall: clock::wall(),
        clock,
        source,
        timers: Timers::start(),
        buffers: Buffers::new(),
        services: Services::start(events.clone()).map_err(system("starting the thread services"))?,
        events,
        access,
        connections: ConnectionCap::new(snapshot.server.max_connections),
        ticket_keys: RefCell::new(TicketKeys::new(tickets.clone(), folder.as_deref())),
        tickets,
        watch,
        workers,
        live: RefCell::new(live),
    };
    Ok((Rc::new(control), bound, (hands, reported)))
}

impl Control {
    /// All names have been looked up, or had their time.
    pub(super) fn may_start(&self) -> bool {
        let live = self.live.borrow();
        live.phase == Phase::Starting
            || (live.phase == Phase::Resolving
                && directory::names(&live.snapshot).iter().all(|name| live.answered.contains(name)))
    }

    pub(super) fn start_workers(
        self: &Rc<Self>,
        hands: Vec<Hand>,
        bound: Vec<Bound>,
    ) -> Result<(), EngineError> {
        let mut live = self.live.borrow_mut();
        live.phase = Phase::Starting;
        live.directory = live.members();
        let dealt = sockets::deal(bound, self.workers.len());
        for ((id, worker), (hand, listeners)) in
            self.workers.iter().enumerate().zip(hands.into_iter().zip(dealt))
        {
            let start = Start {
                id,
                cpu: worker.cpu,
                driver: live.snapshot.server.driver,
                snapshot: Arc::clone(&live.snapshot),
                directory: Arc::clone(&live.directory),
                listeners,
                inbox: hand.inbox,
                reports: hand.reports,
                shard: Arc::clone(&worker.shard),
                access: self.access.log(),
                connections: Arc::clone(&self.connections),
                tickets: self.tickets.clone(),
            };
            let events = self.events.clone();
            std::thread::Builder::new()
                .name(format!("worker-{id}"))
                .spawn(move || work(start, &events))
                .map_err(system("starting a worker's thread"))?;
        }
        drop(live);
        self.check_members();
        self.serve_pages();
        Ok(())
    }

    /// Whether this was the last worker to start.
    pub(super) fn becomes_ready(&self) -> bool {
        let is_running = |worker: &Worker| matches!(*worker.standing.borrow(), Standing::Running(_));
        let mut live = self.live.borrow_mut();
        let becomes = live.phase == Phase::Starting && self.workers.iter().all(is_running);
        if becomes {
            live.phase = Phase::Running;
        }
        becomes
    }

    /// The first line of the log: which driver, workers and addresses.
    pub(super) fn say_started(&self) -> Ready {
        let mut live = self.live.borrow_mut();
        let (metrics, admin) = live.served.addresses();
        let ready = Ready { listeners: live.held.places(&live.snapshot), metrics, admin };
        let (drivers, flags) = self.drivers();
        let cpus = self.workers.iter().map(|worker| worker.cpu.to_string()).collect::<Vec<_>>().join(",");
        let places =
            ready.listeners.iter().map(|(name, at)| format!("{name}={at}")).collect::<Vec<_>>().join(",");
        let or_off = |at: Option<SocketAddr>| at.map_or_else(|| "off".to_owned(), |at| at.to_string());
        say(
            Level::Info,
            "gateway.started",
            "Ringway takes connections",
            &[
                ("version", &env!("CARGO_PKG_VERSION")),
                ("driver", &drivers),
                ("flags", &flags),
                ("workers", &self.workers.len()),
                ("cpus", &cpus),
                ("listeners", &places),
                ("metrics", &or_off(metrics)),
                ("admin", &or_off(admin)),
                ("pid", &std::process::id()),
            ],
        );
        let notes = self.notes();
        for warning in live.warnings.drain(..).chain(notes) {
            say(Level::Warn, "config.warning", &warning, &[]);
        }
        ready
    }

    /// The drivers and flags in use, each once.
    pub(super) fn drivers(&self) -> (String, String) {
        let (mut drivers, mut flags) = (BTreeSet::new(), BTreeSet::new());
        for worker in &self.workers {
            if let Standing::Running(DriverInfo { driver, flags: with, .. }) = &*worker.standing.borrow() {
                drivers.insert(*driver);
                flags.insert(*with);
            }
        }
        let joined = |words: BTreeSet<&'static str>| words.into_iter().collect::<Vec<_>>().join(",");
        (joined(drivers), joined(flags))
    }

    /// What workers have to say about their drivers, each once.
    fn notes(&self) -> BTreeSet<String> {
        let standing = self.workers.iter().map(|worker| worker.standing.borrow());
        standing
            .filter_map(|standing| match &*standing {
                Standing::Running(driver) => driver.note.clone(),
                Standing::Starting | Standing::Ended => None,
            })
            .collect()
    }
}

/// A worker's thread.
fn work(start: Start, events: &MailboxSender<Event>) {
    let worker = start.id;
    let outcome = match std::panic::catch_unwind(AssertUnwindSafe(|| worker::run(start))) {
        Ok(Ok(_driver)) => Ok(()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_panic) => Err("it panicked".to_owned()),
    };
    let mut event = Event::WorkerEnded { worker, outcome };
    while let Err(back) = events.send(event) {
        event = back;
        std::thread::park_timeout(Duration::from_millis(20));
    }
}
