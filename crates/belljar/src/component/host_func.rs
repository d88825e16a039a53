//! Functions of the host: with values whose types are known at run time, and with Rust types.

use super::exit::{attempt, result_of};
use super::guest::Guest;
use super::host_handles::{give, take};
use super::linked::HostFunction;
use super::state::StoreComponents;
use super::val::Val;
use crate::{Result, StoreContextMut};
use belljar_component::abi::{FlatSink, LowerContext, lift_params, lift_result, lower_params, lower_result};
use belljar_component::typed::{HostTypes, LiftParams, LowerResults};
use belljar_component::types::{FuncType, Type};
use belljar_component::{Passed, Scratch, Val as AnyVal};
use belljar_core::{Context, format_err};
use std::marker::PhantomData;
use std::sync::Arc;

/// A function with values whose types are known at run time.
pub(super) struct Dynamic<F>(pub(super) F);

impl<T: 'static, F> HostFunction<T> for Dynamic<F>
where
    F: Fn(StoreContextMut<'_, T>, Arc<FuncType>, &[Val], &mut [Val]) -> Result<()> + Send + Sync + 'static,
{
    fn check(&self, _ty: &FuncType, _types: &dyn HostTypes) -> Result<()> {
        Ok(())
    }

    fn call(
        &self,
        guest: &mut Guest<'_, '_, T>,
        ty: &Arc<FuncType>,
        passed: &[u64],
        flat: &mut FlatSink,
    ) -> Result<()> {
        let params = guest.lifting(|cx| lift_params(cx, ty, passed))?;
        let result = self.call_with(guest.store, guest.at.instance, ty, params)?;
        guest.lowering(|cx| lower_result(cx, ty, result.as_ref(), passed, flat))
    }

    fn call_with(
        &self,
        store: &mut StoreContextMut<'_, T>,
        instance: u32,
        ty: &Arc<FuncType>,
        params: Vec<AnyVal<Passed>>,
    ) -> Result<Option<AnyVal<Passed>>> {
        let components = StoreComponents::of_mut(store.0.core_mut());
        let call = components.begin_call();
        let mut borrowed = Vec::new();
        let mut results = vec![Val::Bool(false); usize::from(ty.result().is_some())];
        let ended = attempt(|| {
            let given = params.into_iter().zip(ty.params()).map(|(value, (_, ty))| {
                value.convert(ty, &mut |_, passed| {
                    let handle = give(store, passed, (!passed.owned).then_some(call))?;
                    if !passed.owned {
                        borrowed.push((handle, passed.ty));
                    }
                    Ok(handle)
                })
            });
            let given = given.collect::<Result<Vec<_>>>()?;
            (self.0)(StoreContextMut::new(&mut *store.0), ty.clone(), &given, &mut results)
        });
        let core = store.0.core_mut();
        let components = StoreComponents::of_mut(core);
        // The host may have dropped them already.
        for (handle, ty) in borrowed {
            if components.host.generation(handle.number) == Some(handle.generation) {
                components.host.drop_handle(handle.number, ty)?;
            }
        }
        components.end_call(call);
        result_of(ended)?;
        let (Some(result_ty), Some(value)) = (ty.result(), results.pop()) else { return Ok(None) };
        value.check(result_ty).context("a host function returned a value of another type than its own")?;
        let mut lent = Vec::new();
        let value = value.convert(result_ty, &mut |ty, handle| match ty {
            Type::Own(_) => take(store, instance, ty, handle, &mut lent),
            _ => Err(format_err!("a host function returned a borrowed resource, which has no owner")),
        })?;
        Ok(Some(value))
    }
}

/// A function with Rust types.
pub(super) struct Typed<F, P, R> {
    f: F,
    types: PhantomData<fn(P) -> R>,
}

impl<F, P, R> Typed<F, P, R> {
    pub(super) fn new(f: F) -> Self {
        Self { f, types: PhantomData }
    }
}

impl<T: 'static, F, P: LiftParams + 'static, R: LowerResults + 'static> HostFunction<T> for Typed<F, P, R>
where
    F: Fn(StoreContextMut<'_, T>, P) -> Result<R> + Send + Sync + 'static,
{
    fn check(&self, ty: &FuncType, types: &dyn HostTypes) -> Result<()> {
        P::check_params(ty, types)?;
        R::check_results(ty, types)
    }

    fn call(
        &self,
        guest: &mut Guest<'_, '_, T>,
        ty: &Arc<FuncType>,
        passed: &[u64],
        flat: &mut FlatSink,
    ) -> Result<()> {
        let params = guest.lifting(|cx| P::lift_params(cx, ty, passed))?;
        let results = (self.f)(StoreContextMut::new(&mut *guest.store.0), params)?;
        guest.lowering(|cx| results.lower_results(cx, ty, passed, flat))
    }

    fn call_with(
        &self,
        store: &mut StoreContextMut<'_, T>,
        instance: u32,
        ty: &Arc<FuncType>,
        params: Vec<AnyVal<Passed>>,
    ) -> Result<Option<AnyVal<Passed>>> {
        let components = StoreComponents::of_mut(store.0.core_mut());
        let mut scratch = Scratch::new(&components.instances[instance as usize].resources);
        let call = components.begin_call();
        let mut flat = FlatSink::default();
        scratch.lowering(components, |cx| lower_params(cx, ty, &params, &mut flat))?;
        let params = scratch.lifting(components, |cx| P::lift_params(cx, ty, flat.bits()))?;
        let results = (self.f)(StoreContextMut::new(&mut *store.0), params)?;
        let components = StoreComponents::of_mut(store.0.core_mut());
        components.end_call(call);
        let lower = |cx: &mut LowerContext<'_>, passed: &[u64], flat: &mut FlatSink| {
            results.lower_results(cx, ty, passed, flat)
        };
        let flat = scratch.with_result(components, ty, lower)?;
        scratch.lifting(components, |cx| lift_result(cx, ty, flat.bits()))
    }
}
