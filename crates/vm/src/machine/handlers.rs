//! The callbacks by which the layers above handle events of a guest.

use super::fault_place::FaultPlace;
use super::processor::{BuiltinStub, ON_FAULT, ProgramState};
use super::requests::Find;
use crate::vm_ptr::VmPtr;
use belljar_abi::StoreContext;
use std::sync::atomic::AtomicPtr;
use std::sync::atomic::Ordering::{Acquire, Release};

/// Callbacks into the layers above. All except [`Handlers::on_fault`] run in a signal handler and must be
/// async-signal-safe.
pub(crate) struct Handlers {
    /// The stubs of the builtins, in the order of [`belljar_abi::Builtin`].
    pub(crate) builtin_stubs: &'static [BuiltinStub],
    /// Returns the part of its store in which an access of guest code faulted.
    ///
    /// Safety contract: the context is that of a store whose guest this thread executes.
    pub(crate) fault_place: unsafe fn(VmPtr<StoreContext>, usize) -> FaultPlace,
    /// Records a trap. The `fault` stub calls it on the guest's stack, after the signal handler has returned.
    ///
    /// Safety contract: the guest of the context's store has just faulted on this thread, and the handler has filled in
    /// the trap fields.
    pub(crate) on_fault: unsafe extern "C" fn(VmPtr<StoreContext>),
    /// Samples the stack of this thread. The second argument is the number of timer signals that were dropped before
    /// this one.
    pub(crate) sample: fn(ProgramState, u64),
    /// Answers a request about the subject with this number.
    ///
    /// Safety contract: the subject is alive.
    pub(crate) answer: Find,
}

static HANDLERS: AtomicPtr<Handlers> = AtomicPtr::new(std::ptr::null_mut());

/// Sets the handlers.
pub(super) fn set(handlers: &'static Handlers) {
    ON_FAULT.store(handlers.on_fault as *const () as usize, Release);
    HANDLERS.store(std::ptr::from_ref(handlers).cast_mut(), Release);
}

/// Returns the handlers once they are installed. Async-signal-safe.
pub(super) fn handlers() -> Option<&'static Handlers> {
    // SAFETY: the pointer was made from a `'static` reference.
    unsafe { HANDLERS.load(Acquire).as_ref() }
}
