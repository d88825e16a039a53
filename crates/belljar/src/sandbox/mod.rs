//! Sandboxes: a guest whose every call begins in the same, clean world.
//!
//! In: a module with its imports, and a closure that makes the host's state. Out: results of calls, each of which began where the
//! one before had begun. Never: a call that sees anything of another, however that ended.
//!
//! ```text
//! SandboxTemplate ── Recipe ── the first World runs its beginning; others adopt its Checkpoint
//!       │                                       │
//!    Sandbox, SandboxPool ── Worlds ── take ─▶ Session: calls ─▶ reset ─▶ give
//! ```

mod pool;
mod recipe;
mod stacks;
mod template;
mod world;
mod worlds;

pub use pool::{Burst, PoolConfig, PoolExhausted, PoolStatistics, SandboxPool};
pub use template::SandboxTemplate;
pub use world::SandboxDiscarded;

use crate::{Instance, KillHandle, KillReason, Result, Store, WasmParams, WasmResults};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use world::World;
use worlds::Worlds;

/// Whom to kill: who is in the sandbox now.
type Inside = Mutex<Option<KillHandle>>;

/// A guest whose every call begins in the same, clean world.
///
/// ```
/// use belljar::{Engine, Linker, Module, SandboxTemplate};
///
/// let engine = Engine::default();
/// let module = Module::new(
///     &engine,
///     r#"(module (global $n (mut i32) (i32.const 0))
///         (func (export "add") (param i32) (result i32)
///             (global.set $n (i32.add (global.get $n) (local.get 0))) (global.get $n)))"#,
/// )?;
/// let pre = Linker::<()>::new(&engine).instantiate_pre(&module)?;
/// let mut sandbox = SandboxTemplate::new(pre, || Ok(())).build()?;
/// assert_eq!(sandbox.call::<i32, i32>("add", 1)?, 1);
/// assert_eq!(sandbox.call::<i32, i32>("add", 1)?, 1, "nothing is left of the call before");
///
/// let mut session = sandbox.session()?;
/// assert_eq!(session.call::<i32, i32>("add", 1)?, 1);
/// assert_eq!(session.call::<i32, i32>("add", 1)?, 2, "a session keeps what happens");
/// # Ok::<(), belljar::Error>(())
/// ```
///
/// While nobody calls it, it has nothing of its own: its world is any of the clean ones of its template.
pub struct Sandbox<T: 'static> {
    worlds: Arc<Worlds<T>>,
    inside: Option<Arc<Inside>>,
}

impl<T: 'static> fmt::Debug for Sandbox<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sandbox").finish_non_exhaustive()
    }
}

impl<T: 'static> Sandbox<T> {
    fn of(worlds: Arc<Worlds<T>>) -> Self {
        Self { worlds, inside: None }
    }

    /// Calls an export, and makes the sandbox again what it was, however that ends.
    ///
    /// # Errors
    ///
    /// How the run ended if not by returning; that there is no such export.
    pub fn call<P: WasmParams, R: WasmResults>(&mut self, export: &str, params: P) -> Result<R> {
        self.session()?.call_once(export, params)
    }

    /// Several calls that see what the ones before did, up to when the session is dropped.
    ///
    /// # Errors
    ///
    /// Where a new world was needed and could not be made.
    pub fn session(&mut self) -> Result<Session<'_, T>> {
        let world = self.worlds.take(Duration::MAX).unwrap_or_else(|| anyhow::bail!("no world"))?;
        Ok(Session::new(&self.worlds, world, self.inside.as_deref(), None))
    }

    /// A handle for other threads, to end the call or session that is going on.
    pub fn kill_handle(&mut self) -> SandboxKillHandle {
        SandboxKillHandle { inside: self.inside.get_or_insert_default().clone() }
    }
}

/// A handle to end what is going on in a sandbox, from any thread. Cheap to clone; it does not keep the sandbox.
#[derive(Clone)]
pub struct SandboxKillHandle {
    inside: Arc<Inside>,
}

impl fmt::Debug for SandboxKillHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SandboxKillHandle").finish_non_exhaustive()
    }
}

impl SandboxKillHandle {
    /// Ends the run that is going on, as [`KillHandle::kill`] does; `false` if there is none.
    ///
    /// # Errors
    ///
    /// As [`KillHandle::kill`].
    pub fn kill(&self, reason: impl Into<KillReason>) -> Result<bool> {
        let inside = self.inside.lock().unwrap_or_else(PoisonError::into_inner).clone();
        // It means this session, and none that may follow in its place.
        inside.map_or(Ok(false), |inside| inside.kill(reason))
    }
}

/// Calls of a sandbox that see what the ones before did. When it is dropped, the sandbox is again what it was.
pub struct Session<'a, T: 'static> {
    worlds: &'a Worlds<T>,
    /// Taken only at the end.
    world: Option<Box<World<T>>>,
    inside: Option<&'a Inside>,
    pool: Option<&'a SandboxPool<T>>,
}

impl<T: 'static> fmt::Debug for Session<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("instance", &self.instance()).finish_non_exhaustive()
    }
}

impl<'a, T: 'static> Session<'a, T> {
    fn new(
        worlds: &'a Worlds<T>,
        mut world: Box<World<T>>,
        inside: Option<&'a Inside>,
        pool: Option<&'a SandboxPool<T>>,
    ) -> Self {
        world.store.begin_deadline();
        if let Some(inside) = inside {
            *inside.lock().unwrap_or_else(PoisonError::into_inner) = Some(world.store.kill_handle());
        }
        Self { worlds, world: Some(world), inside, pool }
    }

    fn world(&self) -> &World<T> {
        self.world.as_ref().expect("present until the end")
    }

    /// Calls an export.
    ///
    /// # Errors
    ///
    /// How the run ended if not by returning; that there is no such export.
    pub fn call<P: WasmParams, R: WasmResults>(&mut self, export: &str, params: P) -> Result<R> {
        let world = self.world.as_mut().expect("present until the end");
        let func = world.func::<P, R>(export)?;
        func.call(&mut world.store, params)
    }

    /// One call, and the end of the session.
    fn call_once<P: WasmParams, R: WasmResults>(mut self, export: &str, params: P) -> Result<R> {
        let result = self.call(export, params);
        match (result, self.end()) {
            (Err(error), Some(discarded)) => Err(error.context(discarded)),
            (result, _) => result,
        }
    }

    /// The sandbox's instance, for this session.
    pub fn instance(&self) -> Instance {
        self.world().instance()
    }

    /// The store, to be used with the instance.
    pub fn store(&mut self) -> &mut Store<T> {
        &mut self.world.as_mut().expect("present until the end").store
    }

    /// A handle for other threads, to end this session's run. It means nothing once the session is over.
    pub fn kill_handle(&self) -> KillHandle {
        self.world().store.kill_handle()
    }

    /// Makes the sandbox clean. What went wrong with that, if anything: then it was discarded.
    fn end(&mut self) -> Option<SandboxDiscarded> {
        let world = self.world.take()?;
        if let Some(inside) = self.inside {
            *inside.lock().unwrap_or_else(PoisonError::into_inner) = None;
        }
        let discarded = self.worlds.give(world);
        if let Some(pool) = self.pool {
            pool.shrink_now_and_then();
        }
        discarded
    }
}

impl<T: 'static> Drop for Session<'_, T> {
    fn drop(&mut self) {
        self.end();
    }
}
