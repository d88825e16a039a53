//! The process: arguments in, exit code out, whatever happens in between.

use crate::command_line::CommandLine;
use crate::exit_code::ExitCode;
use crate::output::complain;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// The whole program. Never returns a panic, and says why it ends when that is not success.
pub fn main() -> std::process::ExitCode {
    let line = match CommandLine::read(std::env::args_os()) {
        Ok(line) => line,
        Err(error) => {
            // A reader that went away is none of clap's business either.
            let _ = error.print();
            return u8::try_from(error.exit_code()).unwrap_or(ExitCode::Usage as u8).into();
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
        // The panic's own message is on standard error already.
        Err(_) => {
            complain(
                "error: this is a bug in belljar: please report it with the module and the command line",
            );
            ExitCode::Bug.into()
        }
    }
}
