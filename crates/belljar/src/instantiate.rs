//! Instantiation of modules.

use crate::definition::Definition;
use crate::instance::Instance;
use crate::run_error::from_exit;
use crate::{AsContextMut, Extern, Module, Result, Store};
use belljar_core::InstanceId;
use belljar_vm::{Checkpoint, Exit, ImportValue, LoadedModule, NeedsChecks, StoreCore, StoreInner};
use smallvec::SmallVec;
use std::sync::Arc;

/// A module whose imports a [`crate::Linker`] has resolved and checked, so that instantiation needs no lookup by name.
pub struct InstancePre<T: 'static> {
    pub(crate) module: Module,
    pub(crate) items: Arc<[Definition]>,
    pub(crate) data: std::marker::PhantomData<fn() -> T>,
}

impl<T: 'static> Clone for InstancePre<T> {
    fn clone(&self) -> Self {
        Self { module: self.module.clone(), items: self.items.clone(), data: std::marker::PhantomData }
    }
}

impl<T: 'static> std::fmt::Debug for InstancePre<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("InstancePre").field("module", &self.module).finish_non_exhaustive()
    }
}

impl<T: 'static> InstancePre<T> {
    /// Returns the module.
    pub fn module(&self) -> &Module {
        &self.module
    }

    /// Creates an instance and runs its start function.
    ///
    /// # Errors
    ///
    /// Returns an error as [`Instance::new`] does.
    ///
    /// # Panics
    ///
    /// Panics if an import is defined as an item of another store.
    pub fn instantiate(&self, mut store: impl AsContextMut<Data = T>) -> Result<Instance> {
        let store = store.as_context_mut();
        instantiate(store.0, &self.module, &self.imports(store.0.core()))
    }

    fn imports<'a>(&'a self, core: &StoreCore) -> SmallVec<[ImportValue<'a>; 16]> {
        let import = |item: &'a Definition| match item {
            Definition::Host(func) => ImportValue::Host(func),
            Definition::Extern(item) => {
                item.check_store(core, "definition of a Linker");
                item.as_import()
            }
        };
        self.items.iter().map(import).collect()
    }

    /// Creates an instance that will adopt the values of a checkpoint. Runs no code.
    pub(crate) fn link_only(&self, store: &mut Store<T>, like: &Checkpoint) -> Result<Instance> {
        let store = store.as_context_mut();
        link_only(store.0, &self.module, &self.imports(store.0.core()), Some(like))
    }
}

/// Creates an instance that will adopt the values of a checkpoint, or of a snapshot if there is none. Runs no code.
pub(crate) fn link_only<T: 'static>(
    store: &mut StoreInner<T>,
    module: &Module,
    imports: &[ImportValue<'_>],
    like: Option<&Checkpoint>,
) -> Result<Instance> {
    let link = |store: &mut StoreInner<T>, code: &Arc<LoadedModule>| match like {
        Some(like) => belljar_vm::link_only(store, code, imports, like),
        None => belljar_vm::link_fresh(store, code, imports),
    };
    let made = match link(store, module.code()) {
        Err(error) if error.is::<NeedsChecks>() => link(store, &module.checked_code()?),
        made => made,
    };
    Ok(created(store.core_mut(), made?, module))
}

/// Returns an instance that was just created.
fn created(store: &mut StoreCore, id: InstanceId, module: &Module) -> Instance {
    store.set_instance_embedder(id, Box::new(module.clone()));
    Instance::from_id(store.id(), id)
}

fn instantiate<T: 'static>(
    store: &mut StoreInner<T>,
    module: &Module,
    imports: &[ImportValue<'_>],
) -> Result<Instance> {
    if module.has_snapshot() {
        return restore_snapshot(store, module, imports);
    }
    let made = match belljar_vm::instantiate(store, module.code(), imports) {
        Err(Exit::Error { error, .. }) if error.is::<NeedsChecks>() => {
            belljar_vm::instantiate(store, &module.checked_code()?, imports)
        }
        made => made,
    };
    let id = made.map_err(|exit| from_exit(exit, store.core()))?;
    Ok(created(store.core_mut(), id, module))
}

/// Creates an instance with the state of a snapshot.
fn restore_snapshot<T: 'static>(
    store: &mut StoreInner<T>,
    module: &Module,
    imports: &[ImportValue<'_>],
) -> Result<Instance> {
    let code = module.code();
    let id = match belljar_vm::restore_instance(store, code, imports, code.code_image()) {
        Err(error) if error.is::<NeedsChecks>() => {
            belljar_vm::restore_instance(store, &module.checked_code()?, imports, code.code_image())
        }
        made => made,
    };
    Ok(created(store.core_mut(), id?, module))
}

impl Instance {
    /// Instantiates a module with these imports, in the order of [`Module::imports`], and runs its start function. A
    /// [`crate::Linker`] looks imports up by name.
    ///
    /// # Errors
    ///
    /// Returns an error if the number or the types of the imports do not match, if a limit of the store is reached, if
    /// an active segment does not fit (a [`crate::Trap`]), or if the start function does not return.
    ///
    /// # Panics
    ///
    /// Panics if an import belongs to another store.
    pub fn new(mut store: impl AsContextMut, module: &Module, imports: &[Extern]) -> Result<Self> {
        let store = store.as_context_mut();
        for import in imports {
            import.check_store(store.0.core(), "import");
        }
        let imports: SmallVec<[ImportValue<'_>; 16]> = imports.iter().map(Extern::as_import).collect();
        instantiate(store.0, module, &imports)
    }
}
