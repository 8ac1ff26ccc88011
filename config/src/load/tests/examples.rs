//! The examples load, say the same again as effective text, and no letter of their keys can change unnoticed.

use super::*;

#[test]
fn every_example_loads() {
    for (name, text) in EXAMPLES {
        let loaded = load(text).unwrap_or_else(|errors| panic!("{name}:\n{errors}"));
        let expected = usize::from(name == "gateway.toml");
        assert_eq!(loaded.warnings.len(), expected, "{name}: {:?}", loaded.warnings);
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    assert_eq!(std::fs::read_dir(folder).unwrap().count(), EXAMPLES.len(), "an example is not in the list");
}

#[test]
fn effective_text_loads_again_to_the_same() {
    for (name, text) in EXAMPLES {
        let first = load(text).unwrap().snapshot;
        let shown = effective(&first);
        let second = load(&shown).unwrap_or_else(|errors| panic!("{name}:\n{errors}\n{shown}")).snapshot;
        assert_eq!(effective(&second), shown, "{name}");
        assert_eq!(diff(&first, &second), Vec::<String>::new(), "{name}");
    }
}

#[test]
fn effective_text_shows_what_is_left_to_a_default() {
    let shown = effective(&load(EXAMPLES[0].1).unwrap().snapshot);
    let expected = include_str!("minimal.effective.toml");
    assert_eq!(shown, expected);
}

/// Every key of the language in a document, with the span of each.
fn keys(text: &str) -> Vec<std::ops::Range<usize>> {
    fn walk(table: &DeTable<'_>, depth: usize, path: &str, found: &mut Vec<std::ops::Range<usize>>) {
        for (key, value) in table {
            let name = key.get_ref().as_ref();
            let below = format!("{path}.{name}");
            // Names, and the names of fields and parameters, are the operator's.
            let is_section =
                ["listeners", "routes", "upstreams", "filters"].contains(&path.trim_start_matches('.'));
            let is_field = ["set", "add", "rename", "headers", "query"]
                .iter()
                .any(|end| path.ends_with(&format!(".{end}")) && !path.ends_with(".tidy.headers"));
            if !(is_field || depth == 1 && is_section) {
                found.push(key.span());
            }
            walk_value(value.get_ref(), depth + 1, &below, found);
        }
    }
    fn walk_value(value: &DeValue<'_>, depth: usize, path: &str, found: &mut Vec<std::ops::Range<usize>>) {
        match value {
            DeValue::Table(table) => walk(table, depth, path, found),
            DeValue::Array(items) => {
                items.iter().for_each(|item| walk_value(item.get_ref(), depth, path, found));
            }
            DeValue::String(_)
            | DeValue::Integer(_)
            | DeValue::Float(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_) => {}
        }
    }
    let mut found = Vec::new();
    walk(DeTable::parse(text).unwrap().get_ref(), 0, "", &mut found);
    found
}

#[test]
fn a_key_with_one_letter_wrong_is_refused() {
    let mut mutants = 0;
    for (name, text) in EXAMPLES {
        for span in keys(text) {
            let (before, rest) = text.split_at(span.start);
            let (key, after) = rest.split_at(span.len());
            let letters: Vec<char> = key.chars().collect();
            for at in 0..letters.len() {
                let mut replaced = letters.clone();
                replaced[at] = if letters[at] == 'z' { 'q' } else { 'z' };
                let mut swapped = letters.clone();
                swapped.swap(at, (at + 1) % letters.len());
                for mutant in [replaced, swapped].into_iter().filter(|mutant| *mutant != letters) {
                    let mutant: String = mutant.into_iter().collect();
                    let changed = format!("{before}{mutant}{after}");
                    // No certificate is read, so that it is the key that is refused.
                    assert!(
                        load_as(&changed, Secrets::Ignore).is_err(),
                        "{name}: `{mutant}` instead of `{key}` at {span:?} loads"
                    );
                    mutants += 1;
                }
            }
        }
    }
    assert!(mutants > 1_500, "{mutants}");
}

#[test]
fn a_key_that_is_there_twice_is_refused() {
    for (name, text) in EXAMPLES {
        for (number, line) in text.lines().enumerate() {
            let Some((key, _)) = line.split_once(" = ").filter(|_| !line.starts_with('#')) else { continue };
            let mut lines: Vec<&str> = text.lines().collect();
            lines.insert(number, line);
            let errors = load(&lines.join("\n")).unwrap_err();
            let expected = format!("t.toml:{}:1: ", number + 2);
            let said = errors.to_string();
            assert!(said.contains(&expected) && said.contains("is there twice"), "{name}: {key}: {said}");
        }
    }
}

#[test]
fn every_key_stands_in_the_reference() {
    let reference = include_str!("../../../REFERENCE.md");
    let mut known = BTreeSet::new();
    for (_, text) in EXAMPLES {
        let document = DeTable::parse(text).unwrap();
        let sink = Sink::new(Path::new("/"), Secrets::Ignore, &|_| None, true);
        file::read(&sink, document.get_ref());
        known.extend(sink.into_known());
    }
    assert!(known.len() > 80, "{}", known.len());
    for (table, key) in known {
        let path = if table.is_empty() { key.to_owned() } else { format!("{table}.{key}") };
        assert!(reference.contains(&format!("`{path}`")), "`{path}` is not in REFERENCE.md");
    }
}

#[test]
fn the_examples_of_the_reference_load() {
    let reference = include_str!("../../../REFERENCE.md");
    let blocks: Vec<&str> =
        reference.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert!(blocks.len() > 5);
    for block in blocks {
        let listener =
            if block.contains("[listeners.") { "" } else { "[listeners.http]\nbind = \"127.0.0.1:0\"\n" };
        let text = format!("{block}\n{listener}");
        assert!(load(&text).is_ok(), "{}\n{block}", refusal(&text));
    }
}
