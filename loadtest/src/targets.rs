//! The programs that are compared: how each is found, configured alike, and started.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use crate::args::Url;
use crate::clock;
use crate::configuration::{self, Place};
use crate::process::{Family, Running};

/// A program to measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Ringway,
    Nginx,
    Haproxy,
    H2o,
    /// A minimal proxy made with it, built elsewhere.
    Pingora,
    /// The relay of this program, which shows the least that a proxy can cost.
    Floor,
    /// No program: the load asks the origin itself.
    Direct,
    /// What somebody else has started.
    Url,
}

/// What differs from a target's plain configuration, or is done to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Variant {
    Plain,
    /// Many routes, each with operations on fields.
    Routes,
    AccessLog,
    /// The same routes, and its metrics are asked for each second.
    Scraped,
    TwoWorkers,
    /// Bodies are passed on as they come, not collected.
    Unbuffered,
    /// Its configuration is changed and loaded again each second.
    Reloaded,
}

/// A row: a program in a configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Subject {
    pub(crate) kind: Kind,
    pub(crate) variant: Variant,
    /// The variant of the same program that this one is compared with; if it is this one, none.
    base: Variant,
}

impl Subject {
    pub(crate) const fn plain(kind: Kind) -> Self {
        Self { kind, variant: Variant::Plain, base: Variant::Plain }
    }

    /// The same program in another configuration.
    pub(crate) const fn with(self, variant: Variant) -> Self {
        Self { variant, ..self }
    }

    pub(crate) const fn against(self, base: Variant) -> Self {
        Self { base, ..self }
    }

    /// The name of the row.
    pub(crate) fn label(self) -> String {
        label(self.kind, self.variant)
    }

    /// The name of the row that this one is compared with because it is the same program.
    pub(crate) fn base_label(self) -> Option<String> {
        (self.variant != self.base).then(|| label(self.kind, self.base))
    }
}

fn label(kind: Kind, variant: Variant) -> String {
    let suffix = match variant {
        Variant::Plain => "",
        Variant::Routes => "-routes",
        Variant::AccessLog => "-log",
        Variant::Scraped => "-scraped",
        Variant::TwoWorkers => "-2",
        Variant::Unbuffered => "-unbuffered",
        Variant::Reloaded => "-reloaded",
    };
    format!("{}{suffix}", kind.name())
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ringway => "ringway",
            Self::Nginx => "nginx",
            Self::Haproxy => "haproxy",
            Self::H2o => "h2o",
            Self::Pingora => "pingora",
            Self::Floor => "floor",
            Self::Direct => "direct",
            Self::Url => "url",
        }
    }

    fn version_flag(self) -> &'static str {
        match self {
            Self::Nginx | Self::Haproxy => "-v",
            Self::Ringway | Self::H2o | Self::Pingora | Self::Floor | Self::Direct | Self::Url => "--version",
        }
    }
}

/// Where a program is, and what it says of itself.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) kind: Kind,
    program: PathBuf,
    /// As the program states it.
    pub(crate) version: String,
}

impl Target {
    /// Looks for a program; `given` is where it is, if that was said. None: it is not there.
    pub(crate) fn find(kind: Kind, given: Option<&Path>) -> Result<Option<Self>> {
        let program = match (kind, given) {
            (Kind::Direct | Kind::Url, _) => {
                let version = "no program of this comparison".to_owned();
                return Ok(Some(Self { kind, program: PathBuf::new(), version }));
            }
            (_, Some(path)) => path.to_owned(),
            (Kind::Ringway | Kind::Pingora, None) => return Ok(None),
            (Kind::Floor, None) => std::env::current_exe()?,
            (Kind::Nginx | Kind::Haproxy | Kind::H2o, None) => PathBuf::from(kind.name()),
        };
        if kind == Kind::Pingora {
            // It is a program of the user's, and may take nothing but two addresses.
            let is_there = program.is_file();
            return Ok(is_there.then(|| Self {
                kind,
                program,
                version: "as given with --pingora".to_owned(),
            }));
        }
        // Some systems keep servers where only root's PATH looks.
        let places = [
            program.clone(),
            Path::new("/usr/sbin").join(&program),
            Path::new("/usr/local/sbin").join(&program),
        ];
        for program in places {
            if let Ok(output) = Command::new(&program).arg(kind.version_flag()).stdin(Stdio::null()).output()
            {
                // nginx states its version on stderr.
                let text = [output.stdout, output.stderr].concat();
                let line = String::from_utf8_lossy(&text).lines().next().unwrap_or_default().to_owned();
                return Ok(Some(Self { kind, program, version: line }));
            }
        }
        Ok(None)
    }

    /// Starts it on its CPUs and waits until it takes connections.
    pub(crate) fn start(&self, subject: Subject, place: Place, own_cpu: usize) -> Result<Started> {
        if self.kind == Kind::Direct {
            return Ok(Started { url: Url::root(place.origin), place, process: None });
        }
        let label = subject.label();
        fs::create_dir_all(&place.folder)?;
        let file = place.folder.join("configuration");
        fs::write(&file, configuration::text(subject, &place))?;
        let output = place.folder.join("output.log");
        // haproxy writes its access log to its output.
        let log = fs::File::options().create(true).append(true).open(match subject {
            Subject { kind: Kind::Haproxy, variant: Variant::AccessLog, .. } => place.access_log(),
            _ => output.clone(),
        })?;
        let mut command = Command::new(&self.program);
        match self.kind {
            Kind::Ringway => command.args(["run", "-c"]).arg(&file),
            Kind::Nginx | Kind::H2o => command.arg("-c").arg(&file),
            Kind::Haproxy => command.args(["-db", "-f"]).arg(&file),
            Kind::Floor => command.args(["relay", "--file"]).arg(&file),
            Kind::Pingora | Kind::Direct | Kind::Url => {
                command.args([place.listen.to_string(), place.origin.to_string()])
            }
        };
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let mut running = Running::start(&mut command, &place.cpus, own_cpu)?;
        let takes = || running.has_ended() || TcpStream::connect(place.listen).is_ok();
        let in_time = clock::until(Duration::from_secs(10), takes);
        if !in_time || running.has_ended() {
            let said = fs::read_to_string(output).unwrap_or_default();
            bail!("{label} did not start:\n{said}");
        }
        let family = self.whole_family(running.pid(), place.cpus.len())?;
        let url = Url { is_tls: place.wire.is_tls(), ..Url::root(place.listen) };
        Ok(Started { url, place, process: Some((running, family)) })
    }
}

impl Target {
    /// All its processes. nginx's master listens before its workers are there; without them its CPU time would be
    /// next to nothing.
    fn whole_family(&self, pid: u32, workers: usize) -> Result<Family> {
        let members = if self.kind == Kind::Nginx { 1 + workers } else { 1 };
        let is_whole = || Family::of(pid).is_ok_and(|family| family.pids().len() >= members);
        ensure!(clock::until(Duration::from_secs(10), is_whole), "{} has no workers", self.kind.name());
        Family::of(pid)
    }
}

/// A target that takes connections; stopped when dropped.
#[derive(Debug)]
pub(crate) struct Started {
    pub(crate) url: Url,
    pub(crate) place: Place,
    process: Option<(Running, Family)>,
}

impl Started {
    /// Its processes; none: there is no program.
    pub(crate) fn family(&self) -> Option<&Family> {
        self.process.as_ref().map(|(_, family)| family)
    }

    pub(crate) fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(|(running, _)| running.pid())
    }
}

/// An address that was free a moment ago.
pub(crate) fn free_address() -> Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no free port")?;
    Ok(listener.local_addr()?)
}
