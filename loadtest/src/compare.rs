//! The comparison: what was asked for, the targets that are there, one scenario after the other.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use crate::args::{Args, Url};
use crate::chart;
use crate::configuration::Place;
use crate::crosscheck;
use crate::gateway;
use crate::load::Errors;
use crate::machine::Machine;
use crate::process;
use crate::report::{self, Row};
use crate::rounds;
use crate::scenario::{SCENARIOS, Scenario, Shape};
use crate::syscalls;
use crate::targets::{Kind, Started, Subject, Target, Variant, free_address};
use crate::tls;
use crate::wire::{Origin, Wire};

/// What all scenarios share.
#[derive(Debug)]
pub(crate) struct Setting {
    targets: Vec<Target>,
    pub(crate) absent: Vec<&'static str>,
    /// For configurations and logs of the targets.
    pub(crate) folder: Folder,
    /// Where the origin listens; with port 0, anywhere.
    pub(crate) origin: SocketAddr,
    /// A gateway that runs already, and its process, if that was said.
    pub(crate) url: Option<(Url, Option<u32>)>,
    /// How many CPUs this machine has.
    cpus: usize,
    target_cpu: usize,
    load_cpu: usize,
    pub(crate) pairs: usize,
    pub(crate) warm_up: Duration,
    /// None: the scenario's own.
    pub(crate) window: Option<Duration>,
    pub(crate) connections: Option<usize>,
    /// Of open loops; none: a part of what nginx can answer.
    pub(crate) rate: Option<u64>,
    pub(crate) spins: bool,
    pub(crate) counts_syscalls: bool,
    pub(crate) command: String,
}

pub(crate) fn run(mut args: Args) -> Result<()> {
    if args.switch("list") {
        args.finish()?;
        for Scenario { name, about, .. } in SCENARIOS {
            println!("{name}: {about}");
        }
        return Ok(());
    }
    let scenarios = chosen(args.text("scenario")?.as_deref())?;
    let writes = !args.switch("no-write");
    let setting = Setting::new(&mut args, &scenarios)?;
    let machine = Machine::look()?;
    for name in &setting.absent {
        eprintln!("{name} was not found and is skipped");
    }
    let mut errors = 0;
    for scenario in scenarios {
        if let Some(why) = setting.lacks(scenario) {
            eprintln!("{} is skipped: {why}", scenario.name);
            continue;
        }
        let Some(report) = rounds::run(&setting, scenario)? else {
            eprintln!("{}: none of its targets is there", scenario.name);
            continue;
        };
        let text = report.markdown(&machine)?;
        println!("\n{text}");
        if writes {
            println!("written to {}", report.write(&machine, &text, &report::results())?.display());
        }
        errors += report.rows.iter().map(|row| row.errors.total()).sum::<u64>();
    }
    if writes {
        println!("written to {}", chart::draw(&report::results())?.display());
    }
    ensure!(errors == 0, "{errors} requests failed: these numbers do not count");
    Ok(())
}

/// Other load generators beside ours, on the targets of a scenario.
pub(crate) fn crosscheck(mut args: Args) -> Result<()> {
    let scenario = SCENARIOS.first().context("no scenarios")?;
    let setting = Setting::new(&mut args, &[scenario])?;
    crosscheck::run(&setting, scenario)
}

/// The scenarios of a list of names; without one, all.
fn chosen(names: Option<&str>) -> Result<Vec<&'static Scenario>> {
    let Some(names) = names else { return Ok(SCENARIOS.iter().collect()) };
    let find = |name: &str| {
        let found = SCENARIOS.iter().find(|scenario| scenario.name == name);
        found.with_context(|| format!("unknown scenario `{name}` (see compare --list)"))
    };
    names.split(',').map(find).collect()
}

impl Setting {
    fn new(args: &mut Args, scenarios: &[&Scenario]) -> Result<Self> {
        let (target_cpu, load_cpu) = (args.number("target-cpu", 1)?, args.number("load-cpu", 0)?);
        let only = args.text("only")?;
        let (ringway, pingora) = (args.text("ringway")?, args.text("pingora")?);
        let is_quick = args.switch("quick");
        let (pairs, warm_up) = if is_quick { (3, 0.3) } else { (10, 0.5) };
        let pairs = args.number("pairs", pairs)?;
        let warm_up = args.seconds("warm-up", warm_up)?;
        let window = match args.text("window")? {
            Some(text) => Some(Duration::try_from_secs_f64(text.parse().context("--window: not a number")?)?),
            None if is_quick => Some(Duration::from_millis(600)),
            None => None,
        };
        let connections = args.optional_number("connections")?;
        let rate = args.optional_number("rate")?;
        let (spins, counts_syscalls) = (!args.switch("sleep"), !args.switch("no-strace"));
        let url = args.optional_url()?;
        let pid = args.optional_number("pid")?;
        let origin = args.text("origin")?.map_or(Ok((Ipv4Addr::LOCALHOST, 0).into()), |text| {
            text.parse().with_context(|| format!("--origin: `{text}` is not an address with a port"))
        })?;
        args.finish()?;
        ensure!(target_cpu != load_cpu, "target and load need a CPU each");
        ensure!(pairs > 0, "--pairs: at least one");
        let mut setting = Self {
            targets: Vec::new(),
            absent: Vec::new(),
            folder: Folder(std::env::temp_dir().join(format!("ringway-loadtest-{}", std::process::id()))),
            origin,
            url: url.map(|url| (url, pid)),
            cpus: std::thread::available_parallelism()?.get(),
            target_cpu,
            load_cpu,
            pairs,
            warm_up,
            window,
            connections,
            rate,
            spins,
            counts_syscalls: counts_syscalls && syscalls::can_count(),
            command: format!("cargo run --release -p ringway-loadtest -- {}", typed().join(" ")),
        };
        setting.find(only.as_deref(), ringway.as_deref(), pingora.as_deref(), scenarios)?;
        process::pin(&[load_cpu])?;
        Ok(setting)
    }

    /// Looks for the programs of the scenarios.
    fn find(
        &mut self,
        only: Option<&str>,
        ringway: Option<&str>,
        pingora: Option<&str>,
        scenarios: &[&Scenario],
    ) -> Result<()> {
        let mut kinds: Vec<Kind> = Vec::new();
        for subject in scenarios.iter().flat_map(|scenario| scenario.subjects) {
            if !kinds.contains(&subject.kind) {
                kinds.push(subject.kind);
            }
        }
        if let Some(only) = only {
            for name in only.split(',') {
                ensure!(
                    kinds.iter().any(|kind| kind.name() == name),
                    "--only: no scenario that is run has `{name}`"
                );
            }
            kinds.retain(|kind| only.split(',').any(|name| name == kind.name()));
        }
        for kind in kinds {
            let given = match kind {
                Kind::Ringway => Some(ringway.map_or_else(gateway::build, |path| Ok(PathBuf::from(path)))?),
                Kind::Pingora => pingora.map(PathBuf::from),
                Kind::Nginx | Kind::Haproxy | Kind::H2o | Kind::Floor | Kind::Direct | Kind::Url => None,
            };
            match Target::find(kind, given.as_deref())? {
                Some(target) => self.targets.push(target),
                None if given.is_some() => bail!("--{}: there is no such program", kind.name()),
                None => self.absent.push(kind.name()),
            }
        }
        Ok(())
    }

    /// Those of a scenario that can be measured.
    pub(crate) fn subjects(&self, scenario: &Scenario) -> Vec<Subject> {
        // It was not started by us, so it must be what the scenario wants; nor can it be started afresh.
        let is_alike = |url: &Url| {
            url.is_tls == scenario.wire.is_tls()
                && scenario.wire.origin == Origin::Http1
                && !matches!(scenario.shape, Shape::Idle | Shape::Resuming)
        };
        let url = self.url.iter().filter(|(url, _)| is_alike(url)).map(|_| Subject::plain(Kind::Url));
        let has = |subject: &&Subject| self.targets.iter().any(|target| target.kind == subject.kind);
        url.chain(scenario.subjects.iter().filter(has).copied()).collect()
    }

    /// What a scenario cannot be measured without, if it is not there.
    fn lacks(&self, scenario: &Scenario) -> Option<&'static str> {
        if scenario.wire.is_tls() && !tls::files::can_be_made() {
            return Some("openssl is needed to make a certificate, and was not found");
        }
        let has_nginx = self.targets.iter().any(|target| target.kind == Kind::Nginx);
        let needs_nginx = matches!(scenario.shape, Shape::Open(_)) && self.rate.is_none();
        (needs_nginx && !has_nginx).then_some(
            "its rate is a part of what nginx can do, and nginx is not among the targets: give a --rate",
        )
    }

    pub(crate) fn row(&self, subject: Subject) -> Row {
        let target = self.targets.iter().find(|target| target.kind == subject.kind);
        Row {
            label: subject.label(),
            base: subject.base_label(),
            version: target.map_or("started by somebody else", |target| &target.version).to_owned(),
            rounds: Vec::new(),
            errors: Errors::default(),
            peak_bytes: None,
            syscalls: None,
        }
    }

    pub(crate) fn start(&self, subject: Subject, wire: Wire, origin: SocketAddr) -> Result<Started> {
        self.start_in(&subject.label(), subject, wire, origin)
    }

    /// Starts another process of a target that runs already.
    pub(crate) fn start_another(&self, subject: Subject, wire: Wire, origin: SocketAddr) -> Result<Started> {
        self.start_in(&format!("{}-another", subject.label()), subject, wire, origin)
    }

    fn start_in(&self, folder: &str, subject: Subject, wire: Wire, origin: SocketAddr) -> Result<Started> {
        let target = self.targets.iter().find(|target| target.kind == subject.kind);
        let secrets = self.folder.0.join("secrets");
        if wire.is_tls() {
            tls::files::make(&secrets)?;
        }
        let place = Place {
            folder: self.folder.0.join(folder),
            listen: free_address()?,
            metrics: free_address()?,
            origin,
            wire,
            secrets,
            cpus: self.cpus(subject),
        };
        target.context("no such target")?.start(subject, place, self.load_cpu)
    }

    /// Whether a worker of this target runs where the load does.
    pub(crate) fn shares_load_cpu(&self, subject: Subject) -> bool {
        self.cpus(subject).contains(&self.load_cpu)
    }

    /// How many CPUs a target has.
    pub(crate) fn cpus_of(&self, subject: Subject) -> u32 {
        u32::try_from(self.cpus(subject).len()).unwrap_or(1)
    }

    /// One CPU; for two workers another that is not the load's, if there is one.
    fn cpus(&self, subject: Subject) -> Vec<usize> {
        let mut cpus = vec![self.target_cpu];
        if subject.variant == Variant::TwoWorkers {
            let free = (0..self.cpus).find(|cpu| *cpu != self.target_cpu && *cpu != self.load_cpu);
            cpus.push(free.unwrap_or(self.load_cpu));
        }
        cpus
    }
}

/// The command's words; where somebody keeps a binary is no part of a result.
fn typed() -> Vec<String> {
    let mut words: Vec<String> = std::env::args().skip(1).collect();
    for option in ["--ringway", "--pingora"] {
        if let Some(at) = words.iter().position(|word| word == option)
            && let Some(path) = words.get_mut(at + 1)
        {
            "PATH".clone_into(path);
        }
    }
    words
}

/// A temporary folder, removed when dropped, which is when the targets have been stopped.
#[derive(Debug)]
pub(crate) struct Folder(pub(crate) PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        // It may not be there yet; and if it cannot be removed, it stays where temporary folders are.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
