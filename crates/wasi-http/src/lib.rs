//! HTTP for guests of the belljar WebAssembly runtime: `wasi:http` of WASI 0.2.
//!
//! In: requests that guests send, and what the embedder allows of them ([`WasiHttpCtx`]). Out: responses, whose bodies guests read
//! as they arrive; and requests of the embedder's that guests answer
//! ([`new_incoming_request`](WasiHttpCtxView::new_incoming_request)).
//!
//! Never: a request that was not allowed; a thread for a request, all of which run on one thread of the process; more of a
//! body in memory than a guest reads ([`WasiHttpCtx`] lists the limits).
//!
//! A guest waits for HTTP as for everything else, by `wasi:io/poll`: a kill or a deadline ends that. What it reads and writes of
//! bodies counts against the quotas of its [`WasiCtx`](belljar_wasi::WasiCtx).
//!
//! ```
//! use belljar::component::{Component, Linker, ResourceTable};
//! use belljar::{Engine, Store};
//! use belljar_wasi::{WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};
//! use belljar_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};
//!
//! struct Host {
//!     wasi: WasiCtx,
//!     http: WasiHttpCtx,
//!     table: ResourceTable,
//! }
//!
//! impl WasiView for Host {
//!     fn ctx(&mut self) -> WasiCtxView<'_> {
//!         WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
//!     }
//! }
//!
//! impl WasiHttpView for Host {
//!     fn http(&mut self) -> WasiHttpCtxView<'_> {
//!         WasiHttpCtxView { ctx: &mut self.http, table: &mut self.table, hooks: Default::default() }
//!     }
//! }
//!
//! let engine = Engine::default();
//! let mut linker = Linker::<Host>::new(&engine);
//! belljar_wasi_http::p2::add_to_linker_sync(&mut linker)?;
//!
//! let component = Component::new(&engine, r#"(component
//!     (import "wasi:http/types@0.2.0" (instance (export "fields" (type (sub resource))))))"#)?;
//! let mut http = WasiHttpCtx::new();
//! http.allow_requests(|to| to.host() == "example.com");
//! let wasi = WasiCtxBuilder::new().inherit_stdio().build();
//! let mut store = Store::new(&engine, Host { wasi, http, table: ResourceTable::new() });
//! linker.instantiate(&mut store, &component)?;
//! # Ok::<(), belljar::Error>(())
//! ```
//!
//! [`WasiHttpHooks`] lets an embedder answer requests itself, instead of the network.

mod budget;
mod ctx;
mod destination;
mod error;
mod fields;
mod future_response;
mod hooks;
mod incoming_body;
mod messages;
mod network;
mod outgoing_body;
pub mod p2;
mod request_options;
mod runtime;
#[cfg(feature = "tls")]
mod tls;
mod types;
mod watched;

pub use ctx::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};
pub use destination::Destination;
pub use hooks::{DEFAULT_FORBIDDEN_HEADERS, WasiHttpHooks, default_hooks};
pub use network::{Network, ResponseFuture};
pub use p2::{add_only_http_to_linker_sync, add_to_linker_sync, bindings};
pub use request_options::RequestOptions;

/// A body: one that was received, or one that is sent.
pub type WasiBody = http_body_util::combinators::UnsyncBoxBody<bytes::Bytes, types::ErrorCode>;
