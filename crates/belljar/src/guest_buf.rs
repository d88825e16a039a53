//! Ranges of a guest's memory that are the host's, as the guest's allocator gave them.
//!
//! In: a range that [`crate::GuestAlloc`] has checked. Out: reads, writes, and the range given back, once. Never: an access outside
//! of it; a call of the guest by a destructor.

use crate::free_queue::Held;
use crate::guest_alloc::Inner;
use crate::{
    AsContext, AsContextMut, GuestAlloc, Memory, MemoryAccessError, Result, StoreContext, StoreContextMut,
};
use anyhow::{Context, ensure};
use belljar_vm::{StoreCore, prepare_for_kernel};
use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use zerocopy::{FromBytes, Immutable, IntoBytes};

mod sealed {
    pub trait Sealed {}
}

/// Integers that guests have addresses and lengths in: `i32` and `u32`, and `i64` and `u64` where the memory has 64-bit addresses.
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

/// A range of a guest's memory that is the host's, until it is freed. [`GuestAlloc`] makes them.
///
/// What is in it is copied in and out; the guest can reach it too, and may write to it whenever it runs. It is freed once: by
/// [`GuestBuf::free`], or, if it is dropped, at the next use of the allocator ([`GuestAlloc::release`]), as a drop has no store to
/// call the guest in. What was not freed when the store goes is gone with it, and once a [`Sandbox`](crate::Sandbox) was wiped,
/// buffers of before are refused and dropping them does nothing.
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
    /// Whether a drop is to see to it that it is freed.
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

    /// Its address in the guest's memory.
    pub fn ptr(&self) -> u64 {
        self.ptr
    }

    /// How many bytes it has.
    pub fn len(&self) -> usize {
        self.len as usize
    }

    /// Whether it has no bytes.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Address and length, to be passed to a guest's function: `i32` or `u32`, or `i64` or `u64` for 64-bit memories.
    ///
    /// # Errors
    ///
    /// Where a 64-bit address does not fit.
    pub fn as_params<A: GuestAddress>(&self) -> Result<(A, A)> {
        let params = A::from_address(self.ptr).zip(A::from_address(self.len));
        params.with_context(|| {
            format!("{:#x} and {} do not fit 32 bits: the guest's addresses have 64", self.ptr, self.len)
        })
    }

    /// The memory that it lies in.
    ///
    /// # Errors
    ///
    /// Where the sandbox was wiped since, or the store is another.
    pub fn memory(&self, store: impl AsContext) -> Result<Memory> {
        let core = store.as_context().0.core();
        self.alloc.check(core, "GuestBuf")?;
        Ok(Memory::from_id(core.id(), self.alloc.memory()))
    }

    /// Its bytes.
    ///
    /// # Errors
    ///
    /// Where the sandbox was wiped since, or the store is another.
    pub fn bytes<'a, T: 'static>(&self, store: impl Into<StoreContext<'a, T>>) -> Result<&'a [u8]> {
        let core = store.into().0.core();
        let range = self.range(core)?;
        let data = core.memory_data(self.alloc.memory());
        data.get(range).context("belljar bug: a memory has shrunk")
    }

    /// Its bytes, to be written.
    ///
    /// # Errors
    ///
    /// As [`GuestBuf::bytes`].
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
            // Where it lies means nothing.
            return Ok(0..0);
        }
        Ok(self.ptr as usize..(self.ptr + self.len) as usize)
    }

    /// Copies bytes into it. `offset` is from its beginning.
    ///
    /// # Errors
    ///
    /// As [`GuestBuf::bytes`]; and where they do not fit, as a [`MemoryAccessError`]: nothing is copied then.
    pub fn write(&self, mut store: impl AsContextMut, offset: usize, bytes: &[u8]) -> Result<()> {
        let range = self.part(offset, bytes.len())?;
        self.bytes_mut(&mut store)?[range].copy_from_slice(bytes);
        Ok(())
    }

    /// Copies bytes out of it. `offset` is from its beginning.
    ///
    /// # Errors
    ///
    /// As [`GuestBuf::write`].
    pub fn read(&self, store: impl AsContext, offset: usize, bytes: &mut [u8]) -> Result<()> {
        let range = self.part(offset, bytes.len())?;
        bytes.copy_from_slice(&self.bytes(&store)?[range]);
        Ok(())
    }

    /// Copies values into it, from byte `offset` on. They lie in it as in the host, little-endian.
    ///
    /// # Errors
    ///
    /// As [`GuestBuf::write`].
    pub fn write_slice<V: IntoBytes + Immutable>(
        &self,
        store: impl AsContextMut,
        offset: usize,
        values: &[V],
    ) -> Result<()> {
        self.write(store, offset, values.as_bytes())
    }

    /// Copies values out of it, from byte `offset` on.
    ///
    /// # Errors
    ///
    /// As [`GuestBuf::write`].
    pub fn read_slice<V: FromBytes + IntoBytes>(
        &self,
        store: impl AsContext,
        offset: usize,
        values: &mut [V],
    ) -> Result<()> {
        self.read(store, offset, values.as_mut_bytes())
    }

    /// All of it, as values of a type.
    ///
    /// # Errors
    ///
    /// As [`GuestBuf::bytes`]; and where its length is no multiple of the type's size.
    pub fn to_vec<V: FromBytes>(&self, store: impl AsContext) -> Result<Vec<V>> {
        let size = size_of::<V>();
        ensure!(
            size != 0 && self.len().is_multiple_of(size),
            "a buffer of {} bytes does not divide into values of {size}",
            self.len
        );
        let values = self.bytes(&store)?.chunks_exact(size).map(V::read_from_bytes);
        values.map(|value| value.ok().context("belljar bug: a value of another size")).collect()
    }

    fn part(&self, offset: usize, length: usize) -> Result<Range<usize>, MemoryAccessError> {
        let end = offset.checked_add(length).filter(|end| *end <= self.len());
        Ok(offset..end.ok_or(MemoryAccessError::new_in_buffer(offset, length, self.len()))?)
    }

    /// Gives it back to the guest's allocator.
    ///
    /// # Errors
    ///
    /// Where the guest's function does not return: it is not called again for this buffer. Where the sandbox was wiped since, or
    /// the store is another.
    pub fn free(mut self, mut store: impl AsContextMut) -> Result<()> {
        let mut store = store.as_context_mut();
        self.alloc.check(store.0.core(), "GuestBuf")?;
        self.is_owed = false;
        self.alloc.free(&mut store, self.held)
    }

    /// Makes it the guest's, which is expected to free it. Returns address and length, for the guest to be told.
    ///
    /// # Errors
    ///
    /// Where they do not fit the integers; where the sandbox was wiped since, or the store is another; where the guest could not free
    /// it, as its allocator knows no alignments and gave a larger range for one.
    pub fn give_to_guest<A: GuestAddress>(mut self, mut store: impl AsContextMut) -> Result<(A, A)> {
        let core = store.as_context_mut().0.core_mut();
        self.alloc.check(core, "GuestBuf")?;
        ensure!(
            self.ptr == self.held.base,
            "the buffer begins within what the guest allocated, for the sake of its alignment: the guest could not free it"
        );
        let params = self.as_params()?;
        self.is_owed = false;
        self.alloc.forget(core, self.held);
        Ok(params)
    }

    /// The allocator that it came from.
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
