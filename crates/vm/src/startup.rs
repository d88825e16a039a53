//! Set-up by the first engine of a process: signal handlers, and fork handlers.

use crate::machine::{self, Handlers};
use crate::runtime::{Runtime, RuntimeSettings, TrampolineSource};
use crate::sys::{self, SignalsHandled};
use crate::{builtins, fault_report, fork, sampling, store_monitor, trap};
use belljar_core::Context;
use std::io;
use std::sync::Arc;

static HANDLERS: Handlers = Handlers {
    builtin_stubs: builtins::STUBS,
    fault_place: fault_report::fault_place,
    on_fault: trap::on_fault,
    sample: sampling::sample,
    answer: store_monitor::answer,
};

/// Installs the signal handlers, once per process.
pub(crate) fn handle_signals() -> io::Result<SignalsHandled> {
    machine::install(&HANDLERS)
}

impl Runtime {
    /// Creates the state that all stores of an engine share.
    ///
    /// # Errors
    ///
    /// Returns an error if signal handlers cannot be installed, or forks cannot be prepared for.
    pub fn new(
        settings: RuntimeSettings,
        source: Box<dyn TrampolineSource>,
    ) -> belljar_core::Result<Arc<Self>> {
        let signals =
            handle_signals().context("could not install the handlers that turn faults into traps")?;
        sys::fail_oversized_writes().context("could not make writes beyond the file size limit fail")?;
        fork::install().context("could not install fork handlers")?;
        Ok(Self::with(settings, source, signals))
    }
}
