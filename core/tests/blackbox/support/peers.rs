//! Programs of others that tests talk to: gRPC on Python's grpcio, WebSocket on its websockets. Where one is not
//! installed, its tests say so and are skipped, unless `RINGWAY_REQUIRE_PEERS` is set.

use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Output, Stdio};
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
        let mut child = python("grpc_server.py", &GRPC)?
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
    Some(python("grpc_client.py", &GRPC)?.arg(address.to_string()).args(words).output().unwrap())
}

/// One end of a WebSocket. It ends with its standard input, so also when the test does.
pub(crate) struct WebSocketPeer {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl WebSocketPeer {
    /// Starts `peers/websocket.py` with these words; none: it cannot be here.
    pub(crate) fn start(words: &[&str]) -> Option<Self> {
        let mut child = python("websocket.py", &WEBSOCKETS)?
            .args(words)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python has run before");
        let lines = BufReader::new(child.stdout.take().expect("it was asked for"));
        Some(Self { child, lines })
    }

    /// The next line that it says. It says something within its own time limits.
    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }
}

impl Drop for WebSocketPeer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A package, and the Python that has it, if one does.
struct Package {
    import: &'static str,
    name: &'static str,
    python: OnceLock<Option<PathBuf>>,
}

static GRPC: Package = Package { import: "import grpc", name: "grpcio", python: OnceLock::new() };
static WEBSOCKETS: Package =
    Package { import: "import websockets.asyncio.client", name: "websockets", python: OnceLock::new() };

/// A command that runs a script of `peers/` on a Python that has a package: that of `RINGWAY_TEST_PYTHON`, or
/// `python3`.
fn python(script: &str, package: &Package) -> Option<Command> {
    let found = package.python.get_or_init(|| {
        let python = std::env::var_os("RINGWAY_TEST_PYTHON").unwrap_or_else(|| "python3".into());
        let output = Command::new(&python).args(["-c", package.import]).output();
        output.is_ok_and(|output| output.status.success()).then(|| PathBuf::from(python))
    });
    let Some(python) = found else {
        skipped(&format!("no python3 with {}; RINGWAY_TEST_PYTHON may name one", package.name));
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
