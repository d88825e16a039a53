//! Errors: `anyhow`'s type (one pointer wide, with context), and what a guest's end becomes in it.

use crate::fault_hint::FaultHint;
use crate::{KillReason, Killed, Limit, LimitExceeded, ThrownException, Trap, WasmBacktrace, WasmCoreDump};
use belljar_core::{ByteCount, PageCount, WASM_PAGE_SIZE};
use belljar_vm::{Exit, Fault, FaultAddress, RawStack, SegmentPart, StoreCore};
use std::fmt;
use std::time::Duration;

/// Any error of belljar or of a host function.
///
/// What a guest's run ended with can be taken out of it: a [`crate::Trap`], a [`WasmBacktrace`], a [`WasmCoreDump`] if the
/// engine makes them, the host function's own error, or `I32Exit` of the WASI crate:
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
/// let expected = "4 bytes at 0x41414141, memory 0 is 17 pages (1088 KiB); \
///     the address reads as the text \"AAAA\": was text written over a pointer?";
/// assert_eq!(fault.to_string(), expected);
/// # Ok(())
/// # }
/// ```
///
/// The last clause is there where an address far outside looks like something: text, what debug allocators fill memory with, a negative
/// number, or a guest's stack that was used up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MemoryFault {
    fault: Fault,
    hint: Option<FaultHint>,
}

impl MemoryFault {
    /// The address at which the access began; `None` where only the result of a comparison is left of it. Of a
    /// load or store at or across the memory's end, the end: the machine does not say where it began.
    pub fn address(&self) -> Option<u64> {
        match self.fault.address {
            FaultAddress::Start(address) | FaultAddress::End(address) => Some(address),
            FaultAddress::Unknown => None,
        }
    }

    /// How many bytes were to be read or written, where that is known.
    pub fn access_size(&self) -> Option<u64> {
        self.fault.length
    }

    /// The memory's size in bytes at that time.
    pub fn memory_size(&self) -> u64 {
        self.fault.memory_size
    }

    /// The memory's index in the module of the innermost function, or the one that was being instantiated, where
    /// it is known.
    pub fn memory_index(&self) -> Option<u32> {
        self.fault.memory.map(|memory| memory.0)
    }

    /// The index of the data segment that was being copied, by `memory.init` or at instantiation. If the bytes do
    /// not lie within the segment, that was the reason for the trap.
    pub fn data_segment(&self) -> Option<u32> {
        self.fault.source.map(|source| source.segment.0)
    }

    /// The part of a data segment that was to be copied, if the segment does not have it.
    fn missing_source(&self) -> Option<SegmentPart> {
        let length = self.fault.length?;
        self.fault.source.filter(|source| source.start.saturating_add(length) > source.size)
    }

    fn write_access(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(length) = self.fault.length {
            write!(f, "{} ", ByteCount(length))?;
        }
        if let Some(segment) = self.data_segment() {
            write!(f, "of data segment {segment} ")?;
        }
        match self.fault.address {
            FaultAddress::Start(address) => write!(f, "at {address:#x}"),
            FaultAddress::End(address) => write!(f, "at or across the end at {address:#x}"),
            FaultAddress::Unknown => f.write_str("at an unknown address"),
        }
    }
}

impl fmt::Display for MemoryFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(SegmentPart { segment, start, size }) = self.missing_source() {
            let length = ByteCount(self.fault.length.unwrap_or_default());
            write!(f, "{length} at {start:#x} of data segment {}, which ", segment.0)?;
            return match size {
                0 => f.write_str("is dropped or empty"),
                size => write!(f, "has {}", ByteCount(size)),
            };
        }
        self.write_access(f)?;
        match self.memory_index() {
            Some(index) => write!(f, ", memory {index}")?,
            None => f.write_str(", the memory")?,
        }
        let size = self.memory_size();
        write!(f, " is {} ({})", PageCount(size / WASM_PAGE_SIZE), ByteCount(size))?;
        match self.hint {
            Some(hint) => write!(f, "; {hint}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for MemoryFault {}

/// What the embedder gets for a run that did not return.
#[cold]
pub(crate) fn from_exit(exit: Exit, core: &StoreCore) -> Error {
    let exceeded = exceeded_by(&exit, core);
    let error = match exit {
        Exit::Trap { trap, fault, stack } => {
            let error = match fault {
                Some(fault) => {
                    let hint = FaultHint::of(&fault, &stack, core);
                    Error::new(trap).context(MemoryFault { fault, hint })
                }
                // Of all that interrupts a guest, this alone is a trap of its own code.
                None if trap == Trap::Interrupt => Error::new(trap).context("the epoch deadline passed"),
                None => Error::new(trap),
            };
            let error = match trap == Trap::StackOverflow && !core.is_running() {
                true => told_of_small_stack(error, core),
                false => error,
            };
            with_stack(error, &stack, core)
        }
        Exit::Error { error, stack } => with_stack(error, &stack, core),
        Exit::Killed { reason, stack } => {
            with_stack(Error::new(crate::Trap::Interrupt).context(Killed::new(reason)), &stack, core)
        }
        Exit::Exception { thrown, stack } => with_stack(ThrownException::new(thrown).into(), &stack, core),
    };
    match exceeded {
        Some(exceeded) if !error.is::<LimitExceeded>() => error.context(exceeded),
        _ => error,
    }
}

/// Less native stack than this was the thread's fault, and not the guest's, that has overflowed it.
const LITTLE_STACK: usize = 32 << 10;

fn told_of_small_stack(error: Error, core: &StoreCore) -> Error {
    let had = core.stack_for_guests();
    if had >= LITTLE_STACK.min(core.runtime().stack_size()) {
        return error;
    }
    error.context(format!(
        "the thread that called the guest had {} of stack left for it, as 128 KiB are kept for the host: call guests on a thread \
         with more (std::thread::Builder::stack_size)",
        ByteCount(had as u64)
    ))
}

/// The limit of the store that ended a run, if it was one that the guest cannot be told of.
fn exceeded_by(exit: &Exit, core: &StoreCore) -> Option<LimitExceeded> {
    let quota = core.quota()?;
    let is = |limit: Limit, time: &Duration| quota.get(limit).map(Duration::from_nanos) == Some(*time);
    let engines_stack = core.runtime().stack_size() as u64;
    let limit = match exit {
        Exit::Trap { trap: Trap::OutOfFuel, .. } => Limit::Fuel,
        Exit::Trap { trap: Trap::StackOverflow, .. } if quota.get(Limit::Stack)? <= engines_stack => {
            Limit::Stack
        }
        Exit::Killed { reason: KillReason::WallTime(time), .. } if is(Limit::Wall, time) => Limit::Wall,
        Exit::Killed { reason: KillReason::CpuTime(time), .. } if is(Limit::Cpu, time) => Limit::Cpu,
        _ => return None,
    };
    quota.used_up(limit)
}

/// Adds the guest's stack, and a core dump if one is wanted, unless a deeper run's are there already.
fn with_stack(error: Error, stack: &RawStack, core: &StoreCore) -> Error {
    let is_known = error.is::<WasmBacktrace>() || error.is::<WasmCoreDump>();
    let no_guest_ran = stack.frames().is_empty();
    // Segments trap before there is a stack.
    if is_known || no_guest_ran && !error.is::<Trap>() {
        return error;
    }
    let error = match core.runtime().dumps_cores() {
        true => error.context(WasmCoreDump::new(core, stack)),
        false => error,
    };
    if no_guest_ran { error } else { error.context(WasmBacktrace::new(stack)) }
}
