//! Lifting: from core values and memory to values.

use super::invalid::{no_case, no_char};
use super::text::{no_utf16, utf8};
use super::{
    LiftContext, check_aligned, check_place, check_result_place, flat_count, load_case, load_int, load_pair,
    pointer, range, size_of_list, utf16_tag,
};
use crate::plan::StringEncoding;
use crate::resource::Passed;
use crate::types::{FuncType, Tuple, Type};
use crate::val::Val;
use belljar_core::{Result, bail, format_err};

/// Core values that are read one after the other.
struct Flat<'a>(&'a [u64]);

impl Flat<'_> {
    fn next(&mut self) -> Result<u64> {
        let (first, rest) =
            self.0.split_first().ok_or_else(|| format_err!("belljar bug: too few core values"))?;
        self.0 = rest;
        Ok(*first)
    }

    fn skip(&mut self, count: usize) {
        self.0 = self.0.get(count..).unwrap_or_default();
    }
}

pub(crate) fn char_of(code: u64) -> Result<char> {
    char::from_u32(code as u32).ok_or_else(|| no_char(code as u32))
}

/// Lifts the parameters of a function from core values, or from memory if they are too many.
///
/// # Errors
///
/// Returns an error if the guest passes something invalid.
pub fn lift_params(cx: &mut LiftContext<'_>, ty: &FuncType, flat: &[u64]) -> Result<Vec<Val<Passed>>> {
    match ty.flat_params(cx.address()) {
        Some(_) => {
            let mut flat = Flat(flat);
            ty.params().iter().map(|(_, ty)| lift_flat(cx, ty, &mut flat)).collect()
        }
        None => {
            let at = Flat(flat).next()?;
            check_place(cx.memory()?, at, ty.param_tuple(), cx.address())?;
            load_fields(cx, at, ty.param_tuple())
        }
    }
}

/// Lifts the result of a function from a core value, or from memory if it does not fit into one.
///
/// # Errors
///
/// Returns an error if the guest returns something invalid.
pub fn lift_result(cx: &mut LiftContext<'_>, ty: &FuncType, flat: &[u64]) -> Result<Option<Val<Passed>>> {
    let Some(result) = ty.result() else { return Ok(None) };
    let address = cx.address();
    if ty.returns_flat(address) {
        return lift_flat(cx, result, &mut Flat(flat)).map(Some);
    }
    let at = pointer(Flat(flat).next()?, address);
    check_result_place(cx.memory()?, at, result, address)?;
    load(cx, result, at).map(Some)
}

fn load_fields(cx: &mut LiftContext<'_>, at: u64, tuple: &Tuple) -> Result<Vec<Val<Passed>>> {
    let offsets = tuple.offsets(cx.address());
    tuple.types().iter().zip(offsets).map(|(ty, offset)| load(cx, ty, at + u64::from(*offset))).collect()
}

fn boxed<H>(value: Option<Val<H>>) -> Option<Box<Val<H>>> {
    value.map(Box::new)
}

/// Lifts a value of one of several cases. `payload` lifts a payload.
fn lift_case(
    cx: &mut LiftContext<'_>,
    ty: &Type,
    case: u64,
    mut payload: impl FnMut(&mut LiftContext<'_>, Option<&Type>) -> Result<Option<Val<Passed>>>,
) -> Result<Val<Passed>> {
    let invalid = || no_case(case, ty);
    let index = usize::try_from(case).map_err(|_| invalid())?;
    Ok(match ty {
        Type::Variant(variant) => {
            let (name, ty) = variant.cases().get(index).ok_or_else(invalid)?;
            let value = payload(cx, ty.as_ref())?;
            Val::Variant(name.to_string(), boxed(value))
        }
        Type::Enum(names) => Val::Enum(names.names().get(index).ok_or_else(invalid)?.to_string()),
        Type::Option(option) => match index {
            0 => Val::Option(payload(cx, None)?.map(Box::new)),
            1 => Val::Option(boxed(payload(cx, Some(option.some()))?)),
            _ => return Err(invalid()),
        },
        Type::Result(result) => match index {
            0 => Val::Result(Ok(boxed(payload(cx, result.ok())?))),
            1 => Val::Result(Err(boxed(payload(cx, result.err())?))),
            _ => return Err(invalid()),
        },
        _ => bail!("belljar bug: a type without cases"),
    })
}

fn flags_of<H>(names: &[std::sync::Arc<str>], words: impl Fn(usize) -> u32) -> Val<H> {
    let is_set = |i: &usize| words(i / 32) >> (i % 32) & 1 != 0;
    Val::Flags((0..names.len()).filter(is_set).map(|i| names[i].to_string()).collect())
}

fn lift_flat(cx: &mut LiftContext<'_>, ty: &Type, flat: &mut Flat<'_>) -> Result<Val<Passed>> {
    let address = cx.address();
    Ok(match ty {
        Type::Bool => Val::Bool(flat.next()? as u32 != 0),
        Type::S8 => Val::S8(flat.next()? as i8),
        Type::U8 => Val::U8(flat.next()? as u8),
        Type::S16 => Val::S16(flat.next()? as i16),
        Type::U16 => Val::U16(flat.next()? as u16),
        Type::S32 => Val::S32(flat.next()? as i32),
        Type::U32 => Val::U32(flat.next()? as u32),
        Type::S64 => Val::S64(flat.next()? as i64),
        Type::U64 => Val::U64(flat.next()?),
        Type::Float32 => Val::Float32(f32::from_bits(flat.next()? as u32)),
        Type::Float64 => Val::Float64(f64::from_bits(flat.next()?)),
        Type::Char => Val::Char(char_of(flat.next()?)?),
        Type::String => {
            let (at, length) = (pointer(flat.next()?, address), pointer(flat.next()?, address));
            Val::String(lift_string(cx, at, length)?)
        }
        Type::List(element) => {
            let (at, count) = (pointer(flat.next()?, address), pointer(flat.next()?, address));
            Val::List(lift_list(cx, element, at, count)?)
        }
        Type::Map(map) => {
            let (at, count) = (pointer(flat.next()?, address), pointer(flat.next()?, address));
            Val::Map(lift_map(cx, map.entry(), at, count)?)
        }
        Type::FixedLengthList(list) => {
            cx.charge(u64::from(list.length()) * size_of::<Val<Passed>>() as u64)?;
            let all = (0..list.length()).map(|_| lift_flat(cx, list.element(), flat));
            Val::FixedLengthList(all.collect::<Result<_>>()?)
        }
        Type::Record(record) => {
            let fields = record.fields().iter();
            Val::Record(
                fields
                    .map(|(name, ty)| Ok((name.to_string(), lift_flat(cx, ty, flat)?)))
                    .collect::<Result<_>>()?,
            )
        }
        Type::Tuple(tuple) => {
            Val::Tuple(tuple.types().iter().map(|ty| lift_flat(cx, ty, flat)).collect::<Result<_>>()?)
        }
        Type::Flags(flags) => {
            let words = flags.names().len().div_ceil(32).max(1);
            let words = (0..words).map(|_| Ok(flat.next()? as u32)).collect::<Result<Vec<_>>>()?;
            flags_of(flags.names(), |i| words[i])
        }
        Type::Variant(_) | Type::Enum(_) | Type::Option(_) | Type::Result(_) => {
            let case = u64::from(flat.next()? as u32);
            let rest = flat_count(ty, address) - 1;
            let mut payload = Flat(flat.0.get(..rest).unwrap_or_default());
            flat.skip(rest);
            lift_case(cx, ty, case, |cx, ty| ty.map(|ty| lift_flat(cx, ty, &mut payload)).transpose())?
        }
        Type::Own(resource) => Val::Resource(cx.lift_own(*resource, flat.next()? as u32)?),
        Type::Borrow(resource) => Val::Resource(cx.lift_borrow(*resource, flat.next()? as u32)?),
        Type::ErrorContext | Type::Stream(_) | Type::Future(_) => return Err(not_there(ty)),
    })
}

#[cold]
fn not_there(ty: &Type) -> belljar_core::Error {
    format_err!("values of type {ty} cannot be passed: belljar does not have asynchronous components yet")
}

/// Loads a value from an aligned place that lies in the memory.
fn load(cx: &mut LiftContext<'_>, ty: &Type, at: u64) -> Result<Val<Passed>> {
    let address = cx.address();
    let int = |cx: &LiftContext<'_>, size: u32| load_int(cx.memory()?, at, size);
    Ok(match ty {
        Type::Bool => Val::Bool(int(cx, 1)? != 0),
        Type::S8 => Val::S8(int(cx, 1)? as i8),
        Type::U8 => Val::U8(int(cx, 1)? as u8),
        Type::S16 => Val::S16(int(cx, 2)? as i16),
        Type::U16 => Val::U16(int(cx, 2)? as u16),
        Type::S32 => Val::S32(int(cx, 4)? as i32),
        Type::U32 => Val::U32(int(cx, 4)? as u32),
        Type::S64 => Val::S64(int(cx, 8)? as i64),
        Type::U64 => Val::U64(int(cx, 8)?),
        Type::Float32 => Val::Float32(f32::from_bits(int(cx, 4)? as u32)),
        Type::Float64 => Val::Float64(f64::from_bits(int(cx, 8)?)),
        Type::Char => Val::Char(char_of(int(cx, 4)?)?),
        Type::String => {
            let (at, length) = load_pair(cx, at)?;
            Val::String(lift_string(cx, at, length)?)
        }
        Type::List(element) => {
            let (at, count) = load_pair(cx, at)?;
            Val::List(lift_list(cx, element, at, count)?)
        }
        Type::Map(map) => {
            let (at, count) = load_pair(cx, at)?;
            Val::Map(lift_map(cx, map.entry(), at, count)?)
        }
        Type::FixedLengthList(list) => {
            cx.charge(u64::from(list.length()) * size_of::<Val<Passed>>() as u64)?;
            Val::FixedLengthList(load_elements(cx, list.element(), at, u64::from(list.length()))?)
        }
        Type::Record(record) => {
            let fields = record.fields().iter().zip(record.offsets(address));
            let load = |((name, ty), offset): (&(std::sync::Arc<str>, Type), &u32)| {
                Ok((name.to_string(), load(cx, ty, at + u64::from(*offset))?))
            };
            Val::Record(fields.map(load).collect::<Result<_>>()?)
        }
        Type::Tuple(tuple) => Val::Tuple(load_fields(cx, at, tuple)?),
        Type::Flags(flags) => {
            let size = ty.layout(address).size;
            let bytes = range(cx.memory()?, at, u64::from(size))?;
            let word = |i: usize| {
                let mut word = [0; 4];
                let from = &bytes[4 * i..bytes.len().min(4 * i + 4)];
                word[..from.len()].copy_from_slice(from);
                u32::from_le_bytes(word)
            };
            flags_of(flags.names(), word)
        }
        Type::Variant(_) | Type::Enum(_) | Type::Option(_) | Type::Result(_) => {
            let (case, payload) = load_case(cx, ty, at)?;
            lift_case(cx, ty, case, |cx, ty| ty.map(|ty| load(cx, ty, payload)).transpose())?
        }
        Type::Own(resource) => {
            let handle = int(cx, 4)? as u32;
            Val::Resource(cx.lift_own(*resource, handle)?)
        }
        Type::Borrow(resource) => {
            let handle = int(cx, 4)? as u32;
            Val::Resource(cx.lift_borrow(*resource, handle)?)
        }
        Type::ErrorContext | Type::Stream(_) | Type::Future(_) => return Err(not_there(ty)),
    })
}

fn lift_list(cx: &mut LiftContext<'_>, element: &Type, at: u64, count: u64) -> Result<Vec<Val<Passed>>> {
    let layout = element.layout(cx.address());
    let size = size_of_list(count, layout.size, "list")?;
    range(cx.memory()?, at, size)?;
    check_aligned(at, layout.align)?;
    cx.charge(count.saturating_mul(size_of::<Val<Passed>>() as u64))?;
    load_elements(cx, element, at, count)
}

fn load_elements(cx: &mut LiftContext<'_>, element: &Type, at: u64, count: u64) -> Result<Vec<Val<Passed>>> {
    let size = u64::from(element.layout(cx.address()).size);
    if *element == Type::U8 {
        return Ok(range(cx.memory()?, at, count)?.iter().map(|byte| Val::U8(*byte)).collect());
    }
    (0..count).map(|i| load(cx, element, at + i * size)).collect()
}

type Entries<H> = Vec<(Val<H>, Val<H>)>;

fn lift_map(cx: &mut LiftContext<'_>, entry: &Tuple, at: u64, count: u64) -> Result<Entries<Passed>> {
    let layout = entry.layout(cx.address());
    let size = size_of_list(count, layout.size, "map")?;
    range(cx.memory()?, at, size)?;
    check_aligned(at, layout.align)?;
    cx.charge(count.saturating_mul(2 * size_of::<Val<Passed>>() as u64))?;
    let load_entry = |i: u64| {
        let mut fields = load_fields(cx, at + i * u64::from(layout.size), entry)?.into_iter();
        fields.next().zip(fields.next()).ok_or_else(|| format_err!("belljar bug: an entry has two parts"))
    };
    (0..count).map(load_entry).collect()
}

pub(crate) fn lift_string(cx: &mut LiftContext<'_>, at: u64, length: u64) -> Result<String> {
    let (encoding, tag) = (cx.encoding(), utf16_tag(cx.address()));
    let (align, units, size) = match encoding {
        StringEncoding::Utf8 => (1, length, 1),
        StringEncoding::Utf16 => (2, length, 2),
        StringEncoding::CompactUtf16 if length & tag != 0 => (2, length ^ tag, 2),
        StringEncoding::CompactUtf16 => (2, length, 1),
    };
    let bytes = size_of_list(units, size, "string")?;
    range(cx.memory()?, at, bytes)?;
    check_aligned(at, align)?;
    // No encoding takes more than three bytes of UTF-8 for each unit.
    cx.charge(units.saturating_mul(if encoding == StringEncoding::Utf8 { 1 } else { 3 }))?;
    let bytes = range(cx.memory()?, at, bytes)?;
    match (encoding, size) {
        (StringEncoding::Utf8, _) => utf8(bytes).map(str::to_string),
        (_, 2) => {
            let units = bytes.chunks_exact(2).map(|unit| u16::from_le_bytes([unit[0], unit[1]]));
            let decoded = char::decode_utf16(units).collect::<std::result::Result<String, _>>();
            decoded.map_err(no_utf16)
        }
        _ => Ok(bytes.iter().map(|byte| char::from(*byte)).collect()),
    }
}
