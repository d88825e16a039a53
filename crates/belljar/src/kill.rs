//! Killing a guest from another thread.

use crate::Result;
use belljar_core::Context;
pub use belljar_vm::KillReason;
use belljar_vm::{StoreId, StoreMonitor};
use std::fmt;
use std::sync::Arc;

/// A handle to kill a store's guest while it runs, from any thread. It is cheap to clone, and does not keep the store
/// alive.
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
    /// A sandbox gets a new store id after each session; this handle is valid for one session.
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

    /// Returns the store's number: see [`crate::Inspector::store_id`].
    pub fn store_id(&self) -> u64 {
        self.store.number()
    }

    /// Returns whether the current run has been killed. Host functions that wait for a long time can poll it. When the
    /// guest is killed, their waits in the kernel are interrupted (`ErrorKind::Interrupted`).
    pub fn is_killed(&self) -> bool {
        self.monitor.store() == self.store && self.monitor.is_killed()
    }

    /// Kills the current run of the store, at whatever instruction it is. Returns `false`, and does nothing, if nothing
    /// runs. If a run is killed more than once, the first reason counts.
    ///
    /// A thread in guest code leaves it immediately, within some microseconds; guest code does nothing for this. A
    /// thread in a host function leaves when that function returns, without returning to the guest. Waits of guests,
    /// and of WASI functions, end early. The run ends with an [`Error`](crate::Error) that holds a [`Killed`],
    /// [`crate::Trap::Interrupt`] and the guest's stack; if the host function panics, the run ends with that panic.
    /// Instantiation is a run as well.
    ///
    /// A killed guest was interrupted in an arbitrary state. Therefore its store runs no more code: calls,
    /// instantiations and collections fail with the same [`Killed`]. Memories and globals can still be read.
    ///
    /// # Errors
    ///
    /// Returns an error if the store was dropped. Also returns an error if no thread can be started to supervise the
    /// kill, and the guest's thread does not answer for a second or stays in the host for as long.
    pub fn kill(&self, reason: impl Into<KillReason>) -> Result<bool> {
        self.monitor.kill(reason.into(), Some(self.store)).context("could not kill the guest")
    }
}

/// The guest was killed. An [`Error`](crate::Error) holds it, both of the run that was killed and of every later
/// attempt to run something in the same store.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Killed {
    reason: KillReason,
}

impl Killed {
    pub(crate) fn new(reason: KillReason) -> Self {
        Self { reason }
    }

    /// Returns the reason.
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
