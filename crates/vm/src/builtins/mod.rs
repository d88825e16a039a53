//! What the builtin stubs call: the runtime's part of instructions too large to be inlined.
//!
//! Each gets the context of the instance that runs. A failure is noted in the store, and the
//! activation is left.

mod atomic;
mod gc;

pub(crate) use atomic::*;
pub(crate) use gc::*;

use crate::abi_types::RawExn;
use crate::exception::throw;
use crate::instance::Instance;
use crate::store::StoreCore;
use crate::sys::leave_activation;
use crate::trap::Found;
use crate::trap::plain_trap;
use belljar_abi::{CONTEXT_DISTANCE, ConstHeader, StoreContext};
use belljar_core::{DataIndex, ElemIndex, InstanceId, MemoryIndex, TableIndex, Trap};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// The store and the instance that are running.
///
/// # Safety
///
/// `context` is the context of an instance whose code called a builtin on this thread. The store must not be
/// referred to while the result lives.
unsafe fn running<'a>(context: usize) -> (&'a mut StoreCore, InstanceId) {
    // SAFETY: the caller's promise: the constants lie below the context (IN-BOUNDS), and the guest runs under
    // an exclusive borrow of its store (STORE-EXCLUSIVE, STORE-PINNED).
    unsafe {
        let header = std::ptr::with_exposed_provenance::<ConstHeader>(context - CONTEXT_DISTANCE);
        let store_context = std::ptr::with_exposed_provenance::<StoreContext>((*header).store_context);
        let store = &mut *std::ptr::with_exposed_provenance_mut::<StoreCore>((*store_context).store);
        (store, InstanceId((*header).instance))
    }
}

/// Runs a builtin that may trap.
///
/// # Safety
///
/// As [`running`].
unsafe fn trapping<E: Into<Found>>(
    context: usize,
    f: impl FnOnce(&mut StoreCore, InstanceId) -> Result<(), E>,
) {
    // SAFETY: the caller's promise.
    let (store, instance) = unsafe { running(context) };
    if let Err(found) = f(store, instance) {
        store.raise_trap(found);
        // SAFETY: the guest called us through a builtin stub, and what `f` held is dropped.
        unsafe { leave_activation(store.context.get()) }
    }
}

/// Runs a builtin that asks the embedder, whose code may fail or panic.
///
/// # Safety
///
/// As [`running`].
unsafe fn asking<R: Copy>(
    context: usize,
    f: impl FnOnce(&mut StoreCore, InstanceId) -> anyhow::Result<R>,
) -> R {
    // SAFETY: the caller's promise.
    let (store, instance) = unsafe { running(context) };
    match catch_unwind(AssertUnwindSafe(|| f(&mut *store, instance))) {
        Ok(Ok(result)) => return result,
        Ok(Err(error)) => match plain_trap(&error) {
            Some(trap) => store.raise_trap(trap),
            None => store.raise_error(error),
        },
        Err(payload) => store.raise_panic(payload),
    }
    // SAFETY: as in `trapping`.
    unsafe { leave_activation(store.context.get()) }
}

/// What growth answers where it cannot be.
const CANNOT: u64 = u64::MAX;

fn table_of(instance: &Instance, table: u32) -> usize {
    instance.table(TableIndex(table))
}

/// # Safety
///
/// As [`running`].
pub(crate) unsafe extern "C" fn memory_grow(context: usize, memory: u32, delta: u64) -> u64 {
    let grow = |store: &mut StoreCore, instance: InstanceId| {
        let memory = store.instance(instance).memory(MemoryIndex(memory));
        let with_limiter = store.hooks.with_limiter;
        // SAFETY: the store's own core, held exclusively.
        unsafe {
            with_limiter(store.whole(), &mut |store, referee| {
                Ok(store.grow_memory(memory, delta, referee)?.unwrap_or(CANNOT))
            })
        }
    };
    // SAFETY: the caller's promise.
    unsafe { asking(context, grow) }
}

/// # Safety
///
/// As [`running`].
pub(crate) unsafe extern "C" fn memory_copy(
    context: usize,
    dst_memory: u32,
    src_memory: u32,
    dst: u64,
    src: u64,
    length: u64,
) {
    let copy = |store: &mut StoreCore, instance: InstanceId| {
        let memories = [MemoryIndex(dst_memory), MemoryIndex(src_memory)];
        store.copy_memory(instance, memories, dst, src, length)
    };
    // SAFETY: the caller's promise.
    unsafe { trapping(context, copy) }
}

/// # Safety
///
/// As [`running`].
pub(crate) unsafe extern "C" fn memory_fill(context: usize, memory: u32, dst: u64, value: u32, length: u64) {
    let fill = |store: &mut StoreCore, instance: InstanceId| {
        store.fill_memory(instance, MemoryIndex(memory), dst, value as u8, length)
    };
    // SAFETY: the caller's promise.
    unsafe { trapping(context, fill) }
}

/// # Safety
///
/// As [`running`].
pub(crate) unsafe extern "C" fn memory_init(
    context: usize,
    memory: u32,
    segment: u32,
    dst: u64,
    src: u32,
    length: u32,
) {
    let init = |store: &mut StoreCore, instance: InstanceId| {
        store.init_memory(instance, MemoryIndex(memory), DataIndex(segment), dst, src, length)
    };
    // SAFETY: the caller's promise.
    unsafe { trapping(context, init) }
}

/// # Safety
///
/// As [`running`].
pub(crate) unsafe extern "C" fn data_drop(context: usize, segment: u32) {
    // SAFETY: the caller's promise.
    let (store, instance) = unsafe { running(context) };
    store.drop_data(instance, DataIndex(segment));
}

/// # Safety
///
/// As [`running`].
pub(crate) unsafe extern "C" fn table_grow(context: usize, table: u32, delta: u64, value: u32) -> u64 {
    let grow = |store: &mut StoreCore, instance: InstanceId| {
        let table = table_of(store.instance(instance), table);
        let with_limiter = store.hooks.with_limiter;
        // SAFETY: the store's own core, held exclusively.
        unsafe {
            with_limiter(store.whole(), &mut |store, referee| {
                Ok(store.grow_table(table, delta, value, referee)?.map_or(CANNOT, u64::from))
            })
        }
    };
    // SAFETY: the caller's promise.
    unsafe { asking(context, grow) }
}

/// # Safety
///
/// As [`running`].
pub(crate) unsafe extern "C" fn table_fill(context: usize, table: u32, dst: u64, value: u32, length: u64) {
    let fill = |store: &mut StoreCore, instance: InstanceId| {
        let table = table_of(store.instance(instance), table);
        store.fill_table(table, dst, value, length)
    };
    // SAFETY: the caller's promise.
    unsafe { trapping(context, fill) }
}

/// # Safety
///
/// As [`running`].
pub(crate) unsafe extern "C" fn table_copy(
    context: usize,
    dst_table: u32,
    src_table: u32,
    dst: u64,
    src: u64,
    length: u64,
) {
    let copy = |store: &mut StoreCore, instance: InstanceId| {
        let i = store.instance(instance);
        let (to, from) = (table_of(i, dst_table), table_of(i, src_table));
        store.copy_table(to, from, dst, src, length)
    };
    // SAFETY: the caller's promise.
    unsafe { trapping(context, copy) }
}

/// # Safety
///
/// As [`running`].
pub(crate) unsafe extern "C" fn table_init(
    context: usize,
    table: u32,
    segment: u32,
    dst: u64,
    src: u32,
    length: u32,
) {
    let init = |store: &mut StoreCore, instance: InstanceId| {
        let table = table_of(store.instance(instance), table);
        let items = match store.is_elem_dropped(instance, ElemIndex(segment)) {
            true => Vec::new(),
            false => store.elem_items(instance, ElemIndex(segment))?,
        };
        let range = crate::table::range(u64::from(src), u64::from(length), items.len())?;
        Ok(store.init_table(table, dst, &items[range])?)
    };
    // SAFETY: the caller's promise.
    unsafe { asking(context, init) }
}

/// # Safety
///
/// As [`running`].
pub(crate) unsafe extern "C" fn elem_drop(context: usize, segment: u32) {
    // SAFETY: the caller's promise.
    let (store, instance) = unsafe { running(context) };
    store.drop_elem(instance, ElemIndex(segment));
}

/// # Safety
///
/// As [`running`], with a reference to an exception that is not null.
pub(crate) unsafe extern "C" fn throw_ref(context: usize, exception: u32) {
    // SAFETY: the caller's promise.
    let (store, _) = unsafe { running(context) };
    // SAFETY: the guest called us through a builtin stub, and there is nothing here to drop.
    unsafe { throw(store, RawExn(exception)) }
}

/// # Safety
///
/// As [`running`].
pub(crate) unsafe extern "C" fn out_of_fuel(context: usize) {
    let refill = |store: &mut StoreCore, _| if store.refill_fuel() { Ok(()) } else { Err(Trap::OutOfFuel) };
    // SAFETY: the caller's promise.
    unsafe { trapping(context, refill) }
}

/// # Safety
///
/// As [`running`].
pub(crate) unsafe extern "C" fn new_epoch(context: usize) {
    let ask = |store: &mut StoreCore, _| {
        let new_epoch = store.hooks.new_epoch;
        // SAFETY: the store's own core, held exclusively.
        match unsafe { new_epoch(store.whole()) }? {
            Some(delta) => store.set_epoch_deadline(delta),
            None => return Err(Trap::Interrupt.into()),
        }
        Ok(())
    };
    // SAFETY: the caller's promise.
    unsafe { asking(context, ask) }
}
