//! `wasi:http` of WASI 0.2.

pub mod bindings;
mod bodies;
mod fields;
mod handler;
mod interface;
mod proxy;
mod requests;
mod responses;

use self::interface::Interface;
use crate::ctx::WasiHttpView;
use belljar::Result;
use belljar::component::Linker;
use belljar_wasi::WasiView;

/// The types of bodies, by the names that Wasmtime has for them.
pub mod body {
    /// A body that a guest reads.
    pub type HyperIncomingBody = crate::WasiBody;
    /// A body that a guest writes.
    pub type HyperOutgoingBody = crate::WasiBody;
}

/// Defines `wasi:http` and all other interfaces of WASI 0.2.
///
/// # Errors
///
/// Returns an error if the linker has one of the functions already.
pub fn add_to_linker_sync<T: WasiView + WasiHttpView>(linker: &mut Linker<T>) -> Result<()> {
    belljar_wasi::p2::add_to_linker_sync(linker)?;
    add_only_http_to_linker_sync(linker)
}

/// Defines `wasi:http` alone, beside [`belljar_wasi::p2::add_to_linker_sync`].
///
/// # Errors
///
/// Returns an error if the linker has one of the functions already.
pub fn add_only_http_to_linker_sync<T: WasiHttpView>(linker: &mut Linker<T>) -> Result<()> {
    let mut types = Interface::new(linker, "wasi:http/types", T::http)?;
    fields::add(&mut types)?;
    requests::add(&mut types)?;
    responses::add(&mut types)?;
    bodies::add(&mut types)?;
    handler::add(&mut Interface::new(linker, "wasi:http/outgoing-handler", T::http)?)
}
