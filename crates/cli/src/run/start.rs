//! A prepared [`Program`] in a store: created with its limits, instantiated, and dumped if it fails. Each thread does this.

use super::guest::Guest;
use super::limits;
use super::options::RunOptions;
use super::outcome;
use super::program::Program;
use super::shared_memory;
use crate::exit_code::ExitCode;
use crate::failure::{Failure, WithExitCode};
use crate::missing_imports::MissingImports;
use anyhow::Error;
use belljar::{Instance, Limit, LimitExceeded, OutsideText, Store, UnknownImportError};

/// Why a run did not return.
pub(super) enum RunError {
    /// It never began.
    Refused(Failure),
    /// The guest ended it: an exit, a trap, an error of a host function.
    Guest(Error),
}

impl From<Error> for RunError {
    fn from(error: Error) -> Self {
        Self::Guest(error)
    }
}

/// Native stack for the host functions under a guest, beside the guest's own.
pub(super) const HOST_STACK: u64 = 1 << 20;

impl RunOptions {
    /// A store for a thread of the guest, with its limits.
    ///
    /// # Errors
    ///
    /// Where the machine has no room for one.
    pub(super) fn store(&self, program: &Program, guest: Guest) -> Result<Store<Guest>, Failure> {
        let mut store = Store::try_new(&program.engine, guest).with_exit_code(ExitCode::CannotStart)?;
        store.limiter(|guest| &mut guest.memory);
        store.set_limits(self.store_limits()).with_exit_code(ExitCode::Bug)?;
        if let Some(limits) = store.data().thread_group.as_ref().map(|group| group.limits.clone()) {
            store.set_limit_group(&limits);
        }
        store.set_label(&self.argv0());
        // Who looks later may want to know since when a call has been going on that begins now.
        drop(store.inspector());
        if let Some(fuel) = self.limit(Limit::Fuel) {
            store.set_fuel(fuel).with_exit_code(ExitCode::Bug)?;
        }
        Ok(store)
    }

    /// Instantiates the program and what it is linked with.
    ///
    /// # Errors
    ///
    /// Where imports are missing or a limit is reached, and where a start function does not return.
    pub(super) fn instantiate(
        &self,
        program: &Program,
        store: &mut Store<Guest>,
    ) -> Result<Instance, RunError> {
        if program.preloads.is_empty() && store.data().thread_group.is_none() {
            let instance = program.linker.instantiate(&mut *store, &program.module);
            return instance.map_err(|error| self.not_started(error, store));
        }
        let mut linker = program.linker.clone();
        if let Some(group) = &store.data().thread_group {
            shared_memory::define(&mut linker, store, &group.memories)
                .with_exit_code(ExitCode::Bug)
                .map_err(RunError::Refused)?;
        }
        for (name, module) in &program.preloads {
            linker.allow_shadowing(true);
            if let Err(error) = linker.module(&mut *store, name, module) {
                return Err(self.not_started(
                    error.context(format!(
                        "while the module of --preload {} was started",
                        OutsideText::new(name)
                    )),
                    store,
                ));
            }
        }
        linker.instantiate(&mut *store, &program.module).map_err(|error| self.not_started(error, store))
    }

    fn not_started(&self, error: Error, store: &Store<Guest>) -> RunError {
        if outcome::is_guest_error(&error) {
            return RunError::Guest(error);
        }
        let error = match (error.downcast_ref::<UnknownImportError>(), store.data().memory.refusal()) {
            (Some(missing), _) => Error::msg(MissingImports::from(missing).describe(self.all_imports)),
            (_, Some(refusal)) => Error::msg(refusal),
            _ if error.is::<LimitExceeded>() => {
                error.downcast_ref().map(limits::describe).map(Error::msg).unwrap_or(error)
            }
            _ => error,
        };
        RunError::Refused(self.cannot_start(error))
    }

    /// Writes a core dump of a guest that failed, if one is wanted.
    pub(super) fn dump_core(&self, error: &Error, store: &Store<Guest>) {
        if let Some(file) = &self.coredump {
            file.write_after(error, store, self.file());
        }
    }
}
