//! The imports and exports of a module, and what an export is in an instance.

use super::Module;
use crate::context::Caller;
use crate::types::{ExportType, ImportType};
use crate::{AsContext, Extern, ExternType, Instance};
use belljar_core::InstanceId;
use belljar_module::EntityIndex;
use belljar_vm::StoreCore;

/// An export of a module that was looked up by name once: see [`Module::get_export_index`].
#[derive(Clone, Debug)]
pub struct ModuleExport {
    module: Module,
    entity: EntityIndex,
}

/// The exports of a module, in order: see [`Module::exports`].
#[derive(Clone, Debug)]
pub struct ModuleExportsIter<'a> {
    module: &'a Module,
    exports: std::slice::Iter<'a, belljar_module::Export>,
}

/// The imports of a module, in order: see [`Module::imports`].
#[derive(Clone, Debug)]
pub struct ModuleImportsIter<'a> {
    module: &'a Module,
    imports: std::slice::Iter<'a, belljar_module::Import>,
}

impl<'a> Iterator for ModuleExportsIter<'a> {
    type Item = ExportType<'a>;

    fn next(&mut self) -> Option<ExportType<'a>> {
        let export = self.exports.next()?;
        Some(ExportType { name: &export.name, ty: self.module.type_of(export.entity) })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.exports.size_hint()
    }
}

impl<'a> Iterator for ModuleImportsIter<'a> {
    type Item = ImportType<'a>;

    fn next(&mut self) -> Option<ImportType<'a>> {
        let import = self.imports.next()?;
        let ty = self.module.type_of(import.entity);
        Some(ImportType { module: &import.module, name: &import.name, ty })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.imports.size_hint()
    }
}

impl ExactSizeIterator for ModuleExportsIter<'_> {}
impl ExactSizeIterator for ModuleImportsIter<'_> {}

/// Imports and exports.
impl Module {
    /// Returns the exports, in order.
    pub fn exports(&self) -> ModuleExportsIter<'_> {
        ModuleExportsIter { module: self, exports: self.described().exports().iter() }
    }

    /// Returns the imports, in order.
    pub fn imports(&self) -> ModuleImportsIter<'_> {
        ModuleImportsIter { module: self, imports: self.described().imports().iter() }
    }

    /// Returns the type of an export, by name.
    pub fn get_export(&self, name: &str) -> Option<ExternType> {
        Some(self.type_of(self.described().export(name)?.entity))
    }

    fn type_of(&self, entity: EntityIndex) -> ExternType {
        ExternType::from_core(self.code().entity_type(entity), self.engine())
    }

    /// Looks an export up by name, so that [`Instance::get_module_export`] need not.
    ///
    /// ```
    /// use belljar::{Engine, Instance, Module, Store};
    /// let engine = Engine::default();
    /// let module = Module::new(&engine, r#"(module (func (export "six") (result i32) i32.const 6))"#)?;
    /// let six = module.get_export_index("six").unwrap();
    /// let mut store = Store::new(&engine, ());
    /// let instance = Instance::new(&mut store, &module, &[])?;
    /// let func = instance.get_module_export(&mut store, &six).unwrap().into_func().unwrap();
    /// assert_eq!(func.typed::<(), i32>(&store)?.call(&mut store, ())?, 6);
    /// # Ok::<(), belljar::Error>(())
    /// ```
    pub fn get_export_index(&self, name: &str) -> Option<ModuleExport> {
        let entity = self.described().export(name)?.entity;
        Some(ModuleExport { module: self.clone(), entity })
    }
}

impl ModuleExport {
    /// Returns the exported item of an instance, or `None` if the instance is one of another module.
    fn of(&self, core: &StoreCore, instance: InstanceId) -> Option<Extern> {
        let is_of_module = self.module.is_compiled_to(core.instance_module(instance));
        is_of_module.then(|| Extern::from_entity(core, core.instance_entity(instance, self.entity)))
    }
}

impl Instance {
    /// Returns an export that was looked up in the instance's module, or `None` if it was looked up in another module.
    ///
    /// # Panics
    ///
    /// Panics if the instance belongs to another store.
    pub fn get_module_export(&self, store: impl AsContext, export: &ModuleExport) -> Option<Extern> {
        let core = store.as_context().0.core();
        self.check(core);
        export.of(core, self.id())
    }
}

impl<T: 'static> Caller<'_, T> {
    /// Returns an export that was looked up in the module of the instance that imported the host function. Returns `None`
    /// if it was looked up in another module, or if [`Caller::get_export`] would.
    pub fn get_module_export(&mut self, export: &ModuleExport) -> Option<Extern> {
        export.of(self.store.0.core(), self.instance?)
    }
}
