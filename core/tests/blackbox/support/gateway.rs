//! The gateway under test: the built binary with a configuration of the test's own, on a loopback address of its own.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use rustix::process::{Pid, Resource, Rlimit, Signal};

use super::{Client, Origin, breathe, eventually, now, own_address};

/// A running gateway. Ended by its process id when dropped.
///
/// In its configuration `GATEWAY` stands for the gateway's own address and `DIR` for its folder. Where the text has no
/// `[server]`, one worker is asked for; where it has no listener, one in clear on port 8080 is added.
pub(crate) struct Gateway {
    child: Child,
    address: Ipv4Addr,
    dir: PathBuf,
}

impl Gateway {
    /// Starts, and waits until every TCP address of the file's listeners is listened on.
    pub(crate) fn start(config: &str) -> Self {
        Self::start_in(&fresh_dir(), config)
    }

    /// The same in a folder that the test has already put files into.
    pub(crate) fn start_in(dir: &Path, config: &str) -> Self {
        Self::start_at(dir, own_address(), config)
    }

    /// The same on an address that the test has already chosen.
    pub(crate) fn start_at(dir: &Path, address: Ipv4Addr, config: &str) -> Self {
        let mut gateway = Self::spawn(dir, address, config);
        gateway.wait_until_listening();
        gateway
    }

    /// A gateway with one route for everything, to one origin.
    pub(crate) fn before(origin: &Origin) -> Self {
        Self::start(&proxying(origin))
    }

    /// Starts the binary and does not wait for anything.
    pub(crate) fn spawn(dir: &Path, address: Ipv4Addr, config: &str) -> Self {
        Self::spawn_as(Command::new(env!("CARGO_BIN_EXE_ringway")), dir, address, config)
    }

    /// The same with a command that the test has prepared; it has no arguments yet.
    pub(crate) fn spawn_as(mut binary: Command, dir: &Path, address: Ipv4Addr, config: &str) -> Self {
        std::fs::write(dir.join("ringway.toml"), complete(config, address, dir)).unwrap();
        let child = binary
            .args(["run", "-c"])
            .arg(dir.join("ringway.toml"))
            .stdin(Stdio::null())
            .stdout(File::create(dir.join("stdout")).unwrap())
            .stderr(File::create(dir.join("stderr")).unwrap())
            .spawn()
            .unwrap();
        Self { child, address, dir: dir.to_path_buf() }
    }

    /// Waits until every TCP address of the file's listeners is listened on.
    pub(crate) fn wait_until_listening(&mut self) {
        let text = std::fs::read_to_string(self.dir.join("ringway.toml")).unwrap();
        let own = self.address.to_string();
        let binds = text.lines().filter(|line| line.trim_start().starts_with("bind") && line.contains(&own));
        let addresses = binds.flat_map(|line| line.split('"').filter(|part| part.starts_with(&own)));
        for port in addresses.filter_map(|address| address.rsplit(':').next()?.parse().ok()) {
            eventually(&format!("the gateway listens on {own}:{port}"), || {
                if let Some(status) = self.child.try_wait().unwrap() {
                    panic!("the gateway ended with {status}:\n{}", self.output());
                }
                listens(SocketAddr::from((self.address, port)))
            });
        }
    }

    pub(crate) fn ip(&self) -> Ipv4Addr {
        self.address
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// The address of a port of this gateway.
    pub(crate) fn at(&self, port: u16) -> SocketAddr {
        SocketAddr::from((self.address, port))
    }

    /// A connection to port 8080.
    pub(crate) fn client(&self) -> Client {
        Client::connect(self.at(8080))
    }

    /// Writes a new configuration, without asking for a reload.
    pub(crate) fn rewrite(&self, config: &str) {
        std::fs::write(self.dir.join("ringway.toml"), complete(config, self.address, &self.dir)).unwrap();
    }

    /// Writes a new configuration and sends SIGHUP.
    pub(crate) fn reload(&self, config: &str) {
        self.rewrite(config);
        self.signal(Signal::HUP);
    }

    pub(crate) fn signal(&self, signal: Signal) {
        rustix::process::kill_process(self.process(), signal).unwrap();
    }

    fn process(&self) -> Pid {
        Pid::from_raw(self.child.id().cast_signed()).unwrap()
    }

    /// Whether the process has ended, and how.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// Waits for the end.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let mut status = None;
        eventually("the gateway ends", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        status.unwrap()
    }

    /// All that the gateway has printed.
    pub(crate) fn output(&self) -> String {
        let read = |name: &str| std::fs::read_to_string(self.dir.join(name)).unwrap_or_default();
        format!("{}{}", read("stdout"), read("stderr"))
    }

    /// Waits for a line of output that has all of these words.
    pub(crate) fn line_with(&self, words: &[&str]) -> String {
        let deadline = now() + super::PATIENCE;
        loop {
            let output = self.output();
            let complete = output.rsplit_once('\n').map_or("", |(whole, _)| whole);
            if let Some(line) = complete.lines().find(|line| words.iter().all(|word| line.contains(word))) {
                return line.to_owned();
            }
            assert!(now() < deadline, "no line with {words:?} in:\n{output}");
            breathe();
        }
    }

    /// How many connections of a port the gateway's side still holds.
    pub(crate) fn open_sockets_to(&self, port: u16) -> usize {
        // Established, and those that the client has closed and the gateway not yet.
        tcp_states(self.at(port)).iter().filter(|state| ["01", "08"].contains(&state.as_str())).count()
    }

    /// How many file descriptors the process has open.
    pub(crate) fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.child.id())).unwrap().count()
    }

    /// Lets the process have at most so many descriptors.
    pub(crate) fn limit_descriptors(&self, count: usize) {
        let limit = Rlimit { current: Some(count as u64), maximum: Some(20_000) };
        rustix::process::prlimit(Some(self.process()), Resource::Nofile, limit).unwrap();
    }

    /// The CPU time that the process has used, in steps of ten milliseconds.
    pub(crate) fn cpu_time(&self) -> std::time::Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        let after_name = stat.rsplit(')').next().unwrap();
        let ticks: u64 =
            after_name.split_whitespace().skip(11).take(2).map(|n| n.parse::<u64>().unwrap()).sum();
        std::time::Duration::from_millis(ticks * 10)
    }

    /// Resident memory of its own in KiB: without the program's pages, of which more come with all it does first.
    pub(crate) fn resident_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("RssAnon:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let output = self.output();
            let last: Vec<&str> = output.lines().rev().take(20).collect();
            eprintln!("the gateway's last lines, the latest first:\n{}", last.join("\n"));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

/// The configuration of [`Gateway::before`].
pub(crate) fn proxying(origin: &Origin) -> String {
    format!(
        "[routes.all]\nmatch = {{ prefix = \"/\" }}\nupstream = \"origin\"\n[upstreams.origin]\nendpoints = [\"{}\"]\n",
        origin.address()
    )
}

/// An empty folder that no other test has.
pub(crate) fn fresh_dir() -> PathBuf {
    let dir = std::env::temp_dir().join(format!("ringway-test-{}", own_address()));
    let _ = std::fs::remove_dir_all(&dir);
    std::fs::create_dir_all(&dir).unwrap();
    dir
}

/// The file as it is written: names replaced, and what every test needs added.
fn complete(config: &str, address: Ipv4Addr, dir: &Path) -> String {
    let mut text = config.replace("GATEWAY", &address.to_string()).replace("DIR", dir.to_str().unwrap());
    if !text.contains("[server]") {
        text.push_str("\n[server]\nworkers = 1\n");
    }
    // The whole suite may be run on another driver than the default.
    if let (Ok(driver), false) = (std::env::var("RINGWAY_TEST_DRIVER"), text.contains("driver =")) {
        text = text.replace("[server]\n", &["[server]\ndriver = \"", &driver, "\"\n"].concat());
    }
    if !text.contains("[listeners.") {
        text += &["\n[listeners.http]\nbind = \"", &address.to_string(), ":8080\"\n"].concat();
    }
    text
}

/// Whether any process listens on a TCP address. Reading the kernel's table leaves no connection behind that a limit
/// would count.
pub(crate) fn listens(address: SocketAddr) -> bool {
    tcp_states(address).iter().any(|state| state == "0A")
}

/// The states of all sockets with this local address, as the kernel's table has them.
fn tcp_states(address: SocketAddr) -> Vec<String> {
    let SocketAddr::V4(v4) = address else { panic!("only IPv4 is looked up") };
    let wanted = format!("{:08X}:{:04X}", u32::from(*v4.ip()).swap_bytes(), v4.port());
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let state = |line: &str| {
        let mut columns = line.split_whitespace().skip(1);
        (columns.next()? == wanted).then(|| columns.nth(1).map(str::to_owned)).flatten()
    };
    table.lines().filter_map(state).collect()
}
