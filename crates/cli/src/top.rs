//! `belljar top`: repeatedly shows what running guests are doing, and their CPU usage.

mod cpu_times;
mod screen;

use crate::byte_size::ByteSize;
use crate::exit_code::ExitCode;
use crate::failure::{Failure, WithExitCode};
use crate::output::print;
use crate::process_table::Table;
use crate::processes::{PollResult, poll_processes};
use crate::time_span::TimeSpan;
use belljar::OutsideText;
use belljar_inspect::{ProcessReport, StoreState};
use clap::Args;
use cpu_times::CpuTimes;
use screen::Screen;
use std::collections::HashMap;
use std::fs;
use std::io::{self, IsTerminal};
use std::thread;
use std::time::{Duration, Instant};

const EXAMPLES: &str = "\
Examples:
  belljar top                            q or Ctrl-C quits, the space bar updates at once
  belljar top -d 5
  belljar top -n 3 > log                 three tables, a second apart

CPU% is the share of one CPU used since the previous table, by the store's thread or, if the process has only one \
store, by the process. If standard input or output is not a terminal, tables are printed one after another: one \
without -n.

Exit codes: 0, or 66 if the directory of the programs' sockets cannot be used.";

/// The delay before the first table, even if the interval is longer.
const FIRST_DELAY: Duration = Duration::from_millis(250);

/// How long not to poll a process that did not respond, since it delays all others.
const BACK_OFF: Duration = Duration::from_secs(10);

/// Watch what running programs are doing.
#[derive(Args, Clone, Copy, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct TopOptions {
    /// The time between two tables: 1, 500ms
    #[arg(short, long, value_name = "SECONDS", default_value = "1", value_parser = delay)]
    delay: TimeSpan,

    /// Stop after N tables [default: never on a terminal, otherwise after one]
    #[arg(short = 'n', long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    iterations: Option<u64>,
}

/// Parses an interval that is long enough for a person to see something.
fn delay(text: &str) -> Result<TimeSpan, String> {
    let time: TimeSpan = text.parse()?;
    match time.0 >= Duration::from_millis(10) {
        true => Ok(time),
        false => Err(format!("expected at least 10ms, found `{}`", OutsideText::new(text))),
    }
}

impl TopOptions {
    /// Shows tables until the user quits or enough have been shown. Returns the exit code.
    ///
    /// # Errors
    ///
    /// Returns an error if the processes cannot be listed, or if the tables cannot be written.
    pub(crate) fn execute(self) -> Result<u8, Failure> {
        match io::stdin().is_terminal() && io::stdout().is_terminal() {
            true => self.show()?,
            false => self.write()?,
        }
        Ok(ExitCode::Success as u8)
    }

    /// Shows tables on the terminal, each replacing the previous one.
    fn show(self) -> Result<(), Failure> {
        let screen = Screen::enter().with_exit_code(ExitCode::Unwritable)?;
        let mut poller = Poller::new()?;
        let mut is_over = screen.wait(self.delay.0.min(FIRST_DELAY)).with_exit_code(ExitCode::Unreadable)?;
        let mut left = self.iterations;
        while !is_over && left != Some(0) {
            screen.draw(&poller.poll()?)?;
            left = left.map(|n| n - 1);
            if left != Some(0) {
                is_over = screen.wait(self.delay.0).with_exit_code(ExitCode::Unreadable)?;
            }
        }
        Ok(())
    }

    /// Prints tables one after another.
    fn write(self) -> Result<(), Failure> {
        let mut poller = Poller::new()?;
        for i in 0..self.iterations.unwrap_or(1) {
            thread::sleep(if i == 0 { self.delay.0.min(FIRST_DELAY) } else { self.delay.0 });
            let picture = poller.poll()?;
            print(&if i == 0 { picture } else { format!("\n{picture}") })?;
        }
        Ok(())
    }
}

/// Polls processes repeatedly.
struct Poller {
    before: CpuTimes,
    /// Until when not to poll processes that did not respond.
    backed_off: HashMap<u32, Instant>,
}

impl Poller {
    /// Polls once, as the base for the first CPU shares.
    fn new() -> Result<Self, Failure> {
        let polled = poll_processes(|_| true)?;
        let mut poller = Self { before: CpuTimes::of(&polled.reports), backed_off: HashMap::new() };
        poller.back_off(&polled);
        Ok(poller)
    }

    /// Polls, and formats the changes since the last time.
    fn poll(&mut self) -> Result<String, Failure> {
        let now = Instant::now();
        self.backed_off.retain(|_, until| *until > now);
        let polled = poll_processes(|pid| !self.backed_off.contains_key(&pid))?;
        self.back_off(&polled);
        let times = CpuTimes::of(&polled.reports);
        let table = Table::with_shares(&polled.reports, |process, store| {
            times.share_since(&self.before, process, store) * 100.0
        });
        // The sum of an empty iterator of floats is -0.
        let total = polled
            .reports
            .iter()
            .fold(0.0, |sum, process| sum + times.share_since(&self.before, process, None));
        self.before = times;
        Ok(format!("{}\n\n{table}", title(&polled.reports, self.backed_off.len(), total * 100.0)))
    }

    fn back_off(&mut self, polled: &PollResult) {
        let until = Instant::now() + BACK_OFF;
        self.backed_off.extend(polled.unresponsive.iter().map(|silent| (silent.pid, until)));
    }
}

/// Formats the first line, with totals.
fn title(reports: &[ProcessReport], silent: usize, share: f64) -> String {
    let stores = || reports.iter().flat_map(|process| &process.stores);
    let running = stores().filter(|store| store.state != StoreState::Idle).count();
    let memory = stores().fold(0_u64, |sum, store| sum.saturating_add(store.memory_bytes));
    let count = |n: usize, one: &str, many: &str| format!("{n} {}", if n == 1 { one } else { many });
    let mut title = format!(
        "{}, {}, {running} running; {share:.1} % CPU, {}",
        count(reports.len(), "process", "processes"),
        count(stores().count(), "store", "stores"),
        ByteSize(memory)
    );
    if silent > 0 {
        title.push_str(&format!("; {} without an answer", count(silent, "process", "processes")));
    }
    if let Some(load) = load() {
        title.push_str(&format!("; load {load}"));
    }
    title
}

/// Returns the system's load averages over one, five and fifteen minutes.
fn load() -> Option<String> {
    let text = fs::read_to_string("/proc/loadavg").ok()?;
    let words: Vec<&str> = text.split(' ').take(3).collect();
    Some(words.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_title_counts_everything() {
        let store = |state: &str| {
            json!({"id": 1, "label": null, "state": state, "thread": null, "age_ns": 0,
                "memory_bytes": 1 << 20, "frames": [], "omitted": 0})
        };
        let process = json!({"pid": 1, "version": "", "uptime_ns": 0, "cpu_ns": 0, "command": [],
            "stores": [store("idle"), store("guest")]});
        let reports: Vec<ProcessReport> = serde_json::from_value(json!([process])).unwrap();
        let message = title(&reports, 2, 99.96);
        assert!(message.starts_with(
            "1 process, 2 stores, 1 running; 100.0 % CPU, 2 MiB; 2 processes without an answer; load "
        ));
        assert!(
            title(&[], 0, 0.0).starts_with("0 processes, 0 stores, 0 running; 0.0 % CPU, 0 bytes; load ")
        );
    }
}
