//! Instantiation.

use crate::bench::contender::Contender;
use crate::bench::item::{Entry, Item, Reading};
use crate::bench::place::Place;
use anyhow::Result;
use bench_runner::Figure;

pub(crate) fn items(_: &Place, contenders: &[Contender]) -> Result<Vec<Entry>> {
    let figures =
        [("instance and call", Figure::Instantiate), ("and a page written", Figure::InstantiateWrite)];
    let item = |(name, figure): (&str, Figure)| {
        let words = ["instantiate".into(), figure.name().into()];
        Entry::Item(Item::of_runners(name, contenders, &words, Reading::Figure(figure)))
    };
    Ok(figures.map(item).into())
}
