//! A reload: the file is read on a thread of its own; what is refused changes nothing; what is accepted is
//! bound, resolved, and then seated by every worker under the next epoch.

use std::collections::BTreeSet;
use std::panic::AssertUnwindSafe;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use ringway_config::error::ConfigErrors;
use ringway_config::load::{Loaded, Names, Secrets, load_str};
use ringway_config::snapshot::Epoch;
use ringway_config::{Snapshot, diff};

use super::directory;
use super::engine::{Event, NAMES_TIMEOUT, access_refused, load};
use super::pages::Served;
use super::sockets::{self, Bound, Which};
use super::state::{Control, Phase};
use super::tickets::TicketKeys;
use crate::clock::Moment;
use crate::log::access::{AccessWriter, OpenSink};
use crate::log::{Level, operator, say};
use crate::worker::inbox::Command;

/// A former snapshot is looked at so long after its successor was published; most exchanges are over then.
const RETIRE_AFTER: Duration = Duration::from_secs(1);
/// And again and again, while an exchange keeps it.
const RETIRE_AGAIN: Duration = Duration::from_secs(10);
/// How long workers may take to seat before control says so.
const SEAT_TIMEOUT: Duration = Duration::from_secs(10);

/// What the reload thread brings back.
#[derive(Debug)]
pub(super) struct LoadOutcome {
    names: Names,
    /// What was loaded and how it differs, or every error.
    result: Result<(Loaded, Vec<String>), Vec<String>>,
    began: Moment,
}

/// Accepted, and waiting for its names to be resolved.
#[derive(Debug)]
pub(super) struct Staged {
    snapshot: Arc<Snapshot>,
    bound: Vec<Bound>,
    /// When it was decided which addresses are ours.
    bound_at: Moment,
    served: Served,
    /// The access log's new place, if that changed.
    sink: Option<OpenSink>,
    seating: Seating,
}

/// Sent to workers, and waiting for them.
#[derive(Debug)]
pub(super) struct Seating {
    began: Moment,
    /// One line each.
    changes: Vec<String>,
}

/// What a reload reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Reading {
    /// The text that is in force already, with the files that it names as they are now: an unfinished edit of the
    /// configuration must not come in with a new certificate.
    Same,
    /// The configuration's file, and all that it names.
    File,
}

impl Control {
    /// Starts a reload, or notes that one is to follow the one under way.
    pub(super) fn reload(self: &Rc<Self>, reading: Reading) {
        let mut live = self.live.borrow_mut();
        if live.phase == Phase::Draining {
            say(Level::Warn, "reload.ignored", "not reloading: Ringway is draining", &[]);
            return;
        }
        let is_busy = live.phase != Phase::Running || live.staged.is_some() || live.seating.is_some();
        let Some(names) = live.names.take_if(|_| !is_busy) else {
            // The one that reads more does for both.
            live.reload_again = live.reload_again.max(Some(reading));
            return;
        };
        live.reload_again = None;
        let (hand, handed) = crossbeam_channel::bounded::<Names>(1);
        let (source, old, began) = (self.source.clone(), Arc::clone(&live.snapshot), self.clock.now());
        let events = self.events.clone();
        let started = std::thread::Builder::new().name("reload".to_owned()).spawn(move || {
            let Ok(mut names) = handed.recv() else { return };
            let read = std::panic::catch_unwind(AssertUnwindSafe(|| match reading {
                Reading::File => load(&source, &mut names),
                Reading::Same => load_again(&old, &mut names),
            }));
            let result = match read {
                Ok(Ok(loaded)) => {
                    let changes = diff(&old, &loaded.snapshot);
                    Ok((loaded, changes))
                }
                Ok(Err(errors)) => Err(lines(&errors)),
                Err(_panic) => Err(vec!["reading the configuration panicked".to_owned()]),
            };
            let mut event = Event::Loaded(Box::new(LoadOutcome { names, result, began }));
            while let Err(back) = events.send(event) {
                event = back;
                std::thread::park_timeout(Duration::from_millis(20));
            }
        });
        match started {
            // There is room for one, and this is it.
            Ok(_) => drop(hand.send(names)),
            Err(error) => {
                live.names = Some(names);
                drop(live);
                self.refuse(&[format!("the reload's thread cannot be started: {error}")]);
            }
        }
    }

    /// Takes in what the reload thread brings.
    pub(super) fn loaded(self: &Rc<Self>, outcome: LoadOutcome) {
        let LoadOutcome { names, result, began } = outcome;
        self.live.borrow_mut().names = Some(names);
        let staged = result.and_then(|(loaded, changes)| self.stage(loaded, Seating { began, changes }));
        match staged {
            Ok(()) => self.commit_when_resolved(),
            Err(errors) => {
                self.refuse(&errors);
                self.reload_if_asked();
            }
        }
    }

    /// Makes ready all that can fail. Nothing has changed when it does.
    fn stage(self: &Rc<Self>, loaded: Loaded, seating: Seating) -> Result<(), Vec<String>> {
        let mut live = self.live.borrow_mut();
        let Loaded { mut snapshot, warnings } = loaded;
        if live.phase == Phase::Draining {
            return Err(vec!["Ringway is draining".to_owned()]);
        }
        let fixed = needs_restart(&live.snapshot, &snapshot);
        if !fixed.is_empty() {
            return Err(fixed);
        }
        snapshot.epoch = Epoch(live.snapshot.epoch.0 + 1);
        let sink = if snapshot.log.access == live.snapshot.log.access {
            None
        } else {
            let sink = &snapshot.log.access;
            let opened = AccessWriter::open(sink);
            Some(opened.map_err(|error| vec![access_refused(sink, &error).to_string()])?)
        };
        let served = Served::bind(&snapshot, &live.served).map_err(|error| vec![error])?;
        let bound_at = self.clock.now();
        let bound = sockets::bind_new(&snapshot, &live.held, self.workers.len(), bound_at, Which::New)?;
        for warning in warnings {
            say(Level::Warn, "config.warning", &warning, &[]);
        }
        let epoch = snapshot.epoch;
        live.staged = Some(Staged { snapshot: Arc::new(snapshot), bound, bound_at, served, sink, seating });
        drop(live);
        self.follow_names();
        self.after(NAMES_TIMEOUT, Event::NamesDue(epoch));
        Ok(())
    }

    /// Has the names looked up that this snapshot and the next one have.
    pub(super) fn follow_names(&self) {
        let live = self.live.borrow();
        let mut names = directory::names(&live.snapshot);
        if let Some(staged) = &live.staged {
            names.extend(directory::names(&staged.snapshot));
            names.sort_unstable();
            names.dedup();
        }
        self.services.follow(names);
    }

    /// Seats what is staged if all of its names have been looked up.
    pub(super) fn commit_when_resolved(self: &Rc<Self>) {
        let live = self.live.borrow();
        let Some(staged) = &live.staged else { return };
        let epoch = staged.snapshot.epoch;
        if directory::names(&staged.snapshot).iter().all(|name| live.answered.contains(name)) {
            drop(live);
            self.commit_staged(epoch);
        }
    }

    /// Seats what is staged, if it is this epoch.
    pub(super) fn commit_staged(self: &Rc<Self>, epoch: Epoch) {
        let mut live = self.live.borrow_mut();
        if live.phase != Phase::Running {
            live.staged = None;
            return;
        }
        let Some(staged) = live.staged.take_if(|staged| staged.snapshot.epoch == epoch) else { return };
        let Staged { snapshot, mut bound, bound_at, served, sink, seating } = staged;
        match sockets::bind_new(&snapshot, &live.held, self.workers.len(), bound_at, Which::Ours) {
            Ok(ours) => bound.extend(ours),
            Err(errors) => {
                drop(live);
                self.refuse(&errors);
                return self.reload_if_asked();
            }
        }
        operator::configure(&snapshot.log);
        self.connections.set_max(snapshot.server.max_connections);
        if let Err(error) = sink.map_or_else(|| self.access.reopen(), |sink| self.access.redirect(sink)) {
            say(Level::Error, "log.access.reopen", "the access log goes on as it was", &[("error", &error)]);
        }
        let names: BTreeSet<_> = directory::names(&snapshot).into_iter().collect();
        live.resolved.retain(|name, _| names.contains(name));
        live.answered.retain(|name| names.contains(name));
        live.failing.retain(|name| names.contains(name));
        live.tally.lookups_failed.retain(|name, _| names.contains(name));
        live.labels.learn(&snapshot);
        live.held = live.held.after(&snapshot, &bound, self.clock.now());
        live.served = served;
        self.watch.follow(&snapshot.files);
        let former = std::mem::replace(&mut live.snapshot, Arc::clone(&snapshot));
        if former.server.state_dir != snapshot.server.state_dir {
            let folder = snapshot.server.state_dir.as_deref();
            *self.ticket_keys.borrow_mut() = TicketKeys::new(self.tickets.clone(), folder);
        }
        live.retired.push(former);
        live.seating = Some(seating);
        drop(live);

        self.follow_names();
        self.check_members();
        self.serve_pages();
        let mut live = self.live.borrow_mut();
        live.directory = live.members();
        for (worker, listeners) in self.workers.iter().zip(sockets::deal(bound, self.workers.len())) {
            let (snapshot, directory) = (Arc::clone(&snapshot), Arc::clone(&live.directory));
            worker.outbox.push(Command::Seat { snapshot, directory, listeners });
        }
        drop(live);
        self.after(SEAT_TIMEOUT, Event::SeatDue(epoch));
        self.after(RETIRE_AFTER, Event::RetireDue);
    }

    /// Frees former snapshots that nobody else holds, on a thread of its own: a large one takes milliseconds.
    pub(super) fn retire(self: &Rc<Self>) {
        let mut live = self.live.borrow_mut();
        let (free, held): (Vec<_>, Vec<_>) =
            live.retired.drain(..).partition(|snapshot| Arc::strong_count(snapshot) == 1);
        live.retired = held;
        let again = !live.retired.is_empty();
        drop(live);
        if !free.is_empty() {
            // Should there be no thread, they are freed here.
            let _ = std::thread::Builder::new().name("retire".to_owned()).spawn(move || drop(free));
        }
        if again {
            self.after(RETIRE_AGAIN, Event::RetireDue);
        }
    }

    /// Says that the reload is done once each worker has seated the epoch.
    pub(super) fn seated(self: &Rc<Self>) {
        let mut live = self.live.borrow_mut();
        let epoch = live.snapshot.epoch;
        if !self.every_worker(|worker| worker.seated.get() >= epoch) {
            return;
        }
        let Some(Seating { began, changes }) = live.seating.take() else { return };
        live.tally.reloads_done += 1;
        drop(live);
        let millis = self.clock.now().since(began).as_millis();
        for change in &changes {
            say(Level::Info, "reload.change", change, &[]);
        }
        say(
            Level::Info,
            "reload.done",
            "the configuration was reloaded",
            &[("epoch", &epoch.0), ("changes", &changes.len()), ("duration_ms", &millis)],
        );
        self.reload_if_asked();
    }

    /// Seating had its time.
    pub(super) fn seat_due(self: &Rc<Self>, epoch: Epoch) {
        let mut live = self.live.borrow_mut();
        if live.snapshot.epoch != epoch || live.seating.take().is_none() {
            return;
        }
        drop(live);
        let late = self.workers.iter().enumerate().filter(|(_, worker)| worker.seated.get() < epoch);
        let late = late.map(|(id, _)| id.to_string()).collect::<Vec<_>>().join(",");
        say(
            Level::Error,
            "reload.late",
            "workers have not taken the new configuration yet",
            &[("epoch", &epoch.0), ("workers", &late)],
        );
        self.reload_if_asked();
    }

    /// Starts the reload that was asked for in the meantime.
    pub(super) fn reload_if_asked(self: &Rc<Self>) {
        let again = self.live.borrow().reload_again;
        if let Some(reading) = again {
            self.reload(reading);
        }
    }

    fn refuse(&self, errors: &[String]) {
        self.live.borrow_mut().tally.reloads_refused += 1;
        for error in errors {
            say(Level::Error, "reload.error", error, &[]);
        }
        let epoch = self.live.borrow().snapshot.epoch.0;
        say(
            Level::Error,
            "reload.refused",
            "the configuration was not reloaded: nothing has changed",
            &[("errors", &errors.len()), ("epoch", &epoch)],
        );
    }
}

/// Reads what a snapshot was made from again, but for its text.
fn load_again(old: &Snapshot, names: &mut Names) -> Result<Loaded, ConfigErrors> {
    let source = &old.source;
    load_str(&source.file, &source.text, &source.base, names, Secrets::Resolve)
}

/// One line for each error.
fn lines(errors: &ConfigErrors) -> Vec<String> {
    errors.0.iter().map(ToString::to_string).collect()
}

/// What differs and cannot change while the process runs. Such a file is refused, because obeying the rest of
/// it would be half a truth.
fn needs_restart(old: &Snapshot, new: &Snapshot) -> Vec<String> {
    let mut errors = Vec::new();
    if old.server.workers != new.server.workers {
        errors.push("server.workers was changed: that needs a restart".to_owned());
    }
    if old.server.driver != new.server.driver {
        errors.push("server.driver was changed: that needs a restart".to_owned());
    }
    errors
}

#[cfg(test)]
mod tests {
    use ringway_config::snapshot::{Driver, Workers};

    use super::super::directory::tests::snapshot;
    use super::*;

    #[test]
    fn workers_and_driver_need_a_restart() {
        let old = snapshot(Vec::new());
        let mut new = snapshot(Vec::new());
        assert!(needs_restart(&old, &new).is_empty());
        new.server.workers = Workers::Count(3);
        new.server.driver = Driver::Epoll;
        assert_eq!(needs_restart(&old, &new).len(), 2);
    }
}
