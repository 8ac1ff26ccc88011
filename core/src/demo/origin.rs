//! The demonstration's origin: a plain server with a thread for each connection, so that there is something to
//! proxy to.

use std::fmt::Write as _;
use std::io::{self, BufReader, BufWriter, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use super::request::Request;

/// Connections at once; further ones are closed.
const CONNECTIONS_MAX: usize = 4_096;
const STACK_BYTES: usize = 256 << 10;
/// How much of a body is shown again.
const ECHO_BYTES_MAX: usize = 4 << 10;
const PIECES: usize = 1_024;
const EVENTS: usize = 10;

/// What the endpoints of the origin share.
#[derive(Debug, Default)]
struct Shared {
    connections: AtomicUsize,
    flaky: AtomicUsize,
}

/// Starts one endpoint on a free port of the loopback interface.
pub(super) fn start(name: &'static str) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = listener.local_addr()?;
    thread::Builder::new().name(format!("origin-{name}")).spawn(move || accept(&listener, name))?;
    Ok(address)
}

fn accept(listener: &TcpListener, name: &'static str) {
    let shared = Arc::new(Shared::default());
    for connection in listener.incoming() {
        let Ok(connection) = connection else {
            pause(Duration::from_millis(10));
            continue;
        };
        if shared.connections.fetch_add(1, Ordering::Relaxed) >= CONNECTIONS_MAX {
            shared.connections.fetch_sub(1, Ordering::Relaxed);
            continue;
        }
        let theirs = Arc::clone(&shared);
        let serve = move || {
            // A connection that breaks is the gateway's to report.
            drop(serve(&connection, name, &theirs));
            theirs.connections.fetch_sub(1, Ordering::Relaxed);
        };
        let thread = thread::Builder::new().name(format!("origin-{name}")).stack_size(STACK_BYTES);
        if thread.spawn(serve).is_err() {
            shared.connections.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

fn serve(connection: &TcpStream, name: &str, shared: &Shared) -> io::Result<()> {
    connection.set_nodelay(true)?;
    let mut from = BufReader::new(connection);
    let mut to = BufWriter::new(connection);
    while let Some(request) = Request::read(&mut from)? {
        let body = request.body(&mut from, &mut to, ECHO_BYTES_MAX)?;
        answer(&mut to, &request, &body, name, shared)?;
        to.flush()?;
        if request.wants_close() {
            break;
        }
    }
    Ok(())
}

fn answer(
    to: &mut impl Write,
    request: &Request,
    body: &(u64, Vec<u8>),
    name: &str,
    shared: &Shared,
) -> io::Result<()> {
    let plain = |to: &mut _, status, text: &str| whole(to, request, status, text);
    match request.path() {
        "/" => plain(to, "200 OK", &format!("hello from endpoint {name}\n")),
        "/hello" => plain(to, "200 OK", &format!("hello from endpoint {name}, at {}\n", request.target)),
        "/health" => plain(to, "200 OK", "healthy\n"),
        "/echo" => plain(to, "200 OK", &echo(request, body, name)),
        "/flaky" if shared.flaky.fetch_add(1, Ordering::Relaxed).is_multiple_of(2) => {
            plain(to, "503 Service Unavailable", "not now\n")
        }
        "/flaky" => plain(to, "200 OK", &format!("this time endpoint {name} could\n")),
        "/slow" => {
            pause(Duration::from_secs(2));
            plain(to, "200 OK", "late\n")
        }
        "/stream" => {
            let piece = "x".repeat(1_023) + "\n";
            pieces(to, request, "text/plain", PIECES, Duration::ZERO, |_| piece.clone())
        }
        "/sse" => {
            let event = |number| format!("id: {number}\ndata: event {number} from endpoint {name}\n\n");
            pieces(to, request, "text/event-stream", EVENTS, Duration::from_millis(500), event)
        }
        path if path.starts_with("/people/") => plain(to, "200 OK", &echo(request, body, name)),
        _ => plain(to, "404 Not Found", "the origin has no such page\n"),
    }
}

/// What the origin got, in lines.
fn echo(request: &Request, (bytes, kept): &(u64, Vec<u8>), name: &str) -> String {
    let mut text = format!("endpoint {name} got\n{} {}\n", request.method, request.target);
    for (field, value) in &request.fields {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{field}: {value}");
    }
    if *bytes > 0 {
        let _ = writeln!(text, "\nand a body of {bytes} bytes:\n{}", String::from_utf8_lossy(kept));
    }
    text
}

/// An answer of a known length.
fn whole(to: &mut impl Write, request: &Request, status: &str, text: &str) -> io::Result<()> {
    write!(
        to,
        "HTTP/1.1 {status}\r\nServer: demonstration\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\r\n",
        text.len()
    )?;
    if request.method == "HEAD" { Ok(()) } else { to.write_all(text.as_bytes()) }
}

/// An answer in chunks, each sent at once.
fn pieces(
    to: &mut impl Write,
    request: &Request,
    content_type: &str,
    count: usize,
    between: Duration,
    piece: impl Fn(usize) -> String,
) -> io::Result<()> {
    write!(
        to,
        "HTTP/1.1 200 OK\r\nServer: demonstration\r\nContent-Type: {content_type}\r\nTransfer-Encoding: chunked\r\n\r\n"
    )?;
    if request.method == "HEAD" {
        return Ok(());
    }
    for number in 1..=count {
        let text = piece(number);
        write!(to, "{:x}\r\n{text}\r\n", text.len())?;
        if !between.is_zero() {
            to.flush()?;
            pause(between);
        }
    }
    to.write_all(b"0\r\n\r\n")
}

#[expect(clippy::disallowed_methods, reason = "an origin that is slow on purpose, on a thread of its own")]
fn pause(time: Duration) {
    thread::sleep(time);
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    fn ask(address: SocketAddr, text: &str) -> String {
        let mut connection = TcpStream::connect(address).unwrap();
        connection.write_all(text.as_bytes()).unwrap();
        let mut answer = String::new();
        connection.read_to_string(&mut answer).unwrap();
        answer
    }

    #[test]
    fn the_origin_answers() {
        let address = start("test").unwrap();
        for (line, status, part) in [
            ("GET / HTTP/1.1", "200", "hello from endpoint test"),
            ("GET /flaky HTTP/1.1", "503", "not now"),
            ("GET /flaky HTTP/1.1", "200", "this time"),
            ("GET /people/4 HTTP/1.1", "200", "GET /people/4\nConnection: close\n"),
            ("GET /x HTTP/1.1", "404", "no such page"),
            ("GET /stream HTTP/1.1", "200", "\r\n0\r\n\r\n"),
        ] {
            let answer = ask(address, &format!("{line}\r\nConnection: close\r\n\r\n"));
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{line}: {answer}");
            assert!(answer.contains(part), "{line}: {answer}");
        }
        let head = ask(address, "HEAD /hello HTTP/1.1\r\nConnection: close\r\n\r\n");
        assert!(head.ends_with("\r\n\r\n"), "{head}");
    }
}
