//! A session: calls of a sandbox between two resets.

use super::instance_pool::InstancePool;
use super::sandbox_instance::{SandboxDiscarded, SandboxInstance};
use crate::{Instance, KillHandle, Result, Store, WasmParams, WasmResults};
use std::fmt;
use std::sync::{Mutex, PoisonError};

/// The kill handle of the session that is going on.
pub(super) type CurrentSession = Mutex<Option<KillHandle>>;

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
    pub(super) fn new(
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
    pub(super) fn call_once<P: WasmParams, R: WasmResults>(mut self, export: &str, params: P) -> Result<R> {
        let result = self.call(export, params);
        match (result, self.end()) {
            (Err(error), Some(discarded)) => Err(error.context(discarded)),
            (result, _) => result,
        }
    }

    /// Returns the sandbox's instance. It is valid until the session ends.
    pub fn instance(&self) -> Instance {
        self.inner().instance()
    }

    /// Returns the store, to be used with [`Session::instance`].
    pub fn store(&mut self) -> &mut Store<T> {
        &mut self.inner_mut().store
    }

    /// Returns a handle with which other threads can end this session's run. It has no effect once the session has ended.
    pub fn kill_handle(&self) -> KillHandle {
        self.inner().store.kill_handle()
    }

    /// Ends the session and returns the instance to the pool. The result tells why the instance was discarded, if it could
    /// not be reset.
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
