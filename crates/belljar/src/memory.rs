//! Linear memories: reading, writing and growing them.

use crate::context::check_store;
use crate::guest_ranges::GuestRanges;
use crate::host_write::Refused;
use crate::{AsContext, AsContextMut, MemoryType, Result, StoreContext, StoreContextMut};
use belljar_core::{Counted, PageCount};
use belljar_vm::StoreId;
use std::fmt;
use std::ops::Range;

/// A linear memory of a store.
///
/// Its bytes are borrowed through the store, so that no slice outlives a call or a growth:
///
/// ```
/// use belljar::{Engine, Memory, MemoryType, Store};
/// let engine = Engine::default();
/// let mut store = Store::new(&engine, ());
/// let memory = Memory::new(&mut store, MemoryType::new(1, Some(2)))?;
/// memory.write(&mut store, 100, b"jar")?;
/// assert_eq!(&memory.data(&store)[100..103], b"jar");
/// assert_eq!(memory.grow(&mut store, 1)?, 1);
/// assert!(memory.grow(&mut store, 1).is_err());
/// # Ok::<(), belljar::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Memory {
    store: StoreId,
    id: usize,
}

/// An access by the host that failed, because it was out of bounds or because
/// [`Config::host_write_check`](crate::Config::host_write_check) refused it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MemoryAccessError {
    offset: usize,
    length: usize,
    size: usize,
    reason: Reason,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Reason {
    OutsideMemory,
    OutsideBuffer,
    Refused(Refused),
}

impl fmt::Display for MemoryAccessError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { offset, length, size, reason } = *self;
        match reason {
            Reason::OutsideMemory => write!(
                f,
                "out of bounds memory access: {} at {offset:#x}, but the memory has {size:#x} bytes",
                Counted::of(length, "byte")
            ),
            Reason::OutsideBuffer => {
                let (length, size) = (Counted::of(length, "byte"), Counted::of(size, "byte"));
                write!(f, "outside the GuestBuf: {length} at {offset}, but it has {size}")
            }
            Reason::Refused(refused) => refused.write(f, offset as u64, length as u64),
        }
    }
}

impl std::error::Error for MemoryAccessError {}

impl MemoryAccessError {
    pub(crate) fn new(offset: usize, length: usize, size: usize) -> Self {
        Self { offset, length, size, reason: Reason::OutsideMemory }
    }

    pub(crate) fn new_in_buffer(offset: usize, length: usize, size: usize) -> Self {
        Self { offset, length, size, reason: Reason::OutsideBuffer }
    }

    /// Returns whether the range was outside the memory or the [`GuestBuf`](crate::GuestBuf). Otherwise the write was
    /// refused because the guest itself uses that memory.
    pub fn is_out_of_bounds(&self) -> bool {
        !matches!(self.reason, Reason::Refused(_))
    }
}

impl Memory {
    /// Creates a memory of its type's minimum size, filled with zeros.
    ///
    /// # Errors
    ///
    /// Returns an error if the store's limits or the operating system refuse the memory, or if the type is shared (see
    /// [`crate::SharedMemory`]).
    pub fn new(mut store: impl AsContextMut, ty: MemoryType) -> Result<Self> {
        let store = store.as_context_mut();
        let id = store.0.new_memory(ty)?;
        Ok(Self { store: store.0.core().id(), id })
    }

    /// Returns the memory's declared type.
    pub fn ty(&self, store: impl AsContext) -> MemoryType {
        let core = store.as_context().0.core();
        check_store(self.store, core, "Memory");
        core.memory_type(self.id)
    }

    /// Returns the memory's bytes.
    ///
    /// # Panics
    ///
    /// Panics if the memory belongs to another store, as do all methods here.
    pub fn data<'a, T: 'static>(&self, store: impl Into<StoreContext<'a, T>>) -> &'a [u8] {
        let core = store.into().0.core();
        check_store(self.store, core, "Memory");
        core.memory_data(self.id)
    }

    /// Returns the memory's bytes, for writing. [`Config::host_write_check`](crate::Config::host_write_check) does not
    /// apply, because the runtime cannot see which bytes are written. The same holds for
    /// [`Memory::data_and_store_mut`].
    pub fn data_mut<'a, T: 'static>(&self, store: impl Into<StoreContextMut<'a, T>>) -> &'a mut [u8] {
        let core = store.into().0.core_mut();
        check_store(self.store, core, "Memory");
        core.memory_data_mut(self.id)
    }

    /// Returns the memory's bytes, for writing, and the embedder's data.
    pub fn data_and_store_mut<'a, T: 'static>(
        &self,
        store: impl Into<StoreContextMut<'a, T>>,
    ) -> (&'a mut [u8], &'a mut T) {
        let (core, data) = store.into().0.split();
        check_store(self.store, core, "Memory");
        (core.memory_data_mut(self.id), data)
    }

    /// Returns the same as [`Memory::data_and_store_mut`], for callers that copy into the bytes, and that call
    /// [`Memory::prepare_for_kernel`] for bytes that the kernel writes.
    #[doc(hidden)]
    pub fn copied_data_and_store_mut<'a, T: 'static>(
        &self,
        store: impl Into<StoreContextMut<'a, T>>,
    ) -> (&'a mut [u8], &'a mut T) {
        let (core, data) = store.into().0.split();
        check_store(self.store, core, "Memory");
        (core.memory_copy_mut(self.id), data)
    }

    /// Makes bytes of [`Memory::copied_data_and_store_mut`] writable for the kernel: in a sandbox, pages may be
    /// write-protected to detect the first write, and system calls that write to them would fail with `EFAULT`.
    #[doc(hidden)]
    pub fn prepare_for_kernel(bytes: &mut [u8]) {
        belljar_vm::prepare_for_kernel(bytes);
    }

    /// Returns the memory's size in bytes.
    pub fn data_size(&self, store: impl AsContext) -> usize {
        self.data(&store).len()
    }

    /// Returns the memory's size in pages.
    pub fn size(&self, store: impl AsContext) -> u64 {
        let store = store.as_context();
        self.data_size(store) as u64 / self.page_size(store)
    }

    /// Returns the bytes per page: 65536, or 1 if the type says so.
    pub fn page_size(&self, store: impl AsContext) -> u64 {
        self.ty(store).page_size()
    }

    /// Returns the base-2 logarithm of the page size.
    pub fn page_size_log2(&self, store: impl AsContext) -> u8 {
        self.ty(store).page_size_log2()
    }

    /// Grows the memory by `delta` pages. Returns the previous size in pages.
    ///
    /// # Errors
    ///
    /// Returns an error if the memory's type, the store's limits or the operating system do not allow it.
    pub fn grow(&self, mut store: impl AsContextMut, delta: u64) -> Result<u64> {
        let store = store.as_context_mut();
        check_store(self.store, store.0.core(), "Memory");
        store.0.core_mut().forget_refusal();
        let before = store.0.core().memory_size(self.id) as u64;
        let old = store.0.memory_grow(self.id, delta)?;
        let core = store.0.core_mut();
        if old.is_some() && GuestRanges::are_checked(core) {
            let now = core.memory_size(self.id) as u64;
            GuestRanges::of_memory(core, self.id).declare(before..now);
        }
        old.ok_or_else(|| {
            if let Some(refusal) = store.0.core().refused() {
                return refusal.into_error();
            }
            let core = store.0.core();
            let ty = core.memory_type(self.id);
            let now = core.memory_data(self.id).len() as u64 / ty.page_size();
            belljar_core::format_err!(
                "could not grow the memory by {}: it has {now} and may have {}",
                PageCount(delta),
                ty.page_limit()
            )
        })
    }

    /// Copies bytes from the memory to `buffer`.
    ///
    /// # Errors
    ///
    /// Returns an error, and copies nothing, if the range is out of bounds.
    pub fn read(
        &self,
        store: impl AsContext,
        offset: usize,
        buffer: &mut [u8],
    ) -> Result<(), MemoryAccessError> {
        let data = self.data(&store);
        let length = buffer.len();
        let error = MemoryAccessError::new(offset, length, data.len());
        let end = offset.checked_add(length).ok_or(error)?;
        buffer.copy_from_slice(data.get(offset..end).ok_or(error)?);
        Ok(())
    }

    /// Copies bytes from `buffer` to the memory.
    ///
    /// # Errors
    ///
    /// Returns an error, and copies nothing, if the range is out of bounds, or if
    /// [`Config::host_write_check`](crate::Config::host_write_check) is on and the guest has not handed the range out.
    pub fn write(
        &self,
        mut store: impl AsContextMut,
        offset: usize,
        buffer: &[u8],
    ) -> Result<(), MemoryAccessError> {
        let core = store.as_context_mut().0.core_mut();
        check_store(self.store, core, "Memory");
        let length = buffer.len();
        let error = MemoryAccessError::new(offset, length, core.memory_size(self.id));
        let end = offset.checked_add(length).filter(|end| *end <= error.size).ok_or(error)?;
        if GuestRanges::are_checked(core)
            && let Some(refused) = Refused::find(core, self.id, offset as u64..end as u64)
        {
            return Err(MemoryAccessError { reason: Reason::Refused(refused), ..error });
        }
        core.memory_copy_mut(self.id).get_mut(offset..end).ok_or(error)?.copy_from_slice(buffer);
        Ok(())
    }

    /// Declares that the guest expects the host to write to a range, by convention or because the guest returned its
    /// address. Only [`Config::host_write_check`](crate::Config::host_write_check) uses this. The range may exceed the
    /// current size of the memory.
    ///
    /// ```
    /// use belljar::{Config, Engine, Instance, Module, Store};
    /// let engine = Engine::new(Config::new().host_write_check(true))?;
    /// let module = Module::new(&engine, r#"(module (memory (export "memory") 1) (data (i32.const 0) "mailbox:        "))"#)?;
    /// let mut store = Store::new(&engine, ());
    /// let memory = Instance::new(&mut store, &module, &[])?.get_memory(&mut store, "memory").unwrap();
    /// let error = memory.write(&mut store, 8, b"a letter").unwrap_err();
    /// assert!(error.to_string().contains("the guest's static data: data segment 0, 0x0..0x10"));
    /// memory.declare(&mut store, 8..16);
    /// memory.write(&mut store, 8, b"a letter")?;
    /// memory.undeclare(&mut store, 8..16);
    /// assert!(memory.write(&mut store, 8, b"a letter").is_err());
    /// # Ok::<(), belljar::Error>(())
    /// ```
    pub fn declare(&self, mut store: impl AsContextMut, range: Range<usize>) {
        let core = store.as_context_mut().0.core_mut();
        check_store(self.store, core, "Memory");
        GuestRanges::of_memory(core, self.id).declare(range.start as u64..range.end as u64);
    }

    /// Removes a range, or a part of one, from those of [`Memory::declare`].
    pub fn undeclare(&self, mut store: impl AsContextMut, range: Range<usize>) {
        let core = store.as_context_mut().0.core_mut();
        check_store(self.store, core, "Memory");
        GuestRanges::of_memory(core, self.id).undeclare(&(range.start as u64..range.end as u64));
    }

    pub(crate) fn from_id(store: StoreId, id: usize) -> Self {
        Self { store, id }
    }

    pub(crate) fn id(&self) -> usize {
        self.id
    }

    pub(crate) fn store(&self) -> StoreId {
        self.store
    }
}
