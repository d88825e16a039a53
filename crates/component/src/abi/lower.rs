//! Lowering: from values to core values and memory.

use super::flat::FlatSink;
use super::invalid::{allocated_out_of_bounds, allocated_unaligned};
use super::{
    LowerContext, check_result_place, flat_count, pointer, range_mut, size_of_list, store_case, store_int,
    store_pair, utf16_tag,
};
use crate::plan::StringEncoding;
use crate::resource::Passed;
use crate::types::{FuncType, Tuple, Type};
use crate::val::Val;
use belljar_core::{Result, format_err};

/// A key and its value.
type Entry<H> = (Val<H>, Val<H>);

/// Lowers the parameters of a function to core values, or into memory if they are too many. They are of the function's
/// types ([`check_params`](crate::check_params)).
///
/// # Errors
///
/// Returns an error if the guest does not provide room, or a handle is invalid.
pub fn lower_params(
    cx: &mut LowerContext<'_>,
    ty: &FuncType,
    params: &[Val<Passed>],
    flat: &mut FlatSink,
) -> Result<()> {
    match ty.flat_params(cx.address()) {
        Some(_) => {
            for ((_, ty), value) in ty.params().iter().zip(params) {
                lower_flat(cx, ty, value, flat)?;
            }
        }
        None => {
            let layout = ty.param_tuple().layout(cx.address());
            let at = allocate(cx, layout.align, u64::from(layout.size))?;
            store_fields(cx, ty.param_tuple(), params, at)?;
            flat.push(at)?;
        }
    }
    Ok(())
}

/// Lowers the result of a function to a core value, or into memory, at an address that the caller has passed as the last
/// of its core values. The value is of the function's type.
///
/// # Errors
///
/// Returns an error if the guest does not provide room, or a handle is invalid.
pub fn lower_result(
    cx: &mut LowerContext<'_>,
    ty: &FuncType,
    result: Option<&Val<Passed>>,
    passed: &[u64],
    flat: &mut FlatSink,
) -> Result<()> {
    let (Some(ty_of_result), Some(value)) = (ty.result(), result) else { return Ok(()) };
    let address = cx.address();
    if ty.returns_flat(address) {
        return lower_flat(cx, ty_of_result, value, flat);
    }
    let at = passed.last().copied().unwrap_or_default();
    let at = pointer(at, address);
    check_result_place(cx.memory()?, at, ty_of_result, address)?;
    store(cx, ty_of_result, value, at)
}

/// Allocates memory of the guest, and checks what the guest says.
#[inline]
pub(crate) fn allocate(cx: &mut LowerContext<'_>, align: u32, size: u64) -> Result<u64> {
    reallocate(cx, 0, 0, align, size)
}

fn reallocate(cx: &mut LowerContext<'_>, old: u64, old_size: u64, align: u32, size: u64) -> Result<u64> {
    let at = cx.realloc(old, old_size, align, size)?;
    check_allocated(cx.memory()?, at, align, size)?;
    Ok(at)
}

/// Checks what the guest says that it has allocated.
#[inline]
fn check_allocated(memory: &[u8], at: u64, align: u32, size: u64) -> Result<()> {
    let length = memory.len();
    let fits = at.checked_add(size).is_some_and(|end| end <= length as u64);
    if !fits {
        return Err(allocated_out_of_bounds(at, size, length as u64));
    }
    if !at.is_multiple_of(u64::from(align)) {
        return Err(allocated_unaligned(at, align));
    }
    Ok(())
}

/// Returns the number of a value's case, with the payload's type and value.
#[expect(clippy::type_complexity, reason = "three optional parts")]
fn case_of<'a, H>(ty: &'a Type, value: &'a Val<H>) -> Option<(usize, Option<(&'a Type, &'a Val<H>)>)> {
    let with = |ty: Option<&'a Type>, value: &'a Option<Box<Val<H>>>| ty.zip(value.as_deref());
    Some(match (ty, value) {
        (Type::Variant(variant), Val::Variant(name, value)) => {
            let index = variant.cases().iter().position(|(case, _)| **case == **name)?;
            (index, with(variant.cases()[index].1.as_ref(), value))
        }
        (Type::Enum(names), Val::Enum(name)) => {
            (names.names().iter().position(|case| **case == **name)?, None)
        }
        (Type::Option(option), Val::Option(value)) => match value {
            None => (0, None),
            Some(value) => (1, Some((option.some(), value))),
        },
        (Type::Result(result), Val::Result(Ok(value))) => (0, with(result.ok(), value)),
        (Type::Result(result), Val::Result(Err(value))) => (1, with(result.err(), value)),
        _ => return None,
    })
}

/// Returns the bits of a value that is one core value, and its size in bytes; `None` if it is something else.
fn scalar<H>(value: &Val<H>) -> Option<(u64, u32)> {
    Some(match *value {
        Val::Bool(v) => (u64::from(v), 1),
        Val::S8(v) => (u64::from(v as i32 as u32), 1),
        Val::U8(v) => (u64::from(v), 1),
        Val::S16(v) => (u64::from(v as i32 as u32), 2),
        Val::U16(v) => (u64::from(v), 2),
        Val::S32(v) => (u64::from(v as u32), 4),
        Val::U32(v) => (u64::from(v), 4),
        Val::S64(v) => (v as u64, 8),
        Val::U64(v) => (v, 8),
        Val::Float32(v) => (u64::from(v.to_bits()), 4),
        Val::Float64(v) => (v.to_bits(), 8),
        Val::Char(v) => (u64::from(v), 4),
        _ => return None,
    })
}

fn words_of(names: &[std::sync::Arc<str>], set: &[String]) -> Vec<u32> {
    let mut words = vec![0; names.len().div_ceil(32).max(1)];
    for i in (0..names.len()).filter(|i| set.iter().any(|name| **name == *names[*i])) {
        words[i / 32] |= 1 << (i % 32);
    }
    words
}

#[cold]
fn mismatch<H>(ty: &Type, value: &Val<H>) -> belljar_core::Error {
    format_err!("belljar bug: a {} is lowered as {ty}", value.kind())
}

fn lower_flat(cx: &mut LowerContext<'_>, ty: &Type, value: &Val<Passed>, flat: &mut FlatSink) -> Result<()> {
    if let Some((bits, _)) = scalar(value) {
        return flat.push(bits);
    }
    match (ty, value) {
        (Type::String, Val::String(text)) => {
            let (at, length) = lower_string(cx, text)?;
            flat.push(at)?;
            flat.push(length)?;
        }
        (Type::List(element), Val::List(values)) => {
            flat.push(lower_list(cx, element, values)?)?;
            flat.push(values.len() as u64)?;
        }
        (Type::Map(map), Val::Map(entries)) => {
            flat.push(lower_map(cx, map.entry(), entries)?)?;
            flat.push(entries.len() as u64)?;
        }
        (Type::FixedLengthList(list), Val::FixedLengthList(values)) => {
            for value in values {
                lower_flat(cx, list.element(), value, flat)?;
            }
        }
        (Type::Record(record), Val::Record(fields)) => {
            for ((_, ty), (_, value)) in record.fields().iter().zip(fields) {
                lower_flat(cx, ty, value, flat)?;
            }
        }
        (Type::Tuple(tuple), Val::Tuple(values)) => {
            for (ty, value) in tuple.types().iter().zip(values) {
                lower_flat(cx, ty, value, flat)?;
            }
        }
        (Type::Flags(flags), Val::Flags(set)) => {
            for word in words_of(flags.names(), set) {
                flat.push(u64::from(word))?;
            }
        }
        (Type::Own(resource), Val::Resource(handle)) => {
            flat.push(u64::from(cx.lower_own(*resource, *handle)?))?
        }
        (Type::Borrow(resource), Val::Resource(handle)) => {
            flat.push(u64::from(cx.lower_borrow(*resource, *handle)?))?;
        }
        _ => {
            let (case, payload) = case_of(ty, value).ok_or_else(|| mismatch(ty, value))?;
            let end = flat.count() + flat_count(ty, cx.address());
            flat.push(case as u64)?;
            if let Some((ty, value)) = payload {
                lower_flat(cx, ty, value, flat)?;
            }
            flat.pad(end)?;
        }
    }
    Ok(())
}

/// Stores a value at an aligned place that lies in the memory.
fn store(cx: &mut LowerContext<'_>, ty: &Type, value: &Val<Passed>, at: u64) -> Result<()> {
    let address = cx.address();
    if let Some((bits, size)) = scalar(value) {
        return store_int(cx.memory()?, at, size, bits);
    }
    match (ty, value) {
        (Type::String, Val::String(text)) => {
            let lowered = lower_string(cx, text)?;
            store_pair(cx, at, lowered)
        }
        (Type::List(element), Val::List(values)) => {
            let list = lower_list(cx, element, values)?;
            store_pair(cx, at, (list, values.len() as u64))
        }
        (Type::Map(map), Val::Map(entries)) => {
            let list = lower_map(cx, map.entry(), entries)?;
            store_pair(cx, at, (list, entries.len() as u64))
        }
        (Type::FixedLengthList(list), Val::FixedLengthList(values)) => {
            store_elements(cx, list.element(), values, at)
        }
        (Type::Record(record), Val::Record(fields)) => {
            let places = record.fields().iter().zip(record.offsets(address));
            places
                .zip(fields)
                .try_for_each(|(((_, ty), offset), (_, value))| store(cx, ty, value, at + u64::from(*offset)))
        }
        (Type::Tuple(tuple), Val::Tuple(values)) => store_fields(cx, tuple, values, at),
        (Type::Flags(flags), Val::Flags(set)) => {
            let size = ty.layout(address).size as usize;
            let words = words_of(flags.names(), set);
            let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).take(size).collect();
            range_mut(cx.memory()?, at, size as u64)?.copy_from_slice(&bytes);
            Ok(())
        }
        (Type::Own(resource), Val::Resource(handle)) => {
            let handle = cx.lower_own(*resource, *handle)?;
            store_int(cx.memory()?, at, 4, u64::from(handle))
        }
        (Type::Borrow(resource), Val::Resource(handle)) => {
            let handle = cx.lower_borrow(*resource, *handle)?;
            store_int(cx.memory()?, at, 4, u64::from(handle))
        }
        _ => {
            let (case, payload) = case_of(ty, value).ok_or_else(|| mismatch(ty, value))?;
            let at = store_case(cx, ty, at, case as u64)?;
            match payload {
                Some((ty, value)) => store(cx, ty, value, at),
                None => Ok(()),
            }
        }
    }
}

fn store_fields(cx: &mut LowerContext<'_>, tuple: &Tuple, values: &[Val<Passed>], at: u64) -> Result<()> {
    let offsets = tuple.offsets(cx.address());
    for ((ty, offset), value) in tuple.types().iter().zip(offsets).zip(values) {
        store(cx, ty, value, at + u64::from(*offset))?;
    }
    Ok(())
}

fn store_elements(cx: &mut LowerContext<'_>, element: &Type, values: &[Val<Passed>], at: u64) -> Result<()> {
    let size = u64::from(element.layout(cx.address()).size);
    values.iter().enumerate().try_for_each(|(i, value)| store(cx, element, value, at + i as u64 * size))
}

fn lower_list(cx: &mut LowerContext<'_>, element: &Type, values: &[Val<Passed>]) -> Result<u64> {
    let layout = element.layout(cx.address());
    let size = size_of_list(values.len() as u64, layout.size, "list")?;
    let at = allocate(cx, layout.align, size)?;
    store_elements(cx, element, values, at)?;
    Ok(at)
}

fn lower_map(cx: &mut LowerContext<'_>, entry: &Tuple, entries: &[Entry<Passed>]) -> Result<u64> {
    let layout = entry.layout(cx.address());
    let size = size_of_list(entries.len() as u64, layout.size, "map")?;
    let at = allocate(cx, layout.align, size)?;
    let offsets = entry.offsets(cx.address());
    let (of_key, of_value) = (u64::from(offsets[0]), u64::from(offsets[1]));
    for (i, (key, value)) in entries.iter().enumerate() {
        let at = at + i as u64 * u64::from(layout.size);
        store(cx, &entry.types()[0], key, at + of_key)?;
        store(cx, &entry.types()[1], value, at + of_value)?;
    }
    Ok(at)
}

/// Lowers a string. Returns its address and length.
pub(crate) fn lower_string(cx: &mut LowerContext<'_>, text: &str) -> Result<(u64, u64)> {
    let length = text.len() as u64;
    let too_long = "string";
    match cx.encoding() {
        StringEncoding::Utf8 => {
            size_of_list(length, 1, too_long)?;
            let at = cx.realloc(0, 0, 1, length)?;
            // The memory is asked for once: to check what was allocated, and to write there.
            let memory = cx.memory()?;
            check_allocated(memory, at, 1, length)?;
            range_mut(memory, at, length)?.copy_from_slice(text.as_bytes());
            Ok((at, length))
        }
        StringEncoding::Utf16 => {
            // Room for as many units as there are bytes of UTF-8: there are never more.
            let room = size_of_list(length, 2, too_long)?;
            let at = allocate(cx, 2, room)?;
            let units = store_utf16(cx, at, text)?;
            let at = if 2 * units < room { reallocate(cx, at, room, 2, 2 * units)? } else { at };
            Ok((at, units))
        }
        StringEncoding::CompactUtf16 => lower_compact(cx, text),
    }
}

fn store_utf16(cx: &mut LowerContext<'_>, at: u64, text: &str) -> Result<u64> {
    let units: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
    range_mut(cx.memory()?, at, units.len() as u64)?.copy_from_slice(&units);
    Ok(units.len() as u64 / 2)
}

/// Lowers a string as Latin-1 up to the first character that has none. Then what was written is made UTF-16 where the
/// allocator has moved it, as adapters do, and the rest follows.
fn lower_compact(cx: &mut LowerContext<'_>, text: &str) -> Result<(u64, u64)> {
    let length = size_of_list(text.len() as u64, 1, "string")?;
    let at = allocate(cx, 2, length)?;
    let (latin, rest) = match text.char_indices().find(|(_, char)| u32::from(*char) > 0xff) {
        Some((other, _)) => text.split_at(other),
        None => (text, ""),
    };
    let latin: Vec<u8> = latin.chars().map(|char| u32::from(char) as u8).collect();
    let used = latin.len() as u64;
    range_mut(cx.memory()?, at, used)?.copy_from_slice(&latin);
    if rest.is_empty() {
        let at = if used < length { reallocate(cx, at, length, 2, used)? } else { at };
        return Ok((at, used));
    }
    let room = size_of_list(length, 2, "string")?;
    let at = reallocate(cx, at, length, 2, room)?;
    let written = range_mut(cx.memory()?, at, 2 * used)?;
    for i in (0..latin.len()).rev() {
        written[2 * i] = written[i];
        written[2 * i + 1] = 0;
    }
    let units = used + store_utf16(cx, at + 2 * used, rest)?;
    let at = if 2 * units < room { reallocate(cx, at, room, 2, 2 * units)? } else { at };
    Ok((at, units | utf16_tag(cx.address())))
}
