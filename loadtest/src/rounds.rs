//! The rounds of a scenario: who is measured, in which order, and what each round came to.

use std::fs;
use std::io::Read as _;
use std::net::Ipv4Addr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::bench::{self, Bench, Outcome, Timing};
use crate::beside;
use crate::clock;
use crate::compare::Setting;
use crate::idle;
use crate::lane::Lane;
use crate::open;
use crate::origin::{self, Origin};
use crate::process::Family;
use crate::report::{Column, Report, Row};
use crate::scenario::{Scenario, Shape, Unit};
use crate::stats::{self, Round};
use crate::syscalls;
use crate::targets::{Subject, Variant};

/// Runs a scenario; none: none of its targets is there.
pub(crate) fn run(setting: &Setting, scenario: &Scenario) -> Result<Option<Report>> {
    let subjects = setting.subjects(scenario);
    if subjects.is_empty() {
        return Ok(None);
    }
    match scenario.shape {
        Shape::Closed | Shape::Reconnecting | Shape::Resuming => closed(setting, scenario, &subjects),
        Shape::Open(percent) => open::rounds(setting, scenario, &subjects, percent),
        Shape::Idle => idle(setting, scenario, &subjects),
    }
    .map(Some)
}

/// Who is measured when in a round. Another one is first each time, and every second round goes the other way round:
/// nobody always follows the same one, and inherits what it leaves in the caches and in the kernel.
pub(crate) fn order(round: usize, count: usize) -> impl Iterator<Item = usize> {
    let first = round / 2;
    let backwards = round % 2 == 1;
    (0..count).map(move |turn| {
        let turn = if backwards { count - 1 - turn } else { turn };
        (first + turn) % count
    })
}

/// CPU time at saturation. All targets run through; each round measures one after the other.
fn closed(setting: &Setting, scenario: &Scenario, subjects: &[Subject]) -> Result<Report> {
    let mut origin = Origin::bind(setting.origin, scenario.terms())?;
    let open = |subject: &Subject| Lane::open(setting, scenario, *subject, &origin);
    let mut lanes = subjects.iter().map(open).collect::<Result<Vec<_>>>()?;
    let timing = Timing {
        warm_up: setting.warm_up,
        window: setting.window.unwrap_or(Duration::try_from_secs_f64(scenario.window_seconds)?),
        // A worker that shares the load's CPU could not run beside one that never sleeps.
        spins: setting.spins && !subjects.iter().any(|subject| setting.shares_load_cpu(*subject)),
    };
    // Rounds that are left out are made up for, within reason.
    for round in 0..setting.pairs + setting.pairs.div_ceil(2) {
        if round >= setting.pairs
            && lanes.iter_mut().all(|lane| lane.kept(setting, scenario) >= setting.pairs)
        {
            break;
        }
        for at in order(round, lanes.len()) {
            let Some(lane) = lanes.get_mut(at) else { continue };
            let outcome = lane.measure(setting, scenario, &timing, &mut origin)?;
            let done = lane.note(scenario, &outcome);
            eprintln!("{} {}/{}: {done}", scenario.name, round + 1, setting.pairs);
        }
    }
    for lane in &mut lanes {
        lane.finish(setting, scenario, &mut origin)?;
        lane.kept(setting, scenario);
    }
    let speed = if scenario.unit == Unit::Gib { "GiB/s" } else { "requests/s" };
    let mut columns = vec![
        Column { title: scenario.unit.title(), digits: scenario.unit.digits() },
        Column { title: speed, digits: if scenario.unit == Unit::Gib { 2 } else { 0 } },
        Column { title: "busy %", digits: 0 },
        Column { title: "waited %", digits: 1 },
        Column { title: "load busy %", digits: 0 },
    ];
    if scenario.shape == Shape::Resuming {
        columns.push(Column { title: "resumed %", digits: 2 });
    }
    let shared = subjects.iter().any(|subject| setting.shares_load_cpu(*subject));
    let about = format!(
        "{}. CPU time (user and system) of all the target's processes; one worker on a CPU of its own, unless the row \
         says otherwise; load and origin on another{}. Medians of {} interleaved rounds of {:?} after {:?} of warm-up, \
         least and greatest in brackets.",
        scenario.about,
        if shared { ", which the second worker shares, since there are only two" } else { "" },
        setting.pairs,
        timing.window,
        timing.warm_up
    );
    Ok(report(setting, scenario, about, columns, lanes.into_iter().map(|lane| lane.row).collect()))
}

/// Memory of a connection that waits. Each round starts the target afresh, so that no memory is already there.
fn idle(setting: &Setting, scenario: &Scenario, subjects: &[Subject]) -> Result<Report> {
    let connections = setting.connections.unwrap_or(scenario.connections);
    // Anywhere: its thread stays until the end, and the port that was asked for belongs to the scenarios behind.
    let origin = origin::start((Ipv4Addr::LOCALHOST, 0).into(), scenario.answer)?.address();
    let mut rows: Vec<_> = subjects.iter().map(|subject| setting.row(*subject)).collect();
    for round in 0..setting.pairs.min(5) {
        for (subject, row) in subjects.iter().zip(&mut rows) {
            let started = setting.start(*subject, scenario.wire, origin)?;
            let tls = scenario.wire.client()?;
            let pid = started.pid().context("no process")?;
            // What the first connections allocate once is not theirs.
            drop(idle::open(&started.url, 16, tls.as_ref()).with_context(|| row.label.clone())?);
            let before = idle::settled_memory(pid)?;
            let held =
                idle::open(&started.url, connections, tls.as_ref()).with_context(|| row.label.clone())?;
            let after = idle::settled_memory(pid)?;
            for _ in idle::still_open(&held)..connections {
                row.errors.add("closed while it was idle");
            }
            let each = to_float(idle::each(before, after, connections));
            eprintln!("{} {}: {}: {each:.0} bytes", scenario.name, round + 1, row.label);
            let values = vec![Some(each), Some(to_float(after / 1024))];
            row.rounds.push(Round { values, busy: None, waited: None, is_kept: true });
            row.peak_bytes = started.family().map(Family::peak_bytes).transpose()?;
        }
    }
    let about = format!(
        "{}: resident memory that they add. Medians of {} rounds, the target started afresh for each; least and \
         greatest in brackets.",
        scenario.about,
        setting.pairs.min(5)
    );
    let columns =
        vec![Column { title: scenario.unit.title(), digits: 0 }, Column { title: "KiB in all", digits: 0 }];
    Ok(report(setting, scenario, about, columns, rows))
}

/// Whether a log has so many lines, or gets them within a while: a target that dropped lines would look cheap.
fn has_lines(file: &Path, lines: u64) -> Result<bool> {
    let (mut file, mut found, mut buffer) = (fs::File::open(file)?, 0, vec![0; 256 * 1024]);
    let mut failed = None;
    let is_there = clock::until(Duration::from_secs(5), || {
        loop {
            match file.read(&mut buffer) {
                Ok(0) => return found >= lines,
                Ok(read) => {
                    let input = buffer.get(..read).unwrap_or_default();
                    found += u64::try_from(memchr::memchr_iter(b'\n', input).count()).unwrap_or(0);
                }
                Err(error) => {
                    failed = Some(error);
                    return true;
                }
            }
        }
    });
    failed.map_or(Ok(is_there), |error| Err(error.into()))
}

fn report(
    setting: &Setting,
    scenario: &Scenario,
    about: String,
    columns: Vec<Column>,
    rows: Vec<Row>,
) -> Report {
    let absent = setting.absent.clone();
    Report { scenario: scenario.name, about, columns, rows, absent, command: setting.command.clone() }
}

impl Lane {
    /// Bytes that each answer has, if that is known.
    fn length(&self, setting: &Setting, scenario: &Scenario) -> Option<usize> {
        self.serves_our_origin(setting).then_some(scenario.answer)
    }

    fn measure(
        &mut self,
        setting: &Setting,
        scenario: &Scenario,
        timing: &Timing,
        origin: &mut Origin,
    ) -> Result<Outcome> {
        self.collect_tickets(timing, origin)?;
        let plan = scenario.plan(setting.connections, self.length(setting, scenario), self.tls.clone());
        if let Some(started) = self.started.as_ref().filter(|_| self.subject.variant == Variant::AccessLog) {
            // It is opened for appending: cutting it keeps a long run from filling the disk.
            fs::File::options().write(true).open(started.place.access_log())?.set_len(0)?;
        }
        let beside = match &self.started {
            // Well within the window, so that a window of two seconds has two of them.
            Some(started) => {
                let first = timing.warm_up + Duration::from_millis(250);
                beside::start(self.subject.variant, started, first)?
            }
            None => None,
        };
        let outcome = bench::run(&self.url, &plan, timing, Some(origin), self.family.as_ref())
            .with_context(|| self.row.label.clone())?;
        self.note_tickets(&outcome);
        if let Some(Err(error)) = beside.map(beside::Beside::stop) {
            self.row.errors.add(format!("{error:#}"));
        }
        if let Some(started) = self.started.as_ref().filter(|_| self.subject.variant == Variant::AccessLog) {
            let answered = outcome.warmed + outcome.tally.requests;
            if !has_lines(&started.place.access_log(), answered)? {
                self.row.errors.add("the access log has fewer lines than requests were answered");
            }
        }
        Ok(outcome)
    }

    /// Adds a round to the row, and says it in a few words.
    fn note(&mut self, scenario: &Scenario, outcome: &Outcome) -> String {
        let (cost, speed) = match scenario.unit {
            Unit::Gib => (outcome.cpu_per_gib(), outcome.gib_per_second()),
            Unit::Request | Unit::Connection => {
                (outcome.cpu_per_request().map(|seconds| seconds * 1e6), outcome.per_second())
            }
        };
        let (busy, waited) = (outcome.busy_percent(), outcome.waited_percent());
        let mut values = vec![cost, Some(speed), busy, waited, Some(outcome.load_busy_percent())];
        if scenario.shape == Shape::Resuming {
            values.push(outcome.resumed_percent());
        }
        self.row.rounds.push(Round { values, busy, waited, is_kept: true });
        self.row.errors.merge(&outcome.tally.errors);
        if outcome.tally.requests == 0 {
            self.row.errors.add("a round without an answer");
        }
        let digits = scenario.unit.digits();
        let cost =
            cost.map_or_else(|| "-".to_owned(), |cost| format!("{cost:.digits$} {}", scenario.unit.title()));
        let resumed = match outcome.resumed_percent() {
            Some(percent) if scenario.shape == Shape::Resuming => format!(", {percent:.2} % resumed"),
            _ => String::new(),
        };
        format!("{}: {cost}, {speed:.1}/s{resumed}, {} errors", self.row.label, outcome.tally.errors.total())
    }

    /// Marks the rounds that count, as far as can be said now, and counts them.
    fn kept(&mut self, setting: &Setting, scenario: &Scenario) -> usize {
        // Where a worker has the load for a neighbour, waiting for each other is what is measured: all rounds count.
        if !setting.shares_load_cpu(self.subject) {
            stats::leave_out(&mut self.row.rounds, scenario.saturates, setting.cpus_of(self.subject));
        }
        self.row.rounds.iter().filter(|round| round.is_kept).count()
    }

    /// What is looked at once, after the rounds.
    fn finish(&mut self, setting: &Setting, scenario: &Scenario, origin: &mut Origin) -> Result<()> {
        let Some(family) = &self.family else { return Ok(()) };
        self.row.peak_bytes = Some(family.peak_bytes()?);
        if !setting.counts_syscalls || scenario.unit != Unit::Request {
            return Ok(());
        }
        let plan = scenario.plan(setting.connections, self.length(setting, scenario), self.tls.clone());
        let mut bench = Bench::open(&self.url, &plan, Some(origin), setting.spins)?;
        bench.run(Duration::from_millis(200))?;
        fs::create_dir_all(&setting.folder.0)?;
        self.row.syscalls = syscalls::per_request(&mut bench, family, &setting.folder.0)?;
        self.row.errors.merge(bench.errors());
        Ok(())
    }
}

#[expect(clippy::cast_precision_loss, reason = "bytes of a process are far below 2^52")]
fn to_float(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{has_lines, order};

    #[test]
    fn a_log_that_lacks_lines_is_found_out() {
        let path = std::env::temp_dir().join(format!("ringway-lines-{}", std::process::id()));
        std::fs::write(&path, "a\nb\nc").unwrap();
        let found = (has_lines(&path, 2).unwrap(), has_lines(&path, 3).unwrap());
        std::fs::remove_file(&path).unwrap();
        assert_eq!(found, (true, false));
        assert!(has_lines(&path, 0).is_err());
    }

    #[test]
    fn all_are_measured_in_each_round_and_nobody_always_first_or_behind_the_same_one() {
        for count in 3..8 {
            let (mut firsts, mut followed) = (BTreeSet::new(), BTreeSet::new());
            for round in 0..2 * count {
                let row: Vec<_> = order(round, count).collect();
                assert_eq!(row.iter().collect::<BTreeSet<_>>().len(), count, "{row:?}");
                firsts.insert(row[0]);
                followed.extend(row.windows(2).map(|pair| (pair[0], pair[1])));
            }
            assert_eq!((firsts.len(), followed.len()), (count, 2 * count));
        }
        assert_eq!(order(3, 1).collect::<Vec<_>>(), [0]);
    }
}
