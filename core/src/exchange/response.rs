//! The upstream's response on its way to the client: head, filters, body.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use ringway_config::snapshot::{Limits, Route};
use ringway_filters::{Chain, ChainState, Facts};
use ringway_http::h1::{self, BodyReader, BodySize, BodyWriter, HeadReader};
use ringway_http::h2::StreamError;
use ringway_http::{Framing, HeadError, Known, Method, Persistence, RequestHead, ResponseHead, Version};

use super::attempt::Link;
use super::handshake;
use super::record::Record;
use super::relay::{Pace, Relay, RelayError};
use super::translate::Translation;
use crate::error::Fault;
use crate::net::{Buffer, Deadline, NetError};
use crate::upstream::Reusable;
use crate::wire::{Inlet, NoHead, Outlet};
use crate::worker::Local;

/// An upstream that sends more interim responses than this is refused.
const INTERIM_MAX: u32 = 16;

/// How a response ended.
pub(super) enum Outcome {
    /// Its status is one that the route tries again; nothing was sent to the client.
    TryAgain,
    /// It was relayed whole.
    Done {
        /// Whether the client's connection lives on.
        persistence: Persistence,
        /// Proof that the endpoint's connection can.
        boundary: Option<Reusable>,
    },
    /// It was a 101: both connections are a tunnel's now.
    Upgraded,
}

/// What the response's way needs: the endpoint's receiving half and the client's sending half.
pub(super) struct Response<'a> {
    pub(super) local: &'a Rc<Local>,
    pub(super) route: &'a Route,
    pub(super) limits: &'a Limits,
    pub(super) chain: Option<&'a Chain>,
    pub(super) link: &'a Link,
    pub(super) reader: &'a mut Inlet,
    pub(super) input: &'a mut Buffer,
    pub(super) head_reader: &'a mut HeadReader,
    pub(super) deadline: &'a Deadline,
    pub(super) writer: &'a mut Outlet,
    pub(super) write_deadline: &'a Deadline,
    pub(super) request: &'a RequestHead,
    pub(super) head: &'a mut ResponseHead,
    pub(super) state: &'a mut ChainState,
    pub(super) facts: &'a Facts,
    pub(super) upgrade: &'a [u8],
    pub(super) record: &'a mut Record,
    /// Whether a status of `retry.on` may be tried again.
    pub(super) may_try_again: bool,
    /// Whether the client's connection may live on.
    pub(super) may_persist: bool,
}

impl Response<'_> {
    /// Receives and relays.
    pub(super) async fn run(&mut self) -> Result<Outcome, Fault> {
        self.receive_head().await?;
        self.record.stages.first_byte_us = Some(self.record.stage(self.local));
        if self.may_try_again && self.route.retry.on.binary_search(&self.head.status).is_ok() {
            return Ok(Outcome::TryAgain);
        }
        // On a stream there is no 101: what was asked for begins with a 2xx (RFC 8441, 5).
        let begins = match &*self.reader {
            Inlet::Stream(_) => {
                handshake::is_websocket(self.upgrade) && (200..300).contains(&self.head.status)
            }
            Inlet::Socket(_) | Inlet::Gone => self.head.status == 101,
        };
        if begins {
            return self.upgrade().await;
        }
        if self.request.extended_connect && (200..300).contains(&self.head.status) {
            // To its client that would be an open WebSocket, with the answer's body for frames (RFC 8441, 5).
            return Err(Fault::NotSwitched);
        }
        self.relay().await
    }

    /// Receives heads until the final one; interim ones are passed on.
    async fn receive_head(&mut self) -> Result<(), Fault> {
        let limits = ringway_http::Limits::default();
        let mut interim = 0;
        loop {
            self.receive_one_head(&limits).await?;
            if !self.head.is_interim() {
                return Ok(());
            }
            interim += 1;
            if interim > INTERIM_MAX {
                return Err(Fault::TooManyInterim);
            }
            // An HTTP/1.0 client knows no interim responses (RFC 9110, 15.2).
            if self.request.version != Version::Http10 {
                self.send_interim().await?;
            }
        }
    }

    async fn receive_one_head(&mut self, limits: &ringway_http::Limits) -> Result<(), Fault> {
        if let Inlet::Stream(stream) = &mut *self.reader {
            let received = stream.head(limits, self.head, self.deadline).await;
            return received.map_err(|missing| match missing {
                NoHead::TimedOut => self.link.why_late(Fault::UpstreamTimeout),
                NoHead::Stream(error) => stream_fault(error),
            });
        }
        loop {
            if !self.input.is_empty() {
                let found =
                    self.head_reader.response(self.input.filled(), limits, self.request.method, self.head);
                if let Some(consumed) = found.map_err(Fault::BadResponse)? {
                    self.input.consume(consumed);
                    return Ok(());
                }
            }
            match self.reader.recv(self.deadline).await {
                Ok(Some(more)) => self.input.absorb(more),
                // From the first byte of an answer on, the endpoint has acted: the request is not sent again.
                Ok(None) | Err(NetError::Io(_)) if !self.input.is_empty() => {
                    return Err(Fault::ResetWithinHead);
                }
                Ok(None) | Err(NetError::Io(_)) => return Err(Fault::ResetBeforeHead),
                Err(NetError::TimedOut) => return Err(self.link.why_late(Fault::UpstreamTimeout)),
            }
        }
    }

    async fn send_interim(&mut self) -> Result<(), Fault> {
        self.head.fields.remove_hop_by_hop();
        if let Outlet::Stream(stream) = &mut *self.writer {
            return stream.interim(self.head).map_err(|error| send_fault(&error));
        }
        let mut out = self.local.buffers.take(4096);
        h1::write_interim(out.append(), self.head.status, &self.head.fields);
        self.send(out).await
    }

    async fn send(&mut self, out: Buffer) -> Result<(), Fault> {
        let len = out.len() as u64;
        self.write_deadline.set_sliding(self.limits.body_timeout);
        let sent = self.writer.send(out, self.write_deadline).await;
        sent.map_err(|error| send_fault(&error))?;
        self.record.bytes_out += len;
        Ok(())
    }

    /// A 101: the client gets it, and the exchange becomes a tunnel.
    async fn upgrade(&mut self) -> Result<Outcome, Fault> {
        // A body that is still coming would run into the tunnel.
        if self.upgrade.is_empty() || self.request.version == Version::Http10 || !self.link.upload_done.get()
        {
            return Err(Fault::UnaskedUpgrade);
        }
        let protocol = self.head.fields.known(Known::Upgrade).unwrap_or(self.upgrade).to_vec();
        let is_stream = self.reader.is_stream();
        self.head.status = if self.writer.is_stream() { 200 } else { 101 };
        if is_stream && !self.writer.is_stream() {
            // Too many bytes of fields are refused before.
            let _ = handshake::add_accept(&self.request.fields, &mut self.head.fields);
        } else if self.request.extended_connect && !is_stream {
            if !handshake::is_accepted(&self.request.fields, &self.head.fields) {
                return Err(Fault::UnaskedUpgrade);
            }
            self.head.fields.remove("Sec-WebSocket-Accept");
        }
        self.record.status = self.head.status;
        // What follows is no body, and on a stream its end is the stream's.
        let size = if self.writer.is_stream() { BodySize::Unknown } else { BodySize::Forbidden };
        let (out, _, _) = self.encode_head(size, Some(&protocol))?;
        if !out.is_empty() {
            self.send(out).await?;
        }
        Ok(Outcome::Upgraded)
    }

    /// Takes off and adds what this client's head has not, or has.
    fn prepare_head(&mut self) {
        self.head.fields.remove_hop_by_hop();
        let _ = self.head.fields.set_known(Known::XRequestId, self.facts.request_id.as_bytes());
        if !self.head.fields.has(Known::Date) {
            let _ = self.head.fields.push_known(Known::Date, &self.local.date.value());
        }
        if let Some(chain) = self.chain {
            chain.on_response_head(self.state, self.head, self.facts);
        }
    }

    /// The head as it stands before its body, which a stream has sent already.
    fn encode_head(
        &mut self,
        size: BodySize,
        upgrade: Option<&[u8]>,
    ) -> Result<(Buffer, BodyWriter, Persistence), Fault> {
        self.prepare_head();
        if let Outlet::Stream(stream) = &mut *self.writer {
            let framing = stream.head(self.head, size).map_err(|error| send_fault(&error))?;
            return Ok((Buffer::empty(), BodyWriter::new(framing), Persistence::KeepAlive));
        }
        // An answer that came before the whole request leaves the client's connection in the middle of a message.
        // A drain may have begun since the request came.
        let persist = self.may_persist && self.local.ready.get() && self.link.upload_done.get();
        let persistence = if persist { Persistence::KeepAlive } else { Persistence::Close };
        let mut out = self.local.buffers.take(crate::net::Buffers::SMALL);
        let (encoder, persistence) = h1::write_response(
            out.append(),
            self.request.version,
            self.head.status,
            &self.head.fields,
            size,
            persistence,
            upgrade,
        );
        Ok((out, encoder, persistence))
    }

    async fn relay(&mut self) -> Result<Outcome, Fault> {
        let translation = Translation::of_response(self.link.web, &mut self.head.fields);
        let framing = self.head.framing;
        let bodiless = self.request.method == Method::Head || matches!(self.head.status, 204 | 304);
        let size = match framing {
            _ if bodiless => BodySize::Forbidden,
            // A call that failed at once has its status in its head.
            Framing::None => BodySize::Known(0),
            _ if translation.is_some() => BodySize::Unknown,
            Framing::Length(n) => BodySize::Known(n),
            Framing::Chunked | Framing::UntilClose => BodySize::Unknown,
        };
        let (out, mut encoder, persistence) = self.encode_head(size, None)?;
        self.record.status = self.head.status;
        let framing_here = match &*self.reader {
            _ if bodiless => Framing::None,
            // Its bytes are the body, and its end is the body's, which has been checked against a stated length.
            Inlet::Stream(_) => Framing::UntilClose,
            Inlet::Socket(_) | Inlet::Gone => framing,
        };
        let mut body = BodyReader::new(framing_here, &ringway_http::Limits::default());
        let (bytes_in, bytes_out) = (Cell::new(0), Cell::new(0));
        let mut relay = Relay {
            local: self.local,
            buffers: &self.local.buffers,
            reader: &mut *self.reader,
            input: &mut *self.input,
            read_deadline: self.deadline,
            body: &mut body,
            writer: &mut *self.writer,
            write_deadline: self.write_deadline,
            encoder: &mut encoder,
            then: persistence,
            pace: Pace {
                read_timeout: Some(self.limits.body_timeout),
                read_until: self.deadline.at(),
                write_timeout: Some(self.limits.body_timeout),
                ..Pace::default()
            },
            bytes_in: &bytes_in,
            bytes_out: &bytes_out,
            waited: Duration::ZERO,
            hurried: Some(&self.link.client_left),
            reading: None,
            translation,
        };
        let relayed = relay.run(out).await;
        self.record.bytes_out += bytes_out.get();
        let is_unsent = bytes_out.get() == 0 && matches!(self.writer, Outlet::Socket(_));
        if matches!(relayed, Err(RelayError::Body(_))) && is_unsent {
            // The head is still here: the client can be told what is wrong with the body.
            self.record.status = 0;
        }
        relayed.map_err(|error| self.link.why_late(relay_fault(&error)))?;
        let clean = self.head.persistence == Persistence::KeepAlive
            && framing != Framing::UntilClose
            && self.input.is_empty()
            && self.link.upload_done.get();
        Ok(Outcome::Done { persistence, boundary: clean.then(Reusable::at_message_boundary) })
    }
}

fn relay_fault(error: &RelayError) -> Fault {
    match error {
        // Responses have neither a limit nor a least rate.
        RelayError::Read(NetError::TimedOut) | RelayError::TooLarge | RelayError::TooSlow => {
            Fault::UpstreamBodyTimeout
        }
        RelayError::Read(NetError::Io(_)) => Fault::UpstreamBody(ringway_http::BodyError::Truncated),
        RelayError::Body(error) => Fault::UpstreamBody(*error),
        RelayError::Write(error) => send_fault(error),
    }
}

/// Why a stream gave no response head.
pub(super) fn stream_fault(error: StreamError) -> Fault {
    match error {
        StreamError::NotProcessed => Fault::Unprocessed,
        StreamError::Head(error) => Fault::BadResponse(error),
        StreamError::Connection(_) | StreamError::Closed => Fault::ResetBeforeHead,
        StreamError::Reset(_)
        | StreamError::Malformed(_)
        | StreamError::Trailers(_)
        | StreamError::Unwritable => Fault::StreamReset,
    }
}

/// Why the client could not be written to.
pub(super) fn send_fault(error: &NetError) -> Fault {
    match error {
        NetError::TimedOut => Fault::ClientStalled,
        // A head that HTTP/2 cannot carry.
        NetError::Io(error) if error.kind() == std::io::ErrorKind::InvalidData => {
            Fault::BadResponse(HeadError::FieldValue)
        }
        NetError::Io(_) => Fault::ClientReset,
    }
}
