//! Where bytes come from.

use std::task::{Context, Poll};

use ringway_http::Fields;

use super::stream::StreamInlet;
use crate::net::{Buffer, Deadline, Hold, NetError, Reader};

/// The receiving half of a peer.
pub(crate) enum Inlet {
    /// A connection's.
    Socket(Reader),
    /// A stream's: the bytes of one body.
    Stream(Box<StreamInlet>),
    /// Nobody's: the socket is elsewhere.
    Gone,
}

impl Inlet {
    /// Takes the socket out.
    pub(crate) fn take(&mut self) -> Option<Reader> {
        match std::mem::replace(self, Self::Gone) {
            Self::Socket(reader) => Some(reader),
            Self::Stream(_) | Self::Gone => None,
        }
    }

    /// Waits for bytes. `None` is the end. May be dropped at no loss.
    pub(crate) async fn recv(&mut self, deadline: &Deadline) -> Result<Option<Buffer>, NetError> {
        match self {
            Self::Socket(reader) => reader.recv(deadline).await,
            Self::Stream(stream) => stream.recv(deadline).await,
            Self::Gone => Ok(None),
        }
    }

    /// Whether its bytes are a body's, and nothing else.
    pub(crate) fn is_stream(&self) -> bool {
        matches!(self, Self::Stream(_))
    }

    /// The fields behind a stream's body; a socket has them among its bytes.
    pub(crate) fn trailers(&self) -> Option<&Fields> {
        match self {
            Self::Stream(stream) => Some(stream.trailers()),
            Self::Socket(_) | Self::Gone => None,
        }
    }

    /// What is known to be here without a wait and without a call: only streams know.
    pub(crate) fn take_ready(&mut self) -> Option<Result<Option<Buffer>, NetError>> {
        match self {
            Self::Socket(_) | Self::Gone => None,
            Self::Stream(stream) => stream.take_ready(),
        }
    }

    /// Ready when bytes, the end or an error can be taken.
    pub(crate) fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match self {
            Self::Socket(reader) => reader.poll_readable(cx),
            Self::Stream(stream) => stream.poll_readable(cx),
            Self::Gone => Poll::Ready(()),
        }
    }

    /// What has come already to a connection that was just accepted.
    pub(crate) fn recv_now(&mut self) -> Option<Buffer> {
        match self {
            Self::Socket(reader) => reader.recv_now(),
            Self::Stream(_) | Self::Gone => None,
        }
    }

    /// Whether nothing that has come is unread.
    pub(crate) fn has_read_all(&self) -> bool {
        match self {
            Self::Socket(reader) => reader.has_read_all(),
            Self::Stream(_) | Self::Gone => true,
        }
    }

    /// What waits may hold from now on. Streams hold nothing of their own.
    pub(crate) fn set_hold(&mut self, hold: Hold) {
        if let Self::Socket(reader) = self {
            reader.set_hold(hold);
        }
    }

    /// What waits may hold.
    pub(crate) fn hold(&self) -> Hold {
        match self {
            Self::Socket(reader) => reader.hold(),
            Self::Stream(_) | Self::Gone => Hold::Nothing,
        }
    }

    /// Gives up an armed receive and its buffer, so that a long wait holds none.
    pub(crate) async fn let_go(&mut self) {
        if let Self::Socket(reader) = self {
            reader.let_go().await;
        }
    }
}
