//! Checks of the documentation: the tutorial's program is the one that is tested here, its output is what the tutorial
//! shows, and all tables have as many cells in each row as in their header.

use belljar::{Engine, Module};
use std::path::{Path, PathBuf};

/// The finished host of the tutorial.
#[allow(dead_code, reason = "its `main` is not called")]
mod tutorial {
    include!("../tutorial.rs");

    /// Returns what `main` prints, with the plugin of this path.
    pub(super) fn output(path: &str) -> Result<String> {
        let mut plugin = load(&Engine::default(), path)?;
        let first = greet(&mut plugin, "world")?;
        let error = plugin.call::<(), ()>("hang", ()).unwrap_err();
        let second = greet(&mut plugin, "again")?;
        Ok(format!("{first:?}\n{error:?}\n{second:?}\n"))
    }
}

const TUTORIAL: &str = include_str!("../../docs/tutorial.md");
const PROGRAM: &str = include_str!("../tutorial.rs");
const PLUGIN: &str = include_str!("../greet.wat");

/// Returns the path of a file of this directory.
fn path(name: &str) -> String {
    format!("{}/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// Returns the contents of the tutorial's code blocks of a language.
fn blocks(language: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut lines = TUTORIAL.lines();
    while let Some(line) = lines.next() {
        if let Some(name) = line.strip_prefix("```").filter(|name| !name.is_empty()) {
            let block: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
            if name == language {
                blocks.push(block.join("\n") + "\n");
            }
        }
    }
    blocks
}

#[test]
fn the_steps_of_the_tutorial_make_the_program_that_is_tested() {
    assert_eq!(blocks("rust,ignore").join("\n"), PROGRAM);
    assert_eq!(blocks("rust,no_run").last().unwrap(), PROGRAM);
    assert_eq!(blocks("wat"), [PLUGIN]);
    let lines = format!("The finished host has {} lines.", PROGRAM.lines().count());
    assert!(TUTORIAL.contains(&lines), "{lines}");
}

#[test]
fn the_tutorial_shows_what_its_programs_print() -> belljar::Result<()> {
    let [listing, mistake, output] = blocks("text").try_into().unwrap();
    let engine = Engine::default();

    let module = Module::from_file(&engine, path("greet.wat"))?;
    let import = |import: belljar::ImportType<'_>| {
        format!("it imports {}::{}, a {}\n", import.module(), import.name(), import.ty())
    };
    let export =
        |export: belljar::ExportType<'_>| format!("it exports {}, a {}\n", export.name(), export.ty());
    let printed: String = module.imports().map(import).chain(module.exports().map(export)).collect();
    assert_eq!(printed, listing);

    let mistaken = PLUGIN.replacen("i32.add", "i32.ad", 1);
    let error = Module::new(&engine, mistaken).unwrap_err();
    assert_eq!(format!("Error: {error}\n").replace("<anon>", "greet.wat"), mistake);

    assert_eq!(tutorial::output(&path("greet.wat"))?, output);
    Ok(())
}

/// Returns the number of cells of a row. A `|` separates cells even in code, unless it is escaped.
fn cells(row: &str) -> usize {
    let row = row.trim().replace("\\|", "");
    let row = row.strip_prefix('|').unwrap_or(&row);
    row.strip_suffix('|').unwrap_or(row).split('|').count()
}

/// Returns whether a line is the one between a table's header and its rows.
fn is_delimiter(line: &str) -> bool {
    line.contains('|') && line.contains('-') && line.chars().all(|c| matches!(c, '|' | '-' | ':' | ' '))
}

/// Returns what is wrong with the tables of a document, with line numbers.
fn wrong_tables(text: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    let (mut is_code, mut width, mut previous) = (false, None, "");
    for (number, line) in text.lines().enumerate().map(|(i, line)| (i + 1, line)) {
        if line.trim_start().starts_with("```") {
            is_code = !is_code;
            width = None;
        } else if is_code || line.trim().is_empty() {
            width = None;
        } else if let Some(width) = width {
            if !line.starts_with('|') || !line.trim_end().ends_with('|') {
                wrong.push(format!("line {number} is not a row, but continues a table"));
            } else if cells(line) != width {
                wrong.push(format!("line {number} has {} cells, its table has {width}", cells(line)));
            }
        } else if is_delimiter(line) {
            if cells(line) != cells(previous) {
                wrong.push(format!(
                    "line {number} has {} cells, its header {}",
                    cells(line),
                    cells(previous)
                ));
            }
            width = Some(cells(line));
        } else if line.starts_with('|') && previous.starts_with('|') {
            wrong.push(format!("line {number} is a row without a table"));
        }
        previous = line;
    }
    wrong
}

#[test]
fn tables_that_are_wrong_are_found() {
    let table = |rows: &str| wrong_tables(&format!("| a | b |\n|---|---|\n{rows}\n\ntext\n"));
    assert!(table("| 1 | 2 |\n| `1 \\| 2` | |").is_empty());
    assert_eq!(table("| 1 |"), ["line 3 has 1 cells, its table has 2"]);
    assert_eq!(table("| `1 | 2` | 3 |"), ["line 3 has 3 cells, its table has 2"]);
    assert_eq!(table("| 1 | a cell\nof two lines |").len(), 2);
    assert_eq!(wrong_tables("| a | b |\n|---|\n"), ["line 2 has 1 cells, its header 2"]);
    assert_eq!(wrong_tables("| a | b |\n| 1 | 2 |\n"), ["line 2 is a row without a table"]);
    assert!(wrong_tables("```\n| a | b |\n| 1 |\n```\n").is_empty());
}

#[test]
fn every_row_of_a_table_has_as_many_cells_as_its_header() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let documents: Vec<PathBuf> = ["", "docs", "findings"]
        .iter()
        .flat_map(|directory| std::fs::read_dir(root.join(directory)).unwrap())
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "md"))
        .collect();
    assert!(documents.len() >= 15, "{documents:?}");
    let mut wrong = Vec::new();
    for path in documents {
        let text = std::fs::read_to_string(&path).unwrap();
        let of_file = wrong_tables(&text);
        wrong.extend(of_file.into_iter().map(|what| format!("{}: {what}", path.display())));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
