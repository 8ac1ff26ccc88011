//! Routes that cannot stand beside each other.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

use super::cover::never;
use super::index::methods_overlap;
use super::order::Place;
use super::path::{PathRule, Piece};
use super::rule::{HostRule, RouteRule};
use crate::snapshot::{Route, RouteId};

/// Why two routes cannot stand beside each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ConflictKind {
    /// Nothing says which of them a request that matches both should have.
    Tied,
    /// The other one takes every request that this one matches.
    NeverMatches,
}

/// Two routes that cannot stand beside each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    /// The one to change: the later one of the file, or the one that can never match.
    pub route: RouteId,
    /// The one that it conflicts with.
    pub other: RouteId,
    /// That one's name.
    pub other_name: Arc<str>,
    /// Why.
    pub kind: ConflictKind,
}

impl fmt::Display for Conflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            ConflictKind::Tied => write!(
                f,
                "nothing tells this route apart from `{}` for a request that matches both; give one of them a higher \
                 priority, or a condition that the other contradicts",
                self.other_name
            ),
            ConflictKind::NeverMatches => write!(
                f,
                "this route can never match: `{}` goes first and takes every request that it could have; lower that \
                 one's priority, or remove one of them",
                self.other_name
            ),
        }
    }
}

/// All conflicts, in the file's order.
pub(super) fn find(rules: &[RouteRule], routes: &[Route], places: &[Place]) -> Vec<Conflict> {
    let mut pairs = HashSet::new();
    tied(rules, places, &mut pairs);
    never(rules, places, &mut pairs);
    let mut conflicts: Vec<_> = pairs
        .into_iter()
        .filter_map(|(route, other, kind)| {
            let other_name = Arc::clone(&routes.get(other as usize)?.name);
            Some(Conflict { route: RouteId(route), other: RouteId(other), other_name, kind })
        })
        .collect();
    conflicts.sort_unstable_by_key(|conflict| (conflict.route, conflict.other));
    conflicts
}

/// The route to change, the other one, and why.
pub(super) type Pairs = HashSet<(u32, u32, ConflictKind)>;

/// What a path is, apart from the literal segments of a pattern, which are dimensions.
#[derive(PartialEq, Eq, Hash)]
enum Shape<'a> {
    Any,
    Exact(&'a str),
    Prefix(&'a str),
    Regex(&'a str),
    /// How many segments, and whether the last one is empty, which no parameter is.
    Pattern(usize, bool),
}

/// Something that a rule may ask to have one value: it asks for a point in the space of these, and two rules overlap
/// if they agree in all the dimensions that both have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Dimension<'a> {
    Segment(usize),
    Header(&'a str),
    Query(&'a str),
}

/// Sorted by dimension.
pub(super) type Point<'a> = Vec<(Dimension<'a>, &'a str)>;

fn shape(path: &PathRule) -> Shape<'_> {
    match path {
        PathRule::Any => Shape::Any,
        PathRule::Exact(text) => Shape::Exact(text),
        PathRule::Prefix(text) => Shape::Prefix(text),
        PathRule::Regex(regex) => Shape::Regex(regex.as_str()),
        PathRule::Pattern(pattern) => Shape::Pattern(pattern.pieces().len(), pattern.as_str().ends_with('/')),
    }
}

fn point(rule: &RouteRule) -> Point<'_> {
    let mut point = Vec::new();
    if let PathRule::Pattern(pattern) = &rule.path {
        for (at, piece) in pattern.pieces().iter().enumerate() {
            if let Piece::Literal(text) = piece {
                point.push((Dimension::Segment(at), text.as_str()));
            }
        }
    }
    point.append(&mut conditions(rule));
    point
}

/// The part of a rule's point that is neither host nor path.
pub(super) fn conditions(rule: &RouteRule) -> Point<'_> {
    // Both are sorted by name already.
    let headers = rule.headers.iter().map(|field| (Dimension::Header(field.name()), field.value()));
    let query = rule.query.iter().map(|parameter| (Dimension::Query(parameter.name()), parameter.value()));
    headers.chain(query).collect()
}

/// Routes with equal keys that overlap.
fn tied(rules: &[RouteRule], places: &[Place], pairs: &mut Pairs) {
    for run in places.chunk_by(|a, b| a.key == b.key).filter(|run| run.len() > 1) {
        let mut groups: HashMap<(Option<&HostRule>, Shape<'_>), Vec<u32>> = HashMap::with_capacity(run.len());
        for place in run {
            let Some(rule) = rules.get(place.route as usize) else { continue };
            groups.entry((place.host_of(rule), shape(&rule.path))).or_default().push(place.route);
        }
        for group in groups.into_values().filter(|group| group.len() > 1) {
            tied_in_group(rules, &group, pairs);
        }
    }
}

/// Routes of one host and one shape. Those with the same dimensions are compared by a hash of their points; those
/// with different ones by a hash of what the points have in common. There are few sets of dimensions in one group.
fn tied_in_group(rules: &[RouteRule], group: &[u32], pairs: &mut Pairs) {
    let mut by_dimensions: HashMap<Vec<Dimension<'_>>, Vec<(u32, &RouteRule, Point<'_>)>> = HashMap::new();
    for &route in group {
        let Some(rule) = rules.get(route as usize) else { continue };
        let point = point(rule);
        let dimensions = point.iter().map(|(dimension, _)| *dimension).collect();
        by_dimensions.entry(dimensions).or_default().push((route, rule, point));
    }
    let sets: Vec<_> = by_dimensions.into_iter().collect();
    for (at, (dimensions, members)) in sets.iter().enumerate() {
        let mut seen = Seen::default();
        for (route, rule, point) in members {
            seen.compare(point, *route, rule, pairs);
            seen.add(point.clone(), *route, rule);
        }
        for (others, other_members) in sets.iter().skip(at + 1) {
            let common: Vec<_> = dimensions.iter().filter(|dimension| others.contains(dimension)).collect();
            let mut seen = Seen::default();
            for (route, rule, point) in members {
                seen.add(project(point, &common), *route, rule);
            }
            for (route, rule, point) in other_members {
                seen.compare(&project(point, &common), *route, rule, pairs);
            }
        }
    }
}

fn project<'a>(point: &Point<'a>, dimensions: &[&Dimension<'_>]) -> Point<'a> {
    point.iter().filter(|(dimension, _)| dimensions.contains(&dimension)).copied().collect()
}

/// Routes by point. Of those with the same point, methods and listeners, one is enough.
#[derive(Default)]
struct Seen<'a>(HashMap<Point<'a>, Vec<(u32, &'a RouteRule)>>);

impl<'a> Seen<'a> {
    fn add(&mut self, point: Point<'a>, route: u32, rule: &'a RouteRule) {
        let here = self.0.entry(point).or_default();
        if !here.iter().any(|(_, other)| other.methods == rule.methods && other.listeners == rule.listeners) {
            here.push((route, rule));
        }
    }

    fn compare(&self, point: &Point<'a>, route: u32, rule: &RouteRule, pairs: &mut Pairs) {
        let overlaps = |other: &RouteRule| {
            methods_overlap(&rule.methods, &other.methods) && listeners_overlap(rule, other)
        };
        let found = self.0.get(point).and_then(|here| here.iter().find(|(_, other)| overlaps(other)));
        if let Some(&(other, _)) = found.filter(|(other, _)| *other != route) {
            pairs.insert((route.max(other), route.min(other), ConflictKind::Tied));
        }
    }
}

fn listeners_overlap(left: &RouteRule, right: &RouteRule) -> bool {
    left.listeners.is_empty()
        || right.listeners.is_empty()
        || left.listeners.iter().any(|listener| right.listeners.contains(listener))
}

#[cfg(test)]
mod tests {
    use super::super::tests::build;
    use super::*;

    fn conflicts(rules: &[&str]) -> Vec<(u32, u32, ConflictKind)> {
        let found = build(rules).err().unwrap_or_default();
        found.iter().map(|conflict| (conflict.route.0, conflict.other.0, conflict.kind)).collect()
    }

    #[test]
    fn routes_that_nothing_tells_apart_are_tied() {
        for (first, second, tied) in [
            ("0 * * path:/a", "0 * * path:/a", true),
            ("0 * * prefix:/a", "0 * * prefix:/a/", true),
            ("0 * * prefix:/", "0 * *", true),
            ("0 * * path:/a", "0 * * path:/a/", false),
            ("0 * * path:/a", "0 * * prefix:/a", false),
            ("0 * a.com path:/a", "0 * b.com path:/a", false),
            ("0 * a.com,b.com path:/a", "0 * b.com path:/a", true),
            ("0 * *.a.com path:/a", "0 * *.a.com path:/a", true),
            ("0 0 * path:/a", "0 1 * path:/a", false),
            ("0 0 * path:/a", "0 * * path:/a", true),
            ("0 * * path:/a GET", "0 * * path:/a POST", false),
            ("0 * * path:/a GET,POST", "0 * * path:/a POST", true),
            ("0 * * path:/a GET", "0 * * path:/a HEAD", true),
            ("0 * * path:/a PURGE", "0 * * path:/a BAN", false),
            ("0 * * path:/a GET", "0 * * path:/a", false),
            ("0 * * path:/a * x=1", "0 * * path:/a * x=2", false),
            ("0 * * path:/a * x=1", "0 * * path:/a * X=1", true),
            ("0 * * path:/a * x=1", "0 * * path:/a * y=1", true),
            ("0 * * path:/a * x=1", "0 * * path:/a * * x=1", true),
            ("0 * * path:/a * x=1", "0 * * path:/a GET", true),
            ("0 * * path:/a * x=1,y=1", "0 * * path:/a * x=2,z=1", false),
            ("0 * * pattern:/u/{a}", "0 * * pattern:/u/{b}", true),
            ("0 * * pattern:/u/{a}", "0 * * pattern:/v/{b}", false),
            ("0 * * pattern:/u/{a}", "0 * * pattern:/{b}/x", true),
            ("0 * * pattern:/u/{a}", "0 * * pattern:/{b}/", false),
            ("0 * * pattern:/u/{a}/x", "0 * * pattern:/u/{b}/y", false),
            ("0 * * pattern:/u/{a}", "0 * * pattern:/u/{b}/{c}", false),
            ("0 * * pattern:/u/{a}", "0 * * pattern:/u/{b...}", false),
            ("0 * * regex:^/a", "0 * * regex:^/a", true),
            ("0 * * regex:^/a", "0 * * regex:^/b", false),
            ("1 * * path:/a", "0 * * path:/b", false),
        ] {
            let expected = if tied { vec![(1, 0, ConflictKind::Tied)] } else { Vec::new() };
            assert_eq!(conflicts(&[first, second]), expected, "{first} | {second}");
        }
    }

    #[test]
    fn a_route_that_another_one_covers_can_never_match() {
        for (wide, narrow, never) in [
            ("1 * * prefix:/", "0 * * path:/a", true),
            ("1 * *", "0 * * regex:^/a", true),
            ("1 * * prefix:/a", "0 * * path:/a/b", true),
            ("1 * * prefix:/a", "0 * * path:/a", true),
            ("1 * * prefix:/a", "0 * * path:/ab", false),
            ("1 * * prefix:/a", "0 * * prefix:/a/b/", true),
            ("1 * * prefix:/a", "0 * * prefix:/", false),
            ("1 * * prefix:/a", "0 * * pattern:/a/{x}/b", true),
            ("1 * * prefix:/a", "0 * * pattern:/{x}/b", false),
            ("1 * * prefix:/a", "0 * * regex:^/a/", false),
            ("1 * * path:/a", "0 * * path:/a", true),
            ("1 * * path:/a", "0 * * prefix:/a", false),
            ("1 * * pattern:/u/{x}", "0 * * path:/u/me", true),
            ("1 * * pattern:/u/{x}", "0 * * path:/u/", false),
            ("1 * * pattern:/u/{x}", "0 * * pattern:/u/{y}", true),
            ("1 * * pattern:/{x}/{y}", "0 * * pattern:/u/{y}", true),
            ("1 * * pattern:/u/{x}/", "0 * * path:/u/me/", true),
            ("1 * * regex:^/a", "0 * * regex:^/a", true),
            ("1 * * path:/a GET", "0 * * path:/a", false),
            ("1 * * path:/a", "0 * * path:/a GET", true),
            ("1 * * path:/a GET", "0 * * path:/a HEAD", true),
            ("1 * * path:/a GET", "0 * * path:/a HEAD,POST", false),
            ("1 * * path:/a * x=1", "0 * * path:/a", false),
            ("1 * * path:/a * x=1", "0 * * path:/a * x=1", true),
            ("1 * * path:/a", "0 * * path:/a * x=1", true),
            ("1 0 * path:/a", "0 * * path:/a", false),
            ("1 * * path:/a", "0 0 * path:/a", true),
            ("1 0 * path:/a", "0 0 * path:/a", true),
            ("1 * a.com path:/a", "0 * * path:/a", false),
            ("1 * * path:/a", "0 * a.com path:/a", true),
            ("1 * *.com path:/a", "0 * a.com path:/a", true),
            ("1 * *.com path:/a", "0 * *.a.com path:/a", true),
            ("1 * *.a.com path:/a", "0 * a.com path:/a", false),
            ("1 * a.com path:/a", "0 * a.com,b.com path:/a", false),
            ("1 * a.com,b.com path:/a", "0 * a.com,b.com path:/a", true),
            ("0 * * pattern:/a/{rest...}", "0 * * prefix:/a/b", true),
            ("0 * * pattern:/a/{rest...}", "0 * * path:/a/b", false),
            ("0 * * regex:^/", "0 * * prefix:/a", true),
            ("0 * * regex:^/", "0 * * prefix:/", false),
        ] {
            let expected = if never { vec![(0, 1, ConflictKind::NeverMatches)] } else { Vec::new() };
            assert_eq!(conflicts(&[narrow, wide]), expected, "{wide} | {narrow}");
        }
    }

    #[test]
    fn every_conflict_is_reported_in_the_files_order() {
        let found = conflicts(&[
            "1 * * prefix:/a",
            "0 * * path:/a/b",
            "0 * * path:/c",
            "0 * * path:/c",
            "0 * * path:/d",
        ]);
        assert_eq!(found, [(1, 0, ConflictKind::NeverMatches), (3, 2, ConflictKind::Tied)]);
        let Err(found) = build(&["0 * * path:/c", "0 * * path:/c"]) else { panic!("refused") };
        assert!(found[0].to_string().starts_with("nothing tells this route apart from `0 * * path:/c`"));
    }
}
