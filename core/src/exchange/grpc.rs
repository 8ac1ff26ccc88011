//! What an exchange does for gRPC: its deadline is the client's, and its errors are statuses.

use std::time::Duration;

use ringway_config::snapshot::{GrpcWeb, Route};
use ringway_http::grpc::web::Coding;
use ringway_http::grpc::{Dialect, Status, status, timeout};
use ringway_http::{Fields, Framing, Known, Persistence};

use super::Exchange;
use crate::downstream::After;
use crate::error::{Description, Side};
use crate::net::Buffer;
use crate::wire::Outlet;

/// The dialect of a request.
pub(super) fn dialect(request: &Fields) -> Option<Dialect> {
    request.known(Known::ContentType).and_then(Dialect::of)
}

/// How long the client of a call waits, if it says so.
pub(super) fn time_left(request: &Fields) -> Option<Duration> {
    dialect(request).and_then(|_| timeout::parse(request.value(timeout::FIELD)?))
}

/// Tells the upstream how long the call may still take.
pub(super) fn tell_time_left(request: &mut Fields, left: Duration) {
    let mut value = Vec::with_capacity(12);
    timeout::write(left, &mut value);
    // Digits and a letter are a field's value.
    let _ = request.set(timeout::FIELD, &value);
}

/// Writes a content type of one dialect as one of another, if it is one of the first.
pub(super) fn translate_type(fields: &mut Fields, from: Dialect, to: Dialect) -> Option<Dialect> {
    let mut value = Vec::with_capacity(64);
    from.translate(fields.known(Known::ContentType)?, to, &mut value);
    if value.is_empty() {
        return None;
    }
    let _ = fields.set_known(Known::ContentType, &value);
    Some(to)
}

/// The dialect that is written so.
pub(super) fn web_dialect(coding: Coding) -> Dialect {
    match coding {
        Coding::Binary => Dialect::Web,
        Coding::Text => Dialect::WebText,
    }
}

impl Exchange<'_> {
    /// Makes a call in gRPC-web one in gRPC, where the route asks for it.
    pub(super) fn translate_request(&mut self, route: &Route) {
        if route.grpc_web == GrpcWeb::Pass {
            return;
        }
        let fields = &mut self.scratch.request.fields;
        self.web = [Coding::Binary, Coding::Text]
            .into_iter()
            .find(|coding| translate_type(fields, web_dialect(*coding), Dialect::Grpc).is_some());
    }

    /// The dialect in which the client speaks.
    pub(super) fn clients_dialect(&self) -> Option<Dialect> {
        let request = &self.scratch.request;
        // A status of gRPC comes with a 200, which would open the WebSocket that an extended CONNECT asks for.
        if request.extended_connect {
            return None;
        }
        self.web.map(web_dialect).or_else(|| dialect(&request.fields))
    }

    /// Answers a call with a status of the gateway's own: 200 and no message, the trailers in the head. The reason
    /// word is always told, as there is no body for it.
    pub(super) async fn send_status(
        &mut self,
        dialect: Dialect,
        status: Status,
        (reason, message): (&str, &str),
        persistence: Persistence,
    ) -> After {
        let response = &mut self.scratch.response;
        response.status = 200;
        let _ = response.fields.set("Content-Type", dialect.content_type().as_bytes());
        set_status(&mut response.fields, status, reason, message);
        self.send_answer(b"", persistence).await
    }

    /// Ends a call whose answer is under way with the status of an upstream's fault, in trailers. `None`: only a cut
    /// tells this client that its answer is not whole.
    pub(super) async fn end_call(&mut self, fault: &Description) -> Option<After> {
        let response = &self.scratch.response;
        let is_call =
            self.clients_dialect() == Some(Dialect::Grpc) && dialect(&response.fields) == Some(Dialect::Grpc);
        // With less than a stated length, a message is malformed whatever follows (RFC 9113, 8.1.1).
        let has_length = matches!(response.framing, Framing::Length(_));
        if !is_call || has_length || fault.side != Side::Upstream {
            return None;
        }
        let Outlet::Stream(stream) = &mut self.connection.writer else { return None };
        let mut trailers = Fields::new();
        set_status(&mut trailers, fault.grpc, fault.reason, fault.message);
        stream.end(Buffer::empty(), &trailers, &self.scratch.write_deadline).await.ok()?;
        Some(After::Linger)
    }
}

/// Says what became of a call, and why.
fn set_status(fields: &mut Fields, status: Status, reason: &str, message: &str) {
    let mut digits = itoa::Buffer::new();
    let mut text = Vec::with_capacity(message.len());
    status::push_message(message, &mut text);
    for (name, value) in [
        ("grpc-status", digits.format(status.code()).as_bytes()),
        ("grpc-message", &text),
        ("X-Ringway-Reason", reason.as_bytes()),
    ] {
        // Digits, escaped text and a word are valid.
        let _ = fields.set(name, value);
    }
}
