//! Reads tables key by key: what is asked for is known, whatever else stands there is an unknown key.
//! An error is noted and reading goes on, so that one run finds them all.

use std::borrow::Cow;
use std::ops::RangeInclusive;
use std::time::Duration;

use ringway_filters::nearest;
use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use super::sink::{Sink, holds_secret, quote, quote_key, show, show_inline};
use super::values;
use crate::load::Secrets;

/// As many keys as most tables may hold, so that noting them allocates once.
const SEEN: usize = 24;

/// A table of the file, or one that is absent and has only defaults.
pub(crate) struct Table<'a> {
    /// Where errors go.
    pub(crate) sink: &'a Sink<'a>,
    /// Where it stands: its name, or its opening brace.
    pub(crate) at: usize,
    entries: Option<&'a DeTable<'a>>,
    /// Its path with `NAME` for the operator's names, such as `routes.NAME.match`.
    schema: &'static str,
    /// The keys asked for so far.
    seen: Vec<&'static str>,
    /// The effective lines; empty unless the sink is recording.
    shown: Vec<(String, String)>,
}

/// A value of the file.
#[derive(Clone, Copy)]
pub(crate) struct Value<'a> {
    /// Where errors go.
    pub(crate) sink: &'a Sink<'a>,
    /// Where it starts.
    pub(crate) at: usize,
    /// Where its key starts; of an item, where the item starts.
    pub(crate) key_at: usize,
    item: &'a Spanned<DeValue<'a>>,
    /// A word that is valid in this place too, for messages.
    also: Option<&'static str>,
}

/// A string value, with what a reference in its place stood for.
#[derive(Debug, Clone)]
pub(crate) struct Text<'a> {
    /// The string that is meant.
    pub(crate) value: Cow<'a, str>,
    /// The string that is typed: the reference, where it is one. Only this one may be shown.
    pub(crate) typed: &'a str,
    /// Where it stands.
    pub(crate) at: usize,
    /// Whether it is a reference that was left alone, so that nothing is known of what it stands for.
    pub(crate) is_unknown: bool,
}

impl<'a> Table<'a> {
    /// A table that stands in the file.
    pub(crate) fn new(sink: &'a Sink<'a>, entries: &'a DeTable<'a>, at: usize, schema: &'static str) -> Self {
        Self { sink, at, entries: Some(entries), schema, seen: Vec::with_capacity(SEEN), shown: Vec::new() }
    }

    /// One that does not.
    pub(crate) fn absent(sink: &'a Sink<'a>, at: usize, schema: &'static str) -> Self {
        Self { sink, at, entries: None, schema, seen: Vec::new(), shown: Vec::new() }
    }

    /// The value of a key, which is known from here on.
    pub(crate) fn take(&mut self, key: &'static str) -> Option<Value<'a>> {
        self.seen.push(key);
        if self.sink.recording {
            self.sink.knows(self.schema, key);
        }
        let (name, value) = self.entries?.get_key_value(key)?;
        self.show(key, || show(value.get_ref()));
        Some(Value::new(self.sink, name, value))
    }

    /// Where the value of a key stands, if it is there.
    pub(crate) fn peek_at(&self, key: &str) -> Option<usize> {
        Some(self.entries?.get(key)?.span().start)
    }

    /// Whether nothing stands in it.
    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_none_or(DeTable::is_empty)
    }

    /// Every entry in the file's order, for tables whose keys are the operator's.
    pub(crate) fn named(&self) -> Vec<(&'a str, Value<'a>)> {
        let mut entries: Vec<_> = self.entries.iter().flat_map(|entries| entries.iter()).collect();
        entries.sort_unstable_by_key(|(name, _)| name.span().start);
        entries
            .into_iter()
            .map(|(name, value)| (name.get_ref().as_ref(), Value::new(self.sink, name, value)))
            .collect()
    }

    /// A table below this one, or `None` when it is absent. Give it back to [`Table::close`].
    pub(crate) fn open(&mut self, key: &'static str, schema: &'static str) -> Option<Self> {
        self.take(key)?.table(schema)
    }

    /// Ends a table below this one: whatever it was not asked for is unknown.
    pub(crate) fn close(&mut self, key: &'static str, below: Self) {
        self.show(key, || show_inline(&below.shown));
        below.finish();
    }

    /// Ends a table that is a section of its own.
    pub(crate) fn close_section(self, name: &str) {
        if self.sink.recording {
            self.sink.section(name, &self.shown);
        }
        self.finish();
    }

    /// Ends this table: whatever it was not asked for is unknown.
    pub(crate) fn finish(self) {
        for (name, _) in self.entries.iter().flat_map(|entries| entries.iter()) {
            let typed = name.get_ref().as_ref();
            if !self.seen.contains(&typed) {
                let meant = nearest(typed, self.seen.iter().copied())
                    .map_or_else(String::new, |word| format!("; did you mean `{word}`?"));
                let known = self.seen.join(", ");
                self.sink
                    .error(name.span().start, format!("unknown key `{typed}`{meant}; known here: {known}"));
            }
        }
    }

    /// The effective lines, for an item of a list.
    pub(crate) fn shown_inline(&self) -> String {
        show_inline(&self.shown)
    }

    /// What the effective text says for a key.
    pub(crate) fn show(&mut self, key: &'static str, text: impl FnOnce() -> String) {
        if !self.sink.recording {
            return;
        }
        let (key, text) = (quote_key(key), text());
        match self.shown.iter_mut().find(|(name, _)| *name == key) {
            Some(line) => line.1 = text,
            None => self.shown.push((key, text)),
        }
    }

    /// Notes that a key is missing.
    pub(crate) fn missing(&self, key: &str, example: &str) {
        self.sink.error(self.at, format!("`{key}` is missing; write for example `{example}`"));
    }

    /// A boolean.
    pub(crate) fn flag(&mut self, key: &'static str, default: bool) -> bool {
        let Some(value) = self.take(key) else {
            self.show(key, || default.to_string());
            return default;
        };
        value.flag().unwrap_or(default)
    }

    /// A whole number within bounds.
    pub(crate) fn number(&mut self, key: &'static str, default: u64, bounds: RangeInclusive<u64>) -> u64 {
        let Some(value) = self.take(key) else {
            self.show(key, || default.to_string());
            return default;
        };
        value.number(bounds).unwrap_or(default)
    }

    /// A duration within bounds.
    pub(crate) fn duration(
        &mut self,
        key: &'static str,
        default: Duration,
        bounds: RangeInclusive<Duration>,
    ) -> Duration {
        let Some(value) = self.take(key) else {
            self.show(key, || quote(&values::show_duration(default)));
            return default;
        };
        value.duration(bounds).unwrap_or(default)
    }

    /// One of a few words.
    pub(crate) fn word<T: Copy + PartialEq>(
        &mut self,
        key: &'static str,
        words: &[(&'static str, T)],
        default: T,
    ) -> T {
        let Some(value) = self.take(key) else {
            if let Some((word, _)) = words.iter().find(|(_, meaning)| *meaning == default) {
                self.show(key, || quote(word));
            }
            return default;
        };
        value.word(words).unwrap_or(default)
    }

    /// A string that may be absent.
    pub(crate) fn text(&mut self, key: &'static str) -> Option<Text<'a>> {
        self.take(key)?.text("a string")
    }

    /// A list of strings that may be absent.
    pub(crate) fn texts(&mut self, key: &'static str) -> Option<Vec<Text<'a>>> {
        let items = self.take(key)?.list("a list of strings")?;
        Some(items.into_iter().filter_map(|item| item.text("a string")).collect())
    }
}

impl<'a> Value<'a> {
    fn new(sink: &'a Sink<'a>, key: &Spanned<DeString<'a>>, value: &'a Spanned<DeValue<'a>>) -> Self {
        let (at, key_at) = (value.span().start, key.span().start);
        Self { sink, at, key_at, item: value, also: None }
    }

    /// Notes that something else was expected.
    pub(crate) fn wrong<T>(&self, expected: &str) -> Option<T> {
        let also = self.also.map_or_else(String::new, |word| format!(", or \"{word}\""));
        self.sink.error(self.at, format!("expected {expected}{also}, found {}", found(self.raw())));
        None
    }

    /// Sets a place to `None` when the value is that word, otherwise to what `read` makes of it.
    pub(crate) fn set_unless<T>(
        mut self,
        word: &'static str,
        place: &mut Option<T>,
        read: impl FnOnce(&Self) -> Option<T>,
    ) {
        if self.raw().as_str() == Some(word) {
            *place = None;
            return;
        }
        self.also = Some(word);
        if let Some(found) = read(&self) {
            *place = Some(found);
        }
    }

    /// The value as it stands.
    pub(crate) fn raw(&self) -> &'a DeValue<'a> {
        self.item.get_ref()
    }

    /// A copy of the value with its place, in which references are looked up. What they stand for passes
    /// through `write`, for values in which some bytes mean something.
    pub(crate) fn spanned(&self, write: fn(String) -> String) -> Spanned<DeValue<'a>> {
        let mut copy = self.item.clone();
        self.look_up_all(&mut copy, write);
        copy
    }

    /// The value as it may be shown, if what it is read as may not.
    pub(crate) fn shown_instead(&self) -> Option<String> {
        fn hides(value: &DeValue<'_>) -> bool {
            match value {
                DeValue::String(text) => is_reference(text),
                DeValue::Array(items) => items.iter().any(|item| hides(item.get_ref())),
                DeValue::Table(entries) => entries.iter().any(|(key, value)| {
                    holds_secret(key.get_ref(), value.get_ref()) || hides(value.get_ref())
                }),
                DeValue::Integer(_) | DeValue::Float(_) | DeValue::Boolean(_) | DeValue::Datetime(_) => false,
            }
        }
        hides(self.raw()).then(|| show(self.raw()))
    }

    /// Warns of secrets that are written in the file itself.
    pub(crate) fn warn_of_secrets(&self) {
        let entries = self.raw().as_table().into_iter().flatten();
        for (key, value) in entries.filter_map(|(_, below)| below.get_ref().as_table()).flatten() {
            if holds_secret(key.get_ref(), value.get_ref()) {
                let message = "this looks like a secret; write `env:NAME` or `file:PATH` instead";
                self.sink.warn(key.span().start, message);
            }
        }
    }

    fn look_up_all(&self, value: &mut Spanned<DeValue<'a>>, write: fn(String) -> String) {
        let at = value.span().start;
        match value.get_mut() {
            DeValue::String(text) => {
                if let Some(looked_up) = self.look_up(text, at) {
                    self.sink.hide(at);
                    *text = Cow::Owned(write(looked_up));
                }
            }
            DeValue::Array(items) => items.iter_mut().for_each(|item| self.look_up_all(item, write)),
            DeValue::Table(entries) => {
                entries.iter_mut().for_each(|(_, value)| self.look_up_all(value, write));
            }
            DeValue::Integer(_) | DeValue::Float(_) | DeValue::Boolean(_) | DeValue::Datetime(_) => {}
        }
    }

    /// Whether it is a table.
    pub(crate) fn is_table(&self) -> bool {
        self.raw().is_table()
    }

    /// Whether it is a list.
    pub(crate) fn is_list(&self) -> bool {
        self.raw().is_array()
    }

    /// A table.
    pub(crate) fn table(&self, schema: &'static str) -> Option<Table<'a>> {
        match self.raw().as_table() {
            Some(entries) => Some(Table::new(self.sink, entries, self.key_at, schema)),
            None => self.wrong("a table"),
        }
    }

    /// The items of a list.
    pub(crate) fn list(&self, expected: &str) -> Option<Vec<Self>> {
        let Some(items) = self.raw().as_array() else { return self.wrong(expected) };
        let item = |item: &'a Spanned<DeValue<'a>>| {
            let at = item.span().start;
            Self { sink: self.sink, at, key_at: at, item, also: None }
        };
        Some(items.iter().map(item).collect())
    }

    /// A boolean.
    pub(crate) fn flag(&self) -> Option<bool> {
        self.raw().as_bool().or_else(|| self.wrong("true or false"))
    }

    /// A whole number within bounds.
    pub(crate) fn number(&self, bounds: RangeInclusive<u64>) -> Option<u64> {
        let number = self.integer().and_then(|number| u64::try_from(number).ok());
        match number.filter(|number| bounds.contains(number)) {
            Some(number) => Some(number),
            None => self.wrong(&format!("a whole number from {} to {}", bounds.start(), bounds.end())),
        }
    }

    /// A whole number that may be below zero, within bounds.
    pub(crate) fn signed(&self, bounds: RangeInclusive<i64>) -> Option<i64> {
        match self.integer().filter(|number| bounds.contains(number)) {
            Some(number) => Some(number),
            None => self.wrong(&format!("a whole number from {} to {}", bounds.start(), bounds.end())),
        }
    }

    /// A duration within bounds.
    pub(crate) fn duration(&self, bounds: RangeInclusive<Duration>) -> Option<Duration> {
        let (low, high) = (values::show_duration(*bounds.start()), values::show_duration(*bounds.end()));
        let expected = format!("a duration from \"{low}\" to \"{high}\" with its unit (ms, s, m or h)");
        self.unit(&expected, |text| values::parse_duration(text).filter(|value| bounds.contains(value)))
    }

    /// A size within bounds.
    pub(crate) fn size(&self, bounds: RangeInclusive<u64>) -> Option<u64> {
        let (low, high) = (values::show_size(*bounds.start()), values::show_size(*bounds.end()));
        let expected = format!("a size from \"{low}\" to \"{high}\" with its unit (B, KB, MB or GB)");
        self.unit(&expected, |text| values::parse_size(text).filter(|value| bounds.contains(value)))
    }

    /// Bytes a second within bounds.
    pub(crate) fn rate(&self, bounds: RangeInclusive<u64>) -> Option<u64> {
        let (low, high) = (values::show_size(*bounds.start()), values::show_size(*bounds.end()));
        let expected = format!("a rate from \"{low}/s\" to \"{high}/s\"");
        self.unit(&expected, |text| values::parse_rate(text).filter(|value| bounds.contains(value)))
    }

    /// One of a few words.
    pub(crate) fn word<T: Clone>(&self, words: &[(&'static str, T)]) -> Option<T> {
        self.word_or("", words)
    }

    /// One of a few words, where something else could stand too.
    pub(crate) fn word_or<T: Clone>(&self, other: &str, words: &[(&'static str, T)]) -> Option<T> {
        let mut all: Vec<String> = words.iter().map(|(word, _)| quote(word)).collect();
        all.extend((!other.is_empty()).then(|| other.to_owned()));
        let expected = if all.len() == 1 { all.concat() } else { format!("one of {}", all.join(", ")) };
        let text = self.text(&expected)?;
        if text.is_unknown {
            return None;
        }
        let meaning = words.iter().find(|(word, _)| *word == text.value).map(|(_, meaning)| meaning.clone());
        if meaning.is_none() {
            let meant = nearest(text.typed, words.iter().map(|(word, _)| *word));
            let meant = meant.map_or_else(String::new, |word| format!("; did you mean \"{word}\"?"));
            self.sink.error(self.at, format!("expected {expected}, found {}{meant}", quote(text.typed)));
        }
        meaning
    }

    /// A string; `env:NAME` and `file:PATH` are looked up.
    pub(crate) fn text(&self, expected: &str) -> Option<Text<'a>> {
        let Some(typed) = self.raw().as_str() else { return self.wrong(expected) };
        let plain = Text { value: Cow::Borrowed(typed), typed, at: self.at, is_unknown: false };
        if !is_reference(typed) {
            return Some(plain);
        }
        if self.sink.secrets == Secrets::Ignore {
            return Some(Text { is_unknown: true, ..plain });
        }
        let value = self.look_up(typed, self.at)?;
        Some(Text { value: Cow::Owned(value), ..plain })
    }

    /// What a reference stands for, unless references are left alone or it is missing.
    fn look_up(&self, typed: &str, at: usize) -> Option<String> {
        if self.sink.secrets == Secrets::Ignore {
            return None;
        }
        let found = if let Some(name) = typed.strip_prefix("env:") {
            (self.sink.environment)(name)
                .ok_or_else(|| format!("the environment has no variable `{name}`; set it before the start"))
        } else if let Some(path) = typed.strip_prefix("file:") {
            std::fs::read_to_string(self.sink.base.join(path))
                .map(|content| content.trim_end_matches(['\r', '\n']).to_owned())
                .map_err(|error| format!("the file `{path}` cannot be read: {error}"))
        } else {
            return None;
        };
        found.map_err(|message| self.sink.error(at, message)).ok()
    }

    fn integer(&self) -> Option<i64> {
        let number = self.raw().as_integer()?;
        i64::from_str_radix(number.as_str(), number.radix()).ok()
    }

    fn unit<T>(&self, expected: &str, parse: impl Fn(&str) -> Option<T>) -> Option<T> {
        let text = self.text(expected)?;
        if text.is_unknown {
            return None;
        }
        parse(&text.value).or_else(|| self.wrong(expected))
    }
}

impl Text<'_> {
    /// A message with what was found instead, as it is typed.
    pub(crate) fn found(&self, message: &str) -> String {
        if is_reference(self.typed) {
            self.hide(message)
        } else {
            format!("{message}; found {}", quote(self.typed))
        }
    }

    /// A message that quotes the value: kept as it is, unless the value came by reference.
    pub(crate) fn hide(&self, message: &str) -> String {
        if is_reference(self.typed) {
            format!("what {} stands for is not valid here", quote(self.typed))
        } else {
            message.to_owned()
        }
    }
}

/// Whether a string stands for what is elsewhere.
fn is_reference(text: &str) -> bool {
    text.starts_with("env:") || text.starts_with("file:")
}

/// What a value is, for a message. Strings are shown as typed, so a reference never shows what it stands for.
fn found(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) if text.chars().count() > 60 => "a long string".to_owned(),
        DeValue::Array(_) => "a list".to_owned(),
        DeValue::Table(_) => "a table".to_owned(),
        DeValue::String(_)
        | DeValue::Integer(_)
        | DeValue::Float(_)
        | DeValue::Boolean(_)
        | DeValue::Datetime(_) => show(value),
    }
}
