//! Instances of modules.

use crate::Store;
use crate::context::check_store;
use belljar_core::InstanceId;
use belljar_vm::{StoreCore, StoreId};

/// An instance of a module, in a store.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Instance {
    store: StoreId,
    id: InstanceId,
}

impl Instance {
    /// Returns the instance's number in its store.
    pub(crate) fn number(self) -> u32 {
        self.id.0
    }

    pub(crate) fn id(self) -> InstanceId {
        self.id
    }

    pub(crate) fn from_id(store: StoreId, id: InstanceId) -> Self {
        Self { store, id }
    }

    /// Panics if the instance does not belong to the store. If an embedder replaces the store of a session, the session
    /// returns instance numbers that the new store may not have.
    #[track_caller]
    pub(crate) fn check(self, core: &StoreCore) {
        check_store(self.store, core, "Instance");
        assert!(
            self.id.index() < core.instance_count(),
            "the store has no such instance: it replaced the instance's store"
        );
    }
}

impl<T: 'static> Store<T> {
    #[doc(hidden)]
    pub fn instance(&self, number: u32) -> crate::Instance {
        crate::Instance::from_id(self.inner.core().id(), belljar_core::InstanceId(number))
    }
}
