//! Calls from the host: the only place that enters guest code, and the only one that it is left through.

use crate::abi_types::{AbiParams, AbiResult, Value};
use crate::checkpoint::Checkpoint;
use crate::guest_thread::GuestThread;
use crate::runtime::Direction;
use crate::store::{StoreCore, StoreId, StoreInner};
use crate::sys::{builtin_table_address, enter_address};
use crate::trap::Exit;
use crate::vm_ptr::VmPtr;
use belljar_abi::{ConstHeader, FuncObject, pending};
use belljar_core::{FuncRefId, FuncType, InstanceId, RawVal, Trap, TypeId};
use std::marker::PhantomData;

/// What a function object says, copied out.
#[derive(Clone, Copy, Debug)]
struct Callee {
    code: usize,
    context: usize,
    sig: TypeId,
    is_host: bool,
}

impl StoreCore {
    /// A function's object. Ids come from checked handles of this store.
    pub(crate) fn object(&self, func: FuncRefId) -> VmPtr<FuncObject> {
        VmPtr::at(self.region.const_base() + func.0 as usize)
    }

    fn callee(&self, func: FuncRefId) -> Callee {
        let object = self.object(func).as_ptr();
        // SAFETY: an id names an object that was written when the id was made and never changes
        // (STORE-PINNED); every object has the fields read here.
        unsafe {
            Callee {
                code: (*object).code,
                context: (*object).context,
                sig: TypeId((*object).sig),
                is_host: (*object).func_index == FuncObject::HOST,
            }
        }
    }

    /// The canonical id of a function's type.
    pub(crate) fn func_sig(&self, func: FuncRefId) -> TypeId {
        self.callee(func).sig
    }

    /// The type of a function of this store.
    pub fn func_type(&self, func: FuncRefId) -> FuncType {
        let sig = self.func_sig(func);
        self.runtime.types.func_type(sig).unwrap_or_else(|| FuncType::new([], []))
    }

    /// The instance that a guest function belongs to, or that imported a host function, where one is known;
    /// and the function's index in its module if it is a guest function.
    pub fn func_origin(&self, func: FuncRefId) -> (Option<InstanceId>, Option<u32>) {
        let object = self.object(func).as_ptr();
        // SAFETY: as in `callee`.
        let (instance, index) = unsafe { ((*object).instance, (*object).func_index) };
        (
            (instance != FuncObject::NO_INSTANCE).then_some(InstanceId(instance)),
            (index != FuncObject::HOST).then_some(index),
        )
    }

    /// Sets what the entry stub reads.
    #[inline]
    fn prepare(&mut self, store: usize, code: usize) {
        let context = self.context.get_mut();
        context.store = store;
        context.entry_code = code;
        if context.entry_fp == 0 {
            let thread = GuestThread::this();
            context.stack_floor = thread.stack_floor();
            self.watched.enter(thread);
        }
    }

    /// Bytes of native stack that a guest which the caller called had, about; 0 if there were none left.
    pub fn stack_for_guests(&self) -> usize {
        let here = 0_u8;
        // SAFETY: STORE-EXCLUSIVE: nobody writes it while `self` is borrowed.
        let limit = unsafe { (*self.context.get()).stack_limit };
        std::ptr::from_ref(&here).addr().saturating_sub(limit)
    }

    /// Whether a guest that the caller calls has no native stack left. Guests can have the host call host functions, one within
    /// another.
    fn is_stack_used_up(&self) -> bool {
        let here = 0_u8;
        match self.is_running() {
            true => self.stack_for_guests() == 0,
            false => std::ptr::from_ref(&here).addr() < GuestThread::this().stack_floor(),
        }
    }

    /// Notes that the guest has been left, and tells whether it has returned.
    #[inline]
    fn has_returned(&mut self) -> bool {
        let context = self.context.get_mut();
        let why = context.pending;
        if context.entry_fp == 0 {
            // ORDER: whoever kills looks whether it has died once it does not run any more.
            if why != pending::NONE && self.watched.is_killed() {
                self.watched.set_died();
            }
            self.watched.leave();
        }
        why == pending::NONE
    }
}

impl<T: 'static> StoreInner<T> {
    /// Sets what the entry stub reads, and lets what guest code calls find the store ([`StoreCore::of_context`]). The last
    /// thing before guest code is entered: to use `self` again takes the exposed address back (ONE-BORROW).
    #[inline]
    fn prepare(&mut self, code: usize) {
        self.core_mut().ran = true;
        self.prepare_entry(code);
    }

    /// As [`StoreInner::prepare`], where what is entered is no guest code. The store, as what is entered finds it.
    #[inline]
    pub(crate) fn prepare_entry(&mut self, code: usize) -> VmPtr<Self> {
        let store = VmPtr::expose(std::ptr::from_mut(self)).address();
        self.core_mut().prepare(store, code);
        // Once more, as the use of `self` took it back. The number is the same.
        VmPtr::expose(std::ptr::from_mut(self))
    }
}

/// A function of one store whose Rust types were checked against its wasm type.
pub struct TypedFunc<P, R> {
    store: StoreId,
    func: FuncRefId,
    /// Whether a parameter's type is narrower than its Rust type, so that each call has to look.
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
    /// The function if its parameters can be `P`s and its results are `R`s; otherwise its type.
    ///
    /// References may differ: a parameter that takes less than its Rust type holds is checked at each call
    /// ([`TypedFunc::check`]), and a result may be of a subtype.
    ///
    /// # Errors
    ///
    /// The function's own type, where it is another.
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
        if fits { Ok(Self { store: store.id, func, narrowing, types: PhantomData }) } else { Err(ty) }
    }

    /// The same function, of what was there at a checkpoint, in a store that began or went back there. `None` of other stores.
    pub fn since(self, store: &StoreCore, checkpoint: &Checkpoint) -> Option<Self> {
        store.has_been_at(checkpoint).then_some(Self { store: store.id, ..self })
    }

    /// Whether [`TypedFunc::check`] can refuse anything.
    #[inline]
    pub fn narrows(&self) -> bool {
        self.narrowing
    }

    /// Looks whether references are of the types of the function's parameters.
    ///
    /// # Errors
    ///
    /// Where one is not.
    pub fn check(&self, store: &StoreCore, params: &P) -> anyhow::Result<()> {
        let mut slots = [RawVal::default(); 16];
        params.store(&mut slots);
        for (i, (&ty, slot)) in store.func_type(self.func).params().iter().zip(slots).enumerate() {
            let value = Value::from_slot(store.value_type(ty), slot);
            store.check_type(&value, ty, &format!("parameter {i} of the function"))?;
        }
        Ok(())
    }

    /// The store that it belongs to.
    pub fn store(&self) -> StoreId {
        self.store
    }

    /// The function.
    pub fn func(&self) -> FuncRefId {
        self.func
    }

    /// Calls it.
    ///
    /// # Errors
    ///
    /// How the run ended if not by returning.
    ///
    /// # Panics
    ///
    /// If `store` is not the function's own; and with the payload of a panic in a host function.
    #[inline]
    pub fn call<T: 'static>(&self, store: &mut StoreInner<T>, params: P) -> Result<R, Exit> {
        assert!(
            self.store == store.core().id,
            "a function was called with a store that it does not belong to"
        );
        if store.core().is_special {
            return self.call_by_rules(store, params);
        }
        self.call_now(store, params)
    }

    /// A call in a store that has limits to keep, or whose guest was killed.
    #[cold]
    #[inline(never)]
    fn call_by_rules<T: 'static>(&self, store: &mut StoreInner<T>, params: P) -> Result<R, Exit> {
        let _permit = store.core_mut().permit()?;
        self.call_now(store, params)
    }

    #[inline]
    fn call_now<T: 'static>(&self, store: &mut StoreInner<T>, params: P) -> Result<R, Exit> {
        let callee = store.core().callee(self.func);
        if const { P::FITS && R::FITS } && !callee.is_host {
            // ONE-BORROW: `store` is not used again before the guest has been left.
            store.prepare(callee.code);
            // SAFETY: the object's type is that of `P` and `R` (TYPE-CHECKED by `new`), its context and code
            // are those of a live instance of this store (CODE-ALIVE), which we hold exclusively.
            let native = unsafe { params.enter::<R>(enter_address(), callee.context) };
            let core = store.core_mut();
            if !core.has_returned() {
                return Err(core.leave());
            }
            return Ok(R::from_native(native));
        }
        let mut slots = [RawVal::default(); 16];
        params.store(&mut slots);
        enter_slots(store, self.func, callee, &mut slots)?;
        Ok(R::load(&slots))
    }
}

/// Calls a function with values in slots; results replace them. As [`call_values`], with types checked.
fn call_slots<T: 'static>(
    store: &mut StoreInner<T>,
    func: FuncRefId,
    callee: Callee,
    slots: &mut [RawVal],
) -> Result<(), Exit> {
    let _permit = store.core_mut().permit()?;
    let core = store.core();
    let ty = core.func_type(func);
    if ty.params().is_empty() && ty.results().is_empty() && !callee.is_host {
        // A program's entry: to compile a trampoline for it would take longer than many a program runs.
        let func = TypedFunc::<(), ()> { store: core.id, func, narrowing: false, types: PhantomData };
        return func.call_now(store, ());
    }
    enter_slots(store, func, callee, slots)
}

/// Enters a function through its trampoline, with values in slots.
fn enter_slots<T: 'static>(
    store: &mut StoreInner<T>,
    func: FuncRefId,
    callee: Callee,
    slots: &mut [RawVal],
) -> Result<(), Exit> {
    let core = store.core_mut();
    let values = std::ptr::from_mut(slots).cast::<RawVal>();
    let plain = |error: anyhow::Error| Exit::Error { error, stack: Default::default() };
    let ty = core.func_sig(func);
    let trampoline = core.runtime.trampoline(Direction::Entry, ty).map_err(plain)?;
    // A host function, too, is called through the stubs: the same entry, the same exit. Guest code looks at the stack itself.
    let context = match callee.is_host {
        false => callee.context,
        true if core.is_stack_used_up() => return Err(Exit::of_trap(Trap::StackOverflow)),
        true => core.bridge().map_err(plain)?,
    };
    // ONE-BORROW: `store` is not used again before the guest has been left.
    store.prepare(trampoline);
    // SAFETY: the trampoline has this signature, whatever the function's type, and calls `code` with its
    // own context and as many values as `slots` has room for; types were checked by the callers
    // (TYPE-CHECKED, CODE-ALIVE); the store is held exclusively.
    unsafe {
        let enter: unsafe extern "C" fn(usize, usize, usize, *mut RawVal) =
            std::mem::transmute(enter_address());
        enter(context, callee.context, callee.code, values);
    }
    let core = store.core_mut();
    if core.has_returned() { Ok(()) } else { Err(core.leave()) }
}

impl StoreCore {
    /// A context that belongs to no instance: where host functions are called from without a guest.
    fn bridge(&mut self) -> anyhow::Result<usize> {
        if let Some(address) = self.bridge {
            return Ok(address);
        }
        let at = self
            .region
            .block(size_of::<ConstHeader>(), 0)
            .ok_or_else(|| anyhow::anyhow!("the store is full: no room to call a host function"))?;
        let header = ConstHeader {
            store_context: self.context_address(),
            const_base: self.region.const_base(),
            text_base: 0,
            builtins: builtin_table_address(),
            gc_base: 0,
            type_lines: 0,
            instance: FuncObject::NO_INSTANCE,
            reserved: 0,
        };
        let address = self.region.const_base() + at;
        // SAFETY: the block was just allocated for it (IN-BOUNDS).
        unsafe { VmPtr::at(address).write(header) };
        let context = self.region.state_base() + at;
        self.bridge = Some(context);
        Ok(context)
    }
}

/// Calls a function with values whose types are checked here.
///
/// # Errors
///
/// Where the values do not fit the function's type (as an [`Exit::Error`]), and how the run ended if not by
/// returning.
///
/// # Panics
///
/// With the payload of a panic in a host function.
pub fn call_values<T: 'static>(
    store: &mut StoreInner<T>,
    func: FuncRefId,
    params: &[Value],
    results: &mut Vec<Value>,
) -> Result<(), Exit> {
    let ty = store.core().func_type(func);
    let core = store.core();
    let fits = params.len() == ty.params().len()
        && params.iter().zip(ty.params()).all(|(value, ty)| core.is_of_type(value, *ty));
    if !fits {
        let list = params.iter().map(|value| value.ty().to_string()).collect::<Vec<_>>().join(", ");
        let error = anyhow::anyhow!("the function has type {ty}, and was called with ({list})");
        return Err(Exit::Error { error, stack: Default::default() });
    }
    let mut slots = vec![RawVal::default(); ty.params().len().max(ty.results().len())];
    slots.iter_mut().zip(params).for_each(|(slot, value)| *slot = value.to_slot());
    let callee = store.core().callee(func);
    call_slots(store, func, callee, &mut slots)?;
    results.clear();
    let core = store.core();
    let types = ty.results().iter().map(|ty| core.value_type(*ty));
    results.extend(types.zip(&slots).map(|(ty, slot)| Value::from_slot(ty, *slot)));
    Ok(())
}
