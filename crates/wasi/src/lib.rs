//! WASI for the belljar WebAssembly runtime.
//!
//! In: what the embedder grants (arguments, streams, directories, sockets, clocks, randomness), collected by
//! [`WasiCtxBuilder`]. Out: a [`WasiCtx`], on which the functions of [`p1`] (WASI 0.1, "preview 1", with its
//! predecessor `wasi_unstable`) work, given the guest's memory as [`GuestMemory`]; and the threads of wasi-threads ([`threads`]).
//!
//! Never: a path, symbolic link or race that leads a guest out of its preopened directories (`cap-std` does each look-up with
//! `openat2` beneath a directory handle, or walks by handles where the kernel lacks it);
//! a panic on any input of the guest; an allocation without a limit whose size the guest chooses.
//!
//! ```
//! use belljar_wasi::{GuestMemory, MemoryOutputPipe, WasiCtxBuilder, p1};
//!
//! let stdout = MemoryOutputPipe::new(1024);
//! let ctx = WasiCtxBuilder::new().arg("hello").stdout(stdout.clone()).build();
//!
//! // A guest's memory with one buffer of five bytes at address 16, described at address 0.
//! let mut bytes = vec![0; 64];
//! bytes[16..21].copy_from_slice(b"hello");
//! let mut memory = GuestMemory::new(&mut bytes);
//! memory.write_u32(0, 16)?;
//! memory.write_u32(4, 5)?;
//! p1::fd_write(&ctx, &mut memory, 1, 0, 1, 8)?;
//! assert_eq!(stdout.contents(), &b"hello"[..]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![cfg_attr(
    not(feature = "p2"),
    allow(dead_code, unreachable_pub, reason = "much of a context is for WASI 0.2 alone")
)]

mod builder;
mod byte_quota;
pub mod cli;
pub mod clocks;
mod ctx;
mod descriptor;
mod dir;
mod fd_flags;
mod file;
pub mod filesystem;
mod grants;
mod listing;
mod memory;
mod network;
pub mod p0;
pub mod p1;
pub mod p2;
mod perms;
mod pipe;
pub mod random;
mod saved;
mod socket;
mod stat;
mod stdio;
mod stream;
pub mod sync;
mod table;
pub mod threads;
mod wait;

/// The error of functions such as [`add_to_linker`].
pub use belljar::Error;
pub use belljar::I32Exit;
pub use builder::WasiCtxBuilder;
pub use clocks::{HostCpuClock, HostMonotonicClock, HostWallClock};
pub use ctx::WasiCtx;
pub use memory::{Fault, GuestMemory, SharedBytes};
pub use network::{DeniedUse, SocketAddrUse};
#[cfg(feature = "p2")]
pub use p2::view::{WasiCtxView, WasiView};
pub use perms::{DirPerms, FilePerms, FsPerms, PreopenPerms};
pub use pipe::{MemoryInputPipe, MemoryOutputPipe};
pub use random::{Deterministic, HostRandom, SeededRandom, thread_rng};
pub use saved::{DescriptorsError, SavedDescriptors};
pub use socket::PreopenSocket;
pub use stdio::{Empty, InputFile, OutputFile, Sink, stderr, stdin, stdout};
pub use stream::{InputStream, OutputStream};
pub use sync::{AddWasi, InvalidWasiImport, add_to_externals, add_to_linker};
