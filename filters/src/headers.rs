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

use ringway_http::{FieldName, Fields, RequestHead, ResponseHead};
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
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Config {
    request: Steps,
    response: Steps,
}

/// The steps of one direction, each in the file's order.
#[derive(Debug, Default, PartialEq)]
struct Steps {
    remove: Vec<FieldName>,
    rename: Vec<(FieldName, FieldName)>,
    set: Vec<(FieldName, Template)>,
    add: Vec<(FieldName, Template)>,
}

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

/// The seat: nothing but the configuration.
#[derive(Debug)]
pub(crate) struct Headers {
    config: Arc<Config>,
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
        let values = steps.into_iter().flat_map(|steps| steps.set.iter().chain(&steps.add));
        values.flat_map(|(_, value)| value.params()).collect()
    }

    fn seat(config: &Arc<Config>) -> Self {
        Self { config: Arc::clone(config) }
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
        for name in &self.remove {
            fields.remove_name(name);
        }
        for (from, to) in &self.rename {
            rename(scratch, fields, from, to);
        }
        for (name, value) in &self.set {
            scratch.clear();
            value.expand(facts, &mut scratch.bytes);
            if fields.set_name(name, &scratch.bytes).is_err() {
                // What the client sent under this name must not pass for what the gateway says.
                fields.remove_name(name);
            }
        }
        for (name, value) in &self.add {
            scratch.clear();
            value.expand(facts, &mut scratch.bytes);
            // An invalid value is left out, as documented above.
            let _ = fields.push_name(name, &scratch.bytes);
        }
    }
}

/// Moves the lines of one name to the end, under another name.
fn rename(scratch: &mut Scratch, fields: &mut Fields, from: &FieldName, to: &FieldName) {
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

/// The check of one direction; collects all that is wrong.
struct Check<'e> {
    /// `request` or `response`.
    side: &'static str,
    errors: &'e mut Vec<FilterError>,
}

impl Check<'_> {
    fn edits(&mut self, edits: Edits) -> Steps {
        let remove = edits.remove.iter().filter_map(|name| self.name("remove", name)).collect();
        self.once("remove", edits.remove.iter());
        for (table, entries) in [("rename", &edits.rename), ("set", &edits.set), ("add", &edits.add)] {
            for name in entries.keys() {
                self.name(&format!("{table}.{}", name.get_ref()), name);
            }
            self.once(table, entries.keys());
        }
        let mut rename = Vec::new();
        for (from, to) in in_file_order(edits.rename) {
            let to = self.name(&format!("rename.{}", from.get_ref()), &to);
            rename.extend(FieldName::new(from.get_ref()).ok().zip(to));
        }
        Steps { remove, rename, set: self.values("set", edits.set), add: self.values("add", edits.add) }
    }

    fn error(&mut self, name: &Spanned<String>, key: &str, message: String) {
        self.errors.push(FilterError::new(name.span(), format!("{}.{key}", self.side), message));
    }

    /// A name must be a token (RFC 9110, 5.1) and not the gateway's own.
    fn name(&mut self, key: &str, name: &Spanned<String>) -> Option<FieldName> {
        let text = name.get_ref();
        let Ok(checked) = FieldName::new(text) else {
            self.error(name, key, format!("`{}` is not a field name", text.escape_default()));
            return None;
        };
        if let Some((field, why)) = RESERVED.iter().find(|(field, _)| field.eq_ignore_ascii_case(text)) {
            self.error(name, key, format!("`{field}` cannot be changed here: it {why}"));
        }
        Some(checked)
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
    ) -> Vec<(FieldName, Template)> {
        let mut compiled = Vec::new();
        for (name, value) in in_file_order(entries) {
            let key = format!("{table}.{}", name.get_ref());
            let text = value.get_ref();
            if text.bytes().any(|byte| byte.is_ascii_control() && byte != b'\t') {
                self.error(&value, &key, "a field's value cannot hold control characters".to_owned());
            } else if text.trim_matches([' ', '\t']) != text {
                self.error(&value, &key, "a field's value cannot begin or end with white space".to_owned());
            }
            match Template::compile(text) {
                // A name that is none was named by an error already.
                Ok(template) => compiled.extend(FieldName::new(name.get_ref()).ok().zip(Some(template))),
                Err(error) => self.error(&value, &key, error.to_string()),
            }
        }
        compiled
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
