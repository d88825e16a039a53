//! Threads of WASI 0.1 (wasi-threads): the import `wasi::thread-spawn`.
//!
//! In: a guest that requests a thread, and a [`ThreadHost`] that creates stores and instances for it. Out: a thread of
//! the host that calls the export `wasi_thread_start` of an instance of its own. The host decides what threads share: a
//! [`SharedMemory`](belljar::SharedMemory) that all instances import, and a [`WasiCtx`](crate::WasiCtx) made with
//! [`WasiCtx::share`](crate::WasiCtx::share). To limit their stores together, give each the same limits and the same
//! [`LimitGroup`](belljar::LimitGroup).
//!
//! Never: decides what the end of a thread means. wasi-threads says that the first `proc_exit` or trap of any thread
//! ends the whole guest; [`ThreadHost::ended`] is told of it. A command-line program exits then; other hosts create
//! their engine with `Config::epoch_interruption` and increment the epoch, which interrupts running and waiting
//! threads.
//!
//! ```
//! use belljar::{Config, Engine, Instance, InstancePre, Linker, MemoryType, Module, Result, SharedMemory, Store};
//! use belljar_wasi::threads::{self, ThreadHost, ThreadLimits, Threads};
//!
//! /// What each store holds. A guest of WASI's other functions has its context here too.
//! struct Guest {
//!     threads: Option<Threads<Guest>>,
//! }
//!
//! struct Host {
//!     engine: Engine,
//!     instance: InstancePre<Guest>,
//! }
//!
//! impl ThreadHost for Host {
//!     type Data = Guest;
//!
//!     fn store(&self, spawner: &mut Guest) -> Result<Store<Guest>> {
//!         Store::try_new(&self.engine, Guest { threads: spawner.threads.clone() })
//!     }
//!
//!     fn instantiate(&self, store: &mut Store<Guest>) -> Result<Instance> {
//!         self.instance.instantiate(store)
//!     }
//!
//!     fn ended(&self, thread: u32, outcome: Result<()>) {
//!         outcome.unwrap_or_else(|error| panic!("thread {thread}: {error}"));
//!     }
//! }
//!
//! # fn main() -> Result<()> {
//! let engine = Engine::new(Config::new().wasm_threads(true))?;
//! let module = Module::new(&engine, r#"(module
//!     (import "wasi" "thread-spawn" (func $spawn (param i32) (result i32)))
//!     (import "env" "memory" (memory 1 1 shared))
//!     (func (export "start") (result i32) (call $spawn (i32.const 5)))
//!     (func (export "wasi_thread_start") (param $thread i32) (param $arg i32)
//!         (i32.atomic.store (i32.const 0) (local.get $arg))))"#)?;
//! let memory = SharedMemory::new(&engine, MemoryType::shared(1, 1))?;
//! let mut linker = Linker::new(&engine);
//! threads::add_to_linker(&mut linker, |guest: &mut Guest| guest.threads.as_ref())?;
//! // The linker wants to know the type of the stores only.
//! let any = Store::new(&engine, Guest { threads: None });
//! linker.define(&any, "env", "memory", memory.clone())?;
//! let instance = linker.instantiate_pre(&module)?;
//! let host = Host { engine: engine.clone(), instance: instance.clone() };
//! let threads = Threads::new(host, ThreadLimits::default());
//!
//! let mut store = Store::new(&engine, Guest { threads: Some(threads.clone()) });
//! let start = instance.instantiate(&mut store)?.get_typed_func::<(), i32>(&mut store, "start")?;
//! assert_eq!(start.call(&mut store, ())?, 1);
//! threads.join();
//! assert_eq!(memory.data().load_u32(0)?, 5);
//! # Ok(())
//! # }
//! ```

use std::collections::HashSet;
use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use belljar::{AsContextMut, Caller, Error, Instance, Linker, Result, Store};

use crate::p1::Errno;

/// Creates the threads of a guest and is notified when they end.
pub trait ThreadHost: Send + Sync + 'static {
    /// The data of each store.
    type Data: Send + 'static;

    /// Creates a store for another thread. Called on the requesting thread, with that thread's data.
    ///
    /// # Errors
    ///
    /// If this returns an error, the guest is told that it cannot have a thread now.
    fn store(&self, spawner: &mut Self::Data) -> Result<Store<Self::Data>>;

    /// Creates an instance of the guest's module in such a store, with the memories that all instances share. Called on the new
    /// thread.
    ///
    /// # Errors
    ///
    /// If this returns an error, the thread ends.
    fn instantiate(&self, store: &mut Store<Self::Data>) -> Result<Instance>;

    /// Called on the thread when it has ended other than by returning. Its store still exists and may be inspected.
    /// [`ThreadHost::ended`] is called next, also on that thread.
    fn failed(&self, thread: u32, store: &mut Store<Self::Data>, error: &Error) {
        let _ = (thread, store, error);
    }

    /// Called on the thread when it has ended: it returned, called `proc_exit` ([`crate::I32Exit`]), trapped, or could not be
    /// instantiated.
    fn ended(&self, thread: u32, outcome: Result<()>);
}

/// Limits on threads.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ThreadLimits {
    /// The most threads at once, not counting the first. Default: 256.
    pub threads: usize,
    /// Bytes of native stack for each thread: what `Config::max_wasm_stack` grants to guests, and more for host functions.
    /// Default: 2 MiB.
    pub stack_size: usize,
}

impl ThreadLimits {
    /// The defaults.
    pub const DEFAULT: Self = Self { threads: 256, stack_size: 2 << 20 };
}

impl Default for ThreadLimits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// The threads of one guest. Handles are cheap to clone; every store of the guest has one in its data.
pub struct Threads<T: 'static> {
    inner: Arc<Inner<T>>,
}

struct Inner<T: 'static> {
    host: Box<dyn ThreadHost<Data = T>>,
    limits: ThreadLimits,
    live: Mutex<Live>,
    /// Notified when a thread has ended.
    end: Condvar,
}

/// Threads that have not ended.
struct Live {
    ids: HashSet<u32>,
    next: u32,
}

/// Thread ids are positive and smaller than this.
const ID_LIMIT: u32 = 1 << 29;

/// Why a thread was not created.
enum SpawnRefused {
    /// The limit on threads is reached.
    Limit,
    /// The host did not create a store.
    Store,
    /// The system could not create a thread.
    Thread,
}

impl<T: 'static> Clone for Threads<T> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone() }
    }
}

impl<T: 'static> fmt::Debug for Threads<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Threads").field("limits", &self.inner.limits).finish_non_exhaustive()
    }
}

impl<T: Send + 'static> Threads<T> {
    /// Creates a handle without threads.
    pub fn new(host: impl ThreadHost<Data = T>, limits: ThreadLimits) -> Self {
        let live = Mutex::new(Live { ids: HashSet::new(), next: 1 });
        Self { inner: Arc::new(Inner { host: Box::new(host), limits, live, end: Condvar::new() }) }
    }

    /// Returns how many threads there are now, not counting the first.
    pub fn count(&self) -> usize {
        self.inner.live().ids.len()
    }

    /// Waits until all threads have ended.
    pub fn join(&self) {
        let mut live = self.inner.live();
        while !live.ids.is_empty() {
            live = self.inner.end.wait(live).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Starts a thread with the argument `arg`, and returns its id.
    fn spawn(&self, spawner: &mut T, arg: i32) -> Result<u32, SpawnRefused> {
        let slot = ThreadSlot::claim(&self.inner)?;
        let store = self.inner.host.store(spawner).map_err(|_| SpawnRefused::Store)?;
        let id = slot.id;
        let thread = std::thread::Builder::new().name(format!("guest thread {id}"));
        let started = thread.stack_size(self.inner.limits.stack_size).spawn(move || slot.run(store, arg));
        started.map_err(|_: io::Error| SpawnRefused::Thread)?;
        Ok(id)
    }
}

impl<T: 'static> Inner<T> {
    fn live(&self) -> MutexGuard<'_, Live> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place among the live threads; dropping it frees the id.
struct ThreadSlot<T: 'static> {
    threads: Arc<Inner<T>>,
    id: u32,
}

impl<T: Send + 'static> ThreadSlot<T> {
    fn claim(threads: &Arc<Inner<T>>) -> Result<Self, SpawnRefused> {
        let mut live = threads.live();
        if live.ids.len() >= threads.limits.threads.min(ID_LIMIT as usize / 2) {
            return Err(SpawnRefused::Limit);
        }
        // At least half of the ids are free.
        let id = loop {
            let id = live.next;
            live.next = if id + 1 == ID_LIMIT { 1 } else { id + 1 };
            if live.ids.insert(id) {
                break id;
            }
        };
        drop(live);
        Ok(Self { threads: threads.clone(), id })
    }

    /// Runs the thread from beginning to end.
    fn run(self, mut store: Store<T>, arg: i32) {
        let outcome = catch_unwind(AssertUnwindSafe(|| self.start(&mut store, arg)));
        // The panic hook has already printed the message.
        let outcome = outcome.unwrap_or_else(|_| Err(Error::msg("a function of the host panicked")));
        if let Err(error) = &outcome {
            self.threads.host.failed(self.id, &mut store, error);
        }
        drop(store);
        self.threads.host.ended(self.id, outcome);
    }

    fn start(&self, store: &mut Store<T>, arg: i32) -> Result<()> {
        let instance = self.threads.host.instantiate(store)?;
        let start = instance.get_typed_func::<(i32, i32), ()>(&mut *store, "wasi_thread_start")?;
        start.call(store.as_context_mut(), (self.id.cast_signed(), arg))
    }
}

impl<T: 'static> Drop for ThreadSlot<T> {
    fn drop(&mut self) {
        self.threads.live().ids.remove(&self.id);
        self.threads.end.notify_all();
    }
}

/// Defines `thread-spawn`, in the module `wasi` and in `wasi_snapshot_preview1`.
///
/// `threads` finds the threads in the store's data. A guest without any is refused like one that has reached its
/// limit: the function returns the negative of [`Errno::Again`].
///
/// # Errors
///
/// Returns an error if the linker already has the function and does not allow shadowing.
pub fn add_to_linker<T: Send + 'static>(
    linker: &mut Linker<T>,
    threads: fn(&mut T) -> Option<&Threads<T>>,
) -> Result<()> {
    for module in ["wasi", "wasi_snapshot_preview1"] {
        linker.func_wrap(module, "thread-spawn", move |mut caller: Caller<'_, T>, arg: i32| -> i32 {
            let again = -i32::from(Errno::Again as u16);
            let Some(threads) = threads(caller.data_mut()).cloned() else { return again };
            threads.spawn(caller.data_mut(), arg).map_or(again, u32::cast_signed)
        })?;
    }
    Ok(())
}
