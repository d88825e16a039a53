//! Errors, and the traits and macros for them.
//!
//! They work as those of the crate `anyhow`, with one addition: an error can have details ([`Error::attach`]) that only
//! `{:?}` shows. The error of a guest that trapped shows the trap with `{}`, and has the guest's [`WasmBacktrace`] as a
//! detail:
//!
//! ```
//! # fn main() -> belljar::Result<()> {
//! use belljar::{Engine, Instance, Module, Store, Trap, WasmBacktrace};
//! let engine = Engine::default();
//! let module = Module::new(&engine, r#"(module $m (func $f (export "f") unreachable))"#)?;
//! let mut store = Store::new(&engine, ());
//! let instance = Instance::new(&mut store, &module, &[])?;
//! let f = instance.get_typed_func::<(), ()>(&mut store, "f")?;
//! let error = f.call(&mut store, ()).unwrap_err();
//!
//! assert_eq!(error.downcast_ref::<Trap>(), Some(&Trap::UnreachableCodeReached));
//! assert_eq!(error.to_string(), "wasm `unreachable` instruction executed");
//! assert_eq!(error.downcast_ref::<WasmBacktrace>().unwrap().frames().len(), 1);
//! assert!(format!("{error:?}").contains("m!f"));
//! # Ok(())
//! # }
//! ```
//!
//! [`WasmBacktrace`]: crate::WasmBacktrace

pub use belljar_core::{Chain, Context, Error, Result, bail, ensure, format_err};
