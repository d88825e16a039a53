//! The table of all functions: wasm signature, implementation, and the implementation for `wasi_unstable`.

/// Calls a macro with one row for each function of WASI 0.1; linkers are generated from it.
///
/// A row is `fn NAME(PARAMETER: TYPE, ...) -> RESULT = IMPLEMENTATION | UNSTABLE;`. Types are wasm types, `i32`
/// or `i64`; the result is `i32` (an errno) or `()`. IMPLEMENTATION is the function of
/// `wasi_snapshot_preview1`; it takes a [`WasiCtx`](crate::WasiCtx), a [`GuestMemory`](crate::GuestMemory) and the
/// parameters as unsigned numbers. UNSTABLE is the function of `wasi_unstable`; rows without it are not in that module.
///
/// ```
/// macro_rules! names {
///     ($(fn $name:ident($($parameter:ident: $ty:ty),*) -> $result:ty = $p1:path $(| $unstable:path)?;)*) => {
///         [$(stringify!($name)),*]
///     };
/// }
/// assert_eq!(belljar_wasi::p1_functions!(names).len(), 46);
/// ```
#[macro_export]
macro_rules! p1_functions {
    ($callback:ident) => {
        $callback! {
            fn args_get(argv: i32, argv_buf: i32) -> i32 = $crate::p1::args_get | $crate::p1::args_get;
            fn args_sizes_get(argc: i32, size: i32) -> i32 = $crate::p1::args_sizes_get | $crate::p1::args_sizes_get;
            fn environ_get(environ: i32, environ_buf: i32) -> i32 = $crate::p1::environ_get | $crate::p1::environ_get;
            fn environ_sizes_get(count: i32, size: i32) -> i32 = $crate::p1::environ_sizes_get | $crate::p1::environ_sizes_get;
            fn clock_res_get(id: i32, resolution: i32) -> i32 = $crate::p1::clock_res_get | $crate::p1::clock_res_get;
            fn clock_time_get(id: i32, precision: i64, time: i32) -> i32 = $crate::p1::clock_time_get | $crate::p1::clock_time_get;
            fn fd_advise(fd: i32, offset: i64, len: i64, advice: i32) -> i32 = $crate::p1::fd_advise | $crate::p1::fd_advise;
            fn fd_allocate(fd: i32, offset: i64, len: i64) -> i32 = $crate::p1::fd_allocate | $crate::p1::fd_allocate;
            fn fd_close(fd: i32) -> i32 = $crate::p1::fd_close | $crate::p1::fd_close;
            fn fd_datasync(fd: i32) -> i32 = $crate::p1::fd_datasync | $crate::p1::fd_datasync;
            fn fd_fdstat_get(fd: i32, stat: i32) -> i32 = $crate::p1::fd_fdstat_get | $crate::p1::fd_fdstat_get;
            fn fd_fdstat_set_flags(fd: i32, flags: i32) -> i32 = $crate::p1::fd_fdstat_set_flags | $crate::p1::fd_fdstat_set_flags;
            fn fd_fdstat_set_rights(fd: i32, base: i64, inheriting: i64) -> i32 = $crate::p1::fd_fdstat_set_rights | $crate::p1::fd_fdstat_set_rights;
            fn fd_filestat_get(fd: i32, stat: i32) -> i32 = $crate::p1::fd_filestat_get | $crate::p1::unstable::fd_filestat_get;
            fn fd_filestat_set_size(fd: i32, size: i64) -> i32 = $crate::p1::fd_filestat_set_size | $crate::p1::fd_filestat_set_size;
            fn fd_filestat_set_times(fd: i32, accessed: i64, modified: i64, flags: i32) -> i32 = $crate::p1::fd_filestat_set_times | $crate::p1::fd_filestat_set_times;
            fn fd_pread(fd: i32, iovs: i32, iovs_len: i32, offset: i64, nread: i32) -> i32 = $crate::p1::fd_pread | $crate::p1::fd_pread;
            fn fd_prestat_get(fd: i32, prestat: i32) -> i32 = $crate::p1::fd_prestat_get | $crate::p1::fd_prestat_get;
            fn fd_prestat_dir_name(fd: i32, path: i32, path_len: i32) -> i32 = $crate::p1::fd_prestat_dir_name | $crate::p1::fd_prestat_dir_name;
            fn fd_pwrite(fd: i32, iovs: i32, iovs_len: i32, offset: i64, nwritten: i32) -> i32 = $crate::p1::fd_pwrite | $crate::p1::fd_pwrite;
            fn fd_read(fd: i32, iovs: i32, iovs_len: i32, nread: i32) -> i32 = $crate::p1::fd_read | $crate::p1::fd_read;
            fn fd_readdir(fd: i32, buf: i32, buf_len: i32, cookie: i64, used: i32) -> i32 = $crate::p1::fd_readdir | $crate::p1::fd_readdir;
            fn fd_renumber(from: i32, to: i32) -> i32 = $crate::p1::fd_renumber | $crate::p1::fd_renumber;
            fn fd_seek(fd: i32, offset: i64, whence: i32, position: i32) -> i32 = $crate::p1::fd_seek | $crate::p1::unstable::fd_seek;
            fn fd_sync(fd: i32) -> i32 = $crate::p1::fd_sync | $crate::p1::fd_sync;
            fn fd_tell(fd: i32, position: i32) -> i32 = $crate::p1::fd_tell | $crate::p1::fd_tell;
            fn fd_write(fd: i32, iovs: i32, iovs_len: i32, nwritten: i32) -> i32 = $crate::p1::fd_write | $crate::p1::fd_write;
            fn path_create_directory(fd: i32, path: i32, path_len: i32) -> i32 = $crate::p1::path_create_directory | $crate::p1::path_create_directory;
            fn path_filestat_get(fd: i32, flags: i32, path: i32, path_len: i32, stat: i32) -> i32 = $crate::p1::path_filestat_get | $crate::p1::unstable::path_filestat_get;
            fn path_filestat_set_times(fd: i32, flags: i32, path: i32, path_len: i32, accessed: i64, modified: i64, fst_flags: i32) -> i32 = $crate::p1::path_filestat_set_times | $crate::p1::path_filestat_set_times;
            fn path_link(old_fd: i32, old_flags: i32, old_path: i32, old_path_len: i32, new_fd: i32, new_path: i32, new_path_len: i32) -> i32 = $crate::p1::path_link | $crate::p1::path_link;
            fn path_open(fd: i32, dirflags: i32, path: i32, path_len: i32, oflags: i32, base: i64, inheriting: i64, fdflags: i32, opened: i32) -> i32 = $crate::p1::path_open | $crate::p1::path_open;
            fn path_readlink(fd: i32, path: i32, path_len: i32, buf: i32, buf_len: i32, used: i32) -> i32 = $crate::p1::path_readlink | $crate::p1::path_readlink;
            fn path_remove_directory(fd: i32, path: i32, path_len: i32) -> i32 = $crate::p1::path_remove_directory | $crate::p1::path_remove_directory;
            fn path_rename(fd: i32, old_path: i32, old_path_len: i32, new_fd: i32, new_path: i32, new_path_len: i32) -> i32 = $crate::p1::path_rename | $crate::p1::path_rename;
            fn path_symlink(target: i32, target_len: i32, fd: i32, path: i32, path_len: i32) -> i32 = $crate::p1::path_symlink | $crate::p1::path_symlink;
            fn path_unlink_file(fd: i32, path: i32, path_len: i32) -> i32 = $crate::p1::path_unlink_file | $crate::p1::path_unlink_file;
            fn poll_oneoff(subscriptions: i32, events: i32, count: i32, happened: i32) -> i32 = $crate::p1::poll_oneoff | $crate::p1::unstable::poll_oneoff;
            fn proc_exit(code: i32) -> () = $crate::p1::proc_exit | $crate::p1::proc_exit;
            fn proc_raise(signal: i32) -> i32 = $crate::p1::proc_raise | $crate::p1::proc_raise;
            fn sched_yield() -> i32 = $crate::p1::sched_yield | $crate::p1::sched_yield;
            fn random_get(buf: i32, buf_len: i32) -> i32 = $crate::p1::random_get | $crate::p1::random_get;
            fn sock_accept(fd: i32, flags: i32, accepted: i32) -> i32 = $crate::p1::sock_accept;
            fn sock_recv(fd: i32, iovs: i32, iovs_len: i32, flags: i32, nread: i32, roflags: i32) -> i32 = $crate::p1::sock_recv | $crate::p1::sock_recv;
            fn sock_send(fd: i32, iovs: i32, iovs_len: i32, flags: i32, nwritten: i32) -> i32 = $crate::p1::sock_send | $crate::p1::sock_send;
            fn sock_shutdown(fd: i32, how: i32) -> i32 = $crate::p1::sock_shutdown | $crate::p1::sock_shutdown;
        }
    };
}

/// The wasm type of a parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ValueType {
    /// A 32-bit integer.
    I32,
    /// A 64-bit integer.
    I64,
}

/// One function of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Signature {
    /// Its name in the module.
    pub name: &'static str,
    /// Its parameters' types.
    pub params: &'static [ValueType],
    /// Whether it returns an errno as an `i32`.
    pub returns: bool,
    /// Whether `wasi_unstable` has it too.
    pub unstable: bool,
}

macro_rules! value_type {
    (i32) => {
        ValueType::I32
    };
    (i64) => {
        ValueType::I64
    };
}

macro_rules! signatures {
    ($(fn $name:ident($($param:ident: $ty:tt),*) -> $result:ty = $p1:path $(| $unstable:path)?;)*) => {
        /// All functions, in the order of the table.
        pub const FUNCTIONS: &[Signature] = &[$(Signature {
            name: stringify!($name),
            params: &[$(value_type!($ty)),*],
            returns: size_of::<$result>() != 0,
            unstable: [$(stringify!($unstable),)? ""].len() > 1,
        }),*];
    };
}

p1_functions!(signatures);
