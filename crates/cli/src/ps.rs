//! `belljar ps`: lists the processes of this user that run guests.

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

The table has a row for each store of each process: of `belljar run`, and of programs that embed belljar and serve \
inspection. TIME is the time since the process started, CPU the CPU time of all its threads in seconds, MEMORY the size \
of the guest's linear memories and objects.

Exit codes: 0, even if no program is running, or 66 if the directory of their sockets cannot be used.";

/// List running programs, and what their guests are doing.
#[derive(Args, Clone, Copy, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct PsOptions {
    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
}

impl PsOptions {
    /// Lists all processes. Returns the exit code.
    ///
    /// # Errors
    ///
    /// Returns an error if the processes cannot be listed.
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
            complain("note: no running program was found that this user can inspect");
        }
        Ok(ExitCode::Success as u8)
    }
}
