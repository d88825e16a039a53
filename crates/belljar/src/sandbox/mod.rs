//! Sandboxes: guests that are reset after every call.
//!
//! In: a module with its imports, and a closure that makes the host's state. Out: the results of calls, which all start from the
//! same state. Never: a call that sees anything of an earlier one, however that ended.
//!
//! ```text
//! SandboxTemplate ── InstanceFactory: the first SandboxInstance runs the initialization, others adopt its Checkpoint
//!       │                   │
//! Sandbox, SandboxPool ── InstancePool::take ─▶ SandboxInstance::begin ─▶ Session: calls ─▶ InstancePool::give ─▶ reset
//! ```

mod instance_factory;
mod instance_pool;
mod pool;
mod sandbox_instance;
mod stacks;
mod template;

pub use pool::{Burst, PoolConfig, PoolExhausted, PoolStatistics, SandboxPool};
pub use sandbox_instance::SandboxDiscarded;
pub use template::SandboxTemplate;

use crate::{Instance, KillHandle, KillReason, Result, Store, WasmParams, WasmResults};
use instance_pool::InstancePool;
use sandbox_instance::SandboxInstance;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// The kill handle of the session that is going on.
type CurrentSession = Mutex<Option<KillHandle>>;

/// A guest that is reset after every call: each call starts from the same state.
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
/// An idle sandbox owns no instance. Each call or session takes a reset instance of the template and gives it back.
pub struct Sandbox<T: 'static> {
    instances: Arc<InstancePool<T>>,
    current: Option<Arc<CurrentSession>>,
}

impl<T: 'static> fmt::Debug for Sandbox<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sandbox").finish_non_exhaustive()
    }
}

impl<T: 'static> Sandbox<T> {
    fn of(instances: Arc<InstancePool<T>>) -> Self {
        Self { instances, current: None }
    }

    /// Calls an export, then resets the sandbox, however the call ended.
    ///
    /// # Errors
    ///
    /// Returns an error if the guest did not return (a trap, a kill, an exhausted limit, an error of a host function), if there is
    /// no such export, or as [`Sandbox::session`] does.
    pub fn call<P: WasmParams, R: WasmResults>(&mut self, export: &str, params: P) -> Result<R> {
        self.session()?.call_once(export, params)
    }

    /// Begins a session: several calls, each of which sees what the earlier ones did. Dropping the session resets the sandbox.
    ///
    /// # Errors
    ///
    /// Returns an error if a new instance was needed and could not be created, or if the host's state could not be made.
    pub fn session(&mut self) -> Result<Session<'_, T>> {
        let instance = self.instances.take(Duration::MAX).unwrap_or_else(|| anyhow::bail!("no instance"))?;
        Ok(Session::new(&self.instances, instance, self.current.as_deref()))
    }

    /// Returns a handle with which other threads can end the current call or session.
    pub fn kill_handle(&mut self) -> SandboxKillHandle {
        SandboxKillHandle { current: self.current.get_or_insert_default().clone() }
    }
}

/// Ends the current call or session of a sandbox, from any thread. It is cheap to clone and does not keep the sandbox alive.
#[derive(Clone)]
pub struct SandboxKillHandle {
    current: Arc<CurrentSession>,
}

impl fmt::Debug for SandboxKillHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SandboxKillHandle").finish_non_exhaustive()
    }
}

impl SandboxKillHandle {
    /// Ends the current run, as [`KillHandle::kill`] does. Returns `false` if nothing runs.
    ///
    /// # Errors
    ///
    /// As [`KillHandle::kill`].
    pub fn kill(&self, reason: impl Into<KillReason>) -> Result<bool> {
        let current = self.current.lock().unwrap_or_else(PoisonError::into_inner).clone();
        // This handle is of one session: it does nothing to a session that follows.
        current.map_or(Ok(false), |handle| handle.kill(reason))
    }
}

/// Several calls of a sandbox, each of which sees what the earlier ones did. Dropping the session resets the sandbox.
pub struct Session<'a, T: 'static> {
    instances: &'a InstancePool<T>,
    /// `None` once the session has ended.
    inner: Option<Box<SandboxInstance<T>>>,
    current: Option<&'a CurrentSession>,
}

impl<T: 'static> fmt::Debug for Session<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("instance", &self.instance()).finish_non_exhaustive()
    }
}

impl<'a, T: 'static> Session<'a, T> {
    fn new(
        instances: &'a InstancePool<T>,
        instance: Box<SandboxInstance<T>>,
        current: Option<&'a CurrentSession>,
    ) -> Self {
        if let Some(current) = current {
            *current.lock().unwrap_or_else(PoisonError::into_inner) = Some(instance.store.kill_handle());
        }
        Self { instances, inner: Some(instance), current }
    }

    fn inner(&self) -> &SandboxInstance<T> {
        self.inner.as_ref().expect("present until the session ends")
    }

    fn inner_mut(&mut self) -> &mut SandboxInstance<T> {
        self.inner.as_mut().expect("present until the session ends")
    }

    /// Calls an export.
    ///
    /// # Errors
    ///
    /// Returns an error if the guest did not return (a trap, a kill, an exhausted limit, an error of a host function), or if there
    /// is no such export.
    pub fn call<P: WasmParams, R: WasmResults>(&mut self, export: &str, params: P) -> Result<R> {
        let instance = self.inner_mut();
        let func = instance.func::<P, R>(export)?;
        func.call(&mut instance.store, params)
    }

    /// Makes the only call of a session, and ends the session.
    fn call_once<P: WasmParams, R: WasmResults>(mut self, export: &str, params: P) -> Result<R> {
        let result = self.call(export, params);
        match (result, self.end()) {
            (Err(error), Some(discarded)) => Err(error.context(discarded)),
            (result, _) => result,
        }
    }

    /// The sandbox's instance. It is valid until the session ends.
    pub fn instance(&self) -> Instance {
        self.inner().instance()
    }

    /// The store, to be used with [`Session::instance`].
    pub fn store(&mut self) -> &mut Store<T> {
        &mut self.inner_mut().store
    }

    /// Returns a handle with which other threads can end this session's run. It has no effect once the session has ended.
    pub fn kill_handle(&self) -> KillHandle {
        self.inner().store.kill_handle()
    }

    /// Ends the session and gives the instance back. Tells why the instance was discarded, if it could not be reset.
    fn end(&mut self) -> Option<SandboxDiscarded> {
        let instance = self.inner.take()?;
        if let Some(current) = self.current {
            *current.lock().unwrap_or_else(PoisonError::into_inner) = None;
        }
        self.instances.give(instance)
    }
}

impl<T: 'static> Drop for Session<'_, T> {
    fn drop(&mut self) {
        self.end();
    }
}
