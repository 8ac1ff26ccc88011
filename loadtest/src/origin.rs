//! An origin: one thread, epoll, every GET answered with 200 and a body of a fixed length.

use std::io::{ErrorKind, Read};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::epoll::{self, Epoll};

/// The number of the listener; connections have the numbers below.
const LISTENER: u64 = u64::MAX;

/// A running origin. It ends with the process.
#[derive(Debug)]
pub(crate) struct Origin {
    address: SocketAddr,
    thread: JoinHandle<Result<()>>,
}

impl Origin {
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Waits for its end, which only an error brings.
    pub(crate) fn join(self) -> Result<()> {
        self.thread.join().ok().context("the origin's thread has panicked")?
    }
}

/// Starts an origin on a thread of its own, on the CPUs that the caller may use.
pub(crate) fn start(address: SocketAddr, length: usize) -> Result<Origin> {
    let listener = TcpListener::bind(address).with_context(|| format!("cannot listen on {address}"))?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    let answer = answer(length);
    let thread =
        std::thread::Builder::new().name("origin".to_owned()).spawn(move || serve(&listener, &answer))?;
    Ok(Origin { address, thread })
}

fn answer(length: usize) -> Vec<u8> {
    let head = "HTTP/1.1 200 OK\r\nServer: origin\r\nContent-Type: text/plain\r\n";
    let mut answer = format!("{head}Content-Length: {length}\r\n\r\n").into_bytes();
    answer.resize(answer.len() + length, b'x');
    answer
}

/// A client of the origin.
#[derive(Debug)]
struct Client {
    stream: TcpStream,
    /// The last bytes read, at most three: the end of a head may come in pieces.
    tail: Vec<u8>,
}

fn serve(listener: &TcpListener, answer: &[u8]) -> Result<()> {
    let mut epoll = Epoll::new()?;
    epoll.add(listener, LISTENER)?;
    let mut clients: Vec<Option<Client>> = Vec::new();
    let mut free: Vec<usize> = Vec::new();
    let mut ready = Vec::new();
    let mut buffer = vec![0; 64 * 1024];
    loop {
        epoll.wait(Duration::from_secs(60), &mut ready)?;
        for &number in &ready {
            if number == LISTENER {
                accept(listener, &epoll, &mut clients, &mut free)?;
                continue;
            }
            let at = usize::try_from(number)?;
            let Some(slot) = clients.get_mut(at) else { continue };
            if slot.as_mut().is_some_and(|client| !client.turn(&mut buffer, answer)) {
                *slot = None;
                free.push(at);
            }
        }
    }
}

fn accept(
    listener: &TcpListener,
    epoll: &Epoll,
    clients: &mut Vec<Option<Client>>,
    free: &mut Vec<usize>,
) -> Result<()> {
    while let Ok((stream, _)) = listener.accept() {
        stream.set_nonblocking(true)?;
        stream.set_nodelay(true)?;
        let at = free.pop().unwrap_or_else(|| {
            clients.push(None);
            clients.len() - 1
        });
        epoll.add(&stream, u64::try_from(at)?)?;
        if let Some(slot) = clients.get_mut(at) {
            *slot = Some(Client { stream, tail: Vec::with_capacity(4) });
        }
    }
    Ok(())
}

impl Client {
    /// Reads once and answers each head that ended. False: the connection is over.
    fn turn(&mut self, buffer: &mut [u8], answer: &[u8]) -> bool {
        let read = match self.stream.read(buffer) {
            Ok(0) => return false,
            Ok(read) => read,
            Err(error) => return error.kind() == ErrorKind::WouldBlock,
        };
        let Some(input) = buffer.get(..read) else { return false };
        (0..self.heads(input)).all(|_| epoll::send(&self.stream, answer))
    }

    /// How many heads end in this input.
    fn heads(&mut self, input: &[u8]) -> usize {
        let ends = |bytes: &[u8]| bytes.windows(4).filter(|window| window == b"\r\n\r\n").count();
        let kept = self.tail.len();
        self.tail.extend(input.iter().take(3));
        let count = ends(input) + if kept == 0 { 0 } else { ends(&self.tail) };
        self.tail.extend(input.iter().skip(3));
        self.tail.drain(..self.tail.len().saturating_sub(3));
        count
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn each_request_is_answered_however_its_bytes_are_cut() {
        let origin = start(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), 5).unwrap();
        let request = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
        let expected = answer(5);
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
    fn a_head_s_end_is_counted_once_wherever_it_is_cut() {
        let origin = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let text = b"GET /\r\n\r\nGET /\r\n\r\n";
        for size in 1..text.len() {
            let stream = TcpStream::connect(origin.local_addr().unwrap()).unwrap();
            let mut client = Client { stream, tail: Vec::new() };
            let count: usize = text.chunks(size).map(|chunk| client.heads(chunk)).sum();
            assert_eq!(count, 2, "pieces of {size}");
        }
    }
}
