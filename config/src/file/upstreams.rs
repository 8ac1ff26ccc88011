//! `[upstreams.NAME]` as it is typed.

use std::sync::Arc;
use std::time::Duration;

use super::reader::{Table, Text, Value};
use super::tls::{self, UpstreamTls};
use super::{address, health};
use crate::snapshot::{Address, HealthCheck, Protocol};

/// The most endpoints of one upstream.
const ENDPOINTS_MAX: usize = 1_000;
/// The most idle connections kept per endpoint by each worker.
const KEEPALIVE_MAX: u64 = 10_000;
const WEIGHT_MAX: u64 = 65_535;
const WEIGHT: u64 = 100;
/// Exchanges at once on one connection: the default, and the most.
const STREAMS: u64 = 100;
const STREAMS_MAX: u64 = 10_000;

const MILLISECOND: Duration = Duration::from_millis(1);
const MINUTE: Duration = Duration::from_secs(60);

/// An upstream; it refers to nothing.
pub(crate) struct Upstream<'a> {
    pub(crate) name: &'a str,
    pub(crate) at: usize,
    pub(crate) endpoints: Vec<Endpoint>,
    pub(crate) keepalive: u64,
    pub(crate) keepalive_timeout: Duration,
    pub(crate) connect_timeout: Duration,
    pub(crate) health: Option<HealthCheck>,
    pub(crate) base_path: String,
    pub(crate) tls: Option<UpstreamTls<'a>>,
    pub(crate) protocol: Protocol,
    pub(crate) streams_max: u32,
}

/// One entry of `endpoints`.
pub(crate) struct Endpoint {
    pub(crate) text: Arc<str>,
    pub(crate) address: Address,
    pub(crate) weight: u32,
}

/// Reads one upstream.
pub(crate) fn read<'a>(name: &'a str, value: &Value<'a>) -> Option<Upstream<'a>> {
    let mut table = value.table("upstreams.NAME")?;
    let at = table.at;
    let endpoints = read_endpoints(&mut table);
    // The key stands in the file, so that a reader sees which one it is; there is one so far.
    table.word("balance", &[("round-robin", ())], ());
    let keepalive = table.number("keepalive", 32, 0..=KEEPALIVE_MAX);
    let keepalive_timeout = table.duration(
        "keepalive_timeout",
        Duration::from_secs(60),
        Duration::from_millis(100)..=60 * MINUTE,
    );
    let connect_timeout = table.duration("connect_timeout", Duration::from_secs(1), MILLISECOND..=5 * MINUTE);
    let base_path = read_base_path(&mut table);
    let has_tls = table.peek_at("tls").is_some();
    let tls = tls::read_upstream(&mut table);
    check_names(&table, &endpoints, tls.as_ref());
    let (protocol, streams_max) =
        read_protocol(&mut table, tls.is_some() || has_tls && value.sink.has_errors());
    let health = health::read(&mut table, protocol);
    table.close_section(&super::section_name("upstreams", name));
    Some(Upstream {
        name,
        at,
        endpoints,
        keepalive,
        keepalive_timeout,
        connect_timeout,
        health,
        base_path,
        tls,
        protocol,
        streams_max,
    })
}

fn read_protocol(table: &mut Table<'_>, has_tls: bool) -> (Protocol, u32) {
    let words = [("http1", Protocol::Http1), ("http2", Protocol::Http2), ("auto", Protocol::Auto)];
    let at = table.peek_at("protocol").unwrap_or(table.at);
    let protocol = table.word("protocol", &words, Protocol::Http1);
    if protocol == Protocol::Auto && !has_tls {
        let message = "only a TLS handshake can choose; write \"http1\" or \"http2\", or add `tls = true`";
        table.sink.error(at, message);
    }
    if protocol == Protocol::Http1 {
        if let Some(value) = table.take("streams") {
            let message = "`streams` is about HTTP/2; write `protocol = \"http2\"`, or remove it";
            value.sink.error(value.key_at, message);
        }
        return (protocol, 1);
    }
    (protocol, u32::try_from(table.number("streams", STREAMS, 1..=STREAMS_MAX)).unwrap_or(1))
}

/// A socket's path is no name that a certificate could be for.
fn check_names(table: &Table<'_>, endpoints: &[Endpoint], tls: Option<&UpstreamTls<'_>>) {
    let is_unix = |endpoint: &Endpoint| matches!(endpoint.address, Address::Unix(_));
    if let Some(tls) = tls.filter(|tls| tls.server_name.is_none())
        && endpoints.iter().any(is_unix)
    {
        let message =
            "a Unix socket has no name to ask for; write `tls = { server_name = \"api.internal\" }`";
        table.sink.error(tls.at, message);
    }
}

fn read_endpoints(table: &mut Table<'_>) -> Vec<Endpoint> {
    let Some(value) = table.take("endpoints") else {
        table.missing("endpoints", "endpoints = [\"127.0.0.1:3000\"]");
        return Vec::new();
    };
    let Some(items) = value.list("a list of endpoints, such as [\"127.0.0.1:3000\"]") else {
        return Vec::new();
    };
    if items.is_empty() {
        value
            .sink
            .error(value.at, "an upstream has at least one endpoint; write for example \"127.0.0.1:3000\"");
    }
    if items.len() > ENDPOINTS_MAX {
        let message = format!("an upstream has at most {ENDPOINTS_MAX} endpoints, found {}", items.len());
        value.sink.error(value.at, message);
    }
    let mut endpoints: Vec<Endpoint> = Vec::with_capacity(items.len());
    let mut shown = Vec::new();
    for item in items {
        let read = read_endpoint(&item, &mut shown);
        let Some(endpoint) = read else { continue };
        if endpoints.iter().any(|other| other.text == endpoint.text) {
            value.sink.error(item.at, "this endpoint is there twice; give it a `weight` instead");
        }
        endpoints.push(endpoint);
    }
    table.show("endpoints", || format!("[{}]", shown.join(", ")));
    endpoints
}

fn read_endpoint(item: &Value<'_>, shown: &mut Vec<String>) -> Option<Endpoint> {
    let expected =
        "an endpoint, such as \"127.0.0.1:3000\" or { address = \"127.0.0.1:3000\", weight = 100 }";
    let (text, weight) = if item.is_table() {
        let mut table = item.table("upstreams.NAME.endpoints[]")?;
        let Some(address) = table.take("address") else {
            table.missing("address", "address = \"127.0.0.1:3000\"");
            table.finish();
            return None;
        };
        let weight = table.number("weight", WEIGHT, 1..=WEIGHT_MAX);
        shown.push(table.shown_inline());
        table.finish();
        (address.text("an address such as \"127.0.0.1:3000\"")?, weight)
    } else {
        let text = item.text(expected)?;
        shown.push(super::sink::show_inline(&[
            ("address".to_owned(), super::sink::quote(text.typed)),
            ("weight".to_owned(), WEIGHT.to_string()),
        ]));
        (text, WEIGHT)
    };
    let address = read_address(item, &text)?;
    let weight = u32::try_from(weight).ok()?;
    Some(Endpoint { text: Arc::from(text.value), address, weight })
}

fn read_address(item: &Value<'_>, text: &Text<'_>) -> Option<Address> {
    if text.is_unknown {
        // Nothing is known of it, and nothing connects to it: references are only left alone when a file is checked.
        return Some(Address::Name(Arc::from(text.typed), 0));
    }
    match address::parse_endpoint(&text.value, item.sink.base) {
        Ok(address) => Some(address),
        Err(message) => {
            item.sink.error(text.at, text.found(&message));
            None
        }
    }
}

fn read_base_path(table: &mut Table<'_>) -> String {
    let Some(value) = table.take("path") else { return String::new() };
    let Some(text) = value.text("a path such as \"/users\"") else { return String::new() };
    if !check_target(&value, &text) {
        return String::new();
    }
    if text.value.contains('?') {
        value.sink.error(value.at, "a base path has no query; leave out what follows the `?`");
    }
    text.value.trim_end_matches('/').to_owned()
}

/// A path as it is sent: visible ASCII without a fragment, from a `/` on.
pub(super) fn check_target(value: &Value<'_>, text: &Text<'_>) -> bool {
    let sent = text.value.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#');
    let valid = text.is_unknown || (text.value.starts_with('/') && sent);
    if !valid {
        let message = "expected a path that starts with `/`, of visible ASCII without `#`";
        value.sink.error(value.at, text.found(message));
    }
    valid
}
