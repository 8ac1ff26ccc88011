//! The gateway's own answers: health, readiness, fixed answers, the way to HTTPS, and `OPTIONS *`.

use std::fmt::Write;

use ringway_config::snapshot::Respond;
use ringway_http::{HeadError, Persistence};

use super::fail::quote;
use super::{Exchange, Scratch};
use crate::clock;
use crate::downstream::After;
use crate::error::Fault;

/// The methods that a gateway passes on.
pub(super) const METHODS: &str = "GET, HEAD, POST, PUT, DELETE, OPTIONS, TRACE, PATCH";

impl Exchange<'_> {
    /// `respond`.
    pub(super) async fn respond(&mut self, respond: &Respond) -> After {
        match respond {
            Respond::Health => {
                self.begin_answer(200);
                let body = self.health();
                self.send_own("application/json", body.as_bytes()).await
            }
            Respond::Ready if self.local.ready.get() => {
                self.begin_answer(200);
                self.send_own("application/json", b"{\"status\":\"ready\"}\n").await
            }
            Respond::Ready => {
                self.begin_answer(503);
                self.record.reason = Some("drain.not_ready");
                self.send_own("application/json", b"{\"status\":\"draining\"}\n").await
            }
            Respond::Fixed { status, body, content_type } => {
                self.begin_answer(*status);
                self.send_own(content_type, body).await
            }
        }
    }

    async fn send_own(&mut self, content_type: &str, body: &[u8]) -> After {
        if !content_type.is_empty() {
            let _ = self.scratch.response.fields.set("Content-Type", content_type.as_bytes());
        }
        self.send_answer(body, Persistence::KeepAlive).await
    }

    fn health(&self) -> String {
        let wall = std::time::UNIX_EPOCH + clock::wall();
        let mut out = String::with_capacity(256);
        let services = || self.plan.upstreams().map(|(name, upstream)| (name, upstream.is_healthy()));
        let status = if services().all(|(_, healthy)| healthy) { "healthy" } else { "degraded" };
        let _ = write!(
            out,
            "{{\"status\":\"{status}\",\"timestamp\":\"{}\"",
            humantime::format_rfc3339_seconds(wall)
        );
        let _ = write!(out, ",\"version\":\"{}\",\"services\":{{", env!("CARGO_PKG_VERSION"));
        for (index, (name, healthy)) in services().enumerate() {
            if index > 0 {
                out.push(',');
            }
            quote(name, &mut out);
            out.push_str(if healthy { ":\"healthy\"" } else { ":\"unhealthy\"" });
        }
        out.push_str("}}\n");
        out
    }

    /// Sends the client to the same URL over HTTPS: 308, so that the method stays.
    pub(super) async fn redirect_https(&mut self, port: u16) -> After {
        if self.scratch.request.host().is_empty() {
            // An HTTP/1.0 client that names no host cannot be sent to one.
            return self.fail(Fault::Head(HeadError::HostMissing)).await;
        }
        self.begin_answer(308);
        self.record.reason = Some("listener.redirect_https");
        let Scratch { request, response, text, .. } = &mut *self.scratch;
        text.clear();
        text.push_str("https://");
        if request.host().contains(':') && !request.host().starts_with('[') {
            let _ = write!(text, "[{}]", request.host());
        } else {
            text.push_str(request.host());
        }
        if port != 443 {
            let _ = write!(text, ":{port}");
        }
        text.push_str(request.path());
        if let Some(query) = request.query() {
            text.push('?');
            text.push_str(query);
        }
        let _ = response.fields.set("Location", text.as_bytes());
        self.send_answer(b"", Persistence::KeepAlive).await
    }

    /// `OPTIONS *` (RFC 9110, 9.3.7): it reaches no route, as it names no resource.
    pub(super) async fn answer_options(&mut self) -> After {
        self.begin_answer(204);
        let _ = self.scratch.response.fields.set("Allow", METHODS.as_bytes());
        self.send_answer(b"", Persistence::KeepAlive).await
    }
}
