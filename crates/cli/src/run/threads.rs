//! `--threads`: starts threads of the guest, each with its own store.

use super::end;
use super::guest::Guest;
use super::limits;
use super::options::RunOptions;
use super::outcome::Outcome;
use super::program::Program;
use super::start::{HOST_STACK, RunError};
use crate::output::complain;
use belljar::{Error, Instance, Killed, Limit, Result, Store};
use belljar_wasi::threads::{ThreadHost, ThreadLimits, Threads};
use std::sync::Arc;

/// Starts the threads of a run.
pub(super) struct Spawner {
    options: RunOptions,
    program: Arc<Program>,
}

impl Spawner {
    /// Returns the thread group of a program, without any threads yet.
    pub(super) fn threads(options: &RunOptions, program: &Arc<Program>) -> Threads<Guest> {
        let default = ThreadLimits::default();
        let wanted =
            options.max_threads.map_or(default.threads, |n| usize::try_from(n).unwrap_or(usize::MAX));
        // Limited by the number of instances, so that spawning fails with an error, instead of the start of a thread
        // ending the program.
        let each = 1 + program.preloads.len() as u64;
        let most = options.limit(Limit::Instances).map_or(u64::MAX, |all| (all / each).saturating_sub(1));
        let threads = wanted.min(usize::try_from(most).unwrap_or(usize::MAX));
        let stack = options.limit(Limit::Stack).map(|bytes| bytes.saturating_add(HOST_STACK));
        let stack_size =
            stack.map_or(default.stack_size, |bytes| usize::try_from(bytes).unwrap_or(usize::MAX));
        let spawner = Self { options: options.clone(), program: program.clone() };
        Threads::new(spawner, ThreadLimits { threads, stack_size })
    }
}

impl ThreadHost for Spawner {
    type Data = Guest;

    fn store(&self, spawner: &mut Guest) -> Result<Store<Guest>> {
        self.options.store(&self.program.engine, spawner.share()).map_err(|failure| failure.error)
    }

    fn instantiate(&self, store: &mut Store<Guest>) -> Result<Instance> {
        self.options.instantiate(&self.program, store).map_err(|stop| match stop {
            RunError::Refused(failure) => failure.error,
            RunError::Guest(error) => error,
        })
    }

    fn failed(&self, _thread: u32, store: &mut Store<Guest>, error: &Error) {
        end_process(&self.options, error, store);
    }

    fn ended(&self, _thread: u32, _outcome: Result<()>) {}
}

/// Ends the process because a thread failed.
fn end_process(options: &RunOptions, error: &Error, store: &Store<Guest>) -> ! {
    end::begin_exit();
    let outcome = Outcome::of_error(error, options);
    if error.is::<Killed>() {
        end::exit_despite_blocked_output(outcome.code);
    }
    if let Some(message) = &outcome.message {
        complain(&format!("error: {message}"));
    }
    limits::refused_growth(store).iter().for_each(|refusal| complain(&format!("note: {refusal}")));
    limits::report_wasi_limits(&store.data().wasi);
    options.dump_core(error, store);
    end::finish();
    std::process::exit(outcome.code.into())
}
