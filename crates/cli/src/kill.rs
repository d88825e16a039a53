//! `belljar kill`: kills the guests of a process.

use crate::exit_code::ExitCode;
use crate::failure::Failure;
use crate::output::complain;
use crate::process_table::{state, title};
use crate::processes::{failure, process_id};
use belljar::Counted;
use belljar_inspect::{Detail, Process, StoreReport, StoreState};
use clap::Args;

const EXAMPLES: &str = "\
Examples:
  belljar kill 4711                      `belljar ps` lists the processes
  belljar kill 4711 --store 3            one of several guests, by its number in `belljar stack`
  belljar kill 4711 --reason \"hangs\"    the reason that its host gets

A note names each guest that was killed. A program of `belljar run` prints where it was, and ends with exit code \
137. In a program that embeds belljar, the guests end and the host continues. A guest that has called a host function \
ends when that returns.

Exit codes: 0, or 66 if there is no such process, if it cannot be reached, or if nothing is running in it.";

/// The most guests to describe one by one.
const MOST_LISTED: usize = 20;

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
        // Only for the message: guests are killed even if they cannot be described.
        let running = process.ask_stores(Detail::Innermost).map(|report| report.stores).unwrap_or_default();
        let running = running.into_iter().filter(|store| self.is_meant(store)).collect::<Vec<_>>();
        let killed = process.kill(self.store, &self.reason).map_err(|error| failure(&error))?;
        match (killed, self.store) {
            (0, Some(store)) => {
                let why = format!(
                    "nothing is running in store {store} of process {}: `belljar stack` lists the running stores",
                    self.pid
                );
                Err(Failure::new(ExitCode::Unreadable, belljar::Error::msg(why)))
            }
            (0, None) => {
                let why = format!("nothing is running in process {}", self.pid);
                Err(Failure::new(ExitCode::Unreadable, belljar::Error::msg(why)))
            }
            (killed, _) => {
                complain(&self.describe(killed, &running));
                Ok(ExitCode::Success as u8)
            }
        }
    }

    /// Returns whether a store is running and to be killed.
    fn is_meant(&self, store: &StoreReport) -> bool {
        store.state != StoreState::Idle && self.store.is_none_or(|id| store.id == id)
    }

    /// Describes what was done. Some guests may have ended, or started, after their process was asked about them.
    fn describe(&self, killed: usize, running: &[StoreReport]) -> String {
        let pid = self.pid;
        if running.len() == killed && killed <= MOST_LISTED {
            let one = |store: &StoreReport| {
                format!("note: killed {} of process {pid}: it was {}", title(store), state(store))
            };
            return running.iter().map(one).collect::<Vec<_>>().join("\n");
        }
        format!("note: killed {} of process {pid}", Counted::of(killed, "guest"))
    }
}
