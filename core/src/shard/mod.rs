//! This worker's slice of what is counted: single writer here, read by control, no shared line written by two threads.

use std::sync::Arc;
use std::time::Duration;

/// What one finished exchange adds to the counters.
#[derive(Debug, Clone, Copy)]
pub struct ExchangeCount {
    /// `Route::metric`, or [`NO_ROUTE`].
    pub route: u32,
    /// `Upstream::metric`, or [`NO_UPSTREAM`]: the `service` label.
    pub upstream: u32,
    /// The method.
    pub method: ringway_http::Method,
    /// The status sent; 0 when none was.
    pub status: u16,
    /// The reason word when the gateway answered itself or cut the exchange.
    pub reason: Option<&'static str>,
    /// From the head's first byte to the response's last.
    pub duration: Duration,
    /// Bytes from the client, head included.
    pub bytes_in: u64,
    /// Bytes to the client, head included.
    pub bytes_out: u64,
}

/// The route number of exchanges that no route took.
pub const NO_ROUTE: u32 = u32::MAX;
/// The upstream number of exchanges that no upstream answered.
pub const NO_UPSTREAM: u32 = u32::MAX;

/// Plain counters and gauges of a worker, by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub enum Count {
    /// Gauge: open client connections.
    ConnectionsActive,
    /// Client connections accepted.
    ConnectionsAccepted,
    /// Client connections shed over `max_connections`.
    ConnectionsShed,
    /// Client connections refused over `connections_per_ip`.
    ConnectionsPerIpRefused,
    /// Connections refused for a missing or bad PROXY header.
    ProxyHeaderRefused,
    /// Errors of accept (EMFILE and such).
    AcceptErrors,
    /// Gauge: exchanges in progress.
    ExchangesActive,
    /// Gauge: tunnels (upgraded connections).
    TunnelsActive,
    /// Access lines dropped because the writer was behind.
    LogLinesDropped,
    /// Series that fell into `other` because the table was full.
    SeriesOverflowed,
    /// The epoch that this worker has seated.
    Epoch,
}

/// Counters per upstream endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub enum EndpointCount {
    /// Connections opened.
    ConnectsOk,
    /// Connections that failed to open.
    ConnectsFailed,
    /// Checkouts served by an idle connection.
    Reused,
    /// Gauge: idle connections in the pool.
    Idle,
    /// Gauge: connections in use.
    Active,
    /// Idle connections that their endpoint had closed.
    IdleClosed,
    /// Attempts after the first.
    Retries,
    /// Attempts sent once more because a reused connection died.
    Replays,
    /// Attempts.
    Attempts,
    /// Attempts that failed without a response head.
    Failures,
}

/// The shared storage of one worker: written by its [`Writer`], read by control.
#[derive(Debug, Default)]
pub struct Shard {
    _private: (),
}

impl Shard {
    /// Storage with room for `series_max` series.
    pub fn new(_series_max: usize) -> Arc<Self> {
        todo!()
    }
}

/// The worker's pen. `!Send` by its use.
#[derive(Debug)]
pub struct Writer {
    _shard: Arc<Shard>,
}

impl Writer {
    /// The only writer of this shard.
    pub fn new(_shard: Arc<Shard>) -> Self {
        todo!()
    }
    /// Counts a finished exchange.
    pub fn exchange(&self, _count: &ExchangeCount) {
        todo!()
    }
    /// Adds to a counter or gauge.
    pub fn add(&self, _name: Count, _n: u64) {
        todo!()
    }
    /// Takes from a gauge.
    pub fn sub(&self, _name: Count, _n: u64) {
        todo!()
    }
    /// Sets a gauge.
    pub fn set(&self, _name: Count, _value: u64) {
        todo!()
    }
    /// Adds to an endpoint's counter or gauge; `endpoint` is `Endpoint::metric`.
    pub fn endpoint_add(&self, _endpoint: u32, _name: EndpointCount, _n: u64) {
        todo!()
    }
    /// Takes from an endpoint's gauge.
    pub fn endpoint_sub(&self, _endpoint: u32, _name: EndpointCount, _n: u64) {
        todo!()
    }
}
