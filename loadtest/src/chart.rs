//! A picture of the results: for each scenario the cost of each target as a multiple of nginx's, as an SVG.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::Value;

use crate::scenario::SCENARIOS;

/// Whom all are compared with.
const PEER: &str = "nginx";
/// Rows that are drawn, each in a colour that can be told from the others without seeing red or green.
const COLOURS: [(&str, &str); 4] =
    [("ringway", "#0b5fa5"), ("haproxy", "#e0a030"), ("h2o", "#8a8a8a"), ("pingora", "#7b4b94")];
const FLOOR: (&str, &str) = ("floor", "#c8d8e4");
const LEFT: f64 = 190.0;
const WIDTH: f64 = 760.0;
/// The ratio at the right edge; a bar that is longer is cut there.
const GREATEST: f64 = 2.0;
const BAR: f64 = 11.0;
const GAP: f64 = 12.0;
const TOP: f64 = 64.0;

/// A scenario's bars: a target, the ratio of its cost, its colour.
struct Group {
    scenario: &'static str,
    bars: Vec<(&'static str, f64, &'static str)>,
}

/// Draws the newest result of each scenario in a folder, into that folder, and says where.
pub(crate) fn draw(folder: &Path) -> Result<PathBuf> {
    let mut newest = BTreeMap::new();
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let text = fs::read_to_string(&path)?;
        let value: Value = serde_json::from_str(&text).with_context(|| path.display().to_string())?;
        let word = |key: &str| value.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        let (scenario, date) = (word("scenario"), word("date"));
        let known = newest.entry(scenario).or_insert_with(|| (date.clone(), value.clone()));
        if known.0 <= date {
            *known = (date, value);
        }
    }
    let groups = SCENARIOS.iter().filter_map(|scenario| group(scenario.name, &newest.get(scenario.name)?.1));
    let path = folder.join("chart.svg");
    fs::write(&path, svg(&groups.collect::<Vec<_>>())?).with_context(|| path.display().to_string())?;
    Ok(path)
}

/// The bars of a result; none: nothing in it was compared with the peer.
fn group(scenario: &'static str, result: &Value) -> Option<Group> {
    let rows = result.get("rows")?.as_array()?;
    let bar = |(name, colour): (&'static str, &'static str)| {
        let row = rows.iter().find(|row| row.get("name").and_then(Value::as_str) == Some(name))?;
        // Where requests failed, the cost does not count.
        let fails = |row: &Value| row.get("errors").and_then(Value::as_u64).is_some_and(|errors| errors > 0);
        if fails(row) || rows.iter().any(|row| row.get("name") == Some(&Value::from(PEER)) && fails(row)) {
            return None;
        }
        let ratio = row.get("ratios")?.get(PEER)?.get("median")?.as_f64()?;
        Some((name, ratio, colour))
    };
    let bars: Vec<_> = COLOURS.into_iter().chain([FLOOR]).filter_map(bar).collect();
    (!bars.is_empty()).then_some(Group { scenario, bars })
}

fn svg(groups: &[Group]) -> Result<String> {
    let height = |group: &Group| group.bars.iter().map(|_| BAR).sum::<f64>() + GAP;
    let bottom = TOP + groups.iter().map(height).sum::<f64>();
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {:.0}\" font-family=\"sans-serif\" \
         font-size=\"11\" role=\"img\" aria-label=\"Cost of each scenario as a multiple of {PEER}'s\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n\
         <text x=\"{LEFT}\" y=\"18\" font-size=\"13\">Cost as a multiple of {PEER}'s (shorter is better)</text>\n",
        bottom + 8.0
    );
    let mut x = LEFT;
    for (name, colour) in COLOURS.into_iter().chain([FLOOR]) {
        if groups.iter().any(|group| group.bars.iter().any(|bar| bar.0 == name)) {
            writeln!(
                text,
                "<rect x=\"{x:.0}\" y=\"28\" width=\"10\" height=\"10\" fill=\"{colour}\"/>\
                 <text x=\"{:.0}\" y=\"37\">{name}</text>",
                x + 14.0
            )?;
            x += 80.0;
        }
    }
    for (ratio, label) in [(0.5, "0.5"), (1.0, PEER), (1.5, "1.5"), (2.0, "2")] {
        writeln!(
            text,
            "<line x1=\"{0:.1}\" x2=\"{0:.1}\" y1=\"{TOP}\" y2=\"{bottom:.0}\" stroke=\"#bbbbbb\"/>\
             <text x=\"{0:.1}\" y=\"{1:.0}\" text-anchor=\"middle\" fill=\"#555555\">{label}</text>",
            place(ratio),
            TOP - 6.0
        )?;
    }
    let mut y = TOP + GAP / 2.0;
    for group in groups {
        let middle = y + (height(group) - GAP) / 2.0 + 4.0;
        writeln!(
            text,
            "<text x=\"{}\" y=\"{middle:.1}\" text-anchor=\"end\">{}</text>",
            LEFT - 8.0,
            group.scenario
        )?;
        for (name, ratio, colour) in &group.bars {
            let end = place(*ratio);
            writeln!(
                text,
                "<rect x=\"{LEFT}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{:.1}\" fill=\"{colour}\">\
                 <title>{name}: {ratio:.2}</title></rect>\
                 <text x=\"{:.1}\" y=\"{:.1}\" font-size=\"9\" fill=\"#333333\">{ratio:.2}</text>",
                end - LEFT,
                BAR - 1.0,
                end + 3.0,
                y + BAR - 3.0
            )?;
            y += BAR;
        }
        y += GAP;
    }
    text.push_str("</svg>\n");
    Ok(text)
}

/// Where a ratio lies from left to right.
fn place(ratio: f64) -> f64 {
    LEFT + ratio.clamp(0.0, GREATEST) / GREATEST * (WIDTH - LEFT - 40.0)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn result(ratio: f64) -> Value {
        json!({ "rows": [
            { "name": "ringway", "ratios": { "nginx": { "median": ratio } } },
            { "name": "nginx", "ratios": {} },
            { "name": "floor", "ratios": { "nginx": { "median": 0.7 } } },
        ] })
    }

    #[test]
    fn bars_are_as_long_as_their_ratios() {
        let group = group("keepalive-500B-c64", &result(3.5)).unwrap();
        assert_eq!(group.bars.len(), 2);
        let svg = svg(&[group]).unwrap();
        assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"));
        assert!(svg.contains("<title>ringway: 3.50</title>") && svg.contains("<title>floor: 0.70</title>"));
        assert!(!svg.contains("haproxy"), "what was not measured is not in the legend");
        assert_eq!((place(0.0), place(2.0), place(9.0)), (LEFT, WIDTH - 40.0, WIDTH - 40.0));
        assert!(super::group("idle-5000", &json!({ "rows": [] })).is_none());
        let mut failed = result(0.8);
        failed["rows"][0]["errors"] = json!(1);
        let bars = super::group("idle-5000", &failed).unwrap().bars;
        assert_eq!(bars.iter().map(|bar| bar.0).collect::<Vec<_>>(), ["floor"], "it had errors");
        failed["rows"][1]["errors"] = json!(1);
        assert!(super::group("idle-5000", &failed).is_none(), "so had the one that all are compared with");
    }

    #[test]
    fn the_newest_result_of_a_scenario_is_drawn() {
        let folder = std::env::temp_dir().join(format!("ringway-chart-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        for (date, ratio) in [("2026-01-02", 0.8), ("2026-01-01", 0.9)] {
            let mut value = result(ratio);
            value["scenario"] = json!("keepalive-500B-c64");
            value["date"] = json!(date);
            fs::write(folder.join(format!("{date}.json")), value.to_string()).unwrap();
        }
        let text = fs::read_to_string(draw(&folder).unwrap()).unwrap();
        fs::remove_dir_all(&folder).unwrap();
        assert!(text.contains("ringway: 0.80") && !text.contains("ringway: 0.90"));
    }
}
