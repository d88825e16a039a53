//! What derived implementations call. They are public for that reason only.

use super::{HostTypes, expected};
use crate::abi::{FlatSink, FlatValues, LiftContext, LowerContext, flat_count};
use crate::types::{AddressType, Type};
use belljar_core::{Context, OutsideText, Result, bail, ensure};
use std::sync::Arc;

pub use super::parts::{invalid, lift_case, lower_case};

/// Checks that a type corresponds to a Rust type.
pub type Check = fn(&Type, &dyn HostTypes) -> Result<()>;

/// Checks that a type is a record with these fields.
///
/// # Errors
///
/// Returns an error that says what differs.
pub fn check_record(ty: &Type, types: &dyn HostTypes, wanted: &[(&str, Check)]) -> Result<()> {
    let fields = fields(ty)?;
    ensure!(fields.len() == wanted.len(), "expected a record of {} fields, found {ty}", wanted.len());
    for ((name, ty), (wanted, check)) in fields.iter().zip(wanted) {
        ensure!(**name == **wanted, "expected the field {wanted}, found {}", OutsideText::new(&**name));
        check(ty, types).with_context(|| format!("the field {wanted}"))?;
    }
    Ok(())
}

/// Checks that a type has these cases, each with a payload or without one.
///
/// # Errors
///
/// Returns an error that says what differs.
pub fn check_cases(ty: &Type, types: &dyn HostTypes, wanted: &[(&str, Option<Check>)]) -> Result<()> {
    let cases: Vec<(&Arc<str>, Option<&Type>)> = match ty {
        Type::Variant(variant) => variant.cases().iter().map(|(name, ty)| (name, ty.as_ref())).collect(),
        Type::Enum(names) => names.names().iter().map(|name| (name, None)).collect(),
        _ => return expected("a variant or an enum", ty),
    };
    ensure!(cases.len() == wanted.len(), "expected a type of {} cases, found {ty}", wanted.len());
    for ((name, ty), (wanted, check)) in cases.into_iter().zip(wanted) {
        ensure!(**name == **wanted, "expected the case {wanted}, found {}", OutsideText::new(&**name));
        match (ty, check) {
            (Some(ty), Some(check)) => check(ty, types).with_context(|| format!("the case {wanted}"))?,
            (None, None) => {}
            (Some(ty), None) => bail!("expected the case {wanted} without a payload, found {ty}"),
            (None, Some(_)) => bail!("expected a payload of the case {wanted}, and there is none"),
        }
    }
    Ok(())
}

/// Returns the fields of a record.
///
/// # Errors
///
/// Returns an error if the type is none.
pub fn fields(ty: &Type) -> Result<&[(Arc<str>, Type)]> {
    match ty {
        Type::Record(record) => Ok(record.fields()),
        _ => expected("a record", ty),
    }
}

/// Returns the type of a field.
///
/// # Errors
///
/// Returns an error if there is no such field.
pub fn field(fields: &[(Arc<str>, Type)], index: usize) -> Result<&Type> {
    fields.get(index).map(|(_, ty)| ty).context("a field that was not checked")
}

/// Returns where a field of a record lies.
///
/// # Errors
///
/// Returns an error if there is no such field.
pub fn place(address: AddressType, ty: &Type, index: usize, at: u64) -> Result<u64> {
    let Type::Record(record) = ty else { return expected("a record", ty) };
    let offset = record.offsets(address).get(index).context("a field that was not checked")?;
    Ok(at + u64::from(*offset))
}

/// Returns the type of the payload of a case.
///
/// # Errors
///
/// Returns an error if it has none.
pub fn payload(ty: &Type, case: u64) -> Result<&Type> {
    match ty {
        Type::Variant(variant) => {
            let case = variant.cases().get(case as usize);
            case.and_then(|(_, ty)| ty.as_ref()).context("a case that was not checked")
        }
        _ => expected("a variant", ty),
    }
}

/// Loads which case a value is. Returns it with the place of its payload.
///
/// # Errors
///
/// Returns an error if the value does not lie in the memory.
pub fn load_case(cx: &mut LiftContext<'_>, ty: &Type, at: u64) -> Result<(u64, u64)> {
    crate::abi::load_case(cx, ty, at)
}

/// Stores which case a value is. Returns the place of its payload.
///
/// # Errors
///
/// Returns an error if the value does not lie in the memory.
pub fn store_case(cx: &mut LowerContext<'_>, ty: &Type, at: u64, case: u64) -> Result<u64> {
    crate::abi::store_case(cx, ty, at, case)
}

/// Checks that a type is a set of flags with these names.
///
/// # Errors
///
/// Returns an error that says what differs.
pub fn check_flags(ty: &Type, names: &[&str]) -> Result<()> {
    let Type::Flags(flags) = ty else { return expected("flags", ty) };
    ensure!(
        flags.names().len() == names.len() && flags.names().iter().zip(names).all(|(a, b)| **a == **b),
        "expected the flags {}, found {ty}",
        names.join(", ")
    );
    Ok(())
}

/// Lifts flags, 32 of them in a word.
///
/// # Errors
///
/// Returns an error if there are too few core values.
pub fn lift_flags(
    cx: &mut LiftContext<'_>,
    ty: &Type,
    flat: &mut FlatValues<'_>,
    words: &mut [u32],
) -> Result<()> {
    let mut all = flat.take(flat_count(ty, cx.address()));
    words.iter_mut().try_for_each(|word| {
        *word = all.next()? as u32;
        Ok(())
    })
}

/// Loads flags.
///
/// # Errors
///
/// Returns an error if they do not lie in the memory.
pub fn load_flags(cx: &mut LiftContext<'_>, ty: &Type, at: u64, words: &mut [u32]) -> Result<()> {
    let size = ty.layout(cx.address()).size;
    let memory = cx.memory()?;
    for (i, word) in words.iter_mut().enumerate() {
        *word = crate::abi::load_int(memory, at + 4 * i as u64, size.min(4))? as u32;
    }
    Ok(())
}

/// Lowers flags.
///
/// # Errors
///
/// Returns an error if there are too many core values.
pub fn lower_flags(flat: &mut FlatSink, words: &[u32]) -> Result<()> {
    words.iter().try_for_each(|word| flat.push(u64::from(*word)))
}

/// Stores flags.
///
/// # Errors
///
/// Returns an error if they do not lie in the memory.
pub fn store_flags(cx: &mut LowerContext<'_>, ty: &Type, at: u64, words: &[u32]) -> Result<()> {
    let size = ty.layout(cx.address()).size;
    let memory = cx.memory()?;
    for (i, word) in words.iter().enumerate() {
        crate::abi::store_int(memory, at + 4 * i as u64, size.min(4), u64::from(*word))?;
    }
    Ok(())
}
