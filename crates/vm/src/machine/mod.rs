//! Everything that depends on the processor, and everything that runs in signal handlers: entering and leaving guest
//! code, faults, and walks of an interrupted guest's stack.
//!
//! In: [`Handlers`], which the layers above install once. Out: guest code runs, and its faults arrive at a handler.
//! Never: knowledge of stores. A store is a [`StoreContext`](belljar_abi::StoreContext) here.
//!
//! ```text
//! x86_64/   stubs, Context, ProgramState, Prologue        one folder for each processor
//! faults        a fault of guest code            ─▶ Handlers::fault_place ─▶ the `fault` stub ─▶ Handlers::on_fault
//! requests      a request of another thread      ─▶ Handlers::answer
//!               a timer                          ─▶ Handlers::sample
//! signal_walk   finds the guest frames of an interrupted thread
//! ```

mod activation;
mod fault_place;
mod faults;
mod handlers;
mod native_stack;
mod requests;
mod signal_walk;
mod slot_state;

#[cfg(target_arch = "x86_64")]
mod x86_64;
#[cfg(target_arch = "x86_64")]
use x86_64 as processor;

#[cfg(not(target_arch = "x86_64"))]
compile_error!("belljar runs on x86-64 only: another processor needs a folder beside `machine/x86_64`");

pub(crate) use activation::Waiting;
pub(crate) use fault_place::{FaultPlace, MemorySpace};
pub(crate) use faults::install;
pub(crate) use handlers::Handlers;
pub(crate) use native_stack::NativeStack;
pub use processor::Context;
pub(crate) use processor::{Arguments, Continuation, Returned, continue_apart, enter_apart};
pub(crate) use processor::{
    BuiltinStub, Entry, ProgramState, STORE_CONTEXT, builtin_stub, builtin_symbol, enter, exit_address,
    leave_activation, resume, returned_address, saving_stub, saving_symbol,
};
pub(crate) use requests::{Answer, FRAMES, FreeSlots, Request, lock_free_slots, send_request};
pub use signal_walk::ThreadState;
pub(crate) use signal_walk::{Reached, StackEntry, StackWord, leave_guest, walk};
