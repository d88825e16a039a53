//! What `cargo xtask api-coverage` prints.

use super::coverage::{Count, Coverage, Row, State};
use super::scope::GROUPS;

/// Prints the table of a rival's types, what is missing, and the totals.
pub(super) fn print(coverage: &Coverage<'_>) {
    println!("{} {}, compared with {}", coverage.rival.package, coverage.version, coverage.rival.ours);
    let owners = coverage.owners();
    let width = owners.iter().map(|(owner, _)| owner.len()).max().unwrap_or(0);
    println!("  {:<width$}  have  total      %", "item");
    for (owner, rows) in &owners {
        let count = Coverage::count(rows.iter().copied());
        println!("  {owner:<width$}  {:>4}  {:>5}  {:>5.1}", count.have, count.total, count.percentage());
    }
    print_missing(coverage);
    print_shapes(coverage);
    print_impls(coverage);
}

fn print_missing(coverage: &Coverage<'_>) {
    println!("\n  missing:");
    for row in &coverage.rows {
        let State::Missing(reason) = row.state else { continue };
        match reason {
            Some(reason) if reason.instead.is_empty() => {
                println!("    {}: {}: {}", row.path, reason.category, reason.why);
            }
            Some(reason) => {
                println!("    {}: {}: {} Write {}.", row.path, reason.category, reason.why, reason.instead);
            }
            None => println!("    {}: not explained", row.path),
        }
    }
}

fn print_shapes(coverage: &Coverage<'_>) {
    println!("\n  other shape:");
    for row in &coverage.rows {
        if let State::OtherShape(what, reason) = &row.state {
            let why = reason.map_or(String::new(), |reason| format!(": {}", reason.why));
            println!("    {}: {what}{why}", row.path);
        }
    }
}

fn print_impls(coverage: &Coverage<'_>) {
    println!("\n  traits that belljar's types do not implement:");
    for (owner, missing) in &coverage.missing_impls {
        println!("    {owner}: {}", missing.join(", "));
    }
    println!();
}

/// Prints the totals of a rival.
pub(super) fn print_totals(coverage: &Coverage<'_>) {
    let (all, safe) = (Coverage::count(&coverage.rows), coverage.safe_count());
    println!(
        "{} {}: {}; without unsafe items {}; of those that apply to belljar {}",
        coverage.rival.package,
        coverage.version,
        of(all),
        of(safe),
        of(coverage.applicable_count())
    );
    println!("  of these in another shape: {}", coverage.other_shapes());
    println!("  implementations of traits by the types that both have: {}", of(coverage.impls));
    for group in GROUPS {
        let excluded = |row: &&Row<'_>| matches!(row.state, State::Excluded(of) if of.name == group.name);
        let count = coverage.rows.iter().filter(excluded).count();
        if count > 0 {
            println!("  not counted, {}: {count}. {}", group.name, group.why);
        }
    }
    let unexplained = coverage.unexplained().count();
    if unexplained > 0 {
        println!("  missing without a reason: {unexplained}");
    }
}

/// Returns a count as text.
pub(super) fn of(count: Count) -> String {
    format!("{} of {} ({:.1} %)", count.have, count.total, count.percentage())
}
