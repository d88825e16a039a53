//! System calls, and nothing else. No other module of the workspace makes system calls about memory, signals or
//! threads.

mod cpu_clock;
mod dirty;
mod fatal;
mod file_size;
mod fork;
mod futex;
mod jit_dump;
mod large_pages;
mod lease;
mod machine_memory;
mod map;
mod perf_map;
mod prefetch;
mod profile_file;
mod signals;
mod stack;
mod watch_slots;
mod write_watch;

pub use cpu_clock::thread_cpu_time;
pub(crate) use cpu_clock::{CpuTimer, coarse_time, monotonic_time};
pub use dirty::tells_written_pages;
pub(crate) use dirty::written_pages;
pub(crate) use fatal::end_process;
pub(crate) use file_size::fail_oversized_writes;
pub(crate) use fork::at_fork;
pub use fork::generation;
pub(crate) use futex::{futex_wait, futex_wake, yield_now};
pub use jit_dump::append_jit_dump;
pub(crate) use large_pages::{LARGE_PAGE, LargePageMode, free_large_pages_go_to_the_host, large_page_mode};
pub use lease::LeasedFile;
pub(crate) use machine_memory::machine_memory;
pub(crate) use map::{Mapping, Protection, anonymous_file, page_size, populate};
pub use perf_map::append_perf_map;
pub(crate) use prefetch::prefetch;
pub use signals::SignalsHandled;
pub(crate) use signals::{
    Signal, SignalKind, handle_signals, leave_signal, queue_signal, walk_signal, with_signals_blocked,
};
pub use stack::thread_id;
pub(crate) use stack::{HOST_RESERVE, stack_floor};
pub use write_watch::prepare_for_kernel;
pub(crate) use write_watch::{WriteWatch, record_write, write_anywhere};
