//! The guest's allocator, from which the host requests memory.
//!
//! In: an instance that exports one. Out: [`GuestBuf`]s, ranges of the guest's memory that the host owns until they are
//! freed. Never: trust in what the guest returns. Each range is checked against the memory and against what the host
//! already owns.

mod exports;

use crate::free_queue::{FreeQueue, Held};
use crate::guest_buf::{GuestAddress, GuestBuf};
use crate::guest_ranges::GuestRanges;
use crate::{AsContextMut, Caller, Func, Instance, Result, StoreContextMut, Val};
use belljar_core::{ByteCount, Context, OutsideText, PageCount, WASM_PAGE_SIZE, bail, ensure};
use belljar_vm::{StoreCore, StoreId};
use exports::{AllocTakes, Exports};
use std::fmt;
use std::sync::{Arc, MutexGuard};
use zerocopy::{Immutable, IntoBytes};

/// The allocator of a guest. The host requests memory from it and writes there, and not to arbitrary addresses, where
/// the guest has its stack, its static data and its heap.
///
/// ```
/// use belljar::{Engine, GuestAlloc, Instance, Module, Store};
/// let engine = Engine::default();
/// let module = Module::new(
///     &engine,
///     r#"(module
///         (memory (export "memory") 2)
///         ;; Stands for the `malloc` and `free` of a C library.
///         (global $top (mut i32) (i32.const 65536))
///         (func (export "malloc") (param i32) (result i32)
///             (global.get $top) (global.set $top (i32.add (global.get $top) (local.get 0))))
///         (func (export "free") (param i32))
///         (func (export "sum") (param $at i32) (param $length i32) (result i32) (local $sum i32)
///             (loop $next
///                 (local.set $length (i32.sub (local.get $length) (i32.const 4)))
///                 (local.set $sum (i32.add (local.get $sum)
///                     (i32.load (i32.add (local.get $at) (local.get $length)))))
///                 (br_if $next (local.get $length)))
///             (local.get $sum)))"#,
/// )?;
/// let mut store = Store::new(&engine, ());
/// let instance = Instance::new(&mut store, &module, &[])?;
/// let sum = instance.get_typed_func::<(u32, u32), i32>(&mut store, "sum")?;
///
/// let alloc = GuestAlloc::find(&mut store, instance)?;
/// let numbers = alloc.alloc_slice(&mut store, &[10, 20, 12_i32])?;
/// assert_eq!(sum.call(&mut store, numbers.as_params()?)?, 42);
/// numbers.free(&mut store)?;
/// # Ok::<(), belljar::Error>(())
/// ```
///
/// It is valid in its store until the store is reset: after a reset of its [`Sandbox`](crate::Sandbox), using it or its
/// buffers is an error. It is cheap to clone and to find again: finding it again returns the same allocator, which
/// frees the buffers that were dropped before.
/// to clone, and to be found again: it is the same one then, and frees what was dropped before.
#[derive(Clone)]
pub struct GuestAlloc {
    inner: Arc<Inner>,
}

/// The state that a [`GuestAlloc`] and its buffers share.
pub(crate) struct Inner {
    store: StoreId,
    /// The store's number, which a reset does not change.
    store_number: u64,
    exports: Exports,
    /// Allocations that were dropped and are not freed yet.
    dropped: Arc<FreeQueue>,
}

impl fmt::Debug for GuestAlloc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Exports { alloc, free, .. } = &self.inner.exports;
        let free = free.as_ref().map(|free| &*free.name);
        f.debug_struct("GuestAlloc").field("alloc", &alloc.name).field("free", &free).finish_non_exhaustive()
    }
}

/// The alignment that every allocator guarantees, even if it takes no alignment.
const USUAL_ALIGNMENT: u64 = 8;

impl GuestAlloc {
    /// Finds the allocator that an instance exports under one of the usual names: `malloc` and `free`,
    /// `__wbindgen_malloc` and `__wbindgen_free`, `allocate` and `deallocate`, or `cabi_realloc`, in this order. Its
    /// memory is the export `memory`, or the only memory.
    ///
    /// The allocating function takes a size, and optionally an alignment; the freeing function takes an address, and
    /// optionally a size and an alignment. Toolchains have no convention for freeing what `cabi_realloc` returned: the
    /// guest frees it, or it leaks ([`GuestAlloc::can_free`]).
    ///
    /// # Errors
    ///
    /// Returns an error if there is no allocator with suitable types; the error lists what was looked for and what was
    /// found. Also returns an error if the memory is shared.
    ///
    /// # Panics
    ///
    /// Panics if the instance belongs to another store.
    pub fn find(mut store: impl AsContextMut, instance: Instance) -> Result<Self> {
        let core = store.as_context_mut().0.core_mut();
        instance.check(core);
        let exports = Exports::find(core, instance)?;
        Ok(Self::of(core, exports))
    }

    /// Returns the allocator that an instance exports under the given names. The allocating function takes a size, or a
    /// size and an alignment, or the parameters of `cabi_realloc`; the freeing function takes an address, and
    /// optionally a size and an alignment. Without a freeing function the host never frees anything.
    ///
    /// ```
    /// # use belljar::{Engine, GuestAlloc, Instance, Module, Store};
    /// # let engine = Engine::default();
    /// # let module = Module::new(&engine, r#"(module (memory 1)
    /// #     (func (export "init") (param i32) (result i32) (i32.const 16)) (func (export "deinit") (param i32 i32)))"#)?;
    /// # let mut store = Store::new(&engine, ());
    /// # let instance = Instance::new(&mut store, &module, &[])?;
    /// let alloc = GuestAlloc::named(&mut store, instance, "init", Some("deinit"))?;
    /// # assert!(alloc.can_free());
    /// # Ok::<(), belljar::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Returns an error if the functions are not exported or have other types, or if the memory is shared.
    ///
    /// # Panics
    ///
    /// Panics if the instance belongs to another store.
    pub fn named(
        mut store: impl AsContextMut,
        instance: Instance,
        alloc: &str,
        free: Option<&str>,
    ) -> Result<Self> {
        let core = store.as_context_mut().0.core_mut();
        instance.check(core);
        let exports = Exports::named(core, instance, alloc, free)?;
        Ok(Self::of(core, exports))
    }

    /// Finds the allocator of the instance that called a host function, as [`GuestAlloc::find`] does.
    ///
    /// # Errors
    ///
    /// Returns an error as [`GuestAlloc::find`] does, or if the calling instance is not known: see
    /// [`Caller::get_export`].
    pub fn of_caller<T: 'static>(caller: &mut Caller<'_, T>) -> Result<Self> {
        let instance = caller.instance.context(
            "the calling instance is not known, because the guest did not get this function from a Linker: use GuestAlloc::find",
        )?;
        let instance = Instance::from_id(caller.store.0.core().id(), instance);
        Self::find(caller, instance)
    }

    fn of(core: &mut StoreCore, exports: Exports) -> Self {
        let store_number = core.monitor().number();
        let store = core.id();
        let dropped = GuestRanges::of_memory(core, exports.memory).free_queue(exports.key());
        Self { inner: Arc::new(Inner { store, store_number, exports, dropped }) }
    }

    pub(crate) fn from_inner(inner: &Arc<Inner>) -> Self {
        Self { inner: inner.clone() }
    }

    /// Returns whether the guest exports a freeing function. Without one, memory that the host frees stays allocated in
    /// the guest.
    pub fn can_free(&self) -> bool {
        self.inner.exports.free.is_some()
    }

    /// Allocates memory in the guest. The memory contains whatever the guest left there. First, this frees buffers that
    /// were dropped, as [`GuestAlloc::release`] does.
    ///
    /// The guest's answer is untrusted: a range that is out of bounds, misaligned, or overlaps memory that the host
    /// owns is an error. A request for no bytes does not call the guest.
    ///
    /// # Errors
    ///
    /// Returns an error if the guest has no memory left (its allocator returned null), if it returned an invalid range
    /// or did not return, if the alignment is not a power of two, or if the sandbox was reset since.
    pub fn alloc(&self, mut store: impl AsContextMut, len: usize, align: usize) -> Result<GuestBuf> {
        let mut store = store.as_context_mut();
        self.release(&mut store)?;
        let inner = &self.inner;
        let (len, align) = (len as u64, align as u64);
        ensure!(align.is_power_of_two(), "expected an alignment that is a power of two, found {align}");
        if len == 0 {
            return Ok(GuestBuf::new(inner, Held { base: align, size: 0, align }, align, 0));
        }
        let takes = inner.exports.alloc.takes;
        let more = if takes == AllocTakes::Size && align > USUAL_ALIGNMENT { align } else { 0 };
        let size = len.checked_add(more).filter(|size| inner.exports.is_64 || u32::try_from(*size).is_ok());
        let size = size.with_context(|| format!("{} do not fit into a guest's memory", ByteCount(len)))?;
        let params: &[u64] = match takes {
            AllocTakes::Size => &[size],
            AllocTakes::SizeAlign => &[size, align],
            AllocTakes::Realloc => &[0, 0, align, size],
        };
        let alloc = &inner.exports.alloc;
        let base = inner.call(&mut store, alloc.func, params, 1);
        let base = base.with_context(|| {
            format!("the guest's `{}` did not return memory", OutsideText::new(&*alloc.name))
        })?;
        let core = store.0.core_mut();
        let held = Held { base: base.unwrap_or_default(), size, align };
        let ptr = if more == 0 {
            held.base
        } else {
            held.base.checked_next_multiple_of(align).unwrap_or(held.base)
        };
        inner.take(core, held, ptr).with_context(|| {
            format!(
                "the guest's `{}` was asked for {} and returned {:#x}",
                OutsideText::new(&*alloc.name),
                ByteCount(size),
                held.base
            )
        })?;
        Ok(GuestBuf::new(inner, held, ptr, len))
    }

    /// Allocates memory in the guest, aligned to 8 bytes, and copies bytes there.
    ///
    /// # Errors
    ///
    /// Returns an error as [`GuestAlloc::alloc`] does.
    pub fn alloc_bytes(&self, mut store: impl AsContextMut, bytes: &[u8]) -> Result<GuestBuf> {
        let mut store = store.as_context_mut();
        let buffer = self.alloc(&mut store, bytes.len(), USUAL_ALIGNMENT as usize)?;
        buffer.write(&mut store, 0, bytes)?;
        Ok(buffer)
    }

    /// Allocates memory in the guest, aligned for the type, and copies values there. They have the same representation
    /// as in the host, little-endian.
    ///
    /// # Errors
    ///
    /// Returns an error as [`GuestAlloc::alloc`] does.
    pub fn alloc_slice<V: IntoBytes + Immutable>(
        &self,
        mut store: impl AsContextMut,
        values: &[V],
    ) -> Result<GuestBuf> {
        let mut store = store.as_context_mut();
        let bytes = values.as_bytes();
        let buffer = self.alloc(&mut store, bytes.len(), align_of::<V>())?;
        buffer.write(&mut store, 0, bytes)?;
        Ok(buffer)
    }

    /// Takes ownership of memory that the guest allocated with this allocator and returned: the host frees it from now
    /// on. The freeing function gets an alignment of 1, if it takes one, as is usual for strings: see
    /// [`GuestAlloc::adopt_aligned`].
    ///
    /// # Errors
    ///
    /// Returns an error if the range is out of bounds or overlaps memory that the host owns, or if the sandbox was
    /// reset since.
    pub fn adopt<A: GuestAddress>(&self, store: impl AsContextMut, ptr: A, len: A) -> Result<GuestBuf> {
        self.adopt_aligned(store, ptr, len, 1)
    }

    /// Takes ownership of memory as [`GuestAlloc::adopt`] does, if it was allocated with this alignment.
    ///
    /// # Errors
    ///
    /// Returns an error as [`GuestAlloc::adopt`] does, if the address is not aligned, or if the alignment is not a
    /// power of two.
    pub fn adopt_aligned<A: GuestAddress>(
        &self,
        mut store: impl AsContextMut,
        ptr: A,
        len: A,
        align: usize,
    ) -> Result<GuestBuf> {
        let core = store.as_context_mut().0.core_mut();
        self.inner.check(core, "GuestAlloc")?;
        let held = Held { base: ptr.to_address(), size: len.to_address(), align: align as u64 };
        ensure!(align.is_power_of_two(), "expected an alignment that is a power of two, found {align}");
        if held.size != 0 {
            let taken = self.inner.take(core, held, held.base);
            taken.with_context(|| {
                format!("the host cannot take ownership of {} at {:#x}", ByteCount(held.size), held.base)
            })?;
        }
        Ok(GuestBuf::new(&self.inner, held, held.base, held.size))
    }

    /// Frees the buffers that were dropped. Dropping a buffer cannot call the guest, because it has no store; it only
    /// queues the buffer, and the next use of the allocator frees it.
    ///
    /// # Errors
    ///
    /// Returns an error if the guest's function does not return: that buffer is leaked, and the remaining ones stay
    /// queued. Also returns an error if the sandbox was reset since.
    pub fn release(&self, mut store: impl AsContextMut) -> Result<()> {
        let mut store = store.as_context_mut();
        self.inner.check(store.0.core(), "GuestAlloc")?;
        // Buffers that are dropped meanwhile are left for later: the guest may call a host function that drops one each
        // time.
        let count = self.inner.dropped().len();
        for _ in 0..count {
            // The host function may also use the allocator: no lock is held while the guest runs.
            let next = self.inner.dropped().pop();
            let Some(held) = next else { return Ok(()) };
            self.inner.free(&mut store, held)?;
        }
        Ok(())
    }
}

impl Inner {
    /// Locks the queue of dropped buffers.
    pub(crate) fn dropped(&self) -> MutexGuard<'_, Vec<Held>> {
        self.dropped.lock()
    }

    /// Returns the number of the memory in the store.
    pub(crate) fn memory(&self) -> usize {
        self.exports.memory
    }

    /// Returns an error if the allocator or buffer belongs to another store, or is from before a reset.
    pub(crate) fn check(&self, core: &StoreCore, what: &str) -> Result<()> {
        if self.store == core.id() {
            return Ok(());
        }
        match self.store_number == core.monitor().number() {
            true => bail!(
                "this {what} was created before the sandbox was reset: the host no longer owns its memory. Find the allocator \
                 again in each session"
            ),
            false => bail!("a {what} was used with a store that it does not belong to"),
        }
    }

    /// Checks a range that the guest returned, and records that the host owns it.
    fn take(&self, core: &mut StoreCore, held: Held, ptr: u64) -> Result<()> {
        let size = core.memory_size(self.memory()) as u64;
        let pages = || format!("the memory has {} ({})", PageCount(size / WASM_PAGE_SIZE), ByteCount(size));
        ensure!(held.base != 0, "that is null: the guest has no memory left for it; {}", pages());
        let is_inside = held.base.checked_add(held.size).is_some_and(|end| end <= size);
        ensure!(is_inside, "that is out of bounds: {}", pages());
        ensure!(ptr.is_multiple_of(held.align), "that is not aligned to {}", ByteCount(held.align));
        let ranges = GuestRanges::of_memory(core, self.memory());
        if let Some(other) = ranges.overlapping(&held.range()) {
            bail!(
                "that overlaps {:#x}..{:#x}, which the host owns and has not freed: the guest has freed it itself, or has two \
                 allocators, or its allocator is broken",
                other.start,
                other.end
            );
        }
        ranges.own(held.range());
        Ok(())
    }

    /// Records that the host no longer owns a range.
    pub(crate) fn forget(&self, core: &mut StoreCore, held: Held) {
        if held.size != 0 {
            GuestRanges::of_memory(core, self.memory()).disown(&held.range());
        }
    }

    /// Frees a range. It is not owned any more, whatever the outcome.
    pub(crate) fn free<T: 'static>(&self, store: &mut StoreContextMut<'_, T>, held: Held) -> Result<()> {
        self.forget(store.0.core_mut(), held);
        let Some(free) = self.exports.free.as_ref().filter(|_| held.size != 0) else { return Ok(()) };
        let params = [held.base, held.size, held.align];
        let freed = self.call(store, free.func, &params[..free.params], free.results);
        freed.with_context(|| {
            format!("the guest's `{}` failed to free {} at {:#x}", free.name, ByteCount(held.size), held.base)
        })?;
        Ok(())
    }

    /// Calls a function of the guest that takes addresses and has `results` results. Returns the first result, if it is
    /// an address.
    fn call<T: 'static>(
        &self,
        store: &mut StoreContextMut<'_, T>,
        func: Func,
        params: &[u64],
        results: usize,
    ) -> Result<Option<u64>> {
        let value = |address: &u64| match self.exports.is_64 {
            true => Val::I64(address.cast_signed()),
            false => Val::I32((*address as u32).cast_signed()),
        };
        let params: Vec<Val> = params.iter().map(value).collect();
        let mut results = vec![Val::I32(0); results];
        func.call(store, &params, &mut results)?;
        Ok(match results.first() {
            Some(Val::I32(address)) => Some(u64::from(address.cast_unsigned())),
            Some(Val::I64(address)) => Some(address.cast_unsigned()),
            _ => None,
        })
    }
}
