//! The outcome of a run as an exit code and a message.

use super::backtrace::Backtrace;
use super::options::RunOptions;
use super::stop::{self, TimeLimitOptions};
use crate::byte_size::ByteSize;
use crate::exit_code::ExitCode;
use belljar::{Error, Killed, Limit, LimitExceeded, MemoryFault, ThrownException, Trap, WasmBacktrace};
use belljar_wasi::I32Exit;

/// The outcome of a run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Outcome {
    /// The exit code of the process.
    pub(super) code: u8,
    /// The message for standard error, without the `error: ` in front.
    pub(super) message: Option<String>,
}

impl Outcome {
    /// The guest returned.
    pub(super) const RETURNED: Self = Self { code: ExitCode::Success as u8, message: None };

    /// Returns the outcome of a run that ended with an error: an exit, a trap, or the error of a host function.
    pub(super) fn of_error(error: &Error, options: &RunOptions) -> Self {
        if let Some(exit) = error.downcast_ref::<I32Exit>() {
            return Self { code: exit.status(), message: None };
        }
        let trap = error.downcast_ref::<Trap>().copied();
        let (code, headline) = match (trap, error.downcast_ref::<Killed>()) {
            (_, Some(killed)) => stop::kill_outcome(killed, &TimeLimitOptions::of(options)),
            (Some(Trap::OutOfFuel), _) => {
                let option = options.option_of(Limit::Fuel);
                (ExitCode::Trap, format!("the guest was stopped: its {option} is used up"))
            }
            (Some(Trap::StackOverflow), _) => {
                (ExitCode::Trap, format!("the guest trapped: {}{}", Trap::StackOverflow, stack_of(options)))
            }
            (Some(trap), _) => (ExitCode::Trap, format!("the guest trapped: {trap}{}", fault_of(error))),
            (None, _) if error.is::<ThrownException>() => {
                (ExitCode::Trap, "the guest threw an exception that was not caught".into())
            }
            (None, _) => (ExitCode::Trap, String::from("a host function called by the guest failed")),
        };
        Self { code: code as u8, message: Some(describe(error, headline, options.backtrace)) }
    }
}

/// Returns what to append to the message of a stack overflow if the stack was limited.
fn stack_of(options: &RunOptions) -> String {
    let limit = options.limit(Limit::Stack).map(ByteSize);
    limit.map(|size| format!(": {} allows {size}", options.option_of(Limit::Stack))).unwrap_or_default()
}

/// Returns what to append to the message of a trap caused by a memory access.
fn fault_of(error: &Error) -> String {
    error.downcast_ref::<MemoryFault>().map(|fault| format!(": {fault}")).unwrap_or_default()
}

/// Returns the headline, followed by further causes and the guest's stack.
fn describe(error: &Error, headline: String, shown: Backtrace) -> String {
    // The headline shows these; for a limit, a note does, in terms of the command line.
    let is_shown_elsewhere = |part: &(dyn std::error::Error + 'static)| {
        Error::part_ref::<LimitExceeded>(part).is_some()
            || Error::part_ref::<Trap>(part).is_some()
            || Error::part_ref::<MemoryFault>(part).is_some()
            || Error::part_ref::<ThrownException>(part).is_some()
            || Error::part_ref::<Killed>(part).is_some()
    };
    let mut details = error.chain().filter(|part| !is_shown_elsewhere(*part)).map(ToString::to_string);
    let mut text = headline;
    if let Some(first) = details.next() {
        let rest = details.map(|d| format!(": {d}")).collect::<String>();
        text.push_str(&format!("\n{first}{rest}"));
    }
    if let Some(backtrace) = error.downcast_ref::<WasmBacktrace>() {
        text.push_str(&shown.of(backtrace));
    }
    text
}

/// Returns the exit code and description of a failed run that has no options.
pub(crate) fn of_guest_error(error: &Error) -> (u8, String) {
    if let Some(exit) = error.downcast_ref::<I32Exit>() {
        return (exit.status(), format!("it exited with code {}", exit.0));
    }
    let trap = error.downcast_ref::<Trap>().copied();
    let headline = match trap {
        Some(trap) => format!("the guest trapped: {trap}{}", fault_of(error)),
        None => String::from("a host function called by the guest failed"),
    };
    (ExitCode::Trap as u8, describe(error, headline, Backtrace::Short))
}

/// Returns whether instantiation failed in the guest's own code rather than before it ran.
pub(super) fn is_guest_error(error: &Error) -> bool {
    error.is::<Trap>()
        || error.is::<ThrownException>()
        || error.is::<I32Exit>()
        || error.is::<WasmBacktrace>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_headline_says_is_left_out() {
        let trap = Trap::UnreachableCodeReached;
        let headline = || String::from("headline");
        let plain = Error::new(trap);
        assert_eq!(describe(&plain, headline(), Backtrace::Short), "headline");
        let noted = belljar::format_err!("the disk is full").context("a file was not written").context(trap);
        let expected = "headline\na file was not written: the disk is full";
        assert_eq!(describe(&noted, headline(), Backtrace::Short), expected);
        // An error that only reads like the trap is shown.
        let alike = belljar::format_err!(trap.to_string()).context("the host's own").context(trap);
        assert_eq!(
            describe(&alike, headline(), Backtrace::Short),
            format!("headline\nthe host's own: {trap}")
        );
    }
}
