//! Calls in clean instances, including the reset for the next call.

use crate::bench::binary::{Binaries, Binary};
use crate::bench::contender::Contender;
use crate::bench::directories::Directories;
use crate::bench::item::{Entry, FigureSource, Item};
use anyhow::{Context, Result};
use bench_runner::Figure;
use std::process::Command;

/// The name of the group.
pub(crate) const NAME: &str = "sandbox";

pub(crate) fn items(_: &Directories, contenders: &[Contender]) -> Result<Vec<Entry>> {
    let figures = [
        ("small function", Figure::SandboxCall),
        ("32 dirty pages of 4 MiB", Figure::SandboxDirty),
        ("1 dirty MiB of 2", Figure::Sandbox1),
        ("4 dirty MiB of 6", Figure::Sandbox4),
        ("12 dirty MiB of 16", Figure::Sandbox12),
        ("64 dirty MiB of 80", Figure::Sandbox64),
        ("256 dirty MiB of 320", Figure::Sandbox256),
        ("first 8: 32 dirty pages", Figure::SandboxFirst),
        ("first 8: 4 dirty MiB", Figure::SandboxFirst4),
        ("first 8: 64 dirty MiB", Figure::SandboxFirst64),
        ("small, on two threads", Figure::SandboxThreads),
    ];
    let item = |(name, figure): (&str, Figure)| {
        let words = ["sandbox".into(), figure.name().into()];
        Entry::Item(Item::of_runners(name, contenders, &words, FigureSource::Figure(figure)))
    };
    Ok(figures.map(item).into())
}

/// Prints further facts about belljar's sandboxes, and the cost of a bare signal, with which kills have to be compared.
pub(crate) fn facts(binaries: &Binaries<'_>) -> Result<()> {
    let programs = [(Binary::BenchBelljar, &["sandbox", "facts"][..]), (Binary::BareSignal, &[])];
    for (binary, words) in programs {
        let mut command = Command::new(binaries.path(binary)?);
        // As in measurements.
        let ended = command.args(words).env("RUST_BACKTRACE", "0").status().context("it does not start")?;
        anyhow::ensure!(ended.success(), "the facts of sandboxes: {ended}");
    }
    println!();
    Ok(())
}
