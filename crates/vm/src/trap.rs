//! How a run of guest code ends when it does not return.
//!
//! Whatever happens is noted as [`Pending`] while the guest's frames are still there, so that its stack can
//! be recorded; then a stub leaves the activation, and [`leave`] turns the note into an [`Exit`].

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
    /// Notes a trap found by the runtime while the guest waits in the exit stub.
    pub(crate) fn raise_trap(&mut self, found: impl Into<RaisedTrap>) {
        let stack = self.record_stack(Start::AtExit);
        self.set_pending(pending::TRAP, Pending::Trap { found: found.into(), address: None, stack });
    }

    /// Notes an error of the host while the guest waits in the exit stub.
    pub(crate) fn raise_error(&mut self, error: anyhow::Error) {
        let stack = self.record_stack(Start::AtExit);
        self.set_pending(pending::HOST_ERROR, Pending::Error { error, stack });
    }

    /// Notes an exception that the activation does not catch, while the guest waits in the exit stub.
    pub(crate) fn raise_exception(&mut self, exception: RawExn) {
        let stack = self.record_stack(Start::AtExit);
        let thrown = self.keep_exception(exception);
        self.set_pending(pending::EXCEPTION, Pending::Exception { thrown, stack });
    }

    /// Notes a panic of the host.
    pub(crate) fn raise_panic(&mut self, payload: Box<dyn Any + Send>) {
        self.set_pending(pending::HOST_PANIC, Pending::Panic(payload));
    }

    fn set_pending(&mut self, code: u64, what: Pending) {
        self.pending = Some(what);
        self.context_mut().pending = code;
    }

    /// Whether the activation that is being left is one of a guest that was killed. Of the last one it is decided already, as
    /// whoever kills has been told.
    pub(crate) fn is_being_killed(&self) -> bool {
        match self.is_running() {
            true => self.monitor.is_killed(),
            false => self.monitor.is_dead(),
        }
    }

    /// The end of an activation whose guest was killed. Those around it are to end too.
    pub(crate) fn end_killed(&mut self, stack: RawStack) -> Exit {
        let is_last = self.entry_fp() == 0;
        let reason = if is_last { self.monitor.take_kill() } else { self.monitor.kill_reason() };
        // Nobody takes it away in between.
        let reason = reason.unwrap_or_else(|| "it was killed".into());
        self.killed.get_or_insert(reason.clone());
        self.update_is_special();
        Exit::Killed { reason, stack }
    }

    /// The end of an activation in which the host panicked. Whoever killed its guest meanwhile was told that it ends.
    pub(crate) fn end_killed_by_panic(&mut self) {
        if self.is_being_killed() {
            self.end_killed(RawStack::default());
        }
    }

    /// Refuses to run a guest in a store whose guest was killed.
    ///
    /// # Errors
    ///
    /// Why it was.
    pub fn check_usable(&self) -> Result<(), Exit> {
        match &self.killed {
            None => Ok(()),
            Some(reason) => Err(Exit::Killed { reason: reason.clone(), stack: RawStack::default() }),
        }
    }

    /// Has nothing run or be collected any more.
    pub(crate) fn give_up(&mut self, why: &str) {
        self.killed = Some(why.into());
        self.update_is_special();
    }

    /// Why the store's guest was killed, if it was.
    pub fn killed(&self) -> Option<&KillReason> {
        self.killed.as_ref()
    }

    /// The end of every activation that did not return. A panic of the host goes on from here.
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
            Some(Pending::Exception { thrown, stack }) => Exit::Exception { thrown, stack },
            Some(Pending::Panic(payload)) => {
                self.end_killed_by_panic();
                std::panic::resume_unwind(payload)
            }
            None => Exit::Error {
                error: anyhow::anyhow!("belljar bug: an activation was left for no recorded reason"),
                stack: RawStack::default(),
            },
        }
    }
}

/// What the `fault` stub calls, on the guest's stack, no longer in a signal handler.
///
/// # Safety
///
/// `context` belongs to a store whose guest just faulted on this thread; the signal handler filled in the
/// trap fields.
pub(crate) unsafe extern "C" fn on_fault(context: VmPtr<StoreContext>) {
    // SAFETY: the caller's promise; the guest runs under an exclusive borrow of its store, which its host
    // gets back here as it would in a host function (STORE-EXCLUSIVE, STORE-PINNED).
    let core = unsafe { StoreCore::of_context(context).as_mut() };
    let noted = core.context_mut();
    let trap = Trap::from_code(noted.trap_code as u8).unwrap_or(Trap::UnreachableCodeReached);
    let address = Some(noted.trap_address).filter(|address| *address != 0);
    let start = Start::At { pc: noted.trap_pc, fp: noted.trap_fp };
    let stack = core.record_stack(start);
    core.set_pending(pending::TRAP, Pending::Trap { found: trap.into(), address, stack });
}
