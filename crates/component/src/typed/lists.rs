//! Lists.

use super::{ComponentType, HostTypes, Lift, Lower, expected};
use crate::abi::{
    FlatSink, FlatValues, LiftContext, LowerContext, allocate, check_aligned, load_pair, pointer, range,
    size_of_list, store_pair,
};
use crate::types::Type;
use belljar_core::{Context, Result};

fn element(ty: &Type) -> Result<&Type> {
    match ty {
        Type::List(element) => Ok(element),
        _ => expected("a list", ty),
    }
}

fn check<T: ComponentType>(ty: &Type, types: &dyn HostTypes) -> Result<()> {
    T::check(element(ty)?, types).context("the element of a list")
}

fn lift<T: Lift>(cx: &mut LiftContext<'_>, ty: &Type, at: u64, count: u64) -> Result<Vec<T>> {
    let element = element(ty)?;
    let layout = element.layout(cx.address());
    let size = size_of_list(count, layout.size, "list")?;
    range(cx.memory()?, at, size)?;
    check_aligned(at, layout.align)?;
    T::load_list(cx, element, at, count)
}

fn lower<T: Lower>(list: &[T], cx: &mut LowerContext<'_>, ty: &Type) -> Result<(u64, u64)> {
    let element = element(ty)?;
    let layout = element.layout(cx.address());
    let size = size_of_list(list.len() as u64, layout.size, "list")?;
    let at = allocate(cx, layout.align, size)?;
    T::store_list(list, cx, element, at)?;
    Ok((at, list.len() as u64))
}

macro_rules! owned {
    ($($rust:ty)*) => {$(
        impl<T: ComponentType> ComponentType for $rust {
            fn check(ty: &Type, types: &dyn HostTypes) -> Result<()> {
                check::<T>(ty, types)
            }
        }

        impl<T: Lift> Lift for $rust {
            fn lift(cx: &mut LiftContext<'_>, ty: &Type, flat: &mut FlatValues<'_>) -> Result<Self> {
                let address = cx.address();
                let (at, count) = (pointer(flat.next()?, address), pointer(flat.next()?, address));
                lift(cx, ty, at, count).map(Into::into)
            }

            fn load(cx: &mut LiftContext<'_>, ty: &Type, at: u64) -> Result<Self> {
                let (at, count) = load_pair(cx, at)?;
                lift(cx, ty, at, count).map(Into::into)
            }
        }

        impl<T: Lower> Lower for $rust {
            fn lower(&self, cx: &mut LowerContext<'_>, ty: &Type, flat: &mut FlatSink) -> Result<()> {
                <[T]>::lower(self, cx, ty, flat)
            }

            fn store(&self, cx: &mut LowerContext<'_>, ty: &Type, at: u64) -> Result<()> {
                <[T]>::store(self, cx, ty, at)
            }
        }
    )*};
}

owned!(Vec<T> Box<[T]>);

impl<T: ComponentType> ComponentType for [T] {
    fn check(ty: &Type, types: &dyn HostTypes) -> Result<()> {
        check::<T>(ty, types)
    }
}

impl<T: Lower> Lower for [T] {
    fn lower(&self, cx: &mut LowerContext<'_>, ty: &Type, flat: &mut FlatSink) -> Result<()> {
        let (at, count) = lower(self, cx, ty)?;
        flat.push(at)?;
        flat.push(count)
    }

    fn store(&self, cx: &mut LowerContext<'_>, ty: &Type, at: u64) -> Result<()> {
        let lowered = lower(self, cx, ty)?;
        store_pair(cx, at, lowered)
    }
}
