//! `belljar kill`: ends the guests of a process.

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
  belljar kill 4711 --reason \"hangs\"    what its host is told

A program of `belljar run` tells where it was, and ends with exit code 137. Of a program that embeds belljar, guests end, and the host
goes on. Guests that are in the host end when they would go on.
Exit codes: 0, or 66 if there is no such process, or it cannot be reached, or nothing runs in it.";

/// What a host is told if nothing else is said.
const REASON: &str = "by `belljar kill`";

/// End the guests of a running program.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct KillOptions {
    /// The process
    #[arg(value_parser = process_id)]
    pid: u32,

    /// Only the guest of the store with this number
    #[arg(long, value_name = "N")]
    store: Option<u64>,

    /// Why
    #[arg(long, value_name = "TEXT", default_value = REASON)]
    reason: String,
}

impl KillOptions {
    /// Has the guests killed. Returns the exit code.
    ///
    /// # Errors
    ///
    /// Where the process cannot be asked, or nothing runs.
    pub(crate) fn execute(&self) -> Result<u8, Failure> {
        let process = Process::find(self.pid).map_err(|error| failure(&error))?;
        let killed = process.kill(self.store, &self.reason).map_err(|error| failure(&error))?;
        match (killed, self.store) {
            (0, Some(store)) => {
                let why = format!(
                    "nothing runs in store {store} of process {}: `belljar stack` lists what does",
                    self.pid
                );
                Err(Failure::new(ExitCode::Unreadable, anyhow::Error::msg(why)))
            }
            (0, None) => {
                let why = format!("nothing runs in process {}", self.pid);
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
