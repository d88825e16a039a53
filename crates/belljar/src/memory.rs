//! Linear memories as the host reads, writes and grows them.

use crate::context::check_store;
use crate::guest_ranges::GuestRanges;
use crate::host_write::Refused;
use crate::{AsContext, AsContextMut, MemoryType, Result, StoreContext, StoreContextMut};
use belljar_vm::StoreId;
use std::fmt;
use std::ops::Range;

/// A linear memory of a store.
///
/// Its bytes are borrowed through the store, so that no slice outlives growth or a call:
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

/// An access by the host that was not made: outside a memory, or refused by [`Config::host_write_check`](crate::Config::host_write_check).
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
                "out of bounds memory access: {length} bytes at {offset:#x}, and the memory has {size:#x} bytes"
            ),
            Reason::OutsideBuffer => {
                write!(f, "{length} bytes at {offset} do not lie within the GuestBuf, which has {size} bytes")
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

    /// Whether the range is not inside the memory, or the [`GuestBuf`](crate::GuestBuf). If it is, the write was refused, as the guest
    /// uses that memory itself.
    pub fn is_out_of_bounds(&self) -> bool {
        !matches!(self.reason, Reason::Refused(_))
    }
}

impl Memory {
    /// A new memory of its type's minimum size, all zero.
    ///
    /// # Errors
    ///
    /// Where the store's limits or the machine say no, or the type is that of a [`crate::SharedMemory`].
    pub fn new(mut store: impl AsContextMut, ty: MemoryType) -> Result<Self> {
        let store = store.as_context_mut();
        let id = store.0.new_memory(ty)?;
        Ok(Self { store: store.0.core().id(), id })
    }

    /// Its type, as declared.
    pub fn ty(&self, store: impl AsContext) -> MemoryType {
        let core = store.as_context().0.core();
        check_store(self.store, core, "Memory");
        core.memory_type(self.id)
    }

    /// Its bytes.
    ///
    /// # Panics
    ///
    /// If it belongs to another store, as all methods here.
    pub fn data<'a, T: 'static>(&self, store: impl Into<StoreContext<'a, T>>) -> &'a [u8] {
        let core = store.into().0.core();
        check_store(self.store, core, "Memory");
        core.memory_data(self.id)
    }

    /// Its bytes, to be written. Nobody sees which of them are: [`Config::host_write_check`](crate::Config::host_write_check) does
    /// not apply, as with [`Memory::data_and_store_mut`].
    pub fn data_mut<'a, T: 'static>(&self, store: impl Into<StoreContextMut<'a, T>>) -> &'a mut [u8] {
        let core = store.into().0.core_mut();
        check_store(self.store, core, "Memory");
        core.memory_data_mut(self.id)
    }

    /// Its bytes, to be written, and the embedder's data beside them.
    pub fn data_and_store_mut<'a, T: 'static>(
        &self,
        store: impl Into<StoreContextMut<'a, T>>,
    ) -> (&'a mut [u8], &'a mut T) {
        let (core, data) = store.into().0.split();
        check_store(self.store, core, "Memory");
        (core.memory_data_mut(self.id), data)
    }

    /// As [`Memory::data_and_store_mut`], for those who copy to it. What they hand to the kernel to be written they have prepared.
    #[doc(hidden)]
    pub fn copied_data_and_store_mut<'a, T: 'static>(
        &self,
        store: impl Into<StoreContextMut<'a, T>>,
    ) -> (&'a mut [u8], &'a mut T) {
        let (core, data) = store.into().0.split();
        check_store(self.store, core, "Memory");
        (core.memory_copy_mut(self.id), data)
    }

    /// Has the kernel write to bytes of [`Memory::copied_data_and_store_mut`]: in a sandbox pages can be protected to learn of the first
    /// write to them, and system calls fail there (`EFAULT`).
    #[doc(hidden)]
    pub fn prepare_for_kernel(bytes: &mut [u8]) {
        belljar_vm::prepare_for_kernel(bytes);
    }

    /// Its size in bytes.
    pub fn data_size(&self, store: impl AsContext) -> usize {
        self.data(&store).len()
    }

    /// Its size in pages.
    pub fn size(&self, store: impl AsContext) -> u64 {
        let store = store.as_context();
        self.data_size(&store) as u64 / self.page_size(&store)
    }

    /// Bytes of a page: 65536, or 1 where its type says so.
    pub fn page_size(&self, store: impl AsContext) -> u64 {
        self.ty(store).page_size()
    }

    /// The power of two that the page size is.
    pub fn page_size_log2(&self, store: impl AsContext) -> u8 {
        self.ty(store).page_size_log2()
    }

    /// Makes it `delta` pages larger. Returns the size before.
    ///
    /// # Errors
    ///
    /// Where its type, the store's limits or the machine say no.
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
            anyhow::anyhow!(
                "could not grow the memory by {delta} pages: it has {now} and may have {}",
                ty.page_limit()
            )
        })
    }

    /// Copies bytes out of it.
    ///
    /// # Errors
    ///
    /// Where the range is not inside; nothing is copied then.
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

    /// Copies bytes into it.
    ///
    /// # Errors
    ///
    /// Where the range is not inside, or, with [`Config::host_write_check`](crate::Config::host_write_check), the guest has not handed
    /// it out; nothing is copied then.
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

    /// Says that the guest expects the host to write to a range: it was agreed upon, or the guest has returned its address. Matters
    /// where [`Config::host_write_check`](crate::Config::host_write_check) is on. It may lie outside the memory as it is now.
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

    /// Takes back what [`Memory::declare`] said of a range, or of a part of one.
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
