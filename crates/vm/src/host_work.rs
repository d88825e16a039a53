//! Work that the runtime does for a guest that does not run yet, as a run of its store: instantiation.
//!
//! In: a closure that may take long, depending on a module's constant expressions and segments. Out: its result, or how
//! it ended. Never: work that is not limited, or cannot be killed. It runs in an activation without guest frames, so
//! that kills, snapshots and counts treat it like any other run, and
//! [`check_interrupt`](crate::StoreCore::check_interrupt) ends it.

use crate::exit::Exit;
use crate::machine::Arguments;
use crate::store_inner::StoreInner;
use crate::vm_ptr::VmPtr;
use belljar_core::{InstanceId, Trap};
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

/// A closure that passes through the entry stub, and how it ended.
struct Work<F, R> {
    /// The address of the store.
    store: usize,
    work: Option<F>,
    ended: Option<Result<Result<R, Exit>, Box<dyn Any + Send>>>,
}

impl<T: 'static> StoreInner<T> {
    /// Runs a closure for an instance whose constants and context exist already, as a run of its store: with limits,
    /// and subject to kills.
    ///
    /// # Errors
    ///
    /// Returns the error of the closure, or an error if the run was killed or a limit is reached.
    ///
    /// # Panics
    ///
    /// Panics with the payload of a panic in the closure.
    pub(crate) fn run_work<R>(
        &mut self,
        instance: InstanceId,
        work: impl FnOnce(&mut Self) -> Result<R, Exit>,
    ) -> Result<R, Exit> {
        let _guard = self.core_mut().acquire_run_guard()?;
        let ended = self.enter_work(instance, work);
        let core = self.core_mut();
        match ended {
            Err(payload) => {
                core.end_killed_by_panic();
                resume_unwind(payload)
            }
            Ok(result) if core.is_being_killed() => {
                Err(core.end_killed(result.err().map(Exit::into_stack).unwrap_or_default()))
            }
            Ok(result) => result,
        }
    }

    fn enter_work<R, F: FnOnce(&mut Self) -> Result<R, Exit>>(
        &mut self,
        instance: InstanceId,
        work: F,
    ) -> Result<Result<R, Exit>, Box<dyn Any + Send>> {
        let context = self.core().instance(instance).context();
        let store = VmPtr::expose(std::ptr::from_mut(self)).address();
        let mut work = Work { store, work: Some(work), ended: None };
        let mut arguments = Arguments::NONE;
        arguments.ints[0].write(VmPtr::expose(&raw mut work).address() as u64);
        let code = run::<T, R, F> as *const () as usize;
        // SAFETY: the context is that of an instance of this store, whose constants are written (IN-BOUNDS), and `run`
        // is an ordinary function that takes these two, which the stub passes through.
        let (_, outer) = unsafe { self.enter(code, context, arguments) };
        let core = self.core_mut();
        // The stub does not tell whether it returned: `work` contains how it ended.
        if outer.is_none() {
            core.record_death();
        }
        core.end_run(outer);
        work.ended.unwrap_or_else(|| Ok(Err(Exit::of_trap(Trap::Interrupt))))
    }
}

/// The function that the entry stub calls.
///
/// # Safety
///
/// `work` lies on the stack of [`StoreInner::enter_work`], which waits for this; there is no other reference to the
/// store.
unsafe extern "C" fn run<T: 'static, R, F: FnOnce(&mut StoreInner<T>) -> Result<R, Exit>>(
    _context: usize,
    work: *mut Work<F, R>,
) {
    // SAFETY: the caller's promise (STORE-EXCLUSIVE, STORE-PINNED).
    let (work, store) = unsafe {
        let work = &mut *work;
        let store = VmPtr::<StoreInner<T>>::at(work.store).as_mut();
        (work, store)
    };
    let Some(closure) = work.work.take() else { return };
    work.ended = Some(catch_unwind(AssertUnwindSafe(|| closure(store))));
}
