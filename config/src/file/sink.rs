//! Where reading leaves what it finds: errors and warnings by their place in the text, and, when asked,
//! the effective text and the list of keys that it knows.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};
use std::path::Path;

use toml::de::{DeTable, DeValue};

use crate::error::ConfigError;
use crate::load::Secrets;

/// What reading one file leaves behind, and what it needs to look up references.
pub(crate) struct Sink<'a> {
    /// Whether references are looked up.
    pub(crate) secrets: Secrets,
    /// What relative paths are relative to.
    pub(crate) base: &'a Path,
    /// The value of an environment variable.
    pub(crate) environment: &'a dyn Fn(&str) -> Option<String>,
    /// Whether the effective text is wanted.
    pub(crate) recording: bool,
    /// Byte offset and message.
    errors: RefCell<Vec<(usize, String)>>,
    /// Byte offset and message.
    warnings: RefCell<Vec<(usize, String)>>,
    /// Where references stood that were looked up.
    hidden: RefCell<BTreeSet<usize>>,
    /// Sections of the effective text; empty unless recording.
    sections: RefCell<String>,
    /// Every key asked for, with the path of its table; empty unless recording.
    known: RefCell<BTreeSet<(&'static str, &'static str)>>,
}

impl<'a> Sink<'a> {
    /// An empty one.
    pub(crate) fn new(
        base: &'a Path,
        secrets: Secrets,
        environment: &'a dyn Fn(&str) -> Option<String>,
        recording: bool,
    ) -> Self {
        Self {
            secrets,
            base,
            environment,
            recording,
            errors: RefCell::default(),
            warnings: RefCell::default(),
            hidden: RefCell::default(),
            sections: RefCell::default(),
            known: RefCell::default(),
        }
    }

    /// Notes an error at a byte offset.
    pub(crate) fn error(&self, at: usize, message: impl Into<String>) {
        self.errors.borrow_mut().push((at, message.into()));
    }

    /// Notes that what stands at an offset was looked up, so that no message of another room may quote it.
    pub(crate) fn hide(&self, at: usize) {
        self.hidden.borrow_mut().insert(at);
    }

    /// Notes an error of another room, which knows nothing of references.
    pub(crate) fn error_elsewhere(&self, at: usize, message: String) {
        if self.hidden.borrow().contains(&at) {
            self.error(at, "what this reference stands for is not valid here");
        } else {
            self.error(at, message);
        }
    }

    /// Notes what is legal but probably not meant.
    pub(crate) fn warn(&self, at: usize, message: impl Into<String>) {
        self.warnings.borrow_mut().push((at, message.into()));
    }

    /// Whether anything is wrong so far.
    pub(crate) fn has_errors(&self) -> bool {
        !self.errors.borrow().is_empty()
    }

    /// How many things are wrong so far.
    pub(crate) fn error_count(&self) -> usize {
        self.errors.borrow().len()
    }

    /// Adds one section to the effective text.
    pub(crate) fn section(&self, name: &str, lines: &[(String, String)]) {
        let mut sections = self.sections.borrow_mut();
        if !sections.is_empty() {
            sections.push('\n');
        }
        sections.push('[');
        sections.push_str(name);
        sections.push_str("]\n");
        for (key, value) in lines {
            sections.push_str(key);
            sections.push_str(" = ");
            sections.push_str(value);
            sections.push('\n');
        }
    }

    /// Notes that the table of that path may hold this key.
    pub(crate) fn knows(&self, table: &'static str, key: &'static str) {
        self.known.borrow_mut().insert((table, key));
    }

    /// The effective text.
    pub(crate) fn into_sections(self) -> String {
        self.sections.into_inner()
    }

    /// Every key asked for: the path of its table, and the key.
    #[cfg(test)]
    pub(crate) fn into_known(self) -> BTreeSet<(&'static str, &'static str)> {
        self.known.into_inner()
    }

    /// The errors and the warnings, in the file's order, with their places and keys.
    pub(crate) fn render(
        self,
        file: &str,
        text: &str,
        document: &DeTable<'_>,
    ) -> (Vec<ConfigError>, Vec<ConfigError>) {
        let (errors, warnings) = (self.errors.into_inner(), self.warnings.into_inner());
        if errors.is_empty() && warnings.is_empty() {
            return (Vec::new(), Vec::new());
        }
        let places = Places::new(file, text, document);
        (places.place_all(errors), places.place_all(warnings))
    }
}

/// Turns byte offsets into lines, columns and dotted keys. Made only when there is something to say.
struct Places<'a> {
    file: &'a str,
    text: &'a str,
    /// The offset at which each line starts.
    lines: Vec<usize>,
    /// The dotted key of each offset at which a key or a value starts.
    keys: HashMap<usize, String>,
}

impl<'a> Places<'a> {
    fn new(file: &'a str, text: &'a str, document: &DeTable<'_>) -> Self {
        let mut lines = vec![0];
        lines.extend(text.match_indices('\n').map(|(offset, _)| offset + 1));
        let mut keys = HashMap::new();
        name_table(document, "", &mut keys);
        Self { file, text, lines, keys }
    }

    fn place_all(&self, mut found: Vec<(usize, String)>) -> Vec<ConfigError> {
        found.sort_by_key(|(at, _)| *at);
        found.dedup();
        found.into_iter().map(|(at, message)| self.place(at, message)).collect()
    }

    fn place(&self, at: usize, message: String) -> ConfigError {
        let line = self.lines.partition_point(|&start| start <= at).max(1);
        let start = self.lines.get(line - 1).copied().unwrap_or(0);
        let column = self.text.get(start..at).map_or(0, |before| before.chars().count()) + 1;
        let key = self.keys.get(&at).cloned().unwrap_or_default();
        ConfigError { file: self.file.to_owned(), line, column, key, message }
    }
}

fn name_table(table: &DeTable<'_>, path: &str, keys: &mut HashMap<usize, String>) {
    for (key, value) in table {
        let name = quote_key(key.get_ref());
        let path = if path.is_empty() { name } else { format!("{path}.{name}") };
        name_value(value.get_ref(), &path, keys);
        keys.entry(value.span().start).or_insert_with(|| path.clone());
        keys.insert(key.span().start, path);
    }
}

fn name_value(value: &DeValue<'_>, path: &str, keys: &mut HashMap<usize, String>) {
    if let Some(table) = value.as_table() {
        name_table(table, path, keys);
    } else if let Some(array) = value.as_array() {
        for (index, item) in array.iter().enumerate() {
            let path = format!("{path}[{index}]");
            name_value(item.get_ref(), &path, keys);
            keys.entry(item.span().start).or_insert(path);
        }
    }
}

/// A key as TOML writes it: bare where it may be.
pub(crate) fn quote_key(key: &str) -> String {
    let bare = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if !key.is_empty() && key.bytes().all(bare) { key.to_owned() } else { quote(key) }
}

/// A string as TOML writes it.
pub(crate) fn quote(text: &str) -> String {
    use std::fmt::Write as _;
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            control if control.is_control() => {
                // Writing to a string cannot fail.
                let _ = write!(out, "\\u{:04X}", u32::from(control));
            }
            other => out.push(other),
        }
    }
    out.push('"');
    out
}

/// A value as TOML writes it, in one line.
pub(crate) fn show(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => quote(text),
        DeValue::Integer(number) => number.to_string(),
        DeValue::Float(number) => number.to_string(),
        DeValue::Boolean(flag) => flag.to_string(),
        DeValue::Datetime(time) => time.to_string(),
        DeValue::Array(items) => {
            let items: Vec<String> = items.iter().map(|item| show(item.get_ref())).collect();
            format!("[{}]", items.join(", "))
        }
        DeValue::Table(entries) => {
            let mut entries: Vec<_> = entries.iter().collect();
            entries.sort_by_key(|(key, _)| key.span().start);
            let entries: Vec<(String, String)> =
                entries.into_iter().map(|(key, value)| show_entry(key.get_ref(), value.get_ref())).collect();
            show_inline(&entries)
        }
    }
}

fn show_entry(key: &str, value: &DeValue<'_>) -> (String, String) {
    (quote_key(key), if holds_secret(key, value) { quote(REDACTED) } else { show(value) })
}

/// What stands in place of a secret.
pub(crate) const REDACTED: &str = "redacted";
/// Header names whose values are secrets.
const SECRET: [&str; 8] = [
    "authorization",
    "proxy-authorization",
    "cookie",
    "set-cookie",
    "x-api-key",
    "api-key",
    "x-auth-token",
    "x-access-token",
];

/// Whether a header's value is a secret that is written in the file itself.
pub(crate) fn holds_secret(key: &str, value: &DeValue<'_>) -> bool {
    let is_literal =
        |text: &str| text != REDACTED && !["env:", "file:", "$"].iter().any(|start| text.starts_with(start));
    value.as_str().is_some_and(is_literal) && SECRET.iter().any(|name| key.eq_ignore_ascii_case(name))
}

/// An inline table of keys and values that are written already.
pub(crate) fn show_inline(entries: &[(String, String)]) -> String {
    if entries.is_empty() {
        return "{}".to_owned();
    }
    let entries: Vec<String> = entries.iter().map(|(key, value)| format!("{key} = {value}")).collect();
    format!("{{ {} }}", entries.join(", "))
}
