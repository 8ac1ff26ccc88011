//! The relay on a ring: one thread, one entry of the kernel per turn for all that is to be read, sent and waited for.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use anyhow::{Context, Result};
use rustix::net::Shutdown;

use super::flow::{Flow, Next};
use super::ring::{Completion, Ring};

/// Operations are told apart by a number: the place of the pair, the side that is read from, and what is done.
const PLACE_SHIFT: u32 = 3;
const ORIGIN_BIT: u64 = 4;
const WHAT: u64 = 3;
const READ: u64 = 0;
const SEND: u64 = 1;
const CANCEL: u64 = 2;
const ACCEPT: u64 = 3;

/// A read that found no piece (`ENOBUFS`), and one that was cancelled (`ECANCELED`).
const NO_PIECE: i32 = -105;
const CANCELLED: i32 = -125;

/// A client and its own connection to the origin.
struct Pair {
    /// The client's socket and the origin's.
    sockets: [OwnedFd; 2],
    /// What comes from the client, and what comes from the origin.
    flows: [Flow; 2],
    /// Operations whose last completion has not come.
    pending: u32,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    /// One side has ended.
    Ending,
    /// Both have, or one has failed; the pair goes when nothing is pending.
    Over,
}

struct Relay {
    ring: Ring,
    to: SocketAddr,
    pairs: Vec<Option<Pair>>,
    free: Vec<usize>,
}

/// Relays until an error of its own; each client gets a connection to `to`.
pub(super) fn run(mut ring: Ring, listener: &TcpListener, to: SocketAddr) -> Result<()> {
    let listening = listener.as_raw_fd();
    ring.accept(listening, ACCEPT)?;
    let (pairs, free) = (Vec::new(), Vec::new());
    let mut relay = Relay { ring, to, pairs, free };
    let mut done = Vec::new();
    loop {
        relay.ring.turn(&mut done)?;
        for &completion in &done {
            if completion.about != ACCEPT {
                relay.step(completion)?;
                continue;
            }
            relay.open(Ring::accepted(completion).context("cannot accept")?)?;
            if !completion.is_on {
                relay.ring.accept(listening, ACCEPT)?;
            }
        }
    }
}

impl Relay {
    fn open(&mut self, client: OwnedFd) -> Result<()> {
        let origin = TcpStream::connect(self.to).with_context(|| format!("origin {}", self.to))?;
        let sockets = [client, OwnedFd::from(origin)];
        for socket in &sockets {
            rustix::net::sockopt::set_tcp_nodelay(socket, true)?;
        }
        let flows = [Flow::new(), Flow::new()];
        let pair = Some(Pair { sockets, flows, pending: 0, state: State::Open });
        let place = self.free.pop().unwrap_or(self.pairs.len());
        match self.pairs.get_mut(place) {
            Some(slot) => *slot = pair,
            None => self.pairs.push(pair),
        }
        let about = u64::try_from(place)? << PLACE_SHIFT;
        self.advance(about)?;
        self.advance(about | ORIGIN_BIT)
    }

    /// An operation of a pair has come to something.
    fn step(&mut self, completion: Completion) -> Result<()> {
        let Completion { about, result, piece, is_on } = completion;
        let Some(pair) = self.pairs.get_mut(place(about)?).and_then(Option::as_mut) else { return Ok(()) };
        pair.pending -= u32::from(!is_on);
        let [first, second] = &mut pair.flows;
        let flow = if about & ORIGIN_BIT == 0 { first } else { second };
        match (about & WHAT, result, u32::try_from(result)) {
            (READ, 1.., Ok(bytes)) => flow.has_read(bytes, piece, is_on),
            (READ, 0, _) => flow.has_ended(),
            (READ, CANCELLED, _) => flow.has_stopped(),
            (READ, NO_PIECE, _) => flow.has_found_no_piece(),
            (SEND, 1.., Ok(bytes)) => {
                if let Some(memory) = flow.has_sent(bytes) {
                    self.ring.give_back(memory);
                }
            }
            // A cancel says nothing that the read's own completion does not say.
            (CANCEL, ..) => {}
            _ => {
                if about & WHAT == READ {
                    flow.has_ended();
                }
                pair.end();
            }
        }
        self.advance(about & !WHAT)
    }

    /// Starts what can be done next in one direction.
    fn advance(&mut self, about: u64) -> Result<()> {
        let about = about & !WHAT;
        let place = place(about)?;
        let Some(slot) = self.pairs.get_mut(place) else { return Ok(()) };
        let Some(pair) = slot else { return Ok(()) };
        if pair.state == State::Over {
            if pair.pending == 0 {
                pair.flows.iter_mut().flat_map(Flow::memory).for_each(|memory| self.ring.give_back(memory));
                *slot = None;
                self.free.push(place);
            }
            return Ok(());
        }
        let (client, origin) = pair.sockets.each_ref().into();
        let [first, second] = &mut pair.flows;
        let (flow, from, to) =
            if about & ORIGIN_BIT == 0 { (first, client, origin) } else { (second, origin, client) };
        if let Some(part) = flow.start_sending() {
            self.ring.send(to, part.memory, (part.start, part.end - part.start), about | SEND)?;
            pair.pending += 1;
        }
        let mut next = flow.next();
        if next == Next::WantLarge {
            next = flow.read_large(self.ring.large());
        }
        match next {
            Next::ReadOn => self.ring.read_on(from, about | READ)?,
            Next::ReadLarge(memory) => self.ring.read_large(from, memory, about | READ)?,
            Next::StopReading => self.ring.cancel(about | READ, about | CANCEL)?,
            Next::End => {
                // It may be gone already.
                let _ = rustix::net::shutdown(to.as_fd(), Shutdown::Write);
                if pair.state == State::Ending {
                    pair.end();
                    return self.advance(about);
                }
                pair.state = State::Ending;
                return Ok(());
            }
            Next::Nothing | Next::WantLarge => return Ok(()),
        }
        pair.pending += 1;
        if let Some(memory) = flow.unused() {
            self.ring.give_back(memory);
        }
        Ok(())
    }
}

impl Pair {
    /// Brings all that is pending to its end.
    fn end(&mut self) {
        self.state = State::Over;
        for socket in &self.sockets {
            // It may be gone already.
            let _ = rustix::net::shutdown(socket, Shutdown::Both);
        }
    }
}

fn place(about: u64) -> Result<usize> {
    Ok(usize::try_from(about >> PLACE_SHIFT)?)
}
