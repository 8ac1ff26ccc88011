//! Regular expressions over normalised paths, which are ASCII.
//!
//! All workers share the compiled programs, which nothing writes to. What a search writes to, the states found so far
//! among it, lies in a [`Scratch`], of which each worker has its own: no lock, no shared line, and nothing to allocate
//! once the paths that arrive have been seen.

use std::fmt;
use std::sync::Arc;

use regex_automata::util::primitives::NonMaxUsize;
use regex_automata::util::{captures, syntax};
use regex_automata::{Input, meta};

/// The largest program that one regular expression may compile to.
const BYTES_MAX: usize = 1 << 20;

/// A compiled regular expression. Classes such as `\d` are those of ASCII.
#[derive(Clone)]
pub struct Regex {
    program: Arc<Program>,
    /// Its slot in every scratch. Two may have the same: they only take it from each other.
    slot: u32,
}

struct Program {
    text: String,
    engine: meta::Regex,
}

/// What searches write to. A search fills its own slot at the first use, so that a regular expression that no request
/// reaches costs nothing.
#[derive(Default)]
pub struct Scratch {
    slots: Vec<Option<Box<Slot>>>,
}

struct Slot {
    /// What the cache was made for: with any other it is worthless.
    program: Arc<Program>,
    cache: meta::Cache,
}

impl Regex {
    /// Compiles it, or says in a sentence why not.
    pub fn new(text: &str) -> Result<Self, String> {
        let ascii = syntax::Config::new().unicode(false).utf8(false);
        let config = meta::Config::new().utf8_empty(false).nfa_size_limit(Some(BYTES_MAX));
        match meta::Regex::builder().syntax(ascii).configure(config).build(text) {
            Ok(engine) => Ok(Self { program: Arc::new(Program { text: text.to_owned(), engine }), slot: 0 }),
            Err(error) if error.size_limit().is_some() => {
                Err("the regular expression compiles to more than 1 MiB".to_owned())
            }
            Err(error) => {
                let message = error.syntax_error().map_or_else(|| error.to_string(), ToString::to_string);
                Err(format!("not a regular expression: {}", last_line(&message)))
            }
        }
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.program.text
    }

    /// Its groups; the whole match is the first.
    pub(crate) fn groups(&self) -> &captures::GroupInfo {
        self.program.engine.group_info()
    }

    /// Gives it a slot that is its own among those that one scratch serves.
    pub(crate) fn set_slot(&mut self, slot: u32) {
        self.slot = slot;
    }

    /// Whether it matches somewhere in a path.
    pub fn is_match(&self, path: &str, scratch: &mut Scratch) -> bool {
        let input = Input::new(path).earliest(true);
        let found = scratch.cache(self).and_then(|cache| self.program.engine.search_half_with(cache, &input));
        found.is_some()
    }

    /// The first match at or after an offset: where it is and, in `slots`, where its groups are.
    pub(crate) fn find_at(
        &self,
        path: &str,
        at: usize,
        slots: &mut [Option<NonMaxUsize>],
        scratch: &mut Scratch,
    ) -> Option<(usize, usize)> {
        let input = Input::new(path).span(at..path.len());
        self.program.engine.search_slots_with(scratch.cache(self)?, &input, slots)?;
        group(slots, 0)
    }
}

impl fmt::Debug for Regex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Regex").field(&self.as_str()).finish()
    }
}

impl Scratch {
    /// The cache of one regular expression, made if there is none.
    fn cache(&mut self, regex: &Regex) -> Option<&mut meta::Cache> {
        let at = regex.slot as usize;
        if at >= self.slots.len() {
            self.slots.resize_with(at + 1, || None);
        }
        let place = self.slots.get_mut(at)?;
        if place.as_ref().is_some_and(|slot| !Arc::ptr_eq(&slot.program, &regex.program)) {
            *place = None;
        }
        let slot = place.get_or_insert_with(|| {
            let program = Arc::clone(&regex.program);
            let cache = program.engine.create_cache();
            Box::new(Slot { program, cache })
        });
        Some(&mut slot.cache)
    }

    fn filled(&self) -> impl Iterator<Item = &Slot> {
        self.slots.iter().flatten().map(AsRef::as_ref)
    }
}

impl fmt::Debug for Scratch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes: usize = self.filled().map(|slot| slot.cache.memory_usage()).sum();
        f.debug_struct("Scratch").field("regexes", &self.filled().count()).field("bytes", &bytes).finish()
    }
}

/// Where a group matched.
pub(crate) fn group(slots: &[Option<NonMaxUsize>], number: usize) -> Option<(usize, usize)> {
    let start = slots.get(2 * number).copied().flatten()?;
    let end = slots.get(2 * number + 1).copied().flatten()?;
    Some((start.get(), end.get()))
}

/// The parser's errors draw the place over several lines; the sentence is the last one.
fn last_line(message: &str) -> &str {
    message.lines().last().unwrap_or(message).trim_start_matches("error: ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn regexes(texts: &[&str]) -> Vec<Regex> {
        let mut made: Vec<_> = texts.iter().map(|text| Regex::new(text).unwrap()).collect();
        for (slot, regex) in (0..).zip(&mut made) {
            regex.set_slot(slot);
        }
        made
    }

    #[test]
    fn only_what_was_searched_with_has_a_cache() {
        let texts: Vec<_> = (0..10_000).map(|n| format!("^/r{n}/[a-z]+$")).collect();
        let all = regexes(&texts.iter().map(String::as_str).collect::<Vec<_>>());
        let mut scratch = Scratch::default();
        assert_eq!(scratch.filled().count(), 0);
        for (asked, n) in [7, 9_999, 7, 0].into_iter().enumerate() {
            assert!(all[n].is_match(&format!("/r{n}/x"), &mut scratch), "{n}");
            assert!(!all[n].is_match(&format!("/r{n}/0"), &mut scratch), "{n}");
            assert_eq!(scratch.filled().count(), [1, 2, 2, 3][asked]);
        }
    }

    #[test]
    fn a_slot_is_never_searched_with_by_another() {
        // All of them in slot 0, and of different sizes: a cache of another would be too small, or lie.
        let texts = ["^/a$", "(?:[a-z]+/)*x", r"\bq\b", "", "^/(a|b|c){1,40}$", "/v([0-9]+)/(?<name>[a-z]+)"];
        let all: Vec<_> = texts.iter().map(|text| Regex::new(text).unwrap()).collect();
        let mut shared = Scratch::default();
        for path in ["/a", "/b/x", "/q", "*", "/abcabc", "/v12/list"] {
            for regex in &all {
                let mut slots = [None; 2];
                let found = regex.find_at(path, 0, &mut slots, &mut Scratch::default());
                assert_eq!(regex.find_at(path, 0, &mut slots, &mut shared), found, "{regex:?} {path}");
                assert_eq!(regex.is_match(path, &mut shared), found.is_some(), "{regex:?} {path}");
                assert_eq!(shared.filled().count(), 1);
            }
        }
    }

    #[test]
    fn a_copy_shares_program_and_slot() {
        let first = Regex::new("^/a").unwrap();
        let mut scratch = Scratch::default();
        assert!(first.is_match("/a", &mut scratch));
        let cache: *const _ = scratch.cache(&first).unwrap();
        assert!(std::ptr::eq(cache, scratch.cache(&first.clone()).unwrap()));
    }
}
