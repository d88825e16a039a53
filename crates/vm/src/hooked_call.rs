//! The embedder's function that is called at each transition between host and guest.
//!
//! In: a transition. Out: the hook's error, which ends the run. Never: a cost for stores without a hook: they take the
//! paths that look at [`StoreCore::has_call_hook`] only for other reasons.

use crate::call_hook::CallHook;
use crate::exit::Exit;
use crate::store_inner::StoreInner;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

impl<T: 'static> StoreInner<T> {
    /// Calls the hook, if there is one and it is not running.
    ///
    /// # Errors
    ///
    /// Returns the hook's error.
    #[cold]
    fn tell(&mut self, transition: CallHook) -> belljar_core::Result<()> {
        // Taken out while it runs, since it gets the store itself.
        let Some(mut hook) = self.take_call_hook() else { return Ok(()) };
        let told = catch_unwind(AssertUnwindSafe(|| hook(self, transition)));
        self.put_call_hook(hook);
        told.unwrap_or_else(|panic| resume_unwind(panic))
    }

    /// Runs a guest, with calls of the hook around it.
    #[cold]
    pub(crate) fn hooked_run<R>(
        &mut self,
        run: impl FnOnce(&mut Self) -> Result<R, Exit>,
    ) -> Result<R, Exit> {
        let failed = |error: belljar_core::Error| Exit::Error { error, stack: Default::default() };
        self.tell(CallHook::CallingWasm).map_err(failed)?;
        let ended = run(self);
        self.tell(CallHook::ReturningFromWasm).map_err(failed)?;
        ended
    }

    /// Runs a host function that a guest called, with calls of the hook around it.
    #[cold]
    pub(crate) fn hooked_host_call<R>(
        &mut self,
        run: impl FnOnce(&mut Self) -> belljar_core::Result<R>,
    ) -> belljar_core::Result<R> {
        self.tell(CallHook::CallingHost)?;
        let ended = run(self);
        self.tell(CallHook::ReturningFromHost)?;
        ended
    }
}
