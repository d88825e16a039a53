//! WASI 0.2: what components import.
//!
//! [`add_to_linker_sync`] defines the interfaces of `wasi:cli`, `wasi:io`, `wasi:clocks`, `wasi:filesystem`,
//! `wasi:random` and `wasi:sockets` at version 0.2.12, which serve components that were made for any version of 0.2. They
//! work on the same [`WasiCtx`](crate::WasiCtx) as WASI 0.1, and on a table for the guest's resources: the store's data
//! gives both by [`WasiView`].
//!
//! Streams and sockets never block a guest that does not want to wait. A guest that waits does so in one `poll` of the operating
//! system, whatever it waits for; a kill or a deadline ends that.
//!
//! ```
//! use belljar::component::{Component, Linker, ResourceTable};
//! use belljar::{Engine, Store};
//! use belljar_wasi::{WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};
//!
//! struct Host {
//!     ctx: WasiCtx,
//!     table: ResourceTable,
//! }
//!
//! impl WasiView for Host {
//!     fn ctx(&mut self) -> WasiCtxView<'_> {
//!         WasiCtxView { ctx: &mut self.ctx, table: &mut self.table }
//!     }
//! }
//!
//! let engine = Engine::default();
//! let mut linker = Linker::<Host>::new(&engine);
//! belljar_wasi::p2::add_to_linker_sync(&mut linker)?;
//! let component = Component::new(&engine, r#"(component
//!     (import "wasi:clocks/monotonic-clock@0.2.0" (instance (export "now" (func (result u64))))))"#)?;
//! let ctx = WasiCtxBuilder::new().inherit_stdio().build();
//! let mut store = Store::new(&engine, Host { ctx, table: ResourceTable::new() });
//! linker.instantiate(&mut store, &component)?;
//! # Ok::<(), belljar::Error>(())
//! ```

#[cfg(feature = "p2")]
pub mod bindings;
#[cfg(feature = "p2")]
mod cli;
#[cfg(feature = "p2")]
mod clocks;
#[cfg(feature = "p2")]
mod command;
#[cfg(feature = "p2")]
mod failure;
#[cfg(feature = "p2")]
mod filesystem;
#[cfg(feature = "p2")]
mod interface;
#[cfg(feature = "p2")]
mod io;
#[cfg(feature = "p2")]
mod open_file;
#[cfg(feature = "p2")]
mod poll;
#[cfg(feature = "p2")]
mod random;
#[cfg(feature = "p2")]
mod sockets;
#[cfg(feature = "p2")]
mod stdio;
#[cfg(feature = "p2")]
mod streams;
#[cfg(feature = "p2")]
pub(crate) mod view;

/// Streams in memory.
pub mod pipe {
    pub use crate::pipe::{MemoryInputPipe, MemoryOutputPipe};
    pub use crate::stdio::{ClosedOutputStream, Empty as ClosedInputStream, Sink as SinkOutputStream};
}

#[cfg(feature = "p2")]
pub use self::{
    poll::{DynPollable, Pollable, subscribe},
    streams::{
        DynInputStream, DynOutputStream, InputStream, IoError, OutputStream, StreamError, StreamResult,
    },
};
#[cfg(feature = "p2")]
pub use crate::wait::Event;

#[cfg(feature = "p2")]
use self::{interface::Interfaces, view::WasiView};
#[cfg(feature = "p2")]
use belljar::component::Linker;

/// Defines all interfaces of WASI 0.2 but `wasi:http`.
///
/// # Errors
///
/// Returns an error if the linker has one of the functions already.
#[cfg(feature = "p2")]
pub fn add_to_linker_sync<T: WasiView>(linker: &mut Linker<T>) -> belljar::Result<()> {
    let mut interfaces = Interfaces::new(linker, T::ctx);
    io::add(&mut interfaces)?;
    cli::add(&mut interfaces)?;
    clocks::add(&mut interfaces)?;
    filesystem::add(&mut interfaces)?;
    random::add(&mut interfaces)?;
    sockets::add(&mut interfaces)
}
