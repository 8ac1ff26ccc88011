//! A target that is up during all rounds, and its row.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, ensure};

use crate::args::Url;
use crate::bench::{Bench, Outcome, Timing};
use crate::clock;
use crate::compare::Setting;
use crate::load::Plan;
use crate::origin::Origin;
use crate::process::Family;
use crate::report::Row;
use crate::scenario::{Scenario, Shape};
use crate::targets::{Kind, Started, Subject};
use crate::tls::{Client, Tickets};

/// So many tickets are got for each second at least; those that are left are for the next round.
const TICKETS_PER_SECOND: f64 = 20_000.0;
/// Tickets come from so many clients at a time.
const COLLECTORS: usize = 16;

/// A target that is up during all rounds, and its row.
pub(crate) struct Lane {
    pub(crate) subject: Subject,
    pub(crate) row: Row,
    /// None: somebody else has started it.
    pub(crate) started: Option<Started>,
    pub(crate) url: Url,
    pub(crate) family: Option<Family>,
    /// How the load's sessions begin; none: in clear.
    pub(crate) tls: Option<Client>,
    issuer: Option<Issuer>,
}

/// Another process of the target with the same configuration and keys, which issues the tickets that are resumed.
struct Issuer {
    started: Started,
    collects: Option<Client>,
    tickets: Arc<Tickets>,
    /// Tickets that a second takes.
    per_second: f64,
}

impl Lane {
    /// Starts the target, unless it runs already.
    pub(crate) fn open(
        setting: &Setting,
        scenario: &Scenario,
        subject: Subject,
        origin: &Origin,
    ) -> Result<Self> {
        let (row, wire) = (setting.row(subject), scenario.wire);
        if let Some((url, pid)) = setting.url.clone().filter(|_| subject.kind == Kind::Url) {
            let family = pid.map(Family::of).transpose()?;
            let tls = wire.client()?;
            return Ok(Self { subject, row, started: None, url, family, tls, issuer: None });
        }
        let started = setting.start(subject, wire, origin.address)?;
        let (url, family) = (started.url.clone(), started.family().cloned());
        let (mut issuer, mut tls) = (None, wire.client()?);
        if scenario.shape == Shape::Resuming {
            let tickets = Arc::new(Tickets::default());
            issuer = Some(Issuer {
                started: setting.start_another(subject, wire, origin.address)?,
                collects: tls.as_ref().map(|client| client.collecting(&tickets)),
                tickets: Arc::clone(&tickets),
                per_second: TICKETS_PER_SECOND,
            });
            tls = tls.map(|client| client.using(&tickets));
        }
        Ok(Self { subject, row, started: Some(started), url, family, tls, issuer })
    }

    /// Whether its answers are our origin's, so that their length is known. Somebody else's gateway may serve anything
    /// unless it was pointed to our origin.
    pub(crate) fn serves_our_origin(&self, setting: &Setting) -> bool {
        self.subject.kind != Kind::Url || setting.origin.port() != 0
    }

    /// Has enough tickets issued for a round, if it is to resume sessions.
    pub(crate) fn collect_tickets(&self, timing: &Timing, origin: &mut Origin) -> Result<()> {
        let Some(issuer) = &self.issuer else { return Ok(()) };
        let wanted = issuer.per_second * (timing.warm_up + timing.window).as_secs_f64();
        let plan =
            Plan { connections: COLLECTORS, reuse: false, tls: issuer.collects.clone(), ..Plan::default() };
        let mut bench = Bench::open(&issuer.started.url, &plan, Some(origin), timing.spins)?;
        let start = clock::now();
        while to_float(issuer.tickets.count()) < wanted {
            bench.run(Duration::from_millis(20))?;
            let errors = bench.errors();
            ensure!(errors.total() == 0, "{} issues no tickets: {errors:?}", self.row.label);
            ensure!(start.elapsed() < Duration::from_secs(30), "{} issues too few tickets", self.row.label);
        }
        Ok(())
    }

    /// Learns how many tickets a second takes, with some to spare. Without any left the load shook hands in full, which
    /// is not the target's doing.
    pub(crate) fn note_tickets(&mut self, outcome: &Outcome) {
        if let Some(issuer) = &mut self.issuer {
            if issuer.tickets.count() == 0 {
                self.row.errors.add("a round took more tickets than it was given");
            }
            issuer.per_second = issuer.per_second.max(outcome.per_second() * 1.5);
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts of a run are far below 2^52")]
fn to_float(count: usize) -> f64 {
    count as f64
}
