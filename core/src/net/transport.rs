//! A connected stream as two halves with owned buffers.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::task::{Context, Poll};

use super::{Buffer, Buffers, Deadline};

/// Why a wait ended without bytes.
#[derive(Debug, thiserror::Error)]
pub enum NetError {
    /// The deadline passed.
    #[error("timed out")]
    TimedOut,
    /// The socket failed.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// The other end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    /// A TCP peer.
    Socket(SocketAddr),
    /// A Unix socket's peer.
    Unix,
}

/// A connected TCP or Unix stream.
#[derive(Debug)]
pub struct Stream {
    _private: (),
}

impl Stream {
    /// The other end.
    pub fn peer(&self) -> Peer {
        todo!()
    }
    /// This end, for TCP.
    pub fn local(&self) -> Option<SocketAddr> {
        todo!()
    }
    /// The two halves. Both gone: the socket is closed, after what is in flight.
    pub fn split(self, _buffers: &Rc<Buffers>) -> (Reader, Writer) {
        todo!()
    }
}

/// The receiving half. A watch for readability stays armed between calls, holds no buffer, and may be dropped at no loss.
pub struct Reader {
    _private: (),
}

impl Reader {
    /// Ready when bytes, the end or an error can be taken.
    pub fn poll_readable(&mut self, _cx: &mut Context<'_>) -> Poll<()> {
        todo!()
    }
    /// Waits for readability, then takes what is there into a buffer of the pool. `None` is the end.
    pub async fn recv(&mut self, _deadline: &Deadline) -> Result<Option<Buffer>, NetError> {
        todo!()
    }
    /// Takes what is there, without a watch: only after `poll_readable` was ready.
    pub async fn take(&mut self) -> Result<Option<Buffer>, NetError> {
        todo!()
    }
    /// Whether nothing has come yet: no bytes, no end, no error. Arms the watch, waits for nothing.
    pub fn is_quiet(&mut self) -> bool {
        todo!()
    }
}

/// The sending half.
pub struct Writer {
    _private: (),
}

impl Writer {
    /// Sends all of a buffer, and gives it back cleared. After an error the connection is of no use.
    pub async fn send(&mut self, _buffer: Buffer, _deadline: &Deadline) -> Result<Buffer, NetError> {
        todo!()
    }
    /// Sends two buffers in one gathered write where the kernel takes it.
    pub async fn send_two(
        &mut self,
        _first: Buffer,
        _second: Buffer,
        _deadline: &Deadline,
    ) -> Result<(Buffer, Buffer), NetError> {
        todo!()
    }
    /// Shuts down the sending direction (FIN after what was sent).
    pub fn finish(&mut self) {
        todo!()
    }
    /// Makes the close of this connection a reset (SO_LINGER 0), so that a cut response cannot look whole.
    pub fn reset_on_close(&mut self) {
        todo!()
    }
}
