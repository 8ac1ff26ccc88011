//! What each operation may cost: a committed number of instructions for each, and the comparison with a count.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::{Context, Result};

/// Counts by the operation's name.
pub type Counts = BTreeMap<String, u64>;

/// Per mille over the budget that is taken for chance (another compiler inlines otherwise), and per mille under it at
/// which the budget should be renewed.
pub const TOLERANCE_PER_MILLE: u64 = 30;

/// Instructions over or under the budget that never count: 3 % of a dozen would be none at all.
pub const SLACK: u64 = 4;

/// How a count stands to its budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Within the tolerance.
    Within,
    /// Above it: this fails.
    Over,
    /// Below it: the budget should be renewed, so that what was won is kept.
    Under,
    /// Counted, and not in the budget, or the other way round: this fails.
    Unmatched,
}

/// One line of the comparison.
#[derive(Debug, PartialEq, Eq)]
pub struct Line {
    /// The operation.
    pub name: String,
    /// What it may cost.
    pub budget: Option<u64>,
    /// What it costs.
    pub count: Option<u64>,
    /// What follows.
    pub verdict: Verdict,
}

/// Reads a budget file's table for an architecture; `None` if it has none.
pub fn read(text: &str, architecture: &str) -> Result<Option<Counts>> {
    let file: toml::Table = text.parse().context("the budget is not TOML")?;
    let Some(table) = file.get(architecture).and_then(toml::Value::as_table) else { return Ok(None) };
    let entry = |(name, value): (&String, &toml::Value)| {
        let count = value.as_integer().and_then(|count| u64::try_from(count).ok());
        Ok((name.clone(), count.with_context(|| format!("`{name}` is not a number of instructions"))?))
    };
    table.iter().map(entry).collect::<Result<_>>().map(Some)
}

/// Writes a budget file, in the order of the operations.
pub fn write(architecture: &str, counts: &[(&str, u64)]) -> String {
    let mut text = String::from(
        "# Instructions per operation, counted under callgrind (see benches/src/bin/instructions.rs). An operation \
         that costs over\n# 3 % more fails `.ci/run instructions`. A change that has a reason to cost more, or that \
         saves, renews this file:\n#   cargo run --release -p ringway-benches --bin instructions -- --renew\n",
    );
    let _ = writeln!(text, "[{architecture}]");
    for (name, count) in counts {
        let _ = writeln!(text, "\"{name}\" = {count}");
    }
    text
}

/// Compares what was counted with what it may be.
pub fn compare(budget: &Counts, counts: &Counts) -> Vec<Line> {
    let mut names: Vec<&String> = budget.keys().chain(counts.keys()).collect();
    names.sort_unstable();
    names.dedup();
    let line = |name: &String| {
        let (budget, count) = (budget.get(name).copied(), counts.get(name).copied());
        let verdict = match (budget, count) {
            (Some(budget), Some(count)) => judge(budget, count),
            _ => Verdict::Unmatched,
        };
        Line { name: name.clone(), budget, count, verdict }
    };
    names.into_iter().map(line).collect()
}

fn judge(budget: u64, count: u64) -> Verdict {
    let tolerance = (budget.saturating_mul(TOLERANCE_PER_MILLE) / 1000).max(SLACK);
    if budget.abs_diff(count) <= tolerance {
        Verdict::Within
    } else if count > budget {
        Verdict::Over
    } else {
        Verdict::Under
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(entries: &[(&str, u64)]) -> Counts {
        entries.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
    }

    #[test]
    fn three_percent_or_a_few_either_way_are_within() {
        for (budget, count, expected) in [
            (1000, 1000, Verdict::Within),
            (1000, 1030, Verdict::Within),
            (1000, 1031, Verdict::Over),
            (1000, 970, Verdict::Within),
            (1000, 969, Verdict::Under),
            (1000, 0, Verdict::Under),
            (10, 14, Verdict::Within),
            (10, 15, Verdict::Over),
            (10, 5, Verdict::Under),
        ] {
            let lines = compare(&counts(&[("a", budget)]), &counts(&[("a", count)]));
            assert_eq!(
                lines.iter().map(|line| line.verdict).collect::<Vec<_>>(),
                [expected],
                "{budget} {count}"
            );
        }
    }

    #[test]
    fn what_only_one_side_knows_is_unmatched() {
        let lines = compare(&counts(&[("a", 1), ("b", 1)]), &counts(&[("b", 1), ("c", 1)]));
        let found: Vec<_> = lines.iter().map(|line| (line.name.as_str(), line.verdict)).collect();
        assert_eq!(found, [("a", Verdict::Unmatched), ("b", Verdict::Within), ("c", Verdict::Unmatched)]);
    }

    #[test]
    fn what_is_written_is_read_again() {
        let text = write("x86_64", &[("b", 2), ("a thing", 1)]);
        assert_eq!(read(&text, "x86_64").unwrap(), Some(counts(&[("a thing", 1), ("b", 2)])));
        assert_eq!(read(&text, "aarch64").unwrap(), None);
        assert!(read("[x86_64]\na = -1\n", "x86_64").is_err());
    }

    #[test]
    fn the_committed_budget_names_every_operation() {
        let text = include_str!("../budget.toml");
        let budget = read(text, "x86_64").unwrap().unwrap();
        let names: std::collections::BTreeSet<_> =
            crate::operations::ALL.iter().map(|operation| operation.name.to_owned()).collect();
        assert_eq!(budget.keys().cloned().collect::<std::collections::BTreeSet<_>>(), names);
    }
}
