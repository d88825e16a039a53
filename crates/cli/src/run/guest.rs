//! The host data of a guest's store, and the data that the threads of one program share.

use super::memory_budget::MemoryBudget;
use super::shared_memory::SharedMemoryImport;
use belljar::LimitGroup;
use belljar::component::ResourceTable;
use belljar_wasi::threads::Threads;
use belljar_wasi::{WasiCtx, WasiCtxView, WasiView};
use belljar_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};
use std::sync::Arc;

/// The host data of a guest's store.
pub(super) struct Guest {
    pub(super) wasi: WasiCtx,
    /// What a component may use of HTTP.
    pub(super) http: WasiHttpCtx,
    /// The resources of a component.
    pub(super) table: ResourceTable,
    pub(super) memory: MemoryBudget,
    /// The data shared by all threads; `None` without `--threads`.
    pub(super) thread_group: Option<ThreadGroup>,
}

/// The data shared by all threads of a program.
#[derive(Clone)]
pub(super) struct ThreadGroup {
    pub(super) threads: Threads<Guest>,
    pub(super) memories: Arc<[SharedMemoryImport]>,
    /// The limits that apply to all their stores together.
    pub(super) limits: LimitGroup,
}

impl Guest {
    /// Returns the host data for another thread.
    pub(super) fn share(&self) -> Self {
        Self {
            wasi: self.wasi.share(),
            http: self.http.clone(),
            table: ResourceTable::new(),
            memory: self.memory.clone(),
            thread_group: self.thread_group.clone(),
        }
    }
}

impl WasiView for Guest {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl WasiHttpView for Guest {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { ctx: &mut self.http, table: &mut self.table, hooks: Default::default() }
    }
}
