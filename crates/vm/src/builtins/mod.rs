//! The functions behind the builtin stubs: the runtime's part of instructions that are too large to be inlined.
//!
//! Each gets the context of the instance that runs, and does its work in [`run`]. On failure, the error is recorded in
//! the store and the activation is left. The same happens if the guest was killed meanwhile.

mod atomic;
mod gc;

pub(crate) use atomic::*;
pub(crate) use gc::*;

use crate::abi_types::RawExn;
use crate::apart::SuspendedIn;
use crate::bulk::MemoryPlace;
use crate::exception::throw;
use crate::exit::{RaisedTrap, plain_trap};
use crate::instance::Instance;
use crate::machine::{BuiltinStub, builtin_stub, builtin_symbol, leave_activation, saving_stub};
use crate::store::StoreCore;
use crate::store_mut::StoreMut;
use crate::vm_ptr::VmPtr;
use belljar_abi::{CONTEXT_DISTANCE, ConstHeader, builtins};
use belljar_core::{DataIndex, ElemIndex, InstanceId, MemoryIndex, TableIndex, Trap};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::NonNull;

/// The reason why a builtin does not return.
enum Failure {
    Trap(RaisedTrap),
    Error(belljar_core::Error),
}

impl<F: Into<RaisedTrap>> From<F> for Failure {
    fn from(found: F) -> Self {
        Self::Trap(found.into())
    }
}

impl From<belljar_core::Error> for Failure {
    fn from(error: belljar_core::Error) -> Self {
        match plain_trap(&error) {
            Some(trap) => Self::Trap(trap.into()),
            None => Self::Error(error),
        }
    }
}

/// Returns the store and the instance that are running.
///
/// # Safety
///
/// `context` is the context of an instance whose code called a builtin on this thread. There must be no reference to
/// the store while the result lives.
unsafe fn running<'a>(context: usize) -> (StoreMut<'a>, InstanceId) {
    // SAFETY: the caller's promise: the constants lie below the context (IN-BOUNDS), and the guest runs under an
    // exclusive borrow of its store (STORE-EXCLUSIVE, STORE-PINNED).
    unsafe {
        let header = VmPtr::<ConstHeader>::at(context - CONTEXT_DISTANCE).as_ref();
        let store = StoreCore::of_context(VmPtr::at(header.store_context));
        (StoreMut::at(NonNull::new_unchecked(store.as_ptr())), InstanceId(header.instance))
    }
}

/// Runs a builtin. Every builtin ends through this function.
///
/// # Safety
///
/// The conditions of [`running`] apply.
unsafe fn run<R: Copy>(
    context: usize,
    f: impl FnOnce(&mut StoreMut<'_>, InstanceId) -> Result<R, Failure>,
) -> R {
    // SAFETY: the caller's promise.
    let (mut store, instance) = unsafe { running(context) };
    match catch_unwind(AssertUnwindSafe(|| f(&mut store, instance))) {
        // The guest was killed while it was here, where it could not be made to leave.
        Ok(Ok(_)) if store.monitor.is_killed() => store.raise_trap(Trap::Interrupt),
        Ok(Ok(result)) => return result,
        Ok(Err(Failure::Trap(found))) => store.raise_trap(found),
        Ok(Err(Failure::Error(error))) => store.raise_error(error),
        Err(payload) => store.raise_panic(payload),
    }
    let context = store.context();
    // SAFETY: the guest called us through a builtin stub, and what `f` held is dropped.
    unsafe { leave_activation(context) }
}

/// The result of growth that fails.
const CANNOT: u64 = u64::MAX;

fn table_of(instance: &Instance, table: u32) -> usize {
    instance.table(TableIndex(table))
}

/// Implements `memory.grow`.
///
/// # Safety
///
/// The conditions of [`running`] apply.
pub(crate) unsafe extern "C" fn memory_grow(context: usize, memory: u32, delta: u64) -> u64 {
    let grow = |store: &mut StoreMut<'_>, instance: InstanceId| {
        let memory = store.instance(instance).memory(MemoryIndex(memory));
        let old = store.limited(|store, growth_limiter| store.grow_memory(memory, delta, growth_limiter))?;
        Ok(old.unwrap_or(CANNOT))
    };
    // SAFETY: the caller's promise.
    unsafe { run(context, grow) }
}

/// Implements `memory.copy`.
///
/// # Safety
///
/// The conditions of [`running`] apply.
pub(crate) unsafe extern "C" fn memory_copy(
    context: usize,
    dst_memory: u32,
    src_memory: u32,
    dst: u64,
    src: u64,
    length: u64,
) {
    let copy = |store: &mut StoreMut<'_>, instance: InstanceId| {
        let to = MemoryPlace { instance, memory: MemoryIndex(dst_memory), start: dst };
        let from = MemoryPlace { instance, memory: MemoryIndex(src_memory), start: src };
        Ok(store.copy_between(to, from, length)?)
    };
    // SAFETY: the caller's promise.
    unsafe { run(context, copy) }
}

/// Implements `memory.fill`.
///
/// # Safety
///
/// The conditions of [`running`] apply.
pub(crate) unsafe extern "C" fn memory_fill(context: usize, memory: u32, dst: u64, value: u32, length: u64) {
    let fill = |store: &mut StoreMut<'_>, instance: InstanceId| {
        Ok(store.fill_memory(instance, MemoryIndex(memory), dst, value as u8, length)?)
    };
    // SAFETY: the caller's promise.
    unsafe { run(context, fill) }
}

/// Implements `memory.init`.
///
/// # Safety
///
/// The conditions of [`running`] apply.
pub(crate) unsafe extern "C" fn memory_init(
    context: usize,
    memory: u32,
    segment: u32,
    dst: u64,
    src: u32,
    length: u32,
) {
    let init = |store: &mut StoreMut<'_>, instance: InstanceId| {
        Ok(store.init_memory(instance, MemoryIndex(memory), DataIndex(segment), dst, src, length)?)
    };
    // SAFETY: the caller's promise.
    unsafe { run(context, init) }
}

/// Implements `data.drop`.
///
/// # Safety
///
/// The conditions of [`running`] apply.
pub(crate) unsafe extern "C" fn data_drop(context: usize, segment: u32) {
    let drop = |store: &mut StoreMut<'_>, instance| {
        store.drop_data(instance, DataIndex(segment));
        Ok(())
    };
    // SAFETY: the caller's promise.
    unsafe { run(context, drop) }
}

/// Implements `table.grow`.
///
/// # Safety
///
/// The conditions of [`running`] apply.
pub(crate) unsafe extern "C" fn table_grow(context: usize, table: u32, delta: u64, value: u32) -> u64 {
    let grow = |store: &mut StoreMut<'_>, instance: InstanceId| {
        let table = table_of(store.instance(instance), table);
        let old =
            store.limited(|store, growth_limiter| store.grow_table(table, delta, value, growth_limiter))?;
        Ok(old.map_or(CANNOT, u64::from))
    };
    // SAFETY: the caller's promise.
    unsafe { run(context, grow) }
}

/// Implements `table.fill`.
///
/// # Safety
///
/// The conditions of [`running`] apply.
pub(crate) unsafe extern "C" fn table_fill(context: usize, table: u32, dst: u64, value: u32, length: u64) {
    let fill = |store: &mut StoreMut<'_>, instance: InstanceId| {
        let table = table_of(store.instance(instance), table);
        Ok(store.fill_table(table, dst, value, length)?)
    };
    // SAFETY: the caller's promise.
    unsafe { run(context, fill) }
}

/// Implements `table.copy`.
///
/// # Safety
///
/// The conditions of [`running`] apply.
pub(crate) unsafe extern "C" fn table_copy(
    context: usize,
    dst_table: u32,
    src_table: u32,
    dst: u64,
    src: u64,
    length: u64,
) {
    let copy = |store: &mut StoreMut<'_>, instance: InstanceId| {
        let i = store.instance(instance);
        let (to, from) = (table_of(i, dst_table), table_of(i, src_table));
        Ok(store.copy_table(to, from, dst, src, length)?)
    };
    // SAFETY: the caller's promise.
    unsafe { run(context, copy) }
}

/// Implements `table.init`.
///
/// # Safety
///
/// The conditions of [`running`] apply.
pub(crate) unsafe extern "C" fn table_init(
    context: usize,
    table: u32,
    segment: u32,
    dst: u64,
    src: u32,
    length: u32,
) {
    let init = |store: &mut StoreMut<'_>, instance: InstanceId| {
        let table = table_of(store.instance(instance), table);
        let items = store.elem_items(instance, ElemIndex(segment), src, length)?;
        Ok(store.init_table(table, dst, &items)?)
    };
    // SAFETY: the caller's promise.
    unsafe { run(context, init) }
}

/// Implements `elem.drop`.
///
/// # Safety
///
/// The conditions of [`running`] apply.
pub(crate) unsafe extern "C" fn elem_drop(context: usize, segment: u32) {
    let drop = |store: &mut StoreMut<'_>, instance| {
        store.drop_elem(instance, ElemIndex(segment));
        Ok(())
    };
    // SAFETY: the caller's promise.
    unsafe { run(context, drop) }
}

/// Implements `throw` and `throw_ref`.
///
/// # Safety
///
/// The conditions of [`running`] apply, with a reference to an exception that is not null.
pub(crate) unsafe extern "C" fn throw_ref(context: usize, exception: u32) {
    // SAFETY: the caller's promise.
    let (store, _) = unsafe { running(context) };
    let core = store.into_core();
    // SAFETY: the guest called us through a builtin stub, and there is nothing here to drop.
    unsafe { throw(core, RawExn(exception)) }
}

saving_stub!(out_of_fuel native_out_of_fuel);

/// Refuels the guest, or traps. The builtin's stub calls it by way of [`out_of_fuel`], which notes the guest's registers.
///
/// # Safety
///
/// The conditions of [`running`] apply.
pub(crate) unsafe extern "C" fn native_out_of_fuel(context: usize) {
    let refill = |store: &mut StoreMut<'_>, _| match store.refill_fuel() {
        true => Ok(()),
        false => {
            store.note_call(SuspendedIn::OutOfFuel);
            Err(Trap::OutOfFuel.into())
        }
    };
    // SAFETY: the caller's promise.
    unsafe { run(context, refill) }
}

/// Moves the epoch deadline, or traps.
///
/// # Safety
///
/// The conditions of [`running`] apply.
pub(crate) unsafe extern "C" fn new_epoch(context: usize) {
    let ask = |store: &mut StoreMut<'_>, _| match store.move_epoch_deadline()? {
        true => Ok(()),
        false => Err(Trap::Interrupt.into()),
    };
    // SAFETY: the caller's promise.
    unsafe { run(context, ask) }
}

macro_rules! stubs {
    ($($(#[$doc:meta])* $variant:ident $name:ident($($arg:ident: $ty:ident),*) $(-> $ret:ident)?;)*) => {
        $(builtin_stub!($variant $name crate::builtins::$name);)*

        mod stub {
            use super::builtin_symbol;
            unsafe extern "C" {
                $(
                    #[link_name = builtin_symbol!($name)]
                    pub(super) fn $name();
                )*
            }
        }

        /// The builtin stubs, in the order of [`belljar_abi::Builtin`].
        pub(crate) static STUBS: &[BuiltinStub] = &[$(stub::$name),*];
    };
}

builtins!(stubs);

/// Returns the address where code finds the builtin stubs ([`belljar_abi::ConstHeader::builtins`]).
pub(crate) fn stubs_address() -> usize {
    VmPtr::expose(STUBS.as_ptr()).address()
}
