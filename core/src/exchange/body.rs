//! How much of a request body has been used, and what to do with a rest that nobody wants.

use std::time::Duration;

use ringway_http::Framing;
use ringway_http::grpc::web::Coding;
use ringway_http::h1::{BodyEvent, BodyReader};

use super::Exchange;
use crate::downstream::Connection;
use crate::wire::Inlet;
use crate::worker::Local;
use ringway_config::snapshot::Limits;

/// A rest of at most so many bytes is read and forgotten to keep the connection; behind a larger one the connection
/// is closed.
const DISCARD_BYTES_MAX: u64 = 64 * 1024;

/// A stream's body up to about so many bytes is taken before it is sent on, if it is here.
const AT_HAND_BYTES_MAX: usize = 16 * 1024;

/// For reading it.
const DISCARD_TIME: Duration = Duration::from_secs(2);

/// Where a request's body stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RequestBody {
    /// There is none, or all of it has been used: the next request follows.
    Done,
    /// Nothing of it has been used.
    Untouched(Framing),
    /// It was being relayed: where it stands is lost with the relay.
    Begun,
}

impl RequestBody {
    pub(super) fn new(framing: Framing) -> Self {
        match framing {
            Framing::None | Framing::Length(0) => Self::Done,
            Framing::Length(_) | Framing::Chunked | Framing::UntilClose => Self::Untouched(framing),
        }
    }
}

/// What can be done about an unwanted rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rest {
    /// Nothing is left.
    None,
    /// So few bytes are left that they can be read once the answer is sent.
    Discard(u64),
    /// The connection must close.
    Close,
}

impl Exchange<'_> {
    /// The whole body, when all of it has been received with the head and its length was stated: then it can be sent
    /// again.
    pub(super) fn ready_body(&self) -> Option<usize> {
        match self.body {
            RequestBody::Done => Some(0),
            // It is decoded on its way.
            RequestBody::Untouched(_) if self.web == Some(Coding::Text) => None,
            RequestBody::Untouched(Framing::Length(n)) => {
                usize::try_from(n).ok().filter(|&n| n <= self.connection.input.len())
            }
            RequestBody::Untouched(_) | RequestBody::Begun => None,
        }
    }

    /// Takes a small body of a stream that came whole with its head to where those of sockets are: then it can be sent
    /// with the head, with its length, and again.
    pub(super) fn take_body_at_hand(&mut self) {
        let Inlet::Stream(stream) = &mut self.connection.reader else { return };
        if !matches!(self.body, RequestBody::Untouched(_)) {
            return;
        }
        let input = &mut self.connection.input;
        let is_whole = stream.take_whole(AT_HAND_BYTES_MAX, input);
        let len = input.len() as u64;
        // One that is too large is met by whoever relays it.
        if is_whole && self.limits.body_bytes_max.is_none_or(|max| len <= max) {
            self.body = RequestBody::Untouched(Framing::Length(len));
        }
    }

    /// Drops what has been received of an unwanted body, and says what is left of it.
    pub(super) fn drop_received(&mut self) -> Rest {
        let framing = match self.body {
            RequestBody::Done => return Rest::None,
            RequestBody::Begun => return Rest::Close,
            RequestBody::Untouched(framing) => framing,
        };
        if let Inlet::Stream(_) = self.connection.reader {
            // What the client still sends goes with its stream.
            self.body = RequestBody::Done;
            return Rest::None;
        }
        self.body = RequestBody::Begun;
        let mut reader = BodyReader::new(framing, &ringway_http::Limits::default());
        loop {
            let input = &mut self.connection.input;
            let Ok(step) = reader.step(input.filled()) else { return Rest::Close };
            input.consume(step.consumed);
            self.record.bytes_in += step.consumed as u64;
            match step.event {
                BodyEvent::Data(_) => {}
                BodyEvent::End => {
                    self.body = RequestBody::Done;
                    return Rest::None;
                }
                BodyEvent::More => break,
            }
        }
        // A client that waits for 100 (Continue) may never send its body.
        if self.scratch.request.expects_continue {
            return Rest::Close;
        }
        match reader.remaining() {
            Some(n) if n <= DISCARD_BYTES_MAX => Rest::Discard(n),
            _ => Rest::Close,
        }
    }
}

/// Reads the rest of an unwanted body of stated length. `None`: the connection is of no further use.
pub(super) async fn discard(
    local: &Local,
    connection: &mut Connection,
    mut left: u64,
    limits: &Limits,
) -> Option<()> {
    // In all, not for each piece: what is unwanted must not hold a connection for long.
    connection.set_deadline(local, local.now().after(limits.body_timeout.min(DISCARD_TIME)));
    while left > 0 {
        let mut more = connection.reader.recv(&connection.stay.entry.deadline).await.ok()??;
        let taken = more.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        more.consume(taken);
        left -= taken as u64;
        connection.input.absorb(more);
    }
    Some(())
}
