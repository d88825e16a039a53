//! Running code: individual kernels, and real programs.

use crate::bench::contender::Contender;
use crate::bench::directories::Directories;
use crate::bench::item::{Entry, Expected, FigureSource, Item};
use crate::bench::process::SCRATCH;
use crate::bench::ubench;
use anyhow::{Context, Result};
use bench_runner::Figure;
use serde::Deserialize;
use std::collections::BTreeMap;

/// Programs to run, by their names in the list of cases.
const PROGRAMS: [&str; 5] = ["sqlbench", "zbench", "python312-work", "ripgrep-p1", "ripgrep-count-p1"];

/// A build of the kernels in addition to the plain one.
struct Variant {
    name: &'static str,
    build: &'static str,
    /// The kernels that it changes.
    kernels: &'static [&'static str],
}

const VARIANTS: [Variant; 2] = [
    Variant {
        name: "simd",
        build: "ubench-simd",
        kernels: &["nbody", "spectral", "matmul", "fft", "sieve", "lev", "life", "blur"],
    },
    Variant { name: "wide", build: "ubench-wide", kernels: &["bigmul"] },
];

pub(crate) fn items(dirs: &Directories, contenders: &[Contender]) -> Result<Vec<Entry>> {
    let mut entries = kernels(dirs, contenders);
    for variant in &VARIANTS {
        let name = |kernel: &str| format!("{kernel} {}", variant.name);
        entries.extend(kernels_of(dirs, contenders, variant.build, |kernel| {
            variant.kernels.contains(&kernel).then(|| name(kernel))
        }));
    }
    entries.extend(programs(dirs, contenders, &PROGRAMS)?);
    Ok(entries)
}

/// An invalid kernel name: the program then lists all kernels.
const UNREACHABLE: &str = "list";

/// Returns all kernels in their plain build.
pub(crate) fn kernels(dirs: &Directories, contenders: &[Contender]) -> Vec<Entry> {
    kernels_of(dirs, contenders, "ubench", |kernel| Some(kernel.to_string()))
}

/// Returns the kernels that have a name in this build.
fn kernels_of(
    dirs: &Directories,
    contenders: &[Contender],
    build: &str,
    name: impl Fn(&str) -> Option<String>,
) -> Vec<Entry> {
    let found = ubench::kernels(dirs).and_then(|kernels| Ok((kernels, ubench::wasm(dirs, build)?)));
    let (kernels, file) = match found {
        Ok(found) => found,
        Err(reason) => return vec![Entry::Skipped { name: build.into(), reason }],
    };
    let file = file.display().to_string();
    let item = |(kernel, stdout): (String, Vec<u8>)| {
        let name = name(&kernel)?;
        if kernel == UNREACHABLE {
            return Some(Entry::Skipped { name, reason: "the program takes this word as a command".into() });
        }
        let words = ["run".into(), file.clone(), kernel.clone()];
        let mut item = Item::of_runners(name, contenders, &words, FigureSource::Kernel(kernel));
        item.expected.stdout = Some(stdout);
        Some(Entry::Item(item))
    };
    kernels.into_iter().filter_map(item).collect()
}

/// A case of the list.
#[derive(Deserialize)]
struct Case {
    id: String,
    wasm: String,
    dirs: BTreeMap<String, String>,
    args: Vec<String>,
    #[serde(default)]
    env: BTreeMap<String, String>,
    #[serde(default)]
    stdin_text: String,
    argv0: Option<String>,
    expect: Expect,
}

#[derive(Deserialize)]
struct Expect {
    exit: i32,
    stdout: String,
}

/// Returns programs of the list of cases.
pub(crate) fn programs(dirs: &Directories, contenders: &[Contender], ids: &[&str]) -> Result<Vec<Entry>> {
    let skip = |id: &str, reason| Entry::Skipped { name: id.into(), reason };
    let list = match dirs.shared("programs/cases.json") {
        Ok(list) => list,
        Err(reason) => return Ok(ids.iter().map(|id| skip(id, reason.clone())).collect()),
    };
    let text = std::fs::read_to_string(&list)?;
    let cases: Vec<Case> = serde_json::from_str(&text).with_context(|| list.display().to_string())?;
    let entry = |id: &&str| match cases.iter().find(|c| c.id == **id) {
        Some(case) => program(dirs, contenders, case).unwrap_or_else(|reason| skip(id, reason)),
        None => skip(id, "it is not in the list of cases".into()),
    };
    Ok(ids.iter().map(entry).collect())
}

fn program(dirs: &Directories, contenders: &[Contender], case: &Case) -> Result<Entry, String> {
    let mut words = vec!["run".to_string()];
    for (guest, host) in &case.dirs {
        // A scratch directory is created for each run, in the current directory of the process.
        let host = match host.as_str() {
            SCRATCH => SCRATCH.into(),
            _ => dirs.shared(&format!("programs/{host}"))?.display().to_string(),
        };
        words.extend(["--dir".into(), format!("{host}::{guest}")]);
    }
    for (key, value) in &case.env {
        words.extend(["--env".into(), format!("{key}={value}")]);
    }
    if let Some(argv0) = &case.argv0 {
        words.extend(["--argv0".into(), argv0.clone()]);
    }
    words.push(dirs.shared(&format!("programs/{}", case.wasm))?.display().to_string());
    words.extend(case.args.iter().cloned());
    let stdout = dirs.shared(&format!("programs/{}", case.expect.stdout))?;
    let stdout = std::fs::read(&stdout).map_err(|e| format!("{}: {e}", stdout.display()))?;
    let mut item = Item::of_runners(&case.id, contenders, &words, FigureSource::Figure(Figure::Run));
    item.expected = Expected { exit: case.expect.exit, stdout: Some(stdout) };
    item.stdin = case.stdin_text.clone();
    Ok(Entry::Item(item))
}
