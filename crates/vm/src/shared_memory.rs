//! Memories that several stores on several threads use at the same time.
//!
//! In: a type. Out: a handle that can be cloned and sent to other threads. Never: a reference to bytes. Other threads
//! write them at any time, so they are copied, or read and written atomically.

use crate::limits::ResourceLimiter;
use crate::machine::MemorySpace;
use crate::memory::{LinearMemory, MemoryImage};
use crate::parking::{Interruption, ParkingLot, WaitResult};
use crate::runtime::Runtime;
use crate::vm_ptr::VmPtr;
use belljar_abi::MemoryDef;
use belljar_core::{ByteCount, Context, MemoryType, PageCount, Trap};
use std::mem::offset_of;
use std::ops::Range;
use std::sync::atomic::{AtomicU8, AtomicU16, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::ThreadId;
use std::time::Duration;

/// A memory that belongs to no store. It is dropped with its last handle, including those of stores.
#[derive(Clone, Debug)]
pub struct SharedMemory(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    def: SharedDef,
    ty: MemoryType,
    is_reserved: bool,
    /// The size of its address space in bytes.
    room: usize,
    memory: Mutex<LinearMemory>,
    /// The thread that grows it. Without this, a limiter that grows the memory it is asked about would deadlock.
    grower: Mutex<Option<ThreadId>>,
    parking: ParkingLot,
    runtime: Weak<Runtime>,
}

/// A [`MemoryDef`] whose length other threads change. Compiled code of all stores reads this one.
#[derive(Debug)]
#[repr(C)]
struct SharedDef {
    base: usize,
    length: AtomicUsize,
}

const _: () = assert!(
    offset_of!(SharedDef, base) == offset_of!(MemoryDef, base)
        && offset_of!(SharedDef, length) == offset_of!(MemoryDef, length)
        && size_of::<SharedDef>() == size_of::<MemoryDef>()
);

impl SharedMemory {
    /// Creates a memory of its type's minimum size, with address space for its maximum, since it never moves.
    ///
    /// # Errors
    ///
    /// Returns an error if the type is not that of a shared memory, or the machine has no room.
    pub fn new(runtime: &Arc<Runtime>, ty: MemoryType, reserve: bool) -> belljar_core::Result<Self> {
        Self::with_image(runtime, ty, None, reserve)
    }

    pub(crate) fn with_image(
        runtime: &Arc<Runtime>,
        ty: MemoryType,
        image: Option<&Arc<MemoryImage>>,
        reserve: bool,
    ) -> belljar_core::Result<Self> {
        belljar_core::ensure!(
            ty.is_shared(),
            "expected the type of a shared memory, found {ty}, which is not shared"
        );
        belljar_core::ensure!(
            runtime.shared_memory,
            "the engine does not allow shared memories: allow them with Config::shared_memory(true)"
        );
        ty.check().context("a memory of this type cannot be created")?;
        let bytes = ty.minimum_bytes().unwrap_or(u64::MAX);
        runtime.take_memory(bytes)?;
        let length = usize::try_from(bytes).unwrap_or(usize::MAX);
        let memory = LinearMemory::new(ty, length, image, reserve, &runtime.memories).inspect_err(|_| {
            if runtime.limits_memory() {
                runtime.give_back_memory(bytes);
            }
        });
        let memory = memory.with_context(|| {
            format!(
                "the machine has no room for a shared memory of at most {} ({}): it is reserved whole, \
                 since it cannot move",
                PageCount(ty.page_limit()),
                ByteCount(ty.bytes(ty.page_limit()).unwrap_or(u64::MAX))
            )
        })?;
        let def = SharedDef { base: memory.base(), length: AtomicUsize::new(memory.length()) };
        let (is_reserved, room) = (memory.is_reserved(), memory.space().room);
        Ok(Self(Arc::new(Shared {
            def,
            ty,
            is_reserved,
            room,
            memory: Mutex::new(memory),
            grower: Mutex::default(),
            parking: ParkingLot::default(),
            runtime: Arc::downgrade(runtime),
        })))
    }

    /// Returns the declared type.
    pub fn ty(&self) -> MemoryType {
        self.0.ty
    }

    /// Returns whether two handles refer to the same memory.
    pub fn same(a: &Self, b: &Self) -> bool {
        Arc::ptr_eq(&a.0, &b.0)
    }

    /// Returns whether the memory belongs to this engine.
    pub fn is_of(&self, runtime: &Arc<Runtime>) -> bool {
        std::ptr::eq(self.0.runtime.as_ptr(), Arc::as_ptr(runtime))
    }

    /// Returns the number of accessible bytes. It never decreases.
    pub fn length(&self) -> usize {
        self.0.def.length.load(Ordering::SeqCst)
    }

    pub(crate) fn base(&self) -> usize {
        self.0.def.base
    }

    pub(crate) fn is_reserved(&self) -> bool {
        self.0.is_reserved
    }

    /// Returns whether an access that faulted at this address belongs to this memory.
    pub(crate) fn holds(&self, address: usize) -> bool {
        self.0.is_reserved && address.wrapping_sub(self.base()) < crate::memory::RESERVATION
    }

    /// Returns the memory's address space. Async-signal-safe.
    pub(crate) fn space(&self) -> MemorySpace {
        MemorySpace { base: self.base(), length: self.length(), room: self.0.room, is_shared: true }
    }

    /// Returns the [`MemoryDef`] that code reads. It stays in place while any handle lives.
    pub(crate) fn def(&self) -> VmPtr<MemoryDef> {
        VmPtr::expose(&raw const self.0.def).cast()
    }

    /// Grows the memory by pages. Returns the old size in pages, or `None` if growth is not allowed or fails.
    ///
    /// # Errors
    ///
    /// Returns the limiter's error.
    pub fn grow(
        &self,
        delta: u64,
        limiter: Option<&mut dyn ResourceLimiter>,
    ) -> belljar_core::Result<Option<u64>> {
        let Some(mut growing) = Growing::start(&self.0) else { return Ok(None) };
        let engine = self.0.runtime.upgrade().filter(|runtime| runtime.limits_memory());
        let mut account = Account { engine, taken: 0, limiter };
        let old = growing.memory.grow(delta, account.limiter())?;
        if old.is_some() {
            account.taken = 0;
        }
        // The pages are accessible now, so a thread that reads the new length may use them.
        self.0.def.length.store(growing.memory.length(), Ordering::SeqCst);
        Ok(old)
    }

    /// Returns the range of an access, if it is in bounds.
    fn range(&self, start: u64, length: usize) -> Option<Range<usize>> {
        let start = usize::try_from(start).ok()?;
        let end = start.checked_add(length)?;
        (end <= self.length()).then_some(start..end)
    }

    /// Returns the address of a byte, with provenance for the whole memory.
    fn at(&self, offset: usize) -> *mut u8 {
        VmPtr::at(self.base() + offset).as_ptr()
    }

    /// Copies bytes out of the memory. Returns `false` if the range is out of bounds.
    #[must_use]
    pub fn read(&self, start: u64, out: &mut [u8]) -> bool {
        let Some(range) = self.range(start, out.len()) else { return false };
        // SAFETY: the range is accessible and stays so (IN-BOUNDS, SHARED-BYTES); `out` belongs to the caller alone,
        // and so is no part of the memory.
        unsafe { out.as_mut_ptr().copy_from_nonoverlapping(self.at(range.start), out.len()) };
        true
    }

    /// Copies bytes into the memory. Returns `false`, with nothing copied, if the range is out of bounds.
    #[must_use]
    pub fn write(&self, start: u64, bytes: &[u8]) -> bool {
        let Some(range) = self.range(start, bytes.len()) else { return false };
        // SAFETY: as in `read`; there are no references to bytes of the memory, so `bytes` is no part of it.
        unsafe { self.at(range.start).copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) };
        true
    }

    /// Fills a range of the memory. Returns `false`, with nothing written, if the range is out of bounds.
    #[must_use]
    pub fn fill(&self, start: u64, length: usize, value: u8) -> bool {
        let Some(range) = self.range(start, length) else { return false };
        // SAFETY: the range is accessible and stays so (IN-BOUNDS, SHARED-BYTES).
        unsafe { self.at(range.start).write_bytes(value, range.len()) };
        true
    }

    /// Returns the offset of an aligned access of `size` bytes.
    fn aligned(&self, address: u64, size: usize) -> Result<usize, Trap> {
        if !address.is_multiple_of(size as u64) {
            return Err(Trap::HeapMisaligned);
        }
        self.range(address, size).map(|range| range.start).ok_or(Trap::MemoryOutOfBounds)
    }

    /// Waits at an address while the memory holds `expected` there.
    ///
    /// # Errors
    ///
    /// Returns a [`Trap`] if the address is unaligned or out of bounds, or the error of the interruption.
    pub fn wait32(
        &self,
        address: u64,
        expected: u32,
        timeout: Option<Duration>,
        interruption: Option<Interruption<'_>>,
    ) -> belljar_core::Result<WaitResult> {
        let cell = self.atomic_u32(address)?;
        let is_expected = || cell.load(Ordering::SeqCst) == expected;
        self.0.parking.wait(address, is_expected, timeout, interruption)
    }

    /// The same as [`SharedMemory::wait32`], with 64 bits.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`SharedMemory::wait32`].
    pub fn wait64(
        &self,
        address: u64,
        expected: u64,
        timeout: Option<Duration>,
        interruption: Option<Interruption<'_>>,
    ) -> belljar_core::Result<WaitResult> {
        let cell = self.atomic_u64(address)?;
        let is_expected = || cell.load(Ordering::SeqCst) == expected;
        self.0.parking.wait(address, is_expected, timeout, interruption)
    }

    /// Wakes at most `count` threads that wait at an address. Returns how many were woken.
    ///
    /// # Errors
    ///
    /// Returns an error if the address is unaligned or out of bounds.
    pub fn notify(&self, address: u64, count: u32) -> Result<u32, Trap> {
        self.aligned(address, 4)?;
        Ok(self.0.parking.notify(address, count))
    }
}

macro_rules! atomics {
    ($($cell:ident $ty:ident $atomic:ident $load:ident $store:ident $swap:ident $add:ident $exchange:ident;)*) => {
        impl SharedMemory {
            $(
                fn $cell(&self, address: u64) -> Result<&$atomic, Trap> {
                    let at = self.at(self.aligned(address, size_of::<$ty>())?).cast::<$ty>();
                    // SAFETY: the bytes are accessible while `self` exists (IN-BOUNDS, SHARED-BYTES), aligned as
                    // required since the base is page-aligned, and accessed only atomically or as raw bytes.
                    Ok(unsafe { $atomic::from_ptr(at) })
                }

                /// Reads a number atomically.
                ///
                /// # Errors
                ///
                /// Returns an error if the address is unaligned or out of bounds.
                pub fn $load(&self, address: u64) -> Result<$ty, Trap> {
                    self.$cell(address).map(|cell| cell.load(Ordering::SeqCst))
                }

                /// Writes a number atomically.
                ///
                /// # Errors
                ///
                /// Returns the errors of loads.
                pub fn $store(&self, address: u64, value: $ty) -> Result<(), Trap> {
                    self.$cell(address).map(|cell| cell.store(value, Ordering::SeqCst))
                }

                /// Replaces a number. Returns the old one.
                ///
                /// # Errors
                ///
                /// Returns the errors of loads.
                pub fn $swap(&self, address: u64, value: $ty) -> Result<$ty, Trap> {
                    self.$cell(address).map(|cell| cell.swap(value, Ordering::SeqCst))
                }

                /// Adds to a number, wrapping around on overflow. Returns the old one.
                ///
                /// # Errors
                ///
                /// Returns the errors of loads.
                pub fn $add(&self, address: u64, value: $ty) -> Result<$ty, Trap> {
                    self.$cell(address).map(|cell| cell.fetch_add(value, Ordering::SeqCst))
                }

                /// Replaces a number if it is `expected`. Returns the old one.
                ///
                /// # Errors
                ///
                /// Returns the errors of loads.
                pub fn $exchange(&self, address: u64, expected: $ty, value: $ty) -> Result<$ty, Trap> {
                    let cell = self.$cell(address)?;
                    let old = cell.compare_exchange(expected, value, Ordering::SeqCst, Ordering::SeqCst);
                    Ok(old.unwrap_or_else(|old| old))
                }
            )*
        }
    };
}

atomics! {
    atomic_u8 u8 AtomicU8 load_u8 store_u8 swap_u8 fetch_add_u8 compare_exchange_u8;
    atomic_u16 u16 AtomicU16 load_u16 store_u16 swap_u16 fetch_add_u16 compare_exchange_u16;
    atomic_u32 u32 AtomicU32 load_u32 store_u32 swap_u32 fetch_add_u32 compare_exchange_u32;
    atomic_u64 u64 AtomicU64 load_u64 store_u64 swap_u64 fetch_add_u64 compare_exchange_u64;
}

/// Exclusive permission to grow a memory.
struct Growing<'a> {
    shared: &'a Shared,
    memory: MutexGuard<'a, LinearMemory>,
}

impl<'a> Growing<'a> {
    /// Waits until no other thread grows the memory. Returns `None` if this thread is growing it.
    fn start(shared: &'a Shared) -> Option<Self> {
        let this = std::thread::current().id();
        if *shared.grower() == Some(this) {
            return None;
        }
        let memory = shared.memory.lock().unwrap_or_else(PoisonError::into_inner);
        *shared.grower() = Some(this);
        Some(Self { shared, memory })
    }
}

/// Takes the bytes by which a shared memory grows from its engine's quota, if the store's limiter agrees. Bytes that
/// are not used are returned.
struct Account<'a> {
    engine: Option<Arc<Runtime>>,
    taken: u64,
    limiter: Option<&'a mut dyn ResourceLimiter>,
}

impl Account<'_> {
    fn limiter(&mut self) -> Option<&mut dyn ResourceLimiter> {
        (self.engine.is_some() || self.limiter.is_some()).then_some(self)
    }
}

impl ResourceLimiter for Account<'_> {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> belljar_core::Result<bool> {
        if let Some(limiter) = &mut self.limiter
            && !limiter.memory_growing(current, desired, maximum)?
        {
            return Ok(false);
        }
        let more = desired.saturating_sub(current) as u64;
        match self.engine.as_ref().map_or(Ok(()), |engine| engine.take_memory(more)) {
            Ok(()) => {
                self.taken = more;
                Ok(true)
            }
            // A guest gets −1, the host an error.
            Err(_) if self.limiter.is_some() => Ok(false),
            Err(full) => Err(full.into()),
        }
    }

    fn memory_grow_failed(&mut self, error: belljar_core::Error) -> belljar_core::Result<()> {
        self.limiter.as_mut().map_or(Ok(()), |limiter| limiter.memory_grow_failed(error))
    }

    fn table_growing(&mut self, _: usize, _: usize, _: Option<usize>) -> belljar_core::Result<bool> {
        Ok(true)
    }
}

impl Drop for Account<'_> {
    fn drop(&mut self) {
        if let Some(engine) = self.engine.as_ref().filter(|_| self.taken > 0) {
            engine.give_back_memory(self.taken);
        }
    }
}

impl Drop for Growing<'_> {
    fn drop(&mut self) {
        *self.shared.grower() = None;
    }
}

impl Shared {
    fn grower(&self) -> MutexGuard<'_, Option<ThreadId>> {
        self.grower.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        if let Some(engine) = self.runtime.upgrade().filter(|engine| engine.limits_memory()) {
            engine.give_back_memory(self.def.length.load(Ordering::Relaxed) as u64);
        }
        // Any holder of a handle may have written to it.
        self.memory.get_mut().unwrap_or_else(PoisonError::into_inner).touch();
    }
}
