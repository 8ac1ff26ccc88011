//! Programs of others that tests talk to: gRPC on Python's grpcio. Where it is not installed, its tests say so and are
//! skipped, unless `RINGWAY_REQUIRE_PEERS` is set.

use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;

/// A service of another implementation. It ends with its standard input, so also when the test does.
pub(crate) struct GrpcServer {
    child: Child,
    address: SocketAddr,
}

impl GrpcServer {
    /// Starts `peers/grpc_server.py` in clear; none: it cannot be here.
    pub(crate) fn start() -> Option<Self> {
        Self::start_with(&[])
    }

    /// The same with more words: the files of a key and its certificate, for TLS.
    pub(crate) fn start_with(words: &[&Path]) -> Option<Self> {
        let mut child = python("grpc_server.py")?
            .args(words)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python has run before");
        let (stdout, mut line) = (child.stdout.take(), String::new());
        // From here on it is ended by a drop, whatever happens.
        let mut server = Self { child, address: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)) };
        BufReader::new(stdout?).read_line(&mut line).unwrap();
        server.address.set_port(line.trim().parse().expect("the peer prints its port"));
        Some(server)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for GrpcServer {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What `peers/grpc_client.py` says about an address; its help names the words. None: it cannot be here.
pub(crate) fn grpc_client(address: SocketAddr, words: &[&str]) -> Option<Output> {
    Some(python("grpc_client.py")?.arg(address.to_string()).args(words).output().unwrap())
}

/// A command that runs a script of `peers/` on a Python that has grpcio: that of `RINGWAY_TEST_PYTHON`, or `python3`.
fn python(script: &str) -> Option<Command> {
    static PYTHON: OnceLock<Option<PathBuf>> = OnceLock::new();
    let found = PYTHON.get_or_init(|| {
        let python = std::env::var_os("RINGWAY_TEST_PYTHON").unwrap_or_else(|| "python3".into());
        let output = Command::new(&python).args(["-c", "import grpc"]).output();
        output.is_ok_and(|output| output.status.success()).then(|| PathBuf::from(python))
    });
    let Some(python) = found else {
        skipped("no python3 with grpcio; RINGWAY_TEST_PYTHON may name one");
        return None;
    };
    let mut command = Command::new(python);
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers").join(script));
    Some(command)
}

/// Says why a test is skipped; fails where all peers must be there.
pub(crate) fn skipped(why: &str) {
    assert!(std::env::var_os("RINGWAY_REQUIRE_PEERS").is_none(), "RINGWAY_REQUIRE_PEERS is set, but: {why}");
    eprintln!("skipped: {why}");
}
