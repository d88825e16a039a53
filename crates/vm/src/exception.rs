//! Exceptions between the frames of guest code: where a thrown exception continues, and how the host sees it.
//!
//! In: an exception, thrown by a guest's instruction or returned by a host function. Out: the guest continues in a
//! frame that catches it, or the activation is left and its caller gets a [`Thrown`]. Never: a comparison of the
//! exception's tag; code of the frame does that, and throws an exception again that it does not catch.

use crate::abi_types::RawExn;
use crate::code_table;
use crate::invariants::read_guest_stack;
use crate::machine::{leave_activation, resume, returned_address};
use crate::store::StoreCore;
use crate::thrown::Thrown;
use belljar_core::Trap;

/// A frame with a handler for exceptions of a call.
struct CatchSite {
    code: usize,
    sp: usize,
    fp: usize,
}

impl StoreCore {
    /// Sets the exception that [`StoreCore::take_uncaught`] returns.
    pub fn set_uncaught(&mut self, thrown: Thrown) {
        self.uncaught = Some(thrown);
    }

    /// Returns and forgets the last exception that left a run, or that the embedder threw.
    pub fn take_uncaught(&mut self) -> Option<Thrown> {
        self.uncaught.take()
    }

    /// Returns whether [`StoreCore::take_uncaught`] returns an exception.
    pub fn has_uncaught(&self) -> bool {
        self.uncaught.is_some()
    }

    /// Keeps an exception alive.
    pub fn keep_exception(&mut self, exception: RawExn) -> Thrown {
        Thrown { store: self.id, root: self.own_exn(exception) }
    }

    /// Returns a kept exception; `None` if it belongs to another store.
    pub fn kept_exception(&self, thrown: &Thrown) -> Option<RawExn> {
        (thrown.store == self.id).then(|| self.rooted_exn(thrown.root.root()))?
    }

    /// Returns the innermost frame of the running activation that has a handler, starting at the frame that waits for
    /// the host.
    fn catch_site(&self) -> Option<CatchSite> {
        // SAFETY: STORE-EXCLUSIVE: only this thread's stubs write these, and they are not running.
        let (mut pc, mut fp) = unsafe {
            let context = self.context();
            ((*context).exit_pc, (*context).exit_fp)
        };
        code_table::with_handlers(|handler| {
            while fp != 0 && pc != returned_address() {
                if let Some((code, frame_size)) = handler(pc) {
                    return Some(CatchSite { code, sp: fp - frame_size as usize, fp });
                }
                // SAFETY: GUEST-FRAMES: `fp` is the frame pointer of a guest frame.
                (pc, fp) = unsafe { (read_guest_stack(fp + 8), read_guest_stack(fp)) };
            }
            None
        })
    }
}

/// Throws an exception, which is not null, in the guest that waits for the caller.
///
/// # Safety
///
/// The store's guest called the caller on this thread, through `exit` or a builtin stub, and no frame between here and
/// the guest's has anything left to drop: those frames are cut off.
pub(crate) unsafe fn throw(store: &mut StoreCore, exception: RawExn) -> ! {
    // A guest that was killed catches nothing.
    if store.monitor.is_killed() {
        store.raise_trap(Trap::Interrupt);
        // SAFETY: the caller's promise.
        unsafe { leave_activation(store.context()) }
    }
    match store.catch_site() {
        // SAFETY: the caller's promise; HANDLERS: the frame waits for the call that is unwound, and its code expects
        // this stack and frame pointer there.
        Some(CatchSite { code, sp, fp }) => unsafe { resume(sp, fp, exception.0, code) },
        None => {
            store.raise_exception(exception);
            // SAFETY: the caller's promise.
            unsafe { leave_activation(store.context()) }
        }
    }
}
