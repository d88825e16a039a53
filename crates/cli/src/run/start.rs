//! Starts a prepared [`Program`] in a store, once for each thread: creates the store, instantiates, and dumps core on
//! failure.

use super::guest::Guest;
use super::limits;
use super::options::RunOptions;
use super::outcome;
use super::program::Program;
use super::shared_memory;
use crate::exit_code::ExitCode;
use crate::failure::{Failure, WithExitCode};
use crate::missing_imports::MissingImports;
use belljar::{Engine, Error, Instance, Limit, LimitExceeded, OutsideText, Store, UnknownImportError};

/// The reason why a run did not return.
pub(super) enum RunError {
    /// It was not started.
    Refused(Failure),
    /// The guest ended it: by an exit, a trap, or the error of a host function.
    Guest(Error),
}

impl From<Error> for RunError {
    fn from(error: Error) -> Self {
        Self::Guest(error)
    }
}

/// Native stack for the host functions that the guest calls, in addition to the guest's own.
pub(super) const HOST_STACK: u64 = 1 << 20;

impl RunOptions {
    /// Creates the store of a thread, with its limits.
    ///
    /// # Errors
    ///
    /// Returns an error if there is not enough memory.
    pub(super) fn store(&self, engine: &Engine, guest: Guest) -> Result<Store<Guest>, Failure> {
        let mut store = Store::try_new(engine, guest).with_exit_code(ExitCode::CannotStart)?;
        store.limiter(|guest| &mut guest.memory);
        store.set_limits(self.store_limits()).with_exit_code(ExitCode::Bug)?;
        if let Some(limits) = store.data().thread_group.as_ref().map(|group| group.limits.clone()) {
            store.set_limit_group(&limits);
        }
        store.set_label(&self.argv0());
        // From now on, the times of calls are recorded, so that inspection can say how long one has been going on.
        drop(store.inspector());
        if let Some(fuel) = self.limit(Limit::Fuel) {
            store.set_fuel(fuel).with_exit_code(ExitCode::Bug)?;
        }
        Ok(store)
    }

    /// Instantiates the program and the modules that it is linked with.
    ///
    /// # Errors
    ///
    /// Returns an error if imports are missing, a limit is reached, or a start function does not return.
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

    /// Writes a core dump of a guest that failed, if the options ask for one.
    pub(super) fn dump_core(&self, error: &Error, store: &Store<Guest>) {
        if let Some(file) = &self.coredump {
            file.write_after(error, store, self.file());
        }
    }
}
