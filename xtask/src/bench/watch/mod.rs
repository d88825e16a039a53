//! Measures what inspection costs a guest: `cargo xtask bench watch`.
//!
//! In: probes, processes that do some work alternately without and with inspection. Out: a sheet of figures on standard
//! output, each with its target, and `target/bench/watch.json`. Never: a ratio of one program's time to another's, as
//! in the other groups: the rival does the same work, and has its own line in the sheet.
//!
//! ```text
//! probe ── rounds: belljar, rival, … ──▶ pairs of each round ──▶ median of a round ──▶ median, lowest and highest of the rounds
//! ```
//!
//! Guests' time is CPU time, because the machine may be busy with other work.

mod line;
mod probes;
mod processes;

use super::binary::Binaries;
use super::directories::Directories;
use super::machine::Machine;
use super::options::{Options, WATCH};
use super::process;
use anyhow::{Context, Result};
use indicatif::{ProgressBar, ProgressStyle};
use line::{Line, Outputs};
use probes::{Entry, Probe};
use serde::Serialize;
use std::collections::BTreeMap;

const ROUNDS: usize = 5;
const QUICK_ROUNDS: usize = 2;

/// All results.
#[derive(Serialize)]
struct Record {
    group: &'static str,
    quick: bool,
    machine: Machine,
    /// Nanoseconds between two ticks of the kernel's clock.
    tick: u128,
    lines: Vec<Line>,
    skipped: BTreeMap<String, String>,
    failed: BTreeMap<String, String>,
    /// The outputs of the processes, by probe and contender: a text for each round.
    outputs: BTreeMap<String, Outputs>,
}

/// Measures the group. Returns how many of its probes failed.
pub(crate) fn run(
    options: &Options,
    dirs: &Directories,
    machine: &Machine,
    binaries: &Binaries<'_>,
) -> Result<usize> {
    let mut record = Record {
        group: WATCH,
        quick: options.quick,
        machine: machine.clone(),
        tick: bench_runner::tick().as_nanos(),
        lines: Vec::new(),
        skipped: BTreeMap::new(),
        failed: BTreeMap::new(),
        outputs: BTreeMap::new(),
    };
    let mut ready: Vec<Probe> = Vec::new();
    for entry in probes::all(options, dirs)? {
        match entry {
            Entry::Probe(probe) if options.wants(&probe.item.name) => match probe.build(binaries) {
                Ok(()) => ready.push(probe),
                Err(error) => drop(record.skipped.insert(probe.item.name, format!("{error:#}"))),
            },
            Entry::Skipped { name, reason } if options.wants(&name) => {
                record.skipped.insert(name, reason);
            }
            _ => {}
        }
    }
    let sheet = Sheet::new(ready.len() + 1, machine);
    for probe in &ready {
        match measure(probe, options, binaries, &sheet) {
            Ok(outputs) => {
                sheet.print(&mut record, (probe.lines)(&probe.item.name, &outputs));
                record.outputs.insert(probe.item.name.clone(), outputs);
            }
            Err(error) => drop(record.failed.insert(probe.item.name.clone(), format!("{error:#}"))),
        }
    }
    if options.wants(processes::NAME) {
        sheet.progress.set_message(processes::NAME);
        match processes::measure(options, dirs, binaries) {
            Ok(Ok(lines)) => sheet.print(&mut record, lines),
            Ok(Err(reason)) => drop(record.skipped.insert(processes::NAME.into(), reason)),
            Err(error) => drop(record.failed.insert(processes::NAME.into(), format!("{error:#}"))),
        }
    }
    sheet.finish(&record);
    let path = dirs.results.join("watch.json");
    let text = serde_json::to_string_pretty(&record)? + "\n";
    std::fs::write(&path, text).with_context(|| path.display().to_string())?;
    Ok(record.failed.len())
}

/// Runs the contenders in turn, once in each round.
fn measure(probe: &Probe, options: &Options, binaries: &Binaries<'_>, sheet: &Sheet) -> Result<Outputs> {
    let rounds = if probe.is_exact { 1 } else { options.rounds_or(ROUNDS, QUICK_ROUNDS) };
    let mut outputs = Outputs::new();
    for round in 0..rounds {
        sheet.progress.set_message(format!("{} {}/{rounds}", probe.item.name, round + 1));
        for attempt in &probe.item.attempts {
            let program = binaries.path(attempt.binary)?;
            let output = process::output(&probe.item, attempt, &program, options.quick);
            let (output, _) =
                output.with_context(|| attempt.contender.name())?.context("it took too long")?;
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            outputs.entry(attempt.contender).or_default().push(text);
            sheet.progress.tick();
        }
    }
    sheet.progress.inc(1);
    Ok(outputs)
}

/// The sheet on standard output, with a progress bar below it on a terminal.
struct Sheet {
    progress: ProgressBar,
}

impl Sheet {
    fn new(probes: usize, machine: &Machine) -> Self {
        let style = ProgressStyle::with_template("{spinner} {pos}/{len} {bar:24} {elapsed_precise} {msg}");
        let progress = ProgressBar::new(probes as u64);
        progress.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        let sheet = Self { progress };
        let tick = bench_runner::tick().as_millis();
        sheet.say("\nwatch: what inspection costs a guest; CPU time of its thread");
        sheet.say(&machine.to_string());
        sheet.say(&format!("the kernel's clock ticks every {tick} ms"));
        sheet.say(&Line::heading());
        sheet
    }

    fn say(&self, line: &str) {
        self.progress.suspend(|| println!("{}", line.trim_end()));
    }

    fn print(&self, record: &mut Record, lines: Vec<Line>) {
        lines.iter().for_each(|line| self.say(&line.to_string()));
        record.lines.extend(lines);
    }

    fn finish(&self, record: &Record) {
        self.progress.finish_and_clear();
        for (name, reason) in &record.skipped {
            println!("skipped: {name}: {reason}");
        }
        for (name, reason) in &record.failed {
            println!("failed: {name}: {reason}");
        }
    }
}
