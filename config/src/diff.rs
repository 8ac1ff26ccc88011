//! What a reload changed, in lines for the log: which listener, route or upstream came, went, or has another value in
//! which keys. Values are only shown where they cannot hold a secret.

use std::collections::{HashMap, HashSet};
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use crate::file::values::show_duration;
use crate::routes::{RouteRule, Routes};
use crate::snapshot::{
    AccessSink, Address, Limits, Listener, ListenerId, Route, RouteId, Snapshot, Terminal, Upstream,
};

/// The most lines; how many more there are is the last one.
const LINES_MAX: usize = 100;

/// What is different in `new`, one line for each thing that changed.
pub fn diff(old: &Snapshot, new: &Snapshot) -> Vec<String> {
    let mut lines = Vec::new();
    sections(old, new, &mut lines);
    named("listeners", &old.listeners, &new.listeners, |listener| &listener.name, listener, &mut lines);
    let ends = (Ends::new(old), Ends::new(new));
    let (before, after) = (routes(&old.routes), routes(&new.routes));
    named(
        "routes",
        &before,
        &after,
        |(route, _)| &route.name,
        |a, b, changed| route((a, &ends.0), (b, &ends.1), changed),
        &mut lines,
    );
    named("upstreams", &old.upstreams, &new.upstreams, |upstream| &upstream.name, upstream, &mut lines);
    let more = lines.len().saturating_sub(LINES_MAX);
    lines.truncate(LINES_MAX);
    if more > 0 {
        lines.push(format!("and {more} more"));
    }
    lines
}

/// What changed in one thing: its keys, some with both values.
#[derive(Default)]
struct Changed(Vec<String>);

impl Changed {
    /// A key whose values may hold anything.
    fn key<T: PartialEq + ?Sized>(&mut self, key: &str, old: &T, new: &T) {
        if old != new {
            self.0.push(key.to_owned());
        }
    }

    /// A key whose values are shown.
    fn value<T: PartialEq>(&mut self, key: &str, old: T, new: T, show: impl Fn(T) -> String) {
        if old != new {
            self.0.push(format!("{key} {} -> {}", show(old), show(new)));
        }
    }

    fn plain<T: PartialEq + ToString>(&mut self, key: &str, old: T, new: T) {
        self.value(key, old, new, |value| value.to_string());
    }

    fn time(&mut self, key: &str, old: Duration, new: Duration) {
        self.value(key, old, new, show_duration);
    }

    fn line(self, name: &str, lines: &mut Vec<String>) {
        if !self.0.is_empty() {
            lines.push(format!("changed {name}: {}", self.0.join(", ")));
        }
    }
}

/// Compares what goes by a name.
fn named<T>(
    kind: &str,
    old: &[T],
    new: &[T],
    name: impl Fn(&T) -> &Arc<str>,
    compare: impl Fn(&T, &T, &mut Changed),
    lines: &mut Vec<String>,
) {
    let before: HashMap<&Arc<str>, &T> = old.iter().map(|item| (name(item), item)).collect();
    let after: HashSet<&Arc<str>> = new.iter().map(&name).collect();
    for item in old.iter().map(&name).filter(|name| !after.contains(name)) {
        lines.push(format!("removed {kind}.{item}"));
    }
    for item in new {
        let name = name(item);
        let Some(was) = before.get(name) else {
            lines.push(format!("added {kind}.{name}"));
            continue;
        };
        let mut changed = Changed::default();
        compare(was, item, &mut changed);
        changed.line(&format!("{kind}.{name}"), lines);
    }
}

fn sections(old: &Snapshot, new: &Snapshot, lines: &mut Vec<String>) {
    let (a, b) = (&old.server, &new.server);
    let mut changed = Changed::default();
    changed.key("workers", &a.workers, &b.workers);
    changed.time("drain_timeout", a.drain_timeout, b.drain_timeout);
    changed.time("drain_delay", a.drain_delay, b.drain_delay);
    changed.key("driver", &a.driver, &b.driver);
    changed.plain("max_connections", a.max_connections, b.max_connections);
    changed.key("trusted_proxies", &a.trusted_proxies, &b.trusted_proxies);
    changed.plain("share_addresses", a.share_addresses, b.share_addresses);
    changed.key("state_dir", &a.state_dir, &b.state_dir);
    changed.line("server", lines);
    let (a, b) = (&old.log, &new.log);
    let mut changed = Changed::default();
    changed.value("level", a.level, b.level, |level| format!("{level:?}").to_lowercase());
    changed.value("format", a.format, b.format, |format| format!("{format:?}").to_lowercase());
    changed.value("access", &a.access, &b.access, show_sink);
    changed.line("log", lines);
    for (key, a, b) in [("metrics", old.metrics, new.metrics), ("admin", old.admin, new.admin)] {
        let mut changed = Changed::default();
        let show = |bind: Option<std::net::SocketAddr>| {
            bind.map_or_else(|| "off".to_owned(), |bind| bind.to_string())
        };
        changed.value("bind", a, b, show);
        changed.line(key, lines);
    }
}

fn show_sink(sink: &AccessSink) -> String {
    match sink {
        AccessSink::Off => "off".to_owned(),
        AccessSink::Stdout => "stdout".to_owned(),
        AccessSink::File(path) => path.display().to_string(),
    }
}

fn listener(a: &Listener, b: &Listener, changed: &mut Changed) {
    changed.value("bind", &a.bind, &b.bind, |bind| {
        let shown: Vec<String> = bind.iter().map(show_address).collect();
        shown.join(" ")
    });
    changed.key("redirect_https", &a.redirect_https, &b.redirect_https);
    changed.plain("proxy_protocol", a.proxy_protocol, b.proxy_protocol);
    let print = |listener: &Listener| listener.tls.as_ref().map(|tls| tls.fingerprint);
    changed.key("tls", &print(a), &print(b));
    changed.plain("http2", a.http2, b.http2);
    limits(&a.limits, &b.limits, "body", changed);
}

fn limits(a: &Limits, b: &Limits, body: &str, changed: &mut Changed) {
    changed.key("head", &a.head.head_bytes_max, &b.head.head_bytes_max);
    changed.key("fields", &a.head.fields_max, &b.head.fields_max);
    changed.key("uri", &a.head.uri_bytes_max, &b.head.uri_bytes_max);
    changed.key(body, &a.body_bytes_max, &b.body_bytes_max);
    changed.time("header_timeout", a.header_timeout, b.header_timeout);
    changed.time("body_timeout", a.body_timeout, b.body_timeout);
    changed.time("idle_timeout", a.idle_timeout, b.idle_timeout);
    changed.time("tunnel_timeout", a.tunnel_timeout, b.tunnel_timeout);
    changed.key("requests_per_connection", &a.requests_per_connection, &b.requests_per_connection);
    changed.key("connections_per_ip", &a.connections_per_ip, &b.connections_per_ip);
    changed.key("min_rate", &a.min_rate, &b.min_rate);
    changed.time("handshake_timeout", a.handshake_timeout, b.handshake_timeout);
    changed.key("connection_age", &a.connection_age, &b.connection_age);
    changed.key("tunnel_age", &a.tunnel_age, &b.tunnel_age);
    for ((key, a), (_, b)) in a.http2.counts().into_iter().zip(b.http2.counts()) {
        changed.plain(key, a, b);
    }
}

/// What routes refer to by number.
struct Ends<'a> {
    listeners: &'a [Listener],
    upstreams: &'a [Upstream],
}

impl<'a> Ends<'a> {
    fn new(snapshot: &'a Snapshot) -> Self {
        Self { listeners: &snapshot.listeners, upstreams: &snapshot.upstreams }
    }

    fn listeners(&self, ids: &[ListenerId]) -> Vec<&'a str> {
        ids.iter()
            .filter_map(|id| self.listeners.get(id.0 as usize))
            .map(|listener| &*listener.name)
            .collect()
    }
}

fn routes(routes: &Routes) -> Vec<(&Route, Option<&RouteRule>)> {
    let numbered = (0u32..).zip(routes.all());
    numbered.map(|(number, route)| (route, routes.rule(RouteId(number)))).collect()
}

type Seen<'a> = (&'a (&'a Route, Option<&'a RouteRule>), &'a Ends<'a>);

fn route(((a, a_rule), a_ends): Seen<'_>, ((b, b_rule), b_ends): Seen<'_>, changed: &mut Changed) {
    if let (Some(a), Some(b)) = (a_rule, b_rule) {
        changed.plain("priority", a.priority, b.priority);
        changed.key("match.hosts", &a.hosts, &b.hosts);
        changed.plain("match", a.path.to_string(), b.path.to_string());
        changed.key("match.methods", &a.methods, &b.methods);
        changed.key("match.headers", &a.headers, &b.headers);
        changed.key("match.query", &a.query, &b.query);
        changed.key("listeners", &a_ends.listeners(&a.listeners), &b_ends.listeners(&b.listeners));
    }
    match (&a.terminal, &b.terminal) {
        (Terminal::Proxy(a), Terminal::Proxy(b)) => {
            let name = |ends: &Ends<'_>, number: u32| {
                ends.upstreams
                    .get(number as usize)
                    .map_or_else(String::new, |upstream| upstream.name.to_string())
            };
            changed.plain("upstream", name(a_ends, a.0), name(b_ends, b.0));
        }
        (Terminal::Static(a), Terminal::Static(b)) => changed.key("static", a, b),
        (Terminal::Respond(a), Terminal::Respond(b)) => changed.key("respond", a, b),
        (a, b) => changed.plain("answered by", terminal(a), terminal(b)),
    }
    changed.time("timeout", a.timeout, b.timeout);
    limits(&a.limits, &b.limits, "max_body", changed);
    changed.key("retry", &a.retry, &b.retry);
    changed.key("rewrite", &debug(&a.rewrite), &debug(&b.rewrite));
    changed.plain("preserve_host", a.preserve_host, b.preserve_host);
    changed.key("grpc_web", &a.grpc_web, &b.grpc_web);
    let is_same =
        a.filters.len() == b.filters.len() && a.filters.iter().zip(&b.filters).all(|(a, b)| a.is_same_as(b));
    changed.key("filters", &true, &is_same);
    changed.key("errors", &a.errors, &b.errors);
    changed.plain("access_log", a.access_log, b.access_log);
    changed.plain("reason_header", a.reason_header, b.reason_header);
    changed.key("client_certificate", &a.client_certificate, &b.client_certificate);
    changed.key(
        "redirect_https",
        &a_ends.listeners(&a.served_in_clear),
        &b_ends.listeners(&b.served_in_clear),
    );
}

fn terminal(terminal: &Terminal) -> &'static str {
    match terminal {
        Terminal::Proxy(_) => "upstream",
        Terminal::Static(_) => "static",
        Terminal::Respond(_) => "respond",
    }
}

fn debug(value: &impl Debug) -> String {
    format!("{value:?}")
}

fn upstream(a: &Upstream, b: &Upstream, changed: &mut Changed) {
    changed.value("endpoints", endpoints(a), endpoints(b), |endpoints| endpoints.join(" "));
    changed.plain("keepalive", a.keepalive, b.keepalive);
    changed.time("keepalive_timeout", a.keepalive_timeout, b.keepalive_timeout);
    changed.time("connect_timeout", a.connect_timeout, b.connect_timeout);
    changed.key("health", &a.health, &b.health);
    changed.plain("path", &*a.base_path, &*b.base_path);
    let print = |upstream: &Upstream| upstream.tls.as_ref().map(|tls| tls.fingerprint);
    changed.key("tls", &print(a), &print(b));
    changed.key("protocol", &a.protocol, &b.protocol);
    changed.plain("streams", a.streams_max, b.streams_max);
}

fn endpoints(upstream: &Upstream) -> Vec<String> {
    upstream.endpoints.iter().map(|endpoint| format!("{}*{}", endpoint.text, endpoint.weight)).collect()
}

fn show_address(address: &Address) -> String {
    match address {
        Address::Socket(address) => address.to_string(),
        Address::Unix(path) => format!("unix:{}", path.display()),
        Address::Name(name, port) => format!("{name}:{port}"),
    }
}
