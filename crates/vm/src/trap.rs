//! How a run of guest code ends when it does not return.
//!
//! Whatever happens is noted as [`Pending`] while the guest's frames are still there, so that its stack can
//! be recorded; then a stub leaves the activation, and [`leave`] turns the note into an [`Exit`].

use crate::store::StoreCore;
use crate::walk::{RawStack, Start};
use belljar_abi::{StoreContext, pending};
use belljar_core::Trap;
use std::any::Any;

/// Why an activation is being left.
pub(crate) enum Pending {
    Trap { trap: Trap, address: Option<usize>, stack: RawStack },
    Error { error: anyhow::Error, stack: RawStack },
    Panic(Box<dyn Any + Send>),
}

/// How a run of guest code ended, when it did not return.
#[derive(Debug)]
pub enum Exit {
    /// A trap.
    Trap {
        /// Which.
        trap: Trap,
        /// Where a fault was: the memory and the offset in it that was accessed.
        fault: Option<Fault>,
        /// The guest's stack at the trap.
        stack: RawStack,
    },
    /// A host function returned an error.
    Error {
        /// The error.
        error: anyhow::Error,
        /// The guest's stack at the call.
        stack: RawStack,
    },
}

/// An access that faulted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fault {
    /// Offset of the accessed byte in the memory.
    pub address: u64,
    /// The memory's size in bytes then.
    pub size: u64,
}

impl StoreCore {
    /// Notes a trap found by the runtime while the guest waits in the exit stub.
    pub(crate) fn raise_trap(&mut self, trap: Trap) {
        let stack = RawStack::capture(self, Start::AtExit);
        self.set_pending(pending::TRAP, Pending::Trap { trap, address: None, stack });
    }

    /// Notes an error of the host while the guest waits in the exit stub.
    pub(crate) fn raise_error(&mut self, error: anyhow::Error) {
        let stack = RawStack::capture(self, Start::AtExit);
        self.set_pending(pending::HOST_ERROR, Pending::Error { error, stack });
    }

    /// Notes a panic of the host.
    pub(crate) fn raise_panic(&mut self, payload: Box<dyn Any + Send>) {
        self.set_pending(pending::HOST_PANIC, Pending::Panic(payload));
    }

    fn set_pending(&mut self, code: u64, what: Pending) {
        self.pending = Some(what);
        self.context.get_mut().pending = code;
    }

    /// The end of every activation that did not return. A panic of the host goes on from here.
    #[cold]
    pub(crate) fn leave(&mut self) -> Exit {
        self.context.get_mut().pending = pending::NONE;
        match self.pending.take() {
            Some(Pending::Trap { trap, address, stack }) => {
                let fault = address.and_then(|a| self.fault_at(a));
                Exit::Trap { trap, fault, stack }
            }
            Some(Pending::Error { error, stack }) => Exit::Error { error, stack },
            Some(Pending::Panic(payload)) => std::panic::resume_unwind(payload),
            None => Exit::Error {
                error: anyhow::anyhow!("belljar bug: an activation was left for no recorded reason"),
                stack: RawStack::default(),
            },
        }
    }

    /// The memory whose address space holds this address.
    fn fault_at(&self, address: usize) -> Option<Fault> {
        self.memories
            .iter()
            .find(|m| m.memory.holds(address))
            .map(|m| Fault { address: (address - m.memory.base()) as u64, size: m.memory.length() as u64 })
    }
}

/// What the `fault` stub calls, on the guest's stack, no longer in a signal handler.
///
/// # Safety
///
/// `context` belongs to a store whose guest just faulted on this thread; the signal handler filled in the
/// trap fields.
pub(crate) unsafe extern "C" fn on_fault(context: *mut StoreContext) {
    // SAFETY: the caller's promise; the guest runs under an exclusive borrow of its store, which its host
    // gets back here as it would in a host function (STORE-EXCLUSIVE, STORE-PINNED).
    let core = unsafe { &mut *std::ptr::with_exposed_provenance_mut::<StoreCore>((*context).store) };
    let noted = core.context.get_mut();
    let trap = Trap::from_code(noted.trap_code as u8).unwrap_or(Trap::UnreachableCodeReached);
    let address = Some(noted.trap_address).filter(|a| *a != 0 && trap == Trap::MemoryOutOfBounds);
    let start = Start::At { pc: noted.trap_pc, fp: noted.trap_fp };
    let stack = RawStack::capture(core, start);
    core.set_pending(pending::TRAP, Pending::Trap { trap, address, stack });
}
