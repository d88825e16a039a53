//! Instances: modules with their imports, in a store.

use crate::error::from_exit;
use crate::linker::Definition;
use crate::store::check_store;
use crate::{
    AsContextMut, Export, Extern, Func, Global, Memory, Module, Result, SharedMemory, Store, StoreContext,
    Table, Tag, TypedFunc, WasmParams, WasmResults,
};
use anyhow::Context;
use belljar_core::{InstanceId, OutsideText};
use belljar_vm::{Checkpoint, Exit, ImportValue, NeedsChecks, StoreCore, StoreId, StoreInner};
use smallvec::SmallVec;
use std::sync::Arc;

/// An instance of a store.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Instance {
    store: StoreId,
    id: InstanceId,
}

impl Instance {
    /// Instantiates a module with these imports, in the order of [`Module::imports`], and runs its start
    /// function. A [`crate::Linker`] finds imports by name.
    ///
    /// # Errors
    ///
    /// Where imports are missing, too many or of other types; a limit of the store is reached; an active
    /// segment does not fit (a [`crate::Trap`]); or the start function does not return.
    ///
    /// # Panics
    ///
    /// If an import belongs to another store.
    pub fn new(mut store: impl AsContextMut, module: &Module, imports: &[Extern]) -> Result<Self> {
        let store = store.as_context_mut();
        for import in imports {
            import.check_store(store.0.core(), "import");
        }
        let imports: SmallVec<[ImportValue<'_>; 16]> = imports.iter().map(Extern::as_import).collect();
        instantiate(store.0, module, &imports)
    }

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

    /// The module it was made from exports these.
    pub fn exports<'a, T: 'static>(
        &self,
        store: impl Into<StoreContext<'a, T>>,
    ) -> impl ExactSizeIterator<Item = Export<'a>> + 'a {
        let core = store.into().0.core();
        self.check(core);
        let id = self.id;
        let module = core.instance_module(id).module();
        module.exports().iter().map(move |export| Export {
            name: &export.name,
            item: Extern::from_entity(core, core.instance_entity(id, export.entity)),
        })
    }

    /// An export by name.
    ///
    /// # Panics
    ///
    /// If the instance belongs to another store, as all methods here.
    pub fn get_export(&self, mut store: impl AsContextMut, name: &str) -> Option<Extern> {
        let core = store.as_context_mut().0.core();
        self.check(core);
        Some(Extern::from_entity(core, core.instance_export(self.id, name)?))
    }

    /// An exported function; `None` where there is none of this name.
    pub fn get_func(&self, store: impl AsContextMut, name: &str) -> Option<Func> {
        self.get_export(store, name)?.into_func()
    }

    /// An exported function with Rust types.
    ///
    /// # Errors
    ///
    /// Where no function of this name is exported, or its type is another.
    pub fn get_typed_func<Params: WasmParams, Results: WasmResults>(
        &self,
        mut store: impl AsContextMut,
        name: &str,
    ) -> Result<TypedFunc<Params, Results>> {
        let mut store = store.as_context_mut();
        let export = self.get_export(&mut store, name);
        let name = OutsideText::new(name);
        let export = export.with_context(|| format!("the instance exports nothing named `{name}`"))?;
        let func = export.into_func().with_context(|| format!("the export `{name}` is not a function"))?;
        func.typed(&store).with_context(|| format!("the exported function `{name}` has another type"))
    }

    /// An exported memory; `None` where there is none of this name.
    pub fn get_memory(&self, store: impl AsContextMut, name: &str) -> Option<Memory> {
        self.get_export(store, name)?.into_memory()
    }

    /// An exported memory that other stores may use as well; `None` where there is none of this name.
    pub fn get_shared_memory(&self, store: impl AsContextMut, name: &str) -> Option<SharedMemory> {
        self.get_export(store, name)?.into_shared_memory()
    }

    /// An exported table; `None` where there is none of this name.
    pub fn get_table(&self, store: impl AsContextMut, name: &str) -> Option<Table> {
        self.get_export(store, name)?.into_table()
    }

    /// An exported global; `None` where there is none of this name.
    pub fn get_global(&self, store: impl AsContextMut, name: &str) -> Option<Global> {
        self.get_export(store, name)?.into_global()
    }

    /// An exported tag; `None` where there is none of this name.
    pub fn get_tag(&self, store: impl AsContextMut, name: &str) -> Option<Tag> {
        self.get_export(store, name)?.into_tag()
    }
}

/// A module whose imports a [`crate::Linker`] has found and checked: instantiation needs no names.
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
    /// The module.
    pub fn module(&self) -> &Module {
        &self.module
    }

    /// Makes an instance and runs its start function.
    ///
    /// # Errors
    ///
    /// As [`Instance::new`].
    ///
    /// # Panics
    ///
    /// If an import was defined with something of another store.
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

    /// Makes an instance whose values are to be adopted. Nothing runs.
    pub(crate) fn link_only(&self, store: &mut Store<T>, like: &Checkpoint) -> Result<Instance> {
        let store = store.as_context_mut();
        let imports = self.imports(store.0.core());
        let made = match belljar_vm::link_only(store.0, self.module.code(), &imports, like) {
            Err(error) if error.is::<NeedsChecks>() => {
                belljar_vm::link_only(store.0, &self.module.checked_code()?, &imports, like)
            }
            made => made,
        };
        Ok(Instance { store: store.0.core().id(), id: made? })
    }
}

fn instantiate<T: 'static>(
    store: &mut StoreInner<T>,
    module: &Module,
    imports: &[ImportValue<'_>],
) -> Result<Instance> {
    if module.has_snapshot() {
        return begin_at_snapshot(store, module, imports);
    }
    let made = match belljar_vm::instantiate(store, module.code(), imports) {
        Err(Exit::Error { error, .. }) if error.is::<NeedsChecks>() => {
            belljar_vm::instantiate(store, &module.checked_code()?, imports)
        }
        made => made,
    };
    let id = made.map_err(|exit| from_exit(exit, store.core()))?;
    Ok(Instance { store: store.core().id(), id })
}

/// An instance that begins where another was when it was kept.
fn begin_at_snapshot<T: 'static>(
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
    Ok(Instance { store: store.core().id(), id: id? })
}
