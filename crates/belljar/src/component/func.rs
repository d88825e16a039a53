//! Functions of components.

use super::exit::{attempt, in_call_of, leave};
use super::guest::{Guest, call_core, number_func};
use super::host_handles::{give, take};
use super::lifted::{Lifted, Parts};
use super::linked::{HostFunc, Linked};
use super::state::{FuncId, InnerId, StoreComponents};
use super::val::Val;
use crate::context::check_store;
use crate::{AsContext, AsContextMut, Result, StoreContextMut};
use belljar_component::Passed;
use belljar_component::abi::{FlatSink, LiftContext, LowerContext, lift_result, lower_params};
use belljar_component::types::{FuncType, Type};
use belljar_component::{Func as Function, FuncIndex, FuncOrigin, Val as AnyVal, check_params};
use belljar_core::{Context, Counted, ensure};
use belljar_vm::StoreId;
use std::sync::Arc;

/// A function of a component's instance, in a store.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Func {
    store: StoreId,
    instance: u32,
    func: FuncIndex,
}

impl Func {
    pub(super) fn new(store: StoreId, instance: u32, func: FuncIndex) -> Self {
        Self { store, instance, func }
    }

    /// Returns what names the function in its store.
    pub(super) fn id(self) -> FuncId {
        FuncId { store: self.store, instance: self.instance, func: self.func }
    }

    /// Returns the function's type.
    ///
    /// # Panics
    ///
    /// Panics if the function belongs to another store.
    pub fn ty(&self, store: impl AsContext) -> Arc<FuncType> {
        let core = store.as_context().0.core();
        check_store(self.store, core, "component::Func");
        let components = StoreComponents::of(core).expect("the store has an instance");
        let instance = &components.instances[self.instance as usize];
        instance.component.plan().funcs[self.func.index()].ty.clone()
    }

    /// Calls the function, and writes its result to `results`, which has one element if the function has a result and none
    /// otherwise.
    ///
    /// # Errors
    ///
    /// Returns an error if the parameters or the length of `results` do not match the function's type, if a resource is not
    /// there any more, if an earlier call has closed the instance, or if the function does not return because of a trap or
    /// an error of a host function. Then the instance is closed: it cannot be called any more.
    ///
    /// # Panics
    ///
    /// Panics if the function or a resource belongs to another store. A panic of a host function propagates.
    pub fn call(&self, mut store: impl AsContextMut, params: &[Val], results: &mut [Val]) -> Result<()> {
        let mut store = store.as_context_mut();
        let core = store.0.core_mut();
        check_store(self.store, core, "component::Func");
        let components = StoreComponents::of_mut(core);
        components.check_open(self.instance)?;
        let component = components.instances[self.instance as usize].component.clone();
        let ty = component.plan().funcs[self.func.index()].ty.clone();
        check_params(&ty, params)?;
        let expected = usize::from(ty.result().is_some());
        ensure!(
            results.len() == expected,
            "the function has {}, but `results` has {}",
            Counted::of(expected, "result"),
            Counted::of(results.len(), "element")
        );
        let running = components.running();
        let mut lent = Vec::new();
        let ended = attempt(|| {
            let passed = params.iter().zip(ty.params()).map(|(value, (_, ty))| {
                let take = &mut |ty: &Type, handle| take(&mut store, self.instance, ty, handle, &mut lent);
                value.clone().convert(ty, take)
            });
            let passed = passed.collect::<Result<Vec<_>>>()?;
            call_func(&mut store, self.instance, self.func, passed)
        });
        let components = StoreComponents::of_mut(store.0.core_mut());
        lent.into_iter().for_each(|number| components.host.give_back(number));
        let returned = leave(&mut store, self.instance, running, ended);
        let returned = in_call_of(store.0.core(), self.id(), returned)?;
        if let (Some(value), Some(ty), Some(result)) = (returned, ty.result(), results.first_mut()) {
            *result = value.convert(ty, &mut |_, passed| give(&mut store, passed, None))?;
        }
        Ok(())
    }
}

/// Calls a function of an instance.
pub(super) fn call_func<T: 'static>(
    store: &mut StoreContextMut<'_, T>,
    instance: u32,
    func: FuncIndex,
    params: Vec<AnyVal<Passed>>,
) -> Result<Option<AnyVal<Passed>>> {
    StoreComponents::of_mut(store.0.core_mut()).check_open(instance)?;
    match take_lifted(store, instance, func)? {
        None => {
            let components = StoreComponents::of_mut(store.0.core_mut());
            let ty = components.instances[instance as usize].component.plan().funcs[func.index()].ty.clone();
            host_func(store, instance, func)?.call_with(store, instance, &ty, params)
        }
        Some(lifted) => {
            let called = lifted.call(store, |cx, ty, flat| lower_params(cx, ty, &params, flat), lift_result);
            StoreComponents::of_mut(store.0.core_mut()).keep(func, lifted);
            called
        }
    }
}

/// Returns the host's function that an instance imports.
pub(super) fn host_func<T: 'static>(
    store: &mut StoreContextMut<'_, T>,
    instance: u32,
    func: FuncIndex,
) -> Result<HostFunc<T>> {
    let components = StoreComponents::of_mut(store.0.core_mut());
    let linked = components.instances[instance as usize].linked.clone();
    let linked = linked.downcast_ref::<Linked<T>>().context("belljar bug: imports for another store")?;
    linked.funcs.get(&func).cloned().context("belljar bug: a function that was not linked")
}

/// Takes what was looked up for a function, or looks it up; `None` if the host implements it.
#[inline]
pub(super) fn take_lifted<T: 'static>(
    store: &mut StoreContextMut<'_, T>,
    instance: u32,
    func: FuncIndex,
) -> Result<Option<Box<Lifted>>> {
    let kept = &mut StoreComponents::of_mut(store.0.core_mut()).instances[instance as usize].lifted;
    match kept.get_mut(func.index()).and_then(Option::take) {
        Some(lifted) => Ok(Some(lifted)),
        None => look_up(store, instance, func),
    }
}

/// Looks a function up; `None` if the host implements it.
#[cold]
pub(super) fn look_up<T: 'static>(
    store: &mut StoreContextMut<'_, T>,
    instance: u32,
    func: FuncIndex,
) -> Result<Option<Box<Lifted>>> {
    let components = StoreComponents::of_mut(store.0.core_mut());
    let component = components.instances[instance as usize].component.clone();
    let Function { ty, origin, .. } = &component.plan().funcs[func.index()];
    let FuncOrigin::Lifted { func, options, instance: inner } = origin else { return Ok(None) };
    let parts = Parts::of(store, InnerId { instance, inner: *inner }, options)?;
    let core = number_func(store, instance, func)?;
    let is_recorded = parts.keeps || ty.params().iter().any(|(_, ty)| ty.has_borrow());
    Ok(Some(Box::new(Lifted { ty: ty.clone(), instance, inner: *inner, core, parts, is_recorded })))
}

impl Lifted {
    /// Calls the function. `lower` lowers its parameters, and `lift` lifts its result.
    #[inline]
    pub(super) fn call<T: 'static, R>(
        &self,
        store: &mut StoreContextMut<'_, T>,
        lower: impl FnOnce(&mut LowerContext<'_>, &FuncType, &mut FlatSink) -> Result<()>,
        lift: impl FnOnce(&mut LiftContext<'_>, &FuncType, &[u64]) -> Result<R>,
    ) -> Result<R> {
        let at = InnerId { instance: self.instance, inner: self.inner };
        if !self.is_recorded {
            return self.run(&mut Guest::new(store, at, &self.parts, 0), lower, lift);
        }
        let call = StoreComponents::of_mut(store.0.core_mut()).begin_call();
        let called = self.run(&mut Guest::new(store, at, &self.parts, call), lower, lift);
        StoreComponents::of_mut(store.0.core_mut()).end_call(call);
        called
    }

    #[inline]
    fn run<T: 'static, R>(
        &self,
        guest: &mut Guest<'_, '_, T>,
        lower: impl FnOnce(&mut LowerContext<'_>, &FuncType, &mut FlatSink) -> Result<()>,
        lift: impl FnOnce(&mut LiftContext<'_>, &FuncType, &[u64]) -> Result<R>,
    ) -> Result<R> {
        let mut flat = FlatSink::default();
        guest.lowering(|cx| lower(cx, &self.ty, &mut flat))?;
        let returned = call_core(guest.store, &self.core, flat.bits())?;
        let returned = &[returned][..usize::from(self.core.has_result())];
        let result = guest.lifting(|cx| lift(cx, &self.ty, returned))?;
        if self.is_recorded {
            let call = guest.call;
            StoreComponents::of_mut(guest.store.0.core_mut()).check_borrows_of(call)?;
        }
        if let Some(post_return) = &self.parts.post_return {
            guest.call_confined(post_return, returned)?;
        }
        Ok(result)
    }
}
