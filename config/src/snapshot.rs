//! The snapshot: everything that the file says, checked, resolved and immutable.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use ringway_filters::registry::FilterConfig;

use crate::rewrite::Rewrite;
use crate::routes::Routes;
use crate::tls::{ListenerTls, UpstreamTls, WatchedFile};

/// Which publication this is; epochs only grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Epoch(pub u64);
/// Index into [`Snapshot::listeners`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ListenerId(pub u32);
/// Index into the routes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RouteId(pub u32);
/// Index into [`Snapshot::upstreams`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UpstreamId(pub u32);

/// A whole configuration.
#[derive(Debug)]
pub struct Snapshot {
    /// Which publication; 0 until control sets it.
    pub epoch: Epoch,
    /// `[server]`.
    pub server: Server,
    /// `[log]`.
    pub log: Log,
    /// `[metrics]`: where `GET /metrics` answers.
    pub metrics: Option<SocketAddr>,
    /// `[admin]`: where the admin API answers.
    pub admin: Option<SocketAddr>,
    /// `[listeners]`, in the file's order.
    pub listeners: Vec<Listener>,
    /// `[upstreams]`, in the file's order.
    pub upstreams: Vec<Upstream>,
    /// `[routes]` and their index.
    pub routes: Routes,
    /// Where all of this was read.
    pub source: Source,
    /// The certificates, keys, authorities and revocation lists that it was made from, each once, by path.
    pub files: Vec<WatchedFile>,
}

/// The text that a snapshot was made from: the effective configuration and the differences are told from it.
#[derive(Debug, Clone)]
pub struct Source {
    /// The file as it was named.
    pub file: Arc<str>,
    /// Its text; references stand in it, not what they stand for.
    pub text: Arc<str>,
    /// What relative paths are relative to.
    pub base: Arc<Path>,
}

/// `[server]`.
#[derive(Debug, Clone)]
pub struct Server {
    /// How many workers, or on which CPUs.
    pub workers: Workers,
    /// How long a drain may take.
    pub drain_timeout: Duration,
    /// How long readiness is red, and connections are still taken, before the drain.
    pub drain_delay: Duration,
    /// Which driver may run.
    pub driver: Driver,
    /// Connections over all workers.
    pub max_connections: usize,
    /// Whose forwarding fields and PROXY lines are believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Whether another instance may listen on the same addresses (`share_addresses`, default false).
    pub share_addresses: bool,
    /// Where the keys of session tickets are kept over restarts (`state_dir`, by default systemd's
    /// `STATE_DIRECTORY`); none: nowhere.
    pub state_dir: Option<PathBuf>,
}

impl Server {
    /// Whether an address is a trusted proxy's.
    pub fn trusts(&self, ip: IpAddr) -> bool {
        self.trusted_proxies.iter().any(|net| net.contains(&ip))
    }
}

/// `workers`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Workers {
    /// One per CPU that the process may use.
    Auto,
    /// That many.
    Count(usize),
    /// One on each of these CPUs.
    Cpus(Vec<usize>),
}

/// `driver`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Driver {
    /// Refuse to start without `io_uring`.
    IoUring,
    /// Fall back to epoll.
    Auto,
    /// Epoll.
    Epoll,
}

/// `[log]`.
#[derive(Debug, Clone)]
pub struct Log {
    /// The least level that is written.
    pub level: Level,
    /// The operator's log.
    pub format: LogFormat,
    /// The access log's place.
    pub access: AccessSink,
}

/// A log level.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Level {
    Error,
    Warn,
    Info,
    Debug,
}

/// A log format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum LogFormat {
    Json,
    Text,
}

/// Where access lines go.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum AccessSink {
    Off,
    Stdout,
    File(PathBuf),
}

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
    /// Streams that were reset, by the client or for its fault, in any [`Http2Limits::WINDOW`] (`h2_resets`).
    pub resets_max: u32,
    /// Frames that move no request and no body, in any [`Http2Limits::WINDOW`] (`h2_control_frames`).
    pub control_frames_max: u32,
}

impl Http2Limits {
    /// What holds when the file says nothing.
    pub const DEFAULT: Self = Self { streams_max: 128, resets_max: 200, control_frames_max: 2_000 };
    /// Over which resets and control frames are counted.
    pub const WINDOW: Duration = Duration::from_secs(10);

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

/// `[listeners.NAME]`.
#[derive(Debug, Clone)]
pub struct Listener {
    /// The name.
    pub name: Arc<str>,
    /// Where it listens.
    pub bind: Vec<Address>,
    /// `redirect_https`.
    pub redirect_https: Option<RedirectHttps>,
    /// Whether a PROXY header is demanded from trusted proxies (and only they may connect).
    pub proxy_protocol: bool,
    /// `tls`; none: in clear.
    pub tls: Option<Arc<ListenerTls>>,
    /// Whether HTTP/2 is spoken: by ALPN over TLS, by prior knowledge in clear.
    pub http2: bool,
    /// The limits in force before a route is known.
    pub limits: Limits,
}

impl Listener {
    /// The scheme of what is served here.
    pub fn scheme(&self) -> &'static str {
        if self.tls.is_some() { "https" } else { "http" }
    }
}

/// `redirect_https`; which routes are excepted is in [`Route::served_in_clear`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RedirectHttps {
    /// The port of the `https` URL; left out of it when 443.
    pub port: u16,
}

/// An address to listen on or to connect to.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Address {
    /// IP and port.
    Socket(SocketAddr),
    /// A Unix socket's path.
    Unix(PathBuf),
    /// A name to resolve, and the port; endpoints only.
    Name(Arc<str>, u16),
}

/// `[upstreams.NAME]`.
#[derive(Debug, Clone)]
pub struct Upstream {
    /// The name.
    pub name: Arc<str>,
    /// Its place in the metrics, stable over reloads.
    pub metric: u32,
    /// At least one.
    pub endpoints: Vec<Endpoint>,
    /// Idle connections kept per endpoint by each worker.
    pub keepalive: usize,
    /// How long one is kept.
    pub keepalive_timeout: Duration,
    /// For one attempt to connect.
    pub connect_timeout: Duration,
    /// Active checks; none: always healthy.
    pub health: Option<HealthCheck>,
    /// Put before the path of each request (`path = "/users"`), without a final slash; empty for none.
    pub base_path: Arc<str>,
    /// `tls`; none: in clear.
    pub tls: Option<Arc<UpstreamTls>>,
    /// What is spoken with it.
    pub protocol: Protocol,
    /// Exchanges at once on one of its HTTP/2 connections, before another is opened (`streams`).
    pub streams_max: u32,
}

/// `protocol`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2: by ALPN over TLS, by prior knowledge in clear.
    Http2,
    /// What ALPN chooses; only over TLS.
    Auto,
}

/// One entry of `endpoints`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// As the operator typed it: its identity.
    pub text: Arc<str>,
    /// Where it is.
    pub address: Address,
    /// Its share; 1 to 65,535, default 100.
    pub weight: u32,
    /// Its place in the metrics.
    pub metric: u32,
}

/// `health`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthCheck {
    /// The path to GET.
    pub path: Arc<str>,
    /// The `Host` to send; the endpoint's own when absent.
    pub host: Option<Arc<str>>,
    /// The statuses that count as healthy.
    pub expect: Vec<u16>,
    /// From the start of one check to the next.
    pub interval: Duration,
    /// For one check.
    pub timeout: Duration,
    /// Failures in a row.
    pub unhealthy_after: u32,
    /// Successes in a row.
    pub healthy_after: u32,
}

/// `[routes.NAME]`, apart from what the index needs.
#[derive(Debug)]
pub struct Route {
    /// The name.
    pub name: Arc<str>,
    /// Its place in the metrics, stable over reloads.
    pub metric: u32,
    /// What answers.
    pub terminal: Terminal,
    /// The whole exchange, upstream side.
    pub timeout: Duration,
    /// The limits in force once the route is known. Shared with the route before, where they are the same:
    /// they are compared for each request, and each route's own would have to be brought into the cache for that.
    pub limits: Arc<Limits>,
    /// Attempts.
    pub retry: Retry,
    /// The path's way to the upstream.
    pub rewrite: Rewrite,
    /// Whether the client's `Host` goes to the upstream; otherwise the endpoint's.
    pub preserve_host: bool,
    /// The filters in their order: those of `use`, then the route's own `request` and `response`.
    pub filters: Vec<Arc<FilterConfig>>,
    /// The form of errors.
    pub errors: ErrorFormat,
    /// Whether exchanges are logged.
    pub access_log: bool,
    /// Whether `X-Ringway-Reason` is added to the gateway's own answers (`reason_header = true`).
    pub reason_header: bool,
    /// Whether only a client that has shown a certificate is served.
    pub client_certificate: ClientCertificate,
    /// Listeners whose `redirect_https` does not apply to this route.
    pub served_in_clear: Vec<ListenerId>,
}

/// `client_certificate`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ClientCertificate {
    /// Where the listener lets a client through, so does the route.
    #[default]
    AsListener,
    /// Only a client that has shown a certificate is served.
    Required,
}

/// What answers a route's requests.
#[derive(Debug)]
pub enum Terminal {
    /// An upstream.
    Proxy(UpstreamId),
    /// Files.
    Static(StaticFiles),
    /// The gateway itself.
    Respond(Respond),
}

/// `static`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StaticFiles {
    /// The folder, absolute.
    pub root: PathBuf,
    /// The file that stands for a folder.
    pub index: String,
    /// The route's prefix, which is stripped before the file is looked up; empty for none.
    pub prefix: String,
}

/// `respond`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Respond {
    /// 200 while the process lives, with the upstreams' state as JSON.
    Health,
    /// 200 while it takes requests, 503 when draining.
    Ready,
    /// A fixed answer.
    Fixed {
        /// Its status.
        status: u16,
        /// Its body.
        body: Arc<[u8]>,
        /// Its `Content-Type`.
        content_type: Arc<str>,
    },
}

/// `retry`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retry {
    /// Attempts, the first included; at least 1.
    pub attempts: u32,
    /// Statuses that are tried again, sorted.
    pub on: Vec<u16>,
}

/// `errors`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(missing_docs, reason = "the names say it")]
pub enum ErrorFormat {
    #[default]
    Json,
    Text,
    Problem,
}
