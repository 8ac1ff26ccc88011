//! `[upstreams.NAME.health]` as it is typed.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use ringway_http::grpc::health::SERVICE_BYTES_MAX;
use ringway_http::target::split_authority;

use super::reader::{Table, Value};
use super::upstreams::check_target;
use crate::snapshot::{HealthCheck, Protocol, Question};

/// The most results in a row that may be asked for.
const IN_A_ROW_MAX: u64 = 100;
const MILLISECOND: Duration = Duration::from_millis(1);
const MINUTE: Duration = Duration::from_secs(60);

/// Reads how an upstream's endpoints are checked, if they are.
pub(super) fn read(table: &mut Table<'_>, protocol: Protocol) -> Option<HealthCheck> {
    let mut below = table.open("health", "upstreams.NAME.health")?;
    let question = read_question(&mut below, protocol);
    let interval_at = below.peek_at("timeout").or_else(|| below.peek_at("interval"));
    let interval =
        below.duration("interval", Duration::from_secs(5), Duration::from_millis(100)..=60 * MINUTE);
    let timeout = below.duration("timeout", Duration::from_secs(2).min(interval), MILLISECOND..=60 * MINUTE);
    if timeout > interval {
        let message = "a check's `timeout` is at most its `interval`, or checks would pile up; lower it";
        below.sink.error(interval_at.unwrap_or(below.at), message);
    }
    let count = |table: &mut Table<'_>, key, default| {
        u32::try_from(table.number(key, default, 1..=IN_A_ROW_MAX)).unwrap_or(1)
    };
    let unhealthy_after = count(&mut below, "unhealthy_after", 3);
    let healthy_after = count(&mut below, "healthy_after", 2);
    table.close("health", below);
    let question = question?;
    Some(HealthCheck { question, interval, timeout, unhealthy_after, healthy_after })
}

/// `None` only with an error.
fn read_question(table: &mut Table<'_>, protocol: Protocol) -> Option<Question> {
    let path = table.take("path");
    let grpc = table.take("grpc");
    match (path, grpc.filter(|value| value.raw().as_bool() != Some(false))) {
        (path, None) => {
            table.show("grpc", || "false".to_owned());
            read_http(table, path)
        }
        (None, Some(grpc)) => read_grpc(table, &grpc, protocol),
        (Some(_), Some(grpc)) => {
            let message = "a check asks for a `path` or by `grpc`; remove one of them";
            grpc.sink.error(grpc.key_at, message);
            // What else stands here belongs to either.
            let _ = (table.take("host"), table.take("expect"));
            None
        }
    }
}

fn read_http(table: &mut Table<'_>, path: Option<Value<'_>>) -> Option<Question> {
    if path.is_none() {
        table.missing("path", "health = { path = \"/health\" }` or `health = { grpc = true }");
    }
    let path = path.and_then(|value| {
        let text = value.text("a path such as \"/health\"")?;
        check_target(&value, &text).then_some(text)
    });
    let host = read_host(table);
    let expect = read_expect(table);
    Some(Question::Http { path: Arc::from(path?.value), host, expect })
}

fn read_host(table: &mut Table<'_>) -> Option<Arc<str>> {
    let text = table.text("host")?;
    if !text.is_unknown && split_authority(&text.value, &mut String::new()).is_err() {
        let message = "expected a host such as \"api.internal\" or \"api.internal:8080\"";
        table.sink.error(text.at, text.found(message));
    }
    Some(Arc::from(text.value))
}

fn read_grpc(table: &mut Table<'_>, grpc: &Value<'_>, protocol: Protocol) -> Option<Question> {
    for key in ["host", "expect"] {
        if let Some(value) = table.take(key) {
            let message =
                format!("`{key}` is about `path`: a call is healthy if it answers SERVING; remove it");
            value.sink.error(value.key_at, message);
        }
    }
    if protocol == Protocol::Http1 {
        let message = "gRPC is spoken over HTTP/2; write `protocol = \"http2\"` in the upstream";
        grpc.sink.error(grpc.key_at, message);
    }
    Some(Question::Grpc { service: Arc::from(read_service(grpc)?) })
}

/// The name of a service: empty for the endpoint as a whole.
fn read_service<'a>(grpc: &Value<'a>) -> Option<Cow<'a, str>> {
    if grpc.raw().as_bool() == Some(true) {
        return Some(Cow::Borrowed(""));
    }
    let text = grpc.text("a boolean or the name of a service, such as \"shop.Orders\"")?;
    let is_name = (1..=SERVICE_BYTES_MAX).contains(&text.value.len())
        && text.value.bytes().all(|byte| byte.is_ascii_graphic());
    if !is_name && !text.is_unknown {
        let message = format!(
            "expected a service's name of visible ASCII, at most {SERVICE_BYTES_MAX} bytes, or `true` for the \
             endpoint as a whole"
        );
        grpc.sink.error(grpc.at, text.hide(&message));
        return None;
    }
    Some(text.value)
}

fn read_expect(table: &mut Table<'_>) -> Vec<u16> {
    let Some(value) = table.take("expect") else {
        table.show("expect", || "200".to_owned());
        return vec![200];
    };
    let items = if value.is_list() { value.list("a list").unwrap_or_default() } else { vec![value] };
    if items.is_empty() {
        value.sink.error(value.at, "expected at least one status, such as 200");
    }
    super::statuses(&items, 100..=599)
}
