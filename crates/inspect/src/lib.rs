//! What the guests of a process are doing, told to other processes of the same user.
//!
//! In: a [`Subject`], which knows the stores of a process. Out: a socket in the user's runtime directory ([`serve`]), and on the
//! other side of it [`Process`], which asks and gives [`ProcessReport`]s. Never: knowing wasm, looking at a guest itself, or
//! believing the other side. Profiles are carried as JSON that nothing here reads.
//!
//! ```text
//! Subject ◀── Endpoint, a thread ◀── PID.sock ◀── Process::ask_stores
//!    └─ StoreReport… ─▶ ProcessReport ── a line of JSON ─▶ ProcessReport
//! ```
//!
//! Whoever is neither the user that the process runs as nor root learns nothing: the directory lets only its user in, the socket
//! as well, and the kernel says who has connected.

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
