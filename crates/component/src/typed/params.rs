//! Parameters and results of functions: tuples.

use super::{HostTypes, Lift, Lower};
use crate::abi::{
    FlatSink, FlatValues, LiftContext, LowerContext, allocate, check_place, check_result_place, pointer,
};
use crate::types::{FuncType, Type};
use belljar_core::{Context, Counted, OutsideText, Result, bail, ensure};

/// Parameters that the host passes: a tuple of up to 16 [`Lower`]s.
pub trait LowerParams {
    /// Checks that a function takes such parameters.
    ///
    /// # Errors
    ///
    /// Returns an error that names the first parameter that is of another type.
    fn check_params(ty: &FuncType, types: &dyn HostTypes) -> Result<()>;

    /// Lowers the parameters.
    ///
    /// # Errors
    ///
    /// Returns an error if the guest does not provide room, or a handle is invalid.
    fn lower_params(&self, cx: &mut LowerContext<'_>, ty: &FuncType, flat: &mut FlatSink) -> Result<()>;
}

/// Parameters that a host function takes: a tuple of up to 16 [`Lift`]s.
pub trait LiftParams: Sized {
    /// Checks that a function takes such parameters.
    ///
    /// # Errors
    ///
    /// Returns an error that names the first parameter that is of another type.
    fn check_params(ty: &FuncType, types: &dyn HostTypes) -> Result<()>;

    /// Lifts the parameters.
    ///
    /// # Errors
    ///
    /// Returns an error if the guest passes something invalid.
    fn lift_params(cx: &mut LiftContext<'_>, ty: &FuncType, flat: &[u64]) -> Result<Self>;
}

/// The result that the host gets: `()`, or a tuple of one [`Lift`].
pub trait LiftResults: Sized {
    /// Checks that a function has such a result.
    ///
    /// # Errors
    ///
    /// Returns an error if it is of another type.
    fn check_results(ty: &FuncType, types: &dyn HostTypes) -> Result<()>;

    /// Lifts the result.
    ///
    /// # Errors
    ///
    /// Returns an error if the guest returns something invalid.
    fn lift_results(cx: &mut LiftContext<'_>, ty: &FuncType, flat: &[u64]) -> Result<Self>;
}

/// The result that a host function returns: `()`, or a tuple of one [`Lower`].
pub trait LowerResults {
    /// Checks that a function has such a result.
    ///
    /// # Errors
    ///
    /// Returns an error if it is of another type.
    fn check_results(ty: &FuncType, types: &dyn HostTypes) -> Result<()>;

    /// Lowers the result. `passed` are the core values that the function was called with: the last one may be the address
    /// for the result.
    ///
    /// # Errors
    ///
    /// Returns an error if the guest does not provide room, or a handle is invalid.
    fn lower_results(
        &self,
        cx: &mut LowerContext<'_>,
        ty: &FuncType,
        passed: &[u64],
        flat: &mut FlatSink,
    ) -> Result<()>;
}

#[inline]
fn param(ty: &FuncType, index: usize) -> Result<&Type> {
    match ty.params().get(index) {
        Some((_, ty)) => Ok(ty),
        None => bail!("belljar bug: a parameter that was not checked"),
    }
}

fn check_count(ty: &FuncType, count: usize) -> Result<()> {
    ensure!(
        ty.params().len() == count,
        "expected {}, found {}",
        Counted::of(count, "parameter"),
        Counted::of(ty.params().len(), "parameter")
    );
    Ok(())
}

fn name(ty: &FuncType, index: usize) -> String {
    let name = ty.params().get(index).map_or("", |(name, _)| name);
    format!("parameter {}", OutsideText::new(name))
}

macro_rules! params {
    ($($count:literal: $($name:ident $index:tt)*;)*) => {$(
        #[allow(unused_variables, unused_mut)]
        impl<$($name: Lower),*> LowerParams for ($($name,)*) {
            fn check_params(ty: &FuncType, types: &dyn HostTypes) -> Result<()> {
                check_count(ty, $count)?;
                $($name::check(param(ty, $index)?, types).with_context(|| name(ty, $index))?;)*
                Ok(())
            }

            #[inline]
            fn lower_params(&self, cx: &mut LowerContext<'_>, ty: &FuncType, flat: &mut FlatSink) -> Result<()> {
                let address = cx.address();
                if ty.passes_flat(address) {
                    $(self.$index.lower(cx, param(ty, $index)?, flat)?;)*
                    return Ok(());
                }
                let layout = ty.param_tuple().layout(address);
                let offsets = ty.param_tuple().offsets(address);
                let at = allocate(cx, layout.align, u64::from(layout.size))?;
                $(self.$index.store(cx, param(ty, $index)?, at + u64::from(offsets[$index]))?;)*
                flat.push(at)
            }
        }

        #[allow(unused_variables, unused_mut, clippy::unused_unit)]
        impl<$($name: Lift),*> LiftParams for ($($name,)*) {
            fn check_params(ty: &FuncType, types: &dyn HostTypes) -> Result<()> {
                check_count(ty, $count)?;
                $($name::check(param(ty, $index)?, types).with_context(|| name(ty, $index))?;)*
                Ok(())
            }

            #[inline]
            fn lift_params(cx: &mut LiftContext<'_>, ty: &FuncType, flat: &[u64]) -> Result<Self> {
                let address = cx.address();
                let mut flat = FlatValues::new(flat);
                if ty.passes_flat(address) {
                    return Ok(($($name::lift(cx, param(ty, $index)?, &mut flat)?,)*));
                }
                let at = pointer(flat.next()?, address);
                check_place(cx.memory()?, at, ty.param_tuple(), address)?;
                let offsets = ty.param_tuple().offsets(address);
                Ok(($($name::load(cx, param(ty, $index)?, at + u64::from(offsets[$index]))?,)*))
            }
        }
    )*};
}

params! {
    0: ;
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

fn no_result(ty: &FuncType) -> Result<()> {
    match ty.result() {
        None => Ok(()),
        Some(found) => bail!("expected no result, found {found}"),
    }
}

#[inline]
fn result(ty: &FuncType) -> Result<&Type> {
    ty.result().context("expected a result, and the function has none")
}

impl LiftResults for () {
    fn check_results(ty: &FuncType, _types: &dyn HostTypes) -> Result<()> {
        no_result(ty)
    }

    fn lift_results(_cx: &mut LiftContext<'_>, _ty: &FuncType, _flat: &[u64]) -> Result<Self> {
        Ok(())
    }
}

impl<R: Lift> LiftResults for (R,) {
    fn check_results(ty: &FuncType, types: &dyn HostTypes) -> Result<()> {
        R::check(result(ty)?, types).context("the result")
    }

    #[inline]
    fn lift_results(cx: &mut LiftContext<'_>, ty: &FuncType, flat: &[u64]) -> Result<Self> {
        let address = cx.address();
        let mut flat = FlatValues::new(flat);
        if ty.returns_flat(address) {
            return Ok((R::lift(cx, result(ty)?, &mut flat)?,));
        }
        let at = pointer(flat.next()?, address);
        check_result_place(cx.memory()?, at, result(ty)?, address)?;
        Ok((R::load(cx, result(ty)?, at)?,))
    }
}

impl LowerResults for () {
    fn check_results(ty: &FuncType, _types: &dyn HostTypes) -> Result<()> {
        no_result(ty)
    }

    fn lower_results(
        &self,
        _cx: &mut LowerContext<'_>,
        _ty: &FuncType,
        _passed: &[u64],
        _flat: &mut FlatSink,
    ) -> Result<()> {
        Ok(())
    }
}

impl<R: Lower> LowerResults for (R,) {
    fn check_results(ty: &FuncType, types: &dyn HostTypes) -> Result<()> {
        R::check(result(ty)?, types).context("the result")
    }

    #[inline]
    fn lower_results(
        &self,
        cx: &mut LowerContext<'_>,
        ty: &FuncType,
        passed: &[u64],
        flat: &mut FlatSink,
    ) -> Result<()> {
        let address = cx.address();
        if ty.returns_flat(address) {
            return self.0.lower(cx, result(ty)?, flat);
        }
        let at = pointer(passed.last().copied().unwrap_or_default(), address);
        check_result_place(cx.memory()?, at, result(ty)?, address)?;
        self.0.store(cx, result(ty)?, at)
    }
}
