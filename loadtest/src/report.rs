//! What a scenario came to, as Markdown for people and as JSON for programs.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::{Map, Value, json};

use crate::load::Errors;
use crate::machine::Machine;
use crate::stats::{self, Round, Summary};

/// Rows that others are compared with.
const PEERS: [&str; 3] = ["nginx", "haproxy", "floor"];

/// What one target did.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) label: String,
    /// The row of the same program that this one is compared with.
    pub(crate) base: Option<String>,
    pub(crate) version: String,
    pub(crate) rounds: Vec<Round>,
    pub(crate) errors: Errors,
    /// The most bytes that were resident.
    pub(crate) peak_bytes: Option<u64>,
    pub(crate) syscalls: Option<f64>,
}

/// A value that every round has.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Column {
    pub(crate) title: &'static str,
    /// Behind the point.
    pub(crate) digits: usize,
}

/// A scenario's result. The first column is the cost: the one that is compared.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) scenario: &'static str,
    /// What was measured, and how.
    pub(crate) about: String,
    pub(crate) columns: Vec<Column>,
    pub(crate) rows: Vec<Row>,
    /// Names of targets that are not installed.
    pub(crate) absent: Vec<&'static str>,
    /// As it was typed.
    pub(crate) command: String,
}

impl Row {
    fn summary(&self, column: usize) -> Option<Summary> {
        stats::summary(stats::kept(&self.rounds, column))
    }

    fn left_out(&self) -> usize {
        self.rounds.iter().filter(|round| !round.is_kept).count()
    }
}

impl Report {
    /// Each row's ratio of cost to the row of its own program that it varies, and to each peer.
    fn ratios(&self) -> Vec<(&str, &str, Summary)> {
        let mut ratios = Vec::new();
        for row in &self.rows {
            let is_wanted = |other: &&Row| {
                other.label != row.label
                    && (PEERS.contains(&other.label.as_str()) || row.base.as_ref() == Some(&other.label))
            };
            for other in self.rows.iter().filter(is_wanted) {
                if let Some(summary) = stats::summary(stats::paired(&row.rounds, &other.rounds)) {
                    ratios.push((row.label.as_str(), other.label.as_str(), summary));
                }
            }
        }
        ratios
    }

    pub(crate) fn markdown(&self, machine: &Machine) -> Result<String> {
        let mut text = format!("# {}, {}\n\n{}\n\n", self.scenario, machine.date, self.about);
        self.table(&mut text)?;
        self.ratio_table(&mut text)?;
        text.push('\n');
        for row in &self.rows {
            for (why, count) in row.errors.iter() {
                writeln!(text, "- {}: {count} x {why}", row.label)?;
            }
        }
        for row in self.rows.iter().filter(|row| !row.rounds.is_empty() && row.left_out() == row.rounds.len())
        {
            writeln!(text, "- {}: none of its rounds counts; measure again on a calmer machine", row.label)?;
        }
        for name in &self.absent {
            writeln!(text, "- {name} was not found and was skipped.")?;
        }
        for row in self.rows.iter().filter(|row| row.base.is_none()) {
            writeln!(text, "- {}: {}", row.label, row.version)?;
        }
        let Machine { processor, cpus, kernel, congestion, commit, .. } = machine;
        writeln!(
            text,
            "- Machine: {processor}, {cpus} CPUs, Linux {kernel}, TCP {congestion}\n- Commit: {commit}\n\
             - Command: `{}`",
            self.command
        )?;
        Ok(text)
    }

    fn table(&self, text: &mut String) -> Result<()> {
        text.push_str("| |");
        let mut rule = "|---|".to_owned();
        for column in &self.columns {
            write!(text, " {} |", column.title)?;
            rule.push_str("---|");
        }
        writeln!(text, " peak MiB | syscalls per request | errors | left out |\n{rule}---|---|---|---|")?;
        for row in &self.rows {
            write!(text, "| {} |", row.label)?;
            for (index, Column { digits, .. }) in self.columns.iter().enumerate() {
                match row.summary(index) {
                    Some(Summary { median, least, greatest, .. }) => write!(
                        text,
                        " {median:.digits$} ({least:.digits$} to {greatest:.digits$}) |",
                        digits = *digits
                    )?,
                    None => text.push_str(" - |"),
                }
            }
            match row.peak_bytes {
                Some(bytes) => write!(text, " {} |", bytes.div_ceil(1024 * 1024))?,
                None => text.push_str(" - |"),
            }
            match row.syscalls {
                Some(calls) => write!(text, " {calls:.2} |")?,
                None => text.push_str(" - |"),
            }
            writeln!(text, " {} | {} of {} |", row.errors.total(), row.left_out(), row.rounds.len())?;
        }
        Ok(())
    }

    fn ratio_table(&self, text: &mut String) -> Result<()> {
        let title = self.columns.first().map_or("", |column| column.title);
        writeln!(
            text,
            "\n| {title}, of | times that of | median of pairs | least to greatest | 95 % confidence | pairs |\n\
             |---|---|---|---|---|---|"
        )?;
        for (own, other, Summary { median, least, greatest, interval, count }) in self.ratios() {
            let sure =
                interval.map_or_else(|| "-".to_owned(), |(low, high)| format!("{low:.3} to {high:.3}"));
            writeln!(
                text,
                "| {own} | {other} | **{median:.3}** | {least:.3} to {greatest:.3} | {sure} | {count} |"
            )?;
        }
        Ok(())
    }

    /// All of it, each round included.
    pub(crate) fn json(&self, machine: &Machine) -> Value {
        let rows: Vec<Value> = self.rows.iter().map(|row| self.row_json(row)).collect();
        let Machine { processor, cpus, kernel, congestion, commit, date } = machine;
        json!({
            "scenario": self.scenario, "date": date, "about": self.about, "commit": commit,
            "machine": { "processor": processor, "cpus": cpus, "linux": kernel, "tcp": congestion },
            "command": self.command, "absent": self.absent, "rows": rows,
        })
    }

    fn row_json(&self, row: &Row) -> Value {
        let mut columns = Map::new();
        for (index, column) in self.columns.iter().enumerate() {
            let rounds: Vec<_> = row.rounds.iter().map(|round| round.values.get(index)).collect();
            let mut value = row.summary(index).map_or_else(|| json!({}), summary_json);
            if let Some(value) = value.as_object_mut() {
                value.insert("rounds".to_owned(), json!(rounds));
            }
            columns.insert(column.title.to_owned(), value);
        }
        let ratios: Map<_, _> = self
            .ratios()
            .into_iter()
            .filter(|(own, ..)| *own == row.label)
            .map(|(_, other, summary)| (other.to_owned(), summary_json(summary)))
            .collect();
        let kept: Vec<_> = row.rounds.iter().map(|round| round.is_kept).collect();
        json!({
            "name": row.label, "base": row.base, "version": row.version, "errors": row.errors.total(),
            "peak_bytes": row.peak_bytes, "syscalls_per_request": row.syscalls, "kept": kept,
            "columns": columns, "ratios": ratios,
        })
    }

    /// Writes both to a folder and says where the text is.
    pub(crate) fn write(&self, machine: &Machine, text: &str, folder: &Path) -> Result<PathBuf> {
        fs::create_dir_all(folder)?;
        let path = folder.join(format!("{}-{}.md", machine.date, self.scenario));
        fs::write(&path, text).with_context(|| path.display().to_string())?;
        let json = format!("{:#}\n", self.json(machine));
        fs::write(path.with_extension("json"), json).with_context(|| path.display().to_string())?;
        Ok(path)
    }
}

fn summary_json(summary: Summary) -> Value {
    let Summary { median, least, greatest, interval, count } = summary;
    json!({ "median": median, "least": least, "greatest": greatest, "interval_95": interval, "count": count })
}

/// Where results are kept: in this room when cargo says where it is, else below the present folder.
pub(crate) fn results() -> PathBuf {
    let room =
        std::env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| PathBuf::from("loadtest"), PathBuf::from);
    room.join("results")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(label: &str, values: &[f64]) -> Row {
        let round = |value: &f64| Round {
            values: vec![Some(*value), Some(1.0)],
            busy: None,
            waited: None,
            is_kept: *value < 100.0,
        };
        Row {
            label: label.to_owned(),
            base: label.strip_suffix("-log").map(str::to_owned),
            version: "v".to_owned(),
            rounds: values.iter().map(round).collect(),
            errors: Errors::default(),
            peak_bytes: Some(2 * 1024 * 1024),
            syscalls: Some(0.25),
        }
    }

    fn report() -> (Report, Machine) {
        let mut rows = vec![
            row("ringway", &[8.0, 10.0, 6.0]),
            row("ringway-log", &[10.0, 11.0, 600.0]),
            row("nginx", &[10.0, 10.0, 12.0]),
            row("direct", &[]),
        ];
        rows[3].peak_bytes = None;
        rows[3].syscalls = None;
        rows[1].errors.add("status 500");
        let report = Report {
            scenario: "some-scenario",
            about: "About it.".to_owned(),
            columns: vec![Column { title: "us", digits: 2 }, Column { title: "x", digits: 0 }],
            rows,
            absent: vec!["other"],
            command: "compare".to_owned(),
        };
        let machine = Machine {
            processor: "P".to_owned(),
            cpus: 2,
            kernel: "6".to_owned(),
            congestion: "cubic".to_owned(),
            commit: "abc+".to_owned(),
            date: "2026-01-31".to_owned(),
        };
        (report, machine)
    }

    #[test]
    fn rows_show_medians_and_the_paired_ratios_to_base_and_peers() {
        let (report, machine) = report();
        let expected = "\
# some-scenario, 2026-01-31

About it.

| | us | x | peak MiB | syscalls per request | errors | left out |
|---|---|---|---|---|---|---|
| ringway | 8.00 (6.00 to 10.00) | 1 (1 to 1) | 2 | 0.25 | 0 | 0 of 3 |
| ringway-log | 10.50 (10.00 to 11.00) | 1 (1 to 1) | 2 | 0.25 | 1 | 1 of 3 |
| nginx | 10.00 (10.00 to 12.00) | 1 (1 to 1) | 2 | 0.25 | 0 | 0 of 3 |
| direct | - | - | - | - | 0 | 0 of 0 |

| us, of | times that of | median of pairs | least to greatest | 95 % confidence | pairs |
|---|---|---|---|---|---|
| ringway | nginx | **0.800** | 0.500 to 1.000 | - | 3 |
| ringway-log | ringway | **1.175** | 1.100 to 1.250 | - | 2 |
| ringway-log | nginx | **1.050** | 1.000 to 1.100 | - | 2 |

- ringway-log: 1 x status 500
- other was not found and was skipped.
- ringway: v
- nginx: v
- direct: v
- Machine: P, 2 CPUs, Linux 6, TCP cubic
- Commit: abc+
- Command: `compare`
";
        assert_eq!(report.markdown(&machine).unwrap(), expected);
    }

    #[test]
    fn a_row_without_a_round_that_counts_is_named() {
        let (mut report, machine) = report();
        report.rows[0].rounds.iter_mut().for_each(|round| round.is_kept = false);
        let text = report.markdown(&machine).unwrap();
        assert!(
            text.contains("- ringway: none of its rounds counts") && text.contains("| 3 of 3 |"),
            "{text}"
        );
        assert_eq!(text.matches("none of its rounds").count(), 1, "not of those that have none: {text}");
    }

    #[test]
    fn the_json_has_every_round_and_says_which_count() {
        let (report, machine) = report();
        let json = report.json(&machine);
        let row = &json["rows"][1];
        assert_eq!(row["columns"]["us"]["rounds"], json!([10.0, 11.0, 600.0]));
        assert_eq!(row["kept"], json!([true, true, false]));
        assert_eq!(row["ratios"]["nginx"]["median"], json!(1.05));
        assert_eq!(row["ratios"]["nginx"]["interval_95"], Value::Null);
    }
}
