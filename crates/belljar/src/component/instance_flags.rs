//! The flags of inner instances. Each has a global with its flags, which adapters read and write too.

use super::state::{InnerId, StoreComponents};
use crate::Result;
use belljar_component::adapters::{CLOSED, MAY_NOT_LEAVE};
use belljar_core::{Error, format_err};
use belljar_vm::StoreCore;

fn flags(core: &mut StoreCore, at: InnerId) -> u32 {
    let global = StoreComponents::of_mut(core).inner(at).flags;
    core.global_bits(global)
}

/// Checks the flags of an instance that calls what the runtime provides: not while it allocates, or cleans up after a call.
///
/// # Errors
///
/// Returns an error if it may not.
#[inline]
pub(super) fn check_flags(core: &StoreCore, flags: usize) -> Result<()> {
    match core.global_bits(flags) & MAY_NOT_LEAVE as u32 {
        0 => Ok(()),
        _ => Err(may_not_leave()),
    }
}

#[cold]
fn may_not_leave() -> Error {
    format_err!("cannot leave component instance: it may not call out while it allocates or cleans up")
}

/// Returns why an instance whose flags are set may not call another one.
pub(super) fn refusal(core: &mut StoreCore, at: InnerId) -> Error {
    if flags(core, at) & MAY_NOT_LEAVE as u32 != 0 {
        return may_not_leave();
    }
    let open = StoreComponents::of_mut(core).check_open(at.instance);
    open.err().unwrap_or_else(|| format_err!("belljar bug: an adapter refuses a call without a reason"))
}

/// Forbids an instance to call the runtime, until [`set_flags`] restores the flags that it had: they are returned. `flags` is
/// the number of the global with its flags.
#[inline]
pub(super) fn confine(core: &mut StoreCore, flags: usize) -> u32 {
    let before = core.global_bits(flags);
    core.set_global_bits(flags, before | MAY_NOT_LEAVE as u32);
    before
}

/// Sets the flags of an instance.
#[inline]
pub(super) fn set_flags(core: &mut StoreCore, flags: usize, value: u32) {
    core.set_global_bits(flags, value);
}

/// Closes an instance, in which a call has failed. The first reason is kept.
pub(super) fn close(core: &mut StoreCore, instance: u32, why: &str) {
    let components = StoreComponents::of_mut(core);
    if !components.close(instance, why) {
        return;
    }
    let globals = components.instances[instance as usize].inner.iter().map(|inner| inner.flags);
    for global in globals.collect::<Vec<_>>() {
        core.set_global_bits(global, CLOSED as u32);
    }
}
