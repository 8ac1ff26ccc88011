//! Which route answers a request.
//!
//! Routes go by priority (higher first), then host (exact, then the longest wildcard, then any), then path (exact,
//! then pattern with more literal segments, then regex, then longest prefix), then the number of further conditions.
//! Two that nothing tells apart, and one that can never match, are [`Conflict`]s.

mod conflict;
mod cover;
mod index;
mod order;
pub(crate) mod path;
pub(crate) mod rule;
mod trie;

use ringway_filters::Params;
use ringway_http::{Method, RequestHead};

pub use conflict::{Conflict, ConflictKind};
pub use path::{PathRule, Pattern};

pub use rule::{FieldRule, HostRule, MethodRule, QueryRule, RouteRule};
pub(crate) use rule::{hosts_shown, methods_shown};

use crate::regex::Scratch;
use crate::snapshot::{ListenerId, Route, RouteId};
use index::{Capture, Index, Search};
use order::Place;

/// What a look-up found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found<'a> {
    /// This route.
    Route(RouteId),
    /// A route matches in all but the method: 405 with this `Allow` value.
    MethodNotAllowed(&'a str),
    /// Nothing: 404.
    Nothing,
}

/// What a look-up looks at.
pub struct Lookup<'a> {
    /// Where the request came in.
    pub listener: ListenerId,
    /// In lower case, without port; empty when there is none.
    pub host: &'a str,
    /// Normalised; `*` for `OPTIONS *`.
    pub path: &'a str,
    /// The method.
    pub method: Method,
    /// Its name.
    pub method_text: &'a str,
    /// What follows the `?`.
    pub query: Option<&'a str>,
    /// Whether there is a field line of this name (without case) with exactly this value.
    pub has_field: &'a dyn Fn(&str, &[u8]) -> bool,
}

impl Lookup<'_> {
    /// Listener, headers and query.
    fn meets_conditions(&self, rule: &RouteRule) -> bool {
        rule.on_listener(self.listener)
            && rule.headers.iter().all(|field| (self.has_field)(field.name(), field.value().as_bytes()))
            && rule.query.iter().all(|parameter| parameter.matches(self.query))
    }
}

/// All routes and the index over them. Immutable.
#[derive(Debug, Default)]
pub struct Routes {
    list: Vec<Route>,
    rules: Vec<RouteRule>,
    places: Vec<Place>,
    index: Index,
}

impl Routes {
    /// Puts routes in order and builds the index; `rules` and `routes` go together by position, and `listeners` is
    /// how many listeners there are. Refused with every conflict at once, in the file's order.
    pub fn build(
        mut rules: Vec<RouteRule>,
        mut routes: Vec<Route>,
        listeners: usize,
    ) -> Result<Self, Vec<Conflict>> {
        for rule in &mut rules {
            tidy(rule, listeners);
        }
        give_slots(&mut rules, &mut routes);
        let places = order::places(&rules);
        let conflicts = conflict::find(&rules, &routes, &places);
        if !conflicts.is_empty() {
            return Err(conflicts);
        }
        let index = Index::new(&rules, &places);
        Ok(Self { list: routes, rules, places, index })
    }

    /// Every route, in the file's order; a `RouteId` is an index into it.
    pub fn all(&self) -> &[Route] {
        &self.list
    }

    /// One route.
    pub fn route(&self, id: RouteId) -> Option<&Route> {
        self.list.get(id.0 as usize)
    }

    /// What one route asks of a request.
    pub fn rule(&self, id: RouteId) -> Option<&RouteRule> {
        self.rules.get(id.0 as usize)
    }

    /// Every route for each of its hosts, in the order in which they are asked.
    pub fn in_order(&self) -> impl Iterator<Item = (RouteId, Option<&HostRule>)> {
        self.places.iter().map(|place| {
            let rule = self.rules.get(place.route as usize);
            (RouteId(place.route), rule.and_then(|rule| place.host_of(rule)))
        })
    }

    /// In words, why one place in the order goes before another.
    pub(crate) fn why_before(
        &self,
        first: (RouteId, Option<&HostRule>),
        second: (RouteId, Option<&HostRule>),
    ) -> &'static str {
        let key = |(id, host)| self.rule(id).map(|rule| order::Key::new(rule, host));
        key(first).zip(key(second)).map_or("", |(first, second)| first.reason(&second))
    }

    /// The best route for a request, with its parameters left in `params` (cleared first).
    /// `scratch` is the worker's own for regular expressions, `allow` is for the answer's `Allow` value.
    pub fn find<'a>(
        &self,
        listener: ListenerId,
        head: &RequestHead,
        params: &mut Params,
        scratch: &mut Scratch,
        allow: &'a mut String,
    ) -> Found<'a> {
        let want = Lookup {
            listener,
            host: head.host(),
            path: head.path(),
            method: head.method,
            method_text: head.method_text(),
            query: head.query(),
            has_field: &|name, value| head.fields.values(name).any(|line| line == value),
        };
        self.look_up(&want, params, scratch, allow)
    }

    /// The same for a request that is not parsed from a connection.
    pub fn look_up<'a>(
        &self,
        want: &Lookup<'_>,
        params: &mut Params,
        scratch: &mut Scratch,
        allow: &'a mut String,
    ) -> Found<'a> {
        params.clear();
        allow.clear();
        match Search::new(&self.index, &self.rules, want, scratch, allow).run() {
            Ok(rank) => {
                let Some((route, capture)) = self.index.route(rank) else { return Found::Nothing };
                if capture == Capture::Parameters
                    && let Some(PathRule::Pattern(pattern)) =
                        self.rules.get(route as usize).map(|rule| &rule.path)
                {
                    pattern.capture(want.path, params);
                }
                Found::Route(RouteId(route))
            }
            Err(0) => Found::Nothing,
            Err(missed) => {
                index::finish_allow(missed, allow);
                Found::MethodNotAllowed(allow)
            }
        }
    }
}

/// Gives each regular expression, of rules and of rewrites, its own slot in the workers' scratch.
fn give_slots(rules: &mut [RouteRule], routes: &mut [Route]) {
    let of_rules = rules.iter_mut().filter_map(|rule| match &mut rule.path {
        PathRule::Regex(regex) => Some(regex),
        PathRule::Any | PathRule::Exact(_) | PathRule::Prefix(_) | PathRule::Pattern(_) => None,
    });
    let of_rewrites = routes.iter_mut().filter_map(|route| route.rewrite.regex_mut());
    for (slot, regex) in (0..).zip(of_rules.chain(of_rewrites)) {
        regex.set_slot(slot);
    }
}

/// Takes out what is there twice, and turns a list of all listeners into the absence of one.
fn tidy(rule: &mut RouteRule, listeners: usize) {
    rule.listeners.sort_unstable();
    rule.listeners.dedup();
    if rule.listeners.len() == listeners {
        rule.listeners.clear();
    }
    let mut seen = Vec::new();
    rule.hosts.retain(|host| {
        let new = !seen.contains(host);
        if new {
            seen.push(host.clone());
        }
        new
    });
    rule.headers.sort_unstable_by(|a, b| (a.name(), a.value()).cmp(&(b.name(), b.value())));
    rule.headers.dedup();
    rule.query.sort_unstable_by(|a, b| (a.name(), a.value()).cmp(&(b.name(), b.value())));
    rule.query.dedup();
}

#[cfg(test)]
pub(crate) mod tests;
