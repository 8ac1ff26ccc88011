//! The order in which routes are asked: priority, then host, then path, then the number of further conditions. A
//! route has a place in it for each of its hosts.

use std::cmp::Reverse;

use super::path::PathRule;
use super::rule::{HostRule, RouteRule};
use super::trie::{NONE, id};

/// All that tells two routes apart but their conditions themselves; less goes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    priority: Reverse<i64>,
    host: (HostClass, Reverse<usize>),
    path: (PathClass, Reverse<usize>, bool, Reverse<usize>),
    conditions: Reverse<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum HostClass {
    Exact,
    Wildcard,
    Any,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum PathClass {
    Exact,
    Pattern,
    Regex,
    Prefix,
}

/// A route for one of its hosts.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pub(super) key: Key,
    /// Index into the rules.
    pub(super) route: u32,
    /// Index into the rule's hosts, or [`NONE`] for any.
    pub(super) host: u32,
}

impl Place {
    /// The host that it is for.
    pub(super) fn host_of(self, rule: &RouteRule) -> Option<&HostRule> {
        rule.hosts.get(self.host as usize)
    }
}

impl Key {
    pub(super) fn new(rule: &RouteRule, host: Option<&HostRule>) -> Self {
        let host = match host {
            Some(HostRule::Exact(_)) => (HostClass::Exact, Reverse(0)),
            Some(HostRule::Wildcard(name)) => (HostClass::Wildcard, Reverse(name.len())),
            None => (HostClass::Any, Reverse(0)),
        };
        let path = match &rule.path {
            PathRule::Exact(_) => (PathClass::Exact, Reverse(0), false, Reverse(0)),
            // With as many literals, one that ends where it ends goes before one that takes all that remains.
            PathRule::Pattern(pattern) => (
                PathClass::Pattern,
                Reverse(pattern.literals()),
                pattern.has_rest(),
                Reverse(pattern.pieces().len()),
            ),
            PathRule::Regex(_) => (PathClass::Regex, Reverse(0), false, Reverse(0)),
            PathRule::Prefix(text) => (PathClass::Prefix, Reverse(text.len()), false, Reverse(0)),
            PathRule::Any => (PathClass::Prefix, Reverse(0), false, Reverse(0)),
        };
        Self { priority: Reverse(rule.priority), host, path, conditions: Reverse(rule.conditions()) }
    }

    /// In words, what first tells this key from another: why the better of the two goes first.
    pub(super) fn reason(&self, other: &Self) -> &'static str {
        if self.priority != other.priority {
            "its priority is higher"
        } else if self.host != other.host {
            "its host is more specific"
        } else if self.path != other.path {
            "its path is more specific"
        } else if self.conditions != other.conditions {
            "it has more conditions"
        } else {
            "it stands earlier in the file"
        }
    }
}

/// Every place, best first. Where the keys are equal, the file's order decides; the conflicts see to it that this is
/// only so for routes that do not overlap, or (two regular expressions) that nobody can tell.
pub(super) fn places(rules: &[RouteRule]) -> Vec<Place> {
    let mut places = Vec::with_capacity(rules.len());
    for (index, rule) in rules.iter().enumerate() {
        let route = id(index);
        if rule.hosts.is_empty() {
            places.push(Place { key: Key::new(rule, None), route, host: NONE });
        }
        for (host_index, host) in rule.hosts.iter().enumerate() {
            places.push(Place { key: Key::new(rule, Some(host)), route, host: id(host_index) });
        }
    }
    places.sort_unstable_by_key(|place| (place.key, place.route, place.host));
    places
}
