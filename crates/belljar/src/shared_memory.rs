//! Memories that many stores, on many threads, use at once.

use crate::memory::MemoryAccessError;
use crate::{Engine, MemoryType, Result, Trap};
use belljar_core::PageCount;
pub use belljar_vm::WaitResult;
use std::fmt;
use std::time::Duration;

/// A linear memory that belongs to no store: all stores of its engine may import it, on any number of threads.
///
/// It reserves address space for its maximum size when it is created, and never moves. It is dropped with its last
/// handle and the last store that uses it. Guests may write to it at any time, so there are no slices of it: see
/// [`SharedMemory::data`].
///
/// Its limit is the maximum of its type. When a guest grows it, and when a module that defines a shared memory is
/// instantiated, the limiter of the guest's store must allow it as well ([`crate::Store::limiter`]). A limiter cannot
/// grow the memory whose growth it is deciding.
///
/// ```
/// use belljar::{Config, Engine, Linker, MemoryType, Module, SharedMemory, Store};
/// let engine = Engine::new(Config::new().wasm_threads(true))?;
/// let module = Module::new(&engine, r#"(module
///     (import "host" "memory" (memory 1 1 shared))
///     (func (export "count") (drop (i32.atomic.rmw.add (i32.const 8) (i32.const 1)))))"#)?;
/// let memory = SharedMemory::new(&engine, MemoryType::shared(1, 1))?;
/// std::thread::scope(|scope| {
///     let count = || {
///         let mut store = Store::new(&engine, ());
///         let mut linker = Linker::new(&engine);
///         linker.define(&store, "host", "memory", memory.clone())?;
///         let instance = linker.instantiate(&mut store, &module)?;
///         instance.get_typed_func::<(), ()>(&mut store, "count")?.call(&mut store, ())
///     };
///     let threads = [scope.spawn(count), scope.spawn(count)];
///     threads.into_iter().try_for_each(|thread| thread.join().expect("no panic"))
/// })?;
/// assert_eq!(memory.data().load_u32(8)?, 2);
/// # Ok::<(), belljar::Error>(())
/// ```
#[derive(Clone)]
pub struct SharedMemory {
    memory: belljar_vm::SharedMemory,
}

impl fmt::Debug for SharedMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedMemory").field("ty", &self.ty()).field("size", &self.size()).finish()
    }
}

impl SharedMemory {
    /// Creates a memory of its type's minimum size, filled with zeros.
    ///
    /// # Errors
    ///
    /// Returns an error if the type is not shared, or if there is no address space for its maximum.
    pub fn new(engine: &Engine, ty: MemoryType) -> Result<Self> {
        Ok(Self { memory: belljar_vm::SharedMemory::new(engine.runtime(), ty, engine.reserves_memory())? })
    }

    pub(crate) fn from_vm(memory: belljar_vm::SharedMemory) -> Self {
        Self { memory }
    }

    pub(crate) fn vm(&self) -> &belljar_vm::SharedMemory {
        &self.memory
    }

    /// Returns the memory's declared type.
    pub fn ty(&self) -> MemoryType {
        self.memory.ty()
    }

    /// Returns the memory's size in pages. Another thread may have grown it since.
    pub fn size(&self) -> u64 {
        self.data_size() as u64 / self.page_size()
    }

    /// Returns the bytes per page: 65536, or 1 if the type says so.
    pub fn page_size(&self) -> u64 {
        self.ty().page_size()
    }

    /// Returns the base-2 logarithm of the page size.
    pub fn page_size_log2(&self) -> u8 {
        self.ty().page_size_log2()
    }

    /// Returns the memory's size in bytes. Another thread may have grown it since.
    pub fn data_size(&self) -> usize {
        self.memory.length()
    }

    /// Returns the memory's bytes, to be copied or accessed atomically.
    pub fn data(&self) -> SharedData<'_> {
        SharedData { memory: &self.memory }
    }

    /// Grows the memory by `delta` pages. Returns the previous size in pages.
    ///
    /// # Errors
    ///
    /// Returns an error if the memory's type or the operating system do not allow it, or if this thread is already
    /// growing the memory (in a limiter).
    pub fn grow(&self, delta: u64) -> Result<u64> {
        self.memory.grow(delta, None)?.ok_or_else(|| {
            belljar_core::format_err!(
                "could not grow the shared memory by {}: it has {} and may have {}",
                PageCount(delta),
                self.size(),
                self.ty().page_limit()
            )
        })
    }

    /// Wakes at most `count` threads that wait at an address, in the order in which they began to wait. Returns how
    /// many were woken, as `memory.atomic.notify` does.
    ///
    /// # Errors
    ///
    /// Returns an error if the address is not a multiple of 4, or is out of bounds.
    pub fn atomic_notify(&self, address: u64, count: u32) -> Result<u32, Trap> {
        self.memory.notify(address, count)
    }

    /// Waits, if the memory holds `expected` at an address, until another thread notifies that address or the timeout
    /// passes, as `memory.atomic.wait32` does. Without a timeout, it waits indefinitely.
    ///
    /// # Errors
    ///
    /// Returns an error if the address is not a multiple of 4, or is out of bounds.
    pub fn atomic_wait32(
        &self,
        address: u64,
        expected: u32,
        timeout: Option<Duration>,
    ) -> Result<WaitResult, Trap> {
        only_traps(self.memory.wait32(address, expected, timeout, None))
    }

    /// Waits as [`SharedMemory::atomic_wait32`] does, but compares 64 bits.
    ///
    /// # Errors
    ///
    /// Returns an error if the address is not a multiple of 8, or is out of bounds.
    pub fn atomic_wait64(
        &self,
        address: u64,
        expected: u64,
        timeout: Option<Duration>,
    ) -> Result<WaitResult, Trap> {
        only_traps(self.memory.wait64(address, expected, timeout, None))
    }
}

/// Returns the outcome of a wait that cannot be interrupted, which fails only with traps.
fn only_traps(outcome: Result<WaitResult>) -> Result<WaitResult, Trap> {
    outcome.map_err(|error| error.downcast().unwrap_or(Trap::Interrupt))
}

/// The bytes of a [`SharedMemory`], which other threads may write at any time. A copy may mix bytes of different
/// moments; read atomically what must be consistent. Numbers are little-endian, and atomic accesses are sequentially
/// consistent.
///
/// ```
/// use belljar::{Engine, MemoryType, SharedMemory, Trap};
/// let memory = SharedMemory::new(&Engine::default(), MemoryType::shared(1, 1))?;
/// let data = memory.data();
/// data.write(3, b"jar")?;
/// assert_eq!(data.fetch_add_u8(5, 1)?, b'r');
/// let mut copy = [0; 3];
/// data.read(3, &mut copy)?;
/// assert_eq!(&copy, b"jas");
/// assert_eq!(data.load_u32(2), Err(Trap::HeapMisaligned));
/// assert!(data.read(65534, &mut copy).is_err());
/// # Ok::<(), belljar::Error>(())
/// ```
#[derive(Clone, Copy)]
pub struct SharedData<'a> {
    memory: &'a belljar_vm::SharedMemory,
}

impl fmt::Debug for SharedData<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedData").field("len", &self.len()).finish()
    }
}

impl SharedData<'_> {
    /// Returns the number of bytes. It may increase, but never decreases.
    pub fn len(&self) -> usize {
        self.memory.length()
    }

    /// Returns whether there are no bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Copies bytes from the memory to `buffer`.
    ///
    /// # Errors
    ///
    /// Returns an error, and copies nothing, if the range is out of bounds.
    pub fn read(&self, offset: usize, buffer: &mut [u8]) -> Result<(), MemoryAccessError> {
        match self.memory.read(offset as u64, buffer) {
            true => Ok(()),
            false => Err(MemoryAccessError::new(offset, buffer.len(), self.len())),
        }
    }

    /// Copies bytes from `buffer` to the memory.
    ///
    /// # Errors
    ///
    /// Returns an error, and copies nothing, if the range is out of bounds.
    pub fn write(&self, offset: usize, buffer: &[u8]) -> Result<(), MemoryAccessError> {
        match self.memory.write(offset as u64, buffer) {
            true => Ok(()),
            false => Err(MemoryAccessError::new(offset, buffer.len(), self.len())),
        }
    }

    /// Sets all bytes of a range to `value`.
    ///
    /// # Errors
    ///
    /// Returns an error, and writes nothing, if the range is out of bounds.
    pub fn fill(&self, offset: usize, length: usize, value: u8) -> Result<(), MemoryAccessError> {
        match self.memory.fill(offset as u64, length, value) {
            true => Ok(()),
            false => Err(MemoryAccessError::new(offset, length, self.len())),
        }
    }
}

macro_rules! atomics {
    ($($ty:ident $load:ident $store:ident $swap:ident $add:ident $exchange:ident;)*) => {
        /// Atomic accesses.
        ///
        /// # Errors
        ///
        /// Returns [`Trap::HeapMisaligned`] if the address is not a multiple of the number's size, or
        /// [`Trap::MemoryOutOfBounds`] if it is out of bounds.
        impl SharedData<'_> {
            $(
                /// Loads a number.
                ///
                /// # Errors
                ///
                /// Returns an error if the address is unaligned or out of bounds.
                pub fn $load(&self, address: u64) -> Result<$ty, Trap> {
                    self.memory.$load(address)
                }

                /// Stores a number.
                ///
                /// # Errors
                ///
                /// Returns an error if the address is unaligned or out of bounds.
                pub fn $store(&self, address: u64, value: $ty) -> Result<(), Trap> {
                    self.memory.$store(address, value)
                }

                /// Replaces a number. Returns the previous value.
                ///
                /// # Errors
                ///
                /// Returns an error if the address is unaligned or out of bounds.
                pub fn $swap(&self, address: u64, value: $ty) -> Result<$ty, Trap> {
                    self.memory.$swap(address, value)
                }

                /// Adds to a number, wrapping around on overflow. Returns the previous value.
                ///
                /// # Errors
                ///
                /// Returns an error if the address is unaligned or out of bounds.
                pub fn $add(&self, address: u64, value: $ty) -> Result<$ty, Trap> {
                    self.memory.$add(address, value)
                }

                /// Replaces a number if it is `expected`. Returns the previous value, which tells whether it was.
                ///
                /// # Errors
                ///
                /// Returns an error if the address is unaligned or out of bounds.
                pub fn $exchange(&self, address: u64, expected: $ty, value: $ty) -> Result<$ty, Trap> {
                    self.memory.$exchange(address, expected, value)
                }
            )*
        }
    };
}

atomics! {
    u8 load_u8 store_u8 swap_u8 fetch_add_u8 compare_exchange_u8;
    u16 load_u16 store_u16 swap_u16 fetch_add_u16 compare_exchange_u16;
    u32 load_u32 store_u32 swap_u32 fetch_add_u32 compare_exchange_u32;
    u64 load_u64 store_u64 swap_u64 fetch_add_u64 compare_exchange_u64;
}
