//! The index: from a request to its best route without looking at the others.
//!
//! Hosts and paths are tries over labels and segments. A host leads to at most one bucket for itself, one for each
//! wildcard above it and one for any host; each bucket has a root in the trie of paths, where exact paths, prefixes
//! and patterns share their literal segments, and a list of regular expressions. Every entry has a rank, its place in
//! the order of all routes, so the search keeps the best rank so far and skips whatever cannot be better: a subtree,
//! a list's rest, a bucket, a regular expression.

use ringway_http::Method;

use super::Lookup;
use super::order::Place;
use super::path::{PathRule, Pattern, Piece, split_segment};
use super::rule::{HostRule, METHODS, MethodRule, RouteRule};
use super::trie::{NONE, Trie};
use crate::regex::Scratch;

/// What is left to do once a route is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Capture {
    Nothing,
    Parameters,
}

#[derive(Debug, Default)]
pub(super) struct Index {
    /// By rank.
    entries: Vec<Entry>,
    hosts: Trie<HostNode>,
    paths: Trie<PathNode>,
    buckets: Vec<Bucket>,
    /// The bucket for any host.
    any: u32,
}

/// One place in the order, with what decides most requests close by.
#[derive(Debug)]
struct Entry {
    route: u32,
    /// The next entry of the same list, which has a higher rank.
    next: u32,
    methods: u16,
    /// Whether the methods are all that is left to check once host and path match.
    plain: bool,
    /// Whether its path has parameters to capture.
    captures: bool,
}

#[derive(Debug)]
struct HostNode {
    /// The bucket for the host that ends here.
    exact: u32,
    /// The bucket for every host below this one.
    below: u32,
}

impl Default for HostNode {
    fn default() -> Self {
        Self { exact: NONE, below: NONE }
    }
}

#[derive(Debug)]
struct PathNode {
    /// The child over a parameter.
    param: u32,
    /// Entries for the path that ends here, the best first.
    here: u32,
    /// Entries for that path and all below it, the best first.
    under: u32,
    /// The best rank at this node and below it.
    best: u32,
}

impl Default for PathNode {
    fn default() -> Self {
        Self { param: NONE, here: NONE, under: NONE, best: NONE }
    }
}

#[derive(Debug)]
struct Bucket {
    root: u32,
    /// Ranks, the best first.
    regexes: Vec<u32>,
    best: u32,
}

fn is_plain(rule: &RouteRule) -> bool {
    let conditions = !rule.listeners.is_empty() || !rule.headers.is_empty() || !rule.query.is_empty();
    !conditions && !matches!(rule.path, PathRule::Regex(_))
}

const ANY_METHOD: u16 = u16::MAX;
/// A bit that no known method has: some method without a name of its own is listed.
const OTHERS: u16 = 1 << 15;

fn bit(method: Method) -> u16 {
    METHODS.iter().position(|(known, _)| *known == method).map_or(OTHERS, |at| 1 << at)
}

fn method_bits(methods: &[MethodRule]) -> u16 {
    if methods.is_empty() {
        return ANY_METHOD;
    }
    // HEAD is answered where GET is (RFC 9110, 9.3.2).
    let with_head = |bits: u16| if bits & bit(Method::Get) == 0 { bits } else { bits | bit(Method::Head) };
    with_head(methods.iter().fold(0, |bits, method| bits | bit(method.method())))
}

/// Whether a list of methods admits a method.
pub(super) fn admits(methods: &[MethodRule], method: Method, text: &str) -> bool {
    admits_bits(method_bits(methods), methods, method, text)
}

fn admits_bits(bits: u16, methods: &[MethodRule], method: Method, text: &str) -> bool {
    match bits & bit(method) {
        0 => false,
        OTHERS => bits == ANY_METHOD || methods.iter().any(|rule| rule.as_str() == text),
        _ => true,
    }
}

/// Whether two lists of methods have one in common.
pub(super) fn methods_overlap(left: &[MethodRule], right: &[MethodRule]) -> bool {
    let both = method_bits(left) & method_bits(right);
    let known = both & !OTHERS != 0;
    known || left.is_empty() || right.is_empty() || left.iter().any(|method| right.contains(method))
}

/// Whether the first list admits all that the second admits.
pub(super) fn methods_cover(all: &[MethodRule], some: &[MethodRule]) -> bool {
    all.is_empty() || (!some.is_empty() && some.iter().all(|rule| admits(all, rule.method(), rule.as_str())))
}

impl Index {
    /// Builds it from the places in their order.
    pub(super) fn new(rules: &[RouteRule], places: &[Place]) -> Self {
        let mut index = Self { any: NONE, ..Self::default() };
        let host_root = index.hosts.add();
        for place in places {
            let Some(rule) = rules.get(place.route as usize) else { continue };
            index.entries.push(Entry {
                route: place.route,
                next: NONE,
                methods: method_bits(&rule.methods),
                plain: is_plain(rule),
                captures: matches!(rule.path, PathRule::Pattern(_)),
            });
        }
        // From the last to the first: an entry put before the others keeps a list in order, and the rank that a node
        // or bucket sees last is its best.
        for (rank, place) in (0..super::trie::id(places.len())).zip(places).rev() {
            if let Some(rule) = rules.get(place.route as usize) {
                index.insert(rank, rule, place.host_of(rule), host_root);
            }
        }
        for bucket in &mut index.buckets {
            bucket.regexes.reverse();
        }
        index
    }

    /// Which route has a rank, and whether its path has parameters to capture: most have none, and their rules, which
    /// nothing else may have brought into the cache, are not looked at.
    pub(super) fn route(&self, rank: u32) -> Option<(u32, Capture)> {
        let entry = self.entries.get(rank as usize)?;
        Some((entry.route, if entry.captures { Capture::Parameters } else { Capture::Nothing }))
    }

    fn insert(&mut self, rank: u32, rule: &RouteRule, host: Option<&HostRule>, host_root: u32) {
        let at = self.bucket(host, host_root);
        let Some(bucket) = self.buckets.get_mut(at as usize) else { return };
        bucket.best = rank;
        let root = bucket.root;
        match &rule.path {
            PathRule::Regex(_) => bucket.regexes.push(rank),
            PathRule::Any => self.hang(rank, root, true),
            PathRule::Exact(text) => {
                let node = self.descend(rank, root, text);
                self.hang(rank, node, false);
            }
            PathRule::Prefix(text) => {
                let node = self.descend(rank, root, text);
                self.hang(rank, node, true);
            }
            PathRule::Pattern(pattern) => {
                let node = self.descend_pattern(rank, root, pattern);
                self.hang(rank, node, pattern.has_rest());
            }
        }
    }

    /// The bucket of a host, made if there is none.
    fn bucket(&mut self, host: Option<&HostRule>, host_root: u32) -> u32 {
        let name = match host {
            None => None,
            Some(HostRule::Exact(name) | HostRule::Wildcard(name)) => Some(name),
        };
        let labels = name.into_iter().flat_map(|name| name.rsplit('.'));
        let node = labels.fold(host_root, |node, label| self.hosts.child_or_add(node, label));
        let place = match host {
            None => Some(&mut self.any),
            Some(HostRule::Exact(_)) => self.hosts.value_mut(node).map(|node| &mut node.exact),
            Some(HostRule::Wildcard(_)) => self.hosts.value_mut(node).map(|node| &mut node.below),
        };
        let Some(place) = place else { return NONE };
        if *place == NONE {
            *place = super::trie::id(self.buckets.len());
            self.buckets.push(Bucket { root: self.paths.add(), regexes: Vec::new(), best: NONE });
        }
        *place
    }

    fn descend(&mut self, rank: u32, root: u32, path: &str) -> u32 {
        path.split('/').skip(1).fold(root, |node, segment| {
            self.note_best(node, rank);
            self.paths.child_or_add(node, segment)
        })
    }

    fn descend_pattern(&mut self, rank: u32, root: u32, pattern: &Pattern) -> u32 {
        let mut node = root;
        for piece in pattern.pieces() {
            self.note_best(node, rank);
            node = match piece {
                Piece::Literal(text) => self.paths.child_or_add(node, text),
                Piece::Param(_) => self.param_child(node),
                Piece::Rest(_) => node,
            };
        }
        node
    }

    fn param_child(&mut self, node: u32) -> u32 {
        if let Some(known) = self.paths.value(node).map(|value| value.param).filter(|&child| child != NONE) {
            return known;
        }
        let child = self.paths.add();
        if let Some(value) = self.paths.value_mut(node) {
            value.param = child;
        }
        child
    }

    fn note_best(&mut self, node: u32, rank: u32) {
        if let Some(value) = self.paths.value_mut(node) {
            value.best = rank;
        }
    }

    /// Puts an entry at the head of a node's list.
    fn hang(&mut self, rank: u32, node: u32, under: bool) {
        self.note_best(node, rank);
        let Some(value) = self.paths.value_mut(node) else { return };
        let list = if under { &mut value.under } else { &mut value.here };
        let after = std::mem::replace(list, rank);
        if let Some(entry) = self.entries.get_mut(rank as usize) {
            entry.next = after;
        }
    }
}

/// One look-up under way.
pub(super) struct Search<'a> {
    index: &'a Index,
    rules: &'a [RouteRule],
    want: &'a Lookup<'a>,
    scratch: &'a mut Scratch,
    method: u16,
    /// The best rank so far.
    best: u32,
    /// The known methods of the routes that match in all else.
    missed: u16,
    /// The names of their other methods.
    missed_others: &'a mut String,
}

impl<'a> Search<'a> {
    pub(super) fn new(
        index: &'a Index,
        rules: &'a [RouteRule],
        want: &'a Lookup<'a>,
        scratch: &'a mut Scratch,
        missed_others: &'a mut String,
    ) -> Self {
        Self { index, rules, want, scratch, method: bit(want.method), best: NONE, missed: 0, missed_others }
    }

    /// The best rank, or the known methods of the routes that match in all but the method.
    pub(super) fn run(mut self) -> Result<u32, u16> {
        let host = self.want.host.strip_suffix('.').unwrap_or(self.want.host);
        if !host.is_empty() {
            self.hosts(0, Some(host));
        }
        self.bucket(self.index.any);
        if self.best == NONE { Err(self.missed) } else { Ok(self.best) }
    }

    /// The most specific host first: it is the most likely to make the others unnecessary.
    fn hosts(&mut self, node: u32, rest: Option<&str>) {
        let Some(value) = self.index.hosts.value(node) else { return };
        let Some(text) = rest else {
            self.bucket(value.exact);
            return;
        };
        let (left, label) = split_label(text);
        if let Some(child) = self.index.hosts.child(node, label) {
            self.hosts(child, left);
        }
        if !text.is_empty() {
            self.bucket(value.below);
        }
    }

    fn bucket(&mut self, at: u32) {
        let Some(bucket) = self.index.buckets.get(at as usize) else { return };
        if bucket.best >= self.best {
            return;
        }
        self.paths(bucket.root, self.want.path.strip_prefix('/'));
        for &rank in &bucket.regexes {
            if rank >= self.best {
                break;
            }
            self.consider(rank);
        }
    }

    /// A node, with what is left of the path below it. The trie bounds the depth.
    fn paths(&mut self, node: u32, rest: Option<&str>) {
        let Some(value) = self.index.paths.value(node) else { return };
        if value.best >= self.best {
            return;
        }
        if let Some(text) = rest {
            let (segment, left) = split_segment(text);
            if let Some(child) = self.index.paths.child(node, segment) {
                self.paths(child, left);
            }
            if value.param != NONE && !segment.is_empty() {
                self.paths(value.param, left);
            }
        } else {
            self.list(value.here);
        }
        self.list(value.under);
    }

    fn list(&mut self, first: u32) {
        let mut rank = first;
        while rank < self.best {
            if self.consider(rank) {
                return;
            }
            rank = self.index.entries.get(rank as usize).map_or(NONE, |entry| entry.next);
        }
    }

    /// Checks what the tries do not know; whether the entry is now the best.
    fn consider(&mut self, rank: u32) -> bool {
        let Some(entry) = self.index.entries.get(rank as usize) else { return false };
        if entry.plain && entry.methods == ANY_METHOD {
            self.best = rank;
            return true;
        }
        self.consider_rule(rank, entry)
    }

    fn consider_rule(&mut self, rank: u32, entry: &Entry) -> bool {
        let Some(rule) = self.rules.get(entry.route as usize) else { return false };
        let matches = entry.plain || self.want.meets_conditions(rule);
        // The path of any other kind matches, or the tries would not have led here.
        if !matches
            || matches!(&rule.path, PathRule::Regex(regex) if !regex.is_match(self.want.path, self.scratch))
        {
            return false;
        }
        let bits = entry.methods & self.method;
        if bits != 0 && admits_bits(entry.methods, &rule.methods, self.want.method, self.want.method_text) {
            self.best = rank;
            return true;
        }
        self.missed |= entry.methods;
        for method in rule.methods.iter().filter(|method| method.method() == Method::Other) {
            if !self.missed_others.split(", ").any(|known| known == method.as_str()) {
                push_listed(self.missed_others, method.as_str());
            }
        }
        false
    }
}

/// What stands before the last label, if anything does, and that label.
fn split_label(text: &str) -> (Option<&str>, &str) {
    let dot = text.bytes().rposition(|byte| byte == b'.');
    match dot.and_then(|dot| text.split_at_checked(dot)) {
        Some((left, label)) => (Some(left), label.get(1..).unwrap_or_default()),
        None => (None, text),
    }
}

/// The value of `Allow` from the known methods and, already in `allow`, the names of the others.
pub(super) fn finish_allow(missed: u16, allow: &mut String) {
    let known = METHODS.into_iter().rev().filter(|(method, _)| missed & bit(*method) != 0);
    for (_, name) in known {
        if !allow.is_empty() {
            allow.insert_str(0, ", ");
        }
        allow.insert_str(0, name);
    }
}

fn push_listed(list: &mut String, item: &str) {
    if !list.is_empty() {
        list.push_str(", ");
    }
    list.push_str(item);
}
