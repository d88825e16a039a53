//! The error of a run that did not return: an [`Error`] with a trap, a backtrace, and further details.

use crate::engine::engine_of;
use crate::fault_hint::FaultHint;
use crate::memory_fault::MemoryFault;
use crate::{
    Error, KillReason, Killed, Limit, LimitExceeded, ThrownException, Trap, WasmBacktrace, WasmCoreDump,
};
use belljar_core::ByteCount;
use belljar_vm::{Exit, RawStack, StoreCore};
use std::time::Duration;

/// The errors of stores for which nothing was set that their engine's code needs.
const NO_EPOCH_DEADLINE: &str = "the store has no epoch deadline, so the guest was interrupted at once: set one with \
                                 Store::set_epoch_deadline, or turn Config::epoch_interruption off";
const NO_FUEL: &str =
    "the store was never given fuel: give it some with Store::set_fuel, or turn Config::consume_fuel off";

/// Returns the error of a run that did not return.
#[cold]
pub(crate) fn from_exit(exit: Exit, core: &StoreCore) -> Error {
    let exceeded = exceeded_by(&exit, core);
    let error = match exit {
        Exit::Trap { trap, fault, stack } => {
            let error = match fault {
                Some(fault) => {
                    let hint = FaultHint::of(&fault, &stack, core);
                    Error::of_guest(trap).context(MemoryFault { fault, hint })
                }
                // Of all interruptions of a guest, only this one is a trap of its own code.
                None if trap == Trap::Interrupt => {
                    Error::of_guest(trap).context(match core.has_epoch_deadline() {
                        true => "the epoch deadline passed",
                        false => NO_EPOCH_DEADLINE,
                    })
                }
                None if trap == Trap::OutOfFuel && !core.had_fuel() => Error::of_guest(trap).context(NO_FUEL),
                None => Error::of_guest(trap),
            };
            let error = match trap == Trap::StackOverflow && !core.is_running() {
                true => add_small_stack_hint(error, core),
                false => error,
            };
            with_stack(error, &stack, core)
        }
        Exit::Error { error, stack } => with_stack(error, &stack, core),
        Exit::Killed { reason, stack } => {
            with_stack(Error::of_guest(Trap::Interrupt).context(Killed::new(reason)), &stack, core)
        }
        Exit::Exception { thrown, stack } => {
            with_stack(Error::of_guest(ThrownException::new(thrown)), &stack, core)
        }
    };
    match exceeded {
        Some(exceeded) if !error.is::<LimitExceeded>() => error.context(exceeded),
        _ => error,
    }
}

/// If a stack overflow occurs with less native stack than this, the thread is to blame, and not the guest.
const LITTLE_STACK: usize = 32 << 10;

fn add_small_stack_hint(error: Error, core: &StoreCore) -> Error {
    let had = core.stack_for_guests();
    if had >= LITTLE_STACK.min(core.runtime().stack_size()) {
        return error;
    }
    error.context(format!(
        "the calling thread had only {} of stack left for the guest, because 128 KiB are reserved for the host: call guests on a \
         thread with a larger stack (std::thread::Builder::stack_size)",
        ByteCount(had as u64)
    ))
}

/// Returns the limit of the store that ended a run, if the limit cannot be reported to the guest.
fn exceeded_by(exit: &Exit, core: &StoreCore) -> Option<LimitExceeded> {
    let quota = core.quota()?;
    let is = |limit: Limit, time: &Duration| quota.get(limit).map(Duration::from_nanos) == Some(*time);
    let engines_stack = core.runtime().stack_size() as u64;
    let limit = match exit {
        Exit::Trap { trap: Trap::OutOfFuel, .. } => Limit::Fuel,
        Exit::Trap { trap: Trap::StackOverflow, .. } if quota.get(Limit::Stack)? <= engines_stack => {
            Limit::Stack
        }
        Exit::Killed { reason: KillReason::WallTime(time), .. } if is(Limit::Wall, time) => Limit::Wall,
        Exit::Killed { reason: KillReason::CpuTime(time), .. } if is(Limit::Cpu, time) => Limit::Cpu,
        _ => return None,
    };
    quota.used_up(limit)
}

/// Adds the guest's stack, and a core dump if it is enabled, unless the error of a nested run already has them.
fn with_stack(error: Error, stack: &RawStack, core: &StoreCore) -> Error {
    let is_known = error.is::<WasmBacktrace>() || error.is::<WasmCoreDump>();
    let no_guest_ran = stack.frames().is_empty();
    // Active segments trap before there is a stack.
    if is_known || no_guest_ran && !error.is::<Trap>() {
        return error;
    }
    let error = match core.runtime().dumps_cores() {
        true => error.attach(WasmCoreDump::new(core, stack)),
        false => error,
    };
    let options = &engine_of(core).config().errors;
    match options.frames {
        Some(frames) if !no_guest_ran => {
            error.attach(WasmBacktrace::new(stack).limited(frames.get(), options.lines))
        }
        _ => error,
    }
}
