//! An origin that does exactly what the test says, byte by byte, and remembers what it was asked.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use rustls::{HandshakeKind, ServerConfig, ServerConnection, StreamOwned};

use super::{eventually, own_address, thread};

#[expect(
    clippy::disallowed_types,
    reason = "origin threads and the test share what was seen; nothing here is a data plane"
)]
type Shared<T> = std::sync::Mutex<T>;

/// An origin: one thread that accepts, one for each connection.
pub(crate) struct Origin {
    address: String,
    seen: Arc<Seen>,
}

/// What the origin has met so far.
#[derive(Default)]
struct Seen {
    connections: AtomicUsize,
    open: AtomicUsize,
    heads: Shared<Vec<String>>,
    bodies: Shared<Vec<Vec<u8>>>,
    /// Bodies that were counted to their end.
    counted: AtomicUsize,
    stop: AtomicBool,
    hang_up: AtomicBool,
}

/// One request on one connection, in the hands of the test's script.
pub(crate) struct Visit<'a> {
    /// Request line and fields, as received.
    pub(crate) head: String,
    /// Which request on this connection this is, from 1.
    pub(crate) nth: usize,
    wire: &'a mut Wire,
    seen: &'a Seen,
    body: Option<Vec<u8>>,
    over: bool,
    /// Its TLS ends without a word.
    cut: bool,
}

/// A whole 200 with a body.
pub(crate) fn ok(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

impl Origin {
    /// An origin on a fresh address; the script runs once for each request, on its connection's thread.
    pub(crate) fn start(script: impl Fn(&mut Visit<'_>) + Send + Sync + 'static) -> Self {
        Self::start_at(SocketAddr::from((own_address(), 3000)), script)
    }

    /// The same at a known address, such as one where an origin has died.
    pub(crate) fn start_at(
        address: SocketAddr,
        script: impl Fn(&mut Visit<'_>) + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let accept = move || {
            let (stream, _) = listener.accept().ok()?;
            stream.set_nodelay(true).ok()?;
            Some(Wire::Tcp(stream))
        };
        Self::run(address.to_string(), accept, script)
    }

    /// An origin on a Unix socket.
    pub(crate) fn start_unix(path: &Path, script: impl Fn(&mut Visit<'_>) + Send + Sync + 'static) -> Self {
        let listener = UnixListener::bind(path).unwrap();
        Self::run(
            format!("unix:{}", path.display()),
            move || Some(Wire::Unix(listener.accept().ok()?.0)),
            script,
        )
    }

    /// An origin that speaks TLS.
    pub(crate) fn start_tls(
        config: ServerConfig,
        script: impl Fn(&mut Visit<'_>) + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind(SocketAddr::from((own_address(), 3000))).unwrap();
        let (address, config) = (listener.local_addr().unwrap(), Arc::new(config));
        let accept = move || {
            let (stream, _) = listener.accept().ok()?;
            stream.set_nodelay(true).ok()?;
            let connection = ServerConnection::new(Arc::clone(&config)).ok()?;
            Some(Wire::Tls(Box::new(StreamOwned::new(connection, stream))))
        };
        Self::run(address.to_string(), accept, script)
    }

    /// One that says this before it is asked.
    pub(crate) fn start_speaking(greeting: &'static [u8]) -> Self {
        let listener = TcpListener::bind(SocketAddr::from((own_address(), 3000))).unwrap();
        let address = listener.local_addr().unwrap();
        let accept = move || {
            let (mut stream, _) = listener.accept().ok()?;
            // Whoever stops this origin does not listen.
            let _ = stream.write_all(greeting);
            Some(Wire::Tcp(stream))
        };
        Self::run(address.to_string(), accept, |visit: &mut Visit<'_>| visit.over = true)
    }

    /// An origin that answers every request with these bytes.
    pub(crate) fn answering(response: impl Into<Vec<u8>>) -> Self {
        let response = response.into();
        Self::start(move |visit| visit.send(&response))
    }

    /// An origin that answers every request with a 200 whose body is this text.
    pub(crate) fn saying(text: &str) -> Self {
        Self::answering(ok(text))
    }

    /// An origin whose answer's body is the request's head as it arrived.
    pub(crate) fn mirror() -> Self {
        Self::start(|visit| {
            let answer = ok(&visit.head);
            visit.body();
            visit.send(answer);
        })
    }

    /// An origin that takes requests and never answers.
    pub(crate) fn silent() -> Self {
        Self::start(|visit| {
            visit.until_peer_leaves();
        })
    }

    /// An address where nothing listens.
    pub(crate) fn nowhere() -> String {
        SocketAddr::from((own_address(), 3000)).to_string()
    }

    fn run(
        address: String,
        accept: impl Fn() -> Option<Wire> + Send + 'static,
        script: impl Fn(&mut Visit<'_>) + Send + Sync + 'static,
    ) -> Self {
        let (seen, script) = (Arc::new(Seen::default()), Arc::new(script));
        let shared = Arc::clone(&seen);
        thread(move || {
            while let Some(wire) = accept() {
                if shared.stop.load(Ordering::SeqCst) {
                    return;
                }
                shared.connections.fetch_add(1, Ordering::SeqCst);
                shared.open.fetch_add(1, Ordering::SeqCst);
                let (seen, script) = (Arc::clone(&shared), Arc::clone(&script));
                thread(move || {
                    serve(wire, &seen, &*script);
                    seen.open.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        Self { address, seen }
    }

    /// As an endpoint is written in a configuration.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    pub(crate) fn socket_address(&self) -> SocketAddr {
        self.address.parse().unwrap()
    }

    /// How many connections have come.
    pub(crate) fn connections(&self) -> usize {
        self.seen.connections.load(Ordering::SeqCst)
    }

    /// How many of them are open.
    pub(crate) fn open_connections(&self) -> usize {
        self.seen.open.load(Ordering::SeqCst)
    }

    /// How many requests have come.
    pub(crate) fn requests(&self) -> usize {
        self.seen.heads.lock().unwrap().len()
    }

    /// The heads of all requests so far.
    pub(crate) fn heads(&self) -> Vec<String> {
        self.seen.heads.lock().unwrap().clone()
    }

    /// The head of the only request so far.
    pub(crate) fn head(&self) -> String {
        let heads = self.heads();
        assert_eq!(heads.len(), 1, "{heads:?}");
        heads.into_iter().next().unwrap()
    }

    /// The bodies that were read, decoded.
    pub(crate) fn bodies(&self) -> Vec<Vec<u8>> {
        self.seen.bodies.lock().unwrap().clone()
    }

    /// How many bodies were counted to their end.
    pub(crate) fn bodies_complete(&self) -> usize {
        self.seen.counted.load(Ordering::SeqCst)
    }

    /// Dies: stops listening and closes every connection once its answer under way is sent.
    pub(crate) fn die(self) {
        self.seen.hang_up.store(true, Ordering::SeqCst);
        let seen = Arc::clone(&self.seen);
        drop(self);
        eventually("the origin has hung up", || seen.open.load(Ordering::SeqCst) == 0);
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.seen.stop.store(true, Ordering::SeqCst);
        // The accepting thread wakes for one more connection, sees the flag and closes the listener.
        if let Ok(address) = self.address.parse::<SocketAddr>() {
            drop(TcpStream::connect(address));
            eventually("the origin has stopped listening", || !super::gateway::listens(address));
        } else if let Some(path) = self.address.strip_prefix("unix:") {
            drop(UnixStream::connect(path));
        }
    }
}

impl Visit<'_> {
    /// Which kind of TLS handshake the connection began with.
    pub(crate) fn handshake_kind(&self) -> HandshakeKind {
        let Wire::Tls(stream) = &*self.wire else { panic!("the connection is in clear") };
        stream.conn.handshake_kind().unwrap()
    }

    /// The value of a field of the request; the name in any case.
    pub(crate) fn field(&self, name: &str) -> Option<String> {
        field(&self.head, name)
    }

    pub(crate) fn path(&self) -> &str {
        self.head.split(' ').nth(1).unwrap_or_default()
    }

    /// The number that the path consists of.
    pub(crate) fn number(&self) -> usize {
        self.path().trim_start_matches('/').parse().unwrap()
    }

    /// The body, decoded; read when first asked for, or after the script.
    pub(crate) fn body(&mut self) -> Vec<u8> {
        if self.body.is_none() {
            let body = self.wire.body(&self.head);
            self.over |= body.is_none();
            let body = body.unwrap_or_default();
            self.seen.bodies.lock().unwrap().push(body.clone());
            self.body = Some(body);
        }
        self.body.clone().unwrap()
    }

    /// Reads the body to its end, or to the connection's, and keeps nothing of it: how many bytes that were.
    pub(crate) fn count_body(&mut self) -> usize {
        let mut count = 0;
        let whole = if field(&self.head, "transfer-encoding").is_some() {
            self.wire.chunked().map(|body| count = body.len()).is_some()
        } else {
            let length = field(&self.head, "content-length").map_or(0, |value| value.parse().unwrap());
            let mut piece = vec![0; 256 * 1024];
            while count < length {
                let most = piece.len().min(length - count);
                match self.wire.io().read(&mut piece[..most]) {
                    Ok(n) if n > 0 => count += n,
                    _ => break,
                }
            }
            count == length
        };
        self.over |= !whole;
        self.body = Some(Vec::new());
        self.seen.counted.fetch_add(usize::from(whole), Ordering::SeqCst);
        count
    }

    /// Waits until the origin has seen so many requests in all: they are then in progress at the same time.
    pub(crate) fn wait_for_requests(&self, count: usize) {
        eventually("enough requests at once", || self.seen.heads.lock().unwrap().len() >= count);
    }

    /// Sends exactly these bytes; an answer to a peer that has gone is lost.
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.over |= self.try_send(bytes).is_err();
    }

    /// The same, for scripts that need to know when the peer has gone.
    pub(crate) fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> std::io::Result<()> {
        self.wire.io().write_all(bytes.as_ref())
    }

    /// Exactly so many raw bytes, or `None` when the connection ended before.
    pub(crate) fn receive(&mut self, count: usize) -> Option<Vec<u8>> {
        let mut bytes = vec![0; count];
        self.wire.io().read_exact(&mut bytes).ok()?;
        Some(bytes)
    }

    /// Waits until the peer has closed or reset the connection; what it still sends is dropped.
    pub(crate) fn until_peer_leaves(&mut self) {
        let mut chunk = vec![0; 64 * 1024];
        while self.wire.io().read(&mut chunk).is_ok_and(|n| n > 0) {}
        self.over = true;
    }

    /// The connection closes when the script ends.
    pub(crate) fn close(&mut self) {
        self.over = true;
        self.body = Some(Vec::new());
    }

    /// The connection closes when the script ends, without TLS's own word that it does.
    pub(crate) fn cut(&mut self) {
        self.cut = true;
        self.close();
    }

    /// The connection is reset when the script ends.
    pub(crate) fn reset(&mut self) {
        self.wire.linger_nothing();
        self.close();
    }
}

/// The value of a field in a head.
pub(crate) fn field(head: &str, name: &str) -> Option<String> {
    head.lines().skip(1).find_map(|line| {
        let (n, value) = line.split_once(':')?;
        n.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
    })
}

fn serve(mut wire: Wire, seen: &Seen, script: &dyn Fn(&mut Visit<'_>)) {
    for nth in 1.. {
        if !wire.wait_for_a_byte(seen) {
            return;
        }
        let Some(head) = wire.until(b"\r\n\r\n") else { return };
        let head = String::from_utf8_lossy(&head).into_owned();
        seen.heads.lock().unwrap().push(head.clone());
        let mut visit = Visit { head, nth, wire: &mut wire, seen, body: None, over: false, cut: false };
        script(&mut visit);
        if !visit.over {
            visit.body();
        }
        if visit.over {
            if !visit.cut {
                visit.wire.say_farewell();
            }
            return;
        }
    }
}

trait ReadWrite: Read + Write {}
impl<T: Read + Write> ReadWrite for T {}

/// A connection of either kind.
enum Wire {
    Tcp(TcpStream),
    Unix(UnixStream),
    Tls(Box<StreamOwned<ServerConnection, TcpStream>>),
}

impl Wire {
    fn io(&mut self) -> &mut dyn ReadWrite {
        match self {
            Self::Tcp(stream) => stream,
            Self::Unix(stream) => stream,
            Self::Tls(stream) => &mut **stream,
        }
    }

    /// Ends TLS as it should end.
    fn say_farewell(&mut self) {
        if let Self::Tls(stream) = self {
            stream.conn.send_close_notify();
            let _ = stream.conn.complete_io(&mut stream.sock);
        }
    }

    fn linger_nothing(&self) {
        if let Self::Tcp(stream) = self {
            socket2::SockRef::from(stream).set_linger(Some(Duration::ZERO)).unwrap();
        }
    }

    /// Waits for the next request; false when the origin hangs up first.
    fn wait_for_a_byte(&mut self, seen: &Seen) -> bool {
        let Self::Tcp(stream) = self else { return true };
        if seen.hang_up.load(Ordering::SeqCst) {
            return false;
        }
        stream.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        while stream.peek(&mut [0]).is_err_and(|e| e.kind() == std::io::ErrorKind::WouldBlock) {
            if seen.hang_up.load(Ordering::SeqCst) {
                return false;
            }
        }
        stream.set_read_timeout(None).unwrap();
        true
    }

    /// Up to and including a pattern; byte by byte, so that nothing after it is taken.
    fn until(&mut self, pattern: &[u8]) -> Option<Vec<u8>> {
        let mut bytes = Vec::new();
        let mut one = [0];
        while !bytes.ends_with(pattern) {
            self.io().read_exact(&mut one).ok()?;
            bytes.push(one[0]);
        }
        Some(bytes)
    }

    /// A body by its head's framing; `None` when the connection ended before it did.
    fn body(&mut self, head: &str) -> Option<Vec<u8>> {
        if field(head, "transfer-encoding").is_some() {
            return self.chunked();
        }
        let length: usize = field(head, "content-length").map_or(Some(0), |value| value.parse().ok())?;
        let mut body = vec![0; length];
        self.io().read_exact(&mut body).ok()?;
        Some(body)
    }

    fn chunked(&mut self) -> Option<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let line = self.until(b"\r\n")?;
            let size = usize::from_str_radix(std::str::from_utf8(&line).ok()?.trim_end(), 16).ok()?;
            if size == 0 {
                // Trailers, then the empty line.
                while self.until(b"\r\n")? != b"\r\n" {}
                return Some(body);
            }
            let start = body.len();
            body.resize(start + size, 0);
            self.io().read_exact(&mut body[start..]).ok()?;
            self.until(b"\r\n")?;
        }
    }
}
