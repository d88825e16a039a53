//! Reports what the guests of a process are doing to other processes of the same user.
//!
//! In: a [`Subject`], which knows the stores of a process. Out: a socket in the user's runtime directory ([`serve`]),
//! and on the other side a [`Process`], which requests [`ProcessReport`]s. This crate knows nothing about wasm, never
//! examines a guest itself, and treats input from the other side as untrusted. Profiles are passed on as uninterpreted
//! JSON.
//!
//! ```text
//! Subject ◀── Endpoint, a thread ◀── PID.sock ◀── Process::ask_stores
//!    └─ StoreReport… ─▶ ProcessReport ── a line of JSON ─▶ ProcessReport
//! ```
//!
//! Only the user that the process runs as, and root, have access: the permissions of the directory and the socket
//! exclude other users, and the kernel reports the credentials of the peer.

mod client;
mod connection;
mod directory;
mod endpoint;
mod error;
mod event_loop;
mod line;
mod message;
mod peer;
mod process_info;
mod report;
mod server;
mod subject;
#[cfg(test)]
mod tests;

pub use client::{Process, processes, processes_in};
pub use directory::{RUNTIME_DIRECTORY_VARIABLE, RuntimeDirectory};
pub use error::AskError;
pub use report::{FrameReport, ProcessReport, StoreReport, StoreState, SymbolReport, ThreadReport};
pub use server::{Delay, Served, serve, serve_in};
pub use subject::{Detail, ProfileRequest, Subject};
