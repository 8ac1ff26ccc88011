//! This worker's slice of what is counted: single writer here, read by control, no shared line written by two
//! threads.
//!
//! Memory is bounded: at most `series_max` request series (24 bytes each) and as many histograms (192 bytes: three
//! cache lines), 16 bytes for each route's last series, [`ENDPOINTS_MAX`] endpoints (80 bytes) and [`REASONS_MAX`]
//! reason words; slots are allocated 64 at a time as they are first seen. What comes after a table is full is counted
//! under `_other`, and [`Count::SeriesOverflowed`] says so.

mod read;
mod table;
mod write;

pub use read::{EndpointReading, HistogramReading, Reader, SeriesReading};
pub use write::{Held, Writer};

use std::sync::atomic::AtomicU64;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use ringway_http::Method;
use table::{Padded, Table};

/// What one finished exchange adds to the counters.
#[derive(Debug, Clone, Copy)]
pub struct ExchangeCount {
    /// `Route::metric`, or [`NO_ROUTE`].
    pub route: u32,
    /// `Upstream::metric`, or [`NO_UPSTREAM`]: the `service` label.
    pub upstream: u32,
    /// The method.
    pub method: Method,
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
/// The number, for route and upstream, of what no longer fits a table.
pub const OTHER: u32 = u32::MAX - 1;
/// Endpoints that have counters of their own; later ones share one.
pub const ENDPOINTS_MAX: usize = 64 * 1024;
/// Reason words that have counters of their own; later ones share one.
pub const REASONS_MAX: usize = 256;
/// The reason word of those later ones.
pub const OTHER_REASON: &str = "_other";

/// Upper bounds of the duration histogram's buckets, in nanoseconds and as Prometheus writes them; the last
/// bucket is `+Inf`.
pub const BUCKETS: [(u64, &str); 14] = [
    (500_000, "0.0005"),
    (1_000_000, "0.001"),
    (2_500_000, "0.0025"),
    (5_000_000, "0.005"),
    (10_000_000, "0.01"),
    (25_000_000, "0.025"),
    (50_000_000, "0.05"),
    (100_000_000, "0.1"),
    (250_000_000, "0.25"),
    (500_000_000, "0.5"),
    (1_000_000_000, "1"),
    (2_500_000_000, "2.5"),
    (5_000_000_000, "5"),
    (10_000_000_000, "10"),
];
/// Buckets with the one for `+Inf`.
pub const BUCKET_COUNT: usize = BUCKETS.len() + 1;

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
    /// Client connections that spoke HTTP/2.
    Http2Connections,
    /// HTTP/2 connections that were closed for too much of something.
    Http2Floods,
    /// HTTP/2 connections that were closed for a breach of the protocol.
    Http2ProtocolErrors,
    /// Errors of accept (EMFILE and such).
    AcceptErrors,
    /// Gauge: exchanges in progress.
    ExchangesActive,
    /// Gauge: tunnels (upgraded connections).
    TunnelsActive,
    /// Access lines dropped because the writer was behind.
    LogLinesDropped,
    /// Counts that fell into `_other` because a table was full.
    SeriesOverflowed,
    /// The epoch that this worker has seated.
    Epoch,
    /// Bytes from clients in finished exchanges, heads included.
    BytesIn,
    /// Bytes to clients in finished exchanges, heads included.
    BytesOut,
    /// TLS handshakes of clients that began a session.
    HandshakesFull,
    /// TLS handshakes of clients that went on with an earlier session.
    HandshakesResumed,
    /// TLS handshakes of clients that failed.
    HandshakesFailed,
}

/// How many [`Count`]s there are.
const COUNTS: usize = Count::HandshakesFailed as usize + 1;

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

/// How many [`EndpointCount`]s there are.
const ENDPOINT_COUNTS: usize = EndpointCount::Failures as usize + 1;

/// What a request counter is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SeriesKey {
    /// `Route::metric`, [`NO_ROUTE`] or [`OTHER`].
    pub route: u32,
    /// `Upstream::metric`, [`NO_UPSTREAM`] or [`OTHER`].
    pub upstream: u32,
    /// The method.
    pub method: Method,
    /// The status; 0 for a histogram, which has none.
    pub status: u16,
}

/// The key is set before the first count, so a reader that sees a count sees whose it is.
#[derive(Debug, Default)]
struct SeriesSlot {
    key: OnceLock<SeriesKey>,
    count: AtomicU64,
}

/// Durations of one (route, method, upstream). In this order and from a cache line on, so that where there are many
/// routes, and each one's slot is cold when its turn comes, a count brings in one line as long as answers are quick.
#[derive(Debug, Default)]
#[repr(C, align(64))]
struct HistogramSlot {
    sum_ns: AtomicU64,
    /// Not cumulative; the reader adds up.
    buckets: [AtomicU64; BUCKET_COUNT],
    key: OnceLock<SeriesKey>,
}

const _: () = assert!(size_of::<HistogramSlot>() == 192);

/// Exchanges that ended for one reason.
#[derive(Debug, Default)]
struct ReasonSlot {
    word: OnceLock<&'static str>,
    count: AtomicU64,
}

/// The shared storage of one worker: written by its [`Writer`], read by control.
#[derive(Debug)]
pub struct Shard {
    counts: Padded<[AtomicU64; COUNTS]>,
    series: Table<SeriesSlot>,
    histograms: Table<HistogramSlot>,
    reasons: Table<ReasonSlot>,
    endpoints: Table<[AtomicU64; ENDPOINT_COUNTS]>,
    /// Where endpoints past [`ENDPOINTS_MAX`] are counted.
    endpoint_other: Padded<[AtomicU64; ENDPOINT_COUNTS]>,
}

impl Default for Padded<[AtomicU64; ENDPOINT_COUNTS]> {
    fn default() -> Self {
        Self(std::array::from_fn(|_| AtomicU64::new(0)))
    }
}

impl Shard {
    /// Storage with room for `series_max` series.
    pub fn new(series_max: usize) -> Arc<Self> {
        Arc::new(Self {
            counts: Padded(std::array::from_fn(|_| AtomicU64::new(0))),
            series: Table::new(series_max),
            histograms: Table::new(series_max),
            reasons: Table::new(REASONS_MAX),
            endpoints: Table::new(ENDPOINTS_MAX),
            endpoint_other: Padded::default(),
        })
    }
}
