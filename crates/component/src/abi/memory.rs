//! Places in a guest's memory, and numbers in them.

use super::invalid::{MAX_BYTES, out_of_bounds, too_long, unaligned};
use super::{LiftContext, LowerContext};
use crate::types::{AddressType, CaseLayout, Tuple, Type};
use belljar_core::{Result, format_err};

/// Returns the number of core values of a type whose values are known to be passed one by one.
pub(crate) fn flat_count(ty: &Type, address: AddressType) -> usize {
    ty.flat(address).map_or(0, |flat| flat.len())
}

/// Returns a range of memory.
#[inline]
pub(crate) fn range(memory: &[u8], start: u64, size: u64) -> Result<&[u8]> {
    let end = start.checked_add(size).filter(|end| *end <= memory.len() as u64);
    let end = end.ok_or_else(|| out_of_bounds(start, size, memory.len() as u64))?;
    Ok(&memory[start as usize..end as usize])
}

#[inline]
pub(crate) fn check_aligned(address: u64, align: u32) -> Result<()> {
    if address.is_multiple_of(u64::from(align)) { Ok(()) } else { Err(unaligned(address, align)) }
}

/// Returns the length in bytes of `count` elements.
#[inline]
pub(crate) fn size_of_list(count: u64, element: u32, what: &str) -> Result<u64> {
    let size = count.checked_mul(u64::from(element)).filter(|size| *size <= MAX_BYTES);
    size.ok_or_else(|| too_long(what, count, element))
}

/// Returns the address that a core value is.
#[inline]
pub(crate) fn pointer(bits: u64, address: AddressType) -> u64 {
    match address {
        AddressType::I32 => bits & 0xffff_ffff,
        AddressType::I64 => bits,
    }
}

/// The bit of a length that says that a string in the compact encoding is UTF-16.
#[inline]
pub(crate) fn utf16_tag(address: AddressType) -> u64 {
    match address {
        AddressType::I32 => 1 << 31,
        AddressType::I64 => 1 << 63,
    }
}

/// Returns a range of memory to write to.
#[inline]
pub(crate) fn range_mut(memory: &mut [u8], start: u64, size: u64) -> Result<&mut [u8]> {
    let length = memory.len();
    let end = start.checked_add(size).filter(|end| *end <= length as u64);
    let end = end.ok_or_else(|| out_of_bounds(start, size, length as u64))?;
    Ok(&mut memory[start as usize..end as usize])
}

#[inline]
fn bytes<const N: usize>(memory: &[u8], at: u64) -> Result<[u8; N]> {
    let mut bytes = [0; N];
    bytes.copy_from_slice(range(memory, at, N as u64)?);
    Ok(bytes)
}

/// Returns a number of 1, 2, 4 or 8 bytes.
#[inline]
pub(crate) fn load_int(memory: &[u8], at: u64, size: u32) -> Result<u64> {
    Ok(match size {
        1 => u64::from(bytes::<1>(memory, at)?[0]),
        2 => u64::from(u16::from_le_bytes(bytes(memory, at)?)),
        4 => u64::from(u32::from_le_bytes(bytes(memory, at)?)),
        _ => u64::from_le_bytes(bytes(memory, at)?),
    })
}

/// Stores a number of 1, 2, 4 or 8 bytes.
#[inline]
pub(crate) fn store_int(memory: &mut [u8], at: u64, size: u32, bits: u64) -> Result<()> {
    range_mut(memory, at, u64::from(size))?.copy_from_slice(&bits.to_le_bytes()[..size as usize]);
    Ok(())
}

/// Checks that there is an aligned place for a tuple.
pub(crate) fn check_place(memory: &[u8], at: u64, tuple: &Tuple, address: AddressType) -> Result<()> {
    let layout = tuple.layout(address);
    range(memory, at, u64::from(layout.size))?;
    check_aligned(at, layout.align)
}

/// Checks that there is an aligned place for a value of a type.
#[inline]
pub(crate) fn check_result_place(memory: &[u8], at: u64, ty: &Type, address: AddressType) -> Result<()> {
    let layout = ty.layout(address);
    range(memory, at, u64::from(layout.size))?;
    check_aligned(at, layout.align)
}

/// Loads the address and the length of a string or list.
#[inline]
pub(crate) fn load_pair(cx: &mut LiftContext<'_>, at: u64) -> Result<(u64, u64)> {
    let size = cx.address().size();
    let memory = cx.memory()?;
    Ok((load_int(memory, at, size)?, load_int(memory, at + u64::from(size), size)?))
}

/// Stores the address and the length of a string or list.
#[inline]
pub(crate) fn store_pair(cx: &mut LowerContext<'_>, at: u64, (first, second): (u64, u64)) -> Result<()> {
    let size = cx.address().size();
    let memory = cx.memory()?;
    store_int(memory, at, size, first)?;
    store_int(memory, at + u64::from(size), size, second)
}

fn case_layout(ty: &Type, address: AddressType) -> Result<CaseLayout> {
    ty.cases(address).ok_or_else(|| format_err!("expected a type with cases, found {ty}"))
}

/// Loads which case a value is. Returns it with the place of its payload.
pub(crate) fn load_case(cx: &mut LiftContext<'_>, ty: &Type, at: u64) -> Result<(u64, u64)> {
    let CaseLayout { discriminant, payload } = case_layout(ty, cx.address())?;
    Ok((load_int(cx.memory()?, at, discriminant)?, at + u64::from(payload)))
}

/// Stores which case a value is. Returns the place of its payload.
pub(crate) fn store_case(cx: &mut LowerContext<'_>, ty: &Type, at: u64, case: u64) -> Result<u64> {
    let CaseLayout { discriminant, payload } = case_layout(ty, cx.address())?;
    store_int(cx.memory()?, at, discriminant, case)?;
    Ok(at + u64::from(payload))
}
