//! Functions of components with Rust types.

use super::exit::{attempt, in_call_of, leave};
use super::func::{Func, call_func, look_up};
use super::state::{HostTypesOf, StoreComponents};
use crate::context::check_store;
use crate::{AsContext, AsContextMut, Result, StoreContextMut};
use belljar_component::Scratch;
use belljar_component::abi::{FlatSink, lift_params, lower_result};
use belljar_component::typed::{LiftResults, LowerParams};
use belljar_core::Context;
use std::fmt;
use std::marker::PhantomData;

/// A function of a component whose Rust types were checked once: a tuple of parameters, and a tuple of one result or `()`.
pub struct TypedFunc<Params, Return> {
    func: Func,
    // Covariant: what borrows for one lifetime is lowered as what borrows for another one.
    types: PhantomData<fn() -> (Params, Return)>,
}

impl<P, R> Clone for TypedFunc<P, R> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<P, R> Copy for TypedFunc<P, R> {}

impl<P, R> fmt::Debug for TypedFunc<P, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.func.fmt(f)
    }
}

impl Func {
    /// Returns the function with Rust types, for calls without values that know their types at run time.
    ///
    /// # Errors
    ///
    /// Returns an error if the function's type does not match.
    ///
    /// # Panics
    ///
    /// Panics if the function belongs to another store.
    pub fn typed<Params: LowerParams, Return: LiftResults>(
        &self,
        store: impl AsContext,
    ) -> Result<TypedFunc<Params, Return>> {
        let core = store.as_context().0.core();
        let id = self.id();
        check_store(id.store, core, "component::Func");
        let components = StoreComponents::of(core).context("belljar bug: no components")?;
        let (ty, resources) = components.type_of(id, core.id());
        let types = HostTypesOf { components, resources };
        let check = || {
            Params::check_params(ty, &types)?;
            Return::check_results(ty, &types)
        };
        check().with_context(|| format!("type mismatch: the function has type {ty}"))?;
        Ok(TypedFunc { func: *self, types: PhantomData })
    }
}

impl<Params: LowerParams, Return: LiftResults> TypedFunc<Params, Return> {
    /// Returns the function without its Rust types.
    pub fn func(&self) -> Func {
        self.func
    }

    /// Calls the function.
    ///
    /// # Errors
    ///
    /// Returns an error as [`Func::call`] does.
    ///
    /// # Panics
    ///
    /// Panics as [`Func::call`] does.
    #[inline]
    pub fn call(&self, mut store: impl AsContextMut, params: Params) -> Result<Return> {
        let mut store = store.as_context_mut();
        let id = self.func.id();
        let core = store.0.core_mut();
        check_store(id.store, core, "component::Func");
        let (running, kept) = StoreComponents::of_mut(core).begin(id)?;
        let lifted = match kept {
            Some(lifted) => lifted,
            None => match look_up(&mut store, id.instance, id.func)? {
                Some(lifted) => lifted,
                None => return self.call_host(&mut store, params),
            },
        };
        let ended = attempt(|| {
            lifted.call(&mut store, |cx, ty, flat| params.lower_params(cx, ty, flat), Return::lift_results)
        });
        let components = StoreComponents::of_mut(store.0.core_mut());
        components.keep(id.func, lifted);
        match ended {
            Ok(Ok(result)) => {
                components.end_calls_after(running);
                Ok(result)
            }
            ended => {
                let left = leave(&mut store, id.instance, running, ended);
                in_call_of(store.0.core(), id, left)
            }
        }
    }

    /// Calls a function of the host, by way of values whose types are known at run time.
    #[cold]
    fn call_host<T: 'static>(&self, store: &mut StoreContextMut<'_, T>, params: Params) -> Result<Return> {
        let id = self.func.id();
        let components = StoreComponents::of_mut(store.0.core_mut());
        let running = components.running();
        let instance = &components.instances[id.instance as usize];
        let ty = instance.component.plan().funcs[id.func.index()].ty.clone();
        let mut scratch = Scratch::new(&instance.resources);
        let ended = attempt(|| {
            let mut flat = FlatSink::default();
            let components = StoreComponents::of_mut(store.0.core_mut());
            components.begin_call();
            scratch.lowering(components, |cx| params.lower_params(cx, &ty, &mut flat))?;
            let values = scratch.lifting(components, |cx| lift_params(cx, &ty, flat.bits()))?;
            let result = call_func(store, id.instance, id.func, values)?;
            let components = StoreComponents::of_mut(store.0.core_mut());
            let flat = scratch.with_result(components, &ty, |cx, at, flat| {
                lower_result(cx, &ty, result.as_ref(), at, flat)
            })?;
            scratch.lifting(components, |cx| Return::lift_results(cx, &ty, flat.bits()))
        });
        leave(store, id.instance, running, ended)
    }
}
