//! `GET /metrics`: the workers' shards, added up, and what control knows, in Prometheus' text format.

use std::collections::BTreeMap;

use super::labels::{OTHER_LABEL, Words};
use super::prometheus::{Kind, Page, seconds};
use super::serve::Reply;
use super::state::{Control, Live, Standing, address_text};
use crate::log::{operator, panics};
use crate::net::DriverInfo;
use crate::shard::{BUCKET_COUNT, BUCKETS, Count, EndpointCount, Reader};

/// A family that is one count of all workers.
type Plain = (Count, Kind, &'static str, &'static str);

const PLAIN: [Plain; 14] = [
    (Count::ConnectionsActive, Kind::Gauge, "http_active_connections", "Open client connections."),
    (Count::ExchangesActive, Kind::Gauge, "ringway_exchanges_active", "Requests in progress."),
    (
        Count::TunnelsActive,
        Kind::Gauge,
        "ringway_tunnels_active",
        "Upgraded connections, such as WebSockets.",
    ),
    (
        Count::ConnectionsAccepted,
        Kind::Counter,
        "ringway_connections_accepted_total",
        "Client connections that were accepted.",
    ),
    (
        Count::ConnectionsShed,
        Kind::Counter,
        "ringway_connections_shed_total",
        "Client connections that were closed over server.max_connections.",
    ),
    (
        Count::ConnectionsPerIpRefused,
        Kind::Counter,
        "ringway_connections_per_ip_refused_total",
        "Client connections that were closed over limits.connections_per_ip.",
    ),
    (
        Count::ProxyHeaderRefused,
        Kind::Counter,
        "ringway_proxy_header_refused_total",
        "Connections that were closed for a missing or bad PROXY header.",
    ),
    (
        Count::Http2Connections,
        Kind::Counter,
        "ringway_http2_connections_total",
        "Client connections that spoke HTTP/2.",
    ),
    (
        Count::Http2Floods,
        Kind::Counter,
        "ringway_http2_floods_total",
        "HTTP/2 connections that were closed because they sent too much of something.",
    ),
    (
        Count::Http2ProtocolErrors,
        Kind::Counter,
        "ringway_http2_protocol_errors_total",
        "HTTP/2 connections that were closed for a breach of the protocol.",
    ),
    (
        Count::AcceptErrors,
        Kind::Counter,
        "ringway_accept_errors_total",
        "Errors when accepting a connection.",
    ),
    (
        Count::SeriesOverflowed,
        Kind::Counter,
        "ringway_series_overflowed_total",
        "Counts under _other because a table was full.",
    ),
    (
        Count::BytesIn,
        Kind::Counter,
        "ringway_received_bytes_total",
        "Bytes of finished requests, heads included.",
    ),
    (
        Count::BytesOut,
        Kind::Counter,
        "ringway_sent_bytes_total",
        "Bytes of finished responses, heads included.",
    ),
];

/// A family with one count per endpoint.
type PerEndpoint = (EndpointCount, Kind, &'static str, &'static str);

const PER_ENDPOINT: [PerEndpoint; 10] = [
    (
        EndpointCount::Attempts,
        Kind::Counter,
        "ringway_upstream_attempts_total",
        "Attempts to have a request answered.",
    ),
    (
        EndpointCount::Failures,
        Kind::Counter,
        "ringway_upstream_failures_total",
        "Attempts that failed before a response head.",
    ),
    (EndpointCount::Retries, Kind::Counter, "ringway_upstream_retries_total", "Attempts after the first."),
    (
        EndpointCount::Replays,
        Kind::Counter,
        "ringway_upstream_replays_total",
        "Attempts sent once more because a reused connection died.",
    ),
    (
        EndpointCount::ConnectsOk,
        Kind::Counter,
        "ringway_upstream_connects_total",
        "Connections that were opened.",
    ),
    (
        EndpointCount::ConnectsFailed,
        Kind::Counter,
        "ringway_upstream_connect_failures_total",
        "Connections that could not be opened.",
    ),
    (
        EndpointCount::Reused,
        Kind::Counter,
        "ringway_upstream_reuses_total",
        "Attempts that found an idle connection.",
    ),
    (
        EndpointCount::IdleClosed,
        Kind::Counter,
        "ringway_upstream_idle_closed_total",
        "Idle connections that their endpoint closed.",
    ),
    (EndpointCount::Idle, Kind::Gauge, "ringway_upstream_connections_idle", "Idle connections in the pools."),
    (EndpointCount::Active, Kind::Gauge, "ringway_upstream_connections_active", "Connections in use."),
];

/// One histogram, added up.
#[derive(Default)]
struct Durations {
    buckets: [u64; BUCKET_COUNT],
    sum_ns: u64,
}

impl Control {
    /// The metrics server's answer to a path.
    pub(super) fn metrics_page(&self, path: &str) -> Reply {
        if path != "/metrics" {
            return Reply::text(404, "GET /metrics\n");
        }
        let mut page = Page::default();
        let live = self.live.borrow();
        let readers: Vec<&Reader> = self.workers.iter().map(|worker| &worker.reader).collect();
        requests(&mut page, &readers, &live);
        durations(&mut page, &readers, &live);
        for (count, kind, name, help) in PLAIN {
            page.single(name, kind, help, total(&readers, count));
        }
        handshakes(&mut page, &readers);
        reasons(&mut page, &readers);
        endpoints(&mut page, &readers, &live);
        health(&mut page, &live);
        certificates(&mut page, &live);
        self.of_workers(&mut page);
        self.of_control(&mut page, &live);
        Reply {
            status: 200,
            content_type: "text/plain; version=0.0.4; charset=utf-8",
            body: page.into_text().into(),
        }
    }

    fn of_workers(&self, page: &mut Page) {
        page.family("ringway_worker_connections", Kind::Gauge, "Open client connections of a worker.");
        for (id, worker) in self.workers.iter().enumerate() {
            let value = worker.reader.count(Count::ConnectionsActive);
            page.sample("ringway_worker_connections", &[("worker", &id.to_string())], value);
        }
        page.family("ringway_worker_epoch", Kind::Gauge, "The configuration that a worker has seated.");
        for (id, worker) in self.workers.iter().enumerate() {
            page.sample("ringway_worker_epoch", &[("worker", &id.to_string())], worker.seated.get().0);
        }
        page.family("ringway_worker_up", Kind::Gauge, "Whether a worker runs.");
        let mut drivers: BTreeMap<(&str, &str), u64> = BTreeMap::new();
        for (id, worker) in self.workers.iter().enumerate() {
            let standing = worker.standing.borrow();
            let up = match &*standing {
                Standing::Running(DriverInfo { driver, flags, .. }) => {
                    drivers.insert((driver, flags), 1);
                    1
                }
                Standing::Starting | Standing::Ended => 0,
            };
            page.sample("ringway_worker_up", &[("worker", &id.to_string())], up);
        }
        page.family("ringway_driver_info", Kind::Gauge, "The driver that workers run on.");
        for ((driver, flags), one) in drivers {
            page.sample("ringway_driver_info", &[("driver", driver), ("flags", flags)], one);
        }
    }

    fn of_control(&self, page: &mut Page, live: &Live) {
        page.family("ringway_build_info", Kind::Gauge, "The version that runs.");
        page.sample("ringway_build_info", &[("version", env!("CARGO_PKG_VERSION"))], 1);
        let started = self.began_wall.as_secs();
        let help = "When the process started, since the Unix epoch.";
        page.single("process_start_time_seconds", Kind::Gauge, help, started);
        let help = "Defects of Ringway that ended what it was doing, such as one connection.";
        page.single("ringway_panics_total", Kind::Counter, help, panics::count());
        page.single(
            "ringway_config_epoch",
            Kind::Gauge,
            "The configuration in force.",
            live.snapshot.epoch.0,
        );
        page.family("ringway_config_reloads_total", Kind::Counter, "Reloads, by how they ended.");
        for (result, count) in [("done", live.tally.reloads_done), ("refused", live.tally.reloads_refused)] {
            page.sample("ringway_config_reloads_total", &[("result", result)], count);
        }
        page.family(
            "ringway_dns_failures_total",
            Kind::Counter,
            "Look-ups of an endpoint's name that failed.",
        );
        for (name, count) in &live.tally.lookups_failed {
            page.sample("ringway_dns_failures_total", &[("name", name)], *count);
        }
        page.family("ringway_log_lines_dropped_total", Kind::Counter, "Log lines that were not written.");
        let behind: u64 = self.workers.iter().map(|worker| worker.reader.count(Count::LogLinesDropped)).sum();
        let dropped = [
            ("access", "behind", behind),
            ("access", "error", self.access.lost()),
            ("operator", "behind", operator::dropped()),
        ];
        for (log, cause, count) in dropped {
            page.sample("ringway_log_lines_dropped_total", &[("log", log), ("cause", cause)], count);
        }
    }
}

fn total(readers: &[&Reader], count: Count) -> u64 {
    readers.iter().map(|reader| reader.count(count)).sum()
}

fn requests(page: &mut Page, readers: &[&Reader], live: &Live) {
    let mut sums: BTreeMap<(Words<'_>, u16), u64> = BTreeMap::new();
    for series in readers.iter().flat_map(|reader| reader.series()) {
        *sums.entry((live.labels.words(series.key), series.key.status)).or_default() += series.count;
    }
    let name = "http_requests_total";
    page.family(name, Kind::Counter, "Requests, by method, route, status (0: none was sent) and upstream.");
    for ((words, status), count) in sums {
        let status = status.to_string();
        let labels = [
            ("method", words.method),
            ("endpoint", words.endpoint),
            ("status", &status),
            ("service", words.service),
        ];
        page.sample(name, &labels, count);
    }
}

fn durations(page: &mut Page, readers: &[&Reader], live: &Live) {
    let mut sums: BTreeMap<Words<'_>, Durations> = BTreeMap::new();
    for histogram in readers.iter().flat_map(|reader| reader.histograms()) {
        let sum = sums.entry(live.labels.words(histogram.key)).or_default();
        for (bucket, n) in sum.buckets.iter_mut().zip(histogram.buckets) {
            *bucket += n;
        }
        sum.sum_ns = sum.sum_ns.saturating_add(histogram.sum_ns);
    }
    let help = "From a request's first byte to its response's last, by method, route and upstream.";
    page.family("http_request_duration_seconds", Kind::Histogram, help);
    for (words, durations) in sums {
        let labels = [("method", words.method), ("endpoint", words.endpoint), ("service", words.service)];
        let mut so_far = 0;
        let bounds = BUCKETS.iter().map(|(_, text)| *text).chain(["+Inf"]);
        for (bound, n) in bounds.zip(durations.buckets) {
            so_far += n;
            let [method, endpoint, service] = labels;
            page.sample(
                "http_request_duration_seconds_bucket",
                &[method, endpoint, service, ("le", bound)],
                so_far,
            );
        }
        page.sample("http_request_duration_seconds_sum", &labels, seconds(durations.sum_ns));
        page.sample("http_request_duration_seconds_count", &labels, so_far);
    }
}

/// What reasons of handshakes begin with, which are no requests.
const HANDSHAKE: &str = "handshake.";

fn handshakes(page: &mut Page, readers: &[&Reader]) {
    let name = "ringway_tls_handshakes_total";
    page.family(name, Kind::Counter, "TLS handshakes of clients, by result.");
    let results = [
        ("full", Count::HandshakesFull),
        ("resumed", Count::HandshakesResumed),
        ("failed", Count::HandshakesFailed),
    ];
    for (result, count) in results {
        page.sample(name, &[("result", result)], total(readers, count));
    }
    let mut sums: BTreeMap<&str, u64> = BTreeMap::new();
    for (word, count) in readers.iter().flat_map(|reader| reader.reasons()) {
        if word.starts_with(HANDSHAKE) {
            *sums.entry(word).or_default() += count;
        }
    }
    let name = "ringway_tls_handshake_failures_total";
    page.family(name, Kind::Counter, "TLS handshakes of clients that failed, by reason.");
    for (word, count) in sums {
        page.sample(name, &[("reason", word)], count);
    }
}

fn reasons(page: &mut Page, readers: &[&Reader]) {
    let mut sums: BTreeMap<&str, u64> = BTreeMap::new();
    for (word, count) in readers.iter().flat_map(|reader| reader.reasons()) {
        if !word.starts_with(HANDSHAKE) {
            *sums.entry(word).or_default() += count;
        }
    }
    let name = "ringway_requests_by_reason_total";
    page.family(name, Kind::Counter, "Requests that Ringway answered itself or cut, by reason.");
    for (word, count) in sums {
        page.sample(name, &[("reason", word)], count);
    }
}

fn endpoints(page: &mut Page, readers: &[&Reader], live: &Live) {
    // Numbers differ in meaning only by their words: those of the same words are added.
    let mut known: BTreeMap<(&str, &str), Vec<u32>> = BTreeMap::new();
    for (metric, upstream, endpoint) in live.labels.endpoints() {
        known.entry((upstream, endpoint)).or_default().push(metric);
    }
    for (count, kind, name, help) in PER_ENDPOINT {
        page.family(name, kind, help);
        for ((upstream, endpoint), metrics) in &known {
            let readings = readers
                .iter()
                .flat_map(|reader| metrics.iter().filter_map(|metric| reader.endpoint(*metric)));
            let sum: u64 = readings.map(|reading| reading.count(count)).sum();
            page.sample(name, &[("service", upstream), ("endpoint", endpoint)], sum);
        }
        let other: u64 = readers.iter().map(|reader| reader.endpoint_other().count(count)).sum();
        if other > 0 {
            page.sample(name, &[("service", OTHER_LABEL), ("endpoint", OTHER_LABEL)], other);
        }
    }
}

fn certificates(page: &mut Page, live: &Live) {
    let name = "ringway_certificate_expiry_timestamp_seconds";
    page.family(name, Kind::Gauge, "When a certificate of a listener expires, in seconds since 1970.");
    for listener in &live.snapshot.listeners {
        let Some(tls) = &listener.tls else { continue };
        for certificate in tls.certificates.all() {
            let first = certificate.names.first().map(ToString::to_string).unwrap_or_default();
            let key = certificate.kind.to_string();
            let labels = [("listener", &*listener.name), ("name", &first), ("key", &key)];
            page.sample(name, &labels, certificate.not_after);
        }
    }
}

fn health(page: &mut Page, live: &Live) {
    let name = "ringway_endpoint_healthy";
    page.family(name, Kind::Gauge, "Whether requests may go to an address of an endpoint.");
    let mut states: BTreeMap<(&str, &str, String), bool> = BTreeMap::new();
    for (upstream, members) in live.snapshot.upstreams.iter().zip(live.directory.iter()) {
        for member in members.iter() {
            let key = (&*upstream.name, &*member.endpoint, address_text(&member.address));
            states.insert(key, member.healthy);
        }
    }
    for ((service, endpoint, address), healthy) in &states {
        let labels = [("service", *service), ("endpoint", *endpoint), ("address", address)];
        page.sample(name, &labels, u8::from(*healthy));
    }
    let name = "ringway_health_checks_total";
    page.family(name, Kind::Counter, "Active health checks, by result.");
    for ((service, endpoint), (passed, failed)) in &live.tally.checks {
        for (result, count) in [("passed", passed), ("failed", failed)] {
            page.sample(name, &[("service", service), ("endpoint", endpoint), ("result", result)], *count);
        }
    }
}
