//! The exports of an instance.

use crate::instance::Instance;
use crate::missing_export::no_function;
use crate::{
    AsContext, Export, Extern, Func, Global, Memory, Module, Result, SharedMemory, StoreContext, Table, Tag,
    TypedFunc, WasmParams, WasmResults,
};
use belljar_core::{Context, OutsideText};

impl Instance {
    /// Returns the instance's module.
    ///
    /// # Panics
    ///
    /// Panics if the instance belongs to another store.
    pub fn module<'a, T: 'static>(&self, store: impl Into<StoreContext<'a, T>>) -> &'a Module {
        let core = store.into().0.core();
        self.check(core);
        let module = core.instance_embedder(self.id()).and_then(|module| module.downcast_ref());
        module.expect("an instance is created with its module")
    }

    /// Returns the instance's exports, in the order of the module.
    pub fn exports<'a, T: 'static>(
        &self,
        store: impl Into<StoreContext<'a, T>>,
    ) -> impl ExactSizeIterator<Item = Export<'a>> + 'a {
        let core = store.into().0.core();
        self.check(core);
        let id = self.id();
        let module = core.instance_module(id).module();
        module.exports().iter().map(move |export| Export {
            name: &export.name,
            item: Extern::from_entity(core, core.instance_entity(id, export.entity)),
        })
    }

    /// Returns an export by name.
    ///
    /// # Panics
    ///
    /// Panics if the instance belongs to another store, as do all methods here.
    pub fn get_export(&self, store: impl AsContext, name: &str) -> Option<Extern> {
        let core = store.as_context().0.core();
        self.check(core);
        Some(Extern::from_entity(core, core.instance_export(self.id(), name)?))
    }

    /// Returns an exported function, or `None` if there is no function of this name.
    pub fn get_func(&self, store: impl AsContext, name: &str) -> Option<Func> {
        self.get_export(store, name)?.into_func()
    }

    /// Returns an exported function with Rust types.
    ///
    /// # Errors
    ///
    /// Returns an error if no function of this name is exported, or if its type does not match.
    pub fn get_typed_func<Params: WasmParams, Results: WasmResults>(
        &self,
        store: impl AsContext,
        name: &str,
    ) -> Result<TypedFunc<Params, Results>> {
        let store = store.as_context();
        let export = self.get_export(store, name);
        let export = export.with_context(|| no_function(store.0.core(), *self, name))?;
        let name = OutsideText::new(name);
        let kind = export.kind();
        let func =
            export.into_func().with_context(|| format!("the export `{name}` is a {kind}, not a function"))?;
        func.typed_as(store.0.core(), format_args!("the exported function `{name}`"))
    }

    /// Returns an exported memory, or `None` if there is no memory of this name.
    pub fn get_memory(&self, store: impl AsContext, name: &str) -> Option<Memory> {
        self.get_export(store, name)?.into_memory()
    }

    /// Returns an exported shared memory, or `None` if there is no shared memory of this name.
    pub fn get_shared_memory(&self, store: impl AsContext, name: &str) -> Option<SharedMemory> {
        self.get_export(store, name)?.into_shared_memory()
    }

    /// Returns an exported table, or `None` if there is no table of this name.
    pub fn get_table(&self, store: impl AsContext, name: &str) -> Option<Table> {
        self.get_export(store, name)?.into_table()
    }

    /// Returns an exported global, or `None` if there is no global of this name.
    pub fn get_global(&self, store: impl AsContext, name: &str) -> Option<Global> {
        self.get_export(store, name)?.into_global()
    }

    /// Returns an exported tag, or `None` if there is no tag of this name.
    pub fn get_tag(&self, store: impl AsContext, name: &str) -> Option<Tag> {
        self.get_export(store, name)?.into_tag()
    }
}
