//! The cross-check: other people's load generators on the same target, beside ours, so that a reader can see that ours
//! does not flatter: the requests per second and the times it finds, and what a request costs the target under each.

mod others;

use std::fmt::Write as _;
use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::clock;
use crate::compare::Setting;
use crate::machine::Machine;
use crate::open::{self, Pace, Plan};
use crate::origin::{self, Origin};
use crate::scenario::Scenario;
use crate::stats;
use crate::targets::{Kind, Started, Subject};
use others::{Found, Other};

/// Who makes the load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Generator {
    /// Ours, as `load` runs it: it sleeps, and so does the origin, on a thread of its own.
    Sleeping,
    /// Ours, as `compare` runs it: one thread for load and origin, which never sleeps.
    Spinning,
    Other(Other),
}

/// One round of one generator on one target.
#[derive(Debug)]
struct Line {
    found: Found,
    /// Microseconds of CPU of the target per request, and how much of its CPU that was, in percent.
    cpu: f64,
    busy: f64,
}

impl Line {
    /// In the order of the table's columns.
    fn values(&self) -> [f64; 5] {
        [self.found.per_second, self.found.p50, self.found.p99, self.cpu, self.busy]
    }
}

impl Generator {
    fn name(self) -> String {
        match self {
            Self::Sleeping => "ringway-loadtest, sleeping".to_owned(),
            Self::Spinning => "ringway-loadtest, as compare runs it".to_owned(),
            Self::Other(other) => other.name().to_owned(),
        }
    }
}

/// Compares generators on the targets of a setting, and prints it.
pub(crate) fn run(setting: &Setting, scenario: &Scenario) -> Result<()> {
    let mut generators = vec![Generator::Sleeping, Generator::Spinning];
    for other in Other::ALL {
        if other.is_found() {
            generators.push(Generator::Other(other));
        } else {
            eprintln!("{} was not found and is skipped", other.name());
        }
    }
    let machine = Machine::look()?;
    for subject in setting.subjects(scenario) {
        if !matches!(subject.kind, Kind::Direct | Kind::Url) {
            println!("{}", check(setting, scenario, subject, &generators, &machine)?);
        }
    }
    Ok(())
}

fn check(
    setting: &Setting,
    scenario: &Scenario,
    subject: Subject,
    generators: &[Generator],
    machine: &Machine,
) -> Result<String> {
    // Two origins for each subject, so none of them listens where `--origin` says.
    let anywhere = (Ipv4Addr::LOCALHOST, 0).into();
    let thread = origin::start(anywhere, scenario.answer)?.address();
    let mut own = Origin::bind(anywhere, scenario.terms())?;
    // One for an origin with a thread, one for an origin without.
    let starts =
        [setting.start(subject, scenario.wire, thread)?, setting.start(subject, scenario.wire, own.address)?];
    let [sleeping, spinning] = starts.each_ref();
    let mut rows: Vec<Vec<Line>> = generators.iter().map(|_| Vec::new()).collect();
    for round in 0..setting.pairs {
        for (generator, row) in generators.iter().zip(&mut rows) {
            let (target, origin) = match generator {
                Generator::Spinning => (spinning, Some(&mut own)),
                Generator::Sleeping | Generator::Other(_) => (sleeping, None),
            };
            let line = measure(setting, scenario, *generator, target, origin)?;
            eprintln!("{} {}/{}: {}", subject.label(), round + 1, setting.pairs, generator.name());
            ensure!(line.found.errors == 0, "{}: {} errors", generator.name(), line.found.errors);
            row.push(line);
        }
    }
    table(setting, scenario, subject, generators.iter().zip(&rows), machine)
}

fn measure(
    setting: &Setting,
    scenario: &Scenario,
    generator: Generator,
    target: &Started,
    origin: Option<&mut Origin>,
) -> Result<Line> {
    let connections = setting.connections.unwrap_or(scenario.connections);
    let window = setting.window.unwrap_or(Duration::try_from_secs_f64(scenario.window_seconds)?);
    let family = target.family().context("no process")?;
    if let Generator::Other(other) = generator {
        let before = family.cpu_time()?;
        let start = clock::now();
        let found = other.run(&format!("http://{}/", target.url.address), connections, window)?;
        let (cpu, time) = (family.cpu_time()?.since(before), start.elapsed());
        let busy = cpu.ran.as_secs_f64() * 100.0 / time.as_secs_f64();
        return Ok(Line { found, cpu: cpu.ran.as_secs_f64() * 1e6 / to_float(found.requests), busy });
    }
    let (pace, length) = (Pace::Closed, Some(scenario.answer));
    let plan = Plan { connections, pace, length, warm_up: setting.warm_up, window };
    let outcome = open::run(&target.url, &plan, origin, Some(family))?;
    let times = outcome.times.percentiles().context("no answers")?;
    let found = Found {
        requests: outcome.times.count(),
        per_second: outcome.per_second(),
        p50: times.p50,
        p99: times.p99,
        errors: outcome.errors.total(),
    };
    let (cpu, busy) = (outcome.cpu_per_request(), outcome.busy_percent());
    Ok(Line { found, cpu: cpu.unwrap_or(0.0), busy: busy.unwrap_or(0.0) })
}

fn table<'l>(
    setting: &Setting,
    scenario: &Scenario,
    subject: Subject,
    lines: impl Iterator<Item = (&'l Generator, &'l Vec<Line>)>,
    machine: &Machine,
) -> Result<String> {
    let mut text = format!(
        "# crosscheck of {}, {}\n\n{}. Medians of {} interleaved rounds, least and greatest in brackets.\n\n\
         | generator | requests/s | p50 us | p99 us | CPU us per request of the target | busy % |\n\
         |---|---|---|---|---|---|\n",
        subject.label(),
        machine.date,
        scenario.about,
        setting.pairs
    );
    for (generator, lines) in lines {
        write!(text, "| {} |", generator.name())?;
        for (column, digits) in [0, 0, 0, 2, 0].into_iter().enumerate() {
            let values = lines.iter().filter_map(|line| line.values().get(column).copied());
            let found = stats::summary(values.collect()).context("no rounds")?;
            let (median, least, greatest) = (found.median, found.least, found.greatest);
            write!(text, " {median:.digits$} ({least:.digits$} to {greatest:.digits$}) |")?;
        }
        text.push('\n');
    }
    Ok(text)
}

#[expect(clippy::cast_precision_loss, reason = "counts of a run are far below 2^52")]
fn to_float(count: u64) -> f64 {
    count as f64
}
