//! The engine: from a configuration to running workers, and control's loop over what happens then. Threads start here.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use ringway_config::error::ConfigErrors;
use ringway_config::load::{Loaded, Names, Secrets, load_file, load_str};
use ringway_config::snapshot::{AccessSink, Epoch};

use super::directory::{self, Resolved};
use super::labels::Labels;
use super::outbox::Outbox;
use super::pages::Served;
use super::process::{self, Signal};
use super::reload::LoadOutcome;
use super::resolve::{Resolution, Services};
use super::sockets::{self, Bound};
use super::state::{Control, Live, Phase, Standing, Tally, Worker};
use crate::clock::Clock;
use crate::log::access::AccessWriter;
use crate::log::{Level, operator, say};
use crate::net::{self, Buffers, DriverInfo, Mailbox, MailboxSender, RuntimeError, Timers, mailbox};
use crate::shard::{Reader, Shard};
use crate::worker::cap::ConnectionCap;
use crate::worker::inbox::{Command, Report};
use crate::worker::pin::{Placement, place};
use crate::worker::{self, Start};

/// Where the configuration comes from.
#[derive(Debug, Clone)]
pub enum Source {
    /// A file, read again at each reload.
    File(PathBuf),
    /// Text that the program brings along.
    Embedded {
        /// What errors call it.
        name: String,
        /// The text.
        text: String,
        /// What relative paths are relative to.
        base: PathBuf,
    },
}

/// Called with the addresses of a started gateway.
pub type OnReady = Box<dyn FnOnce(&Ready)>;

/// How the gateway is run.
pub struct Options {
    /// The configuration.
    pub source: Source,
    /// Called once, when all workers take connections.
    pub on_ready: Option<OnReady>,
}

/// Where a started gateway answers.
#[derive(Debug, Clone)]
pub struct Ready {
    /// Each listener's name and address, with the real port.
    pub listeners: Vec<(Arc<str>, String)>,
    /// `GET /metrics`.
    pub metrics: Option<SocketAddr>,
    /// The admin pages.
    pub admin: Option<SocketAddr>,
}

/// Why the gateway did not start, or ended by itself.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The configuration is refused.
    #[error(transparent)]
    Config(#[from] ConfigErrors),
    /// There is no ring to run on.
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
    /// Workers cannot be placed, or sockets not be bound.
    #[error("{0}")]
    Refused(String),
    /// The system refused something.
    #[error("{what}: {error}")]
    System {
        /// What was asked for.
        what: &'static str,
        /// Its answer.
        error: std::io::Error,
    },
    /// A worker did not start.
    #[error("worker {worker} did not start: {reason}")]
    Worker {
        /// Which, from 0.
        worker: usize,
        /// Why.
        reason: String,
    },
    /// The last worker is gone.
    #[error("all workers have ended")]
    NoWorkers,
}

/// What control hears.
#[derive(Debug)]
pub(super) enum Event {
    Signal(Signal),
    Report(Report),
    /// A worker's thread is at its end.
    WorkerEnded {
        worker: usize,
        outcome: Result<(), String>,
    },
    Resolved(Resolution),
    /// The reload thread is done.
    Loaded(Box<LoadOutcome>),
    /// Names of this epoch have had their time.
    NamesDue(Epoch),
    /// Seating this epoch has had its time.
    SeatDue(Epoch),
    /// The drain has had its time.
    DrainDue,
}

/// Whether control goes on.
#[derive(Debug)]
pub(super) enum Next {
    GoOn,
    End(Result<(), EngineError>),
}

/// How long names may take before workers start without them.
pub(super) const NAMES_TIMEOUT: Duration = Duration::from_secs(3);
/// Events that may wait for control.
const EVENTS_MAX: usize = 4096;
/// Commands that may wait for a worker, in its inbox.
const COMMANDS_MAX: usize = 256;
/// The bounds of a shard's request series; within them, some for each route.
const SERIES: (usize, usize) = (4096, 65_536);
const SERIES_PER_ROUTE: usize = 8;
/// For the logs to be written at the end.
const LOGS_TIMEOUT: Duration = Duration::from_secs(2);

/// Runs the gateway on this thread until it is told to end.
pub fn run(options: Options) -> Result<(), EngineError> {
    let mut names = Names::default();
    let loaded = load(&options.source, &mut names)?;
    operator::configure(&loaded.snapshot.log);
    let placement = place(&loaded.snapshot.server.workers).map_err(EngineError::Refused)?;
    process::raise_open_files().map_err(system("raising the limit of open files"))?;
    let (events, inbox) = mailbox(EVENTS_MAX).map_err(system("making control's mailbox"))?;
    process::hear(events.clone()).map_err(system("hearing signals"))?;
    operator::start().map_err(system("starting the log's thread"))?;
    let access = AccessWriter::start(&loaded.snapshot.log.access)
        .map_err(|error| access_refused(&loaded.snapshot.log.access, &error))?;
    let driver = loaded.snapshot.server.driver;
    let outcome = net::run(driver, |_driver| async move {
        let prepared = prepare(options.source, loaded, names, &placement, events, access);
        match prepared {
            Ok((control, bound, reports)) => control.go(inbox, reports, bound, options.on_ready).await,
            Err(error) => Err(error),
        }
    });
    operator::finish(LOGS_TIMEOUT);
    outcome?
}

/// Reads the configuration.
pub(super) fn load(source: &Source, names: &mut Names) -> Result<Loaded, ConfigErrors> {
    match source {
        Source::File(path) => load_file(path, names, Secrets::Resolve),
        Source::Embedded { name, text, base } => load_str(name, text, base, names, Secrets::Resolve),
    }
}

/// An access log that cannot be opened.
pub(super) fn access_refused(sink: &AccessSink, error: &std::io::Error) -> EngineError {
    EngineError::Refused(match sink {
        AccessSink::File(path) => format!("log.access: {} cannot be opened: {error}", path.display()),
        AccessSink::Off | AccessSink::Stdout => format!("log.access: {error}"),
    })
}

fn system(what: &'static str) -> impl FnOnce(std::io::Error) -> EngineError {
    move |error| EngineError::System { what, error }
}

/// What a worker's thread is given beside what all share.
struct Hand {
    inbox: Mailbox<Command>,
    reports: MailboxSender<Report>,
}

type Prepared = (Rc<Control>, Vec<Bound>, (Vec<Hand>, Mailbox<Report>));

/// Binds everything and lays out control's state; nothing runs yet.
fn prepare(
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
    let held = sockets::Held::default();
    let bound = sockets::bind_new(&snapshot, &held, count, clock.now())
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
        });
        hands.push(Hand { inbox, reports: reports.clone() });
    }
    let mut labels = Labels::default();
    labels.learn(&snapshot);
    let live = Live {
        phase: Phase::Resolving,
        directory: directory::build(&snapshot, &Resolved::new(), |_, _, _| true, None),
        held: held.after(&snapshot, &bound, clock.now()),
        resolved: Resolved::new(),
        answered: BTreeSet::new(),
        health: super::health::Health::default(),
        probes: super::probe::Probes::default(),
        labels,
        served: Served::bind(&snapshot, &Served::default()).map_err(EngineError::Refused)?,
        tally: Tally { lookups_failed: BTreeMap::new(), ..Tally::default() },
        names: Some(names),
        staged: None,
        seating: None,
        reload_again: false,
        warnings: loaded.warnings.into_iter().chain(placement.warnings.iter().cloned()).collect(),
        snapshot: Arc::clone(&snapshot),
    };
    let control = Control {
        began: clock.now(),
        clock,
        source,
        timers: Timers::start(),
        buffers: Buffers::new(),
        services: Services::start(events.clone()).map_err(system("starting the thread services"))?,
        events,
        access,
        connections: ConnectionCap::new(snapshot.server.max_connections),
        workers,
        live: RefCell::new(live),
    };
    Ok((Rc::new(control), bound, (hands, reported)))
}

impl Control {
    /// Starts workers once names are known, then handles events until the end.
    async fn go(
        self: Rc<Self>,
        mut inbox: Mailbox<Event>,
        (hands, reports): (Vec<Hand>, Mailbox<Report>),
        bound: Vec<Bound>,
        mut on_ready: Option<OnReady>,
    ) -> Result<(), EngineError> {
        net::spawn(forward(reports, self.events.clone()));
        self.follow_names();
        self.after(NAMES_TIMEOUT, Event::NamesDue(Epoch(1)));
        let mut parts = Some((hands, bound));
        let end = loop {
            if self.may_start()
                && let Some((hands, bound)) = parts.take()
            {
                self.start_workers(hands, bound)?;
            }
            let Some(event) = inbox.recv().await else { break Err(EngineError::NoWorkers) };
            if let Next::End(end) = self.handle(event) {
                break end;
            }
            if self.becomes_ready() {
                let ready = self.say_started();
                if let Some(on_ready) = on_ready.take() {
                    on_ready(&ready);
                }
            }
        };
        self.end(end)
    }

    /// All names have been looked up, or had their time.
    fn may_start(&self) -> bool {
        let live = self.live.borrow();
        live.phase == Phase::Starting
            || (live.phase == Phase::Resolving
                && directory::names(&live.snapshot).iter().all(|name| live.answered.contains(name)))
    }

    fn start_workers(self: &Rc<Self>, hands: Vec<Hand>, bound: Vec<Bound>) -> Result<(), EngineError> {
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

    /// Takes in one event.
    fn handle(self: &Rc<Self>, event: Event) -> Next {
        match event {
            Event::Signal(Signal::Reload) => self.reload(),
            Event::Signal(Signal::Reopen) => self.reopen_logs(),
            Event::Signal(Signal::Drain) => return self.drain(),
            Event::Report(report) => self.reported(report),
            Event::WorkerEnded { worker, outcome } => return self.worker_ended(worker, outcome),
            Event::Resolved(resolution) => {
                self.resolved(resolution);
                self.commit_when_resolved();
            }
            Event::Loaded(outcome) => self.loaded(*outcome),
            Event::NamesDue(epoch) => self.names_due(epoch),
            Event::SeatDue(epoch) => self.seat_due(epoch),
            Event::DrainDue => return self.drain_due(),
        }
        Next::GoOn
    }

    fn reported(self: &Rc<Self>, report: Report) {
        match report {
            Report::Started { worker, driver } => {
                if let Some(worker) = self.workers.get(worker) {
                    worker.seated.set(Epoch(1));
                    *worker.standing.borrow_mut() = Standing::Running(driver);
                }
            }
            Report::Seated { worker, epoch } => {
                if let Some(worker) = self.workers.get(worker) {
                    worker.seated.set(epoch);
                }
                self.seated();
            }
            Report::Drained { worker, cut } => {
                let level = if cut == 0 { Level::Debug } else { Level::Warn };
                say(level, "worker.drained", "a worker has drained", &[("worker", &worker), ("cut", &cut)]);
            }
        }
    }

    /// Names had their time: workers start, or seat, without those that are missing.
    fn names_due(self: &Rc<Self>, epoch: Epoch) {
        let is_first = self.live.borrow().phase == Phase::Resolving && epoch == Epoch(1);
        if is_first {
            self.live.borrow_mut().phase = Phase::Starting;
        } else {
            self.commit_staged(epoch);
        }
    }

    /// Whether this was the last worker to start.
    fn becomes_ready(&self) -> bool {
        let is_running = |worker: &Worker| matches!(*worker.standing.borrow(), Standing::Running(_));
        let mut live = self.live.borrow_mut();
        let becomes = live.phase == Phase::Starting && self.workers.iter().all(is_running);
        if becomes {
            live.phase = Phase::Running;
        }
        becomes
    }

    /// The first line of the log: which driver, workers and addresses.
    fn say_started(&self) -> Ready {
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
        for warning in live.warnings.drain(..) {
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

    /// Tells control something later.
    pub(super) fn after(&self, duration: Duration, event: Event) {
        let events = self.events.clone();
        net::spawn(async move {
            net::sleep(duration).await;
            let mut event = event;
            while let Err(back) = events.send(event) {
                event = back;
                net::sleep(Duration::from_millis(50)).await;
            }
        });
    }

    fn reopen_logs(&self) {
        if let Err(error) = self.access.reopen() {
            say(
                Level::Error,
                "log.access.reopen",
                "the access log was not opened again",
                &[("error", &error)],
            );
        }
    }

    fn end(self: Rc<Self>, end: Result<(), EngineError>) -> Result<(), EngineError> {
        say(Level::Info, "gateway.ended", "Ringway ends", &[]);
        self.access.finish(LOGS_TIMEOUT);
        end
    }
}

/// Reports come in one mailbox with everything else, so that control has one order of things.
async fn forward(mut reports: Mailbox<Report>, events: MailboxSender<Event>) {
    while let Some(report) = reports.recv().await {
        let mut event = Event::Report(report);
        while let Err(back) = events.send(event) {
            event = back;
            net::sleep(Duration::from_millis(5)).await;
        }
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
