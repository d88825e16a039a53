//! Requests reports from all processes that offer inspection.

use crate::exit_code::ExitCode;
use crate::failure::{Failure, WithExitCode};
use belljar::{Error, OutsideText};
use belljar_inspect::{AskError, Detail, Process, ProcessReport, processes};
use std::thread;

/// The result of polling all processes.
#[derive(Default)]
pub(crate) struct PollResult {
    /// The reports, sorted by process id.
    pub(crate) reports: Vec<ProcessReport>,
    /// The processes that did not respond.
    pub(crate) unresponsive: Vec<UnresponsiveProcess>,
}

/// A process that did not respond.
pub(crate) struct UnresponsiveProcess {
    pub(crate) pid: u32,
    pub(crate) error: AskError,
}

/// Requests reports from all processes with wanted ids, concurrently, so that one blocked process does not delay the
/// others.
///
/// # Errors
///
/// Returns an error if the directory of sockets cannot be trusted or read.
pub(crate) fn poll_processes(wanted: impl Fn(u32) -> bool) -> Result<PollResult, Failure> {
    let mut found = processes().with_exit_code(ExitCode::Unreadable)?;
    found.retain(|process| wanted(process.pid()));
    let ask = |process: &Process| process.ask_stores(Detail::Innermost);
    let answers: Vec<_> = thread::scope(|scope| {
        let start = |process| thread::Builder::new().spawn_scoped(scope, move || ask(process));
        let threads: Vec<_> = found.iter().map(|process| (process, start(process))).collect();
        let end = |(process, thread): (_, std::io::Result<thread::ScopedJoinHandle<'_, _>>)| {
            // Without a thread, the process is asked here.
            thread.ok().and_then(|thread| thread.join().ok()).unwrap_or_else(|| ask(process))
        };
        threads.into_iter().map(end).collect()
    });
    let mut polled = PollResult::default();
    for (process, answer) in found.iter().zip(answers) {
        match answer {
            Ok(report) => polled.reports.push(report),
            // It has ended in the meantime.
            Err(AskError::NoProcess { .. }) => {}
            Err(error) => polled.unresponsive.push(UnresponsiveProcess { pid: process.pid(), error }),
        }
    }
    Ok(polled)
}

/// Converts the error of a request to a failure.
pub(crate) fn failure(error: &AskError) -> Failure {
    let advice = match error {
        AskError::NoProcess { .. } => ": `belljar ps` lists the processes",
        _ => "",
    };
    Failure::new(ExitCode::Unreadable, Error::msg(format!("{error}{advice}")))
}

/// Parses a process id.
pub(crate) fn process_id(text: &str) -> Result<u32, String> {
    // Process ids are positive values of `int`.
    let pid = text.parse().ok().filter(|pid| (1..=i32::MAX.cast_unsigned()).contains(pid));
    let found = OutsideText::new(text);
    pid.ok_or_else(|| format!("expected a process id, as `belljar ps` lists them, found `{found}`"))
}
