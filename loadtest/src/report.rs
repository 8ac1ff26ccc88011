//! Medians of the rounds, as Markdown.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::machine::Machine;
use crate::targets::Target;

/// What one target did: per column, a value of each round.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) target: Target,
    pub(crate) rounds: Vec<Vec<f64>>,
    pub(crate) errors: u64,
}

/// A scenario's result. The first column is the one that peers are compared by.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) scenario: &'static str,
    /// What one row of the table measured.
    pub(crate) about: String,
    /// Titles; all values are shown as whole numbers.
    pub(crate) columns: Vec<&'static str>,
    pub(crate) rows: Vec<Row>,
    /// Names of targets that are not installed.
    pub(crate) absent: Vec<&'static str>,
    /// As it was typed.
    pub(crate) command: String,
}

impl Row {
    /// The median of a column, and its least and greatest value.
    fn summary(&self, column: usize) -> Option<(f64, f64, f64)> {
        let mut values: Vec<f64> =
            self.rounds.iter().filter_map(|round| round.get(column).copied()).collect();
        values.sort_by(f64::total_cmp);
        let (least, greatest) = (*values.first()?, *values.last()?);
        let upper = *values.get(values.len() / 2)?;
        let lower = *values.get((values.len() - 1) / 2)?;
        Some((f64::midpoint(lower, upper), least, greatest))
    }
}

impl Report {
    pub(crate) fn markdown(&self, machine: &Machine) -> Result<String> {
        let mut text = format!("# {}, {}\n\n{}\n\n", self.scenario, machine.date, self.about);
        let peers: Vec<_> = self.rows.iter().filter(|row| row.target.kind.name() != "ringway").collect();
        let mut rule = "|---|".to_owned();
        text.push_str("| |");
        for column in &self.columns {
            write!(text, " {column} |")?;
            rule.push_str("---|");
        }
        for peer in &peers {
            write!(text, " times {} |", peer.target.kind.name())?;
            rule.push_str("---|");
        }
        writeln!(text, " errors |\n{rule}---|")?;
        for row in &self.rows {
            write!(text, "| {} |", row.target.kind.name())?;
            for index in 0..self.columns.len() {
                match row.summary(index) {
                    Some((median, least, greatest)) => {
                        write!(text, " {median:.0} ({least:.0} to {greatest:.0}) |")?;
                    }
                    None => text.push_str(" - |"),
                }
            }
            for peer in &peers {
                match row.summary(0).zip(peer.summary(0)) {
                    Some(((own, ..), (other, ..))) if other > 0.0 => write!(text, " {:.2} |", own / other)?,
                    _ => text.push_str(" - |"),
                }
            }
            writeln!(text, " {} |", row.errors)?;
        }
        text.push('\n');
        for name in &self.absent {
            writeln!(text, "- {name} was not found and was skipped.")?;
        }
        for row in &self.rows {
            writeln!(text, "- {}: {}", row.target.kind.name(), row.target.version)?;
        }
        let Machine { processor, cpus, kernel, commit, .. } = machine;
        writeln!(
            text,
            "- Machine: {processor}, {cpus} CPUs, Linux {kernel}\n- Commit: {commit}\n- Command: `{}`",
            self.command
        )?;
        Ok(text)
    }

    /// Writes it to `results/` in this room and says where.
    pub(crate) fn write(&self, machine: &Machine, text: &str) -> Result<PathBuf> {
        // cargo run says where the room is; a binary that is run by itself writes below the folder it is run in.
        let room =
            std::env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| PathBuf::from("loadtest"), PathBuf::from);
        let folder = room.join("results");
        fs::create_dir_all(&folder)?;
        let path = folder.join(format!("{}-{}.md", machine.date, self.scenario));
        fs::write(&path, text).with_context(|| path.display().to_string())?;
        Ok(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::targets::Kind;

    fn row(kind: Kind, values: &[f64]) -> Row {
        let target = Target::named(kind);
        Row { target, rounds: values.iter().map(|value| vec![*value, 1.0]).collect(), errors: 0 }
    }

    #[test]
    fn rows_show_medians_spans_and_the_ratio_to_each_peer() {
        let report = Report {
            scenario: "some-scenario",
            about: "About it.".to_owned(),
            columns: vec!["ns", "x"],
            rows: vec![
                row(Kind::Ringway, &[8.0, 10.0, 6.0]),
                row(Kind::Nginx, &[10.0, 12.0]),
                row(Kind::Haproxy, &[]),
            ],
            absent: vec!["other"],
            command: "compare".to_owned(),
        };
        let machine = Machine {
            processor: "P".to_owned(),
            cpus: 2,
            kernel: "6".to_owned(),
            commit: "abc+".to_owned(),
            date: "2026-01-31".to_owned(),
        };
        let expected = "\
# some-scenario, 2026-01-31

About it.

| | ns | x | times nginx | times haproxy | errors |
|---|---|---|---|---|---|
| ringway | 8 (6 to 10) | 1 (1 to 1) | 0.73 | - | 0 |
| nginx | 11 (10 to 12) | 1 (1 to 1) | 1.00 | - | 0 |
| haproxy | - | - | - | - | 0 |

- other was not found and was skipped.
- ringway: v
- nginx: v
- haproxy: v
- Machine: P, 2 CPUs, Linux 6
- Commit: abc+
- Command: `compare`
";
        assert_eq!(report.markdown(&machine).unwrap(), expected);
    }
}
