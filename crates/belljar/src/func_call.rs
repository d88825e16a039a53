//! Creating host functions, and calling functions.

use crate::context::check_store;
use crate::engine::engine_of;
use crate::exception::to_runtime;
use crate::func::Func;
use crate::resumable::Ended;
use crate::run_error::from_exit;
use crate::wasm_ty::for_each_arity;
use crate::{
    AsContext, AsContextMut, Caller, Engine, FuncType, Result, ResumableCall, StoreContextMut,
    TypedResumableCall, Val, WasmParams, WasmResults, WasmRet, WasmTy,
};
use belljar_core::{Counted, FuncRefId, InstanceId};
use belljar_vm::{Checkpoint, DirectCall, HostFunc, StoreCore, StoreInner, Value};
use std::fmt;
use std::sync::Arc;

/// The message of the panic of [`Func::wrap`] if the store is full.
const ROOM: &str = "room in the store for a host function";

/// A function whose Rust types were checked once, so that calls need not check them.
pub struct TypedFunc<Params: WasmParams, Results: WasmResults> {
    inner: belljar_vm::TypedFunc<Params::Abi, Results::ResultAbi>,
}

impl<P: WasmParams, R: WasmResults> Clone for TypedFunc<P, R> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<P: WasmParams, R: WasmResults> std::fmt::Debug for TypedFunc<P, R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.inner.fmt(f)
    }
}

impl<P: WasmParams, R: WasmResults> Copy for TypedFunc<P, R> {}

impl<P: WasmParams, R: WasmResults> TypedFunc<P, R> {
    /// Returns the same function for `store`, if the function existed at a checkpoint and the store has been at that
    /// checkpoint. Returns `None` for other stores.
    pub(crate) fn since<T: 'static>(self, store: &crate::Store<T>, checkpoint: &Checkpoint) -> Option<Self> {
        Some(Self { inner: self.inner.since(store.core(), checkpoint)? })
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
    // Inlined because the inlined code is small, and a loop of calls then saves the registers only once.
    #[inline(always)]
    pub fn call(&self, mut store: impl AsContextMut, params: P) -> Result<R> {
        let store = store.as_context_mut().0;
        let params = params.into_abi(store.core())?;
        match self.inner.call_direct(store, params) {
            DirectCall::Returned(results) => Ok(R::from_result(results, store.core_mut())),
            DirectCall::Left => Err(Self::error(store)),
            DirectCall::NotNow => self.call_checked(store, params),
        }
    }

    #[inline(never)]
    fn call_checked<T: 'static>(&self, store: &mut StoreInner<T>, params: P::Abi) -> Result<R> {
        if self.inner.narrows() {
            self.inner.check(store.core(), &params)?;
        }
        match self.inner.call(store, params) {
            Ok(results) => Ok(R::from_result(results, store.core_mut())),
            Err(exit) => Err(from_exit(exit, store.core())),
        }
    }

    /// Returns the error of a direct call that did not return.
    #[cold]
    #[inline(never)]
    fn error<T: 'static>(store: &mut StoreInner<T>) -> crate::Error {
        let exit = store.core_mut().leave();
        from_exit(exit, store.core())
    }

    /// Calls the function as [`Func::call_resumable`] does.
    ///
    /// # Errors
    ///
    /// Returns an error as [`Func::call_resumable`] does.
    ///
    /// # Panics
    ///
    /// Panics as [`Func::call`] does.
    pub fn call_resumable(&self, mut store: impl AsContextMut, params: P) -> Result<TypedResumableCall<R>> {
        let store = store.as_context_mut().0;
        let params = params.into_abi(store.core())?;
        let ended = self.inner.call_resumable(store, params);
        Ok(Ended::new(self.inner.func(), ended, store.core())?.typed(store.core_mut()))
    }

    /// Returns the function without its Rust types.
    pub fn func(&self) -> Func {
        Func::from_id(self.inner.store(), self.inner.func())
    }
}

/// A closure that can be a host function. Its parameters are up to 16 [`WasmTy`]s, optionally after a [`Caller`], and
/// it returns a [`WasmRet`].
pub trait IntoFunc<T: 'static, Params, Results>: Send + Sync + 'static {
    #[doc(hidden)]
    fn into_host_func(self, runtime: &Arc<belljar_vm::Runtime>) -> Result<Arc<HostFunc>>;
}

macro_rules! into_func {
    ($($name:ident)*) => {
        #[allow(non_snake_case, unused_variables)]
        impl<T: 'static, F, $($name: WasmTy,)* R: WasmRet> IntoFunc<T, ($($name,)*), R> for F
        where
            F: Fn($($name),*) -> R + Send + Sync + 'static,
        {
            fn into_host_func(self, runtime: &Arc<belljar_vm::Runtime>) -> Result<Arc<HostFunc>> {
                let f = move |_: Caller<'_, T>, $($name: $name),*| self($($name),*);
                f.into_host_func(runtime)
            }
        }

        #[allow(non_snake_case, unused_variables)]
        impl<T: 'static, F, $($name: WasmTy,)* R: WasmRet> IntoFunc<T, (Caller<'_, T>, $($name,)*), R> for F
        where
            F: Fn(Caller<'_, T>, $($name),*) -> R + Send + Sync + 'static,
        {
            fn into_host_func(self, runtime: &Arc<belljar_vm::Runtime>) -> Result<Arc<HostFunc>> {
                HostFunc::typed::<T, _, <R::Results as WasmResults>::ResultAbi, _>(
                    runtime,
                    move |store: &mut StoreInner<T>, instance: Option<InstanceId>, params: ($($name::Abi,)*)| {
                        let ($($name,)*) = params;
                        $(let $name = <$name as WasmTy>::from_abi($name, store.core_mut());)*
                        let caller = Caller { store: StoreContextMut::new(&mut *store), instance };
                        let results = self(caller, $($name),*).into_results();
                        let results = results.map_err(|error| to_runtime(error, store.core()))?;
                        results.into_result(store.core())
                    },
                )
            }
        }
    };
}

for_each_arity!(into_func);

/// Creates a host function whose type is known only at run time.
pub(crate) fn dynamic<T: 'static>(
    engine: &Engine,
    ty: FuncType,
    func: impl Fn(Caller<'_, T>, &[Val], &mut [Val]) -> Result<()> + Send + Sync + 'static,
) -> Result<Arc<HostFunc>> {
    let run = move |store: &mut StoreInner<T>,
                    instance: Option<InstanceId>,
                    params: &[Value],
                    results: &mut [Value]|
          -> Result<()> {
        let core = store.core_mut();
        let params: Vec<Val> = params.iter().map(|v| Val::from_value(*v, core)).collect();
        let mut out: Vec<Val> = results.iter().map(|v| Val::from_value(*v, core)).collect();
        let ended = func(Caller { store: StoreContextMut::new(&mut *store), instance }, &params, &mut out);
        ended.map_err(|error| to_runtime(error, store.core()))?;
        for (result, value) in results.iter_mut().zip(out) {
            *result = value.to_value(store.core())?;
        }
        Ok(())
    };
    let ty = ty.to_core(engine)?;
    HostFunc::dynamic::<T, _>(engine.runtime(), ty, run)
}

impl Func {
    /// Creates a host function whose type is known only at run time. `func` receives the parameters and a slice of
    /// results, which are initially zero or null. It must replace each result by a value of its type.
    ///
    /// # Panics
    ///
    /// Panics if the store is full, if the type refers to a type of another engine, or if the engine compiles for
    /// another processor. Without the feature `compiler`, also panics if no loaded module has a function type like this.
    pub fn new<T: 'static>(
        mut store: impl AsContextMut<Data = T>,
        ty: FuncType,
        func: impl Fn(Caller<'_, T>, &[Val], &mut [Val]) -> Result<()> + Send + Sync + 'static,
    ) -> Self {
        let created = Self::try_new(store.as_context_mut(), ty, func);
        created.unwrap_or_else(|error| panic!("cannot create a host function: {error:#}"))
    }

    /// Creates a host function as [`Func::new`] does.
    ///
    /// # Errors
    ///
    /// Returns an error if the type belongs to another engine, or if the store has no room for another function.
    pub fn try_new<T: 'static>(
        mut store: impl AsContextMut<Data = T>,
        ty: FuncType,
        func: impl Fn(Caller<'_, T>, &[Val], &mut [Val]) -> Result<()> + Send + Sync + 'static,
    ) -> Result<Self> {
        let store = store.as_context_mut();
        let host = dynamic(engine_of(store.0.core()), ty, func)?;
        Self::enter(store.0.core_mut(), &host)
    }

    /// Creates a host function from a closure whose parameters are up to 16 [`WasmTy`]s, optionally after a [`Caller`].
    ///
    /// ```
    /// use belljar::{Caller, Engine, Func, Store};
    /// let engine = Engine::default();
    /// let mut store = Store::new(&engine, 0_u32);
    /// let add = Func::wrap(&mut store, |mut caller: Caller<'_, u32>, a: i32, b: i32| {
    ///     *caller.data_mut() += 1;
    ///     a + b
    /// });
    /// assert_eq!(add.typed::<(i32, i32), i32>(&store)?.call(&mut store, (2, 3))?, 5);
    /// assert_eq!(*store.data(), 1);
    /// # Ok::<(), belljar::Error>(())
    /// ```
    ///
    /// # Panics
    ///
    /// Panics if the store is full. Without the feature `compiler`, also panics if the parameters or results do not fit
    /// into registers and no loaded module has a function type like this.
    pub fn wrap<T: 'static, Params, Results>(
        mut store: impl AsContextMut<Data = T>,
        func: impl IntoFunc<T, Params, Results>,
    ) -> Self {
        Self::try_wrap(store.as_context_mut(), func).expect(ROOM)
    }

    /// Creates a host function as [`Func::wrap`] does.
    ///
    /// # Errors
    ///
    /// Returns an error if the store has no room for another function.
    pub fn try_wrap<T: 'static, Params, Results>(
        mut store: impl AsContextMut<Data = T>,
        func: impl IntoFunc<T, Params, Results>,
    ) -> Result<Self> {
        let store = store.as_context_mut();
        let host = func.into_host_func(store.0.core().runtime())?;
        Self::enter(store.0.core_mut(), &host)
    }

    /// Creates a host function that takes and returns numbers, at most one of them as its result. `func` gets their bits, those
    /// of 32 bits in the lower half, and returns bits. `name` is shown in stacks: that of an interface, and of the function.
    ///
    /// # Errors
    ///
    /// Returns an error if the type has something else, or if the store has no room for another function.
    #[cfg(feature = "component-model")]
    pub(crate) fn numeric<T: 'static>(
        store: &mut StoreContextMut<'_, T>,
        (interface, name): (&str, &str),
        ty: FuncType,
        func: impl Fn(&mut StoreInner<T>, &[u64]) -> Result<u64> + Send + Sync + 'static,
    ) -> Result<Self> {
        let core = store.0.core();
        let ty = ty.to_core(engine_of(core))?;
        let host = HostFunc::numeric::<T, _>(core.runtime(), ty, move |store, bits| {
            func(store, bits).map_err(|error| to_runtime(error, store.core()))
        })?;
        host.set_name(interface, name);
        Self::enter(store.0.core_mut(), &host)
    }

    fn enter(store: &mut StoreCore, host: &Arc<HostFunc>) -> Result<Self> {
        let id = store.new_host_func(host, None)?;
        Ok(Self::from_id(store.id(), id))
    }

    /// Calls the function and writes its results to `results`.
    ///
    /// # Errors
    ///
    /// Returns an error if the parameters or the length of `results` do not match the function's type, if a value
    /// belongs to another store, or if the function does not return because of a [`crate::Trap`] or an error of a host
    /// function.
    ///
    /// # Panics
    ///
    /// Panics if the function belongs to another store. A panic of a host function propagates.
    pub fn call(&self, mut store: impl AsContextMut, params: &[Val], results: &mut [Val]) -> Result<()> {
        let store = store.as_context_mut();
        let core = store.0.core();
        check_store(self.store(), core, "Func");
        Self::check_room(self.id(), core, results)?;
        let params = params.iter().map(|v| v.to_value(core)).collect::<Result<Vec<_>>>()?;
        let mut out = Vec::new();
        let called = belljar_vm::call_values(store.0, self.id(), &params, &mut out);
        called.map_err(|exit| from_exit(exit, store.0.core()))?;
        let core = store.0.core_mut();
        for (result, value) in results.iter_mut().zip(out) {
            *result = Val::from_value(value, core);
        }
        Ok(())
    }

    /// Checks that there is an element for each result of a function.
    pub(crate) fn check_room(func: FuncRefId, core: &StoreCore, results: &[Val]) -> Result<()> {
        let expected = core.func_type(func).results().len();
        belljar_core::ensure!(
            results.len() == expected,
            "the function has {}, but `results` has {}",
            Counted::of(expected, "result"),
            Counted::of(results.len(), "element")
        );
        Ok(())
    }

    /// Calls the function. If a host function that it calls returns an error, or its fuel is used up, the call is
    /// suspended, and can be resumed where it was.
    ///
    /// Only calls of the host by this call itself suspend it: if a host function calls a guest in turn, and that one
    /// fails, the host function gets the error. If this function is itself the host's, its error is returned. The guest,
    /// and the host functions that it calls, run on a stack of their own, of which host functions have at least 1.5 MiB.
    /// Each part of the call counts as a run of its own, for [`Limits`](crate::Limits) per run and for call hooks.
    ///
    /// ```
    /// use belljar::{Engine, Func, Instance, Module, ResumableCall, Result, Store, Val};
    /// let engine = Engine::default();
    /// let mut store = Store::new(&engine, ());
    /// let module = Module::new(
    ///     &engine,
    ///     r#"(module
    ///         (import "host" "ask" (func $ask (result i32)))
    ///         (func (export "double") (result i32) (i32.mul (call $ask) (i32.const 2))))"#,
    /// )?;
    /// let ask = Func::wrap(&mut store, || -> Result<i32> { belljar::bail!("there is no answer yet") });
    /// let instance = Instance::new(&mut store, &module, &[ask.into()])?;
    /// let double = instance.get_func(&mut store, "double").unwrap();
    ///
    /// let mut results = [Val::I32(0)];
    /// let ResumableCall::HostTrap(call) = double.call_resumable(&mut store, &[], &mut results)? else {
    ///     unreachable!("the host function fails");
    /// };
    /// assert_eq!(call.host_error().root_cause().to_string(), "there is no answer yet");
    /// // Later, with the answer:
    /// let ended = call.resume(&mut store, &[Val::I32(21)], &mut results)?;
    /// assert!(matches!(ended, ResumableCall::Finished));
    /// assert_eq!(results[0].unwrap_i32(), 42);
    /// # Ok::<(), belljar::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Returns an error as [`Func::call`] does, except for errors of host functions and exhausted fuel. Also returns an
    /// error if there is no address space for the stack.
    ///
    /// # Panics
    ///
    /// Panics as [`Func::call`] does.
    pub fn call_resumable(
        &self,
        mut store: impl AsContextMut,
        params: &[Val],
        results: &mut [Val],
    ) -> Result<ResumableCall> {
        let store = store.as_context_mut();
        let core = store.0.core();
        check_store(self.store(), core, "Func");
        Self::check_room(self.id(), core, results)?;
        let params = params.iter().map(|v| v.to_value(core)).collect::<Result<Vec<_>>>()?;
        let ended = belljar_vm::call_resumable(store.0, self.id(), &params);
        Ok(Ended::new(self.id(), ended, store.0.core())?.write(store.0.core_mut(), results))
    }

    /// Returns the function with Rust types, for fast calls.
    ///
    /// If a parameter of the function is a reference to a narrower type than the Rust type (for example `(ref $point)`
    /// for `Option<`[`Rooted`](crate::Rooted)`<`[`AnyRef`](crate::AnyRef)`>>`), each call checks the type of the
    /// reference. Results may have narrower types than the Rust types.
    ///
    /// # Errors
    ///
    /// Returns an error if the function's type does not match.
    ///
    /// # Panics
    ///
    /// Panics if the function belongs to another store.
    pub fn typed<Params: WasmParams, Results: WasmResults>(
        &self,
        store: impl AsContext,
    ) -> Result<TypedFunc<Params, Results>> {
        let core = store.as_context().0.core();
        check_store(self.store(), core, "Func");
        self.typed_as(core, format_args!("the function"))
    }

    /// Returns the function with Rust types. An error calls it `name`.
    pub(crate) fn typed_as<Params: WasmParams, Results: WasmResults>(
        &self,
        core: &StoreCore,
        name: fmt::Arguments<'_>,
    ) -> Result<TypedFunc<Params, Results>> {
        belljar_vm::TypedFunc::new(core, self.id()).map(|inner| TypedFunc { inner }).map_err(|found| {
            let wanted = belljar_core::FuncType::new(
                <Params::Abi as belljar_vm::AbiParams>::TYPES.iter().copied(),
                <Results::ResultAbi as belljar_vm::AbiResult>::TYPES.iter().copied(),
            );
            belljar_core::format_err!("type mismatch: {name} has type {found}, but {wanted} was requested")
        })
    }
}
