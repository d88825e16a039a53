//! The process: parses arguments, executes a subcommand, and returns an exit code.

use crate::command_line::CommandLine;
use crate::contained::is_contained;
use crate::exit_code::ExitCode;
use crate::output::complain;
use belljar::OutsideText;
use clap::builder::StyledStr;
use clap::error::{ContextKind, ContextValue};
use rustix::process::{Resource, getrlimit};
use std::backtrace::{Backtrace, BacktraceStatus};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Prints help, or a usage error. Help is trusted; usage errors quote arguments, so they are escaped.
fn print_usage(mut error: clap::Error) -> io::Result<()> {
    let shown = |text: &String| OutsideText::new(text).to_string();
    // Clap's advice quotes arguments as well, with its own colors. Escaping removes both the colors and the control
    // characters.
    let plain = |text: &StyledStr| StyledStr::from(shown(&text.to_string()));
    let context: Vec<_> = error.context().map(|(kind, value)| (kind, value.clone())).collect();
    for (kind, value) in context {
        let value = match value {
            ContextValue::String(text) => ContextValue::String(shown(&text)),
            ContextValue::Strings(texts) => ContextValue::Strings(texts.iter().map(shown).collect()),
            ContextValue::StyledStrs(texts) => ContextValue::StyledStrs(texts.iter().map(plain).collect()),
            // The usage of a subcommand is trusted, and has several lines.
            ContextValue::StyledStr(text) if kind != ContextKind::Usage => {
                ContextValue::StyledStr(plain(&text))
            }
            other => other,
        };
        error.insert(kind, value);
    }
    error.print()
}

/// Escapes panic messages, which can quote a guest.
fn print_panics_escaped() {
    std::panic::set_hook(Box::new(|panic| {
        if is_contained() {
            return;
        }
        let backtrace = Backtrace::capture();
        let message = match backtrace.status() {
            BacktraceStatus::Captured => format!("{panic}\n{backtrace}"),
            _ => panic.to_string(),
        };
        complain(&message);
    }));
}

/// The stack that the program needs, including the guest's.
const REQUIRED_STACK: u64 = 4 << 20;

/// The stack of the thread to continue on if the main thread has less.
const MAIN_THREAD_STACK: usize = 8 << 20;

/// Runs the whole program. Never propagates a panic; every failure is reported.
pub fn main() -> std::process::ExitCode {
    print_panics_escaped();
    // `ulimit -s` may limit the main thread to less stack than the compiler needs.
    if getrlimit(Resource::Stack).current.is_some_and(|bytes| bytes < REQUIRED_STACK) {
        let thread = std::thread::Builder::new().name("main".into()).stack_size(MAIN_THREAD_STACK);
        if let Ok(program) = thread.spawn(run_program) {
            return program.join().unwrap_or_else(|_| ExitCode::Bug.into());
        }
    }
    run_program()
}

fn run_program() -> std::process::ExitCode {
    let line = match CommandLine::read(std::env::args_os()) {
        Ok(line) => line,
        Err(error) => {
            let code = u8::try_from(error.exit_code()).unwrap_or(ExitCode::Usage as u8);
            // A failure to print, such as a broken pipe, is ignored here as well.
            let _ = print_usage(error);
            return code.into();
        }
    };
    match catch_unwind(AssertUnwindSafe(|| line.execute())) {
        Ok(Ok(code)) => code.into(),
        Ok(Err(failure)) => {
            if failure.code != ExitCode::BrokenPipe {
                complain(&format!("error: {failure}"));
            }
            failure.code.into()
        }
        // The panic hook has already printed the message.
        Err(_) => {
            complain(
                "error: this is a bug in belljar: please report it with the module and the command line",
            );
            ExitCode::Bug.into()
        }
    }
}
