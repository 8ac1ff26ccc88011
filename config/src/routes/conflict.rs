//! Routes that cannot stand beside each other.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

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

type Pairs = HashSet<(u32, u32, ConflictKind)>;

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

/// Something that a rule may ask to have one value: it asks for a point in the space of these, and two rules overlap if
/// they agree in all the dimensions that both have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Dimension<'a> {
    Segment(usize),
    Header(&'a str),
    Query(&'a str),
}

type Point<'a> = Vec<(Dimension<'a>, &'a str)>;

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
    // Both are sorted by name already.
    point.extend(rule.headers.iter().map(|field| (Dimension::Header(field.name()), field.value())));
    point.extend(rule.query.iter().map(|parameter| (Dimension::Query(parameter.name()), parameter.value())));
    point
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

/// Routes of one host and one shape. Those with the same dimensions are compared by a hash of their points; those with
/// different ones by a hash of what the points have in common. There are few sets of dimensions in one group.
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
