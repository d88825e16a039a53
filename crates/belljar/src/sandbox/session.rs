//! A session: calls of a sandbox between two resets.

use super::guest::SandboxGuest;
use super::instance_pool::InstancePool;
use super::sandbox_instance::{SandboxDiscarded, SandboxInstance};
use crate::instantiate::InstancePre;
use crate::{KillHandle, Result, Store};
use std::fmt;
use std::sync::{Mutex, PoisonError};

/// The kill handle of the session that is going on.
pub(super) type CurrentSession = Mutex<Option<KillHandle>>;

/// Several calls of a sandbox, each of which sees what the earlier ones did. Dropping the session resets the sandbox.
///
/// `G` is what it is a sandbox of: see [`SandboxGuest`].
pub struct Session<'a, T: 'static, G: SandboxGuest<T> = InstancePre<T>> {
    instances: &'a InstancePool<T, G>,
    /// `None` once the session has ended.
    inner: Option<Box<SandboxInstance<T, G>>>,
    current: Option<&'a CurrentSession>,
}

impl<T: 'static, G: SandboxGuest<T>> fmt::Debug for Session<'_, T, G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("instance", &self.inner().instance).finish_non_exhaustive()
    }
}

impl<'a, T: 'static, G: SandboxGuest<T>> Session<'a, T, G> {
    pub(super) fn new(
        instances: &'a InstancePool<T, G>,
        instance: Box<SandboxInstance<T, G>>,
        current: Option<&'a CurrentSession>,
    ) -> Self {
        if let Some(current) = current {
            *current.lock().unwrap_or_else(PoisonError::into_inner) = Some(instance.store.kill_handle());
        }
        Self { instances, inner: Some(instance), current }
    }

    pub(crate) fn inner(&self) -> &SandboxInstance<T, G> {
        self.inner.as_ref().expect("present until the session ends")
    }

    pub(crate) fn inner_mut(&mut self) -> &mut SandboxInstance<T, G> {
        self.inner.as_mut().expect("present until the session ends")
    }

    /// Ends the session after its only call.
    pub(crate) fn end_with<R>(mut self, result: Result<R>) -> Result<R> {
        match (result, self.end()) {
            (Err(error), Some(discarded)) => Err(error.context(discarded)),
            (result, _) => result,
        }
    }

    /// Returns the store, to be used with the session's instance.
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

impl<T: 'static, G: SandboxGuest<T>> Drop for Session<'_, T, G> {
    fn drop(&mut self) {
        self.end();
    }
}
