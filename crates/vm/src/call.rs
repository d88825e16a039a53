//! Calls from the host. Guest code is entered and left only here.
//!
//! There are two ways. [`TypedFunc::call_direct`] is for the second and further calls of a thread in a store without
//! run limits: the previous call has cached everything that a call looks up ([`StoreCore::ready`],
//! [`StoreContext::entry_sp`](belljar_abi::StoreContext::entry_sp)). [`StoreInner::enter`] is for all other calls.

use crate::abi_types::{AbiParams, AbiResult, MAX_ARITY, Value};
use crate::builtins;
use crate::checkpoint::Checkpoint;
use crate::exit::Exit;
use crate::gc::OuterRun;
use crate::guest_thread::{GuestThread, NEVER_ENTERED};
use crate::host_func::HostFunc;
use crate::machine::{Arguments, Entry, Returned, enter};
use crate::store::{NOT_READY, StoreCore};
use crate::store_id::StoreId;
use crate::store_inner::StoreInner;
use crate::store_monitor::HostCallBegan;
use crate::thread_registration::this_thread;
use crate::vm_ptr::VmPtr;
use belljar_abi::{ConstHeader, FuncObject, TrampolineKind, pending};
use belljar_core::{FuncRefId, FuncType, InstanceId, RawVal, Trap, TypeId, ValType};
use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::sync::Arc;

/// The contents of a function object, copied.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Callee {
    pub(crate) code: usize,
    pub(crate) context: usize,
    sig: TypeId,
    pub(crate) is_host: bool,
}

impl StoreCore {
    /// Returns a function's object. Ids come from checked handles of this store.
    pub(crate) fn object(&self, func: FuncRefId) -> VmPtr<FuncObject> {
        VmPtr::at(self.region.const_base() + func.0 as usize)
    }

    pub(crate) fn callee(&self, func: FuncRefId) -> Callee {
        let object = self.object(func).as_ptr();
        // SAFETY: an id names an object that was written when the id was made and never changes (STORE-PINNED); every
        // object has the fields read here.
        unsafe {
            Callee {
                code: (*object).code,
                context: (*object).context,
                sig: TypeId((*object).sig),
                is_host: (*object).func_index == FuncObject::HOST,
            }
        }
    }

    /// Returns the canonical id of a function's type.
    pub(crate) fn func_sig(&self, func: FuncRefId) -> TypeId {
        self.callee(func).sig
    }

    /// Returns the type of a function of this store.
    pub fn func_type(&self, func: FuncRefId) -> FuncType {
        let sig = self.func_sig(func);
        self.runtime.types.func_type(sig).unwrap_or_else(|| FuncType::new([], []))
    }

    /// Returns whether a function's type is one without a name of its own: one that is alone in its group, final, and no
    /// subtype. Modules that import functions of that type can import it.
    ///
    /// # Errors
    ///
    /// Returns an error if the engine has no room for another type.
    pub fn has_plain_type(&self, func: FuncRefId) -> belljar_core::Result<bool> {
        let plain = self.runtime.types.register_func(&self.func_type(func))?;
        Ok(plain.ids().first() == Some(&self.func_sig(func)))
    }

    /// Returns the instance that a guest function belongs to or that imported a host function, if known, and the
    /// function's index in its module if it is a guest function.
    pub fn func_origin(&self, func: FuncRefId) -> (Option<InstanceId>, Option<u32>) {
        let object = self.object(func).as_ptr();
        // SAFETY: as in `callee`.
        let (instance, index) = unsafe { ((*object).instance, (*object).func_index) };
        (
            (instance != FuncObject::NO_INSTANCE).then_some(InstanceId(instance)),
            (index != FuncObject::HOST).then_some(index),
        )
    }

    /// Returns a host function that no instance imported.
    pub(crate) fn unbound_host_func(&self, func: FuncRefId) -> Option<Arc<HostFunc>> {
        if self.func_origin(func) != (None, None) {
            return None;
        }
        // SAFETY: as in `callee`.
        let index = unsafe { (*self.object(func).as_ptr()).host };
        self.entities.host_funcs.get(index as usize).cloned()
    }

    /// Prepares for entering guest code. Returns the argument for [`StoreCore::end_run`].
    #[inline]
    pub(crate) fn begin_run(&mut self) -> OuterActivation {
        let roots = self.heap.roots.begin_run();
        if self.is_running() {
            let is_apart = std::mem::replace(&mut self.context_mut().is_apart, 0);
            return OuterActivation { roots, is_apart, host_call: Some(self.monitor.host_call()) };
        }
        self.ran = true;
        let thread = this_thread();
        thread.stack().prepare(self.context_mut());
        self.monitor.enter(thread);
        self.last_thread = if thread.is_on_own_stack() { thread.idle() } else { NEVER_ENTERED };
        self.ready = if !self.is_special && self.heap.roots.has_no_scoped_roots() {
            self.id.number()
        } else {
            NOT_READY
        };
        OuterActivation { roots, is_apart: 0, host_call: None }
    }

    /// Returns the current thread's record, if the store is ready, this thread was the last to enter its guest and is
    /// in no guest now, and the run that it left was not to be killed.
    #[inline]
    pub(crate) fn ready_thread(&self) -> Option<&'static GuestThread> {
        GuestThread::if_idle(self.last_thread).filter(|_| !self.monitor.is_killed())
    }

    /// Records that guest code has been left. Returns whether it has returned.
    #[inline]
    pub(crate) fn end_run(&mut self, outer: OuterActivation) -> bool {
        self.heap.roots.end_run(outer.roots);
        let has_returned = self.context_mut().pending == pending::NONE;
        match outer.host_call {
            Some(began) => {
                self.context_mut().is_apart = outer.is_apart;
                self.monitor.set_host_call(began);
            }
            None => {
                if !has_returned {
                    self.record_death();
                }
                self.monitor.leave();
            }
        }
        has_returned
    }

    /// Records that a guest which was killed has been left, and nothing of the store runs any more.
    // ORDER: a thread that kills checks whether the store is dead after it has stopped running.
    #[cold]
    pub(crate) fn record_death(&self) {
        if self.monitor.is_killed() {
            self.monitor.set_dead();
        }
    }

    /// Returns about how many bytes of native stack a guest would have that the caller calls; 0 if there are none left.
    pub fn stack_for_guests(&self) -> usize {
        let here = 0_u8;
        // SAFETY: STORE-EXCLUSIVE: nothing writes it while `self` is borrowed.
        let limit = unsafe { (*self.context()).stack_limit };
        std::ptr::from_ref(&here).addr().saturating_sub(limit)
    }

    /// Returns whether there is no native stack left for a guest that the caller calls. Guests can make host functions
    /// call each other recursively.
    fn is_stack_used_up(&self) -> bool {
        let here = 0_u8;
        match self.is_running() {
            true => self.stack_for_guests() == 0,
            false => this_thread().stack().is_used_up(std::ptr::from_ref(&here).addr()),
        }
    }
}

/// The state to restore when a run of the guest ends: that of the activation around it, if there is one.
#[must_use]
pub(crate) struct OuterActivation {
    roots: OuterRun,
    /// As in [`belljar_abi::StoreContext`].
    is_apart: u64,
    /// For a nested activation: when the host function that it is in was called.
    host_call: Option<HostCallBegan>,
}

impl OuterActivation {
    /// Returns whether the run is the store's outermost.
    pub(crate) fn is_none(&self) -> bool {
        self.host_call.is_none()
    }
}

impl<T: 'static> StoreInner<T> {
    /// Runs code. Returns its result and the argument for [`StoreCore::end_run`].
    ///
    /// # Safety
    ///
    /// Code and context belong to an instance of this store (or the context is its bridge), with parameters of the
    /// types of the arguments.
    // Inlined so that its arguments and results are registers, not structures in memory.
    #[inline(always)]
    pub(crate) unsafe fn enter(
        &mut self,
        code: usize,
        context: usize,
        arguments: Arguments,
    ) -> (Returned, OuterActivation) {
        let core = self.core_mut();
        let outer = core.begin_run();
        let entry = Entry { code, context, store_context: core.context_address() };
        let store = VmPtr::expose(std::ptr::from_mut(self)).address();
        self.core_mut().context_mut().store = store;
        // Expose the address again, as the use of `self` has invalidated it; the number is the same. This is the last
        // step before guest code is entered: the functions that it calls find the store by this address
        // (`StoreCore::of_context`, ONE-BORROW).
        VmPtr::expose(std::ptr::from_mut(self));
        // SAFETY: the caller's promise; `begin_run` has prepared the store's context.
        let returned = unsafe {
            match outer.is_none() {
                true => enter::<false>(entry, arguments),
                false => enter::<true>(entry, arguments),
            }
        };
        (returned, outer)
    }
}

/// A function of one store whose Rust types were checked against its wasm type.
pub struct TypedFunc<P, R> {
    store: StoreId,
    /// The number of the store's id, if the function can be called directly: it is a guest function, takes and returns
    /// values in registers, and no parameter is narrowing. Otherwise 0, which no id has.
    direct: u64,
    /// The address of its code.
    code: usize,
    /// The context of its instance.
    context: usize,
    func: FuncRefId,
    /// Whether a parameter's type is narrower than its Rust type, so that each call has to check it.
    narrowing: bool,
    types: PhantomData<fn(P) -> R>,
}

impl<P, R> std::fmt::Debug for TypedFunc<P, R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TypedFunc").field("func", &self.func).finish_non_exhaustive()
    }
}

impl<P, R> Clone for TypedFunc<P, R> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<P, R> Copy for TypedFunc<P, R> {}

impl<P: AbiParams, R: AbiResult> TypedFunc<P, R> {
    /// Creates the typed function if its parameters can be `P`s and its results are `R`s.
    ///
    /// References may differ: a parameter that accepts less than its Rust type can hold is checked at each call
    /// ([`TypedFunc::check`]), and a result may be of a subtype.
    ///
    /// # Errors
    ///
    /// Returns the function's own type if it does not match.
    pub fn new(store: &StoreCore, func: FuncRefId) -> Result<Self, FuncType> {
        let ty = store.func_type(func);
        let mut narrowing = false;
        let mut fits = ty.params().len() == P::TYPES.len() && ty.results().len() == R::TYPES.len();
        for (&given, &wanted) in P::TYPES.iter().zip(ty.params()) {
            let always = store.runtime.matches(given, wanted);
            fits &= always || store.runtime.matches(wanted, given);
            narrowing |= !always;
        }
        for (&given, &wanted) in ty.results().iter().zip(R::TYPES) {
            fits &= store.runtime.matches(given, wanted);
        }
        if fits { Ok(Self::of(store, func, narrowing)) } else { Err(ty) }
    }

    /// Creates the typed function, whose types match.
    fn of(store: &StoreCore, func: FuncRefId, narrowing: bool) -> Self {
        let Callee { code, context, is_host, .. } = store.callee(func);
        let is_direct = const { P::FITS && R::FITS } && !is_host && !narrowing;
        let direct = if is_direct { store.id.number() } else { 0 };
        Self { store: store.id, direct, code, context, func, narrowing, types: PhantomData }
    }

    /// Returns the same function in a store that started from a checkpoint or was rewound to it, if the function
    /// existed there. `None` for other stores.
    pub fn since(self, store: &StoreCore, checkpoint: &Checkpoint) -> Option<Self> {
        store.has_been_at(checkpoint).then(|| Self::of(store, self.func, self.narrowing))
    }

    /// Returns whether [`TypedFunc::check`] can fail.
    #[inline]
    pub fn narrows(&self) -> bool {
        self.narrowing
    }

    /// Checks that references have the types of the function's parameters.
    ///
    /// # Errors
    ///
    /// Returns an error if one does not.
    pub fn check(&self, store: &StoreCore, params: &P) -> belljar_core::Result<()> {
        let mut slots = [RawVal::default(); MAX_ARITY];
        params.store(&mut slots);
        for (i, (&ty, slot)) in store.func_type(self.func).params().iter().zip(slots).enumerate() {
            let value = Value::from_slot(store.value_type(ty), slot);
            store.check_type(&value, ty, &format!("parameter {i} of the function"))?;
        }
        Ok(())
    }

    /// Returns the store that the function belongs to.
    pub fn store(&self) -> StoreId {
        self.store
    }

    /// Returns the function.
    pub fn func(&self) -> FuncRefId {
        self.func
    }

    /// Calls the function if nothing has to be checked before.
    #[inline(always)]
    pub fn call_direct<T: 'static>(&self, store: &mut StoreInner<T>, params: P) -> DirectCall<R> {
        if const { !(P::FITS && R::FITS) } || self.direct != store.core().ready {
            return DirectCall::NotNow;
        }
        let Some(thread) = store.core().ready_thread() else { return DirectCall::NotNow };
        let store_context = store.core().monitor.enter_again(thread);
        let entry = Entry { code: self.code, context: self.context, store_context };
        let arguments = params.into_arguments();
        // ONE-BORROW: as in `StoreInner::enter`; the address is still the same number.
        VmPtr::expose(std::ptr::from_mut(store));
        // SAFETY: the object's type is that of `P` and `R` (TYPE-CHECKED by `new`), its context and code are those of a
        // live instance of this store (CODE-ALIVE), as the store's id is still the same; we hold it exclusively, and
        // nothing of it runs.
        let returned = unsafe { enter::<false>(entry, arguments) };
        let core = store.core_mut();
        let is_pending = core.context_mut().pending != pending::NONE;
        if is_pending {
            core.record_death();
        }
        core.monitor.leave_again(thread, core.last_thread);
        if is_pending { DirectCall::Left } else { DirectCall::Returned(R::from_returned(returned)) }
    }

    /// Calls the function.
    ///
    /// # Errors
    ///
    /// Returns how the run ended if not by returning.
    ///
    /// # Panics
    ///
    /// Panics if `store` is not the function's own, and with the payload of a panic in a host function.
    #[inline]
    pub fn call<T: 'static>(&self, store: &mut StoreInner<T>, params: P) -> Result<R, Exit> {
        assert!(
            self.store == store.core().id,
            "a function was called with a store that it does not belong to"
        );
        let _guard = if store.core().is_special { Some(store.core_mut().acquire_run_guard()?) } else { None };
        match store.core().has_call_hook {
            true => store.hooked_run(|store| self.call_now(store, params)),
            false => self.call_now(store, params),
        }
    }

    fn call_now<T: 'static>(&self, store: &mut StoreInner<T>, params: P) -> Result<R, Exit> {
        let callee = store.core().callee(self.func);
        if const { P::FITS && R::FITS } && !callee.is_host {
            // SAFETY: as in `call_direct`.
            let (returned, outer) =
                unsafe { store.enter(callee.code, callee.context, params.into_arguments()) };
            let core = store.core_mut();
            return if core.end_run(outer) { Ok(R::from_returned(returned)) } else { Err(core.leave()) };
        }
        let mut slots = [RawVal::default(); MAX_ARITY];
        params.store(&mut slots);
        enter_slots(store, self.func, callee, &mut slots)?;
        Ok(R::load(&slots))
    }
}

/// Calls a function with values in slots, whose types are checked; results replace them. Otherwise as [`call_values`].
pub(crate) fn call_slots<T: 'static>(
    store: &mut StoreInner<T>,
    func: FuncRefId,
    callee: Callee,
    slots: &mut [RawVal],
) -> Result<(), Exit> {
    let _guard = store.core_mut().acquire_run_guard()?;
    match store.core().has_call_hook {
        true => store.hooked_run(|store| enter_with_slots(store, func, callee, slots)),
        false => enter_with_slots(store, func, callee, slots),
    }
}

/// Enters a function directly or through its trampoline.
fn enter_with_slots<T: 'static>(
    store: &mut StoreInner<T>,
    func: FuncRefId,
    callee: Callee,
    slots: &mut [RawVal],
) -> Result<(), Exit> {
    let core = store.core();
    let ty = core.func_type(func);
    if ty.params().is_empty() && ty.results().is_empty() && !callee.is_host {
        // A program's entry point: compiling a trampoline for it would take longer than many a program runs.
        return TypedFunc::<(), ()>::of(core, func, false).call_now(store, ());
    }
    enter_slots(store, func, callee, slots)
}

/// Enters a function through its trampoline, with values in slots.
pub(crate) fn enter_slots<T: 'static>(
    store: &mut StoreInner<T>,
    func: FuncRefId,
    callee: Callee,
    slots: &mut [RawVal],
) -> Result<(), Exit> {
    let EntryTrampoline { code, context, callee } = store.core_mut().entry_trampoline(func, callee)?;
    let mut arguments = Arguments::NONE;
    let values = VmPtr::expose(std::ptr::from_mut(slots).cast::<RawVal>()).address();
    for (register, value) in arguments.ints.iter_mut().zip([callee.context, callee.code, values]) {
        *register = MaybeUninit::new(value as u64);
    }
    // SAFETY: the trampoline has this signature, whatever the function's type, and calls the callee's code with its own
    // context and as many values as `slots` has room for; types were checked by the callers (TYPE-CHECKED, CODE-ALIVE).
    let (_, outer) = unsafe { store.enter(code, context, arguments) };
    let core = store.core_mut();
    if core.end_run(outer) { Ok(()) } else { Err(core.leave()) }
}

/// The code that calls a function with values in a buffer, and its context.
pub(crate) struct EntryTrampoline {
    pub(crate) code: usize,
    pub(crate) context: usize,
    pub(crate) callee: Callee,
}

/// The result of a direct call.
#[derive(Debug)]
pub enum DirectCall<R> {
    /// It returned.
    Returned(R),
    /// It ended otherwise: [`StoreCore::leave`] returns how.
    Left,
    /// Nothing was done: use [`TypedFunc::call`].
    NotNow,
}

impl StoreCore {
    /// Returns how a function is called with values in a buffer.
    ///
    /// # Errors
    ///
    /// Returns an error if its trampoline cannot be made, or there is no stack left for it.
    pub(crate) fn entry_trampoline(
        &mut self,
        func: FuncRefId,
        callee: Callee,
    ) -> Result<EntryTrampoline, Exit> {
        let plain = |error: belljar_core::Error| Exit::Error { error, stack: Default::default() };
        let ty = self.func_sig(func);
        let code = self.runtime.trampoline(TrampolineKind::Entry, ty).map_err(plain)?;
        // A host function is also called through the stubs, with the same entry and exit. Guest code checks the stack
        // itself.
        let context = match callee.is_host {
            false => callee.context,
            true if self.is_stack_used_up() => return Err(Exit::of_trap(Trap::StackOverflow)),
            true => self.host_caller_context().map_err(plain)?,
        };
        Ok(EntryTrampoline { code, context, callee })
    }

    /// Returns a context that belongs to no instance, from which host functions are called without a guest.
    fn host_caller_context(&mut self) -> belljar_core::Result<usize> {
        if let Some(address) = self.host.host_caller_context {
            return Ok(address);
        }
        let at = self
            .region
            .block(size_of::<ConstHeader>(), 0)
            .ok_or_else(|| belljar_core::format_err!("the store is full: no room to call a host function"))?;
        let header = ConstHeader {
            store_context: self.context_address(),
            const_base: self.region.const_base(),
            text_base: 0,
            builtins: builtins::stubs_address(),
            gc_base: 0,
            type_displays: 0,
            instance: FuncObject::NO_INSTANCE,
            reserved: 0,
        };
        let address = self.region.const_base() + at;
        // SAFETY: the block was just allocated for it (IN-BOUNDS).
        unsafe { VmPtr::at(address).write(header) };
        let context = self.region.state_base() + at;
        self.host.host_caller_context = Some(context);
        Ok(context)
    }
}

/// Calls a function with values whose types are checked here.
///
/// # Errors
///
/// Returns an [`Exit::Error`] if the values do not fit the function's type, and otherwise how the run ended if not by
/// returning.
///
/// # Panics
///
/// Panics with the payload of a panic in a host function.
pub fn call_values<T: 'static>(
    store: &mut StoreInner<T>,
    func: FuncRefId,
    params: &[Value],
    results: &mut Vec<Value>,
) -> Result<(), Exit> {
    let mut slots = store.core().slots_for(func, params)?;
    let callee = store.core().callee(func);
    call_slots(store, func, callee, &mut slots)?;
    results.clear();
    results.extend(store.core().results_in(func, &slots));
    Ok(())
}

impl StoreCore {
    /// Returns a buffer for a call of a function with values, whose types are checked here.
    ///
    /// # Errors
    ///
    /// Returns an error if the values do not fit the function's type.
    pub(crate) fn slots_for(&self, func: FuncRefId, params: &[Value]) -> Result<Vec<RawVal>, Exit> {
        let ty = self.func_type(func);
        if !self.are_of_types(params, ty.params()) {
            let list = params.iter().map(|value| value.ty().to_string()).collect::<Vec<_>>().join(", ");
            let error = belljar_core::format_err!("the function has type {ty}, and was called with ({list})");
            return Err(Exit::of_error(error));
        }
        let mut slots = vec![RawVal::default(); ty.params().len().max(ty.results().len())];
        slots.iter_mut().zip(params).for_each(|(slot, value)| *slot = value.to_slot());
        Ok(slots)
    }

    /// Returns whether there is a value of each of these types.
    pub(crate) fn are_of_types(&self, values: &[Value], types: &[ValType]) -> bool {
        values.len() == types.len() && values.iter().zip(types).all(|(value, ty)| self.is_of_type(value, *ty))
    }

    /// Returns the results that a function has left in a buffer.
    pub fn results_in(&self, func: FuncRefId, slots: &[RawVal]) -> Vec<Value> {
        self.values_in(self.func_type(func).results(), slots)
    }

    /// Returns the parameters of a function that are in a buffer.
    pub(crate) fn params_in(&self, func: FuncRefId, slots: &[RawVal]) -> Vec<Value> {
        self.values_in(self.func_type(func).params(), slots)
    }

    fn values_in(&self, types: &[ValType], slots: &[RawVal]) -> Vec<Value> {
        let types = types.iter().map(|ty| self.value_type(*ty));
        types.zip(slots).map(|(ty, slot)| Value::from_slot(ty, *slot)).collect()
    }
}
