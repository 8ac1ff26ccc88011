//! One stream of a connection that carries many: the bytes of a body each way, what stands before and behind them, and
//! its flow control.
//!
//! A peer may send what it was granted and no more: what an exchange has taken is granted anew when it asks for the
//! next. We send what we are granted and no more, so that no stream's bytes pile up in the connection.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

use ringway_http::h1::BodySize;
use ringway_http::h2::{Body, Incoming, Outbound, Reason, Respond, Response, StreamError};
use ringway_http::{Fields, Framing, Limits, ResponseHead};

use super::Inlet;
use crate::net::{Buffer, Buffers, Deadline, NetError};

/// Frames that are here are taken together up to so many bytes.
const TAKEN_BYTES_MAX: usize = Buffers::MEDIUM;

/// What is sent on a stream, and how far that is.
enum Sending {
    /// A request's answer, of which nothing is sent yet.
    Respond(Respond<Buffer>),
    /// A head was sent; its body follows.
    Body(Outbound<Buffer>),
    /// Everything was sent, or will never be.
    Over,
}

/// The receiving half of a stream.
pub(crate) struct StreamInlet {
    source: Source,
    buffers: Rc<Buffers>,
    /// Bytes that were handed out and not granted anew yet.
    held_bytes: usize,
    /// What [`StreamInlet::poll_readable`] has found.
    found: Option<Result<Option<Buffer>, NetError>>,
    /// Whether the end was handed out.
    ended: bool,
    trailers: Fields,
    /// What trailers may be.
    limits: Limits,
    /// The other half, which knows of a reset when the body has ended.
    sending: Rc<RefCell<Sending>>,
}

/// Where its bytes come from.
enum Source {
    /// A body that comes.
    Body(Body),
    /// The answer to our request.
    Response(Response),
    /// There is no stream yet.
    Nothing,
}

/// The sending half of a stream.
pub(crate) struct StreamOutlet {
    sending: Rc<RefCell<Sending>>,
    buffers: Rc<Buffers>,
    /// What the peer is told when its message is cut.
    when_cut: Reason,
}

/// Why no head came.
pub(crate) enum NoHead {
    /// The time was over.
    TimedOut,
    /// The stream or its connection failed, or the head was refused.
    Stream(StreamError),
}

/// Both halves of a client's stream, and the head of its request.
pub(crate) fn accepted(
    incoming: Incoming<Buffer>,
    limits: &Limits,
    buffers: &Rc<Buffers>,
) -> (StreamInlet, StreamOutlet) {
    let (body, respond) = incoming.into_halves();
    pair(Source::Body(body), Sending::Respond(respond), limits, buffers)
}

/// Both halves of a stream that has not been opened.
pub(crate) fn unopened(buffers: &Rc<Buffers>) -> (StreamInlet, StreamOutlet) {
    pair(Source::Nothing, Sending::Over, &Limits::default(), buffers)
}

/// Puts our own request's stream in the place of one that had not been opened. `None`: its request has ended.
pub(crate) fn open(inlet: &mut Inlet, response: Response, outbound: Option<Outbound<Buffer>>) {
    if let Inlet::Stream(stream) = inlet {
        stream.source = Source::Response(response);
        *stream.sending.borrow_mut() = outbound.map_or(Sending::Over, Sending::Body);
    }
}

fn pair(
    source: Source,
    sending: Sending,
    limits: &Limits,
    buffers: &Rc<Buffers>,
) -> (StreamInlet, StreamOutlet) {
    // An answer that is cut is our failure; a request that is given up is nobody's.
    let when_cut = match sending {
        Sending::Respond(_) | Sending::Body(_) => Reason::INTERNAL_ERROR,
        Sending::Over => Reason::CANCEL,
    };
    let sending = Rc::new(RefCell::new(sending));
    let inlet = StreamInlet {
        source,
        buffers: Rc::clone(buffers),
        held_bytes: 0,
        found: None,
        ended: false,
        trailers: Fields::new(),
        limits: *limits,
        sending: Rc::clone(&sending),
    };
    (inlet, StreamOutlet { sending, buffers: Rc::clone(buffers), when_cut })
}

impl StreamInlet {
    /// Waits for bytes of the body. `None` is its end.
    pub(super) async fn recv(&mut self, deadline: &Deadline) -> Result<Option<Buffer>, NetError> {
        poll_fn(|cx| {
            if let Poll::Ready(taken) = self.poll_take(cx) {
                return Poll::Ready(taken);
            }
            deadline.poll_expired(cx).map(|()| Err(NetError::TimedOut))
        })
        .await
    }

    /// What is here.
    pub(super) fn take_ready(&mut self) -> Option<Result<Option<Buffer>, NetError>> {
        match self.poll_take(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(taken) => Some(taken),
            Poll::Pending => None,
        }
    }

    /// Ready when something can be taken.
    pub(super) fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.found.is_none() {
            self.found = Some(ready!(self.poll_take(cx)));
        }
        Poll::Ready(())
    }

    /// Takes what is here of the body into `input`, up to about so many bytes. `true`: that was all of it, and nothing
    /// follows it.
    pub(crate) fn take_whole(&mut self, bytes_max: usize, input: &mut Buffer) -> bool {
        while input.len() <= bytes_max {
            match self.take_ready() {
                Some(Ok(Some(bytes))) => input.absorb(bytes),
                Some(Ok(None)) => return self.trailers.is_empty(),
                Some(Err(error)) => {
                    // Whoever asks next is told.
                    self.found = Some(Err(error));
                    return false;
                }
                None => return false,
            }
        }
        false
    }

    /// Reads a rest that nobody wants, up to a bound, so that a client that is still sending a little can end its
    /// request: dropping the stream earlier would reset it.
    pub(crate) async fn discard(&mut self, bytes_max: usize, deadline: &Deadline) {
        if matches!(&self.source, Source::Body(body) if body.is_end()) {
            return;
        }
        let mut seen = 0;
        while seen <= bytes_max {
            match self.recv(deadline).await {
                Ok(Some(bytes)) => seen += bytes.len(),
                Ok(None) | Err(_) => return,
            }
        }
    }

    /// The fields that followed the body; none before its end.
    pub(crate) fn trailers(&self) -> &Fields {
        &self.trailers
    }

    /// Waits for an interim or final head of the answer to our request.
    pub(crate) async fn head(
        &mut self,
        limits: &Limits,
        head: &mut ResponseHead,
        deadline: &Deadline,
    ) -> Result<(), NoHead> {
        let Source::Response(response) = &mut self.source else {
            return Err(NoHead::Stream(StreamError::Closed));
        };
        let body = poll_fn(|cx| {
            if let Poll::Ready(found) = poll_head(response, limits, head, cx) {
                return Poll::Ready(found.map_err(NoHead::Stream));
            }
            deadline.poll_expired(cx).map(|()| Err(NoHead::TimedOut))
        })
        .await?;
        if let Some(body) = body {
            self.source = Source::Body(body);
        }
        Ok(())
    }

    /// Waits until the peer has given the stream up, or its connection is gone.
    pub(crate) async fn watch(&mut self, deadline: &Deadline) -> Result<(), NetError> {
        poll_fn(|cx| {
            if self.sending.borrow_mut().poll_reset(cx).is_ready() {
                return Poll::Ready(Ok(()));
            }
            deadline.poll_expired(cx).map(|()| Err(NetError::TimedOut))
        })
        .await
    }

    fn poll_take(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Buffer>, NetError>> {
        if let Some(found) = self.found.take() {
            return Poll::Ready(found);
        }
        let Source::Body(body) = &mut self.source else { return Poll::Ready(Ok(None)) };
        if self.ended {
            return Poll::Ready(Ok(None));
        }
        body.release(std::mem::take(&mut self.held_bytes));
        let Some(first) = ready!(body.poll_data(cx)) else {
            ready!(body.poll_trailers(cx, &self.limits, &mut self.trailers)).map_err(broken)?;
            self.ended = true;
            return Poll::Ready(Ok(None));
        };
        let first = first.map_err(broken)?;
        let mut buffer = self.buffers.take(first.len());
        buffer.append().extend_from_slice(&first);
        while buffer.len() < TAKEN_BYTES_MAX && !body.is_end() {
            // An error or the end is met again by the next call.
            let Poll::Ready(Some(Ok(more))) = body.poll_data(cx) else { break };
            buffer.append().extend_from_slice(&more);
        }
        self.held_bytes = buffer.len();
        Poll::Ready(Ok(Some(buffer)))
    }
}

/// An interim head, or the final one with its body.
fn poll_head(
    response: &mut Response,
    limits: &Limits,
    head: &mut ResponseHead,
    cx: &mut Context<'_>,
) -> Poll<Result<Option<Body>, StreamError>> {
    if ready!(response.poll_interim(cx, limits, head))? {
        return Poll::Ready(Ok(None));
    }
    response.poll(cx, limits, head).map(|body| body.map(Some))
}

impl StreamOutlet {
    /// Sends an interim head.
    pub(crate) fn interim(&mut self, head: &ResponseHead) -> Result<(), NetError> {
        match &mut *self.sending.borrow_mut() {
            Sending::Respond(respond) => respond.send_interim(head.status, &head.fields).map_err(broken),
            Sending::Body(_) | Sending::Over => Err(gone()),
        }
    }

    /// Sends the head of an answer, and its end with it when no body follows. What is left to be held to: a stated
    /// length, or nothing but the end of the stream.
    pub(crate) fn head(&mut self, head: &ResponseHead, size: BodySize) -> Result<Framing, NetError> {
        let (framing, then) = match size {
            BodySize::Forbidden => (Framing::None, Then::End),
            _ if matches!(head.status, 204 | 304) => (Framing::None, Then::End),
            BodySize::Known(0) => (Framing::Length(0), Then::End),
            BodySize::Known(len) => (Framing::Length(len), Then::Body),
            BodySize::Unknown => (Framing::UntilClose, Then::Body),
        };
        let mut sending = self.sending.borrow_mut();
        let Sending::Respond(mut respond) = std::mem::replace(&mut *sending, Sending::Over) else {
            return Err(gone());
        };
        let ends = then == Then::End;
        let outbound = match respond.send_head(head.status, &head.fields, size, ends) {
            Ok(outbound) => outbound,
            Err(StreamError::Unwritable) => {
                // Another head may do.
                *sending = Sending::Respond(respond);
                return Err(io::Error::from(io::ErrorKind::InvalidData).into());
            }
            Err(error) => return Err(broken(error)),
        };
        if then == Then::Body {
            *sending = Sending::Body(outbound);
        }
        Ok(framing)
    }

    /// Sends all of a buffer, as the peer grants it. What it grants moves a sliding deadline on.
    pub(super) async fn send(&mut self, mut buffer: Buffer, deadline: &Deadline) -> Result<(), NetError> {
        while !buffer.is_empty() {
            let wanted = buffer.len();
            let granted = self.granted(wanted, deadline).await?;
            let part = if granted >= wanted {
                std::mem::take(&mut buffer)
            } else {
                let mut part = self.buffers.take(granted);
                part.append().extend_from_slice(buffer.filled().get(..granted).unwrap_or_default());
                buffer.consume(granted);
                part
            };
            self.sending.borrow_mut().send(part, Then::Body)?;
            deadline.progressed();
        }
        Ok(())
    }

    /// Sends a buffer if the peer has granted all of it.
    pub(super) fn post(&mut self, buffer: Buffer) -> Result<(), Buffer> {
        let mut sending = self.sending.borrow_mut();
        match sending.poll_granted(buffer.len(), &mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Ok(granted)) if granted >= buffer.len() => {
                // An error shows at the next send.
                let _ = sending.send(buffer, Then::Body);
                Ok(())
            }
            Poll::Ready(_) | Poll::Pending => Err(buffer),
        }
    }

    /// Sends the rest of a message and its end. Nothing happens when it has ended with its head.
    pub(crate) async fn end(
        &mut self,
        rest: Buffer,
        trailers: &Fields,
        deadline: &Deadline,
    ) -> Result<(), NetError> {
        if matches!(*self.sending.borrow(), Sending::Over) && rest.is_empty() {
            return Ok(());
        }
        let rest = if self.granted_whole(rest.len()) {
            rest
        } else {
            self.send(rest, deadline).await?;
            Buffer::empty()
        };
        let mut sending = self.sending.borrow_mut();
        if trailers.is_empty() {
            sending.send(rest, Then::End)?;
        } else {
            if !rest.is_empty() {
                sending.send(rest, Then::Body)?;
            }
            let Sending::Body(outbound) = &mut *sending else { return Err(gone()) };
            outbound.send_trailers(trailers).map_err(broken)?;
        }
        *sending = Sending::Over;
        Ok(())
    }

    /// Ends the sending direction, if it has not ended.
    pub(super) fn finish(&mut self) {
        let mut sending = self.sending.borrow_mut();
        if let Sending::Body(_) = &*sending {
            let _ = sending.send(Buffer::empty(), Then::End);
            *sending = Sending::Over;
        }
    }

    /// Gives the stream up such that the peer sees that its message is cut.
    pub(super) fn reset(&mut self) {
        self.sending.borrow_mut().reset(self.when_cut);
    }

    fn granted_whole(&self, bytes: usize) -> bool {
        let granted = self.sending.borrow_mut().poll_granted(bytes, &mut Context::from_waker(Waker::noop()));
        bytes == 0 || matches!(granted, Poll::Ready(Ok(granted)) if granted >= bytes)
    }

    async fn granted(&self, wanted: usize, deadline: &Deadline) -> Result<usize, NetError> {
        poll_fn(|cx| {
            if let Poll::Ready(granted) = self.sending.borrow_mut().poll_granted(wanted, cx) {
                return Poll::Ready(granted);
            }
            deadline.poll_expired(cx).map(|()| Err(NetError::TimedOut))
        })
        .await
    }
}

impl Drop for StreamOutlet {
    fn drop(&mut self) {
        // Whatever was not ended was cut.
        self.reset();
    }
}

/// What follows what is sent now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Then {
    /// A body, or more of it.
    Body,
    /// Nothing.
    End,
}

impl Sending {
    fn poll_granted(&mut self, wanted: usize, cx: &mut Context<'_>) -> Poll<Result<usize, NetError>> {
        let Self::Body(outbound) = self else { return Poll::Ready(Err(gone())) };
        outbound.reserve(wanted);
        loop {
            match ready!(outbound.poll_capacity(cx)) {
                Ok(0) => {}
                Ok(granted) => return Poll::Ready(Ok(granted)),
                Err(error) => return Poll::Ready(Err(broken(error))),
            }
        }
    }

    fn send(&mut self, bytes: Buffer, then: Then) -> Result<(), NetError> {
        let Self::Body(outbound) = self else { return Err(gone()) };
        outbound.send(bytes, then == Then::End).map_err(broken)
    }

    fn poll_reset(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match self {
            Self::Respond(respond) => respond.poll_reset(cx).map(drop),
            Self::Body(outbound) => outbound.poll_reset(cx).map(drop),
            Self::Over => Poll::Pending,
        }
    }

    fn reset(&mut self, reason: Reason) {
        match std::mem::replace(self, Self::Over) {
            Self::Respond(mut respond) => respond.reset(reason),
            Self::Body(mut outbound) => outbound.reset(reason),
            Self::Over => {}
        }
    }
}

/// A stream that its peer, or the end of its connection, has broken off.
fn broken(_: StreamError) -> NetError {
    io::Error::from(io::ErrorKind::ConnectionReset).into()
}

/// A stream on which nothing can be sent any more.
pub(super) fn gone() -> NetError {
    io::Error::from(io::ErrorKind::BrokenPipe).into()
}
