//! Routes that can never match, because one that goes first takes all that they could have.
//!
//! Found are the clear cases: one route that covers another in host, path, listeners, methods, headers and query. A
//! route that several others cover together is not found, nor what one regular expression leaves to another.

use std::collections::{HashMap, HashSet};
use std::hash::BuildHasherDefault;

use super::conflict::{ConflictKind, Pairs, Point, conditions};
use super::index::methods_cover;
use super::order::Place;
use super::path::{PathRule, Pattern, Piece};
use super::rule::{HostRule, RouteRule};
use super::trie::{Mixed, id};

/// Regular expressions that match every path.
const ALL: [&str; 11] = ["", "^", "/", "^/", ".*", "^.*", ".*$", "^.*$", "/.*", "^/.*", "^/.*$"];

/// A set of paths that one route takes whole.
#[derive(Debug, PartialEq, Eq, Hash)]
enum Cover<'a> {
    /// All, with the `*` of `OPTIONS *`.
    All,
    /// This path (without a final slash) and those below it.
    Under(&'a str),
    Exact(&'a str),
    Regex(&'a str),
    /// Those of so many segments with these texts at these places.
    Segments(usize, Vec<(usize, &'a str)>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Host<'a> {
    Exact(&'a str),
    Below(&'a str),
    Any,
}

type Set<'a> = (Host<'a>, Cover<'a>, Point<'a>);

/// Routes by all that must be equal, each with its rank.
#[derive(Default)]
struct Covers<'a> {
    by_set: HashMap<Set<'a>, Vec<(u32, u32)>, BuildHasherDefault<Mixed>>,
    /// Their hosts: most routes have no other host above their own.
    hosts: HashSet<Host<'a>, BuildHasherDefault<Mixed>>,
    /// The places of the literals in the patterns of so many segments.
    literals: HashMap<usize, HashSet<Vec<usize>>>,
}

/// Adds the pairs of a route that can never match and one that sees to that.
pub(super) fn never(rules: &[RouteRule], places: &[Place], pairs: &mut Pairs) {
    let Some(lowest) = rules.iter().map(|rule| rule.priority).min() else { return };
    let mut covers = Covers::default();
    for (rank, place) in places.iter().enumerate() {
        // At equal priority what covers more goes later, but for patterns and regexes, which go before prefixes.
        if let Some(rule) =
            rules.get(place.route as usize).filter(|rule| rule.priority > lowest || takes_all(rule))
        {
            covers.add(rules, id(rank), *place, rule);
        }
    }
    if covers.by_set.is_empty() {
        return;
    }
    // A route is only dead if it is so for each of its hosts.
    let mut dead: Vec<Option<u32>> = vec![None; rules.len()];
    let mut alive = vec![false; rules.len()];
    for (rank, place) in places.iter().enumerate() {
        let Some(rule) = rules.get(place.route as usize) else { continue };
        let by = covers.find(rules, id(rank), *place, rule);
        match (by, dead.get_mut(place.route as usize), alive.get_mut(place.route as usize)) {
            (Some(by), Some(dead), _) => *dead = dead.or(Some(by)),
            (None, _, Some(alive)) => *alive = true,
            _ => {}
        }
    }
    for (route, (by, alive)) in dead.into_iter().zip(alive).enumerate() {
        if let Some(by) = by.filter(|_| !alive) {
            pairs.insert((id(route), by, ConflictKind::NeverMatches));
        }
    }
}

/// Whether it takes whole subtrees although it goes before prefixes.
fn takes_all(rule: &RouteRule) -> bool {
    match &rule.path {
        PathRule::Pattern(pattern) => pattern.has_rest(),
        PathRule::Regex(regex) => ALL.contains(&regex.as_str()),
        PathRule::Any | PathRule::Exact(_) | PathRule::Prefix(_) => false,
    }
}

impl<'a> Covers<'a> {
    fn add(&mut self, rules: &'a [RouteRule], rank: u32, place: Place, rule: &'a RouteRule) {
        let host = host(place.host_of(rule));
        let Some(cover) = cover(&rule.path) else { return };
        if let Cover::Segments(count, texts) = &cover {
            let places = texts.iter().map(|(at, _)| *at).collect();
            self.literals.entry(*count).or_default().insert(places);
        }
        self.hosts.insert(host);
        let same = self.by_set.entry((host, cover, conditions(rule))).or_default();
        let is_alike = |other: &RouteRule| other.methods == rule.methods && other.listeners == rule.listeners;
        // The first one goes first, so a later one that is alike adds nothing.
        if !same.iter().any(|(_, route)| rules.get(*route as usize).is_some_and(is_alike)) {
            same.push((rank, place.route));
        }
    }

    /// A route that goes first and covers this one.
    fn find(&self, rules: &[RouteRule], rank: u32, place: Place, rule: &'a RouteRule) -> Option<u32> {
        let conditions = conditions(rule);
        let covers_rest = |route: u32| {
            rules.get(route as usize).is_some_and(|other| {
                let listeners = other.listeners.is_empty()
                    || (!rule.listeners.is_empty()
                        && rule.listeners.iter().all(|one| other.on_listener(*one)));
                listeners && methods_cover(&other.methods, &rule.methods)
            })
        };
        let mut paths = Vec::with_capacity(8);
        self.covers_of(&rule.path, &mut paths);
        for host in hosts_above(place.host_of(rule)).filter(|host| self.hosts.contains(host)) {
            for path in std::mem::take(&mut paths) {
                let mut key = (host, path, conditions.clone());
                let mut found = self.lookup(&key, rank, place.route, covers_rest);
                if found.is_none() && !conditions.is_empty() {
                    key.2.clear();
                    found = self.lookup(&key, rank, place.route, covers_rest);
                }
                if found.is_some() {
                    return found;
                }
                paths.push(key.1);
            }
        }
        None
    }

    fn lookup(&self, key: &Set<'a>, rank: u32, route: u32, covers_rest: impl Fn(u32) -> bool) -> Option<u32> {
        let candidates = self.by_set.get(key)?;
        let found = candidates.iter().find(|(r, other)| *r < rank && *other != route && covers_rest(*other));
        found.map(|(_, other)| *other)
    }

    /// Every set that holds all the paths of a rule.
    fn covers_of(&self, path: &'a PathRule, out: &mut Vec<Cover<'a>>) {
        out.push(Cover::All);
        match path {
            PathRule::Any => {}
            PathRule::Regex(regex) => out.extend([Cover::Under(""), Cover::Regex(regex.as_str())]),
            PathRule::Prefix(text) => out.extend(above(text).map(Cover::Under)),
            PathRule::Exact(text) => {
                out.push(Cover::Exact(text));
                out.extend(above(text).map(Cover::Under));
                let segments: Vec<_> = text.split('/').skip(1).map(Some).collect();
                self.patterns_over(&segments, out);
            }
            PathRule::Pattern(pattern) => {
                out.extend(above(literal_front(pattern)).map(Cover::Under));
                if !pattern.has_rest() {
                    let segments: Vec<_> = pattern.pieces().iter().map(literal).collect();
                    self.patterns_over(&segments, out);
                }
            }
        }
    }

    fn patterns_over(&self, segments: &[Option<&'a str>], out: &mut Vec<Cover<'a>>) {
        for places in self.literals.get(&segments.len()).into_iter().flatten() {
            let text_at = |at: &usize| segments.get(*at).copied().flatten().map(|text| (*at, text));
            let texts: Option<Vec<_>> = places.iter().map(text_at).collect();
            // No parameter stands for an empty segment.
            let ends_empty = segments.last() == Some(&Some(""));
            let last_is_literal = places.last().is_some_and(|at| at + 1 == segments.len());
            if let Some(texts) = texts.filter(|_| !ends_empty || last_is_literal) {
                out.push(Cover::Segments(segments.len(), texts));
            }
        }
    }
}

fn cover(path: &PathRule) -> Option<Cover<'_>> {
    Some(match path {
        PathRule::Any => Cover::All,
        PathRule::Exact(text) => Cover::Exact(text),
        PathRule::Prefix(text) => Cover::Under(text),
        PathRule::Regex(regex) if ALL.contains(&regex.as_str()) => Cover::Under(""),
        PathRule::Regex(regex) => Cover::Regex(regex.as_str()),
        PathRule::Pattern(pattern) if !pattern.has_rest() => {
            let pieces = pattern.pieces().iter().enumerate();
            let texts = pieces.filter_map(|(at, piece)| literal(piece).map(|text| (at, text))).collect();
            Cover::Segments(pattern.pieces().len(), texts)
        }
        PathRule::Pattern(pattern) if pattern.names().count() == 1 => Cover::Under(literal_front(pattern)),
        PathRule::Pattern(_) => return None,
    })
}

fn literal(piece: &Piece) -> Option<&str> {
    match piece {
        Piece::Literal(text) => Some(text),
        Piece::Param(_) | Piece::Rest(_) => None,
    }
}

/// What stands before a pattern's first parameter, without the slash.
fn literal_front(pattern: &Pattern) -> &str {
    pattern.as_str().split("/{").next().unwrap_or_default()
}

/// Every prefix in whole segments, without a final slash: of `/a/b`, that is the empty one, `/a` and `/a/b`.
fn above(text: &str) -> impl Iterator<Item = &str> {
    let inner = text.match_indices('/').filter_map(|(at, _)| text.get(..at));
    inner.chain(Some(text).filter(|text| !text.ends_with('/')))
}

fn host(rule: Option<&HostRule>) -> Host<'_> {
    match rule {
        None => Host::Any,
        Some(HostRule::Exact(name)) => Host::Exact(name),
        Some(HostRule::Wildcard(name)) => Host::Below(name),
    }
}

/// Every set of hosts that holds all the hosts of a rule.
fn hosts_above(rule: Option<&HostRule>) -> impl Iterator<Item = Host<'_>> {
    let name = match rule {
        None => "",
        Some(HostRule::Exact(name) | HostRule::Wildcard(name)) => name.as_str(),
    };
    let wider = name.match_indices('.').filter_map(|(at, _)| name.get(at + 1..)).map(Host::Below);
    let own = Some(host(rule)).filter(|host| *host != Host::Any);
    own.into_iter().chain(wider).chain(Some(Host::Any))
}
