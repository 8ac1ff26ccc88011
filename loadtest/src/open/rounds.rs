//! Rounds of an open loop: a rate that is a part of what nginx can do on this machine, the same for all targets, and
//! what each adds to the time that the origin alone takes.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use super::{Outcome, Pace, Percentiles, Plan};
use crate::bench::{self, Timing};
use crate::beside;
use crate::compare::Setting;
use crate::lane::Lane;
use crate::load;
use crate::origin::Origin;
use crate::process::Family;
use crate::report::{Column, Report};
use crate::rounds::order;
use crate::scenario::Scenario;
use crate::stats::{self, Round};
use crate::targets::{Kind, Subject};

/// Columns behind the cost.
const COLUMNS: [(&str, usize); 14] = [
    ("requests/s", 0),
    ("busy %", 0),
    ("waited %", 1),
    ("p50 us", 0),
    ("p90 us", 0),
    ("p99 us", 0),
    ("p99.9 us", 0),
    ("max us", 0),
    ("added p50 us", 0),
    ("added p99 us", 0),
    ("added p99.9 us", 0),
    ("sent late p99 us", 1),
    ("sent late max us", 0),
    ("held %", 2),
];

/// Runs a scenario at this part of nginx's saturation, in percent.
pub(crate) fn run(
    setting: &Setting,
    scenario: &Scenario,
    subjects: &[Subject],
    percent: u32,
) -> Result<Report> {
    let mut origin = Origin::bind(setting.origin, scenario.terms())?;
    let open = |subject: &Subject| Lane::open(setting, scenario, *subject, &origin);
    let mut lanes = subjects.iter().map(open).collect::<Result<Vec<_>>>()?;
    let (rate, reason) = match setting.rate {
        Some(rate) => (rate, "as given".to_owned()),
        None => calibrate(setting, scenario, &lanes, &mut origin, percent)?,
    };
    eprintln!("{}: {rate} requests/s, {reason}", scenario.name);
    let plan = Plan {
        connections: setting.connections.unwrap_or(scenario.connections),
        pace: Pace::Rate(rate),
        length: Some(scenario.answer),
        warm_up: setting.warm_up,
        window: setting.window.unwrap_or(Duration::try_from_secs_f64(scenario.window_seconds)?),
    };
    for round in 0..setting.pairs {
        let mut outcomes: Vec<Option<Outcome>> = lanes.iter().map(|_| None).collect();
        for at in order(round, lanes.len()) {
            let Some((lane, slot)) = lanes.get_mut(at).zip(outcomes.get_mut(at)) else { continue };
            let outcome = lane.measure_open(setting, &plan, &mut origin)?;
            eprintln!("{} {}/{}: {}", scenario.name, round + 1, setting.pairs, lane.say(&outcome));
            *slot = Some(outcome);
        }
        let outcomes: Vec<_> = outcomes.into_iter().flatten().collect();
        let direct = lanes.iter().zip(&outcomes).find(|(lane, _)| lane.subject.kind == Kind::Direct);
        let direct = direct.and_then(|(_, outcome)| outcome.times.percentiles());
        for (lane, outcome) in lanes.iter_mut().zip(&outcomes) {
            lane.note_open(outcome, direct);
        }
    }
    for lane in &mut lanes {
        lane.row.peak_bytes = lane.family.as_ref().map(Family::peak_bytes).transpose()?;
        stats::leave_out(&mut lane.row.rounds, false, 1);
    }
    let columns = COLUMNS.map(|(title, digits)| Column { title, digits });
    let cost = Column { title: scenario.unit.title(), digits: scenario.unit.digits() };
    let about = format!(
        "{}, {rate} requests/s ({reason}) over {} connections. Times count from the moment at which a request was due \
         (coordinated omission is accounted for); added: over direct, in the same round. CPU time (user and system) of \
         all the target's processes; one worker on a CPU of its own; load and origin on another, in one thread that \
         never sleeps: how late it was with requests for which a connection was free is shown, and how many had to \
         wait for one. Medians of {} interleaved rounds of {:?} after {:?} of warm-up, least and greatest in brackets.",
        scenario.about, plan.connections, setting.pairs, plan.window, plan.warm_up
    );
    Ok(Report {
        scenario: scenario.name,
        about,
        columns: std::iter::once(cost).chain(columns).collect(),
        rows: lanes.into_iter().map(|lane| lane.row).collect(),
        absent: setting.absent.clone(),
        command: setting.command.clone(),
    })
}

/// A part of what nginx answers in a closed loop, and how it was found.
fn calibrate(
    setting: &Setting,
    scenario: &Scenario,
    lanes: &[Lane],
    origin: &mut Origin,
    percent: u32,
) -> Result<(u64, String)> {
    let Some(nginx) = lanes.iter().find(|lane| lane.subject == Subject::plain(Kind::Nginx)) else {
        bail!("the rate is a part of what nginx can do, and nginx is not among the targets: give a --rate");
    };
    let plan: load::Plan = scenario.plan(setting.connections, Some(scenario.answer), None);
    let timing = Timing { warm_up: setting.warm_up, window: Duration::from_secs(2), spins: true };
    let outcome = bench::run(&nginx.url, &plan, &timing, Some(origin), nginx.family.as_ref())?;
    let errors = &outcome.tally.errors;
    ensure!(errors.total() == 0, "nginx failed while the rate was looked for: {errors:?}");
    let (most, busy) = (outcome.per_second(), outcome.busy_percent().unwrap_or(0.0));
    let rate = whole(most * f64::from(percent) / 100.0).max(1);
    Ok((rate, format!("{percent} % of the {most:.0} that nginx answered with its CPU busy at {busy:.0} %")))
}

impl Lane {
    fn measure_open(&mut self, setting: &Setting, plan: &Plan, origin: &mut Origin) -> Result<Outcome> {
        let is_known = self.serves_our_origin(setting);
        let plan = Plan { length: plan.length.filter(|_| is_known), ..plan.clone() };
        let beside = match &self.started {
            Some(started) => beside::start(self.subject.variant, started, Duration::from_millis(500))?,
            None => None,
        };
        let outcome = super::run(&self.url, &plan, Some(origin), self.family.as_ref())
            .with_context(|| self.row.label.clone())?;
        if let Some(Err(error)) = beside.map(beside::Beside::stop) {
            self.row.errors.add(format!("{error:#}"));
        }
        Ok(outcome)
    }

    /// A round in a few words.
    fn say(&self, outcome: &Outcome) -> String {
        let cost = outcome.cpu_per_request().map_or_else(|| "-".to_owned(), |cost| format!("{cost:.2}"));
        let times = outcome.times.percentiles().map_or_else(
            || "no answers".to_owned(),
            |times| format!("p50 {:.0}, p99 {:.0}, p99.9 {:.0} us", times.p50, times.p99, times.p999),
        );
        let errors = outcome.errors.total();
        format!("{}: CPU {cost} us per request, {times}, {errors} errors", self.row.label)
    }

    /// Adds a round to the row.
    fn note_open(&mut self, outcome: &Outcome, direct: Option<Percentiles>) {
        let (busy, waited) = (outcome.busy_percent(), outcome.waited_percent());
        let (times, late) = (outcome.times.percentiles(), outcome.late.percentiles());
        let added = times.zip(direct).map(|(times, direct)| times.over(direct));
        let added = added.filter(|_| self.subject.kind != Kind::Direct);
        let values = vec![
            outcome.cpu_per_request(),
            Some(outcome.per_second()),
            busy,
            waited,
            times.map(|times| times.p50),
            times.map(|times| times.p90),
            times.map(|times| times.p99),
            times.map(|times| times.p999),
            times.map(|times| times.max),
            added.map(|added| added.p50),
            added.map(|added| added.p99),
            added.map(|added| added.p999),
            late.map(|late| late.p99),
            late.map(|late| late.max),
            Some(outcome.held_percent()),
        ];
        self.row.rounds.push(Round { values, busy, waited, is_kept: true });
        self.row.errors.merge(&outcome.errors);
        if outcome.times.count() == 0 {
            self.row.errors.add("a round without an answer");
        }
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a rate is far below 2^64 and not negative"
)]
fn whole(rate: f64) -> u64 {
    rate.max(0.0) as u64
}
