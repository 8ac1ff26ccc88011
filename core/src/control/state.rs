//! What control knows: what cannot change while the process runs, and what can.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use ringway_config::Snapshot;
use ringway_config::load::Names;
use ringway_config::snapshot::Epoch;

use super::directory::{self, Resolved};
use super::engine::{Event, Source};
use super::health::{Health, Identity, Transition, Wanted};
use super::labels::Labels;
use super::outbox::Outbox;
use super::pages::Served;
use super::probe::{self, Probes};
use super::reload::{Reading, Seating, Staged};
use super::resolve::{Resolution, Services};
use super::sockets::Held;
use super::tickets::TicketKeys;
use super::watch::Watch;
use crate::clock::{Clock, Moment};
use crate::log::access::AccessWriter;
use crate::log::{Level, say};
use crate::net::tls::Tickets;
use crate::net::{Buffers, DriverInfo, MailboxSender, Timers};
use crate::shard;
use crate::worker::cap::ConnectionCap;
use crate::worker::inbox::{Command, Directory};

/// Control: one per process, on its thread, shared by that thread's tasks.
pub(super) struct Control {
    pub(super) clock: Clock,
    pub(super) began: Moment,
    /// The same by the wall clock, since the Unix epoch.
    pub(super) began_wall: Duration,
    pub(super) source: Source,
    pub(super) timers: Rc<Timers>,
    pub(super) buffers: Rc<Buffers>,
    /// To this thread's own mailbox.
    pub(super) events: MailboxSender<Event>,
    pub(super) services: Services,
    pub(super) access: AccessWriter,
    pub(super) connections: Arc<ConnectionCap>,
    /// Publishes the keys of session tickets to the workers.
    pub(super) tickets: Tickets,
    /// Looks after the files of certificates.
    pub(super) watch: Watch,
    /// Those keys.
    pub(super) ticket_keys: RefCell<TicketKeys>,
    pub(super) workers: Vec<Worker>,
    /// Never borrowed across an await.
    pub(super) live: RefCell<Live>,
}

/// Control's view of a worker.
#[derive(Debug)]
pub(super) struct Worker {
    pub(super) cpu: usize,
    pub(super) shard: Arc<shard::Shard>,
    pub(super) reader: shard::Reader,
    pub(super) outbox: Rc<Outbox>,
    pub(super) standing: RefCell<Standing>,
    pub(super) seated: Cell<Epoch>,
    /// It has reported that it drained.
    pub(super) drained: Cell<bool>,
}

/// How far a worker is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Standing {
    Starting,
    Running(DriverInfo),
    Ended,
}

/// How far the process is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Names are being resolved; no worker runs.
    Resolving,
    /// Workers were started, and not all have said so.
    Starting,
    Running,
    Draining,
}

/// What control counts itself.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) reloads_done: u64,
    pub(super) reloads_refused: u64,
    pub(super) lookups_failed: BTreeMap<Arc<str>, u64>,
    /// Passed and failed, by upstream and endpoint.
    pub(super) checks: BTreeMap<(Arc<str>, Arc<str>), (u64, u64)>,
}

/// What changes.
pub(super) struct Live {
    pub(super) phase: Phase,
    pub(super) snapshot: Arc<Snapshot>,
    pub(super) directory: Directory,
    pub(super) resolved: Resolved,
    /// Names that have been looked up at least once, with whatever result.
    pub(super) answered: BTreeSet<Arc<str>>,
    /// Names whose last look-up failed.
    pub(super) failing: BTreeSet<Arc<str>>,
    pub(super) health: Health,
    pub(super) probes: Probes,
    pub(super) labels: Labels,
    pub(super) held: Held,
    pub(super) served: Served,
    pub(super) tally: Tally,
    /// Away while a file is being loaded.
    pub(super) names: Option<Names>,
    /// Loaded, and waiting for its names to be resolved.
    pub(super) staged: Option<Staged>,
    /// Former snapshots that exchanges may still hold: control lets go of each last, so that no worker frees one.
    pub(super) retired: Vec<Arc<Snapshot>>,
    /// The reload that workers are seating.
    pub(super) seating: Option<Seating>,
    /// A reload was asked for while another was under way.
    pub(super) reload_again: Option<Reading>,
    /// Said once all workers run, so that the first line is which driver they run on.
    pub(super) warnings: Vec<String>,
}

impl Control {
    /// Takes in what a look-up found.
    pub(super) fn resolved(self: &Rc<Self>, resolution: Resolution) {
        let Resolution { name, outcome } = resolution;
        let mut live = self.live.borrow_mut();
        live.answered.insert(Arc::clone(&name));
        // The first line of the log is about the start: until then, what fails is kept for later.
        let has_started = matches!(live.phase, Phase::Running | Phase::Draining);
        match outcome {
            Ok(addresses) => {
                let was_failing = live.failing.remove(&name);
                let before = live.resolved.insert(Arc::clone(&name), addresses.clone());
                let is_news = before.as_ref() != Some(&addresses);
                if has_started && (is_news || was_failing) {
                    let list = addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
                    let fields: [(&str, &dyn Display); 2] = [("name", &name), ("addresses", &list)];
                    say(Level::Info, "dns.resolved", "an endpoint's name has these addresses", &fields);
                }
                if !is_news {
                    return;
                }
            }
            Err(error) => {
                *live.tally.lookups_failed.entry(Arc::clone(&name)).or_default() += 1;
                let sentence = if live.resolved.contains_key(&name) {
                    "a look-up failed: the last good addresses stay in use"
                } else {
                    "a look-up failed: the endpoint has no address yet"
                };
                // Said once until it goes well again; the counter has the rest.
                let is_first = live.failing.insert(Arc::clone(&name));
                if is_first && has_started {
                    say(Level::Warn, "dns.failed", sentence, &[("name", &name), ("error", &error)]);
                } else if is_first {
                    live.warnings.push(format!("{sentence}: {name}: {error}"));
                }
                return;
            }
        }
        drop(live);
        self.check_members();
        self.publish();
    }

    /// Makes the checks that snapshot and addresses ask for.
    pub(super) fn check_members(self: &Rc<Self>) {
        let control = Rc::downgrade(self);
        let told = move |member: &Identity, wanted: &Wanted, outcome: Result<(), String>| {
            if let Some(control) = control.upgrade() {
                control.checked(member, wanted, outcome);
            }
        };
        let tools = probe::Tools {
            clock: self.clock.clone(),
            timers: Rc::clone(&self.timers),
            buffers: Rc::clone(&self.buffers),
            told: Rc::new(told),
        };
        let mut live = self.live.borrow_mut();
        let live = &mut *live;
        let wanted = live.health.reconcile(&live.snapshot, &live.resolved);
        let is_wanted = |upstream: &str, endpoint: &str| {
            wanted.keys().any(|member| (&*member.upstream, &*member.endpoint) == (upstream, endpoint))
        };
        live.tally.checks.retain(|(upstream, endpoint), _| is_wanted(upstream, endpoint));
        live.probes.follow(wanted, &tools);
    }

    /// Takes in what a check found.
    fn checked(&self, member: &Identity, wanted: &Wanted, outcome: Result<(), String>) {
        let mut live = self.live.borrow_mut();
        let key = (Arc::clone(&member.upstream), Arc::clone(&member.endpoint));
        let (passed, failed) = live.tally.checks.entry(key).or_default();
        *(if outcome.is_ok() { passed } else { failed }) += 1;
        let Some(transition) = live.health.record(member, outcome.is_ok(), &wanted.check) else { return };
        drop(live);
        let address = address_text(&member.address);
        let (upstream, endpoint) = (&member.upstream, &member.endpoint);
        match (transition, outcome) {
            (Transition::Unhealthy, Err(error)) => {
                say(
                    Level::Warn,
                    "health.down",
                    "an endpoint is unhealthy and gets no more requests",
                    &[
                        ("upstream", upstream),
                        ("endpoint", endpoint),
                        ("address", &address),
                        ("error", &error),
                    ],
                );
            }
            _ => say(
                Level::Info,
                "health.up",
                "an endpoint is healthy and gets requests",
                &[("upstream", upstream), ("endpoint", endpoint), ("address", &address)],
            ),
        }
        self.publish();
    }

    /// Tells workers the members if they are not those that they know.
    pub(super) fn publish(&self) {
        let mut live = self.live.borrow_mut();
        let directory = live.members();
        if directory == live.directory {
            return;
        }
        live.directory = Arc::clone(&directory);
        let epoch = live.snapshot.epoch;
        if live.phase != Phase::Resolving {
            self.tell(|| Command::Directory { epoch, directory: Arc::clone(&directory) });
        }
    }

    /// Sends a command to each worker.
    pub(super) fn tell(&self, command: impl Fn() -> Command) {
        for worker in &self.workers {
            worker.outbox.push(command());
        }
    }

    /// Whether each worker that has not ended is as asked.
    pub(super) fn every_worker(&self, is_so: impl Fn(&Worker) -> bool) -> bool {
        self.workers.iter().filter(|worker| *worker.standing.borrow() != Standing::Ended).all(is_so)
    }
}

impl Live {
    /// The members as they are now.
    pub(super) fn members(&self) -> Directory {
        let is_healthy =
            |upstream: &_, endpoint: &_, address: &_| self.health.is_healthy(upstream, endpoint, address);
        directory::build(&self.snapshot, &self.resolved, is_healthy, Some(&self.directory))
    }
}

/// An address for people.
pub(super) fn address_text(address: &crate::net::SocketAddress) -> String {
    address.to_string()
}
