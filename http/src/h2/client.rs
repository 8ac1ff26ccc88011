//! The client's end of a connection: what speaks to an upstream.

use std::fmt;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::Buf;

use crate::head::{Limits, Method, ResponseHead};

use super::limits::Guard;
use super::mem::{Duplex, Wire};
use super::{Body, ConnectionError, Flood, Outbound, Outgoing, Settings, StreamError};
use super::{request, response};

/// The client's end of a connection. It ends by itself when its [`Requests`] and its streams are gone; dropping it
/// ends all of its streams.
pub struct Client<B: Buf + 'static> {
    state: State<B>,
    duplex: Duplex,
    guard: Guard,
    input_max: usize,
}

enum State<B: Buf + 'static> {
    Open(Box<::h2::client::Connection<Wire, B>>),
    Closed,
}

/// Opens streams on a [`Client`]'s connection.
pub struct Requests<B: Buf + 'static> {
    send: ::h2::client::SendRequest<B>,
}

/// The response that a stream waits for. Dropping it gives up interest in it.
#[derive(Debug)]
pub struct Response {
    /// The request's method, which says whether there can be a body.
    method: Method,
    state: Awaited,
}

#[derive(Debug)]
enum Awaited {
    Head(::h2::client::ResponseFuture),
    Done,
}

impl<B: Buf + 'static> Client<B> {
    /// A connection on which nothing has been sent yet. What it says first can be taken at once.
    pub fn new(settings: &Settings) -> Result<(Self, Requests<B>), ConnectionError> {
        let (duplex, wire) = Duplex::new(settings.output_bytes_max);
        let builder = settings.client();
        let handshake = pin!(builder.handshake(wire));
        // It waits for room in the output and for nothing else, and the output is empty.
        let Poll::Ready(shaken) = handshake.poll(&mut Context::from_waker(Waker::noop())) else {
            return Err(ConnectionError::Closed);
        };
        let (send, connection) = shaken?;
        let client = Self {
            state: State::Open(Box::new(connection)),
            duplex,
            guard: Guard::of_server(settings.guard),
            input_max: settings.input_bytes_max,
        };
        Ok((client, Requests { send }))
    }

    /// Takes bytes from the server, at a time since any fixed point. After a flood the connection is closed: what is
    /// in the output need not be sent.
    pub fn feed(&mut self, bytes: &[u8], now: Duration) -> Result<(), Flood> {
        self.guard.scan(bytes, now).inspect_err(|_| self.state = State::Closed)?;
        self.duplex.feed(bytes);
        Ok(())
    }

    /// The server will send nothing more.
    pub fn end_of_input(&mut self) {
        self.duplex.end_of_input();
    }

    /// Whether more may be fed. Not while much of what was fed could not be looked at, for the output is not taken.
    pub fn wants_input(&self) -> bool {
        self.duplex.unread() < self.input_max && !self.duplex.is_full()
    }

    /// Advances the connection until it is over. Its output is still to be taken then.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ConnectionError>> {
        match &mut self.state {
            State::Open(connection) => {
                let outcome = ready!(Pin::new(connection.as_mut()).poll(cx));
                self.state = State::Closed;
                Poll::Ready(outcome.map_err(ConnectionError::from))
            }
            State::Closed => Poll::Ready(Ok(())),
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

    /// Whether the connection is over.
    pub fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed)
    }
}

impl<B: Buf + 'static> fmt::Debug for Client<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("duplex", &self.duplex).finish_non_exhaustive()
    }
}

impl<B: Buf + 'static> Requests<B> {
    /// Waits until a stream can be opened at once. It errs when none can be any more: the connection is going away.
    pub fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), StreamError>> {
        self.send.poll_ready(cx).map_err(StreamError::from)
    }

    /// Whether no stream can be opened any more.
    pub fn is_closed(&self) -> bool {
        // A clone waits for nothing: it says only whether the connection lives.
        let ready = self.send.clone().poll_ready(&mut Context::from_waker(Waker::noop()));
        matches!(ready, Poll::Ready(Err(_)))
    }

    /// Streams that the server allows at once. More can be opened, and wait their turn.
    pub fn streams_max(&self) -> usize {
        self.send.current_max_send_streams()
    }

    /// Whether the server has said that it understands extended CONNECT (RFC 8441, 3).
    pub fn allows_extended_connect(&self) -> bool {
        self.send.is_extended_connect_protocol_enabled()
    }

    /// Opens a stream with a request. It ends with its head if `ends`.
    pub fn send(&self, request: &Outgoing<'_>, ends: bool) -> Result<(Response, Outbound<B>), StreamError> {
        let method = match request.protocol {
            Some(_) => Method::Connect,
            None => Method::from_text(request.method.as_bytes()),
        };
        let request = request::write(request)?;
        // The library's handle refuses to go on after a stream that waits its turn, and keeps it: each request has one
        // of its own.
        let (response, stream) = self.send.clone().send_request(request, ends)?;
        Ok((Response { method, state: Awaited::Head(response) }, Outbound::new(stream)))
    }
}

impl<B: Buf + 'static> Clone for Requests<B> {
    fn clone(&self) -> Self {
        Self { send: self.send.clone() }
    }
}

impl<B: Buf + 'static> fmt::Debug for Requests<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Requests").finish_non_exhaustive()
    }
}

impl Response {
    /// Waits for an interim response (100, 103) and reads it; `false`: the next one is final, or there will be none.
    /// Ask before [`Response::poll`], which skips them.
    pub fn poll_interim(
        &mut self,
        cx: &mut Context<'_>,
        limits: &Limits,
        head: &mut ResponseHead,
    ) -> Poll<Result<bool, StreamError>> {
        let Awaited::Head(response) = &mut self.state else { return Poll::Ready(Ok(false)) };
        let Some(interim) = ready!(response.poll_informational(cx)) else { return Poll::Ready(Ok(false)) };
        let (parts, ()) = interim?.into_parts();
        response::read(&parts, false, self.method, limits, head).map_err(StreamError::Head)?;
        Poll::Ready(Ok(true))
    }

    /// Waits for the final response, reads its head, and gives its body. Once.
    pub fn poll(
        &mut self,
        cx: &mut Context<'_>,
        limits: &Limits,
        head: &mut ResponseHead,
    ) -> Poll<Result<Body, StreamError>> {
        let Awaited::Head(response) = &mut self.state else { return Poll::Ready(Err(StreamError::Closed)) };
        let outcome = ready!(Pin::new(response).poll(cx));
        self.state = Awaited::Done;
        let (parts, body) = outcome?.into_parts();
        let body = Body::new(body);
        response::read(&parts, body.is_end(), self.method, limits, head).map_err(StreamError::Head)?;
        Poll::Ready(Ok(body))
    }

    /// The stream's number, for logs; `None` once the response has come.
    pub fn id(&self) -> Option<u32> {
        match &self.state {
            Awaited::Head(response) => Some(response.stream_id().as_u32()),
            Awaited::Done => None,
        }
    }
}
