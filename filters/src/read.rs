//! From a TOML value to a filter's typed configuration, with every error at its place.

use std::ops::Range;

use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::{DeValue, ValueDeserializer};

use crate::error::FilterError;
use crate::nearest::nearest;

/// Reads a value as `T`. All unknown keys and all values of the wrong type become errors, not the first only: serde
/// stops at the first, so each offender is noted, left out, and the rest is read again. The rest is given if it can be
/// read, so that it can be checked further; whatever there are errors about is not to be used.
pub(crate) fn read<T: DeserializeOwned>(
    value: &Spanned<DeValue<'_>>,
    errors: &mut Vec<FilterError>,
) -> Option<T> {
    let mut rest = value.clone();
    loop {
        let error = match T::deserialize(ValueDeserializer::from(rest.clone())) {
            Ok(read) => return Some(read),
            Err(error) => error,
        };
        let span = error.span().unwrap_or_else(|| value.span());
        let removed = take_out(rest.get_mut(), &span);
        // What is missing because it was left out above is not missing from the file.
        if removed.is_some() || errors.is_empty() {
            let key = removed.as_ref().map_or_else(String::new, |path| path.join("."));
            errors.push(FilterError { span, key, message: with_nearest(error.message()) });
        }
        removed?;
    }
}

/// Removes the entry whose key or value is at the span, and says where it was.
fn take_out(value: &mut DeValue<'_>, span: &Range<usize>) -> Option<Vec<String>> {
    let path = path_to(value, span)?;
    let (last, parents) = path.split_last()?;
    let mut table = table_mut(value)?;
    for key in parents {
        table = table_mut(table.get_mut(key.as_str())?.get_mut())?;
    }
    table.remove(last.as_str())?;
    Some(path)
}

fn table_mut<'v, 'i>(value: &'v mut DeValue<'i>) -> Option<&'v mut toml::de::DeTable<'i>> {
    if let DeValue::Table(table) = value { Some(table) } else { None }
}

/// The keys that lead to the entry whose key, value, or element of the value is at the span.
fn path_to(value: &DeValue<'_>, span: &Range<usize>) -> Option<Vec<String>> {
    let table = value.as_table()?;
    for (key, entry) in table {
        let inside = |outer: Range<usize>| outer.start <= span.start && span.end <= outer.end;
        let mut below = path_to(entry.get_ref(), span);
        if below.is_none()
            && (key.span() == *span
                || entry.span() == *span
                || entry.get_ref().is_array() && inside(entry.span()))
        {
            below = Some(Vec::new());
        }
        if let Some(mut path) = below {
            path.insert(0, key.get_ref().to_string());
            return Some(path);
        }
    }
    None
}

/// Adds the nearest valid key to serde's message about an unknown one, which quotes the key and then all valid ones.
fn with_nearest(message: &str) -> String {
    if !message.starts_with("unknown field") {
        return message.to_owned();
    }
    let mut quoted = message.split('`').skip(1).step_by(2);
    let typed = quoted.next().unwrap_or_default();
    match nearest(typed, quoted) {
        Some(valid) => format!("{message}; did you mean `{valid}`?"),
        None => message.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only whether it can be read matters here")]
    struct Outer {
        #[serde(default)]
        inner: BTreeMap<String, u32>,
        #[serde(default)]
        names: Vec<String>,
        count: Option<u32>,
        needed: u32,
    }

    fn errors(text: &str) -> Vec<(String, String, String)> {
        let value = DeValue::parse(text).unwrap();
        let mut errors = Vec::new();
        let read = read::<Outer>(&value, &mut errors);
        assert!(read.is_some() || !errors.is_empty(), "{text}");
        errors.into_iter().map(|e| (text.get(e.span).unwrap().to_owned(), e.key, e.message)).collect()
    }

    #[test]
    fn every_wrong_key_and_value_is_reported_at_its_place() {
        for (text, expected) in [
            ("{ needed = 1 }", &[][..]),
            ("{ needed = 1, cuont = 1 }", &[("cuont", "cuont", "did you mean `count`?")]),
            ("{ needed = 1, zzz = 1 }", &[("zzz", "zzz", "unknown field `zzz`, expected one of")]),
            (
                "{ needed = 1, count = 'a', name = [], inner = { a = 1, b = 'x' } }",
                &[
                    ("'a'", "count", "invalid type"),
                    ("name", "name", "`names`?"),
                    ("'x'", "inner.b", "invalid type"),
                ],
            ),
            ("{ needed = 1, names = ['a', 3] }", &[("3", "names", "invalid type")]),
            ("{ count = 1 }", &[("{ count = 1 }", "", "missing field `needed`")]),
            ("{ needed = 'a' }", &[("'a'", "needed", "invalid type")]),
            ("3", &[("3", "", "invalid type")]),
        ] {
            let errors = errors(text);
            assert_eq!(errors.len(), expected.len(), "{text}: {errors:?}");
            for ((place, key, message), (expected_place, expected_key, part)) in errors.iter().zip(expected) {
                assert_eq!((place.as_str(), key.as_str()), (*expected_place, *expected_key), "{text}");
                assert!(message.contains(part), "{text}: {message}");
            }
        }
    }
}
