//! Options, results and tuples.

use super::{ComponentType, HostTypes, Lift, Lower, expected};
use crate::abi::{FlatSink, FlatValues, LiftContext, LowerContext, flat_count, load_case, store_case};
use crate::types::Type;
use belljar_core::{Context, Result, bail};

/// Lifts a value that is one of several cases. `payload` lifts the payload of a case.
///
/// # Errors
///
/// Returns an error if there are too few core values, or the error of `payload`.
pub fn lift_case<R>(
    cx: &mut LiftContext<'_>,
    ty: &Type,
    flat: &mut FlatValues<'_>,
    payload: impl FnOnce(&mut LiftContext<'_>, u64, &mut FlatValues<'_>) -> Result<R>,
) -> Result<R> {
    let case = u64::from(flat.next()? as u32);
    let mut rest = flat.take(flat_count(ty, cx.address()).saturating_sub(1));
    payload(cx, case, &mut rest)
}

/// Lowers a value that is one of several cases. `payload` lowers the payload.
///
/// # Errors
///
/// Returns an error if there are too many core values, or the error of `payload`.
pub fn lower_case(
    cx: &mut LowerContext<'_>,
    ty: &Type,
    case: u64,
    flat: &mut FlatSink,
    payload: impl FnOnce(&mut LowerContext<'_>, &mut FlatSink) -> Result<()>,
) -> Result<()> {
    let end = flat.count() + flat_count(ty, cx.address());
    flat.push(case)?;
    payload(cx, flat)?;
    flat.pad(end)
}

/// Returns the error of a case that there is not.
///
/// # Errors
///
/// Always.
#[cold]
pub fn invalid<R>(case: u64, ty: &Type) -> Result<R> {
    Err(crate::abi::invalid::no_case(case, ty))
}

fn some(ty: &Type) -> Result<&Type> {
    match ty {
        Type::Option(option) => Ok(option.some()),
        _ => expected("an option", ty),
    }
}

impl<T: ComponentType> ComponentType for Option<T> {
    fn check(ty: &Type, types: &dyn HostTypes) -> Result<()> {
        T::check(some(ty)?, types).context("the value of an option")
    }
}

impl<T: Lift> Lift for Option<T> {
    fn lift(cx: &mut LiftContext<'_>, ty: &Type, flat: &mut FlatValues<'_>) -> Result<Self> {
        lift_case(cx, ty, flat, |cx, case, flat| match case {
            0 => Ok(None),
            1 => T::lift(cx, some(ty)?, flat).map(Some),
            _ => invalid(case, ty),
        })
    }

    fn load(cx: &mut LiftContext<'_>, ty: &Type, at: u64) -> Result<Self> {
        match load_case(cx, ty, at)? {
            (0, _) => Ok(None),
            (1, at) => T::load(cx, some(ty)?, at).map(Some),
            (case, _) => invalid(case, ty),
        }
    }
}

impl<T: Lower> Lower for Option<T> {
    fn lower(&self, cx: &mut LowerContext<'_>, ty: &Type, flat: &mut FlatSink) -> Result<()> {
        lower_case(cx, ty, u64::from(self.is_some()), flat, |cx, flat| match self {
            Some(value) => value.lower(cx, some(ty)?, flat),
            None => Ok(()),
        })
    }

    fn store(&self, cx: &mut LowerContext<'_>, ty: &Type, at: u64) -> Result<()> {
        let at = store_case(cx, ty, at, u64::from(self.is_some()))?;
        match self {
            Some(value) => value.store(cx, some(ty)?, at),
            None => Ok(()),
        }
    }
}

/// Returns the types of the payloads of a result.
fn payloads(ty: &Type) -> Result<(Option<&Type>, Option<&Type>)> {
    match ty {
        Type::Result(result) => Ok((result.ok(), result.err())),
        _ => expected("a result", ty),
    }
}

fn check_payload<T: ComponentType>(ty: Option<&Type>, types: &dyn HostTypes, what: &str) -> Result<()> {
    match ty {
        Some(ty) => T::check(ty, types).with_context(|| format!("the payload of `{what}`")),
        None if T::IS_NOTHING => Ok(()),
        None => bail!("expected a payload of `{what}`, and there is none"),
    }
}

impl<T: ComponentType, E: ComponentType> ComponentType for std::result::Result<T, E> {
    fn check(ty: &Type, types: &dyn HostTypes) -> Result<()> {
        let (ok, err) = payloads(ty)?;
        check_payload::<T>(ok, types, "ok")?;
        check_payload::<E>(err, types, "err")
    }
}

fn lift_payload<T: Lift>(
    cx: &mut LiftContext<'_>,
    ty: Option<&Type>,
    flat: &mut FlatValues<'_>,
) -> Result<T> {
    match ty {
        Some(ty) => T::lift(cx, ty, flat),
        None => T::nothing().context("belljar bug: a payload without a type"),
    }
}

fn load_payload<T: Lift>(cx: &mut LiftContext<'_>, ty: Option<&Type>, at: u64) -> Result<T> {
    match ty {
        Some(ty) => T::load(cx, ty, at),
        None => T::nothing().context("belljar bug: a payload without a type"),
    }
}

impl<T: Lift, E: Lift> Lift for std::result::Result<T, E> {
    fn lift(cx: &mut LiftContext<'_>, ty: &Type, flat: &mut FlatValues<'_>) -> Result<Self> {
        let (ok, err) = payloads(ty)?;
        lift_case(cx, ty, flat, |cx, case, flat| match case {
            0 => lift_payload(cx, ok, flat).map(Ok),
            1 => lift_payload(cx, err, flat).map(Err),
            _ => invalid(case, ty),
        })
    }

    fn load(cx: &mut LiftContext<'_>, ty: &Type, at: u64) -> Result<Self> {
        let (ok, err) = payloads(ty)?;
        match load_case(cx, ty, at)? {
            (0, at) => load_payload(cx, ok, at).map(Ok),
            (1, at) => load_payload(cx, err, at).map(Err),
            (case, _) => invalid(case, ty),
        }
    }
}

impl<T: Lower, E: Lower> Lower for std::result::Result<T, E> {
    fn lower(&self, cx: &mut LowerContext<'_>, ty: &Type, flat: &mut FlatSink) -> Result<()> {
        let (ok, err) = payloads(ty)?;
        lower_case(cx, ty, u64::from(self.is_err()), flat, |cx, flat| match (self, ok, err) {
            (Ok(value), Some(ty), _) => value.lower(cx, ty, flat),
            (Err(value), _, Some(ty)) => value.lower(cx, ty, flat),
            _ => Ok(()),
        })
    }

    fn store(&self, cx: &mut LowerContext<'_>, ty: &Type, at: u64) -> Result<()> {
        let (ok, err) = payloads(ty)?;
        let at = store_case(cx, ty, at, u64::from(self.is_err()))?;
        match (self, ok, err) {
            (Ok(value), Some(ty), _) => value.store(cx, ty, at),
            (Err(value), _, Some(ty)) => value.store(cx, ty, at),
            _ => Ok(()),
        }
    }
}

/// Only the payload of a result: no value of a component has this type.
impl ComponentType for () {
    const IS_NOTHING: bool = true;

    fn check(ty: &Type, _types: &dyn HostTypes) -> Result<()> {
        expected("no payload", ty)
    }
}

impl Lift for () {
    fn nothing() -> Option<Self> {
        Some(())
    }

    fn lift(_cx: &mut LiftContext<'_>, _ty: &Type, _flat: &mut FlatValues<'_>) -> Result<Self> {
        Ok(())
    }

    fn load(_cx: &mut LiftContext<'_>, _ty: &Type, _at: u64) -> Result<Self> {
        Ok(())
    }
}

impl Lower for () {
    fn lower(&self, _cx: &mut LowerContext<'_>, _ty: &Type, _flat: &mut FlatSink) -> Result<()> {
        Ok(())
    }

    fn store(&self, _cx: &mut LowerContext<'_>, _ty: &Type, _at: u64) -> Result<()> {
        Ok(())
    }
}

#[inline]
fn fields(ty: &Type, count: usize) -> Result<&[Type]> {
    match ty {
        Type::Tuple(tuple) if tuple.types().len() == count => Ok(tuple.types()),
        _ => expected(&format!("a tuple of {count}"), ty),
    }
}

#[inline]
fn offsets(ty: &Type, address: crate::types::AddressType) -> &[u32] {
    match ty {
        Type::Tuple(tuple) => tuple.offsets(address),
        _ => &[],
    }
}

macro_rules! tuples {
    ($($count:literal: $($name:ident $index:tt)*;)*) => {$(
        impl<$($name: ComponentType),*> ComponentType for ($($name,)*) {
            fn check(ty: &Type, types: &dyn HostTypes) -> Result<()> {
                let fields = fields(ty, $count)?;
                $($name::check(&fields[$index], types).context(concat!("field ", $index, " of a tuple"))?;)*
                Ok(())
            }
        }

        impl<$($name: Lift),*> Lift for ($($name,)*) {
            fn lift(cx: &mut LiftContext<'_>, ty: &Type, flat: &mut FlatValues<'_>) -> Result<Self> {
                let fields = fields(ty, $count)?;
                Ok(($($name::lift(cx, &fields[$index], flat)?,)*))
            }

            fn load(cx: &mut LiftContext<'_>, ty: &Type, at: u64) -> Result<Self> {
                let (fields, offsets) = (fields(ty, $count)?, offsets(ty, cx.address()));
                Ok(($($name::load(cx, &fields[$index], at + u64::from(offsets[$index]))?,)*))
            }
        }

        impl<$($name: Lower),*> Lower for ($($name,)*) {
            fn lower(&self, cx: &mut LowerContext<'_>, ty: &Type, flat: &mut FlatSink) -> Result<()> {
                let fields = fields(ty, $count)?;
                $(self.$index.lower(cx, &fields[$index], flat)?;)*
                Ok(())
            }

            fn store(&self, cx: &mut LowerContext<'_>, ty: &Type, at: u64) -> Result<()> {
                let (fields, offsets) = (fields(ty, $count)?, offsets(ty, cx.address()));
                $(self.$index.store(cx, &fields[$index], at + u64::from(offsets[$index]))?;)*
                Ok(())
            }
        }
    )*};
}

tuples! {
    1: A 0;
    2: A 0 B 1;
    3: A 0 B 1 C 2;
    4: A 0 B 1 C 2 D 3;
    5: A 0 B 1 C 2 D 3 E 4;
    6: A 0 B 1 C 2 D 3 E 4 F 5;
    7: A 0 B 1 C 2 D 3 E 4 F 5 G 6;
    8: A 0 B 1 C 2 D 3 E 4 F 5 G 6 H 7;
    9: A 0 B 1 C 2 D 3 E 4 F 5 G 6 H 7 I 8;
    10: A 0 B 1 C 2 D 3 E 4 F 5 G 6 H 7 I 8 J 9;
    11: A 0 B 1 C 2 D 3 E 4 F 5 G 6 H 7 I 8 J 9 K 10;
    12: A 0 B 1 C 2 D 3 E 4 F 5 G 6 H 7 I 8 J 9 K 10 L 11;
    13: A 0 B 1 C 2 D 3 E 4 F 5 G 6 H 7 I 8 J 9 K 10 L 11 M 12;
    14: A 0 B 1 C 2 D 3 E 4 F 5 G 6 H 7 I 8 J 9 K 10 L 11 M 12 N 13;
    15: A 0 B 1 C 2 D 3 E 4 F 5 G 6 H 7 I 8 J 9 K 10 L 11 M 12 N 13 O 14;
    16: A 0 B 1 C 2 D 3 E 4 F 5 G 6 H 7 I 8 J 9 K 10 L 11 M 12 N 13 O 14 P 15;
}
