//! A client that sends exactly the bytes it is given, and reads responses with a small strict parser.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection};
use socket2::{Domain, Socket, Type};

use super::PATIENCE;

/// What a read that waited too long is called.
const SILENCE: &str = "timed out";

/// A raw connection.
pub(crate) struct Client {
    stream: TcpStream,
    /// Set when it speaks TLS.
    tls: Option<Box<ClientConnection>>,
    /// Received and not yet consumed.
    received: Vec<u8>,
}

/// A response, decoded. Its framing has been checked.
#[derive(Debug, Clone)]
pub(crate) struct Response {
    pub(crate) status: u16,
    /// Status line and fields, as received.
    pub(crate) head: String,
    pub(crate) fields: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Vec<(String, String)>,
}

/// A GET of a path with `Host: test`.
pub(crate) fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n")
}

impl Client {
    pub(crate) fn connect(address: SocketAddr) -> Self {
        Self::of(TcpStream::connect_timeout(&address, PATIENCE).unwrap())
    }

    /// The same, where a refusal is an outcome.
    pub(crate) fn try_connect(address: SocketAddr) -> std::io::Result<Self> {
        Ok(Self::of(TcpStream::connect_timeout(&address, PATIENCE)?))
    }

    /// Connects from a chosen loopback address, to be trusted or counted by it.
    pub(crate) fn connect_from(source: IpAddr, address: SocketAddr) -> Self {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::new(source, 0).into()).unwrap();
        socket.connect_timeout(&address.into(), PATIENCE).unwrap();
        Self::of(socket.into())
    }

    /// Connects and makes a TLS handshake, or says why there is none.
    pub(crate) fn try_tls(
        address: SocketAddr,
        name: &str,
        config: &Arc<ClientConfig>,
    ) -> Result<Self, String> {
        let mut client = Self::connect(address);
        client.shake(name, config)?;
        Ok(client)
    }

    /// The same behind a PROXY header.
    pub(crate) fn tls_behind(
        header: &[u8],
        address: SocketAddr,
        name: &str,
        config: &Arc<ClientConfig>,
    ) -> Self {
        let mut client = Self::connect(address);
        client.send(header);
        client.shake(name, config).unwrap();
        client
    }

    fn shake(&mut self, name: &str, config: &Arc<ClientConfig>) -> Result<(), String> {
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let mut tls = ClientConnection::new(Arc::clone(config), name).map_err(|e| e.to_string())?;
        while tls.is_handshaking() {
            tls.complete_io(&mut self.stream).map_err(|e| e.to_string())?;
        }
        self.tls = Some(Box::new(tls));
        Ok(())
    }

    /// The same, which must go well.
    pub(crate) fn tls(address: SocketAddr, name: &str, config: &Arc<ClientConfig>) -> Self {
        Self::try_tls(address, name, config).unwrap()
    }

    /// What is known of its TLS.
    pub(crate) fn secured(&self) -> &ClientConnection {
        self.tls.as_ref().unwrap()
    }

    /// Says that it sends no more, in TLS's own words.
    pub(crate) fn close_notify(&mut self) {
        let tls = self.tls.as_mut().unwrap();
        tls.send_close_notify();
        let _ = tls.complete_io(&mut self.stream);
    }

    fn of(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, tls: None, received: Vec::new() }
    }

    /// Sends all of it. A peer that has already closed is for the following read to see.
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = match &mut self.tls {
            None => self.stream.write_all(bytes.as_ref()),
            Some(tls) => rustls::Stream::new(&mut **tls, &mut self.stream).write_all(bytes.as_ref()),
        };
    }

    /// Sends as much as the connection takes within a short while; says how much that was.
    pub(crate) fn send_what_fits(&mut self, bytes: &[u8]) -> usize {
        self.stream.set_write_timeout(Some(std::time::Duration::from_millis(300))).unwrap();
        let mut sent = 0;
        while sent < bytes.len() {
            match self.stream.write(&bytes[sent..]) {
                Ok(n) => sent += n,
                Err(_) => break,
            }
        }
        self.stream.set_write_timeout(Some(PATIENCE)).unwrap();
        sent
    }

    /// Sends a GET and reads its response.
    pub(crate) fn get(&mut self, path: &str) -> Response {
        self.ask(get(path))
    }

    /// Sends a request and reads its response.
    pub(crate) fn ask(&mut self, request: impl AsRef<[u8]>) -> Response {
        self.send(request);
        self.response()
    }

    /// The next final response to a request that is not HEAD; interim ones are passed over.
    pub(crate) fn response(&mut self) -> Response {
        self.try_response("GET").expect("a whole response")
    }

    /// The next response, interim ones included, to a request of this method.
    pub(crate) fn response_to(&mut self, method: &str) -> Response {
        self.one_response(method).expect("a whole response")
    }

    /// The next final response, or how it was cut. That nothing comes at all is never what a test wants.
    pub(crate) fn try_response(&mut self, method: &str) -> Result<Response, String> {
        loop {
            let response =
                self.one_response(method).inspect_err(|why| assert!(!why.starts_with(SILENCE), "{why}"))?;
            if response.status >= 200 || response.status == 101 {
                return Ok(response);
            }
        }
    }

    /// The next response's head and fields, its body left on the wire.
    pub(crate) fn head(&mut self) -> Response {
        self.read_head().expect("a response head")
    }

    /// Exactly so many bytes.
    pub(crate) fn exactly(&mut self, count: usize) -> Vec<u8> {
        while self.received.len() < count {
            self.more().unwrap_or_else(|e| panic!("{e} after {} of {count} bytes", self.received.len()));
        }
        self.received.drain(..count).collect()
    }

    /// All up to and including a pattern.
    pub(crate) fn until(&mut self, pattern: &[u8]) -> Vec<u8> {
        self.try_until(pattern).expect("the pattern")
    }

    /// Reads until the connection ends: the bytes, and whether the end was a clean one (not a reset).
    pub(crate) fn rest(&mut self) -> (Vec<u8>, bool) {
        loop {
            match self.more() {
                Ok(()) => {}
                Err(why) if why == "closed" => return (std::mem::take(&mut self.received), true),
                Err(why) if why == "reset" || why == "cut" => {
                    return (std::mem::take(&mut self.received), false);
                }
                Err(why) => panic!("{why} while waiting for the connection's end"),
            }
        }
    }

    /// Expects the connection to end with not one byte more.
    pub(crate) fn expect_closed(&mut self) {
        let (bytes, _) = self.rest();
        assert!(bytes.is_empty(), "more bytes before the close: {:?}", String::from_utf8_lossy(&bytes));
    }

    /// Ends the sending direction, if the gateway has not ended the connection already.
    pub(crate) fn finish(&self) {
        if let Err(error) = self.stream.shutdown(Shutdown::Write) {
            assert_eq!(error.kind(), ErrorKind::NotConnected, "{error}");
        }
    }

    /// Whether something can be read within a time: the only place where waiting for nothing is meant.
    pub(crate) fn silent_for(&mut self, time: std::time::Duration) -> bool {
        self.stream.set_read_timeout(Some(time)).unwrap();
        let outcome = self.more();
        self.stream.set_read_timeout(Some(PATIENCE)).unwrap();
        outcome.is_err_and(|why| why == SILENCE) && self.received.is_empty()
    }

    fn more(&mut self) -> Result<(), String> {
        let mut chunk = vec![0; 64 * 1024];
        let read = match &mut self.tls {
            None => self.stream.read(&mut chunk),
            Some(tls) => rustls::Stream::new(&mut **tls, &mut self.stream).read(&mut chunk),
        };
        match read {
            Ok(0) => Err("closed".into()),
            Ok(n) => {
                self.received.extend_from_slice(&chunk[..n]);
                Ok(())
            }
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => Err(SILENCE.into()),
            // TLS whose end was not announced: it may have been cut by anyone.
            Err(e) if e.kind() == ErrorKind::UnexpectedEof || e.to_string().contains("fatal alert") => {
                Err("cut".into())
            }
            Err(e) if matches!(e.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe) => {
                Err("reset".into())
            }
            Err(e) => Err(e.to_string()),
        }
    }

    fn try_until(&mut self, pattern: &[u8]) -> Result<Vec<u8>, String> {
        let mut looked = 0;
        loop {
            let from = looked;
            let found = self.received[from..].windows(pattern.len()).position(|window| window == pattern);
            if let Some(at) = found {
                return Ok(self.received.drain(..from + at + pattern.len()).collect());
            }
            looked = self.received.len().saturating_sub(pattern.len());
            self.more().map_err(|e| format!("{e} after {:?}", String::from_utf8_lossy(&self.received)))?;
        }
    }

    fn try_exactly(&mut self, count: usize) -> Result<Vec<u8>, String> {
        while self.received.len() < count {
            self.more().map_err(|e| format!("{e} after {} of {count} body bytes", self.received.len()))?;
        }
        Ok(self.received.drain(..count).collect())
    }

    fn read_head(&mut self) -> Result<Response, String> {
        let head = String::from_utf8(self.try_until(b"\r\n\r\n")?).map_err(|e| e.to_string())?;
        let mut lines = head.trim_end_matches("\r\n").split("\r\n");
        let status_line = lines.next().unwrap_or_default();
        let status = status_line.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3));
        let status =
            status.and_then(|s| s.parse().ok()).ok_or_else(|| format!("status line {status_line:?}"))?;
        let fields = fields(lines)?;
        Ok(Response { status, head, fields, body: Vec::new(), trailers: Vec::new() })
    }

    fn one_response(&mut self, method: &str) -> Result<Response, String> {
        let mut response = self.read_head()?;
        if method == "HEAD" || response.status < 200 || [204, 304].contains(&response.status) {
            return Ok(response);
        }
        match (response.field("transfer-encoding"), response.field("content-length")) {
            (Some("chunked"), None) => (response.body, response.trailers) = self.chunked()?,
            (None, Some(length)) => {
                let length = length.parse().map_err(|_| format!("content-length {length:?}"))?;
                response.body = self.try_exactly(length)?;
            }
            (None, None) => match self.rest() {
                (body, true) => response.body = body,
                (_, false) => return Err("reset".into()),
            },
            both => return Err(format!("framing {both:?}")),
        }
        Ok(response)
    }

    #[expect(clippy::type_complexity, reason = "a body and its trailers, taken apart at once")]
    fn chunked(&mut self) -> Result<(Vec<u8>, Vec<(String, String)>), String> {
        let mut body = Vec::new();
        loop {
            let line = String::from_utf8(self.try_until(b"\r\n")?).map_err(|e| e.to_string())?;
            let size =
                usize::from_str_radix(line.trim_end(), 16).map_err(|_| format!("chunk size {line:?}"))?;
            if size == 0 {
                break;
            }
            body.extend(self.try_exactly(size)?);
            if self.try_exactly(2)? != b"\r\n" {
                return Err("a chunk without its CRLF".into());
            }
        }
        let mut trailers = Vec::new();
        loop {
            let line = String::from_utf8(self.try_until(b"\r\n")?).map_err(|e| e.to_string())?;
            if line == "\r\n" {
                return Ok((body, trailers));
            }
            trailers.extend(fields(std::iter::once(line.trim_end()))?);
        }
    }
}

impl Response {
    /// The value of a field that must not occur twice; names in lower case.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        let mut values = self.fields.iter().filter(|(n, _)| n == name).map(|(_, v)| v.as_str());
        let value = values.next();
        assert!(values.next().is_none(), "{name} occurs twice in {:?}", self.head);
        value
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    /// The reason word of an answer that the gateway made: its error body's `code`.
    pub(crate) fn reason(&self) -> String {
        let body: serde_json::Value =
            serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {:?}", self.text()));
        body["error"]["code"].as_str().unwrap_or_else(|| panic!("no error.code in {body}")).to_owned()
    }
}

fn fields<'a>(lines: impl Iterator<Item = &'a str>) -> Result<Vec<(String, String)>, String> {
    lines
        .map(|line| {
            let (name, value) = line.split_once(':').ok_or_else(|| format!("field line {line:?}"))?;
            if name.is_empty() || name.contains([' ', '\t', '\r', '\n']) || value.contains(['\r', '\n']) {
                return Err(format!("field line {line:?}"));
            }
            Ok((name.to_ascii_lowercase(), value.trim_matches([' ', '\t']).to_owned()))
        })
        .collect()
}
