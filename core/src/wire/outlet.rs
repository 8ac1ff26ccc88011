//! Where bytes go.

use super::Inlet;
use super::stream::{StreamOutlet, gone};
use crate::net::{self, Buffer, Deadline, NetError, Writer};

/// The sending half of a peer.
pub(crate) enum Outlet {
    /// A connection's.
    Socket(Writer),
    /// A stream's: the bytes of one body, behind a head.
    Stream(Box<StreamOutlet>),
    /// Nobody's: the socket is elsewhere.
    Gone,
}

impl Outlet {
    /// Takes the socket out.
    pub(crate) fn take(&mut self) -> Option<Writer> {
        match std::mem::replace(self, Self::Gone) {
            Self::Socket(writer) => Some(writer),
            Self::Stream(_) | Self::Gone => None,
        }
    }

    /// Whether it takes a body's bytes, and nothing else.
    pub(crate) fn is_stream(&self) -> bool {
        matches!(self, Self::Stream(_))
    }

    /// Sends all of a buffer, and gives it back cleared.
    pub(crate) async fn send(&mut self, buffer: Buffer, deadline: &Deadline) -> Result<Buffer, NetError> {
        match self {
            Self::Socket(writer) => writer.send(buffer, deadline).await,
            Self::Stream(stream) => stream.send(buffer, deadline).await.map(|()| Buffer::empty()),
            Self::Gone => Err(gone()),
        }
    }

    /// Sends two buffers, in one write where that can be.
    pub(crate) async fn send_two(
        &mut self,
        first: Buffer,
        second: Buffer,
        deadline: &Deadline,
    ) -> Result<(Buffer, Buffer), NetError> {
        match self {
            Self::Socket(writer) => writer.send_two(first, second, deadline).await,
            Self::Stream(stream) => {
                stream.send(first, deadline).await?;
                stream.send(second, deadline).await?;
                Ok((Buffer::empty(), Buffer::empty()))
            }
            Self::Gone => Err(gone()),
        }
    }

    /// Sends and does not wait; `Err`: it has to be waited for.
    pub(crate) fn post(&mut self, buffer: Buffer) -> Result<(), Buffer> {
        match self {
            Self::Socket(writer) => writer.post(buffer),
            Self::Stream(stream) => stream.post(buffer),
            Self::Gone => Err(buffer),
        }
    }

    /// Sends the last bytes of a connection that closes behind them.
    pub(crate) async fn send_last(
        &mut self,
        buffer: Buffer,
        deadline: &Deadline,
    ) -> Result<Buffer, NetError> {
        match self {
            Self::Socket(writer) => writer.send_last(buffer, deadline).await,
            Self::Stream(_) | Self::Gone => self.send(buffer, deadline).await,
        }
    }

    /// Waits until what was posted has been taken.
    pub(crate) async fn settle(&mut self, deadline: &Deadline) -> Result<(), NetError> {
        match self {
            Self::Socket(writer) => writer.settle(deadline).await,
            // A stream posts only what its peer has granted.
            Self::Stream(_) | Self::Gone => Ok(()),
        }
    }

    /// Whether what was posted has been taken.
    pub(crate) fn is_settled(&mut self) -> bool {
        match self {
            Self::Socket(writer) => writer.is_settled(),
            Self::Stream(_) | Self::Gone => true,
        }
    }

    /// Ends the sending direction.
    pub(crate) fn finish(&mut self) {
        match self {
            Self::Socket(writer) => writer.finish(),
            Self::Stream(stream) => stream.finish(),
            Self::Gone => {}
        }
    }

    /// Ends a stream's message, if it has not ended; on a socket, messages end by their framing.
    pub(crate) fn end_stream(&mut self) {
        if let Self::Stream(stream) = self {
            stream.finish();
        }
    }

    /// What was sent is cut: the end of its connection must not look meant.
    pub(crate) fn leave_cut(&mut self) {
        if let Self::Socket(writer) = self {
            writer.leave_cut();
        }
    }

    /// Makes sure that the peer takes a cut message for what it is.
    pub(crate) fn reset_on_close(&mut self) {
        match self {
            Self::Socket(writer) => writer.reset_on_close(),
            Self::Stream(stream) => stream.reset(),
            Self::Gone => {}
        }
    }
}

/// Closes a peer that is at rest.
pub(crate) fn close(inlet: Inlet, outlet: Outlet) {
    if let (Inlet::Socket(reader), Outlet::Socket(writer)) = (inlet, outlet) {
        net::close(reader, writer);
    }
}
