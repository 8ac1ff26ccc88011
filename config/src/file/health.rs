//! `[upstreams.NAME.health]` as it is typed.

use std::sync::Arc;
use std::time::Duration;

use super::reader::Table;
use super::upstreams::check_target;
use crate::snapshot::HealthCheck;

/// The most results in a row that may be asked for.
const IN_A_ROW_MAX: u64 = 100;
const MILLISECOND: Duration = Duration::from_millis(1);
const MINUTE: Duration = Duration::from_secs(60);

/// Reads how an upstream's endpoints are checked, if they are.
pub(super) fn read(table: &mut Table<'_>) -> Option<HealthCheck> {
    let mut below = table.open("health", "upstreams.NAME.health")?;
    let path = below.take("path");
    if path.is_none() {
        below.missing("path", "health = { path = \"/health\" }");
    }
    let path = path.and_then(|value| {
        let text = value.text("a path such as \"/health\"")?;
        check_target(&value, &text).then_some(text)
    });
    let host = below.text("host");
    let expect = read_expect(&mut below);
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
    let path = Arc::from(path?.value);
    let host = host.map(|text| Arc::from(text.value));
    Some(HealthCheck { path, host, expect, interval, timeout, unhealthy_after, healthy_after })
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
