//! The host data of a guest's store, and the data that the threads of one program share.

use super::memory_budget::MemoryBudget;
use super::shared_memory::SharedMemoryImport;
use belljar::LimitGroup;
use belljar_wasi::WasiCtx;
use belljar_wasi::threads::Threads;
use std::sync::Arc;

/// The host data of a guest's store.
pub(super) struct Guest {
    pub(super) wasi: WasiCtx,
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
        Self { wasi: self.wasi.share(), memory: self.memory.clone(), thread_group: self.thread_group.clone() }
    }
}
