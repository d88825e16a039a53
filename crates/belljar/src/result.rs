//! The error and result types of the crate.

/// Any error of belljar or of a host function.
///
/// Use `downcast_ref` to find out how a guest's run ended. Depending on that, the error holds a [`crate::Trap`], a
/// [`crate::WasmBacktrace`], a [`crate::WasmCoreDump`] (if the engine creates them), the host function's own error, or
/// `I32Exit` of the WASI crate:
///
/// ```
/// # fn main() -> belljar::Result<()> {
/// use belljar::{Engine, Instance, Module, Store, Trap, WasmBacktrace};
/// let engine = Engine::default();
/// let module = Module::new(&engine, r#"(module (func (export "f") unreachable))"#)?;
/// let mut store = Store::new(&engine, ());
/// let instance = Instance::new(&mut store, &module, &[])?;
/// let f = instance.get_typed_func::<(), ()>(&mut store, "f")?;
/// let error = f.call(&mut store, ()).unwrap_err();
/// assert_eq!(error.downcast_ref::<Trap>(), Some(&Trap::UnreachableCodeReached));
/// assert_eq!(error.downcast_ref::<WasmBacktrace>().unwrap().frames().len(), 1);
/// # Ok(())
/// # }
/// ```
pub use anyhow::Error;

/// A `Result` with [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;
