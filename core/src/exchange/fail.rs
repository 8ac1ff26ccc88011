//! The one place where a fault becomes an answer: status, body and reason word.

use std::fmt::Write;

use ringway_config::snapshot::{ErrorFormat, Route};
use ringway_filters::Reply;
use ringway_http::grpc::Status;
use ringway_http::{Fields, Persistence, Version};

use super::{Exchange, Scratch};
use crate::downstream::After;
use crate::error::Fault;

/// What an error's body says.
struct ErrorText<'a> {
    status: u16,
    reason: &'a str,
    message: &'a str,
    request_id: &'a str,
}

/// A fatal alert, `handshake_failure` (RFC 8446, 6): that much of TLS is spoken on a plain port.
const TLS_ALERT: [u8; 7] = [0x15, 0x03, 0x01, 0x00, 0x02, 0x02, 0x28];

impl Exchange<'_> {
    /// Answers a fault, or, when a response is under way, ends it such that the client sees that it is not whole.
    pub(super) async fn fail(&mut self, fault: Fault) -> After {
        let fault = self.true_fault(fault);
        let described = fault.describe();
        self.record.fault(fault);
        if self.record.has_responded() {
            if let Some(after) = self.end_call(&described).await {
                return after;
            }
            self.connection.writer.leave_cut();
            // An HTTP/1.0 client knows the end by the close alone: only a reset tells it that this is not the end.
            let by_close = self.scratch.request.version == Version::Http10;
            return if by_close { After::Reset } else { After::Close };
        }
        if fault == Fault::TlsOnPlain {
            let mut alert = self.local.buffers.take(TLS_ALERT.len());
            alert.append().extend_from_slice(&TLS_ALERT);
            // What cannot be sent at once is not owed.
            let _ = self.connection.writer.post(alert);
            return After::Linger;
        }
        if described.status == 0 {
            return After::Close;
        }
        self.begin_answer(described.status);
        #[expect(clippy::wildcard_enum_match_arm, reason = "the pattern above names all three")]
        if let Fault::Method | Fault::Connect | Fault::Trace | Fault::FileMethod = fault {
            let allow = match fault {
                Fault::Method => self.scratch.text.as_str(),
                Fault::Connect | Fault::Trace => super::respond::METHODS,
                _ => "GET, HEAD",
            };
            let _ = self.scratch.response.fields.set("Allow", allow.as_bytes());
        }
        // What follows a head or a body that was refused, or that is late, cannot be told from it.
        let broken = matches!(
            fault,
            Fault::Head(_)
                | Fault::RequestBody(_)
                | Fault::HeaderTimeout
                | Fault::BodyTimeout
                | Fault::RequestTimeout
                | Fault::BodyTooSlow
                | Fault::Connect
        );
        let persistence = if broken { Persistence::Close } else { Persistence::KeepAlive };
        self.send_error(described.reason, described.message, described.grpc, persistence).await
    }

    /// At the end of a drain every wait ends as if its time were over: then the drain is what ended it.
    pub(super) fn true_fault(&self, fault: Fault) -> Fault {
        let late = matches!(
            fault,
            Fault::HeaderTimeout
                | Fault::BodyTimeout
                | Fault::RequestTimeout
                | Fault::ClientStalled
                | Fault::ConnectTimeout
                | Fault::UpstreamTimeout
                | Fault::UpstreamBodyTimeout
        );
        if late && self.local.cut.get() { Fault::DrainCut } else { fault }
    }

    /// Sends a filter's answer.
    pub(super) async fn reply(&mut self, reply: &Reply) -> After {
        self.record.reason = Some(reply.reason);
        self.begin_answer(reply.status);
        copy_fields(&reply.fields, &mut self.scratch.response.fields);
        let status = Status::of_own(reply.status);
        self.send_error(reply.reason, &reply.message, status, Persistence::KeepAlive).await
    }

    async fn send_error(
        &mut self,
        reason: &str,
        message: &str,
        status: Status,
        persistence: Persistence,
    ) -> After {
        if let Some(dialect) = self.clients_dialect() {
            return self.send_status(dialect, status, (reason, message), persistence).await;
        }
        let plan = std::rc::Rc::clone(&self.plan);
        let route = self.record.route.and_then(|id| plan.route(id));
        let format = route.map_or(ErrorFormat::Json, |route: &Route| route.errors);
        let Scratch { response, facts, .. } = &mut *self.scratch;
        let text = ErrorText { status: response.status, reason, message, request_id: &facts.request_id };
        let (content_type, body) = text.body(format);
        let _ = response.fields.set("Content-Type", content_type.as_bytes());
        if route.is_some_and(|route| route.reason_header) {
            let _ = response.fields.set("X-Ringway-Reason", reason.as_bytes());
        }
        self.send_answer(body.as_bytes(), persistence).await
    }
}

pub(super) fn copy_fields(from: &Fields, to: &mut Fields) {
    for (name, value) in from.iter() {
        let _ = to.push(name, value);
    }
}

impl ErrorText<'_> {
    fn body(&self, format: ErrorFormat) -> (&'static str, String) {
        let mut out = String::with_capacity(160);
        match format {
            ErrorFormat::Json => {
                out.push_str("{\"error\":{\"code\":");
                quote(self.reason, &mut out);
                out.push_str(",\"message\":");
                quote(self.message, &mut out);
                out.push_str(",\"request_id\":");
                quote(self.request_id, &mut out);
                out.push_str("}}\n");
                ("application/json", out)
            }
            ErrorFormat::Text => {
                let _ = writeln!(out, "{} {}: {}", self.status, self.reason, self.message);
                ("text/plain; charset=utf-8", out)
            }
            ErrorFormat::Problem => {
                // RFC 9457, 3.
                out.push_str("{\"type\":\"about:blank\",\"title\":");
                quote(self.message, &mut out);
                let _ = write!(out, ",\"status\":{},\"code\":", self.status);
                quote(self.reason, &mut out);
                out.push_str(",\"request_id\":");
                quote(self.request_id, &mut out);
                out.push_str("}\n");
                ("application/problem+json", out)
            }
        }
    }
}

/// Appends a JSON string.
pub(super) fn quote(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            c if c < ' ' => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_format_says_the_same() {
        let text = ErrorText {
            status: 404,
            reason: "route.not_found",
            message: "Not \"found\"",
            request_id: "a\\b",
        };
        let cases = [
            (
                ErrorFormat::Json,
                "{\"error\":{\"code\":\"route.not_found\",\"message\":\"Not \\\"found\\\"\",\
                 \"request_id\":\"a\\\\b\"}}\n",
            ),
            (ErrorFormat::Text, "404 route.not_found: Not \"found\"\n"),
            (
                ErrorFormat::Problem,
                "{\"type\":\"about:blank\",\"title\":\"Not \\\"found\\\"\",\"status\":404,\
                 \"code\":\"route.not_found\",\"request_id\":\"a\\\\b\"}\n",
            ),
        ];
        for (format, expected) in cases {
            assert_eq!(text.body(format).1, expected);
        }
    }
}
