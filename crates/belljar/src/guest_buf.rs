//! Ranges of a guest's memory that the host owns, from the guest's allocator.
//!
//! In: a range that [`crate::GuestAlloc`] has checked. Out: reads and writes, and one release. Never: an access outside
//! of the range; a call of the guest from a destructor.

use crate::free_queue::Held;
use crate::guest_alloc::Inner;
use crate::{
    AsContext, AsContextMut, GuestAlloc, Memory, MemoryAccessError, Result, StoreContext, StoreContextMut,
};
use belljar_core::{Context, Counted, ensure};
use belljar_vm::{StoreCore, prepare_for_kernel};
use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use zerocopy::{FromBytes, Immutable, IntoBytes};

mod sealed {
    pub trait Sealed {}
}

/// Integers for guest addresses and lengths: `i32` and `u32`, and `i64` and `u64` for memories with 64-bit addresses.
pub trait GuestAddress: sealed::Sealed + Copy {
    #[doc(hidden)]
    fn to_address(self) -> u64;
    #[doc(hidden)]
    fn from_address(address: u64) -> Option<Self>;
}

macro_rules! guest_address {
    ($($ty:ident $unsigned:ident;)*) => {$(
        impl sealed::Sealed for $ty {}

        impl GuestAddress for $ty {
            fn to_address(self) -> u64 {
                u64::from(self as $unsigned)
            }

            fn from_address(address: u64) -> Option<Self> {
                $unsigned::try_from(address).ok().map(|address| address as $ty)
            }
        }
    )*};
}

guest_address! {
    i32 u32;
    u32 u32;
    i64 u64;
    u64 u64;
}

/// A range of a guest's memory that the host owns until it is freed. [`GuestAlloc`] creates them.
///
/// Its contents are copied in and out. The guest can access them as well, and may write to them whenever it runs. It is
/// freed once: by [`GuestBuf::free`], or, after a drop, at the next use of the allocator ([`GuestAlloc::release`]),
/// because a drop has no store in which to call the guest. When the store is dropped, unfreed buffers are dropped with
/// it. After a reset of a [`Sandbox`](crate::Sandbox), using an older buffer is an error, and dropping it does nothing.
///
/// ```
/// # use belljar::{Engine, GuestAlloc, Instance, Module, Store};
/// # let engine = Engine::default();
/// # let module = Module::new(&engine, r#"(module (memory 1) (global $top (mut i32) (i32.const 1024))
/// #     (func (export "malloc") (param i32) (result i32)
/// #         (global.get $top) (global.set $top (i32.add (global.get $top) (local.get 0))))
/// #     (func (export "free") (param i32)))"#)?;
/// # let mut store = Store::new(&engine, ());
/// # let instance = Instance::new(&mut store, &module, &[])?;
/// let alloc = GuestAlloc::find(&mut store, instance)?;
/// let buffer = alloc.alloc(&mut store, 24, 8)?;
/// buffer.write_slice(&mut store, 0, &[1.5, 2.5, 3.5_f64])?;
/// assert_eq!(buffer.to_vec::<f64>(&store)?, [1.5, 2.5, 3.5]);
/// assert!(buffer.write(&mut store, 20, b"too long").is_err());
/// buffer.free(&mut store)?;
/// # Ok::<(), belljar::Error>(())
/// ```
///
/// Freeing it twice does not compile:
///
/// ```compile_fail,E0382
/// # use belljar::{GuestBuf, Store};
/// fn twice(buffer: GuestBuf, store: &mut Store<()>) -> belljar::Result<()> {
///     buffer.free(&mut *store)?;
///     buffer.free(store)
/// }
/// ```
pub struct GuestBuf {
    alloc: Arc<Inner>,
    held: Held,
    ptr: u64,
    len: u64,
    /// Whether a drop queues it to be freed.
    is_owed: bool,
}

impl fmt::Debug for GuestBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GuestBuf")
            .field("ptr", &format_args!("{:#x}", self.ptr))
            .field("len", &self.len)
            .finish_non_exhaustive()
    }
}

impl GuestBuf {
    pub(crate) fn new(alloc: &Arc<Inner>, held: Held, ptr: u64, len: u64) -> Self {
        Self { alloc: alloc.clone(), held, ptr, len, is_owed: held.size != 0 }
    }

    /// Returns its address in the guest's memory.
    pub fn ptr(&self) -> u64 {
        self.ptr
    }

    /// Returns its length in bytes.
    pub fn len(&self) -> usize {
        self.len as usize
    }

    /// Returns whether it has no bytes.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Returns its address and length as parameters of a guest function: `i32` or `u32`, or `i64` or `u64` for 64-bit
    /// memories.
    ///
    /// # Errors
    ///
    /// Returns an error if a 64-bit address does not fit.
    pub fn as_params<A: GuestAddress>(&self) -> Result<(A, A)> {
        let params = A::from_address(self.ptr).zip(A::from_address(self.len));
        params.with_context(|| {
            format!("{:#x} and {} do not fit into 32 bits: the guest's addresses have 64", self.ptr, self.len)
        })
    }

    /// Returns the memory that contains it.
    ///
    /// # Errors
    ///
    /// Returns an error if the sandbox was reset since, or if it belongs to another store.
    pub fn memory(&self, store: impl AsContext) -> Result<Memory> {
        let core = store.as_context().0.core();
        self.alloc.check(core, "GuestBuf")?;
        Ok(Memory::from_id(core.id(), self.alloc.memory()))
    }

    /// Returns its bytes.
    ///
    /// # Errors
    ///
    /// Returns an error if the sandbox was reset since, or if it belongs to another store.
    pub fn bytes<'a, T: 'static>(&self, store: impl Into<StoreContext<'a, T>>) -> Result<&'a [u8]> {
        let core = store.into().0.core();
        let range = self.range(core)?;
        let data = core.memory_data(self.alloc.memory());
        data.get(range).context("belljar bug: a memory has shrunk")
    }

    /// Returns its bytes, for writing.
    ///
    /// # Errors
    ///
    /// Returns an error as [`GuestBuf::bytes`] does.
    pub fn bytes_mut<'a, T: 'static>(
        &self,
        store: impl Into<StoreContextMut<'a, T>>,
    ) -> Result<&'a mut [u8]> {
        let core = store.into().0.core_mut();
        let range = self.range(core)?;
        let data = core.memory_copy_mut(self.alloc.memory());
        let bytes = data.get_mut(range).context("belljar bug: a memory has shrunk")?;
        prepare_for_kernel(bytes);
        Ok(bytes)
    }

    fn range(&self, core: &StoreCore) -> Result<Range<usize>> {
        self.alloc.check(core, "GuestBuf")?;
        if self.is_empty() {
            // The address of an empty buffer is meaningless.
            return Ok(0..0);
        }
        Ok(self.ptr as usize..(self.ptr + self.len) as usize)
    }

    /// Copies bytes into it, starting at byte `offset`.
    ///
    /// # Errors
    ///
    /// Returns an error as [`GuestBuf::bytes`] does. Returns a [`MemoryAccessError`], and copies nothing, if the bytes
    /// do not fit.
    pub fn write(&self, mut store: impl AsContextMut, offset: usize, bytes: &[u8]) -> Result<()> {
        let range = self.part(offset, bytes.len())?;
        self.bytes_mut(&mut store)?[range].copy_from_slice(bytes);
        Ok(())
    }

    /// Copies bytes out of it, starting at byte `offset`.
    ///
    /// # Errors
    ///
    /// Returns an error as [`GuestBuf::write`] does.
    pub fn read(&self, store: impl AsContext, offset: usize, bytes: &mut [u8]) -> Result<()> {
        let range = self.part(offset, bytes.len())?;
        bytes.copy_from_slice(&self.bytes(&store)?[range]);
        Ok(())
    }

    /// Copies values into it, starting at byte `offset`. They have the same representation as in the host,
    /// little-endian.
    ///
    /// # Errors
    ///
    /// Returns an error as [`GuestBuf::write`] does.
    pub fn write_slice<V: IntoBytes + Immutable>(
        &self,
        store: impl AsContextMut,
        offset: usize,
        values: &[V],
    ) -> Result<()> {
        self.write(store, offset, values.as_bytes())
    }

    /// Copies values out of it, starting at byte `offset`.
    ///
    /// # Errors
    ///
    /// Returns an error as [`GuestBuf::write`] does.
    pub fn read_slice<V: FromBytes + IntoBytes>(
        &self,
        store: impl AsContext,
        offset: usize,
        values: &mut [V],
    ) -> Result<()> {
        self.read(store, offset, values.as_mut_bytes())
    }

    /// Returns all of its contents as values of a type.
    ///
    /// # Errors
    ///
    /// Returns an error as [`GuestBuf::bytes`] does, or if its length is not a multiple of the type's size.
    pub fn to_vec<V: FromBytes>(&self, store: impl AsContext) -> Result<Vec<V>> {
        let size = size_of::<V>();
        ensure!(
            size != 0 && self.len().is_multiple_of(size),
            "a buffer of {} cannot be divided into values of {size}",
            Counted(self.len, "byte")
        );
        let values = self.bytes(&store)?.chunks_exact(size).map(V::read_from_bytes);
        values.map(|value| value.ok().context("belljar bug: a value of another size")).collect()
    }

    fn part(&self, offset: usize, length: usize) -> Result<Range<usize>, MemoryAccessError> {
        let end = offset.checked_add(length).filter(|end| *end <= self.len());
        Ok(offset..end.ok_or(MemoryAccessError::new_in_buffer(offset, length, self.len()))?)
    }

    /// Frees it with the guest's allocator.
    ///
    /// # Errors
    ///
    /// Returns an error if the guest's function does not return; it is not called again for this buffer. Also returns
    /// an error if the sandbox was reset since, or if it belongs to another store.
    pub fn free(mut self, mut store: impl AsContextMut) -> Result<()> {
        let mut store = store.as_context_mut();
        self.alloc.check(store.0.core(), "GuestBuf")?;
        self.is_owed = false;
        self.alloc.free(&mut store, self.held)
    }

    /// Transfers ownership to the guest, which must free it. Returns the address and the length, to be passed to the
    /// guest.
    ///
    /// # Errors
    ///
    /// Returns an error if they do not fit the integer type, if the sandbox was reset since, if it belongs to another
    /// store, or if the guest could not free it, because its allocator takes no alignment and returned a larger range
    /// to satisfy one.
    pub fn give_to_guest<A: GuestAddress>(mut self, mut store: impl AsContextMut) -> Result<(A, A)> {
        let core = store.as_context_mut().0.core_mut();
        self.alloc.check(core, "GuestBuf")?;
        ensure!(
            self.ptr == self.held.base,
            "the buffer does not begin where the guest's allocation begins, because of its alignment: the guest could not free it"
        );
        let params = self.as_params()?;
        self.is_owed = false;
        self.alloc.forget(core, self.held);
        Ok(params)
    }

    /// Returns the allocator that it came from.
    pub fn allocator(&self) -> GuestAlloc {
        GuestAlloc::from_inner(&self.alloc)
    }
}

impl Drop for GuestBuf {
    fn drop(&mut self) {
        if self.is_owed {
            self.alloc.dropped().push(self.held);
        }
    }
}
