//! What the layers above do when something happens to a guest.

use super::fault_place::FaultPlace;
use super::processor::{BuiltinStub, Context, ON_FAULT, ProgramState};
use super::questions::{Answer, Request};
use crate::vm_ptr::VmPtr;
use belljar_abi::StoreContext;
use std::sync::atomic::AtomicPtr;
use std::sync::atomic::Ordering::{Acquire, Release};

/// What the layers above do when something happens to a guest. All but [`Handlers::on_fault`] are called by a signal handler, and
/// must be async-signal-safe.
pub(crate) struct Handlers {
    /// The stubs of the builtins, in the order of [`belljar_abi::Builtin`].
    pub(crate) builtin_stubs: &'static [BuiltinStub],
    /// Tells in what part of its store an access of guest code faulted.
    ///
    /// Its safety contract: the context is that of a store whose guest this thread executes.
    pub(crate) fault_place: unsafe fn(VmPtr<StoreContext>, usize) -> FaultPlace,
    /// Records a trap. The `fault` stub calls it, on the guest's stack, no longer in the signal handler.
    ///
    /// Its safety contract: the guest of the context's store has just faulted on this thread, and the handler has filled in the
    /// fields about it.
    pub(crate) on_fault: unsafe extern "C" fn(VmPtr<StoreContext>),
    /// Samples the stack of this thread, whose timer has left out so many signals before this one.
    pub(crate) sample: fn(ProgramState, u64),
    /// Answers a question about a subject, by its number.
    ///
    /// Its safety contract: the subject is alive.
    pub(crate) answer: unsafe fn(usize, Request, &mut Context, &Answer),
}

static HANDLERS: AtomicPtr<Handlers> = AtomicPtr::new(std::ptr::null_mut());

/// Sets the handlers.
pub(super) fn set(handlers: &'static Handlers) {
    ON_FAULT.store(handlers.on_fault as *const () as usize, Release);
    HANDLERS.store(std::ptr::from_ref(handlers).cast_mut(), Release);
}

/// The handlers, once they are installed. Async-signal-safe.
pub(super) fn handlers() -> Option<&'static Handlers> {
    // SAFETY: it was a reference of this lifetime.
    unsafe { HANDLERS.load(Acquire).as_ref() }
}
