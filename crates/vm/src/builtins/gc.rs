//! Builtins on objects of the garbage-collected heap. References that guest code passes also lie in its frame, so a
//! collection updates those. The copies passed here are used before a collection can happen.

use super::run;
use crate::store::StoreCore;
use crate::store_mut::StoreMut;
use belljar_core::{DataIndex, ElemIndex, InstanceId, TypeId, TypeIndex};

fn type_of(store: &StoreCore, instance: InstanceId, ty: u32) -> TypeId {
    store.instance(instance).module().sig(TypeIndex(ty))
}

/// Allocates an object.
///
/// # Safety
///
/// The conditions of [`super::running`] apply.
pub(crate) unsafe extern "C" fn gc_alloc(context: usize, header: u32, size: u32) -> u64 {
    // SAFETY: the caller's promise.
    unsafe { run(context, |store, _| Ok(u64::from(store.gc_alloc(header, size)?))) }
}

/// Allocates an array.
///
/// # Safety
///
/// The conditions of [`super::running`] apply.
pub(crate) unsafe extern "C" fn gc_alloc_array(context: usize, ty: u32, length: u32) -> u64 {
    let make = |store: &mut StoreMut<'_>, instance| {
        let ty = type_of(store, instance, ty);
        Ok(u64::from(store.gc_alloc_array(ty, length)?))
    };
    // SAFETY: the caller's promise.
    unsafe { run(context, make) }
}

/// Implements `array.new_data`.
///
/// # Safety
///
/// The conditions of [`super::running`] apply.
pub(crate) unsafe extern "C" fn array_new_data(
    context: usize,
    ty: u32,
    segment: u32,
    src: u32,
    length: u32,
) -> u64 {
    let make = |store: &mut StoreMut<'_>, instance| {
        let ty = type_of(store, instance, ty);
        let array = store.new_array_of_data(ty, length, instance, (DataIndex(segment), src))?;
        Ok(u64::from(array))
    };
    // SAFETY: the caller's promise.
    unsafe { run(context, make) }
}

/// Implements `array.new_elem`.
///
/// # Safety
///
/// The conditions of [`super::running`] apply.
pub(crate) unsafe extern "C" fn array_new_elem(
    context: usize,
    ty: u32,
    segment: u32,
    src: u32,
    length: u32,
) -> u64 {
    let make = |store: &mut StoreMut<'_>, instance| {
        let ty = type_of(store, instance, ty);
        let segment = ElemIndex(segment);
        store.elem_items(instance, segment, src, length)?;
        let array = store.gc_alloc_array(ty, length)?;
        // Read the items again: the objects may have moved.
        let items = store.elem_items(instance, segment, src, length)?;
        store.array_init_refs(array, 0, &items)?;
        Ok(u64::from(array))
    };
    // SAFETY: the caller's promise.
    unsafe { run(context, make) }
}

/// Implements `array.init_data`.
///
/// # Safety
///
/// The conditions of [`super::running`] apply.
pub(crate) unsafe extern "C" fn array_init_data(
    context: usize,
    segment: u32,
    array: u32,
    dst: u32,
    src: u32,
    length: u32,
) {
    let init = |store: &mut StoreMut<'_>, instance| {
        Ok(store.array_init_data((array, dst), length, instance, (DataIndex(segment), src))?)
    };
    // SAFETY: the caller's promise.
    unsafe { run(context, init) }
}

/// Implements `array.init_elem`.
///
/// # Safety
///
/// The conditions of [`super::running`] apply.
pub(crate) unsafe extern "C" fn array_init_elem(
    context: usize,
    segment: u32,
    array: u32,
    dst: u32,
    src: u32,
    length: u32,
) {
    let init = |store: &mut StoreMut<'_>, instance| {
        // The array's bounds are checked first.
        store.array_range(array, dst, length)?;
        let items = store.elem_items(instance, ElemIndex(segment), src, length)?;
        Ok(store.array_init_refs(array, dst, &items)?)
    };
    // SAFETY: the caller's promise.
    unsafe { run(context, init) }
}

/// Implements `array.copy`.
///
/// # Safety
///
/// The conditions of [`super::running`] apply.
pub(crate) unsafe extern "C" fn array_copy(
    context: usize,
    to: u32,
    dst: u32,
    from: u32,
    src: u32,
    length: u32,
) {
    // SAFETY: the caller's promise.
    unsafe { run(context, |store, _| Ok(store.array_copy((to, dst), (from, src), length)?)) }
}
