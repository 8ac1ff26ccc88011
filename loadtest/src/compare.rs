//! The comparison: every target through every scenario, in interleaved rounds.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use crate::args::{Args, Url};
use crate::idle;
use crate::load::{self, Plan};
use crate::machine::Machine;
use crate::origin;
use crate::process;
use crate::report::{Report, Row};
use crate::targets::{KINDS, Kind, Target};

const LENGTH: usize = 500;
const SCENARIOS: [&str; 2] = ["keepalive-500B-c64", "idle-5000"];

/// What all scenarios share.
#[derive(Debug)]
struct Setting {
    targets: Vec<Target>,
    absent: Vec<&'static str>,
    /// For configurations and logs of the targets.
    folder: Folder,
    origin: SocketAddr,
    target_cpu: usize,
    load_cpu: usize,
    rounds: usize,
    warm_up: Duration,
    window: Duration,
    connections: Option<usize>,
    command: String,
}

pub(crate) fn run(mut args: Args) -> Result<()> {
    let scenario = args.text("scenario")?;
    if let Some(unknown) = scenario.as_deref().filter(|name| !SCENARIOS.contains(name)) {
        bail!("unknown scenario `{unknown}`, known: {}", SCENARIOS.join(", "));
    }
    let writes = !args.switch("no-write");
    let setting = Setting::new(&mut args)?;
    let machine = Machine::look()?;
    for name in &setting.absent {
        println!("{name} was not found and is skipped");
    }
    let mut reports = Vec::new();
    for name in SCENARIOS.into_iter().filter(|name| scenario.as_deref().is_none_or(|wanted| wanted == *name))
    {
        reports.push(if name == "idle-5000" { setting.idle(name)? } else { setting.keepalive(name)? });
    }
    for report in &reports {
        let text = report.markdown(&machine)?;
        println!("\n{text}");
        if writes {
            println!("written to {}", report.write(&machine, &text)?.display());
        }
    }
    let errors: u64 = reports.iter().flat_map(|report| &report.rows).map(|row| row.errors).sum();
    ensure!(errors == 0, "{errors} requests failed: these numbers do not count");
    Ok(())
}

impl Setting {
    fn new(args: &mut Args) -> Result<Self> {
        let (target_cpu, load_cpu) = (args.number("target-cpu", 1)?, args.number("load-cpu", 0)?);
        let (only, ringway) = (args.text("only")?, args.text("ringway")?);
        let rounds = args.number("rounds", 5)?;
        let (warm_up, window) = (args.seconds("warm-up", 2.0)?, args.seconds("seconds", 5.0)?);
        let connections = args.optional_number("connections")?;
        args.finish()?;
        ensure!(target_cpu != load_cpu, "target and load need a CPU each");
        ensure!(rounds > 0, "--rounds: at least one");
        let (mut targets, mut absent) = (Vec::new(), Vec::new());
        for kind in KINDS.into_iter().filter(|kind| only.as_deref().is_none_or(|only| only == kind.name())) {
            let given = ringway.as_ref().filter(|_| kind.name() == "ringway").map(PathBuf::from);
            match Target::find(kind, given)? {
                Some(target) => targets.push(target),
                None => absent.push(kind.name()),
            }
        }
        ensure!(!targets.is_empty(), "nothing to measure: no target of that name was found");
        process::pin(load_cpu)?;
        let origin = origin::start(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), LENGTH)?.address();
        let folder = Folder(std::env::temp_dir().join(format!("ringway-loadtest-{}", std::process::id())));
        let command = format!("cargo run --release -p ringway-loadtest -- {}", typed().join(" "));
        Ok(Self {
            targets,
            absent,
            folder,
            origin,
            target_cpu,
            load_cpu,
            rounds,
            warm_up,
            window,
            connections,
            command,
        })
    }

    fn rows(&self) -> Vec<Row> {
        let row = |target: &Target| Row { target: target.clone(), rounds: Vec::new(), errors: 0 };
        self.targets.iter().map(row).collect()
    }

    /// CPU time per request at saturation. All targets run through; each round measures one after the other.
    fn keepalive(&self, scenario: &'static str) -> Result<Report> {
        let connections = self.connections.unwrap_or(64);
        let plan = Plan { connections, warm_up: self.warm_up, window: self.window, length: Some(LENGTH) };
        let mut rows = self.rows();
        let start =
            |target: &Target| target.start(&self.folder.0, self.origin, self.target_cpu, self.load_cpu);
        let started = self.targets.iter().map(start).collect::<Result<Vec<_>>>()?;
        for round in 0..self.rounds {
            println!("{scenario}: round {} of {}", round + 1, self.rounds);
            let mut pairs: Vec<_> = rows.iter_mut().zip(&started).collect();
            // Who is first changes, so that nobody always follows the same one.
            let first = round % pairs.len();
            pairs.rotate_left(first);
            for (row, started) in pairs {
                let name = row.target.kind.name();
                let url = Url::root(started.address);
                let outcome = load::run(&url, &plan, Some(started.running.pid())).context(name)?;
                for (why, count) in outcome.errors.iter() {
                    println!("{name}: {count} x {why}");
                }
                row.errors += outcome.errors.total();
                let cpu = outcome.cpu_per_request().with_context(|| format!("{name} answered nothing"))?;
                let (busy, waited) = (outcome.busy_percent(), outcome.waited_percent());
                row.rounds.push(vec![cpu, outcome.per_second(), busy.unwrap_or(0.0), waited.unwrap_or(0.0)]);
            }
        }
        drop(started);
        let about = format!(
            "CPU time (user and system) of the target per request: GET, {LENGTH} B answers, {connections} keep-alive \
             connections in a closed loop, kept connections to the origin, one worker on a CPU of its own. Medians \
             of {} interleaved rounds of {:?} after {:?} of warm-up, least and greatest in brackets.",
            self.rounds, self.window, self.warm_up
        );
        let titles = ["ns of CPU per request", "requests/s", "busy %", "waited %"];
        Ok(self.report(scenario, about, &titles, rows))
    }

    /// Memory of a connection that waits. Each round starts the target afresh, so that no memory is already there.
    fn idle(&self, scenario: &'static str) -> Result<Report> {
        let connections = self.connections.unwrap_or(5000);
        let mut rows = self.rows();
        // The floor keeps nothing per connection but two sockets, which are the kernel's.
        rows.retain(|row| row.target.kind != Kind::Floor);
        for round in 0..self.rounds {
            println!("{scenario}: round {} of {}", round + 1, self.rounds);
            for row in &mut rows {
                let name = row.target.kind.name();
                let started =
                    row.target.start(&self.folder.0, self.origin, self.target_cpu, self.load_cpu)?;
                let url = Url::root(started.address);
                // What the first connections allocate once is not theirs.
                drop(idle::open(&url, 16).context(name)?);
                let before = idle::settled_memory(started.running.pid())?;
                let held = idle::open(&url, connections).context(name)?;
                let after = idle::settled_memory(started.running.pid())?;
                row.errors += u64::try_from(connections - idle::still_open(&held))?;
                row.rounds
                    .push(vec![to_float(idle::each(before, after, connections)), to_float(after / 1024)]);
            }
        }
        let about = format!(
            "Resident memory that {connections} idle keep-alive connections add, each after one request. Medians of {} \
             rounds, the target started afresh for each; least and greatest in brackets.",
            self.rounds
        );
        Ok(self.report(scenario, about, &["bytes per connection", "KiB in all"], rows))
    }

    fn report(
        &self,
        scenario: &'static str,
        about: String,
        titles: &[&'static str],
        rows: Vec<Row>,
    ) -> Report {
        let columns = titles.to_vec();
        let (absent, command) = (self.absent.clone(), self.command.clone());
        Report { scenario, about, columns, rows, absent, command }
    }
}

/// The command's words; where somebody keeps a binary is no part of a result.
fn typed() -> Vec<String> {
    let mut words: Vec<String> = std::env::args().skip(1).collect();
    if let Some(at) = words.iter().position(|word| word == "--ringway")
        && let Some(path) = words.get_mut(at + 1)
    {
        "PATH".clone_into(path);
    }
    words
}

/// A temporary folder, removed when dropped, which is when the targets have been stopped.
#[derive(Debug)]
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        // It may not be there yet; and if it cannot be removed, it stays where temporary folders are.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[expect(clippy::cast_precision_loss, reason = "bytes of a process are far below 2^52")]
fn to_float(count: u64) -> f64 {
    count as f64
}
