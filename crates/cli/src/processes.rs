//! Looking at all processes that let us: their reports in, and who did not answer.

use crate::exit_code::ExitCode;
use crate::failure::{Failure, WithExitCode};
use anyhow::Error;
use belljar::OutsideText;
use belljar_inspect::{AskError, Detail, Process, ProcessReport, processes};
use std::thread;

/// What there was to see at one moment.
#[derive(Default)]
pub(crate) struct PollResult {
    /// Those that answered, by their numbers.
    pub(crate) reports: Vec<ProcessReport>,
    /// Those that are there and did not.
    pub(crate) unresponsive: Vec<UnresponsiveProcess>,
}

/// A process that did not answer.
pub(crate) struct UnresponsiveProcess {
    pub(crate) pid: u32,
    pub(crate) error: AskError,
}

/// Looks at all processes, but those whose numbers are not wanted. All at the same time: one that is stuck lets nobody else wait.
///
/// # Errors
///
/// Where the directory of sockets cannot be trusted or read.
pub(crate) fn poll_processes(wanted: impl Fn(u32) -> bool) -> Result<PollResult, Failure> {
    let mut found = processes().with_exit_code(ExitCode::Unreadable)?;
    found.retain(|process| wanted(process.pid()));
    let ask = |process: &Process| process.ask_stores(Detail::Innermost);
    let answers: Vec<_> = thread::scope(|scope| {
        let start = |process| thread::Builder::new().spawn_scoped(scope, move || ask(process));
        let threads: Vec<_> = found.iter().map(|process| (process, start(process))).collect();
        let end = |(process, thread): (_, std::io::Result<thread::ScopedJoinHandle<'_, _>>)| {
            // Without a thread it is asked in its turn.
            thread.ok().and_then(|thread| thread.join().ok()).unwrap_or_else(|| ask(process))
        };
        threads.into_iter().map(end).collect()
    });
    let mut polled = PollResult::default();
    for (process, answer) in found.iter().zip(answers) {
        match answer {
            Ok(report) => polled.reports.push(report),
            // It ended meanwhile.
            Err(AskError::NoProcess { .. }) => {}
            Err(error) => polled.unresponsive.push(UnresponsiveProcess { pid: process.pid(), error }),
        }
    }
    Ok(polled)
}

/// A process that could not be asked.
pub(crate) fn failure(error: &AskError) -> Failure {
    Failure::new(ExitCode::Unreadable, Error::msg(error.to_string()))
}

/// Reads a process id.
pub(crate) fn process_id(text: &str) -> Result<u32, String> {
    // The kernel's are positive `int`s.
    let pid = text.parse().ok().filter(|pid| (1..=i32::MAX.cast_unsigned()).contains(pid));
    let found = OutsideText::new(text);
    pid.ok_or_else(|| {
        format!("expected the number of a process, as `belljar ps` lists them, found `{found}`")
    })
}
