//! WASI 0.1: the functions of `wasi_snapshot_preview1`, and of its predecessor `wasi_unstable`.
//!
//! In: a [`WasiCtx`](crate::WasiCtx), the guest's [`GuestMemory`](crate::GuestMemory) and the call's arguments
//! as the guest passed them, unsigned. Out: results in the guest's memory, or an [`Error`]: an errno for the
//! guest, the guest's exit, or a trap. Only [`add_to_linker`] depends on the engine; it is generated from the table
//! [`p1_functions!`](crate::p1_functions).
//!
//! Pointers outside the memory give [`Errno::Fault`], unknown flags and numbers [`Errno::Inval`], text that is
//! not UTF-8 [`Errno::Ilseq`]. A call with side effects checks its result pointers first.

mod args;
mod clock;
mod errno;
mod fd;
mod functions;
mod io;
mod layout;
mod linker;
mod outcome;
mod path;
mod poll;
mod prestat;
mod proc;
mod readdir;
mod rights;
mod sock;
pub mod unstable;

pub use args::{args_get, args_sizes_get, environ_get, environ_sizes_get};
pub use clock::{clock_res_get, clock_time_get};
pub use errno::Errno;
pub use fd::{
    fd_advise, fd_allocate, fd_close, fd_datasync, fd_fdstat_get, fd_fdstat_set_flags, fd_fdstat_set_rights,
    fd_filestat_get, fd_filestat_set_size, fd_filestat_set_times, fd_renumber, fd_sync,
};
pub use functions::{FUNCTIONS, Signature, ValueType};
pub use io::{fd_pread, fd_pwrite, fd_read, fd_seek, fd_tell, fd_write};
pub(crate) use linker::add_unstable_to_linker;
pub use linker::{add_to_linker, add_to_linker_sync};
pub use outcome::{Error, Result, WasmResult};
pub use path::{
    path_create_directory, path_filestat_get, path_filestat_set_times, path_link, path_open, path_readlink,
    path_remove_directory, path_rename, path_symlink, path_unlink_file,
};
pub use poll::poll_oneoff;
pub use prestat::{fd_prestat_dir_name, fd_prestat_get};
pub use proc::{proc_exit, proc_raise, random_get, sched_yield};
pub use readdir::fd_readdir;
pub use sock::{sock_accept, sock_recv, sock_send, sock_shutdown};

/// The context, under Wasmtime's name.
pub type WasiP1Ctx = crate::WasiCtx;
