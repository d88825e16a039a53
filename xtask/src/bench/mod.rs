//! Ratios between belljar and its rivals.
//!
//! In: groups of items; an item is a task that every contender does. Out: a table on standard output, and
//! `target/bench/GROUP.json`. Never: a test. A ratio over its target is shown, but is not a failure; an item that
//! does not run, or gives a wrong answer, is.
//!
//! ```text
//! group ── items ──▶ rounds: A B A B … ──▶ ratio of medians or of the best, spread ──▶ geometric mean of the group
//! ```
//!
//! Pairs are measured next to each other, so that a longer disturbance affects both.

pub(crate) mod binary;
mod compare;
mod contender;
pub(crate) mod directories;
mod group;
mod groups;
mod huge_functions;
mod item;
mod machine;
mod options;
mod process;
mod record;
mod rounds;
pub(crate) mod statistics;
pub(crate) mod table;
mod ubench;
mod watch;

pub(crate) use options::Options;

use anyhow::Result;
use binary::Binaries;
use directories::Directories;
use item::{Entry, Item};
use machine::Machine;
use options::WATCH;
use record::{GroupRecord, ItemRecord};
use table::Table;

/// Runs the requested groups.
pub(crate) fn run(options: &Options) -> Result<()> {
    if let Some((first, second)) = options.compared() {
        return compare::run(first, second);
    }
    let dirs = Directories::new(options.shared.as_deref(), options.out.as_deref())?;
    let binaries = Binaries::new(&dirs);
    let machine = Machine::here();
    let mut failed = 0;
    for group in options.groups() {
        let record = run_group(group, options, &dirs, &machine, &binaries)?;
        record.write(&dirs)?;
        failed += record.failed.len();
        if group.name == groups::sandbox::NAME {
            groups::sandbox::facts(&binaries)?;
        }
        if group.name == groups::components::NAME {
            groups::components::facts(&binaries)?;
        }
    }
    if options.has(WATCH) {
        failed += watch::run(options, &dirs, &machine, &binaries)?;
    }
    anyhow::ensure!(failed == 0, "{failed} items failed");
    Ok(())
}

fn run_group(
    group: &'static group::Group,
    options: &Options,
    dirs: &Directories,
    machine: &Machine,
    binaries: &Binaries<'_>,
) -> Result<GroupRecord> {
    let contenders = options.contenders(group);
    let mut record = GroupRecord::new(group, &contenders, machine.clone(), options.quick);
    let mut items = Vec::new();
    for entry in (group.items)(dirs, &contenders)? {
        match entry {
            Entry::Item(item) if options.wants(&item.name) => items.push(item),
            Entry::Skipped { name, reason } if options.wants(&name) => record.skip(name, reason),
            _ => {}
        }
    }
    // Building takes long and must not happen between two measurements.
    let mut ready: Vec<Item> = Vec::new();
    for item in items {
        match item.attempts.iter().try_for_each(|a| binaries.path(a.binary).map(drop)) {
            Ok(()) => ready.push(item),
            Err(error) => record.skip(item.name, format!("{error:#}")),
        }
    }
    let [least, most] = options.rounds(group);
    let rounds = rounds::Rounds { least, most, estimate: group.estimate, quick: options.quick };
    let table = Table::new(group, &contenders, &ready, machine);
    for item in &ready {
        match rounds::measure(item, rounds, binaries, table.progress()) {
            Ok(samples) => {
                let item = ItemRecord::new(item, samples, group.estimate, &record.items);
                table.row(&item);
                record.items.push(item);
            }
            Err(error) => record.fail(&item.name, &error),
        }
    }
    table.finish(&record);
    Ok(record)
}
