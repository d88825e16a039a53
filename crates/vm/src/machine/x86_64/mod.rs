//! x86-64, System V: stubs, registers of interrupted threads, and function prologues and epilogues.

mod context;
mod prologue;
mod stack_switch;
mod stubs;

pub use context::Context;
pub(crate) use context::{Access, ProgramState};
pub(crate) use prologue::{Prologue, REACH, TRAP_INSTRUCTION};
pub(crate) use stack_switch::on_stack;
pub(crate) use stubs::{Arguments, Continuation, Returned, continue_apart, enter_apart};
pub(crate) use stubs::{
    BuiltinStub, Entry, InStub, STORE_CONTEXT, builtin_stub, builtin_symbol, enter, exit_address,
    leave_activation, resume, returned_address, saving_stub, saving_symbol,
};
pub(in crate::machine) use stubs::{ON_FAULT, fault_address};
