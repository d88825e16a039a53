//! Calls that can be suspended: where a host function returns an error, or the fuel is used up, the guest's frames stay,
//! and the guest can continue from there later, on any thread.
//!
//! In: a function and its parameters; later, results in place of those that the host function did not return. Out: its
//! results, or a [`SuspendedCall`]. Never: a suspended frame of the host. Every frame of the host between the guest and
//! the place where it is suspended has ended, as after any error. So a suspended guest borrows nothing, and while it is
//! suspended, its store can be used, moved or dropped like any other.
//!
//! ```text
//! call_resumable ─▶ GuestStack ─ enter_apart ─▶ guest ─▶ host function: error ─▶ note_call ─ leave ─▶ SuspendedCall
//!                       ▲                                                                               │ resume
//!                       └──────────────────────── continue_apart ◀──────────────────────────────────────┘
//! ```
//!
//! Leaving an activation cuts its frames off, but changes none of them. On the thread's stack, the host would overwrite
//! them. An activation that is *apart* has a stack that nothing else uses, so they stay.

use crate::abi_types::{AbiParams, AbiResult, MAX_ARITY, Value};
use crate::apart::{FailedCall, Running, Suspended, SuspendedIn};
use crate::call::{EntryTrampoline, OuterActivation, TypedFunc, call_slots};
use crate::exit::Exit;
use crate::guest_stack::GuestStack;
use crate::guest_thread::NEVER_ENTERED;
use crate::machine::{Continuation, Entry, NativeStack, continue_apart, enter_apart};
use crate::store::StoreCore;
use crate::store_id::StoreId;
use crate::store_inner::StoreInner;
use crate::thread_registration::this_thread;
use crate::vm_ptr::VmPtr;
use belljar_abi::activation::{APART, NESTED};
use belljar_core::{FuncRefId, RawVal, Trap};
use std::sync::Arc;

/// How a resumable call, or its continuation, ended without an error.
#[derive(Debug)]
pub enum Resumable {
    /// The function returned. [`StoreCore::results_in`] converts its results.
    Finished(Vec<RawVal>),
    /// The guest was suspended. The exit says how a call that is not resumable would have ended.
    Suspended(SuspendedCall, Exit),
}

/// Why a guest was suspended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Suspension {
    /// This host function returned an error.
    HostError(FuncRefId),
    /// It has used up its fuel. It continues once its store has this much.
    OutOfFuel {
        /// The fuel that it needs.
        required: u64,
    },
}

/// A call that was suspended, and can continue in its store. If it is dropped, its guest's stack is freed with the
/// store's next resumable call, or with the store.
#[derive(Debug)]
pub struct SuspendedCall {
    store: StoreId,
    func: FuncRefId,
    why: Suspension,
    token: Arc<()>,
}

impl SuspendedCall {
    /// Returns the function that was called.
    pub fn func(&self) -> FuncRefId {
        self.func
    }

    /// Returns the store that the call belongs to.
    pub fn store(&self) -> StoreId {
        self.store
    }

    /// Returns why it was suspended.
    pub fn why(&self) -> Suspension {
        self.why
    }

    /// Continues the call. `results` takes the place of the results of the host function that failed; a guest without
    /// fuel gets none, and is suspended again at once if there is not enough of it.
    ///
    /// # Errors
    ///
    /// Returns an error if the values do not fit the host function's type, or the store has been rewound since. Otherwise
    /// returns how the run ended, if it neither returned nor was suspended.
    ///
    /// # Panics
    ///
    /// Panics if `store` is not the call's own, and with the payload of a panic in a host function.
    pub fn resume<T: 'static>(self, store: &mut StoreInner<T>, results: &[Value]) -> Result<Resumable, Exit> {
        let Self { store: id, func, why, token } = self;
        assert!(id == store.core().id, "a call was resumed with a store that it does not belong to");
        let _guard = store.core_mut().acquire_run_guard()?;
        let core = store.core_mut();
        match why {
            Suspension::HostError(host) => core.check_results(host, results)?,
            Suspension::OutOfFuel { required } if core.fuel() < required => {
                return Ok(Resumable::Suspended(
                    Self { store: id, func, why, token },
                    Exit::of_trap(Trap::OutOfFuel),
                ));
            }
            Suspension::OutOfFuel { .. } => {}
        }
        let Some(Suspended { stack, at, .. }) = core.apart.take(&token) else {
            let gone = belljar_core::format_err!(
                "belljar bug: the store does not have the stack of a call that it suspended"
            );
            return Err(Exit::of_error(gone));
        };
        if at.callee == SuspendedIn::OutOfFuel {
            core.charge_overdraft(at.overdraft);
        }
        let result = at.return_values(results);
        let to = Continuation {
            record: core.context_address() | APART | if core.is_running() { NESTED } else { 0 },
            pc: at.pc,
            fp: at.fp,
            sp: at.sp + size_of::<usize>(),
            int: result,
            float: result,
            saved: at.saved,
        };
        drop(token);
        run(store, func, stack, |entry, frame| {
            // SAFETY: SUSPENDED: the stack is as the guest left it, and `to` describes the call that it waits in. Its
            // results have the types that the guest expects (TYPE-CHECKED).
            unsafe { continue_apart(&to, frame, entry) }
        })
    }
}

impl FailedCall {
    /// Puts the results of the host function where the guest expects them. Returns the contents of the result registers.
    fn return_values(&self, results: &[Value]) -> u64 {
        let Some(buffer) = self.buffer else {
            return results.first().map_or(0, |result| result.to_slot().u64());
        };
        for (i, result) in results.iter().enumerate() {
            let at = VmPtr::<RawVal>::at(buffer).byte_add(i * size_of::<RawVal>());
            // SAFETY: SUSPENDED: the buffer lies in the frame of the trampoline that waits for the results, and has room
            // for as many values as the host function's type has results.
            unsafe { at.write(result.to_slot()) };
        }
        0
    }
}

/// Calls a function with values whose types are checked here. If a host function that it calls returns an error, or its
/// fuel is used up, the call is suspended. If the function is itself the host's, nothing is suspended.
///
/// # Errors
///
/// Returns an error if the values do not fit the function's type, or there is no address space for its stack. Otherwise
/// returns how the run ended, if it neither returned nor was suspended.
///
/// # Panics
///
/// Panics with the payload of a panic in a host function.
pub fn call_resumable<T: 'static>(
    store: &mut StoreInner<T>,
    func: FuncRefId,
    params: &[Value],
) -> Result<Resumable, Exit> {
    let core = store.core_mut();
    let mut slots = core.slots_for(func, params)?;
    let callee = core.callee(func);
    if callee.is_host {
        call_slots(store, func, callee, &mut slots)?;
        return Ok(Resumable::Finished(slots));
    }
    let _guard = core.acquire_run_guard()?;
    let EntryTrampoline { code, context, callee } = core.entry_trampoline(func, callee)?;
    let mut stack = core.take_stack(slots.len()).map_err(Exit::of_error)?;
    stack.fill(&slots);
    let arguments = [callee.context, callee.code, stack.buffer().address()].map(|value| value as u64);
    let record = core.context_address() | APART | if core.is_running() { NESTED } else { 0 };
    run(store, func, stack, |store_context, frame| {
        let entry = Entry { code, context, store_context };
        // SAFETY: as in `call::enter_slots`; the stack is new, or was used by an activation that has ended.
        unsafe { enter_apart(entry, arguments, frame, record) }
    })
}

impl<P: AbiParams, R: AbiResult> TypedFunc<P, R> {
    /// Calls the function as [`call_resumable`] does.
    ///
    /// # Errors
    ///
    /// Returns an error as `call_resumable` does.
    ///
    /// # Panics
    ///
    /// Panics as [`TypedFunc::call`] does.
    pub fn call_resumable<T: 'static>(
        &self,
        store: &mut StoreInner<T>,
        params: P,
    ) -> Result<Resumable, Exit> {
        assert!(
            self.store() == store.core().id,
            "a function was called with a store that it does not belong to"
        );
        let mut slots = [RawVal::default(); MAX_ARITY];
        params.store(&mut slots);
        let values = store.core().params_in(self.func(), &slots);
        call_resumable(store, self.func(), &values)
    }
}

/// Runs an activation on a stack of its own. `enter` enters it, given the address of the store's context and the frame
/// pointer of the entry stub.
fn run<T: 'static>(
    store: &mut StoreInner<T>,
    func: FuncRefId,
    stack: GuestStack,
    enter: impl FnOnce(usize, usize),
) -> Result<Resumable, Exit> {
    match store.core().has_call_hook {
        true => store.hooked_run(|store| run_now(store, func, stack, enter)),
        false => run_now(store, func, stack, enter),
    }
}

fn run_now<T: 'static>(
    store: &mut StoreInner<T>,
    func: FuncRefId,
    stack: GuestStack,
    enter: impl FnOnce(usize, usize),
) -> Result<Resumable, Exit> {
    let core = store.core_mut();
    let began = core.begin_apart(&stack);
    let context = core.context_address();
    let address = VmPtr::expose(std::ptr::from_mut(store)).address();
    store.core_mut().context_mut().store = address;
    // As in `StoreInner::enter`: the last step before guest code is entered (ONE-BORROW).
    VmPtr::expose(std::ptr::from_mut(store));
    enter(context, stack.frame());
    let core = store.core_mut();
    let (has_returned, failed) = core.end_apart(began);
    if has_returned {
        let results = stack.values();
        core.apart.spare = Some(stack);
        return Ok(Resumable::Finished(results));
    }
    match (core.leave(), failed) {
        (exit, Some(at)) if exit.is_of(at.callee) => {
            let why = match at.callee {
                SuspendedIn::HostFunction => Suspension::HostError(core.func_at(at.object)),
                SuspendedIn::OutOfFuel => Suspension::OutOfFuel { required: at.overdraft.saturating_add(1) },
            };
            let token = Arc::new(());
            core.apart.suspended.push(Suspended { token: token.clone(), stack, at });
            Ok(Resumable::Suspended(SuspendedCall { store: core.id, func, why, token }, exit))
        }
        (exit, _) => {
            core.apart.spare = Some(stack);
            Err(exit)
        }
    }
}

impl Exit {
    /// Returns whether the run ended because this call failed: otherwise it was killed meanwhile.
    fn is_of(&self, callee: SuspendedIn) -> bool {
        match callee {
            SuspendedIn::HostFunction => matches!(self, Self::Error { .. }),
            SuspendedIn::OutOfFuel => matches!(self, Self::Trap { trap: Trap::OutOfFuel, .. }),
        }
    }
}

/// The state to restore when an activation on a stack of its own ends.
#[must_use]
struct OuterState {
    run: OuterActivation,
    running: Option<Running>,
    thread_stack: NativeStack,
    /// What the store's context says about the stack that waits.
    entry_sp: usize,
    stack_limit: usize,
    stack_floor: usize,
    exit_sp: usize,
    exit_saved: [usize; 5],
}

impl StoreCore {
    /// Returns a stack for a guest, with a buffer of this many values.
    fn take_stack(&mut self, slots: usize) -> belljar_core::Result<GuestStack> {
        self.apart.forget_unwanted();
        let size = self.context_mut().stack_size;
        match self.apart.spare.take_if(|stack| stack.has_room(size, slots)) {
            Some(stack) => Ok(stack),
            None => GuestStack::new(size, slots),
        }
    }

    /// Prepares for entering guest code on a stack.
    fn begin_apart(&mut self, stack: &GuestStack) -> OuterState {
        let run = self.begin_run();
        let thread_stack = this_thread().switch_stack(stack.native());
        let running = self.apart.running.replace(Running { entry: stack.frame(), failed: None });
        let context = self.context_mut();
        let outer = OuterState {
            run,
            running,
            thread_stack,
            entry_sp: context.entry_sp,
            stack_limit: context.stack_limit,
            stack_floor: context.stack_floor,
            exit_sp: context.exit_sp,
            exit_saved: context.exit_saved,
        };
        context.is_apart = 1;
        context.stack_floor = stack.native().floor();
        context.stack_limit = stack.frame().saturating_sub(context.stack_size).max(context.stack_floor);
        outer
    }

    /// Records that the guest code has been left. Returns whether it has returned, and the last call that failed.
    fn end_apart(&mut self, outer: OuterState) -> (bool, Option<FailedCall>) {
        let context = self.context_mut();
        context.entry_sp = outer.entry_sp;
        context.stack_limit = outer.stack_limit;
        context.stack_floor = outer.stack_floor;
        context.exit_sp = outer.exit_sp;
        context.exit_saved = outer.exit_saved;
        context.is_apart = 0;
        // The next run has to look at the thread's stack again.
        self.last_thread = NEVER_ENTERED;
        this_thread().switch_stack(outer.thread_stack);
        let ended = std::mem::replace(&mut self.apart.running, outer.running);
        (self.end_run(outer.run), ended.and_then(|ended| ended.failed))
    }

    /// Notes that a call of the host fails, while the guest waits in its stub. If the innermost activation is apart, its
    /// guest can continue from there.
    pub(crate) fn note_call(&mut self, callee: SuspendedIn) {
        let entry = self.entry_fp();
        let Some(running) = self.apart.running.as_mut().filter(|running| running.entry == entry) else {
            return;
        };
        // SAFETY: STORE-EXCLUSIVE: only this thread's stubs write these, and they are not running.
        let context = unsafe { &*self.monitor.context().as_ptr() };
        running.failed = Some(FailedCall {
            callee,
            pc: context.exit_pc,
            fp: context.exit_fp,
            sp: context.exit_sp,
            saved: context.exit_saved,
            object: context.exit_callee,
            buffer: None,
            overdraft: context.fuel.max(0) as u64,
        });
    }

    /// Notes where the results of the host function belong that was noted last.
    pub(crate) fn note_result_buffer(&mut self, values: &mut [RawVal]) {
        let entry = self.entry_fp();
        let running = self.apart.running.as_mut().filter(|running| running.entry == entry);
        if let Some(failed) = running.and_then(|running| running.failed.as_mut()) {
            failed.buffer = Some(VmPtr::expose(values.as_ptr()).address());
        }
    }

    /// Takes fuel that a guest has used before it was suspended.
    fn charge_overdraft(&mut self, overdraft: u64) {
        let counter = &mut self.context_mut().fuel;
        *counter = counter.saturating_add_unsigned(overdraft);
    }

    /// Returns the function whose object lies at an address.
    fn func_at(&self, object: usize) -> FuncRefId {
        FuncRefId((object - self.region.const_base()) as u32)
    }

    /// Checks that values can be the results of a host function.
    fn check_results(&self, host: FuncRefId, results: &[Value]) -> Result<(), Exit> {
        let ty = self.func_type(host);
        if self.are_of_types(results, ty.results()) {
            return Ok(());
        }
        let list = results.iter().map(|value| value.ty().to_string()).collect::<Vec<_>>().join(", ");
        Err(Exit::of_error(belljar_core::format_err!(
            "the host function that failed has type {ty}, and the call was resumed with ({list}) as its results"
        )))
    }
}
