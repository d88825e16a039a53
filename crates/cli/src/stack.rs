//! `belljar stack`: shows the stacks of a process's guests.

use crate::exit_code::ExitCode;
use crate::failure::Failure;
use crate::output::{complain, print, print_json};
use crate::process_table::{state, title};
use crate::processes::{failure, process_id};
use belljar::OutsideText;
use belljar_inspect::{Detail, FrameReport, Process, ProcessReport, StoreReport, StoreState};
use clap::Args;
use std::fmt;

const EXAMPLES: &str = "\
Examples:
  belljar stack 4711                     `belljar ps` lists the processes
  belljar stack 4711 --all               idle stores as well, and complete stacks
  belljar stack 4711 --json | jq '.stores[].frames[0].func_name'

The guests keep running: each is interrupted while its stack is walked.

Exit codes: 0, or 66 if there is no such process, or if it cannot be inspected.";

/// The most lines of frames to print without --all; repetitions of the same frame count as one.
const MAX_LINES: usize = 40;

/// The most characters of a name in a store's title line.
const MAX_NAME_CHARS: usize = 100;

/// Show the stacks of a running program's guests.
#[derive(Args, Clone, Copy, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct StackOptions {
    /// The process id, as `belljar ps` lists it
    #[arg(value_parser = process_id)]
    pid: u32,

    /// Show idle stores as well, and all frames instead of the innermost 40
    #[arg(long)]
    all: bool,

    /// Print JSON instead of text
    #[arg(long)]
    json: bool,
}

impl StackOptions {
    /// Shows the process. Returns the exit code.
    ///
    /// # Errors
    ///
    /// Returns an error if it cannot be inspected.
    pub(crate) fn execute(self) -> Result<u8, Failure> {
        let detail = Detail::Stacks { all_frames: self.all };
        let process = Process::find(self.pid).map_err(|error| failure(&error))?;
        let report = process.ask_stores(detail).map_err(|error| failure(&error))?;
        if self.json {
            print_json(&report)?;
            return Ok(ExitCode::Success as u8);
        }
        let shown = Stacks { report: &report, all: self.all };
        match shown.stores().next() {
            Some(_) => print(&shown.to_string())?,
            None => complain(&format!("note: {}", nothing_runs(&report))),
        }
        Ok(ExitCode::Success as u8)
    }
}

fn nothing_runs(report: &ProcessReport) -> String {
    let pid = report.pid;
    match report.stores.len() {
        0 => format!("process {pid} has no stores"),
        1 => format!("nothing is running in process {pid}: --all shows its idle store"),
        n => format!("nothing is running in process {pid}: --all shows its {n} idle stores"),
    }
}

/// Formats the stacks of a process.
struct Stacks<'a> {
    report: &'a ProcessReport,
    all: bool,
}

impl<'a> Stacks<'a> {
    /// Returns the stores to show.
    fn stores(&self) -> impl Iterator<Item = &'a StoreReport> {
        let all = self.all;
        self.report.stores.iter().filter(move |store| all || store.state != StoreState::Idle)
    }
}

impl fmt::Display for Stacks<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, store) in self.stores().enumerate() {
            if i > 0 {
                writeln!(f)?;
            }
            write_title(store, f)?;
            write_frames(store, if self.all { usize::MAX } else { MAX_LINES }, f)?;
        }
        Ok(())
    }
}

/// Writes `store 1 (tool.wasm, 12.3 s old), thread main (4711): running sort_array`.
fn write_title(store: &StoreReport, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    f.write_str(&title(store))?;
    if let Some(thread) = &store.thread {
        write!(f, ", thread {} ({})", OutsideText::new(&thread.name).cut(MAX_NAME_CHARS), thread.id)?;
    }
    writeln!(f, ": {}", state(store))
}

fn write_frames(store: &StoreReport, lines: usize, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let frames = &store.frames;
    let mut at = 0;
    for _ in 0..lines {
        let Some(frame) = frames.get(at) else { break };
        for call in &frame.host_calls {
            writeln!(f, "       {}", OutsideText::new(call))?;
        }
        write_frame(at, &frame.text, f)?;
        let run = frames[at..].iter().take_while(|other| is_same(frame, other)).count();
        if run > 2 {
            writeln!(f, "       … and {} times the same", run - 1)?;
            at += run;
        } else {
            at += 1;
        }
    }
    match (frames.len() - at).saturating_add(store.omitted) {
        0 => Ok(()),
        1 => writeln!(f, "  … 1 more frame"),
        n => writeln!(f, "  … {n} more frames"),
    }
}

/// Writes a frame as its process reported it: the function, inlined functions, and positions. Whatever these untrusted
/// lines contain, none can look like a separate frame.
fn write_frame(at: usize, text: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    for (i, line) in text.split('\n').enumerate() {
        let line = line.trim_start();
        match i {
            0 => write!(f, "  {at:>3}: ")?,
            _ if line.starts_with("at ") => write!(f, "{:20}", "")?,
            _ if line.starts_with("- ") => write!(f, "{:14}", "")?,
            _ => write!(f, "{:14}- ", "")?,
        }
        writeln!(f, "{}", OutsideText::new(line))?;
    }
    Ok(())
}

/// Returns whether both frames are at the same instruction, as far as known.
fn is_same(a: &FrameReport, b: &FrameReport) -> bool {
    a.func_index == b.func_index
        && a.module_offset == b.module_offset
        && a.text == b.text
        && a.host_calls == b.host_calls
}
