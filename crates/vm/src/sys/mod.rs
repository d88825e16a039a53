//! Everything that depends on the operating system or the processor. Nothing else in the workspace makes
//! system calls about memory, signals or threads, or holds assembly.

mod cpu_clock;
mod dirty;
mod fatal;
mod file_size;
mod fork;
mod frames;
mod futex;
mod jit_dump;
mod large_pages;
mod lease;
mod machine_memory;
mod map;
mod perf_map;
mod prefetch;
mod profile_file;
mod question;
mod signals;
mod stack;
mod stubs;
mod watch_slots;
mod watching;
mod write_watch;

pub use cpu_clock::thread_cpu_time;
pub(crate) use cpu_clock::{CpuTimer, coarse_time, monotonic_time};
pub use dirty::tells_written_pages;
pub(crate) use dirty::written_pages;
pub(crate) use file_size::survive_limit;
pub(crate) use fork::at_fork;
pub use fork::generation;
pub(crate) use frames::{Frame, frame_at};
pub(crate) use futex::{futex_wait, futex_wake, yield_now};
pub use jit_dump::append_jit_dump;
pub(crate) use large_pages::{LARGE_PAGE, LargePageMode, free_large_pages_go_to_the_host, large_page_mode};
pub use lease::LeasedFile;
pub(crate) use machine_memory::machine_memory;
pub(crate) use map::{Mapping, Protection, anonymous_file, page_size, populate};
pub use perf_map::append_perf_map;
pub(crate) use prefetch::prefetch;
pub(crate) use signals::{install as install_signal_handlers, redirect};
pub(crate) use stack::stack_floor;
pub use stack::thread_id;
pub(crate) use stubs::{
    Arguments, Entry, InStub, Returned, builtin_table_address, enter, exit_address, in_stub,
    leave_activation, resume, returned_address,
};
pub use watching::SignalContext;
pub(crate) use watching::{Answer, FRAMES, Questions, Registers, Request, ask, questions};
pub use write_watch::prepare_for_kernel;
pub(crate) use write_watch::{WriteWatch, write_anywhere};
