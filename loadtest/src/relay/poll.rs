//! The relay on epoll: a read and a write per message. For machines that refuse a ring.

use std::io::{ErrorKind, Read};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::epoll::{self, Epoll};

/// The number of the listener. A pair has two numbers: twice its place, and one more for the side to the origin.
const LISTENER: u64 = u64::MAX;

/// A client and its own connection to the origin.
struct Pair {
    client: TcpStream,
    origin: TcpStream,
}

/// Relays until an error of its own; each client gets a connection to `to`.
pub(crate) fn run(listener: &TcpListener, to: SocketAddr) -> Result<()> {
    listener.set_nonblocking(true)?;
    let mut epoll = Epoll::new()?;
    epoll.add(listener, LISTENER)?;
    let mut pairs: Vec<Option<Pair>> = Vec::new();
    let mut ready = Vec::new();
    let mut buffer = vec![0; 64 * 1024];
    loop {
        epoll.wait(Duration::from_secs(60), &mut ready)?;
        for &number in &ready {
            if number == LISTENER {
                accept(listener, to, &epoll, &mut pairs)?;
                continue;
            }
            let Some(slot) = pairs.get_mut(usize::try_from(number / 2)?) else { continue };
            if slot.as_mut().is_some_and(|pair| !pair.copy(number.is_multiple_of(2), &mut buffer)) {
                *slot = None;
            }
        }
    }
}

fn accept(
    listener: &TcpListener,
    to: SocketAddr,
    epoll: &Epoll,
    pairs: &mut Vec<Option<Pair>>,
) -> Result<()> {
    while let Ok((client, _)) = listener.accept() {
        let origin = TcpStream::connect(to).with_context(|| format!("origin {to}"))?;
        for stream in [&client, &origin] {
            stream.set_nonblocking(true)?;
            stream.set_nodelay(true)?;
        }
        let place = pairs.iter().position(Option::is_none).unwrap_or(pairs.len());
        let number = u64::try_from(place)? * 2;
        epoll.add(&client, number)?;
        epoll.add(&origin, number + 1)?;
        let pair = Some(Pair { client, origin });
        match pairs.get_mut(place) {
            Some(slot) => *slot = pair,
            None => pairs.push(pair),
        }
    }
    Ok(())
}

impl Pair {
    /// Copies what one side has sent. False: the pair is over.
    fn copy(&mut self, from_client: bool, buffer: &mut [u8]) -> bool {
        let (from, to) =
            if from_client { (&mut self.client, &self.origin) } else { (&mut self.origin, &self.client) };
        match from.read(buffer) {
            Ok(0) => false,
            Ok(read) => buffer.get(..read).is_some_and(|bytes| epoll::send(to, bytes)),
            Err(error) => error.kind() == ErrorKind::WouldBlock,
        }
    }
}
