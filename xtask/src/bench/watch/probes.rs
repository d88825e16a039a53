//! The probes, one row each.

use super::line::{Line, Outputs, Pairs, Unit};
use crate::bench::binary::Binaries;
use crate::bench::contender::Contender::{self, Belljar, Wasmtime};
use crate::bench::directories::Directories;
use crate::bench::item::{FigureSource, Item};
use crate::bench::options::Options;
use anyhow::Result;
use bench_runner::{Figure, watched_text};

/// A measurement done by processes.
pub(super) struct Probe {
    /// The contenders and how they do it.
    pub(super) item: Item,
    /// Computes the figures from their outputs.
    pub(super) lines: fn(&str, &Outputs) -> Vec<Line>,
    /// Whether further rounds would give the same result.
    pub(super) is_exact: bool,
}

/// An entry of the group.
pub(super) enum Entry {
    Probe(Probe),
    /// A probe that cannot be measured here.
    Skipped {
        name: String,
        reason: String,
    },
}

impl Probe {
    pub(super) fn build(&self, binaries: &Binaries<'_>) -> Result<()> {
        self.item.attempts.iter().try_for_each(|attempt| binaries.path(attempt.binary).map(drop))
    }
}

/// The real program that is inspected.
pub(super) const PYTHON: &str = "programs/cpython312-p1/python.wasm";
/// Creates and sorts objects for a tenth of a second, a few calls deep.
const SCRIPT: &str = "\
def work(n):
    if n: return work(n - 1)
    table = {}
    for i in range(60000): table[i * 7919 % 10007] = str(i)
    return sum(len(x) for x in sorted(table.values()))
work(10)";

/// A program whose code is compared: it contains everything that compilers emit.
const LARGE: &str = "programs/ripgrep/rg-p1.wasm";

struct Files<'a> {
    dirs: &'a Directories,
    contenders: [Contender; 2],
    has_rival: bool,
}

impl Files<'_> {
    /// Returns a guest at the bottom of a number of frames.
    fn kernel(&self, frames: u32) -> Result<Vec<String>> {
        let file = self.dirs.out.join(format!("watched-{frames}.wasm"));
        std::fs::write(&file, wat::parse_str(watched_text(frames))?)?;
        Ok(vec![file.display().to_string()])
    }

    fn python(&self) -> Result<Vec<String>, String> {
        let file = self.dirs.shared(PYTHON)?;
        Ok(vec![file.display().to_string(), "-c".into(), SCRIPT.into()])
    }

    /// Runs `watch WHAT WORDS` with belljar, and with the rival if requested.
    fn probe(
        &self,
        name: &str,
        what: &str,
        words: Vec<String>,
        lines: fn(&str, &Outputs) -> Vec<Line>,
    ) -> Result<Probe> {
        let has_rival = self.has_rival && what == "sampled";
        let contenders = if has_rival { &self.contenders[..] } else { &self.contenders[..1] };
        let words: Vec<_> = ["watch".into(), what.into()].into_iter().chain(words).collect();
        let mut item = Item::of_runners(name, contenders, &words, FigureSource::Wall);
        for attempt in &mut item.attempts {
            let directory = self.dirs.out.join("watch");
            let cache = directory.join(attempt.contender.name());
            std::fs::create_dir_all(&cache)?;
            // A directory that others can enter would not be used for sockets, so belljar creates it itself.
            let own = [("BENCH_CACHE", cache), ("BELLJAR_RUNTIME_DIR", directory.join("sockets"))];
            attempt.env.extend(own.map(|(name, path)| (name, path.display().to_string())));
            attempt.env.push(("XDG_STATE_HOME", directory.display().to_string()));
        }
        Ok(Probe { item, lines, is_exact: what == "code" })
    }
}

/// Returns all probes but those of other processes.
pub(super) fn all(options: &Options, dirs: &Directories) -> Result<Vec<Entry>> {
    let files = Files { dirs, contenders: [Belljar, Wasmtime], has_rival: options.has_rival(Wasmtime) };
    let mut entries = Vec::new();
    let mut add = |name: &str, what: &str, words: Result<Vec<String>, String>, lines| -> Result<()> {
        entries.push(match words {
            Ok(words) => Entry::Probe(files.probe(name, what, words, lines)?),
            Err(reason) => Entry::Skipped { name: name.into(), reason },
        });
        Ok(())
    };
    add("code of 30 frames", "code", Ok(files.kernel(30)?), code)?;
    add("code of ripgrep", "code", dirs.shared(LARGE).map(|f| vec![f.display().to_string()]), code)?;
    add("1 kHz, 30 frames", "sampled", Ok(files.kernel(30)?), sampled)?;
    add("1 kHz, CPython", "sampled", files.python(), sampled)?;
    add("a capture every ms, 100 frames", "paced", Ok(files.kernel(100)?), captured)?;
    add("captures without a pause, 100 frames", "fast", Ok(files.kernel(100)?), captured)?;
    add("captures without a pause, 3 frames", "fast", Ok(files.kernel(3)?), captured)?;
    add("nobody looks, 30 frames", "unseen", Ok(files.kernel(30)?), unseen)?;
    add("nobody looks, CPython", "unseen", files.python(), unseen)?;
    add("host to guest", "host-to-guest", Ok(Vec::new()), calls)?;
    add("guest to host", "guest-to-host", Ok(Vec::new()), calls)?;
    Ok(entries)
}

/// Returns the name of each round's figure.
fn read(outputs: &Outputs, figure: Figure) -> Vec<f64> {
    let texts = outputs.get(&Belljar).map_or(&[][..], Vec::as_slice);
    texts.iter().filter_map(|text| figure.read(text)).collect()
}

fn code(name: &str, outputs: &Outputs) -> Vec<Line> {
    let line = Line::new(name, Unit::Bytes, &read(outputs, Figure::Code));
    line.map(|line| line.remark("the same, watched or not")).into_iter().collect()
}

fn sampled(name: &str, outputs: &Outputs) -> Vec<Line> {
    let mut lines = Vec::new();
    for (contender, texts) in outputs {
        let who = contender.name();
        let rounds = |figure: fn(&Pairs) -> Option<f64>| Pairs::rounds(texts, figure);
        let slower = Line::new(format!("{name}: {who} slower by"), Unit::Percent, &rounds(Pairs::slowdown));
        lines.extend(slower.map(|line| if *contender == Belljar { line.wanted(1.0) } else { line }));
        let lost = rounds(Pairs::lost);
        lines.extend(Line::new(format!("{name}: {who}, of each sample"), Unit::Nanoseconds, &lost));
        lines.extend(Line::new(format!("{name}: {who}, samples"), Unit::PerSecond, &rounds(Pairs::rate)));
        let beside = rounds(Pairs::beside);
        lines.extend(Line::new(format!("{name}: {who}, on other threads"), Unit::Percent, &beside));
    }
    lines
}

fn captured(name: &str, outputs: &Outputs) -> Vec<Line> {
    let texts = outputs.get(&Belljar).map_or(&[][..], Vec::as_slice);
    let mut lines = Vec::new();
    let lost =
        Line::new(format!("{name}: the guest loses"), Unit::Nanoseconds, &Pairs::rounds(texts, Pairs::lost));
    lines.extend(lost.map(|line| line.wanted(10_000.0)));
    lines.extend(Line::new(format!("{name}: captures"), Unit::PerSecond, &Pairs::rounds(texts, Pairs::rate)));
    let latencies = [
        ("until it is there", Figure::Look, Figure::LookTail),
        ("with names", Figure::Capture, Figure::CaptureTail),
        ("printed with lines", Figure::Print, Figure::PrintTail),
    ];
    for (what, middle, tail) in latencies {
        lines.extend(Line::new(format!("{name}: {what}, wall"), Unit::Nanoseconds, &read(outputs, middle)));
        lines.extend(Line::new(format!("{name}: the same, p99"), Unit::Nanoseconds, &read(outputs, tail)));
    }
    lines
}

fn unseen(name: &str, outputs: &Outputs) -> Vec<Line> {
    let texts = outputs.get(&Belljar).map_or(&[][..], Vec::as_slice);
    let slower = Pairs::rounds(texts, Pairs::slowdown);
    Line::new(format!("{name}: slower by"), Unit::Percent, &slower).into_iter().collect()
}

fn calls(name: &str, outputs: &Outputs) -> Vec<Line> {
    let texts = outputs.get(&Belljar).map_or(&[][..], Vec::as_slice);
    let of = |figure: fn(&Pairs) -> Option<f64>| Pairs::rounds(texts, figure);
    [
        Line::new(format!("{name}: nobody's"), Unit::Nanoseconds, &of(Pairs::without)),
        Line::new(format!("{name}: with an inspector"), Unit::Nanoseconds, &of(Pairs::with)),
    ]
    .into_iter()
    .flatten()
    .collect()
}
