//! The host data of a guest's store, and what the threads of one program share.

use super::memory_budget::MemoryBudget;
use super::shared_memory::SharedMemoryImport;
use belljar::LimitGroup;
use belljar_wasi::WasiCtx;
use belljar_wasi::threads::Threads;
use std::sync::Arc;

/// What a store of ours holds.
pub(super) struct Guest {
    pub(super) wasi: WasiCtx,
    pub(super) memory: MemoryBudget,
    /// What all threads have in common; only with `--threads`.
    pub(super) thread_group: Option<ThreadGroup>,
}

/// What all threads of a program have in common.
#[derive(Clone)]
pub(super) struct ThreadGroup {
    pub(super) threads: Threads<Guest>,
    pub(super) memories: Arc<[SharedMemoryImport]>,
    /// What their stores are limited in together.
    pub(super) limits: LimitGroup,
}

impl Guest {
    /// The same for another thread.
    pub(super) fn share(&self) -> Self {
        Self { wasi: self.wasi.share(), memory: self.memory.clone(), thread_group: self.thread_group.clone() }
    }
}
