//! Instances: modules with their imports, in a store.

use crate::Store;
use crate::context::check_store;
use belljar_core::InstanceId;
use belljar_vm::{StoreCore, StoreId};

/// An instance of a store.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Instance {
    store: StoreId,
    id: InstanceId,
}

impl Instance {
    /// Its number in the store.
    pub(crate) fn number(self) -> u32 {
        self.id.0
    }

    pub(crate) fn id(self) -> InstanceId {
        self.id
    }

    pub(crate) fn from_id(store: StoreId, id: InstanceId) -> Self {
        Self { store, id }
    }

    /// Holds it against the store that it is used with. A session whose store was replaced hands out numbers of instances that its
    /// new one may not have.
    #[track_caller]
    pub(crate) fn check(self, core: &StoreCore) {
        check_store(self.store, core, "Instance");
        assert!(
            self.id.index() < core.instance_count(),
            "the store has no such instance: it was put in the place of another store"
        );
    }
}

impl<T: 'static> Store<T> {
    #[doc(hidden)]
    pub fn instance(&self, number: u32) -> crate::Instance {
        crate::Instance::from_id(self.inner.core().id(), belljar_core::InstanceId(number))
    }
}
