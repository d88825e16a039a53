//! Where the state of a new instance comes from.

use crate::instantiate::link_only;
use crate::{Extern, Instance as CoreInstance, Module, Result, StoreContextMut};
use belljar_vm::Checkpoint;

/// Where the state of a new instance comes from.
#[derive(Clone, Copy)]
pub(super) enum Start<'a> {
    /// From the guest, whose code runs.
    Run,
    /// From a checkpoint, which the store adopts once the instance is there. No code runs.
    Adopt(&'a Checkpoint),
    /// From a snapshot, which is restored once the instance is there. No code runs.
    Restore,
}

impl Start<'_> {
    pub(super) fn runs_code(self) -> bool {
        matches!(self, Self::Run)
    }

    /// Creates an instance of a core module.
    pub(super) fn instantiate<T: 'static>(
        self,
        store: &mut StoreContextMut<'_, T>,
        module: &Module,
        imports: &[Extern],
    ) -> Result<CoreInstance> {
        match self {
            Self::Run => CoreInstance::new(&mut *store, module, imports),
            Self::Adopt(checkpoint) => link(store, module, imports, Some(checkpoint)),
            Self::Restore => link(store, module, imports, None),
        }
    }
}

fn link<T: 'static>(
    store: &mut StoreContextMut<'_, T>,
    module: &Module,
    imports: &[Extern],
    like: Option<&Checkpoint>,
) -> Result<CoreInstance> {
    let imports = imports.iter().map(Extern::as_import).collect::<Vec<_>>();
    link_only(store.0, module, &imports, like)
}
