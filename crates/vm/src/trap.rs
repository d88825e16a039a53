//! How a run of guest code ends when it does not return.
//!
//! The reason is recorded as [`Pending`] while the guest's frames still exist, so that its stack can be recorded. Then
//! a stub leaves the activation, and [`leave`](StoreCore::leave) turns the record into an [`Exit`].

use crate::abi_types::RawExn;
use crate::exit::{Exit, Pending, RaisedTrap};
use crate::kill_reason::KillReason;
use crate::recorded_stack::RawStack;
use crate::store::StoreCore;
use crate::vm_ptr::VmPtr;
use crate::walk::Start;
use belljar_abi::{StoreContext, pending};
use belljar_core::Trap;
use std::any::Any;

impl StoreCore {
    /// Records a trap that the runtime found while the guest waits in the exit stub.
    pub(crate) fn raise_trap(&mut self, found: impl Into<RaisedTrap>) {
        let stack = self.record_stack(Start::AtExit);
        self.set_pending(pending::TRAP, Pending::Trap { found: found.into(), address: None, stack });
    }

    /// Records an error of the host while the guest waits in the exit stub.
    pub(crate) fn raise_error(&mut self, error: belljar_core::Error) {
        let stack = self.record_stack(Start::AtExit);
        self.set_pending(pending::HOST_ERROR, Pending::Error { error, stack });
    }

    /// Records an exception that the activation does not catch, while the guest waits in the exit stub.
    pub(crate) fn raise_exception(&mut self, exception: RawExn) {
        let stack = self.record_stack(Start::AtExit);
        let thrown = self.keep_exception(exception);
        self.set_pending(pending::EXCEPTION, Pending::Exception { thrown, stack });
    }

    /// Records a panic of the host.
    pub(crate) fn raise_panic(&mut self, payload: Box<dyn Any + Send>) {
        self.set_pending(pending::HOST_PANIC, Pending::Panic(payload));
    }

    fn set_pending(&mut self, code: u64, what: Pending) {
        self.pending = Some(what);
        self.context_mut().pending = code;
    }

    /// Returns whether the activation that is being left belongs to a killed guest. For the outermost one this is
    /// already decided, since the killing thread has been told.
    pub(crate) fn is_being_killed(&self) -> bool {
        match self.is_running() {
            true => self.monitor.is_killed(),
            false => self.monitor.is_dead(),
        }
    }

    /// Ends an activation whose guest was killed. Those around it are to end too.
    pub(crate) fn end_killed(&mut self, stack: RawStack) -> Exit {
        let is_last = self.entry_fp() == 0;
        let reason = if is_last { self.monitor.take_kill() } else { self.monitor.kill_reason() };
        // Nothing takes the reason away in between.
        let reason = reason.unwrap_or_else(|| "it was killed".into());
        self.killed.get_or_insert(reason.clone());
        self.update_is_special();
        Exit::Killed { reason, stack }
    }

    /// Ends an activation in which the host panicked. If its guest was killed meanwhile, the killing thread was told
    /// that it ends.
    pub(crate) fn end_killed_by_panic(&mut self) {
        if self.is_being_killed() {
            self.end_killed(RawStack::default());
        }
    }

    /// Checks that the store's guest was not killed.
    ///
    /// # Errors
    ///
    /// Returns the reason if it was.
    pub fn check_usable(&self) -> Result<(), Exit> {
        match &self.killed {
            None => Ok(()),
            Some(reason) => Err(Exit::Killed { reason: reason.clone(), stack: RawStack::default() }),
        }
    }

    /// Makes the store unusable: nothing runs in it, and its objects are not collected any more.
    pub(crate) fn make_unusable(&mut self, why: &str) {
        self.killed = Some(why.into());
        self.update_is_special();
    }

    /// Returns why the store's guest was killed, if it was.
    pub fn killed(&self) -> Option<&KillReason> {
        self.killed.as_ref()
    }

    /// Ends an activation that did not return. A panic of the host continues from here.
    #[cold]
    pub fn leave(&mut self) -> Exit {
        self.context_mut().pending = pending::NONE;
        match self.pending.take() {
            Some(
                Pending::Trap { stack, .. } | Pending::Error { stack, .. } | Pending::Exception { stack, .. },
            ) if self.is_being_killed() => self.end_killed(stack),
            Some(Pending::Trap { found: RaisedTrap { trap, fault }, address, stack }) => {
                let is_access = trap == Trap::MemoryOutOfBounds;
                let described = || if is_access { self.describe_fault(address, &stack) } else { None };
                Exit::Trap { trap, fault: fault.or_else(described), stack }
            }
            Some(Pending::Error { error, stack }) => Exit::Error { error, stack },
            Some(Pending::Exception { thrown, stack }) => {
                self.uncaught = Some(thrown.clone());
                Exit::Exception { thrown, stack }
            }
            Some(Pending::Panic(payload)) => {
                self.end_killed_by_panic();
                std::panic::resume_unwind(payload)
            }
            None => Exit::Error {
                error: belljar_core::format_err!(
                    "belljar bug: an activation was left for no recorded reason"
                ),
                stack: RawStack::default(),
            },
        }
    }
}

/// The function that the `fault` stub calls, on the guest's stack, after the signal handler has returned.
///
/// # Safety
///
/// `context` belongs to a store whose guest just faulted on this thread; the signal handler filled in the trap fields.
pub(crate) unsafe extern "C" fn on_fault(context: VmPtr<StoreContext>) {
    // SAFETY: the caller's promise; the guest runs under an exclusive borrow of its store, which the host gets back
    // here as it would in a host function (STORE-EXCLUSIVE, STORE-PINNED).
    let core = unsafe { StoreCore::of_context(context).as_mut() };
    let noted = core.context_mut();
    let trap = Trap::from_code(noted.trap_code as u8).unwrap_or(Trap::UnreachableCodeReached);
    let address = Some(noted.trap_address).filter(|address| *address != 0);
    let start = Start::At { pc: noted.trap_pc, fp: noted.trap_fp };
    let stack = core.record_stack(start);
    core.set_pending(pending::TRAP, Pending::Trap { found: trap.into(), address, stack });
}
