//! Exceptions as errors: catching guests' exceptions in the host, and throwing exceptions from the host.

use crate::{AsContextMut, Caller, Error, ExnRef, GcRef, Result, Rooted, Store, StoreContextMut, Tag, Val};
use belljar_core::Context;
use belljar_vm::{StoreCore, Thrown};
use std::fmt;

/// An uncaught exception, as an error of the call that it ended.
///
/// If a host function returns it, the same exception is thrown in the guest that called the function, which can catch
/// it by its tag or with a catch-all clause. Traps, errors and panics of the host are not exceptions, and no guest
/// catches them.
///
/// ```
/// # fn main() -> belljar::Result<()> {
/// use belljar::{Config, Engine, Instance, Module, Store, ThrownException};
/// let mut config = Config::new();
/// config.wasm_exceptions(true);
/// let engine = Engine::new(&config)?;
/// let wat = r#"(module
///     (tag $oops (export "oops") (param i32))
///     (func (export "f") (throw $oops (i32.const 42))))"#;
/// let module = Module::new(&engine, wat)?;
/// let mut store = Store::new(&engine, ());
/// let instance = Instance::new(&mut store, &module, &[])?;
/// let error = instance.get_typed_func::<(), ()>(&mut store, "f")?.call(&mut store, ()).unwrap_err();
/// let thrown = error.downcast_ref::<ThrownException>().expect("an exception");
/// assert_eq!(thrown.tag(&mut store)?, instance.get_tag(&mut store, "oops").unwrap());
/// assert_eq!(thrown.fields(&mut store)?[0].unwrap_i32(), 42);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct ThrownException(Thrown);

impl ThrownException {
    pub(crate) fn new(thrown: Thrown) -> Self {
        Self(thrown)
    }

    /// Returns the exception.
    ///
    /// # Errors
    ///
    /// Returns an error if the exception was thrown in another store, as do all methods here.
    pub fn exception(&self, mut store: impl AsContextMut) -> Result<Rooted<ExnRef>> {
        let core = store.as_context_mut().0.core_mut();
        let raw = core.kept_exception(&self.0);
        let raw = raw.context("a ThrownException was used with a store that it does not belong to")?;
        Ok(Rooted::new(core, raw))
    }

    /// Returns the exception's tag.
    ///
    /// # Errors
    ///
    /// Returns an error as [`ThrownException::exception`] does.
    pub fn tag(&self, mut store: impl AsContextMut) -> Result<Tag> {
        let mut store = store.as_context_mut();
        self.exception(&mut store)?.tag(&store)
    }

    /// Returns the values that the exception carries.
    ///
    /// # Errors
    ///
    /// Returns an error as [`ThrownException::exception`] does.
    pub fn fields(&self, mut store: impl AsContextMut) -> Result<Vec<Val>> {
        let mut store = store.as_context_mut();
        Ok(self.exception(&mut store)?.fields(&mut store)?.collect())
    }
}

impl fmt::Display for ThrownException {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for ThrownException {}

/// Converts the error of a host function for the runtime. If it holds an exception of the store, with any context, the
/// exception is thrown.
pub(crate) fn to_runtime(error: Error, store: &StoreCore) -> Error {
    match error.downcast_ref::<ThrownException>() {
        Some(ThrownException(thrown)) if store.kept_exception(thrown).is_some() => Error::new(thrown.clone()),
        _ => error,
    }
}

fn throw<R>(mut store: impl AsContextMut, exception: Rooted<ExnRef>) -> Result<R> {
    let core = store.as_context_mut().0.core_mut();
    let raw = exception.raw(core)?;
    let thrown = core.keep_exception(raw);
    core.set_uncaught(thrown.clone());
    Err(ThrownException(thrown).into())
}

/// Returns and forgets the last exception that left a run.
fn take_pending(store: &mut StoreCore) -> Option<Rooted<ExnRef>> {
    let thrown = store.take_uncaught()?;
    let raw = store.kept_exception(&thrown)?;
    Some(Rooted::new(store, raw))
}

impl<T: 'static> Store<T> {
    /// Turns an exception into an error: the result is always `Err`, with a [`ThrownException`].
    ///
    /// # Errors
    ///
    /// Always returns an error. If the handle is no longer valid or belongs to another store, the error says so
    /// instead.
    pub fn throw<R>(&mut self, exception: Rooted<ExnRef>) -> Result<R> {
        throw(self, exception)
    }

    /// Returns and forgets the last exception that left a run uncaught, or that [`Store::throw`] was called with. It is the
    /// one that the error's [`ThrownException`] has, too.
    pub fn take_pending_exception(&mut self) -> Option<Rooted<ExnRef>> {
        take_pending(self.inner.core_mut())
    }

    /// Returns whether [`Store::take_pending_exception`] returns an exception.
    pub fn has_pending_exception(&self) -> bool {
        self.core().has_uncaught()
    }
}

impl<T: 'static> StoreContextMut<'_, T> {
    /// Turns an exception into an error, as [`Store::throw`] does.
    ///
    /// # Errors
    ///
    /// Always returns an error, as [`Store::throw`] does.
    pub fn throw<R>(&mut self, exception: Rooted<ExnRef>) -> Result<R> {
        throw(self, exception)
    }

    /// Returns and forgets the last exception that left a run uncaught, or that [`StoreContextMut::throw`] was called with. It is the
    /// one that the error's [`ThrownException`] has, too.
    pub fn take_pending_exception(&mut self) -> Option<Rooted<ExnRef>> {
        take_pending(self.0.core_mut())
    }

    /// Returns whether [`StoreContextMut::take_pending_exception`] returns an exception.
    pub fn has_pending_exception(&self) -> bool {
        self.0.core().has_uncaught()
    }
}

impl<T: 'static> Caller<'_, T> {
    /// Turns an exception into an error that throws the exception in the calling guest when the host function returns
    /// it.
    ///
    /// # Errors
    ///
    /// Always returns an error, as [`Store::throw`] does.
    pub fn throw<R>(&mut self, exception: Rooted<ExnRef>) -> Result<R> {
        throw(self, exception)
    }
}
