//! `[limits]`, and the same names where a listener or a route narrows them.

use std::time::Duration;

use super::reader::{Table, Value};
use super::sink::quote;
use super::values;
use crate::snapshot::{Http2Limits, Limits};

const UNLIMITED: &str = "unlimited";
const OFF: &str = "off";

const HEAD_MIN: u64 = 1 << 10;
const HEAD_MAX: u64 = 1 << 20;
const FIELDS_MAX: u64 = 10_000;
const URI_MIN: u64 = 64;
const BODY_MAX: u64 = 1 << 50;
const TIMEOUT_MIN: Duration = Duration::from_millis(100);
const HEADER_TIMEOUT_MAX: Duration = Duration::from_secs(3_600);
const TIMEOUT_MAX: Duration = Duration::from_secs(24 * 3_600);
const REQUESTS_MAX: u64 = 1_000_000_000;
const PER_IP_MAX: u64 = 1_000_000;
const RATE_MAX: u64 = 1 << 30;
const AGE_MIN: Duration = Duration::from_secs(1);
const AGE_MAX: Duration = Duration::from_secs(30 * 24 * 3_600);
const STREAMS_MAX: u32 = 10_000;
const FRAMES_MAX: u32 = 1_000_000;
/// Fewer would leave some kind of frame without a share.
const CONTROL_FRAMES_MIN: u64 = 100;

/// Reads `[limits]`.
pub(crate) fn read(table: &mut Table<'_>) -> Limits {
    let outer = Limits {
        head: ringway_http::Limits {
            head_bytes_max: to_usize(HEAD_MAX),
            fields_max: to_usize(FIELDS_MAX),
            uri_bytes_max: to_usize(HEAD_MAX),
        },
        body_bytes_max: None,
        header_timeout: HEADER_TIMEOUT_MAX,
        body_timeout: TIMEOUT_MAX,
        idle_timeout: TIMEOUT_MAX,
        tunnel_timeout: TIMEOUT_MAX,
        requests_per_connection: None,
        connections_per_ip: None,
        min_rate: None,
        handshake_timeout: HEADER_TIMEOUT_MAX,
        connection_age: None,
        tunnel_age: None,
        http2: Http2Limits {
            streams_max: STREAMS_MAX,
            resets_max: FRAMES_MAX,
            control_frames_max: FRAMES_MAX,
        },
    };
    let mut limits = Limits::default();
    show_defaults(table, &limits);
    read_head(table, &outer, &mut limits);
    read_body(table, "body", &outer, &mut limits);
    read_relay(table, &outer, &mut limits);
    read_connection(table, &outer, &mut limits);
    limits
}

/// Reads what a listener narrows.
pub(crate) fn narrow_for_listener(table: &mut Table<'_>, outer: &Limits) -> Limits {
    let mut limits = *outer;
    read_head(table, outer, &mut limits);
    read_body(table, "body", outer, &mut limits);
    read_relay(table, outer, &mut limits);
    read_connection(table, outer, &mut limits);
    limits
}

/// Reads what a route narrows: what can still be held to once the route is known.
pub(crate) fn narrow_for_route(table: &mut Table<'_>, outer: &Limits) -> Limits {
    let mut limits = *outer;
    read_head(table, outer, &mut limits);
    read_body(table, "max_body", outer, &mut limits);
    limits
}

/// Reads what a route with an upstream narrows too.
pub(crate) fn narrow_for_upstream(table: &mut Table<'_>, limits: &mut Limits) {
    let outer = *limits;
    read_relay(table, &outer, limits);
}

fn read_head(table: &mut Table<'_>, outer: &Limits, limits: &mut Limits) {
    let size = |table: &mut Table<'_>, key, low, high: usize, place: &mut usize| {
        if let Some(bytes) = table.take(key).and_then(|value| value.size(low..=to_u64(high))) {
            *place = to_usize(bytes);
        }
    };
    size(table, "head", HEAD_MIN, outer.head.head_bytes_max, &mut limits.head.head_bytes_max);
    size(table, "uri", URI_MIN, outer.head.uri_bytes_max, &mut limits.head.uri_bytes_max);
    if let Some(count) =
        table.take("fields").and_then(|value| value.number(1..=to_u64(outer.head.fields_max)))
    {
        limits.head.fields_max = to_usize(count);
    }
}

fn read_body(table: &mut Table<'_>, key: &'static str, outer: &Limits, limits: &mut Limits) {
    let size = |value: &Value<'_>| value.size(0..=outer.body_bytes_max.unwrap_or(BODY_MAX));
    if let Some(value) = table.take(key) {
        narrow(value, UNLIMITED, outer.body_bytes_max, &mut limits.body_bytes_max, size);
    }
    if let Some(time) = table.take("body_timeout").and_then(|v| v.duration(TIMEOUT_MIN..=outer.body_timeout))
    {
        limits.body_timeout = time;
    }
}

/// What only holds while bytes go on to an upstream.
fn read_relay(table: &mut Table<'_>, outer: &Limits, limits: &mut Limits) {
    let time =
        table.take("tunnel_timeout").and_then(|value| value.duration(TIMEOUT_MIN..=outer.tunnel_timeout));
    if let Some(time) = time {
        limits.tunnel_timeout = time;
    }
    if let Some(value) = table.take("tunnel_age") {
        let age = |value: &Value<'_>| value.duration(AGE_MIN..=outer.tunnel_age.unwrap_or(AGE_MAX));
        narrow(value, UNLIMITED, outer.tunnel_age, &mut limits.tunnel_age, age);
    }
    // A higher least rate is the narrower one.
    let rate = |value: &Value<'_>| value.rate(outer.min_rate.unwrap_or(1)..=RATE_MAX);
    if let Some(value) = table.take("min_rate") {
        narrow(value, OFF, outer.min_rate, &mut limits.min_rate, rate);
    }
}

fn read_connection(table: &mut Table<'_>, outer: &Limits, limits: &mut Limits) {
    let time =
        table.take("header_timeout").and_then(|value| value.duration(TIMEOUT_MIN..=outer.header_timeout));
    if let Some(time) = time {
        limits.header_timeout = time;
    }
    let time = table.take("idle_timeout").and_then(|value| value.duration(TIMEOUT_MIN..=outer.idle_timeout));
    if let Some(time) = time {
        limits.idle_timeout = time;
    }
    let count = |value: &Value<'_>| value.number(1..=outer.requests_per_connection.unwrap_or(REQUESTS_MAX));
    if let Some(value) = table.take("requests_per_connection") {
        narrow(value, UNLIMITED, outer.requests_per_connection, &mut limits.requests_per_connection, count);
    }
    let count = |value: &Value<'_>| {
        let most = outer.connections_per_ip.map_or(PER_IP_MAX, u64::from);
        value.number(1..=most).and_then(|count| u32::try_from(count).ok())
    };
    if let Some(value) = table.take("connections_per_ip") {
        narrow(value, UNLIMITED, outer.connections_per_ip, &mut limits.connections_per_ip, count);
    }
    if let Some(value) = table.take("connection_age") {
        let age = |value: &Value<'_>| value.duration(AGE_MIN..=outer.connection_age.unwrap_or(AGE_MAX));
        narrow(value, UNLIMITED, outer.connection_age, &mut limits.connection_age, age);
    }
    let time = table
        .take("handshake_timeout")
        .and_then(|value| value.duration(TIMEOUT_MIN..=outer.handshake_timeout));
    if let Some(time) = time {
        limits.handshake_timeout = time;
    }
    read_http2(table, &outer.http2, &mut limits.http2);
}

fn read_http2(table: &mut Table<'_>, outer: &Http2Limits, limits: &mut Http2Limits) {
    for ((key, place), (_, most)) in limits.places().into_iter().zip(outer.counts()) {
        let least = if key == "h2_control_frames" { CONTROL_FRAMES_MIN } else { 1 };
        let count = table.take(key).and_then(|value| value.number(least..=u64::from(most)));
        if let Some(count) = count.and_then(|count| u32::try_from(count).ok()) {
            *place = count;
        }
    }
}

/// Reads a limit that may be off; what is on further out cannot be turned off further in.
fn narrow<T: Copy>(
    value: Value<'_>,
    word: &'static str,
    outer: Option<T>,
    place: &mut Option<T>,
    read: impl FnOnce(&Value<'_>) -> Option<T>,
) {
    if outer.is_none() {
        value.set_unless(word, place, read);
    } else if let Some(found) = read(&value) {
        *place = Some(found);
    }
}

fn show_defaults(table: &mut Table<'_>, limits: &Limits) {
    let size = |bytes: usize| quote(&values::show_size(to_u64(bytes)));
    let time = |duration| quote(&values::show_duration(duration));
    table.show("head", || size(limits.head.head_bytes_max));
    table.show("fields", || limits.head.fields_max.to_string());
    table.show("uri", || size(limits.head.uri_bytes_max));
    table.show("body", || quote(UNLIMITED));
    table.show("header_timeout", || time(limits.header_timeout));
    table.show("body_timeout", || time(limits.body_timeout));
    table.show("idle_timeout", || time(limits.idle_timeout));
    table.show("tunnel_timeout", || time(limits.tunnel_timeout));
    table.show("requests_per_connection", || quote(UNLIMITED));
    table.show("connections_per_ip", || quote(UNLIMITED));
    table.show("min_rate", || quote(OFF));
    table.show("handshake_timeout", || time(limits.handshake_timeout));
    table.show("connection_age", || quote(UNLIMITED));
    table.show("tunnel_age", || quote(UNLIMITED));
    for (key, count) in limits.http2.counts() {
        table.show(key, || count.to_string());
    }
}

fn to_u64(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

fn to_usize(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
