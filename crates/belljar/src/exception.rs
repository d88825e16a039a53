//! Exceptions as errors: how they come to the host, and how the host throws them.

use crate::{AsContextMut, Caller, Error, ExnRef, Result, Rooted, Store, StoreContextMut, Tag, Val};
use anyhow::Context;
use belljar_vm::{StoreCore, Thrown};
use std::fmt;

/// An exception that no guest has caught, as an error of the call that it ended.
///
/// It is the same exception when a host function returns it: the guest that called the function can catch it, by its
/// tag or whatever it is. Traps, errors and panics of the host are no exceptions, and no guest catches them.
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

    /// The exception.
    ///
    /// # Errors
    ///
    /// Where it was thrown in another store, as with all methods here.
    pub fn exception(&self, mut store: impl AsContextMut) -> Result<Rooted<ExnRef>> {
        let core = store.as_context_mut().0.core_mut();
        let raw = core.kept_exception(&self.0);
        let raw = raw.context("a ThrownException was used with a store that it does not belong to")?;
        Ok(Rooted::new(core, raw))
    }

    /// Its tag.
    ///
    /// # Errors
    ///
    /// As [`ThrownException::exception`].
    pub fn tag(&self, mut store: impl AsContextMut) -> Result<Tag> {
        let mut store = store.as_context_mut();
        self.exception(&mut store)?.tag(&store)
    }

    /// The values that it carries.
    ///
    /// # Errors
    ///
    /// As [`ThrownException::exception`].
    pub fn fields(&self, mut store: impl AsContextMut) -> Result<Vec<Val>> {
        let mut store = store.as_context_mut();
        self.exception(&mut store)?.fields(&mut store)
    }
}

impl fmt::Display for ThrownException {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for ThrownException {}

/// A host function's error as the runtime takes it: an exception of the store is thrown, whatever context was added.
pub(crate) fn to_runtime(error: Error, store: &StoreCore) -> Error {
    match error.downcast_ref::<ThrownException>() {
        Some(ThrownException(thrown)) if store.kept_exception(thrown).is_some() => Error::new(thrown.clone()),
        _ => error,
    }
}

fn throw<R>(mut store: impl AsContextMut, exception: Rooted<ExnRef>) -> Result<R> {
    let core = store.as_context_mut().0.core_mut();
    let raw = exception.raw(core)?;
    Err(ThrownException(core.keep_exception(raw)).into())
}

impl<T: 'static> Store<T> {
    /// An exception as an error: always `Err`, of a [`ThrownException`].
    ///
    /// # Errors
    ///
    /// Always; where the handle means nothing any more or belongs to another store, it says so.
    pub fn throw<R>(&mut self, exception: Rooted<ExnRef>) -> Result<R> {
        throw(self, exception)
    }
}

impl<T: 'static> StoreContextMut<'_, T> {
    /// As [`Store::throw`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn throw<R>(&mut self, exception: Rooted<ExnRef>) -> Result<R> {
        throw(self, exception)
    }
}

impl<T: 'static> Caller<'_, T> {
    /// Throws an exception in the guest that called the host function, when the function returns this error.
    ///
    /// # Errors
    ///
    /// As [`Store::throw`].
    pub fn throw<R>(&mut self, exception: Rooted<ExnRef>) -> Result<R> {
        throw(self, exception)
    }
}
