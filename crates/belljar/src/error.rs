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

/// The memory access that trapped. In an [`Error`] beside [`crate::Trap::MemoryOutOfBounds`], whose message its
/// own continues:
///
/// ```
/// # fn main() -> belljar::Result<()> {
/// use belljar::{Engine, Instance, MemoryFault, Module, Store};
/// let engine = Engine::default();
/// let wat = r#"(module (memory 17) (func (export "f") (drop (i32.load (i32.const 0x41414141)))))"#;
/// let module = Module::new(&engine, wat)?;
/// let mut store = Store::new(&engine, ());
/// let instance = Instance::new(&mut store, &module, &[])?;
/// let error = instance.get_typed_func::<(), ()>(&mut store, "f")?.call(&mut store, ()).unwrap_err();
/// let fault = error.downcast_ref::<MemoryFault>().unwrap();
/// assert_eq!(fault.to_string(), "4 bytes at 0x41414141, memory 0 is 17 pages (1088 KiB)");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MemoryFault(Fault);

impl MemoryFault {
    /// The lowest address of the access that lies outside the memory. A load or store that begins inside and
    /// reaches across the end has [`MemoryFault::memory_size`] here, as one that begins just at the end.
    pub fn address(&self) -> u64 {
        self.0.address
    }

    /// How many bytes were to be read or written, where that is known.
    pub fn access_size(&self) -> Option<u64> {
        self.0.length
    }

    /// The memory's size in bytes at that time.
    pub fn memory_size(&self) -> u64 {
        self.0.memory_size
    }

    /// The memory's index in the module of the innermost function, where that is known.
    pub fn memory_index(&self) -> Option<u32> {
        self.0.memory.map(|memory| memory.0)
    }

    fn write_access(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Fault { address, length, memory_size, .. } = self.0;
        match length {
            Some(length) => write!(f, "{}", ByteCount(length))?,
            None => f.write_str("an access")?,
        }
        // The machine reports the first byte outside, and what began before it looks the same.
        let across = if address == memory_size && length != Some(1) { " or across the end at" } else { "" };
        write!(f, " at{across} {address:#x}")
    }
}

impl fmt::Display for MemoryFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write_access(f)?;
        match self.memory_index() {
            Some(index) => write!(f, ", memory {index}")?,
            None => f.write_str(", the memory")?,
        }
        let size = self.memory_size();
        write!(f, " is {} ({})", PageCount(size / WASM_PAGE_SIZE), ByteCount(size))
    }
}

impl std::error::Error for MemoryFault {}

/// What the embedder gets for a run that did not return.
#[cold]
pub(crate) fn from_exit(exit: Exit) -> Error {
    match exit {
        Exit::Trap { trap, fault, stack } => {
            let error = match fault {
                Some(fault) => Error::new(trap).context(MemoryFault(fault)),
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
