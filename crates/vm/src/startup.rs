//! Set-up by the first engine of a process: signal handlers, and fork handlers.

use crate::machine::{self, Handlers};
use crate::quota::EngineQuota;
use crate::runtime::{Runtime, TrampolineSource};
use crate::sys::{self, SignalsHandled};
use crate::{builtins, fault_report, fork, sampling, store_monitor, trap};
use anyhow::Context;
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
    /// Creates what the stores of an engine share.
    ///
    /// - `stack_size`: bytes of native stack for guest code
    /// - `gc_stress`: collect garbage at every allocation
    /// - `counts_epochs`: code is interrupted at its store's deadline
    /// - `dumps_cores`: recorded stacks are long enough for core dumps
    /// - `quota`: the limits of all stores together
    ///
    /// # Errors
    ///
    /// Returns an error if signal handlers or fork handlers cannot be installed.
    pub fn new(
        stack_size: usize,
        gc_stress: bool,
        counts_epochs: bool,
        dumps_cores: bool,
        quota: EngineQuota,
        source: Box<dyn TrampolineSource>,
    ) -> anyhow::Result<Arc<Self>> {
        let signals =
            handle_signals().context("could not install the handlers that turn faults into traps")?;
        sys::fail_oversized_writes().context("could not make writes beyond the file size limit fail")?;
        fork::install().context("could not install fork handlers")?;
        Ok(Self::with(stack_size, gc_stress, counts_epochs, dumps_cores, quota, source, signals))
    }
}
