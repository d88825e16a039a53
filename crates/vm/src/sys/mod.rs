//! Everything that depends on the operating system or the processor. Nothing else in the workspace makes
//! system calls about memory, signals or threads, or holds assembly.

mod dirty;
mod lease;
mod map;
mod perf_map;
mod prefetch;
mod signals;
mod stack;
mod stubs;

pub(crate) use dirty::written_pages;
pub use lease::LeasedFile;
pub(crate) use map::{Mapping, Protection, anonymous_file, page_size, populate};
pub use perf_map::append_perf_map;
pub(crate) use prefetch::prefetch;
pub(crate) use signals::install as install_signal_handlers;
pub(crate) use stack::thread_stack_floor;
pub(crate) use stubs::{
    builtin_table, enter_address, exit_address, leave_activation, resume, returned_address,
};
