//! The engine: from a configuration to running workers (`start`), and control's loop over what happens then.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use ringway_config::error::ConfigErrors;
use ringway_config::load::{Loaded, Names, Secrets, load_file, load_str};
use ringway_config::snapshot::{AccessSink, Epoch};

use super::process::{self, Signal};
use super::reload::{LoadOutcome, Reading};
use super::resolve::Resolution;
use super::sockets::Bound;
use super::start::{Hand, prepare, too_few_files};
use super::state::{Control, Phase, Standing};
use super::tickets;
use crate::clock;
use crate::log::access::AccessWriter;
use crate::log::{Level, operator, say};
use crate::net::{self, Mailbox, MailboxSender, RuntimeError, mailbox};
use crate::worker::inbox::Report;
use crate::worker::pin::place;

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
    /// Former snapshots may be free by now.
    RetireDue,
    /// Files that the snapshot was made from hold something else now.
    FilesChanged,
    /// The keys of session tickets are to be looked at.
    KeysDue,
    /// The dates of certificates are to be looked at.
    DatesDue,
    /// Readiness was red for `drain_delay`.
    DrainDelayed,
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
pub(super) const EVENTS_MAX: usize = 4096;
/// How often the dates of certificates are looked at.
const DATES_LOOK: Duration = Duration::from_secs(24 * 60 * 60);
/// For the logs to be written at the end.
const LOGS_TIMEOUT: Duration = Duration::from_secs(2);

/// Runs the gateway on this thread until it is told to end.
pub fn run(options: Options) -> Result<(), EngineError> {
    let (events, inbox) = mailbox(EVENTS_MAX).map_err(system("making control's mailbox"))?;
    process::hear(events.clone()).map_err(system("hearing signals"))?;
    let mut names = Names::default();
    let mut loaded = load(&options.source, &mut names)?;
    operator::configure(&loaded.snapshot.log);
    let placement = place(&loaded.snapshot.server.workers).map_err(EngineError::Refused)?;
    let files = process::raise_open_files().map_err(system("raising the limit of open files"))?;
    loaded.warnings.extend(placement.warnings.iter().cloned());
    loaded.warnings.extend(too_few_files(files, loaded.snapshot.server.max_connections));
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

pub(super) fn system(what: &'static str) -> impl FnOnce(std::io::Error) -> EngineError {
    move |error| EngineError::System { what, error }
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
        self.watch.follow(&self.live.borrow().snapshot.files);
        self.after(tickets::LOOK, Event::KeysDue);
        self.after(DATES_LOOK, Event::DatesDue);
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
                self.reload_if_asked();
            }
        };
        self.end(end)
    }

    /// Takes in one event.
    fn handle(self: &Rc<Self>, event: Event) -> Next {
        match event {
            Event::Signal(Signal::Reload) => self.reload(Reading::File),
            Event::FilesChanged => self.reload(Reading::Same),
            Event::KeysDue => self.keys_due(),
            Event::DatesDue => self.dates_due(),
            Event::Signal(Signal::Reopen) => self.reopen_logs(),
            Event::Signal(Signal::Drain) => return self.drain(),
            Event::Report(report) => return self.reported(report),
            Event::WorkerEnded { worker, outcome } => return self.worker_ended(worker, outcome),
            Event::Resolved(resolution) => {
                self.resolved(resolution);
                self.commit_when_resolved();
            }
            Event::Loaded(outcome) => self.loaded(*outcome),
            Event::NamesDue(epoch) => self.names_due(epoch),
            Event::SeatDue(epoch) => self.seat_due(epoch),
            Event::RetireDue => self.retire(),
            Event::DrainDelayed => return self.close_doors(),
            Event::DrainDue => return self.drain_due(),
        }
        Next::GoOn
    }

    fn reported(self: &Rc<Self>, report: Report) -> Next {
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
            Report::Drained { worker, cut } => return self.drained(worker, cut),
        }
        Next::GoOn
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

    fn keys_due(&self) {
        self.ticket_keys.borrow_mut().look(clock::wall().as_secs());
        self.after(tickets::LOOK, Event::KeysDue);
    }

    /// Says which certificates end soon; when they were loaded, that may have been far away.
    fn dates_due(&self) {
        let (live, now) = (self.live.borrow(), clock::wall().as_secs());
        for tls in live.snapshot.listeners.iter().filter_map(|listener| listener.tls.as_ref()) {
            for warning in tls.certificates.all().iter().filter_map(|certificate| certificate.warning(now)) {
                say(Level::Warn, "tls.certificate", &warning, &[]);
            }
        }
        self.after(DATES_LOOK, Event::DatesDue);
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
