//! How calls of an instance end: results, errors and panics by one path.

use super::instance_flags::close;
use super::state::{FuncId, StoreComponents};
use crate::{Result, StoreContextMut};
use belljar_core::OutsideText;
use belljar_vm::StoreCore;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

/// What a call has returned, or the panic of a host function that ended it.
pub(super) type Ended<R> = std::thread::Result<Result<R>>;

/// Why an instance is closed after a panic.
const PANICKED: &str = "a function of the host panicked";

/// Makes a call. What it borrowed must be given back before its panic goes on.
pub(super) fn attempt<R>(call: impl FnOnce() -> Result<R>) -> Ended<R> {
    catch_unwind(AssertUnwindSafe(call))
}

/// Returns the result of a call that nothing is left of. A panic goes on.
pub(super) fn result_of<R>(ended: Ended<R>) -> Result<R> {
    ended.unwrap_or_else(|panic| resume_unwind(panic))
}

/// Adds to an error which function was called, for its long form.
pub(super) fn in_call_of<R>(store: &StoreCore, func: FuncId, ended: Result<R>) -> Result<R> {
    ended.map_err(|error| {
        let components = StoreComponents::of(store);
        let instance = components.and_then(|all| all.instances.get(func.instance as usize));
        let name = instance.and_then(|all| all.component.plan().funcs[func.func.index()].name.clone());
        match name {
            Some(name) => error.attach(format!("in a call of the component's {}", OutsideText::new(&*name))),
            None => error,
        }
    })
}

/// Ends a call of an instance, which is closed unless the call has succeeded. A panic goes on. `running` is the number of
/// calls that ran before this one.
pub(super) fn leave<T: 'static, R>(
    store: &mut StoreContextMut<'_, T>,
    instance: u32,
    running: usize,
    ended: Ended<R>,
) -> Result<R> {
    let core = store.0.core_mut();
    StoreComponents::of_mut(core).end_calls_after(running);
    match &ended {
        Ok(Ok(_)) => {}
        Ok(Err(error)) => close(core, instance, &error.to_string()),
        Err(_) => close(core, instance, PANICKED),
    }
    result_of(ended)
}
