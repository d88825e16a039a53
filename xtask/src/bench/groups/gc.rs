//! Programs that mainly use objects, exceptions and tail calls.

use super::exec;
use crate::bench::contender::Contender;
use crate::bench::directories::Directories;
use crate::bench::item::{Entry, Expected, FigureSource, Item};
use anyhow::Result;
use bench_runner::Figure;

/// Our own programs, with their outputs.
const PROGRAMS: [(&str, &str); 4] = [
    ("trees", include_str!("../../../programs/gc/trees.wat")),
    ("map", include_str!("../../../programs/gc/map.wat")),
    ("strings", include_str!("../../../programs/gc/strings.wat")),
    ("virtual", include_str!("../../../programs/gc/virtual.wat")),
];

pub(crate) fn items(dirs: &Directories, contenders: &[Contender]) -> Result<Vec<Entry>> {
    let mut entries = Vec::new();
    for (name, text) in PROGRAMS {
        let file = dirs.out.join(format!("{name}.wasm"));
        std::fs::write(&file, wat::parse_str(text)?)?;
        let words = ["run".into(), file.display().to_string()];
        let mut item = Item::of_runners(name, contenders, &words, FigureSource::Figure(Figure::Run));
        item.expected = Expected { exit: 0, stdout: Some(format!("{name}\n").into_bytes()) };
        entries.push(Entry::Item(item));
    }
    entries.extend(exec::programs(dirs, contenders, &["ocaml-bench"])?);
    Ok(entries)
}

pub(crate) fn exceptions(dirs: &Directories, contenders: &[Contender]) -> Result<Vec<Entry>> {
    exec::programs(dirs, contenders, &["lua-eh"])
}

pub(crate) fn tail_calls(dirs: &Directories, contenders: &[Contender]) -> Result<Vec<Entry>> {
    exec::programs(dirs, contenders, &["tailcall"])
}
