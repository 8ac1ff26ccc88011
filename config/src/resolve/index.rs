//! Names of one kind: which there are, and which are used.

use std::cell::{Cell, OnceCell};
use std::collections::HashMap;

use crate::file::reader::Text;
use crate::file::sink::{Sink, quote_key};

/// Errors after which the nearest name is no longer searched for: it takes time for each name of the file.
const SUGGESTIONS_MAX: usize = 20;
/// The most names that a message lists.
const LISTED_MAX: usize = 8;

/// The names of one kind, with the numbers that they get.
pub(super) struct Index<'a> {
    kind: &'static str,
    numbers: HashMap<&'a str, usize>,
    /// By number: where it stands, and whether something refers to it.
    places: Vec<(usize, Cell<bool>)>,
    /// The first names, for messages: sorted once, since there may be as many errors as names.
    listed: OnceCell<String>,
}

impl<'a> Index<'a> {
    /// The names in order, each with its place.
    pub(super) fn new(kind: &'static str, names: impl Iterator<Item = (&'a str, usize)>) -> Self {
        let mut numbers = HashMap::new();
        let mut places = Vec::new();
        for (name, at) in names {
            numbers.insert(name, places.len());
            places.push((at, Cell::new(false)));
        }
        Self { kind, numbers, places, listed: OnceCell::new() }
    }

    /// The number of a name that a key refers to, or an error.
    pub(super) fn find(&self, sink: &Sink<'_>, name: &Text<'_>) -> Option<usize> {
        if name.is_unknown {
            return None;
        }
        if let Some(&number) = self.numbers.get(&*name.value) {
            if let Some((_, is_used)) = self.places.get(number) {
                is_used.set(true);
            }
            return Some(number);
        }
        let near = (sink.error_count() < SUGGESTIONS_MAX)
            .then(|| ringway_filters::nearest(name.typed, self.numbers.keys().copied()))
            .flatten();
        let (kind, typed) = (self.kind, name.typed);
        let fix = match near {
            Some(near) => format!("did you mean `{near}`?"),
            None if self.numbers.is_empty() => format!("add `[{kind}s.{}]`", quote_key(typed)),
            None => format!("known: {}", self.listed.get_or_init(|| self.list())),
        };
        sink.error(name.at, format!("there is no {kind} `{typed}`; {fix}"));
        None
    }

    /// Warns of what nothing refers to.
    pub(super) fn warn_of_unused(&self, sink: &Sink<'_>, advice: &str) {
        for (at, is_used) in &self.places {
            if !is_used.get() {
                sink.warn(*at, format!("no route uses this {}; {advice}", self.kind));
            }
        }
    }

    fn list(&self) -> String {
        let mut names: Vec<&str> = self.numbers.keys().copied().collect();
        names.sort_unstable();
        let more = if names.len() > LISTED_MAX { ", ..." } else { "" };
        names.truncate(LISTED_MAX);
        format!("{}{more}", names.join(", "))
    }
}
