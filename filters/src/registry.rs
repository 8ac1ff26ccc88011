//! The registry: the closed set of filter kinds. Adding one is one file and one line here.

use std::rc::Rc;
use std::sync::Arc;

use ringway_http::{RequestHead, ResponseHead};
use toml::Spanned;
use toml::de::DeValue;

use crate::chain::Verdict;
use crate::dispatch::{Seat, at, filters};
use crate::error::FilterError;
use crate::facts::Facts;
use crate::filter::Filter;
use crate::nearest::nearest;
use crate::read::read;

filters! {
    headers => Headers,
    #[cfg(test)]
    example => Example,
}

/// One configured filter, shared and read-only.
#[derive(Debug)]
pub struct FilterConfig {
    /// The name under `[filters]`, or `route:NAME` for what a route says itself.
    pub name: String,
    /// What it does, checked.
    pub(crate) settings: Settings,
    /// What was typed, with defaults, as a TOML value.
    text: String,
}

impl FilterConfig {
    /// The kind, such as `headers`.
    pub fn kind(&self) -> &'static str {
        self.settings.kind()
    }

    /// What the filter was told, as it would stand in a file: `headers = { ... }`. Secrets are references there, and
    /// so here.
    pub fn describe(&self) -> String {
        format!("{} = {}", self.kind(), self.text)
    }

    /// The same with another description, in which references stand in place of what they stand for.
    #[must_use]
    pub fn described_as(self, text: String) -> Self {
        Self { text, ..self }
    }

    /// The route parameters that the filter names, for the check that each route that uses it has them.
    pub fn params(&self) -> Vec<&str> {
        self.settings.params()
    }

    /// Whether a seat made from `other` may be kept for this.
    pub fn is_same_as(&self, other: &Self) -> bool {
        self.name == other.name && self.settings == other.settings
    }
}

/// Reads a filter of a kind; `value` is what stands at `filters.NAME.KIND`, its spans are those of the file.
pub fn parse(
    name: impl Into<String>,
    kind: &str,
    value: &Spanned<DeValue<'_>>,
) -> Result<FilterConfig, Vec<FilterError>> {
    let parsed = Settings::parse(kind, value).unwrap_or_else(|| {
        let near = nearest(kind, kinds().iter().copied()).map(|near| format!("; did you mean `{near}`?"));
        let message = format!(
            "unknown kind of filter `{kind}`, known: {}{}",
            kinds().join(", "),
            near.unwrap_or_default()
        );
        Err(vec![FilterError::new(value.span(), "", message)])
    });
    parsed.map(|(settings, text)| FilterConfig { name: name.into(), settings, text })
}

/// Reads and checks what was typed, and writes it down again for [`FilterConfig::describe`].
fn build<F: Filter>(value: &Spanned<DeValue<'_>>) -> Result<(Arc<F::Config>, String), Vec<FilterError>> {
    let mut errors = Vec::new();
    let Some(file) = read::<F::File>(value, &mut errors) else { return Err(errors) };
    let was_read_whole = errors.is_empty();
    let mut text = String::new();
    if let Err(error) = serde::Serialize::serialize(&file, toml::ser::ValueSerializer::new(&mut text)) {
        errors.push(FilterError::new(value.span(), "", format!("cannot be written as TOML: {error}")));
    }
    match F::check(file) {
        Ok(config) if errors.is_empty() => return Ok((Arc::new(config), text)),
        Ok(_) => {}
        Err(found) => {
            for mut error in found {
                // What concerns the whole filter has no place of its own, and may be due to what could not be read.
                let is_whole = error.span.is_empty();
                if is_whole {
                    error.span = value.span();
                }
                if was_read_whole || !is_whole {
                    errors.push(error);
                }
            }
        }
    }
    errors.sort_by_key(|error| error.span.start);
    Err(errors)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(kind: &str, text: &str) -> Result<FilterConfig, Vec<FilterError>> {
        parse("f", kind, &DeValue::parse(text).unwrap())
    }

    #[test]
    fn an_unknown_kind_is_refused_with_the_nearest_one() {
        for (kind, part) in [("header", "did you mean `headers`?"), ("cors", "known: headers")] {
            let errors = parsed(kind, "{ a = 1 }").unwrap_err();
            assert_eq!((errors.len(), errors[0].span.clone()), (1, 0..9), "{kind}");
            assert!(errors[0].message.contains(part), "{kind}: {}", errors[0]);
        }
    }

    #[test]
    fn a_description_reads_back_as_the_same_filter() {
        for (kind, text) in [
            ("headers", "{ request = { set = { X-A = \"1\", \"x.y\" = '$host \"q\"' } } }"),
            ("headers", "{ response = { remove = [\"Server\"], rename = { A = 'B' }, add = { C = '$$' } } }"),
            ("example", "{ path = '/closed' }"),
        ] {
            let first = parsed(kind, text).unwrap();
            let described = first.describe();
            let value = described.strip_prefix(kind).and_then(|rest| rest.strip_prefix(" = ")).unwrap();
            let second = parsed(kind, value).unwrap();
            assert_eq!(first.settings, second.settings, "{described}");
            assert_eq!(described, second.describe());
        }
    }

    #[test]
    fn an_error_about_the_whole_filter_points_at_the_whole_value() {
        let errors = parsed("headers", "{ }").unwrap_err();
        assert_eq!((errors.len(), errors[0].span.clone()), (1, 0..3), "{errors:?}");
    }
    #[test]
    fn tables_with_headers_of_their_own_are_read_and_refused_like_inline_ones() {
        for (text, expected) in [
            ("[f.headers.request]\nset = { A = '1' }\n[f.headers.response]\nremove = ['B']\n", &[][..]),
            ("[f.headers.request.set]\nA = '1'\n", &[]),
            ("[f]\nheaders.request.set.A = '1'\n", &[]),
            (
                "[f.headers.request]\nset = { TE = '1' }\n[f.headers.response]\nremove = ['a b']\n",
                &[("TE", "request.set.TE"), ("'a b'", "response.remove")],
            ),
            (
                "[f.headers.requests]\nsett = 1\n[f.headers.response]\nremove = 1\n",
                &[("requests", "requests"), ("1", "response.remove")],
            ),
            (
                "[f.headers.request]\nset.A = 1\n[f.headers.request.add]\nB = 2\n",
                &[("1", "request.set.A"), ("2", "request.add.B")],
            ),
            ("[f.headers.request]\nsett = { }\n", &[("sett", "request.sett")]),
            (
                "[f.headers.request]\nset = { Host = 'a' }\nsett = { }\nadd = { B = 2, C = '$hots' }\n",
                &[
                    ("Host", "request.set.Host"),
                    ("sett", "request.sett"),
                    ("2", "request.add.B"),
                    ("'$hots'", "request.add.C"),
                ],
            ),
            ("[f.headers.request]\n[f.headers.response]\n", &[("headers", "")]),
        ] {
            let document = toml::de::DeTable::parse(text).unwrap();
            let value = document.get_ref()["f"].get_ref().get("headers").unwrap();
            let errors = parse("f", "headers", value).err().unwrap_or_default();
            let found: Vec<_> = errors
                .iter()
                .map(|error| (text.get(error.span.clone()).unwrap(), error.key.as_str()))
                .collect();
            assert_eq!(found, expected, "{text}");
        }
    }

    #[test]
    fn the_page_on_writing_a_filter_shows_the_code_that_runs() {
        let page = include_str!("../WRITING_A_FILTER.md");
        let blocks: Vec<_> =
            page.split("```rust\n").skip(1).filter_map(|rest| rest.split("\n```\n").next()).collect();
        let [file, line] = blocks[..] else { panic!("{} blocks of code", blocks.len()) };
        assert_eq!(file, include_str!("example.rs").trim_end());
        assert!(include_str!("registry.rs").contains(line), "{line}");
    }
}
