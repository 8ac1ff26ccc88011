//! Why a route was found and the others were not.

use super::{Answer, line, summary};
use crate::regex::Scratch;
use crate::routes::{Found, HostRule, RouteRule, hosts_shown, methods_shown};
use crate::snapshot::RouteId;

/// Up to so many routes, each of those that were asked before is told; of more, only those that have the same host
/// and path.
const ROUTES_TOLD_MAX: usize = 20;

/// What keeps a route from matching.
enum Miss {
    /// Host or path.
    Far(String),
    /// Something else.
    Near(String),
}

pub(super) fn write(answer: &Answer<'_>, found: Found<'_>, out: &mut String) {
    let winner = match found {
        Found::Route(id) => Some(id),
        Found::MethodNotAllowed(_) | Found::Nothing => None,
    };
    let routes = &answer.snapshot.routes;
    let order = order(answer);
    let place = winner.and_then(|winner| order.iter().position(|(id, _)| *id == winner));
    let (before, after) = order.split_at_checked(place.unwrap_or(order.len())).unwrap_or_default();
    let mut left_out = 0;
    let mut told = Vec::new();
    for (id, host) in before {
        let Some((route, rule)) = routes.route(*id).zip(routes.rule(*id)) else { continue };
        let why = match miss(answer, rule, *host) {
            None => continue,
            Some(Miss::Far(_)) if order.len() > ROUTES_TOLD_MAX => {
                left_out += 1;
                continue;
            }
            Some(Miss::Far(why) | Miss::Near(why)) => why,
        };
        told.push(format!("   `{}` ({}): {why}", route.name, summary(rule)));
    }
    if !before.is_empty() {
        line(
            out,
            if winner.is_some() { "\nAsked before it, in this order" } else { "\nAsked, in this order" },
        );
        for text in &told {
            line(out, text);
        }
    }
    if left_out > 0 {
        line(out, &format!("   and {left_out} routes for other hosts or paths"));
    }
    write_losers(answer, winner, after, out);
}

type Place<'a> = (RouteId, Option<&'a HostRule>);

/// Every route once, where its best place for this request is: that of a host that matches, or else its first.
fn order<'a>(answer: &Answer<'a>) -> Vec<Place<'a>> {
    let host = answer.head.host();
    let is_hit = |place: &Place<'_>| place.1.is_none_or(|rule| rule.matches(host));
    let count = answer.snapshot.routes.all().len();
    let mut has_hit = vec![false; count];
    for place in answer.snapshot.routes.in_order().filter(is_hit) {
        if let Some(has_hit) = has_hit.get_mut(place.0.0 as usize) {
            *has_hit = true;
        }
    }
    let mut seen = vec![false; count];
    answer
        .snapshot
        .routes
        .in_order()
        .filter(|place| is_hit(place) || !has_hit.get(place.0.0 as usize).copied().unwrap_or_default())
        .filter(|place| seen.get_mut(place.0.0 as usize).is_some_and(|seen| !std::mem::replace(seen, true)))
        .collect()
}

/// The routes that match too, and why they lose.
fn write_losers(answer: &Answer<'_>, winner: Option<RouteId>, after: &[Place<'_>], out: &mut String) {
    let routes = &answer.snapshot.routes;
    let (Some(winner), Some((first, rest))) = (winner, after.split_first()) else { return };
    let mut losers = rest.iter().filter_map(|(id, host)| {
        let (route, rule) = routes.route(*id).zip(routes.rule(*id))?;
        miss(answer, rule, *host).is_none().then(|| {
            let reason = routes.why_before((winner, first.1), (*id, *host));
            format!(
                "   `{}` ({}): `{}` goes first, {reason}",
                route.name,
                summary(rule),
                name(answer, winner)
            )
        })
    });
    if let Some(text) = losers.next() {
        line(out, "\nWould match too");
        line(out, &text);
        for text in losers.by_ref().take(ROUTES_TOLD_MAX) {
            line(out, &text);
        }
        let more = losers.count();
        if more > 0 {
            line(out, &format!("   and {more} more"));
        }
    }
}

fn name(answer: &Answer<'_>, id: RouteId) -> String {
    answer.snapshot.routes.route(id).map(|route| route.name.to_string()).unwrap_or_default()
}

/// The first of its conditions that a route misses. Far ones first: host and path say most.
fn miss(answer: &Answer<'_>, rule: &RouteRule, host: Option<&HostRule>) -> Option<Miss> {
    let head = answer.head;
    if !host.is_none_or(|host| host.matches(head.host())) {
        return Some(Miss::Far(format!("the host is {}, not {}", shown(head.host()), hosts_shown(rule))));
    }
    if !rule.path.matches(head.path(), &mut Scratch::default()) {
        return Some(Miss::Far(format!("the path {} does not match", head.path())));
    }
    if !rule.on_listener(answer.listener_id) {
        return Some(Miss::Near(format!("it is not on the listener `{}`", answer.listener.name)));
    }
    for field in &rule.headers {
        let mut values = head.fields.values(field.name());
        if !head.fields.values(field.name()).any(|value| value == field.value().as_bytes()) {
            let there = values.next().map(|value| format!("is `{}`", String::from_utf8_lossy(value)));
            let there = there.unwrap_or_else(|| "is not there".to_owned());
            return Some(Miss::Near(format!("the header {} {there}, not `{}`", field.name(), field.value())));
        }
    }
    for parameter in &rule.query {
        if !parameter.matches(head.query()) {
            let (name, value) = (parameter.name(), parameter.value());
            return Some(Miss::Near(format!("the query has no {name}={value}")));
        }
    }
    let admitted = rule.admits(head.method, head.method_text());
    (!admitted)
        .then(|| Miss::Near(format!("the method is {}, not {}", head.method_text(), methods_shown(rule))))
}

fn shown(host: &str) -> &str {
    if host.is_empty() { "not given" } else { host }
}
