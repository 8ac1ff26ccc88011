//! The table of `ringway routes`.

use super::{address_shown, respond_shown};
use crate::routes::{RouteRule, hosts_shown, methods_shown};
use crate::snapshot::{Route, Snapshot, Terminal};

const HEADINGS: [&str; 10] =
    ["#", "route", "priority", "listeners", "hosts", "path", "methods", "conditions", "goes to", "filters"];

/// Every route in the order in which they are asked, in aligned columns. A route with several hosts stands where its
/// best host does.
pub fn routes_table(snapshot: &Snapshot) -> String {
    let mut rows = vec![HEADINGS.map(str::to_owned)];
    let mut seen = vec![false; snapshot.routes.all().len()];
    for (id, _) in snapshot.routes.in_order() {
        let is_new = seen.get_mut(id.0 as usize).is_some_and(|seen| !std::mem::replace(seen, true));
        if let Some((route, rule)) =
            snapshot.routes.route(id).zip(snapshot.routes.rule(id)).filter(|_| is_new)
        {
            rows.push(row(snapshot, rows.len(), route, rule));
        }
    }
    aligned(&rows)
}

fn row(snapshot: &Snapshot, at: usize, route: &Route, rule: &RouteRule) -> [String; 10] {
    let listeners: Vec<_> = rule
        .listeners
        .iter()
        .filter_map(|id| snapshot.listeners.get(id.0 as usize))
        .map(|listener| listener.name.to_string())
        .collect();
    let headers = rule.headers.iter().map(|field| format!("{}: {}", field.name(), field.value()));
    let query = rule.query.iter().map(|parameter| format!("?{}={}", parameter.name(), parameter.value()));
    let conditions: Vec<_> = headers.chain(query).collect();
    let filters: Vec<_> = route.filters.iter().map(|filter| filter.name.as_str()).collect();
    [
        at.to_string(),
        route.name.to_string(),
        rule.priority.to_string(),
        or(listeners.join(", "), "all"),
        hosts_shown(rule),
        rule.path.to_string(),
        methods_shown(rule),
        or(conditions.join(", "), "-"),
        terminal_shown(snapshot, route),
        or(filters.join(", "), "-"),
    ]
}

fn or(text: String, otherwise: &str) -> String {
    if text.is_empty() { otherwise.to_owned() } else { text }
}

fn terminal_shown(snapshot: &Snapshot, route: &Route) -> String {
    match &route.terminal {
        Terminal::Proxy(id) => snapshot.upstreams.get(id.0 as usize).map_or_else(String::new, |upstream| {
            let first = upstream.endpoints.first().map(|endpoint| address_shown(&endpoint.address));
            let more = upstream.endpoints.len().saturating_sub(1);
            let more = if more == 0 { String::new() } else { format!(" +{more}") };
            format!("upstream {} ({}{more})", upstream.name, first.unwrap_or_default())
        }),
        Terminal::Static(files) => format!("files {}", files.root.display()),
        Terminal::Respond(respond) => respond_shown(respond),
    }
}

fn aligned(rows: &[[String; 10]]) -> String {
    let mut widths = [0; 10];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut out = String::new();
    for row in rows {
        let mut text = String::new();
        for (width, cell) in widths.iter().zip(row) {
            text.push_str(cell);
            text.extend(std::iter::repeat_n(' ', width - cell.chars().count() + 2));
        }
        out.push_str(text.trim_end());
        out.push('\n');
    }
    out
}
