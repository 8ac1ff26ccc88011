//! The end: readiness goes red, workers drain, and the process ends when the last one has, or when their time
//! is up.

use std::rc::Rc;
use std::time::Duration;

use super::engine::{EngineError, Event, Next};
use super::state::{Control, Phase, Standing, Worker};
use crate::log::{Level, say};
use crate::worker::inbox::Command;

/// What workers get beyond the drain's time, to say that they are done.
const GRACE: Duration = Duration::from_secs(1);

impl Control {
    /// Starts the drain; asked a second time, ends at once.
    pub(super) fn drain(self: &Rc<Self>) -> Next {
        let mut live = self.live.borrow_mut();
        match live.phase {
            Phase::Resolving => return Next::End(Ok(())),
            Phase::Draining => {
                say(Level::Warn, "drain.cut", "asked again: ending at once", &[]);
                return Next::End(Ok(()));
            }
            Phase::Starting | Phase::Running => {}
        }
        live.phase = Phase::Draining;
        live.staged = None;
        let delay = live.snapshot.server.drain_delay;
        drop(live);
        self.tell(|| Command::Unready);
        if delay.is_zero() {
            return self.close_doors();
        }
        say(
            Level::Info,
            "drain.announced",
            "readiness is red; connections are taken a little longer",
            &[("delay_s", &delay.as_secs_f64()), ("connections", &self.connections.active())],
        );
        self.after(delay, Event::DrainDelayed);
        Next::GoOn
    }

    /// Readiness was red for long enough.
    pub(super) fn close_doors(self: &Rc<Self>) -> Next {
        let timeout = self.live.borrow().snapshot.server.drain_timeout;
        say(
            Level::Info,
            "drain.started",
            "draining: no new connections are taken",
            &[("timeout_s", &timeout.as_secs_f64()), ("connections", &self.connections.active())],
        );
        self.tell(|| Command::Drain { timeout });
        self.after(timeout + GRACE, Event::DrainDue);
        Next::GoOn
    }

    /// The drain had its time.
    pub(super) fn drain_due(&self) -> Next {
        let left = self.workers.iter().filter(|worker| is_there(worker)).count();
        say(Level::Warn, "drain.late", "workers did not end in time", &[("workers", &left)]);
        Next::End(Ok(()))
    }

    /// A worker has no connections any more.
    pub(super) fn drained(&self, id: usize, cut: u64) -> Next {
        if let Some(worker) = self.workers.get(id) {
            worker.drained.set(true);
        }
        let (level, sentence) = match cut {
            0 => (Level::Debug, "a worker has drained"),
            _ => (Level::Warn, "a worker has drained; the deadline cut connections"),
        };
        say(level, "worker.drained", sentence, &[("worker", &id), ("cut", &cut)]);
        self.next_of_drain()
    }

    /// Ends once every worker's thread has ended and all they reported has been heard.
    fn next_of_drain(&self) -> Next {
        let is_done = |worker: &Worker| !is_there(worker) && worker.drained.get();
        match self.live.borrow().phase {
            Phase::Draining if self.workers.iter().all(is_done) => Next::End(Ok(())),
            Phase::Resolving | Phase::Starting | Phase::Running | Phase::Draining => Next::GoOn,
        }
    }

    /// A worker's thread is at its end: as it should when draining, and never before.
    pub(super) fn worker_ended(self: &Rc<Self>, id: usize, outcome: Result<(), String>) -> Next {
        if let Some(worker) = self.workers.get(id) {
            *worker.standing.borrow_mut() = Standing::Ended;
            worker.outbox.close();
        }
        let phase = self.live.borrow().phase;
        let is_last = !self.workers.iter().any(is_there);
        match (phase, outcome) {
            (Phase::Resolving | Phase::Starting, outcome) => {
                let reason = outcome.err().unwrap_or_else(|| "it ended".to_owned());
                return Next::End(Err(EngineError::Worker { worker: id, reason }));
            }
            (Phase::Draining, Ok(())) => {}
            (Phase::Draining | Phase::Running, outcome) => {
                // It will report no more.
                if let Some(worker) = self.workers.get(id) {
                    worker.drained.set(true);
                }
                let reason = outcome.err().unwrap_or_else(|| "it ended by itself".to_owned());
                say(
                    Level::Error,
                    "worker.lost",
                    "a worker is gone: the others take its share",
                    &[("worker", &id), ("reason", &reason)],
                );
            }
        }
        // A reload that waited for this worker need not.
        self.seated();
        match (is_last, phase) {
            (false, _) => Next::GoOn,
            (true, Phase::Draining) => self.next_of_drain(),
            (true, Phase::Resolving | Phase::Starting | Phase::Running) => {
                Next::End(Err(EngineError::NoWorkers))
            }
        }
    }
}

fn is_there(worker: &Worker) -> bool {
    *worker.standing.borrow() != Standing::Ended
}
