//! Calls in clean worlds, and what makes the next one clean.

use crate::bench::binary::{Binaries, Binary};
use crate::bench::contender::Contender;
use crate::bench::item::{Entry, Item, Reading};
use crate::bench::place::Place;
use anyhow::{Context, Result};
use bench_runner::Figure;
use std::process::Command;

/// What the group is called.
pub(crate) const NAME: &str = "sandbox";

pub(crate) fn items(_: &Place, contenders: &[Contender]) -> Result<Vec<Entry>> {
    let figures = [
        ("small function", Figure::SandboxCall),
        ("32 dirty pages of 4 MiB", Figure::SandboxDirty),
        ("12 dirty MiB of 16", Figure::SandboxLarge),
        ("small, on two threads", Figure::SandboxThreads),
    ];
    let item = |(name, figure): (&str, Figure)| {
        let words = ["sandbox".into(), figure.name().into()];
        Entry::Item(Item::of_runners(name, contenders, &words, Reading::Figure(figure)))
    };
    Ok(figures.map(item).into())
}

/// Prints what belljar tells of its sandboxes beside that.
pub(crate) fn facts(binaries: &Binaries<'_>) -> Result<()> {
    let program = binaries.path(Binary::BenchBelljar)?;
    let ended = Command::new(program).args(["sandbox", "facts"]).status().context("it does not start")?;
    anyhow::ensure!(ended.success(), "the facts of sandboxes: {ended}");
    println!();
    Ok(())
}
