//! Collects what a guest is granted before it runs. A fresh builder grants nothing but clocks and
//! randomness.

use std::io;
use std::mem;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt;
use std::path::Path;
use std::sync::Arc;

use belljar::{Limit, Limits};

use crate::clocks::{HostCpuClock, HostMonotonicClock, HostWallClock};
use crate::ctx::WasiCtx;
use crate::descriptor::Descriptor;
use crate::dir::Dir;
use crate::grants::Grants;
use crate::network::SocketAddrUse;
use crate::perms::PreopenPerms;
use crate::random::HostRandom;
use crate::socket::PreopenSocket;
use crate::stdio;
use crate::stream::{InputStream, OutputStream};

/// Collects what a guest is granted, and creates a [`WasiCtx`] from it.
///
/// ```
/// use belljar_wasi::{FsPerms, MemoryOutputPipe, WasiCtxBuilder};
///
/// let stdout = MemoryOutputPipe::new(1 << 20);
/// let ctx = WasiCtxBuilder::new()
///     .args(&["program", "--verbose"])
///     .env("LANG", "C")
///     .stdout(stdout.clone())
///     .preopened_dir(std::env::temp_dir(), "/tmp", FsPerms::ReadOnly)?
///     .build();
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct WasiCtxBuilder {
    grants: Grants,
}

impl Default for WasiCtxBuilder {
    fn default() -> WasiCtxBuilder {
        WasiCtxBuilder::new()
    }
}

impl WasiCtx {
    /// Creates a [`WasiCtxBuilder`].
    pub fn builder() -> WasiCtxBuilder {
        WasiCtxBuilder::new()
    }
}

impl WasiCtxBuilder {
    /// Creates a builder that grants no arguments, variables, directories or sockets; input is empty and output is discarded.
    pub fn new() -> WasiCtxBuilder {
        WasiCtxBuilder { grants: Grants::default() }
    }

    /// Adds one argument. By convention, the first one is the program's name.
    pub fn arg(&mut self, arg: impl AsRef<str>) -> &mut Self {
        self.grants.args.push(arg.as_ref().into());
        self
    }

    /// Adds several arguments.
    pub fn args(&mut self, args: &[impl AsRef<str>]) -> &mut Self {
        self.grants.args.extend(args.iter().map(|arg| arg.as_ref().into()));
        self
    }

    /// Adds the process's own arguments, including its name.
    pub fn inherit_args(&mut self) -> &mut Self {
        self.grants.args.extend(std::env::args_os().map(OsStringExt::into_vec));
        self
    }

    /// Adds one environment variable.
    pub fn env(&mut self, name: impl AsRef<str>, value: impl AsRef<str>) -> &mut Self {
        self.grants.env.push(format!("{}={}", name.as_ref(), value.as_ref()).into());
        self
    }

    /// Adds several environment variables.
    pub fn envs(&mut self, env: &[(impl AsRef<str>, impl AsRef<str>)]) -> &mut Self {
        for (name, value) in env {
            self.env(name, value);
        }
        self
    }

    /// Adds all of the process's own environment.
    pub fn inherit_env(&mut self) -> &mut Self {
        for (name, value) in std::env::vars_os() {
            let mut line = name.into_vec();
            line.push(b'=');
            line.extend(value.into_vec());
            self.grants.env.push(line);
        }
        self
    }

    /// Sets the guest's standard input.
    pub fn stdin(&mut self, stdin: impl InputStream + 'static) -> &mut Self {
        self.grants.stdin = Arc::new(stdin);
        self
    }

    /// Sets the guest's standard output.
    pub fn stdout(&mut self, stdout: impl OutputStream + 'static) -> &mut Self {
        self.grants.stdout = Arc::new(stdout);
        self
    }

    /// Sets the guest's standard error.
    pub fn stderr(&mut self, stderr: impl OutputStream + 'static) -> &mut Self {
        self.grants.stderr = Arc::new(stderr);
        self
    }

    /// Lets the guest read the process's standard input.
    pub fn inherit_stdin(&mut self) -> &mut Self {
        self.stdin(stdio::stdin())
    }

    /// Lets the guest write to the process's standard output.
    pub fn inherit_stdout(&mut self) -> &mut Self {
        self.stdout(stdio::stdout())
    }

    /// Lets the guest write to the process's standard error.
    pub fn inherit_stderr(&mut self) -> &mut Self {
        self.stderr(stdio::stderr())
    }

    /// Lets the guest use all three of the process's standard streams.
    pub fn inherit_stdio(&mut self) -> &mut Self {
        self.inherit_stdin().inherit_stdout().inherit_stderr()
    }

    /// Opens a directory of the host and gives it to the guest under the name `guest_path`, with the next number
    /// from 3 on.
    ///
    /// `perms` is a [`FsPerms`](crate::FsPerms), or a pair of [`DirPerms`](crate::DirPerms) and
    /// [`FilePerms`](crate::FilePerms).
    ///
    /// # Errors
    /// Returns an error if the directory cannot be opened.
    pub fn preopened_dir(
        &mut self,
        host_path: impl AsRef<Path>,
        guest_path: impl AsRef<str>,
        perms: impl Into<PreopenPerms>,
    ) -> io::Result<&mut Self> {
        let dir = Dir::preopen(host_path.as_ref(), guest_path.as_ref(), perms.into())?;
        self.grants.preopens.push(Descriptor::Dir(dir));
        Ok(self)
    }

    /// Gives the guest a listening or connected stream socket, with the next number from 3 on.
    ///
    /// ```
    /// # use belljar_wasi::WasiCtxBuilder;
    /// let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    /// let ctx = WasiCtxBuilder::new().preopened_socket(listener).build();
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn preopened_socket(&mut self, socket: impl Into<PreopenSocket>) -> &mut Self {
        self.grants.preopens.push(Descriptor::Socket(socket.into().0));
        self
    }

    /// Replaces the wall clock.
    pub fn wall_clock(&mut self, clock: impl HostWallClock + 'static) -> &mut Self {
        self.grants.wall_clock = Box::new(clock);
        self
    }

    /// Replaces the monotonic clock.
    pub fn monotonic_clock(&mut self, clock: impl HostMonotonicClock + 'static) -> &mut Self {
        self.grants.monotonic_clock = Box::new(clock);
        self
    }

    /// Replaces the CPU-time clocks.
    pub fn cpu_clock(&mut self, clock: impl HostCpuClock + 'static) -> &mut Self {
        self.grants.cpu_clock = Box::new(clock);
        self
    }

    /// Replaces the source of random bytes.
    pub fn secure_random(&mut self, random: impl HostRandom + 'static) -> &mut Self {
        self.grants.random = Box::new(random);
        self
    }

    /// Sets how many random bytes the guest may ask for at once. It ends with a trap if it asks for more. Default:
    /// [`random::DEFAULT_MAX_SIZE`](crate::random::DEFAULT_MAX_SIZE), which is no limit.
    pub fn max_random_size(&mut self, max_size: u64) -> &mut Self {
        self.grants.max_random_size = max_size;
        self
    }

    /// Replaces the source of random bytes that need not be secret, which WASI 0.2 has. Default: the same as that of secret
    /// ones.
    pub fn insecure_random(&mut self, random: impl HostRandom + 'static) -> &mut Self {
        self.grants.insecure_random = Some(Box::new(random));
        self
    }

    /// Sets the seed for hash maps, which WASI 0.2 has. Default: a random one.
    pub fn insecure_random_seed(&mut self, seed: u128) -> &mut Self {
        self.grants.insecure_seed = Some(seed);
        self
    }

    /// Sets the guest's working directory, for WASI 0.2. Guests of WASI 0.1 do not see it: their C library looks paths up in
    /// the preopened directories, and starts in `/`.
    pub fn initial_cwd(&mut self, path: impl AsRef<str>) -> &mut Self {
        self.grants.initial_cwd = Some(path.as_ref().into());
        self
    }

    /// Sets whether calls may block the calling thread. It has no effect: they always may, and a kill ends them.
    pub fn allow_blocking_current_thread(&mut self, enable: bool) -> &mut Self {
        let _ = enable;
        self
    }

    /// Lets the guest use every address of the network, and look names up. By default it may use none.
    ///
    /// Guests of WASI 0.1 open no sockets; they use only what [`WasiCtxBuilder::preopened_socket`] gives them.
    pub fn inherit_network(&mut self) -> &mut Self {
        self.socket_addr_check(|_, _| true).allow_ip_name_lookup(true)
    }

    /// Sets which addresses the guest may use, and for what. It replaces a check that was set before.
    ///
    /// ```
    /// use belljar_wasi::{SocketAddrUse, WasiCtxBuilder};
    /// // Connections to this computer are allowed.
    /// let ctx = WasiCtxBuilder::new()
    ///     .socket_addr_check(|address, what| what == SocketAddrUse::TcpConnect && address.ip().is_loopback())
    ///     .build();
    /// ```
    pub fn socket_addr_check(
        &mut self,
        check: impl Fn(SocketAddr, SocketAddrUse) -> bool + Send + Sync + 'static,
    ) -> &mut Self {
        self.grants.network.check = Box::new(check);
        self
    }

    /// Sets whether the guest may look up names of computers. Default: no.
    pub fn allow_ip_name_lookup(&mut self, enable: bool) -> &mut Self {
        self.name_lookup_check(move |_| enable)
    }

    /// Sets which names of computers the guest may look up. It replaces a check that was set before.
    pub fn name_lookup_check(&mut self, check: impl Fn(&str) -> bool + Send + Sync + 'static) -> &mut Self {
        self.grants.network.name_lookup = Box::new(check);
        self
    }

    /// Sets whether the guest may open UDP sockets. Default: yes, but it may use no address before
    /// [`WasiCtxBuilder::socket_addr_check`] or [`WasiCtxBuilder::inherit_network`] allows one.
    pub fn allow_udp(&mut self, enable: bool) -> &mut Self {
        self.grants.network.udp = enable;
        self
    }

    /// Sets whether the guest may open TCP sockets. Default: yes, but it may use no address before
    /// [`WasiCtxBuilder::socket_addr_check`] or [`WasiCtxBuilder::inherit_network`] allows one.
    pub fn allow_tcp(&mut self, enable: bool) -> &mut Self {
        self.grants.network.tcp = enable;
        self
    }

    /// Sets how many descriptors the guest may have open, including its preopens and standard streams. Beyond that
    /// the guest gets the error "too many open files". Default: 1024.
    ///
    /// Each open file also uses one of the host's descriptors, and a process often may have only 1024.
    pub fn max_descriptors(&mut self, limit: usize) -> &mut Self {
        self.grants.max_descriptors = limit;
        self
    }

    /// Sets how many bytes the guest may read, from files, sockets and standard input together. Beyond that the guest
    /// gets an "input or output error" (`EIO`); the end of a file is still reported. Default: no limit.
    pub fn max_bytes_read(&mut self, limit: u64) -> &mut Self {
        self.grants.max_bytes_read = Some(limit);
        self
    }

    /// Sets how many bytes the guest may write, to files, sockets, standard output and error together. A call that
    /// exceeds the limit writes what is left; the next call gets the error "disk quota exceeded" (`EDQUOT`). Default:
    /// no limit.
    ///
    /// ```
    /// use belljar_wasi::{GuestMemory, MemoryOutputPipe, WasiCtxBuilder, p1::{self, Errno}};
    ///
    /// let stdout = MemoryOutputPipe::new(1024);
    /// let ctx = WasiCtxBuilder::new().stdout(stdout.clone()).max_bytes_written(3).build();
    /// let mut bytes = *b"\x08\0\0\0\x05\0\0\0hello.......";
    /// let mut memory = GuestMemory::new(&mut bytes);
    /// p1::fd_write(&ctx, &mut memory, 1, 0, 1, 16)?;
    /// assert_eq!((stdout.contents(), memory.read_u32(16)?), (b"hel".to_vec().into(), 3));
    /// assert_eq!(p1::fd_write(&ctx, &mut memory, 1, 0, 1, 16), Err(Errno::Dquot.into()));
    /// let text = "bytes_written: the guest wanted more than its limit of 3 bytes (Limits::bytes_written)";
    /// assert_eq!(ctx.limits_exceeded()[0].to_string(), text);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn max_bytes_written(&mut self, limit: u64) -> &mut Self {
        self.grants.max_bytes_written = Some(limit);
        self
    }

    /// Applies those of a guest's limits that WASI enforces: [`Limits::descriptors`], [`Limits::bytes_read`],
    /// [`Limits::bytes_written`]. Limits that are not set leave the builder's settings unchanged.
    pub fn limits(&mut self, limits: &Limits) -> &mut Self {
        if let Some(count) = limits.get(Limit::Descriptors) {
            self.max_descriptors(usize::try_from(count).unwrap_or(usize::MAX));
        }
        if let Some(bytes) = limits.get(Limit::BytesRead) {
            self.max_bytes_read(bytes);
        }
        if let Some(bytes) = limits.get(Limit::BytesWritten) {
            self.max_bytes_written(bytes);
        }
        self
    }

    /// Sets a function that is called whenever a signal interrupts a blocking call: true ends the guest with a trap,
    /// false restarts the call. By default calls are restarted.
    pub fn interrupted(&mut self, check: impl Fn() -> bool + Send + Sync + 'static) -> &mut Self {
        self.grants.interrupted = Box::new(check);
        self
    }

    /// Returns the number of the next directory or socket.
    pub(crate) fn next_preopen(&self) -> u32 {
        3 + self.grants.preopens.len() as u32
    }

    /// Opens an already open directory to the guest, as [`WasiCtxBuilder::preopened_dir`] does.
    pub(crate) fn preopened_handle(
        &mut self,
        handle: OwnedFd,
        guest_path: &str,
        perms: PreopenPerms,
    ) -> io::Result<&mut Self> {
        self.grants.preopens.push(Descriptor::Dir(Dir::of_handle(handle, guest_path, perms)?));
        Ok(self)
    }

    /// Creates the context and resets the builder.
    pub fn build(&mut self) -> WasiCtx {
        WasiCtx::new(mem::take(&mut self.grants))
    }

    /// The same as [`build`](WasiCtxBuilder::build), under Wasmtime's name.
    pub fn build_p1(&mut self) -> WasiCtx {
        self.build()
    }
}

impl std::fmt::Debug for WasiCtxBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WasiCtxBuilder").finish_non_exhaustive()
    }
}
