//! Calls of functions whose parameters and results are numbers, by the bits of these, for callers that know a function's
//! type only at run time. They take as long as calls with Rust types.
//!
//! In: a function that takes and returns numbers, with at most one result. Out: its result's bits. Never: a reference that
//! crosses the boundary, so any bits are valid.

use crate::abi_types::{MAX_ARITY, is_number};
use crate::call::{Callee, enter_slots};
use crate::checkpoint::Checkpoint;
use crate::exit::Exit;
use crate::machine::{Arguments, Entry, Returned, enter};
use crate::store::StoreCore;
use crate::store_id::StoreId;
use crate::store_inner::StoreInner;
use crate::vm_ptr::VmPtr;
use belljar_abi::pending;
use belljar_core::{FuncRefId, FuncType, RawVal, ValType};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// A function of one store that takes and returns numbers, at most one of them as its result.
#[derive(Debug)]
pub struct NumberFunc {
    /// The number of the store's id. It changes when the store is rewound: see [`NumberFunc::stay`].
    store: AtomicU64,
    /// The same number, if the function can be called directly: see
    /// [`TypedFunc::call_direct`](crate::TypedFunc::call_direct). Otherwise 0, which no id has.
    direct: AtomicU64,
    callee: Callee,
    func: FuncRefId,
    /// The number of parameters.
    params: u32,
    /// A bit for each parameter that is a float.
    floats: u32,
    result: NumberResult,
    /// Whether parameters and results are passed in registers.
    fits: bool,
}

/// What kind of number is returned.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum NumberResult {
    Nothing,
    Int32,
    Int64,
    Float32,
    Float64,
}

impl NumberResult {
    /// Returns the kind of result of a function; `None` if it is something else.
    fn of(results: &[ValType]) -> Option<Self> {
        Some(match results {
            [] => Self::Nothing,
            [ValType::I32] => Self::Int32,
            [ValType::I64] => Self::Int64,
            [ValType::F32] => Self::Float32,
            [ValType::F64] => Self::Float64,
            _ => return None,
        })
    }

    /// Returns the bits of a result that was returned in a register: 32-bit values in the lower half.
    #[inline]
    fn bits(self, returned: Returned) -> u64 {
        match self {
            Self::Nothing => 0,
            Self::Int32 => u64::from(returned.int as u32),
            Self::Int64 => returned.int,
            Self::Float32 => u64::from(returned.float.to_bits() as u32),
            Self::Float64 => returned.float.to_bits(),
        }
    }

    /// The same for one in a slot.
    fn bits_of_slot(self, slot: RawVal) -> u64 {
        match self {
            Self::Nothing => 0,
            Self::Int32 | Self::Float32 => u64::from(slot.u32()),
            Self::Int64 | Self::Float64 => slot.u64(),
        }
    }
}

impl NumberFunc {
    /// Creates one; `None` if the function takes or returns something else.
    pub fn new(store: &StoreCore, func: FuncRefId) -> Option<Self> {
        let ty: FuncType = store.func_type(func);
        let result = NumberResult::of(ty.results())?;
        if !ty.params().iter().all(is_number) || ty.params().len() > MAX_ARITY {
            return None;
        }
        let is_float = |ty: &ValType| matches!(ty, ValType::F32 | ValType::F64);
        let floats = ty.params().iter().enumerate().filter(|(_, ty)| is_float(ty));
        let floats = floats.fold(0_u32, |all, (i, _)| all | 1 << i);
        let params = ty.params().len() as u32;
        let Arguments { ints: int_registers, floats: float_registers } = Arguments::NONE;
        let fits = floats.count_ones() as usize <= float_registers.len()
            && (params - floats.count_ones()) as usize <= int_registers.len();
        let callee = store.callee(func);
        let made = Self {
            store: AtomicU64::new(0),
            direct: AtomicU64::new(0),
            callee,
            func,
            params,
            floats,
            result,
            fits,
        };
        made.set_store(store.id);
        Some(made)
    }

    fn set_store(&self, id: StoreId) {
        let number = id.number();
        // ORDER: only calls read them, and a call holds the store as exclusively as a rewind does.
        self.store.store(number, Relaxed);
        self.direct.store(if self.fits && !self.callee.is_host { number } else { 0 }, Relaxed);
    }

    /// Makes the function, which existed at a checkpoint, one of the store as it is since it was rewound to that checkpoint or
    /// started from it. Returns `false` if the store has not been there.
    pub fn stay(&self, store: &StoreCore, checkpoint: &Checkpoint) -> bool {
        let stays = store.has_been_at(checkpoint) && store.callee(self.func) == self.callee;
        if stays {
            self.set_store(store.id);
        }
        stays
    }

    /// Returns the function.
    pub fn func(&self) -> FuncRefId {
        self.func
    }

    /// Returns whether it returns something.
    pub fn has_result(&self) -> bool {
        self.result != NumberResult::Nothing
    }

    /// Puts the parameters into the registers that they are passed in. There are as many as the function takes.
    #[inline]
    fn arguments(&self, bits: &[u64]) -> Arguments {
        let mut arguments = Arguments::NONE;
        let (mut ints, mut floats) = (0, 0);
        for (i, bits) in bits.iter().enumerate() {
            if self.floats >> i & 1 == 0 {
                if let Some(register) = arguments.ints.get_mut(ints) {
                    register.write(*bits);
                }
                ints += 1;
            } else {
                if let Some(register) = arguments.floats.get_mut(floats) {
                    register.write(f64::from_bits(*bits));
                }
                floats += 1;
            }
        }
        arguments
    }

    /// Calls the function with the bits of its parameters: 32-bit values in the lower half. Returns those of its result, or
    /// 0 if it has none.
    ///
    /// # Errors
    ///
    /// Returns how the run ended if not by returning.
    ///
    /// # Panics
    ///
    /// Panics if `store` is not the function's own, if the number of parameters is wrong, and with the payload of a panic in a
    /// host function.
    #[inline]
    pub fn call<T: 'static>(&self, store: &mut StoreInner<T>, bits: &[u64]) -> Result<u64, Exit> {
        assert!(
            bits.len() == self.params as usize,
            "a function was called with another number of parameters"
        );
        if self.direct.load(Relaxed) != store.core().ready {
            return self.call_checked(store, bits);
        }
        let Some(thread) = store.core().ready_thread() else { return self.call_checked(store, bits) };
        let store_context = store.core().monitor.enter_again(thread);
        let entry = Entry { code: self.callee.code, context: self.callee.context, store_context };
        let arguments = self.arguments(bits);
        // ONE-BORROW: as in `StoreInner::enter`; the address is still the same number.
        VmPtr::expose(std::ptr::from_mut(store));
        // SAFETY: the function takes as many numbers of these kinds, all of them in registers (TYPE-CHECKED by `new`); its
        // context and code are those of a live instance of this store (CODE-ALIVE), as the store's id is still the same;
        // we hold it exclusively, and nothing of it runs.
        let returned = unsafe { enter::<false>(entry, arguments) };
        let core = store.core_mut();
        let is_pending = core.context_mut().pending != pending::NONE;
        if is_pending {
            core.record_death();
        }
        core.monitor.leave_again(thread, core.last_thread);
        if is_pending { Err(store.core_mut().leave()) } else { Ok(self.result.bits(returned)) }
    }

    #[inline(never)]
    fn call_checked<T: 'static>(&self, store: &mut StoreInner<T>, bits: &[u64]) -> Result<u64, Exit> {
        assert!(
            self.store.load(Relaxed) == store.core().id.number(),
            "a function was called with a store that it does not belong to"
        );
        let _guard = if store.core().is_special { Some(store.core_mut().acquire_run_guard()?) } else { None };
        match store.core().has_call_hook {
            true => store.hooked_run(|store| self.call_now(store, bits)),
            false => self.call_now(store, bits),
        }
    }

    fn call_now<T: 'static>(&self, store: &mut StoreInner<T>, bits: &[u64]) -> Result<u64, Exit> {
        if self.fits && !self.callee.is_host {
            let arguments = self.arguments(bits);
            // SAFETY: as in `call`; the store is the function's own.
            let (returned, outer) = unsafe { store.enter(self.callee.code, self.callee.context, arguments) };
            let core = store.core_mut();
            return if core.end_run(outer) { Ok(self.result.bits(returned)) } else { Err(core.leave()) };
        }
        let mut slots = [RawVal::default(); MAX_ARITY];
        slots.iter_mut().zip(bits).for_each(|(slot, bits)| *slot = RawVal::from_u64(*bits));
        enter_slots(store, self.func, self.callee, &mut slots)?;
        Ok(self.result.bits_of_slot(slots[0]))
    }
}
