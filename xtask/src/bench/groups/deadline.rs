//! The cost of a time limit to a guest.

use crate::bench::contender::Contender;
use crate::bench::directories::Directories;
use crate::bench::item::{Entry, FigureSource, Item};
use anyhow::Result;
use bench_runner::Figure;

pub(crate) fn items(_: &Directories, contenders: &[Contender]) -> Result<Vec<Entry>> {
    let figures = [("64 KiB summed up", Figure::Endless), ("with a time limit", Figure::Stoppable)];
    let item = |(name, figure): (&str, Figure)| {
        let words = ["deadline".into(), figure.name().into()];
        Entry::Item(Item::of_runners(name, contenders, &words, FigureSource::Figure(figure)))
    };
    Ok(figures.map(item).into())
}
