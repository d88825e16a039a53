//! Instances of adapters, and the functions of the runtime that they call.
//!
//! Core code copies values from one component to another. What it cannot do is here: handles, text, and the words of traps.

use super::builtins::create;
use super::guest::{core_func, memory_at};
use super::instance_flags::refusal;
use super::start::Start;
use super::state::{InnerId, StoreComponents};
use crate::{Caller, Extern, Func, Global, Result, StoreContextMut};
use belljar_component::BuiltinIndex;
use belljar_component::abi::{check_utf16, invalid, utf8};
use belljar_component::adapters::{
    AdapterImport, AdapterInstance, InPlace, RuntimeFunc, Transcode, TrapCode,
};
use belljar_component::types::{ResourceIndex, Type};
use belljar_core::{Context, ensure};
use belljar_vm::StoreCore;
use std::sync::Arc;

/// Creates an instance of adapters, whose functions become builtins of the component.
///
/// Core code may define an allocator with a type of a recursion group, or with one that has subtypes. Nothing can import it
/// by its parameters and results alone: then there are builtins without adapters.
pub(super) fn instantiate<T: 'static>(
    store: &mut StoreContextMut<'_, T>,
    number: u32,
    adapter: usize,
    start: Start<'_>,
) -> Result<()> {
    let components = StoreComponents::of_mut(store.0.core_mut());
    let component = components.instances[number as usize].component.clone();
    let (adapter, module) = component.adapter(adapter).context("belljar bug: adapters that were not made")?;
    let mut imports = Vec::with_capacity(adapter.imports.len());
    for import in &adapter.imports {
        if let AdapterImport::Func(func) = import {
            let func = core_func(store, number, func)?;
            if !store.0.core().has_plain_type(func.id())? {
                return adapter.exports.iter().try_for_each(|builtin| {
                    let func = create(store, number, *builtin)?;
                    set_builtin(store, number, *builtin, func);
                    Ok(())
                });
            }
            imports.push(func.into());
            continue;
        }
        imports.push(import_of(store, number, adapter, import)?);
    }
    let instance = start.instantiate(store, module, &imports)?;
    for (i, builtin) in adapter.exports.iter().enumerate() {
        let func = instance.get_func(&mut *store, &i.to_string());
        let func = func.context("belljar bug: an adapter that is not exported")?;
        set_builtin(store, number, *builtin, func);
    }
    Ok(())
}

fn set_builtin<T: 'static>(
    store: &mut StoreContextMut<'_, T>,
    number: u32,
    builtin: BuiltinIndex,
    func: Func,
) {
    let components = StoreComponents::of_mut(store.0.core_mut());
    components.instances[number as usize].builtins[builtin.index()] = Some(func.id());
}

fn import_of<T: 'static>(
    store: &mut StoreContextMut<'_, T>,
    number: u32,
    adapter: &AdapterInstance,
    import: &AdapterImport,
) -> Result<Extern> {
    Ok(match import {
        AdapterImport::Func(func) => core_func(store, number, func)?.into(),
        AdapterImport::Memory(export) => memory_at(store, number, export)?.into(),
        AdapterImport::Flags(inner) => {
            let at = InnerId { instance: number, inner: *inner };
            let id = store.0.core().id();
            Global::from_id(id, StoreComponents::of_mut(store.0.core_mut()).inner(at).flags).into()
        }
        AdapterImport::Runtime(func) => runtime_func(store, number, &adapter.types, func)?.into(),
    })
}

/// Creates a function of the runtime.
fn runtime_func<T: 'static>(
    store: &mut StoreContextMut<'_, T>,
    number: u32,
    types: &Arc<[Type]>,
    func: &RuntimeFunc,
) -> Result<Func> {
    match func {
        RuntimeFunc::Refuse(inner) => {
            let at = InnerId { instance: number, inner: *inner };
            Func::try_wrap(&mut *store, move |caller: Caller<'_, T>| -> Result<()> {
                Err(refusal(caller.store.0.core_mut(), at))
            })
        }
        RuntimeFunc::Trap => {
            let types = types.clone();
            Func::try_wrap(&mut *store, move |code: i32, a: u64, b: u64, c: u64| -> Result<()> {
                Err(TrapCode::error(code, [a, b, c], &types))
            })
        }
        RuntimeFunc::BeginCall => Func::try_wrap(&mut *store, |caller: Caller<'_, T>| {
            StoreComponents::of_mut(caller.store.0.core_mut()).begin_call();
        }),
        RuntimeFunc::CheckBorrows => Func::try_wrap(&mut *store, |caller: Caller<'_, T>| -> Result<()> {
            StoreComponents::of_mut(caller.store.0.core_mut()).check_borrows_of_last()
        }),
        RuntimeFunc::EndCall => Func::try_wrap(&mut *store, |caller: Caller<'_, T>| {
            StoreComponents::of_mut(caller.store.0.core_mut()).end_last_call();
        }),
        RuntimeFunc::LiftHandle { instance, resource, owned } => {
            let at = InnerId { instance: number, inner: *instance };
            let (resource, owned) = (*resource, *owned);
            Func::try_wrap(&mut *store, move |caller: Caller<'_, T>, handle: u32| -> Result<()> {
                lift_handle(StoreComponents::of_mut(caller.store.0.core_mut()), at, resource, owned, handle)
            })
        }
        RuntimeFunc::LowerHandle { instance, resource, owned } => {
            let at = InnerId { instance: number, inner: *instance };
            let (resource, owned) = (*resource, *owned);
            Func::try_wrap(&mut *store, move |caller: Caller<'_, T>| -> Result<u32> {
                lower_handle(StoreComponents::of_mut(caller.store.0.core_mut()), at, resource, owned)
            })
        }
        RuntimeFunc::CheckText { memory, utf16 } => {
            let (memory, utf16) = (memory_at(store, number, memory)?.id(), *utf16);
            Func::try_wrap(&mut *store, move |caller: Caller<'_, T>, at: u64, units: u64| -> Result<()> {
                check_text(caller.store.0.core(), memory, utf16, at, units)
            })
        }
        RuntimeFunc::Transcode { how, from, to } => {
            let (from, to) = (memory_at(store, number, from)?.id(), memory_at(store, number, to)?.id());
            let how = *how;
            Func::try_wrap(
                &mut *store,
                move |caller: Caller<'_, T>, at: u64, units: u64, copy: u64| -> Result<u64> {
                    transcode(caller.store.0.core_mut(), how, (from, at, units), (to, copy))
                },
            )
        }
        RuntimeFunc::InPlace { what, memory } => {
            let (memory, what) = (memory_at(store, number, memory)?.id(), *what);
            Func::try_wrap(&mut *store, move |caller: Caller<'_, T>, at: u64, units: u64| -> Result<u32> {
                in_place(caller.store.0.core_mut(), memory, what, at, units).map(u32::from)
            })
        }
    }
}

fn lift_handle(
    components: &mut StoreComponents,
    at: InnerId,
    resource: ResourceIndex,
    owned: bool,
    handle: u32,
) -> Result<()> {
    let ty = components.instances[at.instance as usize].resources[resource.0 as usize];
    let handles = &mut components.inner(at).handles;
    let passed = match owned {
        true => handles.take_own(handle, ty)?,
        false => handles.lend(handle, ty)?,
    };
    if !owned {
        components.lends.push((at, handle));
    }
    components.passing.push_back(passed);
    Ok(())
}

fn lower_handle(
    components: &mut StoreComponents,
    at: InnerId,
    resource: ResourceIndex,
    owned: bool,
) -> Result<u32> {
    let ty = components.instances[at.instance as usize].resources[resource.0 as usize];
    let passed = components.passing.pop_front().context("belljar bug: a resource that was not lifted")?;
    ensure!(passed.ty == ty && passed.owned == owned, "belljar bug: another resource was lifted");
    match owned {
        true => components.add_handle(at, passed, None),
        false => components.lower_borrow(at, passed, None),
    }
}

/// Returns a range of bytes.
fn range(bytes: &[u8], at: u64, size: u64) -> Result<&[u8]> {
    let end = at.checked_add(size).and_then(|end| usize::try_from(end).ok());
    let range = end.and_then(|end| bytes.get(at as usize..end));
    range.ok_or_else(|| invalid::out_of_bounds(at, size, bytes.len() as u64))
}

fn range_mut(bytes: &mut [u8], at: u64, size: u64) -> Result<&mut [u8]> {
    let length = bytes.len() as u64;
    let end = at.checked_add(size).and_then(|end| usize::try_from(end).ok());
    let range = end.and_then(|end| bytes.get_mut(at as usize..end));
    range.ok_or_else(|| invalid::out_of_bounds(at, size, length))
}

/// The bytes of text that are looked at or changed before the thread is asked whether it shall stop.
const STRIDE: u64 = 1 << 20;

/// Checks text where it lies.
fn check_text(core: &StoreCore, memory: usize, utf16: bool, at: u64, units: u64) -> Result<()> {
    let bytes = range(core.memory_data(memory), at, if utf16 { 2 * units } else { units })?;
    let check = |bytes: &[u8]| match utf16 {
        true => check_utf16(bytes),
        false => utf8(bytes).map(drop),
    };
    let mut rest = bytes;
    while rest.len() as u64 > STRIDE {
        core.check_interrupt()?;
        // A piece ends before a character: what follows is no part of one.
        let is_part = |byte: &u8| if utf16 { byte & 0xfc == 0xdc } else { byte & 0xc0 == 0x80 };
        let first = |end: usize| if utf16 { rest.get(end + 1) } else { rest.get(end) };
        let unit = if utf16 { 2 } else { 1 };
        let mut end = STRIDE as usize;
        while end > STRIDE as usize - 8 && first(end).is_some_and(is_part) {
            end -= unit;
        }
        if check(&rest[..end]).is_err() {
            // The error tells where in the whole text it is.
            return check(bytes);
        }
        rest = &rest[end..];
    }
    check(if rest.len() < bytes.len() && check(rest).is_err() { bytes } else { rest })
}

/// The bytes that are transcoded at once. They stay in the processor's cache until they are written.
const PIECE: usize = 8 << 10;

/// Transcodes text from one memory to another. Returns what the adapter gets.
fn transcode(
    core: &mut StoreCore,
    how: Transcode,
    (from, at, units): (usize, u64, u64),
    (to, copy): (usize, u64),
) -> Result<u64> {
    let (source_unit, copied_unit) = how.unit_bytes();
    let size = units * source_unit as u64;
    let mut buffer = std::mem::take(&mut StoreComponents::of_mut(core).buffer);
    buffer.resize(PIECE, 0);
    let (mut read, mut written, mut next_check) = (0, 0, 0);
    while read < size {
        if read >= next_check {
            core.check_interrupt()?;
            next_check = read + STRIDE;
        }
        let bytes = range(core.memory_data(from), at + read, (size - read).min(PIECE as u64))?;
        let piece = how.piece(bytes, &mut buffer);
        range_mut(core.memory_copy_mut(to), copy + written, piece.written as u64)?
            .copy_from_slice(&buffer[..piece.written]);
        read += piece.read as u64;
        written += piece.written as u64;
        if piece.is_end {
            break;
        }
        ensure!(piece.read > 0, "belljar bug: text that was not checked");
    }
    StoreComponents::of_mut(core).buffer = buffer;
    let (read, written) = (read / source_unit as u64, written / copied_unit as u64);
    Ok(match how {
        Transcode::Utf8ToLatin1 | Transcode::Utf16ToLatin1 => written << 32 | read,
        _ => written,
    })
}

/// Changes, or looks at, the units of text where it lies.
fn in_place(core: &mut StoreCore, memory: usize, what: InPlace, at: u64, units: u64) -> Result<bool> {
    let strides = units.div_ceil(STRIDE);
    for i in 0..strides {
        core.check_interrupt()?;
        // From the end where text gets longer, so that no unit is overwritten before it is read.
        let stride = if what == InPlace::Widen { strides - 1 - i } else { i };
        let (start, end) = (stride * STRIDE, units.min((stride + 1) * STRIDE));
        let bytes = range_mut(core.memory_copy_mut(memory), at, 2 * units)?;
        let (start, end) = (start as usize, end as usize);
        match what {
            InPlace::Widen => (start..end).rev().for_each(|i| {
                bytes[2 * i] = bytes[i];
                bytes[2 * i + 1] = 0;
            }),
            InPlace::Narrow => (start..end).for_each(|i| bytes[i] = bytes[2 * i]),
            InPlace::IsLatin1 => {
                if bytes[2 * start..2 * end].as_chunks::<2>().0.iter().any(|unit| unit[1] != 0) {
                    return Ok(false);
                }
            }
        }
    }
    Ok(true)
}
