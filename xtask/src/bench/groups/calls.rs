//! Calls between host and guest.

use crate::bench::contender::Contender;
use crate::bench::directories::Directories;
use crate::bench::item::{Entry, FigureSource, Item};
use anyhow::Result;
use bench_runner::Figure;

pub(crate) fn items(_: &Directories, contenders: &[Contender]) -> Result<Vec<Entry>> {
    let figures = [("host to guest", Figure::HostToGuest), ("guest to host", Figure::GuestToHost)];
    let item = |(name, figure): (&str, Figure)| {
        let words = ["calls".into(), figure.name().into()];
        Entry::Item(Item::of_runners(name, contenders, &words, FigureSource::Figure(figure)))
    };
    Ok(figures.map(item).into())
}
