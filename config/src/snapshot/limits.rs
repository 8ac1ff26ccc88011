//! What a message and a connection may be at most, with the defaults.

use std::time::Duration;

/// What a message and a connection may be at most: `[limits]`, narrowed by a listener and then by a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Head bytes, field count, URI bytes.
    pub head: ringway_http::Limits,
    /// Body bytes; `None` is unlimited.
    pub body_bytes_max: Option<u64>,
    /// From a request's first byte (for a new connection: from the accept) to its head's end.
    pub header_timeout: Duration,
    /// Between two pieces of progress of a body, either way.
    pub body_timeout: Duration,
    /// Between requests.
    pub idle_timeout: Duration,
    /// Without a byte either way in a tunnel (an upgraded connection); key `tunnel_timeout`, default 1 h.
    pub tunnel_timeout: Duration,
    /// Requests on one connection; `None` is unlimited.
    pub requests_per_connection: Option<u64>,
    /// Connections of one address, per process; `None` is unlimited.
    pub connections_per_ip: Option<u32>,
    /// The least rate of a request body in bytes per second, after ten seconds; `None` is off.
    pub min_rate: Option<u64>,
    /// From the accept (behind a PROXY header, from its end) to the end of the TLS handshake.
    pub handshake_timeout: Duration,
    /// How old a client's connection may grow before it takes no further request; `None` is unlimited.
    pub connection_age: Option<Duration>,
    /// How old a tunnel may grow before it is closed; `None` is unlimited.
    pub tunnel_age: Option<Duration>,
    /// What an HTTP/2 connection may be.
    pub http2: Http2Limits,
}

/// What one HTTP/2 connection of a client may be at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Http2Limits {
    /// Requests in flight (`h2_streams`).
    pub streams_max: u32,
    /// Resets by the client in a [`Http2Limits::WINDOW`] (`h2_resets`).
    pub resets_max: u32,
    /// Frames that carry nothing in a [`Http2Limits::WINDOW`], of which each kind has its share
    /// (`h2_control_frames`).
    pub control_frames_max: u32,
}

impl Http2Limits {
    /// What holds when the file says nothing.
    pub const DEFAULT: Self = Self { streams_max: 128, resets_max: 200, control_frames_max: 2_000 };
    /// Over which resets and control frames are counted.
    pub const WINDOW: Duration = Duration::from_secs(10);

    /// The counts under their keys.
    pub(crate) fn counts(&self) -> [(&'static str, u32); 3] {
        let mut all = *self;
        all.places().map(|(key, place)| (key, *place))
    }

    /// The same, to be written to.
    pub(crate) fn places(&mut self) -> [(&'static str, &mut u32); 3] {
        [
            ("h2_streams", &mut self.streams_max),
            ("h2_resets", &mut self.resets_max),
            ("h2_control_frames", &mut self.control_frames_max),
        ]
    }

    /// The narrower of both in everything.
    #[must_use]
    pub fn narrowed_by(&self, other: &Self) -> Self {
        Self {
            streams_max: self.streams_max.min(other.streams_max),
            resets_max: self.resets_max.min(other.resets_max),
            control_frames_max: self.control_frames_max.min(other.control_frames_max),
        }
    }
}

impl Default for Limits {
    /// What holds when the file says nothing.
    fn default() -> Self {
        Self {
            head: ringway_http::Limits { head_bytes_max: 64 << 10, fields_max: 128, uri_bytes_max: 8 << 10 },
            body_bytes_max: None,
            header_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(60),
            idle_timeout: Duration::from_secs(75),
            tunnel_timeout: Duration::from_secs(3_600),
            requests_per_connection: None,
            connections_per_ip: None,
            min_rate: None,
            handshake_timeout: Duration::from_secs(10),
            connection_age: None,
            tunnel_age: None,
            http2: Http2Limits::DEFAULT,
        }
    }
}

impl Limits {
    /// The narrower of both in everything: what holds for a route's request on a listener.
    #[must_use]
    pub fn narrowed_by(&self, other: &Self) -> Self {
        Self {
            head: ringway_http::Limits {
                head_bytes_max: self.head.head_bytes_max.min(other.head.head_bytes_max),
                fields_max: self.head.fields_max.min(other.head.fields_max),
                uri_bytes_max: self.head.uri_bytes_max.min(other.head.uri_bytes_max),
            },
            body_bytes_max: least(self.body_bytes_max, other.body_bytes_max),
            header_timeout: self.header_timeout.min(other.header_timeout),
            body_timeout: self.body_timeout.min(other.body_timeout),
            idle_timeout: self.idle_timeout.min(other.idle_timeout),
            tunnel_timeout: self.tunnel_timeout.min(other.tunnel_timeout),
            requests_per_connection: least(self.requests_per_connection, other.requests_per_connection),
            connections_per_ip: least(self.connections_per_ip, other.connections_per_ip),
            // `None` is off, which is below every rate.
            min_rate: self.min_rate.max(other.min_rate),
            handshake_timeout: self.handshake_timeout.min(other.handshake_timeout),
            connection_age: least(self.connection_age, other.connection_age),
            tunnel_age: least(self.tunnel_age, other.tunnel_age),
            http2: self.http2.narrowed_by(&other.http2),
        }
    }
}

/// `None` is unlimited.
fn least<T: Ord>(a: Option<T>, b: Option<T>) -> Option<T> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}
