//! `belljar ps`: the processes of this user that run guests, and what these do.

use crate::exit_code::ExitCode;
use crate::failure::Failure;
use crate::output::{complain, print, print_json};
use crate::process_table::Table;
use crate::processes::{failure, poll_processes};
use clap::Args;

const EXAMPLES: &str = "\
Examples:
  belljar ps
  belljar ps --json | jq '.[] | select(.uptime_ns > 60e9) | .pid'

There is a line for each store of each process: `belljar run`, and programs that embed belljar and let others look. TIME is since
the process was started, CPU the processor time of all its threads in seconds, MEMORY what the guest has: linear memories and
objects.
Exit codes: 0, also if there is none, or 66 if the directory of their sockets cannot be used.";

/// List running programs, and what their guests do.
#[derive(Args, Clone, Copy, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct PsOptions {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl PsOptions {
    /// Looks at all processes. Returns the exit code.
    ///
    /// # Errors
    ///
    /// Where it is not known which processes there are.
    pub(crate) fn execute(self) -> Result<u8, Failure> {
        let polled = poll_processes(|_| true)?;
        for silent in &polled.unresponsive {
            complain(&format!("note: {}", failure(&silent.error)));
        }
        if self.json {
            print_json(&polled.reports)?;
        } else if !polled.reports.is_empty() {
            print(&Table::of(&polled.reports).to_string())?;
        } else if polled.unresponsive.is_empty() {
            complain("note: no running program was found that lets this user look at its guests");
        }
        Ok(ExitCode::Success as u8)
    }
}
