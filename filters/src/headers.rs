//! `headers`: removes, renames, sets and adds fields of requests and responses, in this order.
//!
//! ```toml
//! [filters.tidy.headers.request]
//! remove = ["X-Debug"]
//! rename = { X-Old = "X-New" }
//! set = { X-Api-Version = "2", X-Client = "$client_ip" }
//! [filters.tidy.headers.response]
//! add = { X-Served-By = "$route" }
//! ```
//!
//! A route's own `request` and `response` tables have the same form. Values may hold `$variables`, see
//! the `template` module. `set` replaces all lines of that name, `add` appends one, `rename` keeps the values. A value
//! that a variable made invalid (a control byte) is left out, and `set` still removes what was there.

use std::collections::BTreeMap;
use std::sync::Arc;

use ringway_http::{FieldName, Fields, LineAt, NameAt, Prepared, RequestHead, ResponseHead};
use serde::{Deserialize, Serialize};
use toml::Spanned;

use crate::chain::Verdict;
use crate::error::FilterError;
use crate::facts::Facts;
use crate::filter::{ExchangeState, Filter};
use crate::template::Template;

/// What is typed for the filter.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct File {
    /// For requests, on their way to the upstream.
    #[serde(skip_serializing_if = "Option::is_none")]
    request: Option<Edits>,
    /// For responses, on their way to the client.
    #[serde(skip_serializing_if = "Option::is_none")]
    response: Option<Edits>,
}

/// What is typed for one direction.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Edits {
    /// Names to remove.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    remove: Vec<Spanned<String>>,
    /// From an old name to a new one.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    rename: BTreeMap<Spanned<String>, Spanned<String>>,
    /// From a name to its only value.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    set: BTreeMap<Spanned<String>, Spanned<String>>,
    /// From a name to a further value.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    add: BTreeMap<Spanned<String>, Spanned<String>>,
}

/// What was typed, checked and compiled.
#[derive(Debug, Default, Clone, PartialEq)]
pub(crate) struct Config {
    request: Steps,
    response: Steps,
}

/// The steps of one direction, in three pieces of memory: where there are thousands of routes, what one of them does is
/// cold when its turn comes, and each piece costs more than the instructions on it.
#[derive(Debug, Default, Clone, PartialEq)]
struct Steps {
    /// Names, and lines without variables.
    prepared: Prepared,
    /// Removals, then renames, sets, and additions; each in the file's order.
    list: Box<[Step]>,
    /// Values with variables.
    templates: Vec<Template>,
}

/// One step; names and lines are those of its [`Steps`].
#[derive(Debug, Clone, Copy, PartialEq)]
enum Step {
    Remove(NameAt),
    Rename(NameAt, NameAt),
    SetLine(LineAt),
    Set(NameAt, TemplateAt),
    AddLine(LineAt),
    Add(NameAt, TemplateAt),
}

/// The place of a template in its [`Steps`].
#[derive(Debug, Clone, Copy, PartialEq)]
struct TemplateAt(u32);

/// Memory for values on their way from one line to another.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    bytes: Vec<u8>,
    /// Where each value ends in `bytes`.
    ends: Vec<usize>,
}

impl ExchangeState for Scratch {
    fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }
}

/// The seat: a copy of the configuration. What a worker seats, it allocates in a row, so that a thousand routes' steps
/// fill a hundred pages; where the file was read, they lie wherever there was room between what has been freed since.
#[derive(Debug)]
pub(crate) struct Headers {
    config: Config,
}

impl Filter for Headers {
    type File = File;
    type Config = Config;
    type State = Scratch;

    fn check(file: File) -> Result<Config, Vec<FilterError>> {
        let mut errors = Vec::new();
        let mut compile =
            |side, edits: Option<Edits>| Check { side, errors: &mut errors }.edits(edits.unwrap_or_default());
        let config = Config {
            request: compile("request", file.request),
            response: compile("response", file.response),
        };
        if errors.is_empty() && config == Config::default() {
            let message =
                "does nothing; give `request` or `response` at least one of `remove`, `rename`, `set`, `add`";
            errors.push(FilterError::new(0..0, "", message));
        }
        if errors.is_empty() { Ok(config) } else { Err(errors) }
    }

    fn params(config: &Config) -> Vec<&str> {
        let steps = [&config.request, &config.response];
        steps.into_iter().flat_map(|steps| &steps.templates).flat_map(Template::params).collect()
    }

    fn seat(config: &Arc<Config>) -> Self {
        Self { config: Config::clone(config) }
    }

    fn on_request_head(&self, scratch: &mut Scratch, head: &mut RequestHead, facts: &mut Facts) -> Verdict {
        self.config.request.run(scratch, &mut head.fields, facts);
        Verdict::Continue
    }

    fn on_response_head(&self, scratch: &mut Scratch, head: &mut ResponseHead, facts: &Facts) {
        self.config.response.run(scratch, &mut head.fields, facts);
    }
}

impl Steps {
    fn run(&self, scratch: &mut Scratch, fields: &mut Fields, facts: &Facts) {
        let Self { prepared, list, .. } = self;
        // A prepared line is valid, so it can only be refused where there are four thousand million bytes of fields.
        for step in list {
            match *step {
                Step::Remove(name) => {
                    fields.remove_name(prepared.name(name));
                }
                Step::Rename(from, to) => rename(scratch, fields, prepared.name(from), prepared.name(to)),
                Step::SetLine(line) => {
                    let _ = fields.set_line(prepared.line(line));
                }
                Step::Set(name, value) => {
                    let name = prepared.name(name);
                    self.expand(value, scratch, facts);
                    if fields.set_name(name, &scratch.bytes).is_err() {
                        // What the client sent under this name must not pass for what the gateway says.
                        fields.remove_name(name);
                    }
                }
                Step::AddLine(line) => {
                    let _ = fields.push_line(prepared.line(line));
                }
                Step::Add(name, value) => {
                    self.expand(value, scratch, facts);
                    // An invalid value is left out, as documented above.
                    let _ = fields.push_name(prepared.name(name), &scratch.bytes);
                }
            }
        }
    }

    fn expand(&self, at: TemplateAt, scratch: &mut Scratch, facts: &Facts) {
        scratch.clear();
        if let Some(template) = self.templates.get(at.0 as usize) {
            template.expand(facts, &mut scratch.bytes);
        }
    }
}

/// Moves the lines of one name to the end, under another name.
fn rename(scratch: &mut Scratch, fields: &mut Fields, from: FieldName<'_>, to: FieldName<'_>) {
    scratch.clear();
    for value in fields.values(from.as_str()) {
        scratch.bytes.extend_from_slice(value);
        scratch.ends.push(scratch.bytes.len());
    }
    fields.remove_name(from);
    let mut start = 0;
    for &end in &scratch.ends {
        // The value was valid under its old name, and the new name was checked at load.
        let _ = fields.push_name(to, scratch.bytes.get(start..end).unwrap_or_default());
        start = end;
    }
}

/// Fields that frame a message, belong to one connection, or are decided by other keys.
const RESERVED: [(&str, &str); 10] = [
    ("Connection", "belongs to one connection and is the gateway's to write"),
    ("Content-Length", "frames the body and is the gateway's to write"),
    ("Expect", "is the gateway's to answer"),
    ("Host", "is decided by the route's `preserve_host`"),
    ("Keep-Alive", "belongs to one connection and is the gateway's to write"),
    ("Proxy-Connection", "belongs to one connection and is the gateway's to write"),
    ("TE", "belongs to one connection and is the gateway's to write"),
    ("Trailer", "belongs to one connection and is the gateway's to write"),
    ("Transfer-Encoding", "frames the body and is the gateway's to write"),
    ("Upgrade", "belongs to one connection and is the gateway's to write"),
];

/// Whether a field is the gateway's own, so that no configuration may write it.
pub fn is_reserved(name: &str) -> bool {
    RESERVED.iter().any(|(field, _)| field.eq_ignore_ascii_case(name))
}

/// The check of one direction; collects all that is wrong.
struct Check<'e> {
    /// `request` or `response`.
    side: &'static str,
    errors: &'e mut Vec<FilterError>,
}

impl Check<'_> {
    fn edits(&mut self, edits: Edits) -> Steps {
        let mut made = Making::default();
        for name in &edits.remove {
            if self.name("remove", name) {
                made.push_name(name, Step::Remove);
            }
        }
        self.once("remove", edits.remove.iter());
        for (table, entries) in [("rename", &edits.rename), ("set", &edits.set), ("add", &edits.add)] {
            for name in entries.keys() {
                self.name(&format!("{table}.{}", name.get_ref()), name);
            }
            self.once(table, entries.keys());
        }
        for (from, to) in in_file_order(edits.rename) {
            if self.name(&format!("rename.{}", from.get_ref()), &to) {
                made.rename(&from, &to);
            }
        }
        self.values("set", edits.set, |name, value| made.value(name, value, Step::SetLine, Step::Set));
        self.values("add", edits.add, |name, value| made.value(name, value, Step::AddLine, Step::Add));
        made.finish()
    }

    fn error(&mut self, name: &Spanned<String>, key: &str, message: String) {
        self.errors.push(FilterError::new(name.span(), format!("{}.{key}", self.side), message));
    }

    /// A name must be a token (RFC 9110, 5.1) and not the gateway's own. Whether it is a token.
    fn name(&mut self, key: &str, name: &Spanned<String>) -> bool {
        let text = name.get_ref();
        if Prepared::default().add_name(text).is_err() {
            self.error(name, key, format!("`{}` is not a field name", text.escape_default()));
            return false;
        }
        if let Some((field, why)) = RESERVED.iter().find(|(field, _)| field.eq_ignore_ascii_case(text)) {
            self.error(name, key, format!("`{field}` cannot be changed here: it {why}"));
        }
        true
    }

    /// TOML tells `X-A` and `x-a` apart, HTTP does not.
    fn once<'n>(&mut self, table: &str, names: impl Iterator<Item = &'n Spanned<String>>) {
        let mut names: Vec<_> = names.collect();
        names.sort_by_key(|name| name.span().start);
        for (index, name) in names.iter().enumerate() {
            let is_same = |other: &&&Spanned<String>| other.get_ref().eq_ignore_ascii_case(name.get_ref());
            if names.iter().take(index).any(|other| is_same(&other)) {
                self.error(
                    name,
                    table,
                    format!("`{}` is named twice in `{table}`; field names have no case", name.get_ref()),
                );
            }
        }
    }

    fn values(
        &mut self,
        table: &str,
        entries: BTreeMap<Spanned<String>, Spanned<String>>,
        mut compiled: impl FnMut(&str, Template),
    ) {
        for (name, value) in in_file_order(entries) {
            let key = format!("{table}.{}", name.get_ref());
            let text = value.get_ref();
            if text.bytes().any(|byte| byte.is_ascii_control() && byte != b'\t') {
                self.error(&value, &key, "a field's value cannot hold control characters".to_owned());
            } else if text.trim_matches([' ', '\t']) != text {
                self.error(&value, &key, "a field's value cannot begin or end with white space".to_owned());
            }
            match Template::compile(text) {
                Ok(template) => compiled(name.get_ref(), template),
                Err(error) => self.error(&value, &key, error.to_string()),
            }
        }
    }
}

/// The steps of one direction while they are collected. What is invalid is left out here: an error names it, and the
/// filter is not built.
#[derive(Default)]
struct Making {
    prepared: Prepared,
    steps: Vec<Step>,
    templates: Vec<Template>,
}

impl Making {
    fn push_name(&mut self, name: &Spanned<String>, step: impl FnOnce(NameAt) -> Step) {
        self.steps.extend(self.prepared.add_name(name.get_ref()).map(step));
    }

    fn rename(&mut self, from: &Spanned<String>, to: &Spanned<String>) {
        if let (Ok(from), Ok(to)) =
            (self.prepared.add_name(from.get_ref()), self.prepared.add_name(to.get_ref()))
        {
            self.steps.push(Step::Rename(from, to));
        }
    }

    fn value(
        &mut self,
        name: &str,
        value: Template,
        line: impl FnOnce(LineAt) -> Step,
        filled: impl FnOnce(NameAt, TemplateAt) -> Step,
    ) {
        if let Some(text) = value.literal() {
            self.steps.extend(self.prepared.add_line(name, text.as_bytes()).map(line));
        } else if let (Ok(name), Ok(at)) = (self.prepared.add_name(name), u32::try_from(self.templates.len()))
        {
            self.templates.push(value);
            self.steps.push(filled(name, TemplateAt(at)));
        }
    }

    fn finish(mut self) -> Steps {
        self.prepared.shrink();
        Steps { prepared: self.prepared, list: self.steps.into(), templates: self.templates }
    }
}

/// The table's entries as they stand in the file; the parser sorts them by name.
fn in_file_order(
    entries: BTreeMap<Spanned<String>, Spanned<String>>,
) -> Vec<(Spanned<String>, Spanned<String>)> {
    let mut entries: Vec<_> = entries.into_iter().collect();
    entries.sort_by_key(|(name, _)| name.span().start);
    entries
}

#[cfg(test)]
mod tests {
    use toml::de::DeValue;

    use super::*;
    use crate::read::read;

    fn checked(text: &str) -> Result<Config, Vec<FilterError>> {
        let mut errors = Vec::new();
        match read::<File>(&DeValue::parse(text).unwrap(), &mut errors) {
            Some(file) if errors.is_empty() => Headers::check(file),
            _ => Err(errors),
        }
    }

    /// The lines after the steps of `request = EDITS` on lines given as `name: value`.
    fn run(edits: &str, lines: &[&str]) -> Vec<String> {
        let mut fields = Fields::new();
        for (name, value) in lines.iter().filter_map(|line| line.split_once(": ")) {
            fields.push(name, value.as_bytes()).unwrap();
        }
        let mut facts =
            Facts { host: "example.com".to_owned(), request_id: "bad\rvalue".to_owned(), ..Facts::default() };
        facts.params.push("id", "42");
        let config = checked(&format!("{{ request = {edits} }}")).unwrap();
        config.request.run(&mut Scratch::default(), &mut fields, &facts);
        fields.iter().map(|(name, value)| format!("{name}: {}", String::from_utf8_lossy(value))).collect()
    }

    #[test]
    fn fields_are_removed_renamed_set_and_added_in_this_order() {
        for (edits, before, after) in [
            ("{ remove = ['x-a'] }", &["X-A: 1", "B: 2", "X-A: 3"][..], &["B: 2"][..]),
            ("{ rename = { X-A = 'X-B' } }", &["x-a: 1", "C: 2", "x-a: 3"], &["C: 2", "X-B: 1", "X-B: 3"]),
            ("{ rename = { X-A = 'X-B' } }", &["X-B: 1"], &["X-B: 1"]),
            ("{ rename = { x-a = 'X-A' } }", &["x-a: 1"], &["X-A: 1"]),
            ("{ rename = { B = 'C', A = 'B' } }", &["A: 1", "B: 2"], &["C: 2", "B: 1"]),
            ("{ set = { X-A = 'n$param.id' } }", &["x-a: 1", "x-a: 2"], &["X-A: n42"]),
            ("{ set = { Z = '1', A = '2' } }", &[], &["Z: 1", "A: 2"]),
            ("{ add = { X-A = '$host' } }", &["X-A: 1"], &["X-A: 1", "X-A: example.com"]),
            ("{ set = { A = '$param.none' } }", &[], &["A: "]),
            (
                "{ add = { A = '4' }, set = { A = '3' }, rename = { B = 'A' }, remove = ['A'] }",
                &["A: 1", "B: 2"],
                &["A: 3", "A: 4"],
            ),
        ] {
            assert_eq!(run(edits, before), after, "{edits}");
        }
    }

    #[test]
    fn a_value_made_invalid_is_left_out_and_the_client_s_does_not_pass_for_it() {
        assert_eq!(run("{ set = { A = '$request_id' } }", &["A: forged"]), Vec::<String>::new());
        assert_eq!(run("{ add = { A = '$request_id' } }", &["A: 1"]), ["A: 1"]);
    }

    #[test]
    fn what_would_break_the_message_is_refused_where_it_stands() {
        for (text, place, key, part) in [
            (
                "{ request = { set = { connection = 'close' } } }",
                "connection",
                "request.set.connection",
                "gateway's",
            ),
            ("{ request = { set = { Host = 'a' } } }", "Host", "request.set.Host", "preserve_host"),
            (
                "{ response = { add = { Content-Length = '1' } } }",
                "Content-Length",
                "response.add.Content-Length",
                "frames",
            ),
            ("{ response = { remove = ['TE'] } }", "'TE'", "response.remove", "`TE` cannot be changed"),
            (
                "{ request = { rename = { A = 'Upgrade' } } }",
                "'Upgrade'",
                "request.rename.A",
                "cannot be changed",
            ),
            (
                "{ request = { rename = { Trailer = 'A' } } }",
                "Trailer",
                "request.rename.Trailer",
                "cannot be changed",
            ),
            ("{ request = { set = { 'a b' = '1' } } }", "'a b'", "request.set.a b", "not a field name"),
            ("{ request = { remove = [''] } }", "''", "request.remove", "not a field name"),
            (
                "{ request = { set = { A = \"1\\r\\nB: 2\" } } }",
                "\"1\\r\\nB: 2\"",
                "request.set.A",
                "control",
            ),
            ("{ request = { set = { A = ' 1' } } }", "' 1'", "request.set.A", "white space"),
            ("{ request = { add = { A = '$hots' } } }", "'$hots'", "request.add.A", "did you mean `$host`?"),
            ("{ request = { set = { B = '1', b = '2' } } }", "b", "request.set", "named twice"),
            ("{ request = { remove = ['b', 'B'] } }", "'B'", "request.remove", "named twice"),
            ("{ request = { sett = { } } }", "sett", "request.sett", "did you mean `set`?"),
            ("{ requests = { } }", "requests", "requests", "did you mean `request`?"),
            ("{ request = { set = { A = 1 } } }", "1", "request.set.A", "invalid type"),
        ] {
            let errors = checked(text).unwrap_err();
            assert_eq!(errors.len(), 1, "{text}: {errors:?}");
            let error = &errors[0];
            assert_eq!((text.get(error.span.clone()), error.key.as_str()), (Some(place), key), "{text}");
            assert!(error.message.contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn the_route_parameters_that_values_name_are_listed() {
        let text =
            "{ request = { set = { A = '$param.id$host' } }, response = { add = { B = '$param.name' } } }";
        assert_eq!(Headers::params(&checked(text).unwrap()), ["id", "name"]);
    }

    #[test]
    fn all_that_is_wrong_is_told_at_once() {
        let text =
            "{ request = { set = { TE = 'x', A = '$no' } }, response = { remove = ['a b', 'Upgrade'] } }";
        let errors = checked(text).unwrap_err();
        let keys: Vec<_> = errors.iter().map(|error| error.key.as_str()).collect();
        assert_eq!(keys, ["request.set.TE", "request.set.A", "response.remove", "response.remove"]);
    }
}
