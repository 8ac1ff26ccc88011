//! What one stream receives and sends.

use std::fmt;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};

use crate::error::{BodyError, HeadError};
use crate::fields::Fields;
use crate::head::Limits;

use super::{Reason, fields};

/// Why a stream ended before its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StreamError {
    /// The peer says that it has not processed the request: it refused the stream, or went away before it (RFC 9113,
    /// 8.7). It is safe to send it again, elsewhere.
    #[error("the stream was not processed")]
    NotProcessed,
    /// The peer reset the stream.
    #[error("the peer reset the stream: {0}")]
    Reset(Reason),
    /// What the peer sent was malformed, and this end reset the stream.
    #[error("the stream was malformed: {0}")]
    Malformed(Reason),
    /// The head that came cannot be understood.
    #[error("the head is malformed: {0}")]
    Head(HeadError),
    /// The trailers that came cannot be understood.
    #[error("the trailers are malformed: {0}")]
    Trailers(BodyError),
    /// A head that cannot be written: it holds what no field, host or path may.
    #[error("the head cannot be written")]
    Unwritable,
    /// The stream is over, or was ended by this end: nothing can be sent on it.
    #[error("the stream is closed")]
    Closed,
    /// The connection ended.
    #[error("the connection ended: {0}")]
    Connection(ConnectionError),
}

/// Why a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ConnectionError {
    /// The peer said so.
    #[error("the peer went away: {0}")]
    Peer(Reason),
    /// What the peer sent was not HTTP/2, or too much of something; it has been told so.
    #[error("the peer broke the protocol: {0}")]
    Protocol(Reason),
    /// This end said so.
    #[error("ended here: {0}")]
    Here(Reason),
    /// The input ended in the middle of something.
    #[error("the connection was closed")]
    Closed,
}

impl From<::h2::Error> for ConnectionError {
    fn from(error: ::h2::Error) -> Self {
        match error.reason() {
            Some(reason) if error.is_remote() => Self::Peer(reason),
            Some(reason) if error.is_library() => Self::Protocol(reason),
            Some(reason) => Self::Here(reason),
            None => Self::Closed,
        }
    }
}

impl From<::h2::Error> for StreamError {
    fn from(error: ::h2::Error) -> Self {
        match error.reason() {
            // The library gives a stream the peer's GOAWAY only if its number is above the last one in it.
            Some(_) if error.is_go_away() && error.is_remote() => Self::NotProcessed,
            Some(_) if error.is_go_away() => Self::Connection(error.into()),
            Some(Reason::REFUSED_STREAM) if error.is_remote() => Self::NotProcessed,
            Some(reason) if error.is_remote() => Self::Reset(reason),
            Some(reason) if error.is_library() => Self::Malformed(reason),
            None if error.is_io() => Self::Connection(ConnectionError::Closed),
            // This end reset it, or what the library calls a user's error: the stream is not in a state to do that.
            Some(_) | None => Self::Closed,
        }
    }
}

/// The data that a stream receives. Dropping it gives up interest in what is to come.
#[derive(Debug)]
pub struct Body {
    stream: ::h2::RecvStream,
}

impl Body {
    pub(super) fn new(stream: ::h2::RecvStream) -> Self {
        Self { stream }
    }

    /// The next piece of data; `None` when there is no more of it, and trailers may be asked for. What was taken must
    /// be given back with [`Body::release`], or the sender runs out of window.
    pub fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, StreamError>>> {
        self.stream.poll_data(cx).map(|data| data.map(|data| data.map_err(StreamError::from)))
    }

    /// Lets the sender send so many bytes more: they have been passed on. More than were received is ignored.
    pub fn release(&mut self, bytes: usize) {
        // It errs only for more than was received, which would be a defect of the caller's and harms nobody.
        let _ = self.stream.flow_control().release_capacity(bytes);
    }

    /// Bytes that were received and not released.
    pub fn unreleased(&mut self) -> usize {
        self.stream.flow_control().used_capacity()
    }

    /// The trailers, once [`Body::poll_data`] has given `None`: whether there are any. Those that must not be in
    /// trailers are left out (RFC 9110, 6.5.1).
    pub fn poll_trailers(
        &mut self,
        cx: &mut Context<'_>,
        limits: &Limits,
        trailers: &mut Fields,
    ) -> Poll<Result<bool, StreamError>> {
        trailers.clear();
        let Some(map) = ready!(self.stream.poll_trailers(cx))? else { return Poll::Ready(Ok(false)) };
        fields::read_trailers(&map, limits, trailers).map_err(StreamError::Trailers)?;
        Poll::Ready(Ok(!trailers.is_empty()))
    }

    /// Whether nothing more will come: no data, no trailers.
    pub fn is_end(&self) -> bool {
        self.stream.is_end_stream()
    }
}

/// What a stream sends after its head. Dropping it before its end resets the stream with `CANCEL`.
///
/// One task may wait on a stream's sending half at a time: it is woken for room and for resets alike.
pub struct Outbound<B: Buf + 'static> {
    stream: ::h2::SendStream<B>,
}

impl<B: Buf + 'static> Outbound<B> {
    pub(super) fn new(stream: ::h2::SendStream<B>) -> Self {
        Self { stream }
    }

    /// Asks for so many bytes of the peer's windows. The last call counts.
    pub fn reserve(&mut self, bytes: usize) {
        self.stream.reserve_capacity(bytes);
    }

    /// Waits until some of what was reserved may be sent: how much.
    pub fn poll_capacity(&mut self, cx: &mut Context<'_>) -> Poll<Result<usize, StreamError>> {
        // The library reports a change; what there already is has to be asked for.
        let capacity = self.stream.capacity();
        if capacity > 0 {
            return Poll::Ready(Ok(capacity));
        }
        match ready!(self.stream.poll_capacity(cx)) {
            Some(capacity) => Poll::Ready(capacity.map_err(StreamError::from)),
            None => Poll::Ready(Err(self.why_closed(cx))),
        }
    }

    /// Bytes that may be sent now.
    pub fn capacity(&self) -> usize {
        self.stream.capacity()
    }

    /// Sends data, and perhaps the end of the stream. What is over the capacity waits in memory.
    pub fn send(&mut self, data: B, end: bool) -> Result<(), StreamError> {
        self.stream.send_data(data, end).map_err(StreamError::from)
    }

    /// Sends trailers, which end the stream. What must not be in trailers is left out.
    pub fn send_trailers(&mut self, trailers: &Fields) -> Result<(), StreamError> {
        let trailers = fields::write_trailers(trailers)?;
        self.stream.send_trailers(trailers).map_err(StreamError::from)
    }

    /// Waits for the stream's end by reset or by the end of its connection. Whether a request may be sent again is
    /// said by its [`super::Response`] alone.
    pub fn poll_reset(&mut self, cx: &mut Context<'_>) -> Poll<StreamError> {
        self.stream.poll_reset(cx).map(reset_error)
    }

    /// Ends the stream at once.
    pub fn reset(&mut self, reason: Reason) {
        self.stream.send_reset(reason);
    }

    /// The stream's number, for logs.
    pub fn id(&self) -> u32 {
        self.stream.stream_id().as_u32()
    }

    fn why_closed(&mut self, cx: &mut Context<'_>) -> StreamError {
        match self.stream.poll_reset(cx) {
            Poll::Ready(outcome) => reset_error(outcome),
            Poll::Pending => StreamError::Closed,
        }
    }
}

impl<B: Buf + 'static> fmt::Debug for Outbound<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outbound").field("id", &self.id()).finish_non_exhaustive()
    }
}

/// What became of a stream by what the library says of its reset. Never that it was not processed: the library does
/// not say who has reset it.
pub(super) fn reset_error(outcome: Result<Reason, ::h2::Error>) -> StreamError {
    match outcome {
        Ok(reason) => StreamError::Reset(reason),
        Err(error) => error.into(),
    }
}
