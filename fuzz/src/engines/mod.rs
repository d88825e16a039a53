//! The engines, each as a `Runner`.

mod belljar;
mod for_wasmi;
mod for_wasmtime;
mod wasmi;
mod wasmtime;

pub use self::belljar::{Belljar, engine, store};
pub use self::wasmi::Wasmi;
pub use self::wasmtime::Wasmtime;
