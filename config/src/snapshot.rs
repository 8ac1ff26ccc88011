//! The snapshot: everything that the file says, checked, resolved and immutable.

mod limits;

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use ringway_filters::registry::FilterConfig;

pub use self::limits::{Http2Limits, Limits};
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
    /// What is asked.
    pub question: Question,
    /// From the start of one check to the next.
    pub interval: Duration,
    /// For one check.
    pub timeout: Duration,
    /// Failures in a row.
    pub unhealthy_after: u32,
    /// Successes in a row.
    pub healthy_after: u32,
}

/// What a health check asks, and what counts as healthy. Either is asked in the upstream's protocol.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Question {
    /// A GET.
    Http {
        /// Its path.
        path: Arc<str>,
        /// The `Host` to send; the endpoint's own when absent.
        host: Option<Arc<str>>,
        /// The statuses that count as healthy.
        expect: Vec<u16>,
    },
    /// A call of the standard gRPC health protocol; `SERVING` counts as healthy. Only with HTTP/2.
    Grpc {
        /// The service asked about; empty for the endpoint as a whole.
        service: Arc<str>,
    },
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
    /// What becomes of gRPC-web (`grpc_web`).
    pub grpc_web: GrpcWeb,
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

/// `grpc_web`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum GrpcWeb {
    /// It passes as it is.
    #[default]
    Pass,
    /// It is translated to gRPC, and the answer back.
    Translate,
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
