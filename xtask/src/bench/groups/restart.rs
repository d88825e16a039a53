//! The second start of programs, with code from the engine's cache or compiled ahead of time.

use super::{exec, start};
use crate::bench::binary::Binary;
use crate::bench::contender::Contender;
use crate::bench::directories::Directories;
use crate::bench::item::{Attempt, Entry, FigureSource, Item};
use anyhow::{Context, Result};
use bench_runner::Figure;
use std::path::Path;

/// Programs that do little, so that most of the time is their start.
const PROGRAMS: [&str; 2] = ["python312-version", "ripgrep-count-p1"];

/// Loaded, but not run: it needs more than WASI to start.
const RUBY: &str = "programs/compile-only/ruby.wasm";

pub(crate) fn items(dirs: &Directories, contenders: &[Contender]) -> Result<Vec<Entry>> {
    let directory = dirs.out.join("restart");
    let mut entries = Vec::new();
    for source in [CodeSource::Cached, CodeSource::Ahead] {
        for contender in contenders {
            std::fs::create_dir_all(directory.join(source.name()).join(contender.name()))?;
        }
        let mut programs = start::hello(dirs, contenders)?;
        programs.extend(exec::programs(dirs, contenders, &PROGRAMS)?);
        for entry in programs {
            entries.push(match entry {
                Entry::Item(item) => Entry::Item(source.start(item, &directory)?),
                skipped => skipped,
            });
        }
        let name = format!("ruby, loaded, {}", source.name());
        entries.push(match dirs.shared(RUBY) {
            Err(reason) => Entry::Skipped { name, reason },
            Ok(file) => {
                let words = ["compile".into(), file.display().to_string()];
                let mut item =
                    Item::of_runners(name, contenders, &words, FigureSource::Figure(Figure::Compile));
                item.attempts.iter_mut().for_each(|attempt| source.of_runner(attempt, &directory));
                Entry::Item(item)
            }
        });
    }
    Ok(entries)
}

/// The source of the code.
#[derive(Clone, Copy)]
enum CodeSource {
    Cached,
    Ahead,
}

impl CodeSource {
    fn name(self) -> &'static str {
        match self {
            Self::Cached => "cached",
            Self::Ahead => "ahead",
        }
    }

    /// Measures the start of a program from outside; for belljar, of the program that users run.
    fn start(self, mut item: Item, directory: &Path) -> Result<Item> {
        item.name = format!("{}, {}", item.name, self.name());
        item.source = FigureSource::Wall;
        for attempt in &mut item.attempts {
            if attempt.contender != Contender::Belljar {
                self.of_runner(attempt, directory);
                continue;
            }
            attempt.binary = Binary::Belljar;
            let ours = directory.join(self.name()).join(attempt.contender.name());
            attempt.env.push(("XDG_STATE_HOME", directory.display().to_string()));
            match self {
                Self::Cached => {
                    attempt.env.push(("BELLJAR_CACHE", ours.display().to_string()));
                    attempt.prepare = Some(attempt.words.clone());
                }
                Self::Ahead => {
                    let file = attempt.words.iter_mut().find(|word| word.ends_with(".wasm"));
                    let file = file.context("the item names no module")?;
                    let name = Path::new(&*file).with_extension("elf");
                    let made =
                        ours.join(name.file_name().context("a module has a name")?).display().to_string();
                    let wasm = std::mem::replace(file, made.clone());
                    attempt.prepare = Some(vec!["compile".into(), wasm, "--output".into(), made]);
                }
            }
        }
        Ok(item)
    }

    /// Sets up an attempt by the program that implements the commands of `bench-runner`.
    fn of_runner(self, attempt: &mut Attempt, directory: &Path) {
        let variable = match self {
            Self::Cached => "BENCH_CACHE",
            Self::Ahead => "BENCH_AHEAD",
        };
        let own = directory.join(self.name()).join(attempt.contender.name()).display().to_string();
        attempt.env.extend([(variable, own), ("XDG_STATE_HOME", directory.display().to_string())]);
        attempt.prepare = Some(attempt.words.clone());
    }
}
