//! Compares two runs: `cargo xtask bench --compare A B`.
//!
//! In: result files, or directories of them. Out: a table of both runs' ratios and how far they are apart. Never: a measurement.

use super::group::GROUPS;
use anyhow::{Context, Result, ensure};
use serde_json::{Map, Value};
use std::path::{Path, PathBuf};

/// Ratios of two runs that are further apart than this do not agree.
const APART: f64 = 0.15;

/// Prints how far two runs are apart.
pub(super) fn run(first: &Path, second: &Path) -> Result<()> {
    let pairs = pairs(first, second);
    ensure!(!pairs.is_empty(), "{} and {} have no results in common", first.display(), second.display());
    for (a, b) in pairs {
        let (a, b) = (read(&a)?, read(&b)?);
        println!("\n{}", a["group"].as_str().unwrap_or("?"));
        if a["machine"] != b["machine"] {
            println!("the runs are of different machines: {} and {}", a["machine"], b["machine"]);
        }
        let rows = rows(&a, &b);
        let width = rows.iter().map(|row| row.name.chars().count()).max().unwrap_or(0);
        for row in &rows {
            println!(
                "{:width$} {:>9.3} {:>9.3} {:>+6.1} %  {}",
                row.name,
                row.first,
                row.second,
                row.apart() * 100.0,
                row.verdict()
            );
        }
        let farthest = rows.iter().map(|row| row.apart().abs()).fold(0.0, f64::max);
        println!("at most {:.1} % apart", farthest * 100.0);
    }
    Ok(())
}

/// Returns the files to compare: two, or those of every group that both directories have.
fn pairs(first: &Path, second: &Path) -> Vec<(PathBuf, PathBuf)> {
    if !first.is_dir() || !second.is_dir() {
        return vec![(first.into(), second.into())];
    }
    let files = GROUPS.iter().map(|group| format!("{}.json", group.name));
    files
        .map(|file| (first.join(&file), second.join(&file)))
        .filter(|(a, b)| a.exists() && b.exists())
        .collect()
}

fn read(path: &Path) -> Result<Value> {
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    serde_json::from_str(&text).with_context(|| path.display().to_string())
}

/// An item's ratio to a rival in two runs.
#[derive(PartialEq, Debug)]
struct Row {
    name: String,
    first: f64,
    second: f64,
}

impl Row {
    /// Returns how much larger the second is, as a share of the first.
    fn apart(&self) -> f64 {
        self.second / self.first - 1.0
    }

    fn verdict(&self) -> &'static str {
        if self.apart().abs() <= APART { "" } else { "apart" }
    }
}

/// Returns the items whose ratios are in both files.
fn rows(a: &Value, b: &Value) -> Vec<Row> {
    let items = |file: &Value| file["items"].as_array().cloned().unwrap_or_default();
    let of_item = |item: &Value| -> Option<Vec<Row>> {
        let other = items(b).into_iter().find(|other| other["name"] == item["name"])?;
        let (ratios, others): (&Map<_, _>, _) = (item["ratios"].as_object()?, &other["ratios"]);
        let row = |(rival, ratio): (&String, &Value)| {
            let name = format!("{} / {rival}", item["name"].as_str()?);
            Some(Row { name, first: ratio.as_f64()?, second: others[rival].as_f64()? })
        };
        Some(ratios.iter().filter_map(row).collect())
    };
    items(a).iter().filter_map(of_item).flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn items_are_found_by_name_and_rival() {
        let file = |ratio: f64| {
            json!({ "items": [
                { "name": "hello", "ratios": { "wasmi": 0.9, "wasmtime": ratio } },
                { "name": ratio.to_string(), "ratios": { "wasmtime": 1.0 } },
            ] })
        };
        let rows = rows(&file(0.5), &file(0.6));
        let names: Vec<_> = rows.iter().map(|row| (row.name.as_str(), row.verdict())).collect();
        assert_eq!(names, [("hello / wasmi", ""), ("hello / wasmtime", "apart")]);
        assert!((rows[1].apart() - 0.2).abs() < 1e-12);
    }
}
