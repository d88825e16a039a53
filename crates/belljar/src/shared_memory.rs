//! Memories that many stores, on many threads, use at once.

use crate::memory::MemoryAccessError;
use crate::{Engine, MemoryType, Result, Trap};
pub use belljar_vm::WaitResult;
use std::fmt;
use std::time::Duration;

/// A linear memory that belongs to no store: all stores of its engine may import it, on any number of threads.
///
/// It takes address space for its maximum at once and never moves; it is gone when the last handle and the last
/// store that uses it are. Guests write it at any time, so that there are no slices of it: see
/// [`SharedMemory::data`].
///
/// Its own limit is the maximum of its type. When a guest grows it, the limiter of that guest's store is asked as
/// well ([`crate::Store::limiter`]), as it is when a module that defines a shared memory is instantiated. A limiter
/// cannot grow the memory that it is being asked about.
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
    /// A new memory of its type's minimum size, all zero.
    ///
    /// # Errors
    ///
    /// Where the type is not shared, or the machine has no room for its maximum.
    pub fn new(engine: &Engine, ty: MemoryType) -> Result<Self> {
        Ok(Self { memory: belljar_vm::SharedMemory::new(engine.runtime(), ty, engine.reserves_memory())? })
    }

    pub(crate) fn from_vm(memory: belljar_vm::SharedMemory) -> Self {
        Self { memory }
    }

    pub(crate) fn vm(&self) -> &belljar_vm::SharedMemory {
        &self.memory
    }

    /// Its type, as declared.
    pub fn ty(&self) -> MemoryType {
        self.memory.ty()
    }

    /// Its size in pages. Another thread may have grown it since.
    pub fn size(&self) -> u64 {
        self.data_size() as u64 / self.page_size()
    }

    /// Bytes of a page: 65536, or 1 where its type says so.
    pub fn page_size(&self) -> u64 {
        self.ty().page_size()
    }

    /// The power of two that the page size is.
    pub fn page_size_log2(&self) -> u8 {
        self.ty().page_size_log2()
    }

    /// Its size in bytes. Another thread may have grown it since.
    pub fn data_size(&self) -> usize {
        self.memory.length()
    }

    /// Its bytes, to be copied or accessed atomically.
    pub fn data(&self) -> SharedData<'_> {
        SharedData { memory: &self.memory }
    }

    /// Makes it `delta` pages larger. Returns the size before.
    ///
    /// # Errors
    ///
    /// Where its type or the machine says no, or it is being grown by this very thread: by a limiter.
    pub fn grow(&self, delta: u64) -> Result<u64> {
        self.memory.grow(delta, None)?.ok_or_else(|| {
            anyhow::anyhow!(
                "could not grow the shared memory by {delta} pages: it has {} and may have {}",
                self.size(),
                self.ty().page_limit()
            )
        })
    }

    /// Wakes at most `count` of the threads that wait at an address, those first that have waited longest. How many
    /// it were: as `memory.atomic.notify`.
    ///
    /// # Errors
    ///
    /// Where the address is no multiple of 4 or outside.
    pub fn atomic_notify(&self, address: u64, count: u32) -> Result<u32, Trap> {
        self.memory.notify(address, count)
    }

    /// Waits until somebody notifies those at an address, if the memory holds `expected` there: as
    /// `memory.atomic.wait32`. Without a timeout, for as long as that takes.
    ///
    /// # Errors
    ///
    /// Where the address is no multiple of 4 or outside.
    pub fn atomic_wait32(
        &self,
        address: u64,
        expected: u32,
        timeout: Option<Duration>,
    ) -> Result<WaitResult, Trap> {
        only_traps(self.memory.wait32(address, expected, timeout, None))
    }

    /// As [`SharedMemory::atomic_wait32`], with 64 bits.
    ///
    /// # Errors
    ///
    /// Where the address is no multiple of 8 or outside.
    pub fn atomic_wait64(
        &self,
        address: u64,
        expected: u64,
        timeout: Option<Duration>,
    ) -> Result<WaitResult, Trap> {
        only_traps(self.memory.wait64(address, expected, timeout, None))
    }
}

/// What a wait that nothing interrupts ends with.
fn only_traps(outcome: Result<WaitResult>) -> Result<WaitResult, Trap> {
    outcome.map_err(|error| error.downcast().unwrap_or(Trap::Interrupt))
}

/// The bytes of a [`SharedMemory`], which other threads may write at any time: a copy is of no one moment, and what
/// must be is read atomically. Numbers are little-endian, atomic accesses sequentially consistent.
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
/// assert_eq!(data.load_u32(2), Err(Trap::UnalignedAtomic));
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
    /// How many there are. They may become more, never fewer.
    pub fn len(&self) -> usize {
        self.memory.length()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Copies bytes out.
    ///
    /// # Errors
    ///
    /// Where the range is not inside; nothing is copied then.
    pub fn read(&self, offset: usize, buffer: &mut [u8]) -> Result<(), MemoryAccessError> {
        match self.memory.read(offset as u64, buffer) {
            true => Ok(()),
            false => Err(MemoryAccessError::new(offset, buffer.len(), self.len())),
        }
    }

    /// Copies bytes in.
    ///
    /// # Errors
    ///
    /// Where the range is not inside; nothing is copied then.
    pub fn write(&self, offset: usize, buffer: &[u8]) -> Result<(), MemoryAccessError> {
        match self.memory.write(offset as u64, buffer) {
            true => Ok(()),
            false => Err(MemoryAccessError::new(offset, buffer.len(), self.len())),
        }
    }

    /// Writes a byte over a range.
    ///
    /// # Errors
    ///
    /// Where the range is not inside; nothing is written then.
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
        /// [`Trap::UnalignedAtomic`] where the address is no multiple of the number's size,
        /// [`Trap::MemoryOutOfBounds`] where it is outside.
        impl SharedData<'_> {
            $(
                /// Reads a number.
                ///
                /// # Errors
                ///
                /// Where the address is unaligned or outside.
                pub fn $load(&self, address: u64) -> Result<$ty, Trap> {
                    self.memory.$load(address)
                }

                /// Writes a number.
                ///
                /// # Errors
                ///
                /// Where the address is unaligned or outside.
                pub fn $store(&self, address: u64, value: $ty) -> Result<(), Trap> {
                    self.memory.$store(address, value)
                }

                /// Replaces a number. The old one.
                ///
                /// # Errors
                ///
                /// Where the address is unaligned or outside.
                pub fn $swap(&self, address: u64, value: $ty) -> Result<$ty, Trap> {
                    self.memory.$swap(address, value)
                }

                /// Adds to a number, which wraps around. The old one.
                ///
                /// # Errors
                ///
                /// Where the address is unaligned or outside.
                pub fn $add(&self, address: u64, value: $ty) -> Result<$ty, Trap> {
                    self.memory.$add(address, value)
                }

                /// Replaces a number if it is `expected`. The old one, which tells whether it was.
                ///
                /// # Errors
                ///
                /// Where the address is unaligned or outside.
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
