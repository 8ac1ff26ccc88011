//! The server's end of a connection: what a client speaks to.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Buf;

use crate::error::HeadError;
use crate::fields::Fields;
use crate::h1::BodySize;
use crate::head::{Limits, RequestHead};

use super::limits::Guard;
use super::mem::{Duplex, Wire};
use super::stream::reset_error;
use super::{Body, ConnectionError, Flood, Outbound, Reason, Settings, StreamError, request, response};

/// The server's end of a connection. Dropping it ends all of its streams.
pub struct Server<B: Buf + 'static> {
    state: State<B>,
    duplex: Duplex,
    guard: Guard,
    input_max: usize,
}

enum State<B: Buf + 'static> {
    /// The preface has not come. `going_away`: it will be told to go away once it has.
    Handshake {
        handshake: Box<::h2::server::Handshake<Wire, B>>,
        going_away: bool,
    },
    Open(Box<::h2::server::Connection<Wire, B>>),
    Closed,
}

/// A stream that a client has opened.
pub struct Incoming<B: Buf + 'static> {
    parts: http::request::Parts,
    /// What it receives.
    pub body: Body,
    /// What answers it.
    pub respond: Respond<B>,
}

/// Answers a stream. Dropping it before its head is sent resets the stream with `CANCEL`.
pub struct Respond<B: Buf + 'static> {
    send: ::h2::server::SendResponse<B>,
}

impl<B: Buf + 'static> Server<B> {
    /// A connection whose client has sent nothing yet. What it says first can be taken after a poll.
    pub fn new(settings: &Settings) -> Self {
        let (duplex, wire) = Duplex::new(settings.output_bytes_max);
        let handshake = Box::new(settings.server().handshake(wire));
        Self {
            state: State::Handshake { handshake, going_away: false },
            duplex,
            guard: Guard::of_client(settings.guard),
            input_max: settings.input_bytes_max,
        }
    }

    /// Takes bytes from the client, at a time since any fixed point. After a flood the connection only ends: poll it
    /// and take the output.
    pub fn feed(&mut self, bytes: &[u8], now: Duration) -> Result<(), Flood> {
        if let Err(flood) = self.guard.scan(bytes, now) {
            self.abort(Reason::ENHANCE_YOUR_CALM);
            return Err(flood);
        }
        self.duplex.feed(bytes);
        Ok(())
    }

    /// The client will send nothing more.
    pub fn end_of_input(&mut self) {
        self.duplex.end_of_input();
    }

    /// Whether more may be fed. Not while much of what was fed could not be looked at, for the output is not taken.
    pub fn wants_input(&self) -> bool {
        self.duplex.unread() < self.input_max && !self.duplex.is_full()
    }

    /// Advances the connection; the next stream that was opened, or `None` when the connection is over. Its output is
    /// still to be taken then, and after an error as well.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Incoming<B>>, ConnectionError>> {
        loop {
            match &mut self.state {
                State::Handshake { handshake, going_away } => {
                    match ready!(Pin::new(handshake.as_mut()).poll(cx)) {
                        Ok(mut connection) => {
                            if *going_away {
                                connection.graceful_shutdown();
                            }
                            self.state = State::Open(Box::new(connection));
                        }
                        Err(error) => return Poll::Ready(Err(self.closed_by(error))),
                    }
                }
                State::Open(connection) => {
                    return match ready!(connection.poll_accept(cx)) {
                        Some(Ok((request, send))) => Poll::Ready(Ok(Some(Incoming::new(request, send)))),
                        Some(Err(error)) => Poll::Ready(Err(self.closed_by(error))),
                        None => {
                            self.state = State::Closed;
                            Poll::Ready(Ok(None))
                        }
                    };
                }
                State::Closed => return Poll::Ready(Ok(None)),
            }
        }
    }

    /// Moves what is to be sent into `out`; how much it was. Nothing is copied if `out` is empty: its memory is then
    /// what is written into next.
    pub fn take_output(&mut self, out: &mut Vec<u8>) -> usize {
        let len = self.duplex.take_output(out);
        self.guard.sent(len);
        len
    }

    /// Bytes that wait to be taken.
    pub fn output_len(&self) -> usize {
        self.duplex.output_len()
    }

    /// Gives back memory that holds nothing, for a connection that rests.
    pub fn shrink(&mut self) {
        self.duplex.shrink();
    }

    /// Asks the client to open no more streams; those that it has opened are served, and then the connection ends.
    /// Those that cross the request are served, too: the end comes after a round trip.
    pub fn go_away(&mut self) {
        match &mut self.state {
            State::Handshake { going_away, .. } => *going_away = true,
            State::Open(connection) => connection.graceful_shutdown(),
            State::Closed => {}
        }
    }

    /// Ends the connection and all of its streams. The client is told why, if it has said hello.
    pub fn abort(&mut self, reason: Reason) {
        match &mut self.state {
            State::Handshake { .. } => self.state = State::Closed,
            State::Open(connection) => connection.abrupt_shutdown(reason),
            State::Closed => {}
        }
    }

    /// Whether the client's preface has come.
    pub fn is_open(&self) -> bool {
        matches!(self.state, State::Open(_))
    }

    /// Whether the connection is over.
    pub fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed)
    }

    /// Whether there are streams that have not ended.
    pub fn has_streams(&self) -> bool {
        match &self.state {
            State::Open(connection) => connection.has_streams(),
            State::Handshake { .. } | State::Closed => false,
        }
    }

    fn closed_by(&mut self, error: ::h2::Error) -> ConnectionError {
        self.state = State::Closed;
        error.into()
    }
}

impl<B: Buf + 'static> fmt::Debug for Server<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("duplex", &self.duplex).finish_non_exhaustive()
    }
}

impl<B: Buf + 'static> Incoming<B> {
    fn new(request: http::Request<::h2::RecvStream>, send: ::h2::server::SendResponse<B>) -> Self {
        let (parts, body) = request.into_parts();
        Self { parts, body: Body::new(body), respond: Respond { send } }
    }

    /// Reads the request's head. A refused one is to be answered with the error's status.
    pub fn read_head(&self, limits: &Limits, head: &mut RequestHead) -> Result<(), HeadError> {
        request::read(&self.parts, self.body.is_end(), limits, head)
    }

    /// The stream's number, for logs.
    pub fn id(&self) -> u32 {
        self.respond.id()
    }

    /// Its two halves.
    pub fn into_halves(self) -> (Body, Respond<B>) {
        (self.body, self.respond)
    }
}

impl<B: Buf + 'static> fmt::Debug for Incoming<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Incoming").field("parts", &self.parts).finish_non_exhaustive()
    }
}

impl<B: Buf + 'static> Respond<B> {
    /// Sends an interim response (100, 103) before the head.
    pub fn send_interim(&mut self, status: u16, fields: &Fields) -> Result<(), StreamError> {
        let response = response::write_interim(status, fields)?;
        self.send.send_informational(response).map_err(StreamError::from)
    }

    /// Sends the response's head. What belongs to one connection is left out, and `content-length` is written from
    /// `size`. The stream ends with it if `ends`, or if there can be no body.
    pub fn send_head(
        &mut self,
        status: u16,
        fields: &Fields,
        size: BodySize,
        ends: bool,
    ) -> Result<Outbound<B>, StreamError> {
        let (response, is_empty) = response::write(status, fields, size)?;
        let stream = self.send.send_response(response, ends || is_empty).map_err(StreamError::from)?;
        Ok(Outbound::new(stream))
    }

    /// Waits for the stream's end by reset or by the end of its connection. Only before the head is sent.
    pub fn poll_reset(&mut self, cx: &mut Context<'_>) -> Poll<StreamError> {
        self.send.poll_reset(cx).map(reset_error)
    }

    /// Ends the stream at once.
    pub fn reset(&mut self, reason: Reason) {
        self.send.send_reset(reason);
    }

    /// The stream's number, for logs.
    pub fn id(&self) -> u32 {
        self.send.stream_id().as_u32()
    }
}

impl<B: Buf + 'static> fmt::Debug for Respond<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Respond").field("id", &self.id()).finish_non_exhaustive()
    }
}
