//! A single sandbox, outside a pool.

use super::guest::SandboxGuest;
use super::instance_pool::InstancePool;
use super::session::{CurrentSession, Session};
use crate::instantiate::InstancePre;
use crate::{KillReason, Result};
use std::fmt;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

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
///
/// `G` is what it is a sandbox of: see [`SandboxGuest`].
pub struct Sandbox<T: 'static, G: SandboxGuest<T> = InstancePre<T>> {
    instances: Arc<InstancePool<T, G>>,
    current: Option<Arc<CurrentSession>>,
}

impl<T: 'static, G: SandboxGuest<T>> fmt::Debug for Sandbox<T, G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sandbox").finish_non_exhaustive()
    }
}

impl<T: 'static, G: SandboxGuest<T>> Sandbox<T, G> {
    pub(super) fn of(instances: Arc<InstancePool<T, G>>) -> Self {
        Self { instances, current: None }
    }

    /// Begins a session: several calls, each of which sees what the earlier ones did. Dropping the session resets the sandbox.
    ///
    /// # Errors
    ///
    /// Returns an error if a new instance was needed and could not be created, or if the host's state could not be created.
    pub fn session(&mut self) -> Result<Session<'_, T, G>> {
        let instance =
            self.instances.take(Duration::MAX).unwrap_or_else(|| belljar_core::bail!("no instance"))?;
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
    /// Ends the current run, as [`KillHandle::kill`](crate::KillHandle::kill) does. Returns `false` if nothing runs.
    ///
    /// # Errors
    ///
    /// Returns an error as [`KillHandle::kill`](crate::KillHandle::kill) does.
    pub fn kill(&self, reason: impl Into<KillReason>) -> Result<bool> {
        let current = self.current.lock().unwrap_or_else(PoisonError::into_inner).clone();
        // This handle is of one session: it does nothing to a session that follows.
        current.map_or(Ok(false), |handle| handle.kill(reason))
    }
}
