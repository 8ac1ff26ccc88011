//! Listening sockets: bound by control (so that an error is one error), accepted from on a worker.
//!
//! Accepting is: wait for readability (droppable at no loss), then `accept4` with CLOEXEC until the queue is empty or a bound is
//! reached. No accept is ever in flight, so none can leak a connection.

use std::io;
use std::net::SocketAddr;

use ringway_config::snapshot::Address;

use super::Stream;

/// A bound, listening socket, on its way to a worker. `Send`.
#[derive(Debug)]
pub struct BoundListener {
    _private: (),
}

/// Whether another process may have the address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sharing {
    /// Refused when another instance listens there.
    Refuse,
    /// `share_addresses = true`.
    Allow,
}

/// Binds `count` SO_REUSEPORT sockets (for a Unix socket: one, dup'ed) on one address, after a probe that no other instance has it. Port 0 is
/// resolved once: all get the same port.
pub fn bind(_address: &Address, _count: usize, _sharing: Sharing) -> io::Result<Vec<BoundListener>> {
    todo!()
}

impl BoundListener {
    /// Where it listens (the real port), for TCP.
    pub fn local(&self) -> Option<SocketAddr> {
        todo!()
    }
    /// Seats it on this thread.
    pub fn seat(self) -> io::Result<Acceptor> {
        todo!()
    }
}

/// A listening socket on its worker.
#[derive(Debug)]
pub struct Acceptor {
    _private: (),
}

impl Acceptor {
    /// The next connection, TCP_NODELAY set. Errors such as EMFILE are for the caller to count and back off from (never a spin); those of a
    /// single connection (ECONNABORTED) are skipped. Dropping the future loses nothing.
    pub async fn accept(&mut self) -> io::Result<Stream> {
        todo!()
    }
    /// Stops new handshakes (a socket filter drops SYNs, so that clients try again elsewhere or are refused after the close) while queued
    /// connections can still be accepted.
    pub fn stop_handshakes(&mut self) -> io::Result<()> {
        todo!()
    }
    /// One already queued connection, without waiting; `None` when the queue is empty.
    pub fn accept_queued(&mut self) -> Option<Stream> {
        todo!()
    }
}
