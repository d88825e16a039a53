//! Linear memories as the host reads, writes and grows them.

use crate::store::check_store;
use crate::{AsContext, AsContextMut, MemoryType, Result, StoreContext, StoreContextMut};
use belljar_vm::StoreId;
use std::fmt;

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

/// An access by the host outside a memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MemoryAccessError {
    offset: usize,
    length: usize,
    size: usize,
}

impl fmt::Display for MemoryAccessError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "out of bounds memory access: {} bytes at {:#x}, and the memory has {:#x} bytes",
            self.length, self.offset, self.size
        )
    }
}

impl std::error::Error for MemoryAccessError {}

impl MemoryAccessError {
    pub(crate) fn new(offset: usize, length: usize, size: usize) -> Self {
        Self { offset, length, size }
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

    /// Its bytes, to be written.
    pub fn data_mut<'a, T: 'static>(&self, store: impl Into<StoreContextMut<'a, T>>) -> &'a mut [u8] {
        let core = store.into().0.core_mut();
        check_store(self.store, core, "Memory");
        core.memory_data_mut(self.id)
    }

    /// Its bytes, and the embedder's data beside them.
    pub fn data_and_store_mut<'a, T: 'static>(
        &self,
        store: impl Into<StoreContextMut<'a, T>>,
    ) -> (&'a mut [u8], &'a mut T) {
        let (core, data) = store.into().0.split();
        check_store(self.store, core, "Memory");
        (core.memory_data_mut(self.id), data)
    }

    /// Its size in bytes.
    pub fn data_size(&self, store: impl AsContext) -> usize {
        self.data(&store).len()
    }

    /// Its size in pages.
    pub fn size(&self, store: impl AsContext) -> u64 {
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
        let old = store.0.memory_grow(self.id, delta)?;
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
        let error = MemoryAccessError { offset, length, size: data.len() };
        let end = offset.checked_add(length).ok_or(error)?;
        buffer.copy_from_slice(data.get(offset..end).ok_or(error)?);
        Ok(())
    }

    /// Copies bytes into it.
    ///
    /// # Errors
    ///
    /// Where the range is not inside; nothing is copied then.
    pub fn write(
        &self,
        mut store: impl AsContextMut,
        offset: usize,
        buffer: &[u8],
    ) -> Result<(), MemoryAccessError> {
        let data = self.data_mut(&mut store);
        let length = buffer.len();
        let error = MemoryAccessError { offset, length, size: data.len() };
        let end = offset.checked_add(length).ok_or(error)?;
        data.get_mut(offset..end).ok_or(error)?.copy_from_slice(buffer);
        Ok(())
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
