//! Killing a guest from another thread.

use crate::Result;
use anyhow::Context;
pub use belljar_vm::KillReason;
use belljar_vm::{StoreId, StoreMonitor};
use std::fmt;
use std::sync::Arc;

/// A handle to end a store's guest while it runs, from any thread. Cheap to clone; it does not keep the store.
///
/// ```
/// use belljar::{Engine, Instance, Killed, Module, Store};
///
/// let engine = Engine::default();
/// let module = Module::new(&engine, r#"(module (func $spin (export "run") (loop (br 0))))"#)?;
/// let mut store = Store::new(&engine, ());
/// let instance = Instance::new(&mut store, &module, &[])?;
/// let run = instance.get_typed_func::<(), ()>(&mut store, "run")?;
/// let handle = store.kill_handle();
/// std::thread::spawn(move || while !handle.kill("nobody waits for it any more").unwrap_or(true) {});
/// let error = run.call(&mut store, ()).unwrap_err();
/// assert_eq!(error.downcast_ref::<Killed>().unwrap().to_string(), "the guest was killed: nobody waits for it any more");
/// assert!(run.call(&mut store, ()).is_err(), "nothing runs in this store any more");
/// # Ok::<(), belljar::Error>(())
/// ```
#[derive(Clone)]
pub struct KillHandle {
    monitor: Arc<StoreMonitor>,
    /// A sandbox is another store after each session, and this handle is one session's.
    store: StoreId,
}

impl fmt::Debug for KillHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KillHandle").field("store_id", &self.store_id()).finish_non_exhaustive()
    }
}

impl KillHandle {
    pub(crate) fn of(monitor: Arc<StoreMonitor>) -> Self {
        Self { store: monitor.store(), monitor }
    }

    /// The store's number: see [`crate::Inspector::store_id`].
    pub fn store_id(&self) -> u64 {
        self.store.number()
    }

    /// Whether the run that is going on is to end: host functions that wait for long can ask. Their waits in the kernel are
    /// interrupted (`ErrorKind::Interrupted`) when the guest is killed.
    pub fn is_killed(&self) -> bool {
        self.monitor.store() == self.store && self.monitor.is_killed()
    }

    /// Ends the run that is going on in the store, at whatever instruction it is. `false` if there is none: then nothing is done.
    /// Of several reasons the first counts.
    ///
    /// In guest code its thread leaves at once, which takes some microseconds; code has nothing to do with it. In a host function it
    /// leaves as soon as that returns, and does not go back to the guest; waits of guests, and of WASI functions, end early. The
    /// run ends with an [`Error`](crate::Error) that holds a [`Killed`], [`crate::Trap::Interrupt`] and the guest's stack; if the host
    /// function panics, with that panic. Instantiation is a run as well.
    ///
    /// A guest that was killed was in the middle of something. So its store runs nothing any more: calls, instantiation and
    /// collections are refused with the same [`Killed`]. Memories and globals can still be looked at.
    ///
    /// # Errors
    ///
    /// Where the store is gone. Where no thread can be had to see to it, and the guest's thread does not answer for a second or stays in
    /// the host for as long.
    pub fn kill(&self, reason: impl Into<KillReason>) -> Result<bool> {
        self.monitor.kill(reason.into(), Some(self.store)).context("could not kill the guest")
    }
}

/// The guest was killed. In an [`Error`](crate::Error) of the run that it ended, and of every later attempt to run something in
/// the same store.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Killed {
    reason: KillReason,
}

impl Killed {
    pub(crate) fn new(reason: KillReason) -> Self {
        Self { reason }
    }

    /// Why.
    pub fn reason(&self) -> &KillReason {
        &self.reason
    }
}

impl From<KillReason> for Killed {
    fn from(reason: KillReason) -> Self {
        Self { reason }
    }
}

impl fmt::Display for Killed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the guest was killed: {}", self.reason)
    }
}

impl std::error::Error for Killed {}
