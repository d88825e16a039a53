//! Where the functions of WASI find their state in a store's data.

use crate::WasiCtx;
use belljar::component::ResourceTable;

/// What the functions of WASI 0.2 work on.
#[derive(Debug)]
pub struct WasiCtxView<'a> {
    /// What the guest was granted.
    pub ctx: &'a mut WasiCtx,
    /// The guest's resources.
    pub table: &'a mut ResourceTable,
}

/// A store's data that has what the functions of WASI 0.2 work on.
pub trait WasiView: Send + 'static {
    /// Returns it.
    fn ctx(&mut self) -> WasiCtxView<'_>;
}
