//! Lists of a fixed length.

use super::{ComponentType, HostTypes, Lift, Lower, expected};
use crate::abi::{FlatSink, FlatValues, LiftContext, LowerContext};
use crate::types::Type;
use belljar_core::{Context, Error, Result};

fn element(ty: &Type, length: usize) -> Result<&Type> {
    match ty {
        Type::FixedLengthList(list) if list.length() as usize == length => Ok(list.element()),
        _ => expected(&format!("a list of {length}"), ty),
    }
}

/// Makes an array of the values that `next` returns for each place.
fn array<T, const N: usize>(mut next: impl FnMut(usize) -> Result<T>) -> Result<[T; N]> {
    let mut error: Option<Error> = None;
    let values: [Option<T>; N] = std::array::from_fn(|i| match error {
        Some(_) => None,
        None => next(i).map_err(|failed| error = Some(failed)).ok(),
    });
    match error {
        Some(error) => Err(error),
        None => Ok(values.map(|value| value.expect("none has failed"))),
    }
}

impl<T: ComponentType, const N: usize> ComponentType for [T; N] {
    fn check(ty: &Type, types: &dyn HostTypes) -> Result<()> {
        T::check(element(ty, N)?, types).context("the element of a list")
    }
}

impl<T: Lift, const N: usize> Lift for [T; N] {
    fn lift(cx: &mut LiftContext<'_>, ty: &Type, flat: &mut FlatValues<'_>) -> Result<Self> {
        let element = element(ty, N)?;
        array(|_| T::lift(cx, element, flat))
    }

    fn load(cx: &mut LiftContext<'_>, ty: &Type, at: u64) -> Result<Self> {
        let element = element(ty, N)?;
        let size = u64::from(element.layout(cx.address()).size);
        array(|i| T::load(cx, element, at + i as u64 * size))
    }
}

impl<T: Lower, const N: usize> Lower for [T; N] {
    fn lower(&self, cx: &mut LowerContext<'_>, ty: &Type, flat: &mut FlatSink) -> Result<()> {
        let element = element(ty, N)?;
        self.iter().try_for_each(|value| value.lower(cx, element, flat))
    }

    fn store(&self, cx: &mut LowerContext<'_>, ty: &Type, at: u64) -> Result<()> {
        T::store_list(self, cx, element(ty, N)?, at)
    }
}
