//! Answers that the gateway makes itself: one way to write them, whatever their reason.

use ringway_http::h1::{self, BodySize};
use ringway_http::{Framing, Known, Method, Persistence};

use super::body::{self, Rest};
use super::{Exchange, Scratch};
use crate::downstream::After;
use crate::net::NetError;

impl Exchange<'_> {
    /// Sends `scratch.response` (status and fields are set) with a body that is at hand, after the response filters. An unwanted request
    /// body is read to its end when that is cheap; otherwise the connection closes.
    pub(super) async fn send_answer(&mut self, body: &[u8], persistence: Persistence) -> After {
        let rest = self.drop_received();
        let mut persistence = if rest == Rest::Close { Persistence::Close } else { persistence };
        if !self.may_persist() {
            persistence = Persistence::Close;
        }
        self.run_response_filters();
        let mut out = self.local.buffers.take(body.len() + 4096);
        let Scratch { request, response, write_deadline, .. } = &mut *self.scratch;
        let bodiless = request.method == Method::Head || matches!(response.status, 204 | 304);
        let size = if bodiless { BodySize::Forbidden } else { BodySize::Known(body.len() as u64) };
        if bodiless && response.status != 204 && response.status != 304 {
            let mut digits = itoa::Buffer::new();
            let _ = response.fields.set("Content-Length", digits.format(body.len()).as_bytes());
        }
        let (mut writer, persistence) = h1::write_response(
            out.append(),
            request.version,
            response.status,
            &response.fields,
            size,
            persistence,
            None,
        );
        if !bodiless {
            let _ = writer.before_data(body.len(), out.append());
            out.append().extend_from_slice(body);
        }
        self.record.status = response.status;
        let len = out.len() as u64;
        let limits =
            self.plan.snapshot.listeners.get(self.listener.0 as usize).map(|listener| &listener.limits);
        let Some(limits) = limits else { return After::Close };
        write_deadline.set(self.local.now().after(limits.body_timeout));
        if let Err(error) = self.connection.writer.send(out, write_deadline).await {
            self.note_send_failure(&error);
            return After::Close;
        }
        self.record.bytes_out += len;
        let after = match (rest, persistence) {
            (Rest::None, Persistence::KeepAlive) => return After::KeepAlive,
            (Rest::Discard(left), Persistence::KeepAlive) => {
                body::discard(self.local, self.connection, left, limits).await
            }
            (_, _) => return After::Linger,
        };
        after.map_or(After::Close, |()| After::KeepAlive)
    }

    /// Whether anything but this exchange's own ends speaks against another one on the connection.
    pub(super) fn may_persist(&self) -> bool {
        let served = self.connection.served;
        let limits =
            self.plan.snapshot.listeners.get(self.listener.0 as usize).map(|listener| &listener.limits);
        let more = limits.and_then(|limits| limits.requests_per_connection).is_none_or(|max| served < max);
        more && self.local.ready.get()
            && !self.connection.stay.entry.listener.is_closing()
            && self.scratch.request.persistence == Persistence::KeepAlive
    }

    /// Runs the response filters of the route, if there is one, and adds what every response carries.
    pub(super) fn run_response_filters(&mut self) {
        let Scratch { response, facts, chain: state, .. } = &mut *self.scratch;
        let _ = response.fields.set("X-Request-ID", facts.request_id.as_bytes());
        if !response.fields.has(Known::Date) {
            let _ = response.fields.push("Date", &self.local.date.value());
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

    /// Notes that the client could not be written to.
    pub(super) fn note_send_failure(&mut self, error: &NetError) {
        self.record.fault(super::response::send_fault(self.local, error));
    }
}

impl Exchange<'_> {
    pub(super) async fn serve_file(&mut self, _files: &ringway_config::snapshot::StaticFiles) -> After {
        self.fail(crate::error::Fault::NoFile).await
    }
}
