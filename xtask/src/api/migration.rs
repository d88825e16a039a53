//! Generates `docs/migration.md`: the opening that people wrote, and the tables of what is missing.

use super::coverage::{Coverage, Row, State};
use super::reasons::Reason;
use super::report::of;
use super::scope::GROUPS;
use std::fmt::Write;

/// Returns the document.
pub(super) fn document(intro: &str, coverages: &[Coverage<'_>]) -> String {
    let mut text = String::new();
    text.push_str(intro.trim_end());
    text.push_str("\n\n");
    put_overview(coverages, &mut text);
    for coverage in coverages {
        let _ = write!(text, "\n## {} {}\n\n", coverage.rival.package, coverage.version);
        put_types(coverage, &mut text);
        put_missing(coverage, &mut text);
        put_shapes(coverage, &mut text);
        put_impls(coverage, &mut text);
    }
    text
}

fn put_overview(coverages: &[Coverage<'_>], text: &mut String) {
    text.push_str(
        "## How much there is\n\n\
         `cargo xtask api-coverage` reads the sources of the crates and generates the rest of this page. It counts public \
         types, traits, functions, macros and modules, and their methods, constants, variants and public fields, by name. \
         An item counts under each public path that it has. Items that do not apply are about parts that belljar does not \
         have; the tables below name them.\n\n\
         | crate | in belljar under the same name | without unsafe items | of those that apply | trait implementations |\n|---|---|---|---|---|\n",
    );
    for coverage in coverages {
        let counts = [
            Coverage::count(&coverage.rows),
            coverage.safe_count(),
            coverage.applicable_count(),
            coverage.impls,
        ];
        let counts = counts.map(of);
        let _ =
            writeln!(text, "| {} {} | {} |", coverage.rival.package, coverage.version, counts.join(" | "));
    }
    text.push_str("\nThese do not count:\n\n| group | items | why |\n|---|---|---|\n");
    for group in GROUPS {
        let excluded = |row: &&Row<'_>| matches!(row.state, State::Excluded(of) if of.name == group.name);
        let count: usize =
            coverages.iter().map(|coverage| coverage.rows.iter().filter(excluded).count()).sum();
        let _ = writeln!(text, "| {} | {count} | {} |", group.name, cell(group.why));
    }
}

fn put_types(coverage: &Coverage<'_>, text: &mut String) {
    text.push_str("| item | in belljar | of | |\n|---|---|---|---|\n");
    for (owner, rows) in coverage.owners() {
        let count = Coverage::count(rows);
        let note = if count.have == count.total {
            "all"
        } else if count.have == 0 {
            "none"
        } else {
            ""
        };
        let _ = writeln!(text, "| `{owner}` | {} | {} | {note} |", count.have, count.total);
    }
}

/// Puts the table of missing names. Rows with the same reason become one.
fn put_missing(coverage: &Coverage<'_>, text: &mut String) {
    let mut entries: Vec<(Option<&Reason>, Vec<&Row<'_>>)> = Vec::new();
    for row in &coverage.rows {
        let State::Missing(reason) = row.state else { continue };
        let line = |reason: Option<&Reason>| reason.map(|reason| reason.line);
        match entries.last_mut() {
            Some((last, rows)) if reason.is_some() && line(*last) == line(reason) => rows.push(row),
            _ => entries.push((reason, vec![row])),
        }
    }
    if entries.is_empty() {
        return;
    }
    text.push_str("\nMissing:\n\n| name | write instead | why |\n|---|---|---|\n");
    for (reason, rows) in entries {
        let instead = reason.map_or("", |reason| &reason.instead);
        let why = reason.map_or(String::new(), |reason| format!("{}: {}", reason.category, reason.why));
        let _ = writeln!(text, "| {} | {} | {} |", names(reason, &rows), cell(instead), cell(&why));
    }
}

fn names(reason: Option<&Reason>, rows: &[&Row<'_>]) -> String {
    // The reason of a whole type.
    if let [first, members @ ..] = rows
        && reason.is_some_and(|reason| reason.path == first.path)
        && !members.is_empty()
    {
        let plural = if members.len() == 1 { "member" } else { "members" };
        return format!("`{}` and its {} {plural}", first.path, members.len());
    }
    rows.iter().map(|row| format!("`{}`", row.path)).collect::<Vec<_>>().join(", ")
}

fn put_shapes(coverage: &Coverage<'_>, text: &mut String) {
    let shapes = coverage.rows.iter().filter_map(|row| match &row.state {
        State::OtherShape(what, reason) => Some((row, what, reason)),
        _ => None,
    });
    let mut shapes = shapes.peekable();
    if shapes.peek().is_none() {
        return;
    }
    text.push_str("\nThe same name in another shape:\n\n| name | what differs | write instead | why |\n|---|---|---|---|\n");
    for (row, what, reason) in shapes {
        let (instead, why) = reason.map_or(("", ""), |reason| (&reason.instead, &reason.why));
        let _ = writeln!(text, "| `{}` | {} | {} | {} |", row.path, cell(what), cell(instead), cell(why));
    }
}

fn put_impls(coverage: &Coverage<'_>, text: &mut String) {
    if coverage.missing_impls.is_empty() {
        return;
    }
    text.push_str("\nTraits that belljar's types do not implement:\n\n| type | traits |\n|---|---|\n");
    for (owner, missing) in &coverage.missing_impls {
        let names: Vec<String> = missing.iter().map(|name| format!("`{name}`")).collect();
        let _ = writeln!(text, "| `{owner}` | {} |", names.join(", "));
    }
}

/// Returns text for a cell of a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}
