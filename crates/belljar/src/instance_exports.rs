//! The exports of an instance.

use crate::instance::Instance;
use crate::{
    AsContextMut, Export, Extern, Func, Global, Memory, Result, SharedMemory, StoreContext, Table, Tag,
    TypedFunc, WasmParams, WasmResults,
};
use anyhow::Context;
use belljar_core::OutsideText;

impl Instance {
    /// The module it was made from exports these.
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

    /// An export by name.
    ///
    /// # Panics
    ///
    /// If the instance belongs to another store, as all methods here.
    pub fn get_export(&self, mut store: impl AsContextMut, name: &str) -> Option<Extern> {
        let core = store.as_context_mut().0.core();
        self.check(core);
        Some(Extern::from_entity(core, core.instance_export(self.id(), name)?))
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
