//! The programs that are compared: how each is found, configured alike, and started.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::clock;
use crate::process::Running;

/// A program to measure.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) kind: Kind,
    program: PathBuf,
    /// As the program states it.
    pub(crate) version: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Ringway,
    Nginx,
    Haproxy,
    /// The relay of this program, which shows the least that a proxy can cost.
    Floor,
}

/// In the order of the report.
pub(crate) const KINDS: [Kind; 4] = [Kind::Ringway, Kind::Nginx, Kind::Haproxy, Kind::Floor];

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ringway => "ringway",
            Self::Nginx => "nginx",
            Self::Haproxy => "haproxy",
            Self::Floor => "floor",
        }
    }

    fn version_flag(self) -> &'static str {
        match self {
            Self::Ringway | Self::Floor => "--version",
            Self::Nginx | Self::Haproxy => "-v",
        }
    }

    fn arguments(self) -> &'static [&'static str] {
        match self {
            Self::Ringway => &["run", "-c"],
            Self::Nginx => &["-c"],
            Self::Haproxy => &["-db", "-f"],
            Self::Floor => &["relay", "--file"],
        }
    }

    /// A configuration with one worker, a pool of kept connections to the origin, and no access log.
    fn configuration(self, folder: &Path, listen: SocketAddr, origin: SocketAddr) -> String {
        let form = match self {
            Self::Ringway => include_str!("../targets/ringway.toml"),
            Self::Nginx => include_str!("../targets/nginx.conf"),
            Self::Haproxy => include_str!("../targets/haproxy.cfg"),
            Self::Floor => "@LISTEN@ @ORIGIN@",
        };
        form.replace("@LISTEN@", &listen.to_string())
            .replace("@ORIGIN@", &origin.to_string())
            .replace("@FOLDER@", &folder.display().to_string())
    }
}

impl Target {
    /// Looks for a program; `given` is where it is, if that was said. None: it is not there.
    pub(crate) fn find(kind: Kind, given: Option<PathBuf>) -> Result<Option<Self>> {
        let program = match (kind, given) {
            (_, Some(path)) => path,
            (Kind::Ringway, None) => std::env::current_exe()?.with_file_name("ringway"),
            (Kind::Floor, None) => std::env::current_exe()?,
            (Kind::Nginx | Kind::Haproxy, None) => PathBuf::from(kind.name()),
        };
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

    /// Starts it on its CPU and waits until it takes connections.
    pub(crate) fn start(
        &self,
        folder: &Path,
        origin: SocketAddr,
        cpu: usize,
        own_cpu: usize,
    ) -> Result<Started> {
        let folder = folder.join(self.kind.name());
        fs::create_dir_all(&folder)?;
        let address = free_address()?;
        let file = folder.join("configuration");
        fs::write(&file, self.kind.configuration(&folder, address, origin))?;
        let log = fs::File::create(folder.join("output.log"))?;
        let mut command = Command::new(&self.program);
        command.args(self.kind.arguments()).arg(&file).stdin(Stdio::null());
        command.stdout(log.try_clone()?).stderr(log);
        let mut running = Running::start(&mut command, cpu, own_cpu)?;
        let takes = || running.has_ended() || TcpStream::connect(address).is_ok();
        let in_time = clock::until(Duration::from_secs(10), takes);
        if !in_time || running.has_ended() {
            let said = fs::read_to_string(folder.join("output.log")).unwrap_or_default();
            bail!("{} did not start:\n{said}", self.kind.name());
        }
        Ok(Started { address, running })
    }
}

/// A target that takes connections; stopped when dropped.
#[derive(Debug)]
pub(crate) struct Started {
    pub(crate) address: SocketAddr,
    pub(crate) running: Running,
}

/// An address that was free a moment ago.
fn free_address() -> Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no free port")?;
    Ok(listener.local_addr()?)
}

#[cfg(test)]
impl Target {
    /// A target that is not to be started.
    pub(crate) fn named(kind: Kind) -> Self {
        Self { kind, program: PathBuf::new(), version: "v".to_owned() }
    }
}
