//! Errors: `anyhow`'s type (one pointer wide, with context), and what a guest's end becomes in it.

use crate::WasmBacktrace;
use belljar_core::{ByteCount, PageCount, WASM_PAGE_SIZE};
use belljar_vm::{Exit, Fault, RawStack};
use std::fmt;

/// Any error of belljar or of a host function.
///
/// What a guest's run ended with can be taken out of it: a [`crate::Trap`], a [`WasmBacktrace`], the host function's
/// own error, or `I32Exit` of the WASI crate:
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

/// Where a memory access went that trapped. In an [`Error`] beside [`crate::Trap::MemoryOutOfBounds`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MemoryFault {
    address: u64,
    size: u64,
}

impl MemoryFault {
    /// The address in the memory whose access faulted.
    pub fn address(&self) -> u64 {
        self.address
    }

    /// The memory's size in bytes at that time.
    pub fn memory_size(&self) -> u64 {
        self.size
    }
}

impl fmt::Display for MemoryFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pages = PageCount(self.size / WASM_PAGE_SIZE);
        write!(
            f,
            "memory access at {:#x}, and the memory is {pages} ({})",
            self.address,
            ByteCount(self.size)
        )
    }
}

impl std::error::Error for MemoryFault {}

/// What the embedder gets for a run that did not return.
#[cold]
pub(crate) fn from_exit(exit: Exit) -> Error {
    match exit {
        Exit::Trap { trap, fault, stack } => {
            let error = match fault {
                Some(Fault { address, size }) => Error::new(trap).context(MemoryFault { address, size }),
                None => Error::new(trap),
            };
            with_backtrace(error, &stack)
        }
        Exit::Error { error, stack } => with_backtrace(error, &stack),
    }
}

/// Adds the guest's stack, unless a deeper run's is there already.
fn with_backtrace(error: Error, stack: &RawStack) -> Error {
    if stack.frames().is_empty() || error.downcast_ref::<WasmBacktrace>().is_some() {
        return error;
    }
    error.context(WasmBacktrace::new(stack))
}
