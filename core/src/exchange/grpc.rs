//! What an exchange does for gRPC: its deadline is the client's, and its errors are statuses.

use std::time::Duration;

use ringway_http::grpc::{Dialect, Status, status, timeout};
use ringway_http::{Fields, Known, Persistence};

use super::Exchange;
use crate::downstream::After;

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

impl Exchange<'_> {
    /// Answers a call with a status of the gateway's own: 200 and no message, the trailers in the head. The reason
    /// word is always told, as there is no body for it.
    pub(super) async fn send_status(
        &mut self,
        dialect: Dialect,
        status: Status,
        (reason, message): (&str, &str),
        persistence: Persistence,
    ) -> After {
        let mut digits = itoa::Buffer::new();
        let mut text = Vec::with_capacity(message.len());
        status::push_message(message, &mut text);
        let response = &mut self.scratch.response;
        response.status = 200;
        for (name, value) in [
            ("Content-Type", dialect.content_type().as_bytes()),
            ("grpc-status", digits.format(status.code()).as_bytes()),
            ("grpc-message", &text),
            ("X-Ringway-Reason", reason.as_bytes()),
        ] {
            let _ = response.fields.set(name, value);
        }
        self.send_answer(b"", persistence).await
    }
}
