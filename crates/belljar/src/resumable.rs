//! Calls that can be resumed after an error of a host function, or when the fuel is used up.
//!
//! In: a function and its parameters. Out: [`ResumableCall`], or [`TypedResumableCall`] with Rust types. Never: how a
//! guest is suspended; the runtime does that.

use crate::context::check_store;
use crate::func::Func;
use crate::run_error::from_exit;
use crate::{AsContextMut, Error, Result, StoreContextMut, Val, WasmResults};
use belljar_core::{FuncRefId, RawVal};
use belljar_vm::{AbiResult, Exit, Resumable, StoreCore, SuspendedCall, Suspension};
use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;

/// How a call by [`Func::call_resumable`] ended, if it did not fail.
///
/// A suspended call borrows nothing: the store can be used meanwhile, also for other calls, and moved to another thread.
/// If the value is dropped, the call never continues, and the guest's stack is freed with the store's next resumable call
/// or with the store. If a [`Sandbox`](crate::Sandbox) is reset, its suspended calls are gone.
#[derive(Debug)]
#[must_use = "a suspended call that is dropped never continues"]
pub enum ResumableCall {
    /// The function returned.
    Finished,
    /// A host function returned an error.
    HostTrap(ResumableCallHostTrap),
    /// The fuel is used up.
    OutOfFuel(ResumableCallOutOfFuel),
}

/// How a call by [`TypedFunc::call_resumable`](crate::TypedFunc::call_resumable) ended, if it did not fail. Otherwise
/// as [`ResumableCall`].
#[derive(Debug)]
#[must_use = "a suspended call that is dropped never continues"]
pub enum TypedResumableCall<Results> {
    /// The function returned these results.
    Finished(Results),
    /// A host function returned an error.
    HostTrap(TypedResumableCallHostTrap<Results>),
    /// The fuel is used up.
    OutOfFuel(TypedResumableCallOutOfFuel<Results>),
}

/// A call that was suspended because a host function returned an error.
#[derive(Debug)]
pub struct ResumableCallHostTrap {
    call: SuspendedCall,
    host: FuncRefId,
    error: Error,
}

/// A call that was suspended because its fuel is used up.
#[derive(Debug)]
pub struct ResumableCallOutOfFuel {
    call: SuspendedCall,
    required: u64,
}

/// A [`ResumableCallHostTrap`] whose function has results of type `Results`.
pub struct TypedResumableCallHostTrap<Results> {
    call: ResumableCallHostTrap,
    results: PhantomData<fn() -> Results>,
}

/// A [`ResumableCallOutOfFuel`] whose function has results of type `Results`.
pub struct TypedResumableCallOutOfFuel<Results> {
    call: ResumableCallOutOfFuel,
    results: PhantomData<fn() -> Results>,
}

/// How a call ended, before its results are converted.
pub(crate) enum Ended {
    Finished(FuncRefId, Vec<RawVal>),
    HostTrap(ResumableCallHostTrap),
    OutOfFuel(ResumableCallOutOfFuel),
}

impl Ended {
    /// Converts what the runtime returns.
    pub(crate) fn new(
        func: FuncRefId,
        ended: std::result::Result<Resumable, Exit>,
        core: &StoreCore,
    ) -> Result<Self> {
        match ended {
            Ok(Resumable::Finished(slots)) => Ok(Self::Finished(func, slots)),
            Ok(Resumable::Suspended(call, exit)) => Ok(match call.why() {
                Suspension::HostError(host) => {
                    Self::HostTrap(ResumableCallHostTrap { call, host, error: from_exit(exit, core) })
                }
                Suspension::OutOfFuel { required } => {
                    Self::OutOfFuel(ResumableCallOutOfFuel { call, required })
                }
            }),
            Err(exit) => Err(from_exit(exit, core)),
        }
    }

    /// Writes the results of a call that returned.
    pub(crate) fn write(self, core: &mut StoreCore, outputs: &mut [Val]) -> ResumableCall {
        match self {
            Self::Finished(func, slots) => {
                for (output, value) in outputs.iter_mut().zip(core.results_in(func, &slots)) {
                    *output = Val::from_value(value, core);
                }
                ResumableCall::Finished
            }
            Self::HostTrap(call) => ResumableCall::HostTrap(call),
            Self::OutOfFuel(call) => ResumableCall::OutOfFuel(call),
        }
    }

    /// Returns the results of a call that returned. They have the types of `R`, as for each typed function.
    pub(crate) fn typed<R: WasmResults>(self, core: &mut StoreCore) -> TypedResumableCall<R> {
        match self {
            Self::Finished(_, slots) => {
                TypedResumableCall::Finished(R::from_result(R::ResultAbi::load(&slots), core))
            }
            Self::HostTrap(call) => {
                TypedResumableCall::HostTrap(TypedResumableCallHostTrap { call, results: PhantomData })
            }
            Self::OutOfFuel(call) => {
                TypedResumableCall::OutOfFuel(TypedResumableCallOutOfFuel { call, results: PhantomData })
            }
        }
    }
}

/// Continues a call.
fn resume<T: 'static>(
    store: &mut StoreContextMut<'_, T>,
    call: SuspendedCall,
    inputs: &[Val],
) -> Result<Ended> {
    let core = store.0.core();
    check_store(call.store(), core, "ResumableCall");
    let func = call.func();
    let inputs = inputs.iter().map(|v| v.to_value(core)).collect::<Result<Vec<_>>>()?;
    let ended = call.resume(store.0, &inputs);
    Ended::new(func, ended, store.0.core())
}

impl ResumableCallHostTrap {
    /// Returns the host function that returned the error.
    pub fn host_func(&self) -> Func {
        Func::from_id(self.call.store(), self.host)
    }

    /// Returns its error.
    pub fn host_error(&self) -> &Error {
        &self.error
    }

    /// Returns its error, and gives the call up.
    pub fn into_host_error(self) -> Error {
        self.error
    }

    /// Continues the call as if the host function had returned `inputs`. Writes the results to `outputs` if the function
    /// returns.
    ///
    /// # Errors
    ///
    /// Returns an error if `inputs` are not of the types of the host function's results, if the number of `outputs` is
    /// not that of the function's results, or if the function then fails as for [`Func::call`]. In all these cases the
    /// call is given up.
    ///
    /// # Panics
    ///
    /// Panics if the call belongs to another store. A panic of a host function propagates.
    pub fn resume(
        self,
        mut store: impl AsContextMut,
        inputs: &[Val],
        outputs: &mut [Val],
    ) -> Result<ResumableCall> {
        let mut store = store.as_context_mut();
        check_store(self.call.store(), store.0.core(), "ResumableCall");
        Func::check_room(self.call.func(), store.0.core(), outputs)?;
        let ended = resume(&mut store, self.call, inputs)?;
        Ok(ended.write(store.0.core_mut(), outputs))
    }
}

impl ResumableCallOutOfFuel {
    /// Returns how much fuel the store needs for the guest to continue. It includes what the guest has used already
    /// beyond the fuel that it had.
    pub fn required_fuel(&self) -> u64 {
        self.required
    }

    /// Continues the call, with the fuel that the store has by now. If that is less than
    /// [`required_fuel`](Self::required_fuel), the call remains suspended.
    ///
    /// # Errors
    ///
    /// Returns an error if the number of `outputs` is not that of the function's results, or if the function then fails
    /// as for [`Func::call`]. In both cases the call is given up.
    ///
    /// # Panics
    ///
    /// Panics if the call belongs to another store. A panic of a host function propagates.
    pub fn resume(self, mut store: impl AsContextMut, outputs: &mut [Val]) -> Result<ResumableCall> {
        let mut store = store.as_context_mut();
        check_store(self.call.store(), store.0.core(), "ResumableCall");
        Func::check_room(self.call.func(), store.0.core(), outputs)?;
        let ended = resume(&mut store, self.call, &[])?;
        Ok(ended.write(store.0.core_mut(), outputs))
    }
}

impl<Results: WasmResults> TypedResumableCallHostTrap<Results> {
    /// Returns the host function's error, and gives the call up.
    pub fn into_host_error(self) -> Error {
        self.call.into_host_error()
    }

    /// Continues the call as if the host function had returned `inputs`.
    ///
    /// # Errors
    ///
    /// Returns an error as [`ResumableCallHostTrap::resume`] does.
    ///
    /// # Panics
    ///
    /// Panics as [`ResumableCallHostTrap::resume`] does.
    pub fn resume(self, mut store: impl AsContextMut, inputs: &[Val]) -> Result<TypedResumableCall<Results>> {
        let mut store = store.as_context_mut();
        let ended = resume(&mut store, self.call.call, inputs)?;
        Ok(ended.typed(store.0.core_mut()))
    }
}

impl<Results: WasmResults> TypedResumableCallOutOfFuel<Results> {
    /// Continues the call, with the fuel that the store has by now. If that is less than
    /// [`required_fuel`](ResumableCallOutOfFuel::required_fuel), the call remains suspended.
    ///
    /// # Errors
    ///
    /// Returns an error as [`ResumableCallOutOfFuel::resume`] does.
    ///
    /// # Panics
    ///
    /// Panics as [`ResumableCallOutOfFuel::resume`] does.
    pub fn resume(self, mut store: impl AsContextMut) -> Result<TypedResumableCall<Results>> {
        let mut store = store.as_context_mut();
        let ended = resume(&mut store, self.call.call, &[])?;
        Ok(ended.typed(store.0.core_mut()))
    }
}

impl<Results> Deref for TypedResumableCallHostTrap<Results> {
    type Target = ResumableCallHostTrap;

    fn deref(&self) -> &ResumableCallHostTrap {
        &self.call
    }
}

impl<Results> Deref for TypedResumableCallOutOfFuel<Results> {
    type Target = ResumableCallOutOfFuel;

    fn deref(&self) -> &ResumableCallOutOfFuel {
        &self.call
    }
}

impl<Results> fmt::Debug for TypedResumableCallHostTrap<Results> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.call.fmt(f)
    }
}

impl<Results> fmt::Debug for TypedResumableCallOutOfFuel<Results> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.call.fmt(f)
    }
}
