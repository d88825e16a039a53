//! `belljar kill`: kills the guests of a process.

use crate::exit_code::ExitCode;
use crate::failure::Failure;
use crate::output::complain;
use crate::processes::{failure, process_id};
use belljar_inspect::Process;
use clap::Args;

const EXAMPLES: &str = "\
Examples:
  belljar kill 4711                      `belljar ps` lists the processes
  belljar kill 4711 --store 3            one of several guests, by its number in `belljar stack`
  belljar kill 4711 --reason \"hangs\"    the reason that its host gets

A program of `belljar run` prints where it was, and ends with exit code 137. In a program that embeds belljar, the guests end and
the host continues. A guest that has called a host function ends when that returns.
Exit codes: 0, or 66 if there is no such process, if it cannot be reached, or if nothing is running in it.";

/// The default reason.
const REASON: &str = "by `belljar kill`";

/// Kill the guests of a running program.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct KillOptions {
    /// The process id, as `belljar ps` lists it
    #[arg(value_parser = process_id)]
    pid: u32,

    /// Kill only the guest of the store with this number [default: all guests]
    #[arg(long, value_name = "N")]
    store: Option<u64>,

    /// The reason, which the host of the guests gets to know
    #[arg(long, value_name = "TEXT", default_value = REASON)]
    reason: String,
}

impl KillOptions {
    /// Kills the guests. Returns the exit code.
    ///
    /// # Errors
    ///
    /// Returns an error if the process cannot be reached, or if nothing is running in it.
    pub(crate) fn execute(&self) -> Result<u8, Failure> {
        let process = Process::find(self.pid).map_err(|error| failure(&error))?;
        let killed = process.kill(self.store, &self.reason).map_err(|error| failure(&error))?;
        match (killed, self.store) {
            (0, Some(store)) => {
                let why = format!(
                    "nothing is running in store {store} of process {}: `belljar stack` lists the running stores",
                    self.pid
                );
                Err(Failure::new(ExitCode::Unreadable, anyhow::Error::msg(why)))
            }
            (0, None) => {
                let why = format!("nothing is running in process {}", self.pid);
                Err(Failure::new(ExitCode::Unreadable, anyhow::Error::msg(why)))
            }
            (1, _) => Ok(ExitCode::Success as u8),
            (n, _) => {
                complain(&format!("note: {n} guests were killed"));
                Ok(ExitCode::Success as u8)
            }
        }
    }
}
