//! Compilation of generated huge functions, each in a process of its own so that its memory can be measured.

use crate::bench::contender::Contender;
use crate::bench::directories::Directories;
use crate::bench::huge_functions::SHAPES;
use crate::bench::item::{Entry, FigureSource, Item};
use anyhow::Result;
use bench_runner::Figure;
use std::time::Duration;

/// Rivals need minutes for some.
const LIMIT: Duration = Duration::from_secs(20);

pub(crate) fn items(dirs: &Directories, contenders: &[Contender]) -> Result<Vec<Entry>> {
    let directory = dirs.out.join("giants");
    std::fs::create_dir_all(&directory)?;
    let mut entries = Vec::new();
    for shape in &SHAPES {
        for &size in shape.sizes {
            let file = directory.join(format!("{}-{size}.wasm", shape.name));
            std::fs::write(&file, wat::parse_str(shape.module(size))?)?;
            let words = ["compile".into(), file.display().to_string()];
            let name = format!("{} {size}", shape.name);
            let mut item = Item::of_runners(name, contenders, &words, FigureSource::Figure(Figure::Compile));
            item.size = Some(size);
            item.limit = Some(LIMIT);
            entries.push(Entry::Item(item));
        }
    }
    Ok(entries)
}
