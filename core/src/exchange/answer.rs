//! Answers that the gateway makes itself: one way to write them, whatever their reason.

use ringway_http::h1::{self, BodySize};
use ringway_http::{Fields, Framing, Known, Method, Persistence};

use super::body::{self, Rest};
use super::{Exchange, Scratch};
use crate::downstream::After;
use crate::net::{Buffer, Buffers, NetError};
use crate::wire::Outlet;

/// An answer of the gateway's own whose head is encoded.
pub(super) struct Own {
    /// The head.
    pub(super) out: Buffer,
    /// Whether no body may follow.
    pub(super) bodiless: bool,
    /// The request body's rest.
    rest: Rest,
    persistence: Persistence,
}

impl Exchange<'_> {
    /// Sends `scratch.response` (status and fields are set) with a body that is at hand, after the response filters.
    /// An unwanted request body is read to its end when that is cheap; otherwise the connection closes.
    pub(super) async fn send_answer(&mut self, body: &[u8], persistence: Persistence) -> After {
        let mut own = match self.encode_own(body.len() as u64, persistence) {
            Ok(own) => own,
            Err(after) => return after,
        };
        if !own.bodiless {
            own.out.append().extend_from_slice(body);
        }
        let out = std::mem::take(&mut own.out);
        match self.send_own_end(out, own.persistence).await {
            Ok(()) => self.finish_own(&own).await,
            Err(after) => after,
        }
    }

    /// Encodes the head of an answer with a body of `len` bytes.
    /// A stream's goes out at once. `Err`: there is nobody to send it to.
    pub(super) fn encode_own(&mut self, len: u64, persistence: Persistence) -> Result<Own, After> {
        let rest = self.drop_received();
        let keep = rest != Rest::Close && self.may_persist();
        let persistence = if keep { persistence } else { Persistence::Close };
        self.run_response_filters();
        let Scratch { request, response, .. } = &mut *self.scratch;
        let bodiless = request.method == Method::Head || matches!(response.status, 204 | 304);
        let size = if bodiless { BodySize::Forbidden } else { BodySize::Known(len) };
        if bodiless && !matches!(response.status, 204 | 304) {
            let mut digits = itoa::Buffer::new();
            let _ = response.fields.set("Content-Length", digits.format(len).as_bytes());
        }
        if let Outlet::Stream(stream) = &mut self.connection.writer {
            let sent = stream.head(response, size);
            self.record.status = response.status;
            let own = Own { out: Buffer::empty(), bodiless, rest, persistence: Persistence::KeepAlive };
            return self.own_sent(0, sent.map(|_| Buffer::empty())).map(|_| own);
        }
        let mut out = self.local.buffers.take(Buffers::SMALL);
        let (_, persistence) = h1::write_response(
            out.append(),
            request.version,
            response.status,
            &response.fields,
            size,
            persistence,
            None,
        );
        self.record.status = response.status;
        Ok(Own { out, bodiless, rest, persistence })
    }

    /// Sends a part of an answer. `Err`: the client could not be written to.
    pub(super) async fn send_own_part(&mut self, out: Buffer) -> Result<Buffer, After> {
        let len = out.len() as u64;
        let deadline = &self.scratch.write_deadline;
        deadline.set_sliding(self.limits.body_timeout);
        let sent = self.connection.writer.send(out, deadline).await;
        self.own_sent(len, sent)
    }

    /// Sends a whole answer. One that leaves the connection open is not waited for; one that does not is its last.
    async fn send_own_end(&mut self, out: Buffer, persistence: Persistence) -> Result<(), After> {
        let len = out.len() as u64;
        if let Outlet::Stream(stream) = &mut self.connection.writer {
            let deadline = &self.scratch.write_deadline;
            deadline.set_sliding(self.limits.body_timeout);
            let sent = stream.end(out, &Fields::new(), deadline).await;
            return self.own_sent(len, sent.map(|()| Buffer::empty())).map(drop);
        }
        let out = match persistence {
            Persistence::KeepAlive => self.connection.writer.post(out),
            Persistence::Close => Err(out),
        };
        let Err(out) = out else {
            self.record.bytes_out += len;
            return Ok(());
        };
        if persistence == Persistence::KeepAlive {
            return self.send_own_part(out).await.map(drop);
        }
        let deadline = &self.scratch.write_deadline;
        deadline.set_sliding(self.limits.body_timeout);
        let sent = self.connection.writer.send_last(out, deadline).await;
        self.own_sent(len, sent).map(drop)
    }

    /// Takes note of what became of a send.
    fn own_sent(&mut self, len: u64, sent: Result<Buffer, NetError>) -> Result<Buffer, After> {
        sent.inspect(|_| self.record.bytes_out += len).map_err(|error| {
            let fault = self.true_fault(super::response::send_fault(&error));
            self.record.fault(fault);
            After::Close
        })
    }

    /// What becomes of the connection once an answer has been sent whole.
    pub(super) async fn finish_own(&mut self, own: &Own) -> After {
        // A file's last part says nothing of an end.
        self.connection.writer.end_stream();
        match (own.rest, own.persistence) {
            (Rest::None, Persistence::KeepAlive) => After::KeepAlive,
            (Rest::Discard(left), Persistence::KeepAlive) => {
                let discarded = body::discard(self.local, self.connection, left, &self.limits).await;
                discarded.map_or(After::Close, |()| After::KeepAlive)
            }
            (Rest::None, Persistence::Close) => self.close_after_last(),
            (Rest::Discard(_) | Rest::Close, Persistence::Close) | (Rest::Close, _) => After::Linger,
        }
    }

    /// How a connection closes after a whole answer to a request that was read whole.
    pub(super) fn close_after_last(&self) -> After {
        match self.scratch.request.persistence {
            Persistence::Close => After::Finish,
            // The client may be sending the next one already.
            Persistence::KeepAlive => After::Linger,
        }
    }

    /// Whether anything but this exchange's own ends speaks against another one on the connection.
    pub(super) fn may_persist(&self) -> bool {
        let served = self.connection.served;
        let more = self.limits.requests_per_connection.is_none_or(|max| served < max);
        let is_young = || {
            let accepted = self.connection.accepted;
            self.limits.connection_age.is_none_or(|age| self.local.now() < accepted.after(age))
        };
        more && is_young()
            && self.local.ready.get()
            && !self.connection.stay.entry.listener.is_closing()
            && self.scratch.request.persistence == Persistence::KeepAlive
    }

    /// Runs the response filters of the route, if there is one, and adds what every response carries.
    pub(super) fn run_response_filters(&mut self) {
        let Scratch { response, facts, chain: state, .. } = &mut *self.scratch;
        let _ = response.fields.set_known(Known::XRequestId, facts.request_id.as_bytes());
        if !response.fields.has(Known::Date) {
            let _ = response.fields.push_known(Known::Date, &self.local.date.value());
        }
        if let Some(chain) = self.record.route.and_then(|id| self.plan.chain(id)) {
            chain.on_response_head(state, response, facts);
        }
    }

    /// Empties `scratch.response` for an answer of our own.
    pub(super) fn begin_answer(&mut self, status: u16) {
        let response = &mut self.scratch.response;
        response.status = status;
        response.fields.clear();
        response.framing = Framing::None;
    }
}
