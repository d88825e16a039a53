//! Host functions: closures of the embedder that guest code calls.

use crate::abi_types::{AbiParams, AbiResult, MAX_ARITY, One, RawExn, Value, is_int, is_number};
use crate::apart::SuspendedIn;
use crate::exception::throw;
use crate::host_func::HostFunc;
use crate::machine::{exit_address, leave_activation};
use crate::runtime::Runtime;
use crate::store::StoreCore;
use crate::store_inner::StoreInner;
use crate::store_monitor::StoreMonitor;
use crate::thrown::Thrown;
use crate::vm_ptr::VmPtr;
use belljar_abi::{FuncObject, TrampolineKind};
use belljar_core::{FuncRefId, FuncType, InstanceId, RawVal, Trap, ValType};
use std::mem::{ManuallyDrop, offset_of};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// A typed host function: a closure over the store, the instance that imported it, and parameters.
pub trait HostClosure<T, P, R>:
    Fn(&mut StoreInner<T>, Option<InstanceId>, P) -> belljar_core::Result<R> + Send + Sync + 'static
{
}

impl<T, P, R, F> HostClosure<T, P, R> for F where
    F: Fn(&mut StoreInner<T>, Option<InstanceId>, P) -> belljar_core::Result<R> + Send + Sync + 'static
{
}

impl HostFunc {
    /// Creates a function whose type is known at compile time.
    ///
    /// # Errors
    ///
    /// Returns an error if the engine has no room for another type.
    pub fn typed<T: 'static, P: AbiParams, R: AbiResult, F: HostClosure<T, P, R>>(
        runtime: &Arc<Runtime>,
        f: F,
    ) -> belljar_core::Result<Arc<Self>> {
        let ty = FuncType::new(P::TYPES.iter().copied(), R::TYPES.iter().copied());
        if const { P::FITS && R::FITS } {
            return Self::register(
                runtime,
                ty,
                P::native::<T, R, F>(),
                false,
                std::any::TypeId::of::<T>(),
                f,
            );
        }
        let native = native_buffer::<T, P, R, F> as *const () as usize;
        Self::register(runtime, ty, native, true, std::any::TypeId::of::<T>(), f)
    }

    /// Creates a function whose type is known at run time. `f` gets the parameters, and results set to zero or null
    /// that it must replace by values of the right types.
    ///
    /// # Errors
    ///
    /// Returns an error if the engine has no room for another type.
    pub fn dynamic<T: 'static, F>(
        runtime: &Arc<Runtime>,
        ty: FuncType,
        f: F,
    ) -> belljar_core::Result<Arc<Self>>
    where
        F: Fn(&mut StoreInner<T>, Option<InstanceId>, &[Value], &mut [Value]) -> belljar_core::Result<()>
            + Send
            + Sync
            + 'static,
    {
        let native = native_dynamic::<T> as *const () as usize;
        let dynamic = Dynamic::<T> { ty: ty.clone(), f: Box::new(f) };
        Self::register(runtime, ty, native, true, std::any::TypeId::of::<T>(), dynamic)
    }

    /// Creates a function of a type that is known at run time and has only numbers, at most one of them as its result. `f`
    /// gets the bits of the parameters, those of 32 bits in the lower half, and returns the bits of the result.
    ///
    /// # Errors
    ///
    /// Returns an error if the type has something else, or the engine has no room for another type.
    pub fn numeric<T: 'static, F>(
        runtime: &Arc<Runtime>,
        ty: FuncType,
        f: F,
    ) -> belljar_core::Result<Arc<Self>>
    where
        F: Fn(&mut StoreInner<T>, &[u64]) -> belljar_core::Result<u64> + Send + Sync + 'static,
    {
        belljar_core::ensure!(
            ty.params().iter().chain(ty.results()).all(is_number)
                && ty.results().len() <= 1
                && ty.params().len() <= MAX_ARITY,
            "belljar bug: a host function of numbers has the type {ty}"
        );
        let data = std::any::TypeId::of::<T>();
        let count = ty.params().len();
        if count <= INTS.len() && ty.params().iter().chain(ty.results()).all(is_int) {
            let mut masks = [u64::MAX; INTS.len()];
            for (mask, _) in masks.iter_mut().zip(ty.params()).filter(|(_, ty)| **ty == ValType::I32) {
                *mask = u64::from(u32::MAX);
            }
            // All registers that may hold integers are read: those without a parameter hold any bits.
            let f = move |store: &mut StoreInner<T>, _: Option<InstanceId>, (a, b, c, d, e): Ints| {
                let mut bits = [a as u64, b as u64, c as u64, d as u64, e as u64];
                for (bits, mask) in bits.iter_mut().zip(&masks) {
                    *bits &= mask;
                }
                f(store, &bits[..count]).map(|result| One(result as i64))
            };
            return Self::register(runtime, ty, native_of::<T, Ints, One<i64>, _>(&f), false, data, f);
        }
        let slots = count.max(ty.results().len()).max(1);
        let native = native_numeric::<T, F> as *const () as usize;
        Self::register(runtime, ty, native, true, data, Numeric { slots, count, f })
    }

    fn register<D: Send + Sync + 'static>(
        runtime: &Arc<Runtime>,
        ty: FuncType,
        native: usize,
        buffered: bool,
        store_type: std::any::TypeId,
        closure: D,
    ) -> belljar_core::Result<Arc<Self>> {
        let types = runtime.types.register_func(&ty)?;
        Ok(Self::new(runtime.engine_number(), types, ty, native, buffered, store_type, closure))
    }

    /// Returns whether the function belongs to this engine.
    pub fn is_of(&self, runtime: &Runtime) -> bool {
        self.engine() == runtime.engine_number()
    }
}

impl StoreCore {
    /// Adds a host function to the store. `importer` is the instance that imports it, if one does.
    ///
    /// # Errors
    ///
    /// Returns an error if it was created for another engine or for stores with other data, or the store is full.
    pub fn new_host_func(
        &mut self,
        func: &Arc<HostFunc>,
        importer: Option<InstanceId>,
    ) -> belljar_core::Result<FuncRefId> {
        belljar_core::ensure!(
            func.is_of(&self.runtime),
            "the host function belongs to another engine than the store"
        );
        belljar_core::ensure!(
            func.store_type == self.host.hooks.data_type,
            "the host function was created for stores with data of another type"
        );
        let code = match func.buffered {
            false => exit_address(),
            true => self.runtime.trampoline(TrampolineKind::Exit, func.sig())?,
        };
        let at = self.region.block(size_of::<FuncObject>(), 0).ok_or_else(|| {
            belljar_core::format_err!("the store is full: no room for another host function")
        })?;
        let address = self.region.const_base() + at;
        let object = FuncObject {
            code,
            context: address,
            sig: func.sig().0,
            func_index: FuncObject::HOST,
            instance: importer.map_or(FuncObject::NO_INSTANCE, |i| i.0),
            host: self.entities.host_funcs.len() as u32,
            store_context: self.context_address(),
            native: func.native,
            data: func.data,
            exit_stub: exit_address(),
            host_func: VmPtr::expose(Arc::as_ptr(func)).address(),
        };
        // SAFETY: the block was just allocated for it (IN-BOUNDS); the store keeps the function (HOST-DATA).
        unsafe { VmPtr::at(address).write(object) };
        self.entities.host_funcs.push(func.clone());
        self.entities.host_objects.push(FuncRefId(at as u32));
        Ok(FuncRefId(at as u32))
    }
}

impl StoreCore {
    /// Handles the end of a host function of an observed or killed store. Returns whether the guest was killed.
    #[cold]
    fn end_host_call(&self) -> bool {
        if self.monitor.notes_host_calls() {
            self.monitor.host_ends();
        }
        self.monitor.is_killed()
    }
}

/// Returns the monitor of the store whose guest calls a host function.
///
/// # Safety
///
/// The conditions of [`callee`] apply, except that there may be references to the store.
#[inline]
unsafe fn monitor_of<'a>(object: *const FuncObject) -> &'a StoreMonitor {
    // SAFETY: the caller's promise; the context belongs to a live store.
    unsafe { StoreMonitor::around(VmPtr::at((*object).store_context)) }
}

/// Returns the store and the closure of a host function that is being called.
///
/// # Safety
///
/// `object` is a host function's object of the store with data of type `T` whose guest (or host) is calling it, and its
/// data is a `D` (HOST-DATA). There must be no reference to the store while the result lives.
unsafe fn callee<'a, T: 'static, D>(
    object: *const FuncObject,
) -> (&'a mut StoreInner<T>, Option<InstanceId>, &'a D) {
    // SAFETY: the caller's promise; the store is held exclusively by the current call (STORE-EXCLUSIVE, STORE-PINNED),
    // and the store keeps the closure (HOST-DATA).
    unsafe {
        let object = &*object;
        let store = StoreCore::of_context(VmPtr::at(object.store_context)).cast::<StoreInner<T>>().as_mut();
        let importer = (object.instance != FuncObject::NO_INSTANCE).then_some(InstanceId(object.instance));
        (store, importer, VmPtr::<D>::at(object.data).as_ref())
    }
}

/// Calls a typed host function with its arguments in registers. It does not return after an error or panic.
///
/// # Safety
///
/// The conditions of [`callee`] apply, with an `F` as data.
#[inline]
pub(crate) unsafe fn run<T: 'static, P: AbiParams, R: AbiResult, F: HostClosure<T, P, R>>(
    object: *const FuncObject,
    params: P,
) -> R::Native {
    // SAFETY: the caller's promise. Rare cases are in functions of their own, so that this one needs no callee-saved
    // registers.
    unsafe {
        let monitor = monitor_of(object);
        if !monitor.is_plain_host_call() {
            return run_recorded::<T, P, R, F>(object, params);
        }
        let (store, importer, f) = callee::<T, F>(object);
        // Otherwise the compiler keeps the value in memory, to see at the end whether there is an error to be dropped.
        let ended = ManuallyDrop::new(catch_unwind(AssertUnwindSafe(|| f(store, importer, params))));
        match &*ended {
            Ok(Ok(result)) if store.core().heap.roots.is_left() && !monitor.wants_attention() => {
                result.into_native()
            }
            _ => finish(store, ManuallyDrop::into_inner(ended)),
        }
    }
}

/// The same as [`run`], with the times of the call recorded for observers, and the embedder told.
///
/// # Safety
///
/// The conditions of [`callee`] apply, with an `F` as data.
#[cold]
#[inline(never)]
unsafe fn run_recorded<T: 'static, P: AbiParams, R: AbiResult, F: HostClosure<T, P, R>>(
    object: *const FuncObject,
    params: P,
) -> R::Native {
    // SAFETY: the caller's promise.
    unsafe {
        let (store, importer, f) = callee::<T, F>(object);
        let ended = observed(store, |store| f(store, importer, params));
        finish(store, ended)
    }
}

/// Ends a host function that did not simply return, or after which there is something to do.
///
/// # Safety
///
/// The conditions of [`Failure::leave`] apply.
#[cold]
#[inline(never)]
unsafe fn finish<T: 'static, R: AbiResult>(store: &mut StoreInner<T>, ended: Ended<R>) -> R::Native {
    match end(store, ended) {
        Ok(result) => result.into_native(),
        // SAFETY: the caller's promise; parameters are `Copy`.
        Err(failure) => unsafe { failure.leave(store.core_mut()) },
    }
}

/// The reason why a host function does not return.
#[derive(Clone, Copy)]
enum Failure {
    /// The reason that is recorded in the store.
    Recorded,
    /// It throws this exception.
    Thrown(RawExn),
}

impl Failure {
    /// Leaves the host function.
    ///
    /// # Safety
    ///
    /// The store's guest called the host function on this thread, through the exit stub, and no frame between here and
    /// the guest's has anything left to drop: those frames are cut off.
    unsafe fn leave(self, store: &mut StoreCore) -> ! {
        match self {
            // SAFETY: the caller's promise.
            Self::Recorded => unsafe { leave_activation(store.context()) },
            // SAFETY: the caller's promise.
            Self::Thrown(exception) => unsafe { throw(store, exception) },
        }
    }
}

/// How a closure ended: it returned a result or an error, or panicked.
type Ended<R> = std::thread::Result<belljar_core::Result<R>>;

/// Runs the closure of a host function that takes its arguments in a buffer. Returns its results, or why it does not
/// return.
#[inline]
fn guard<T: 'static, R>(
    store: &mut StoreInner<T>,
    f: impl FnOnce(&mut StoreInner<T>) -> belljar_core::Result<R>,
) -> Result<R, Failure> {
    let ended = match store.core().monitor.is_plain_host_call() {
        true => catch_unwind(AssertUnwindSafe(|| f(store))),
        false => observed(store, f),
    };
    end(store, ended)
}

/// Runs a closure, with the times of the call recorded for observers, and the embedder told, if they want that.
#[cold]
fn observed<T: 'static, R>(
    store: &mut StoreInner<T>,
    f: impl FnOnce(&mut StoreInner<T>) -> belljar_core::Result<R>,
) -> Ended<R> {
    let core = store.core();
    if core.monitor.notes_host_calls() {
        core.monitor.host_begins(core.entry_fp());
    }
    catch_unwind(AssertUnwindSafe(|| match store.core().has_call_hook {
        true => store.hooked_host_call(f),
        false => f(store),
    }))
}

/// Ends a host function. Every host function ends through this.
fn end<T: 'static, R>(store: &mut StoreInner<T>, ended: Ended<R>) -> Result<R, Failure> {
    let core = store.core_mut();
    // References that the closure rooted end with it.
    core.heap.roots.leave_host();
    let is_killed = core.monitor.wants_attention() && core.end_host_call();
    match ended {
        Ok(Ok(_)) if is_killed => {
            store.core_mut().raise_trap(Trap::Interrupt);
            Err(Failure::Recorded)
        }
        Ok(Ok(result)) => Ok(result),
        Ok(Err(error)) => {
            let core = store.core_mut();
            let thrown = error.downcast_ref::<Thrown>().and_then(|thrown| core.kept_exception(thrown));
            // A guest that was killed catches nothing.
            if let Some(exception) = thrown.filter(|_| !core.monitor.is_killed()) {
                return Err(Failure::Thrown(exception));
            }
            core.note_call(SuspendedIn::HostFunction);
            core.raise_error(error);
            Err(Failure::Recorded)
        }
        Err(payload) => {
            store.core_mut().raise_panic(payload);
            Err(Failure::Recorded)
        }
    }
}

/// Implements a typed host function whose arguments or results need a buffer.
///
/// # Safety
///
/// The conditions of [`callee`] apply, with an `F` as data; `values` has room for parameters and for results.
unsafe extern "C" fn native_buffer<T: 'static, P: AbiParams, R: AbiResult, F: HostClosure<T, P, R>>(
    object: *const FuncObject,
    values: *mut RawVal,
) {
    let slots = P::TYPES.len().max(R::TYPES.len());
    // SAFETY: the caller's promise.
    let (store, importer, f) = unsafe { callee::<T, F>(object) };
    // SAFETY: the caller's promise; the buffer lies in the trampoline's frame.
    let values = unsafe { std::slice::from_raw_parts_mut(values, slots) };
    let params = P::load(values);
    match guard(store, |store| f(store, importer, params)) {
        Ok(results) => results.store(values),
        Err(failure) => {
            store.core_mut().note_result_buffer(values);
            // SAFETY: as in `run`.
            unsafe { failure.leave(store.core_mut()) }
        }
    }
}

/// As many integers as are passed in registers.
type Ints = (i64, i64, i64, i64, i64);

/// Their types.
const INTS: &[ValType] = <Ints as AbiParams>::TYPES;

/// Returns the address of the native function of a closure.
fn native_of<T: 'static, P: AbiParams, R: AbiResult, F: HostClosure<T, P, R>>(_: &F) -> usize {
    const { assert!(P::FITS && R::FITS) };
    P::native::<T, R, F>()
}

/// A closure that takes and returns numbers, in a buffer.
struct Numeric<F> {
    /// The number of slots: at least that of the parameters, and one.
    slots: usize,
    /// The number of parameters.
    count: usize,
    f: F,
}

/// Implements a host function that takes and returns numbers, in a buffer.
///
/// # Safety
///
/// The conditions of [`callee`] apply, with a [`Numeric`] as data; `values` has room for so many slots.
unsafe extern "C" fn native_numeric<T: 'static, F>(object: *const FuncObject, values: *mut RawVal)
where
    F: Fn(&mut StoreInner<T>, &[u64]) -> belljar_core::Result<u64> + Send + Sync + 'static,
{
    // SAFETY: the caller's promise.
    let (store, _, numeric) = unsafe { callee::<T, Numeric<F>>(object) };
    // SAFETY: the caller's promise; the buffer lies in the trampoline's frame.
    let slots = unsafe { std::slice::from_raw_parts_mut(values, numeric.slots) };
    let mut bits = [0; MAX_ARITY];
    let bits = &mut bits[..numeric.count];
    bits.iter_mut().zip(&*slots).for_each(|(bits, slot)| *bits = slot.u64());
    match guard(store, |store| (numeric.f)(store, bits)) {
        Ok(result) => slots[0] = RawVal::from_u64(result),
        Err(failure) => {
            store.core_mut().note_result_buffer(slots);
            // SAFETY: as in `run`.
            unsafe { failure.leave(store.core_mut()) }
        }
    }
}

/// A closure with a type known at run time.
struct Dynamic<T: 'static> {
    ty: FuncType,
    f: DynamicFn<T>,
}

type DynamicFn<T> = Box<
    dyn Fn(&mut StoreInner<T>, Option<InstanceId>, &[Value], &mut [Value]) -> belljar_core::Result<()>
        + Send
        + Sync,
>;

/// Implements a host function with a type known at run time.
///
/// # Safety
///
/// The conditions of [`callee`] apply, with a [`Dynamic`] as data; `values` has room for parameters and for results.
unsafe extern "C" fn native_dynamic<T: 'static>(object: *const FuncObject, values: *mut RawVal) {
    // SAFETY: the caller's promise.
    let (store, importer, dynamic) = unsafe { callee::<T, Dynamic<T>>(object) };
    let ty = &dynamic.ty;
    let slots = ty.params().len().max(ty.results().len());
    // SAFETY: the caller's promise; the buffer lies in the trampoline's frame.
    let slots = unsafe { std::slice::from_raw_parts_mut(values, slots) };
    if let Err(failure) = dynamic.run(store, importer, slots) {
        store.core_mut().note_result_buffer(slots);
        // SAFETY: as in `run`; what the call above held is dropped.
        unsafe { failure.leave(store.core_mut()) }
    }
}

impl<T: 'static> Dynamic<T> {
    /// Runs the closure. If it returns, the results are in the slots.
    fn run(
        &self,
        store: &mut StoreInner<T>,
        importer: Option<InstanceId>,
        slots: &mut [RawVal],
    ) -> Result<(), Failure> {
        let core = store.core();
        let values_of =
            |types: &[ValType]| -> Vec<ValType> { types.iter().map(|ty| core.value_type(*ty)).collect() };
        let (param_types, result_types) = (values_of(self.ty.params()), values_of(self.ty.results()));
        let params: Vec<Value> =
            param_types.iter().zip(&*slots).map(|(t, s)| Value::from_slot(*t, *s)).collect();
        let results = guard(store, |store| {
            let mut results: Vec<Value> = result_types.iter().map(|t| Value::default_for(*t)).collect();
            (self.f)(store, importer, &params, &mut results)?;
            for (i, (value, ty)) in results.iter().zip(self.ty.results()).enumerate() {
                belljar_core::ensure!(
                    store.core().is_of_type(value, *ty),
                    "a host function returned a value of type {} as result {i}, whose type is {ty}",
                    value.ty()
                );
            }
            Ok(results)
        })?;
        slots.iter_mut().zip(results).for_each(|(slot, value)| *slot = value.to_slot());
        Ok(())
    }
}

// The exit stub reads these by offset.
const _: () = assert!(offset_of!(FuncObject, store_context) == FuncObject::GUEST_SIZE);
