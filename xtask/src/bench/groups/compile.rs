//! Compilation of large programs.

use crate::bench::contender::Contender;
use crate::bench::directories::Directories;
use crate::bench::item::{Entry, FigureSource, Item};
use anyhow::Result;
use bench_runner::Figure;

/// A program, and how often it is compiled in one process; the last time counts. Once is what a
/// command-line program experiences, and is all that is affordable for the large ones.
const PROGRAMS: [(&str, &str, &str); 5] = [
    ("ubench", "bench/ubench/wasm/ubench.wasm", "5"),
    ("ripgrep", "programs/ripgrep/rg-p1.wasm", "2"),
    ("gofmt", "programs/gofmt/gofmt.wasm", "1"),
    ("ruby", "programs/compile-only/ruby.wasm", "1"),
    ("python", "programs/cpython312-p1/python.wasm", "1"),
];

pub(crate) fn items(dirs: &Directories, contenders: &[Contender]) -> Result<Vec<Entry>> {
    let entry = |(name, path, times): (&str, &str, &str)| match dirs.shared(path) {
        Err(reason) => Entry::Skipped { name: name.into(), reason },
        Ok(file) => {
            let words = ["compile".into(), file.display().to_string(), times.into()];
            Entry::Item(Item::of_runners(name, contenders, &words, FigureSource::Figure(Figure::Compile)))
        }
    };
    Ok(PROGRAMS.map(entry).into())
}
