//! What went wrong in an exchange: what, whose side, and whether it may be tried again.

use ringway_http::grpc::Status;
use ringway_http::{BodyError, HeadError};

/// Whose fault it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The client's.
    Downstream,
    /// The upstream's.
    Upstream,
    /// Our own, or the operator's wish.
    Local,
}

/// May it be tried again?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// No.
    Never,
    /// Yes: nothing of the request can have been acted upon.
    Safe,
    /// If the request may be sent twice: it may have been acted upon.
    IfIdempotent,
    /// Yes, and at the same endpoint: it has said that it did nothing about the request.
    Unprocessed,
}

/// What went wrong. The words, statuses and sides are in one table: [`Fault::describe`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The request head was refused.
    Head(HeadError),
    /// The request body was refused.
    RequestBody(BodyError),
    /// CONNECT, which a gateway does not serve.
    Connect,
    /// An extended CONNECT to a route that is not proxied.
    WebSocketHere,
    /// TRACE with `Max-Forwards: 0`, which would be the gateway's to echo.
    Trace,
    /// The request passed this gateway too often.
    Loop,
    /// TLS on a port that speaks plain HTTP.
    TlsOnPlain,
    /// The client named another host in its TLS handshake, and no certificate of that is for this one.
    Misdirected,
    /// The route demands a client certificate, and the client has shown none.
    NoClientCertificate,
    /// No route matches.
    NoRoute,
    /// A route matches in all but the method.
    Method,
    /// A request body over `max_body`.
    BodyTooLarge,
    /// The head did not come in time.
    HeaderTimeout,
    /// The request body made no progress.
    BodyTimeout,
    /// The client was still sending its request when the route's `timeout` passed.
    RequestTimeout,
    /// The request body came slower than `min_rate`.
    BodyTooSlow,
    /// The client closed before its request was answered.
    ClientClosed,
    /// The client's connection failed.
    ClientReset,
    /// The client took no bytes of the response for `body_timeout`.
    ClientStalled,
    /// The drain's deadline cut the exchange.
    DrainCut,
    /// No endpoint of the upstream is healthy.
    NoEndpoint,
    /// The endpoint refused the connection.
    ConnectRefused,
    /// Connecting took longer than `connect_timeout`.
    ConnectTimeout,
    /// Connecting failed otherwise.
    ConnectFailed,
    /// The endpoint's certificate is not one to be believed.
    UpstreamCertificate,
    /// The TLS handshake with the endpoint failed.
    UpstreamHandshake,
    /// The endpoint did not choose the protocol that it is to speak.
    UpstreamAlpn,
    /// The connection broke before a response head.
    ResetBeforeHead,
    /// The endpoint refused the request's stream, or was going away: nothing was done about it (RFC 9113, 8.7).
    Unprocessed,
    /// The endpoint reset the request's stream before a response head.
    StreamReset,
    /// The connection broke within the response head.
    ResetWithinHead,
    /// The response head was refused.
    BadResponse(HeadError),
    /// Too many interim responses.
    TooManyInterim,
    /// The route's `timeout` passed before the response head.
    UpstreamTimeout,
    /// The route's `timeout` passed within the body.
    UpstreamBodyTimeout,
    /// The upstream's body was malformed or ended early.
    UpstreamBody(BodyError),
    /// An endpoint of HTTP/2 that does not understand extended CONNECT was asked for a WebSocket.
    NoWebSocket,
    /// A protocol switch that was not asked for.
    UnaskedUpgrade,
    /// An endpoint of HTTP/1.1 answered an extended CONNECT's WebSocket with a 2xx, which would open it.
    NotSwitched,
    /// A file that is not there, or may not be shown.
    NoFile,
    /// A file that could not be read.
    FileError,
    /// The method does not suit static files.
    FileMethod,
}

/// A fault's row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Description {
    /// The status of the gateway's answer; 0: the connection ends without one.
    pub status: u16,
    /// What a gRPC client is told in its place.
    pub grpc: Status,
    /// The reason word.
    pub reason: &'static str,
    /// A sentence for people.
    pub message: &'static str,
    /// Whose fault.
    pub side: Side,
    /// Whether it may be tried again.
    pub retry: Retry,
}

/// The columns of the tables below, in [`Description`]'s order. The gRPC status is that of the HTTP status.
type Row = (u16, &'static str, &'static str, Side, Retry);

impl Fault {
    /// What the gateway says about a fault: one row for each.
    pub fn describe(self) -> Description {
        let (status, reason, message, side, retry) = self.client_row().unwrap_or_else(|| self.upstream_row());
        // The call's time is not over then: another attempt may do better.
        let is_unavailable = self == Self::ConnectTimeout;
        let grpc = if is_unavailable { Status::Unavailable } else { Status::of_own(status) };
        Description { status, grpc, reason, message, side, retry }
    }

    /// Faults of the client's side, and our own.
    fn client_row(self) -> Option<Row> {
        use Retry::Never;
        use Side::{Downstream, Local};
        Some(match self {
            Self::Head(error) => (error.status(), error.reason(), error.text(), Downstream, Never),
            Self::RequestBody(error) => {
                (error.status(), error.reason(), "Malformed request body", Downstream, Never)
            }
            Self::Connect => (405, "request.connect", "CONNECT is not served here", Downstream, Never),
            Self::WebSocketHere => {
                (501, "request.websocket", "No WebSocket is served here", Downstream, Never)
            }
            Self::Trace => (405, "request.trace", "TRACE is not answered here", Downstream, Never),
            Self::Loop => {
                (508, "request.loop", "The request passed this gateway too often", Downstream, Never)
            }
            Self::TlsOnPlain => (0, "request.tls_on_plain", "TLS on a port of plain HTTP", Downstream, Never),
            Self::Misdirected => {
                let message = "This connection is for another host: ask again on one of its own";
                (421, "request.misdirected", message, Downstream, Never)
            }
            Self::NoClientCertificate => {
                (403, "tls.client_certificate", "A client certificate is needed here", Downstream, Never)
            }
            Self::NoRoute => (404, "route.not_found", "Not found", Downstream, Never),
            Self::Method => (405, "route.method", "Method not allowed", Downstream, Never),
            Self::BodyTooLarge => (413, "limit.body", "Request body too large", Downstream, Never),
            Self::HeaderTimeout => {
                (408, "limit.header_timeout", "The request came too slowly", Downstream, Never)
            }
            Self::BodyTimeout => {
                (408, "limit.body_timeout", "The request body came too slowly", Downstream, Never)
            }
            Self::RequestTimeout => (
                408,
                "route.timeout.request",
                "The request took longer than its route allows",
                Downstream,
                Never,
            ),
            Self::BodyTooSlow => {
                (408, "limit.min_rate", "The request body came too slowly", Downstream, Never)
            }
            Self::ClientClosed => (0, "client.closed", "The client closed", Downstream, Never),
            Self::ClientReset => (0, "client.reset", "The client's connection failed", Downstream, Never),
            Self::ClientStalled => (0, "client.stalled", "The client took no bytes", Downstream, Never),
            Self::DrainCut => (0, "drain.cut", "The gateway is stopping", Local, Never),
            Self::NoFile => (404, "static.not_found", "Not found", Downstream, Never),
            Self::FileError => (500, "static.error", "The file cannot be read", Local, Never),
            Self::FileMethod => (405, "static.method", "Method not allowed", Downstream, Never),
            Self::NoEndpoint
            | Self::ConnectRefused
            | Self::ConnectTimeout
            | Self::ConnectFailed
            | Self::UpstreamCertificate
            | Self::UpstreamHandshake
            | Self::UpstreamAlpn
            | Self::ResetBeforeHead
            | Self::ResetWithinHead
            | Self::Unprocessed
            | Self::StreamReset
            | Self::BadResponse(_)
            | Self::TooManyInterim
            | Self::UpstreamTimeout
            | Self::UpstreamBodyTimeout
            | Self::UpstreamBody(_)
            | Self::NoWebSocket
            | Self::UnaskedUpgrade
            | Self::NotSwitched => return None,
        })
    }

    /// Faults of the upstream's side.
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "client_row names every fault, and has had the others"
    )]
    fn upstream_row(self) -> Row {
        use Retry::{IfIdempotent, Never, Safe};
        use Side::Upstream;
        match self {
            Self::ConnectRefused => {
                (502, "upstream.connect.refused", "Upstream refused the connection", Upstream, Safe)
            }
            Self::ConnectTimeout => {
                (504, "upstream.connect.timeout", "Upstream did not accept in time", Upstream, Safe)
            }
            Self::ConnectFailed => {
                (502, "upstream.connect.failed", "Upstream cannot be reached", Upstream, Safe)
            }
            Self::UpstreamCertificate => {
                (502, "upstream.tls.certificate", "Upstream's certificate is not valid", Upstream, Safe)
            }
            Self::UpstreamHandshake => {
                (502, "upstream.tls.handshake", "Upstream and TLS do not come together", Upstream, Safe)
            }
            Self::UpstreamAlpn => {
                (502, "upstream.tls.alpn", "Upstream does not speak the protocol", Upstream, Safe)
            }
            Self::ResetBeforeHead => {
                let message = "Upstream closed before it answered";
                (502, "upstream.reset.before_headers", message, Upstream, IfIdempotent)
            }
            Self::Unprocessed => {
                let message = "Upstream did not take the request";
                (503, "upstream.unprocessed", message, Upstream, Retry::Unprocessed)
            }
            Self::StreamReset => {
                (502, "upstream.reset.stream", "Upstream gave the request up", Upstream, IfIdempotent)
            }
            Self::ResetWithinHead => (
                502,
                "upstream.reset.within_headers",
                "Upstream closed within its answer's head",
                Upstream,
                Never,
            ),
            Self::BadResponse(error) => {
                (502, error.response_reason(), "Upstream's answer is malformed", Upstream, Never)
            }
            Self::TooManyInterim => {
                (502, "upstream.interim", "Upstream sent too many interim answers", Upstream, Never)
            }
            Self::UpstreamTimeout => {
                (504, "upstream.timeout", "Upstream did not answer in time", Upstream, Never)
            }
            Self::UpstreamBodyTimeout => {
                (504, "upstream.timeout.body", "Upstream did not finish in time", Upstream, Never)
            }
            Self::UpstreamBody(BodyError::Truncated) => {
                (502, "upstream.truncated", "Upstream's answer ended early", Upstream, Never)
            }
            Self::UpstreamBody(_) => {
                (502, "upstream.bad_body", "Upstream's answer is malformed", Upstream, Never)
            }
            Self::NoWebSocket => {
                let message = "Upstream takes no WebSockets over HTTP/2";
                (502, "upstream.websocket", message, Upstream, Safe)
            }
            Self::UnaskedUpgrade => {
                (502, "upstream.upgrade", "Upstream switched protocols unasked", Upstream, Never)
            }
            Self::NotSwitched => {
                (502, "upstream.not_switched", "Upstream did not switch to WebSocket", Upstream, Never)
            }
            _ => (503, "upstream.unavailable", "Service unavailable", Upstream, Never),
        }
    }
}
