//! Small programs, from the start of the process to its end.

use super::exec;
use crate::bench::binary::Binary;
use crate::bench::contender::Contender;
use crate::bench::directories::Directories;
use crate::bench::item::{Entry, Expected, FigureSource, Item};
use anyhow::Result;

const HELLO: &str = include_str!("../../../programs/hello.wat");

/// The smallest program.
pub(super) fn hello(dirs: &Directories, contenders: &[Contender]) -> Result<Vec<Entry>> {
    let file = dirs.out.join("hello.wasm");
    std::fs::write(&file, wat::parse_str(HELLO)?)?;
    let words = ["run".into(), file.display().to_string()];
    let mut hello = Item::of_runners("hello", contenders, &words, FigureSource::Wall);
    hello.expected = Expected { exit: 0, stdout: Some(b"hello\n".into()) };
    Ok(vec![Entry::Item(hello)])
}

pub(crate) fn items(dirs: &Directories, contenders: &[Contender]) -> Result<Vec<Entry>> {
    let mut entries = hello(dirs, contenders)?;
    entries.extend(exec::programs(dirs, contenders, &["rust-hello-p1"])?);
    for entry in &mut entries {
        if let Entry::Item(item) = entry {
            item.source = FigureSource::Wall;
            // Users start belljar's own program.
            let ours = item.attempts.iter_mut().filter(|a| a.contender == Contender::Belljar);
            ours.for_each(|a| {
                a.binary = Binary::Belljar;
                a.env.push(("BELLJAR_CACHE", "off".into()));
            });
        }
    }
    Ok(entries)
}
