//! An origin: every request is answered with 200 and a body of a fixed length, after its own body has been checked. It
//! runs on a thread of its own, or is turned by the one that makes the load.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::body::Body;
use crate::epoll::Epoll;
use crate::h2;
use crate::message::{Message, Receiving, Sending};

/// The number of the listener; connections have the numbers below.
const LISTENER: u64 = u64::MAX;

/// What the origin says and wants to hear.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Terms {
    /// Bytes of each answer's body.
    pub(crate) answer: usize,
    /// Bytes that each request's body must have; none: any.
    pub(crate) request: Option<usize>,
    /// Whether those who speak HTTP/2 call a gRPC service; then the bytes are a message's.
    pub(crate) grpc: bool,
}

/// A running origin with its own thread. It ends with the process.
#[derive(Debug)]
pub(crate) struct Thread {
    address: SocketAddr,
    thread: JoinHandle<Result<()>>,
}

impl Thread {
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Waits for its end, which only an error brings.
    pub(crate) fn join(self) -> Result<()> {
        self.thread.join().ok().context("the origin's thread has panicked")?
    }
}

/// Starts an origin on a thread of its own, on the CPUs that the caller may use.
pub(crate) fn start(address: SocketAddr, length: usize) -> Result<Thread> {
    start_on(address, Terms { answer: length, request: None, grpc: false })
}

/// The same on terms of one's own.
pub(crate) fn start_on(address: SocketAddr, terms: Terms) -> Result<Thread> {
    let listener = listen(address)?;
    let address = listener.local_addr()?;
    let serve = move || -> Result<()> {
        let mut origin = Origin::on(listener, terms)?;
        loop {
            origin.turn(Duration::from_secs(60))?;
        }
    };
    let thread = std::thread::Builder::new().name("origin".to_owned()).spawn(serve)?;
    Ok(Thread { address, thread })
}

/// Takes more connections that wait than the standard library allows for: all of a load's are made before the first is
/// accepted, if one thread does both.
pub(crate) fn listen(address: SocketAddr) -> Result<TcpListener> {
    let listener = TcpListener::bind(address).with_context(|| format!("cannot listen on {address}"))?;
    rustix::net::listen(&listener, 4096)?;
    Ok(listener)
}

/// An origin that is turned by its owner.
pub(crate) struct Origin {
    pub(crate) address: SocketAddr,
    listener: TcpListener,
    epoll: Epoll,
    ready: Vec<u64>,
    clients: Vec<Option<Client>>,
    free: Vec<usize>,
    shared: Shared,
    buffer: Vec<u8>,
}

/// What all clients get.
#[derive(Debug)]
struct Shared {
    body: Body,
    terms: Terms,
    answer: Message,
    refusal: Message,
    h2_answer: h2::Message,
    /// The body that each HTTP/2 request must have; none: any.
    h2_request: Option<Vec<u8>>,
}

/// A client of the origin.
#[derive(Debug)]
struct Client {
    stream: TcpStream,
    speaks: Speaks,
    receiving: Receiving,
    sending: Sending,
    /// Answers to requests that have come.
    owed: u32,
    /// The client wants no more answers than are owed.
    is_last: bool,
    /// A request was wrong: it is refused, and that is the end.
    is_refused: bool,
    /// Whether it is watched for room.
    waits_for_room: bool,
}

/// What a client speaks, which its first two bytes say.
#[derive(Debug)]
enum Speaks {
    Unknown,
    Http1,
    H2(Box<h2::Served>),
}

impl Origin {
    pub(crate) fn bind(address: SocketAddr, terms: Terms) -> Result<Self> {
        Self::on(listen(address)?, terms)
    }

    fn on(listener: TcpListener, terms: Terms) -> Result<Self> {
        listener.set_nonblocking(true)?;
        let (address, epoll, body) = (listener.local_addr()?, Epoll::new()?, Body::new());
        epoll.add(&listener, LISTENER)?;
        let head = "HTTP/1.1 200 OK\r\nServer: origin\r\nContent-Type: text/plain\r\n";
        let head = format!("{head}Content-Length: {}\r\n\r\n", terms.answer);
        let answer = Message::new(&head, terms.answer, &body);
        let refusal = "HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
        let refusal = Message::new(refusal, 0, &body);
        let h2_answer = h2::Message::of_origin(terms.grpc, terms.answer, &body);
        let h2_request = terms.request.map(|length| h2::payload(terms.grpc, length, &body));
        Ok(Self {
            address,
            listener,
            epoll,
            ready: Vec::new(),
            clients: Vec::new(),
            free: Vec::new(),
            shared: Shared { body, terms, answer, refusal, h2_answer, h2_request },
            buffer: vec![0; 256 * 1024],
        })
    }

    /// Waits for work at most this long and does it. How much there was.
    pub(crate) fn turn(&mut self, limit: Duration) -> Result<usize> {
        let mut ready = std::mem::take(&mut self.ready);
        self.epoll.wait(limit, &mut ready)?;
        for &number in &ready {
            if number == LISTENER {
                self.accept()?;
                continue;
            }
            let at = usize::try_from(number)?;
            let Some(slot) = self.clients.get_mut(at) else { continue };
            let Some(client) = slot else { continue };
            let goes_on = client.turn(&mut self.buffer, &self.shared);
            if !goes_on {
                *slot = None;
                self.free.push(at);
                continue;
            }
            let wants_room = client.wants_room();
            if wants_room != client.waits_for_room {
                client.waits_for_room = wants_room;
                self.epoll.watch_room(&client.stream, number, wants_room)?;
            }
        }
        let count = ready.len();
        self.ready = ready;
        Ok(count)
    }

    fn accept(&mut self) -> Result<()> {
        while let Ok((stream, _)) = self.listener.accept() {
            stream.set_nonblocking(true)?;
            stream.set_nodelay(true)?;
            let at = self.free.pop().unwrap_or_else(|| {
                self.clients.push(None);
                self.clients.len() - 1
            });
            self.epoll.add(&stream, u64::try_from(at)?)?;
            if let Some(slot) = self.clients.get_mut(at) {
                *slot = Some(Client {
                    stream,
                    speaks: Speaks::Unknown,
                    receiving: Receiving::new(true),
                    sending: Sending::default(),
                    owed: 0,
                    is_last: false,
                    is_refused: false,
                    waits_for_room: false,
                });
            }
        }
        Ok(())
    }
}

impl AsFd for Origin {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }
}

impl Client {
    /// Reads once, and answers what is complete as far as there is room. False: the connection is over.
    fn turn(&mut self, buffer: &mut [u8], shared: &Shared) -> bool {
        match &mut self.speaks {
            Speaks::Unknown => return self.look(buffer, shared),
            Speaks::H2(served) => return turn_h2(&self.stream, served, buffer, shared),
            Speaks::Http1 => {}
        }
        if !self.waits_for_room {
            let read = match self.stream.read(buffer) {
                Ok(0) => return false,
                Ok(read) => read,
                Err(error) => return error.kind() == ErrorKind::WouldBlock,
            };
            self.hear(buffer.get(..read).unwrap_or_default(), shared);
        }
        while self.owed > 0 {
            match self.sending.turn(&mut &self.stream, &shared.answer, &shared.body) {
                Ok(true) => self.owed -= 1,
                Ok(false) => return true,
                Err(_) => return false,
            }
        }
        if self.is_refused {
            // It always fits: nothing else is under way.
            let _ = self.sending.turn(&mut &self.stream, &shared.refusal, &shared.body);
        }
        !self.is_refused && !self.is_last
    }

    /// Sees what the client speaks, and goes on accordingly.
    fn look(&mut self, buffer: &mut [u8], shared: &Shared) -> bool {
        let mut first = [0; 2];
        self.speaks = match self.stream.peek(&mut first) {
            Ok(0) => return false,
            // The other one follows.
            Ok(1) => return true,
            Ok(_) if h2::frame::PREFACE.starts_with(&first) => Speaks::H2(Box::new(h2::Served::new())),
            Ok(_) => Speaks::Http1,
            Err(error) => return error.kind() == ErrorKind::WouldBlock,
        };
        self.turn(buffer, shared)
    }

    fn wants_room(&mut self) -> bool {
        match &mut self.speaks {
            Speaks::H2(served) => !served.output().is_empty(),
            Speaks::Unknown | Speaks::Http1 => self.sending.is_under_way(),
        }
    }

    fn hear(&mut self, mut input: &[u8], shared: &Shared) {
        while !input.is_empty() && !self.is_refused {
            match self.receiving.take(input, &shared.body) {
                Ok((taken, None)) => input = input.get(taken..).unwrap_or_default(),
                Ok((taken, Some(head))) => {
                    let is_right =
                        shared.terms.request.is_none_or(|wanted| wanted == head.length.unwrap_or(0));
                    self.is_refused = !is_right;
                    self.owed += u32::from(is_right);
                    self.is_last = head.closes;
                    input = input.get(taken..).unwrap_or_default();
                }
                Err(_) => self.is_refused = true,
            }
        }
    }
}

/// Reads once, and sends what is to be sent as far as there is room. False: the connection is over.
fn turn_h2(mut stream: &TcpStream, served: &mut h2::Served, buffer: &mut [u8], shared: &Shared) -> bool {
    match stream.read(buffer) {
        Ok(0) => return false,
        Ok(read) => {
            let input = buffer.get(..read).unwrap_or_default();
            if served.hear(input, &shared.h2_answer, shared.h2_request.as_deref()).is_err() {
                return false;
            }
        }
        Err(error) if error.kind() == ErrorKind::WouldBlock => {}
        Err(_) => return false,
    }
    let output = served.output();
    if output.is_empty() {
        return true;
    }
    match stream.write(output) {
        Ok(sent) => {
            output.drain(..sent);
            sent > 0
        }
        Err(error) => error.kind() == ErrorKind::WouldBlock,
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn local() -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, 0))
    }

    #[test]
    fn each_request_is_answered_however_its_bytes_are_cut() {
        let origin = start(local(), 5).unwrap();
        let request = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
        let expected = Origin::bind(local(), Terms { answer: 5, request: None, grpc: false }).unwrap().shared;
        let head =
            "HTTP/1.1 200 OK\r\nServer: origin\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\n";
        let expected = [head.as_bytes(), expected.body.piece(0, 5)].concat();
        let mut stream = TcpStream::connect(origin.address()).unwrap();
        stream.set_nodelay(true).unwrap();
        let mut read = vec![0; expected.len()];
        for cut in 1..request.len() {
            stream.write_all(&request[..cut]).unwrap();
            stream.write_all(&request[cut..]).unwrap();
            stream.read_exact(&mut read).unwrap();
            assert_eq!(read, expected, "{cut}");
        }
        stream.write_all(&request.repeat(3)).unwrap();
        let mut read = vec![0; expected.len() * 3];
        stream.read_exact(&mut read).unwrap();
        assert_eq!(read, expected.repeat(3));
    }

    #[test]
    fn a_body_that_is_not_as_agreed_is_refused() {
        let mut origin = Origin::bind(local(), Terms { answer: 5, request: Some(4), grpc: false }).unwrap();
        let good = Body::new().piece(0, 4).to_vec();
        let bad = [good[0] ^ 1, good[1], good[2], good[3]];
        for (body, status) in [(&good[..], b"200"), (&good[..3], b"400"), (&bad[..], b"400")] {
            let mut stream = TcpStream::connect(origin.address).unwrap();
            let head = format!("POST / HTTP/1.1\r\nContent-Length: {}\r\n\r\n", body.len());
            stream.write_all(&[head.as_bytes(), body].concat()).unwrap();
            stream.set_nonblocking(true).unwrap();
            let mut read = [0; 12];
            while stream.read(&mut read).is_err() {
                origin.turn(Duration::from_millis(100)).unwrap();
            }
            assert_eq!(&read[9..12], status, "{body:?}");
        }
    }
}
