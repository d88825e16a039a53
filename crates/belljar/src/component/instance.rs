//! Instances of components.

use super::code::Component;
use super::exit::{attempt, leave};
use super::export_index::{ComponentExportIndex, InstanceExportLookup};
use super::func::{Func, call_func};
use super::linked::Linked;
use super::resource::ResourceType;
use super::start::Start;
use super::state::{
    Destructor, HostTypesOf, Inner, InnerId, Instantiated, ResourceTypeState, StoreComponents,
};
use super::typed_func::TypedFunc;
use super::{adapters, builtins, guest};
use crate::context::check_store;
use crate::store_extension::limits_changed;
use crate::{
    AsContext, Extern, Global, GlobalType, Instance as CoreInstance, Module as CoreModule, Mutability,
    Result, StoreContextMut, Val, ValType,
};
use belljar_component::typed::{LiftResults, LowerParams};
use belljar_component::types::ResourceIndex;
use belljar_component::{CoreArgument, CoreItem, Export, FuncOrigin, Module, Resource, Step};
use belljar_core::{Context, OutsideText, ensure, format_err};
use belljar_vm::{StoreCore, StoreId};
use std::sync::Arc;

/// An instance of a component, in a store.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Instance {
    store: StoreId,
    number: u32,
}

impl Instance {
    /// Returns the instance with this number in a store.
    pub(super) fn of(core: &StoreCore, number: u32) -> Self {
        Self { store: core.id(), number }
    }

    /// Returns its number in its store.
    pub(super) fn number(self) -> u32 {
        self.number
    }

    /// Returns an exported function, by its name or by a [`ComponentExportIndex`].
    ///
    /// # Panics
    ///
    /// Panics if the instance belongs to another store.
    pub fn get_func(&self, store: impl AsContext, name: impl InstanceExportLookup) -> Option<Func> {
        self.func(store.as_context().0.core(), &name)
    }

    /// Returns an exported function with Rust types: see [`Func::typed`].
    ///
    /// # Errors
    ///
    /// Returns an error if there is no such function, or its type does not match.
    ///
    /// # Panics
    ///
    /// Panics if the instance belongs to another store.
    pub fn get_typed_func<Params: LowerParams, Return: LiftResults>(
        &self,
        store: impl AsContext,
        name: impl InstanceExportLookup,
    ) -> Result<TypedFunc<Params, Return>> {
        let store = store.as_context();
        let func = self.func(store.0.core(), &name);
        let func =
            func.with_context(|| format!("the instance does not export the function {}", name.shown()))?;
        func.typed(store).with_context(|| format!("the exported function {}", name.shown()))
    }

    fn func(&self, core: &StoreCore, name: &dyn InstanceExportLookup) -> Option<Func> {
        let (_, instance) = self.state(core)?;
        match name.find(&instance.component)? {
            Export::Func(func) => Some(Func::new(self.store, self.number, *func)),
            _ => None,
        }
    }

    /// Returns a function of an exported instance: `["wasi:cli/run@0.2.0", "run"]`. A name with a version stands for
    /// compatible versions too.
    ///
    /// # Panics
    ///
    /// Panics if the instance belongs to another store.
    pub fn get_func_at(&self, store: impl AsContext, path: &[&str]) -> Option<Func> {
        self.func(store.as_context().0.core(), &path)
    }

    /// Returns an exported core module, by its name or by a [`ComponentExportIndex`].
    ///
    /// # Panics
    ///
    /// Panics if the instance belongs to another store.
    pub fn get_module(&self, store: impl AsContext, name: impl InstanceExportLookup) -> Option<CoreModule> {
        let (_, instance) = self.state(store.as_context().0.core())?;
        match name.find(&instance.component)? {
            Export::Module(module) => module_of(instance, module).ok(),
            _ => None,
        }
    }

    /// Returns an exported resource type, by its name or by a [`ComponentExportIndex`].
    ///
    /// # Panics
    ///
    /// Panics if the instance belongs to another store.
    pub fn get_resource(
        &self,
        store: impl AsContext,
        name: impl InstanceExportLookup,
    ) -> Option<ResourceType> {
        let (components, instance) = self.state(store.as_context().0.core())?;
        match name.find(&instance.component)? {
            Export::Resource(resource) => {
                let ty = instance.resources[resource.0 as usize];
                Some(components.resource_types[ty.0 as usize].ty)
            }
            _ => None,
        }
    }

    /// Finds an export of the instance's component: see [`Component::get_export_index`].
    ///
    /// # Panics
    ///
    /// Panics if the instance belongs to another store.
    pub fn get_export_index(
        &self,
        store: impl AsContext,
        instance: Option<&ComponentExportIndex>,
        name: &str,
    ) -> Option<ComponentExportIndex> {
        let (_, state) = self.state(store.as_context().0.core())?;
        state.component.get_export_index(instance, name)
    }

    /// Returns what the store keeps of its components, and of this one.
    ///
    /// # Panics
    ///
    /// Panics if the instance belongs to another store.
    pub(super) fn state<'a>(&self, core: &'a StoreCore) -> Option<(&'a StoreComponents, &'a Instantiated)> {
        check_store(self.store, core, "component::Instance");
        let components = StoreComponents::of(core)?;
        Some((components, components.instances.get(self.number as usize)?))
    }

    /// Returns what the instance exports and other components can import.
    pub(super) fn exports(&self, store: impl AsContext) -> Vec<(Arc<str>, Exported)> {
        let Some((components, instance)) = self.state(store.as_context().0.core()) else { return Vec::new() };
        self.exported(components, &instance.component.plan().exports)
    }

    fn exported(
        &self,
        components: &StoreComponents,
        exports: &[(Arc<str>, Export)],
    ) -> Vec<(Arc<str>, Exported)> {
        let instance = &components.instances[self.number as usize];
        let exported = |export: &Export| {
            Some(match export {
                Export::Func(func) => Exported::Func(Func::new(self.store, self.number, *func)),
                Export::Module(module) => Exported::Module(module_of(instance, module).ok()?),
                Export::Resource(resource) => {
                    let ty = instance.resources[resource.0 as usize];
                    Exported::Resource(components.resource_types[ty.0 as usize].ty)
                }
                Export::Instance(exports) => Exported::Instance(self.exported(components, exports)),
                Export::Type(_) | Export::Other => return None,
            })
        };
        exports.iter().filter_map(|(name, export)| Some((name.clone(), exported(export)?))).collect()
    }
}

/// What an instance exports.
pub(super) enum Exported {
    Func(Func),
    Instance(Vec<(Arc<str>, Self)>),
    Module(CoreModule),
    Resource(ResourceType),
}

fn module_of(instance: &Instantiated, module: &Module) -> Result<CoreModule> {
    match module {
        Module::Own(index) => Ok(instance.component.module(*index).clone()),
        Module::Imported(path) => {
            let found = instance.modules.iter().find(|imported| imported.path == *path);
            found.map(|imported| imported.module.clone()).context("belljar bug: a module that was not linked")
        }
    }
}

/// Creates an instance of a component whose imports were found.
pub(super) fn instantiate<T: 'static>(
    store: &mut StoreContextMut<'_, T>,
    component: &Component,
    linked: &Arc<Linked<T>>,
    start: Start<'_>,
) -> Result<Instance> {
    let core = store.0.core_mut();
    let id = core.id();
    StoreComponents::of_mut(core);
    limits_changed(core);
    let components = StoreComponents::of_mut(core);
    let number = components.instances.len() as u32;
    let plan = component.plan();
    let mut resources = Vec::with_capacity(plan.resources.len());
    for (resource, imported) in plan.resources.iter().zip(&linked.resources) {
        resources.push(match (resource, imported) {
            (Resource::Defined { instance, destructor }, _) => {
                let ty = components.next_guest_type(id);
                let destructor = destructor.clone().map_or(Destructor::None, Destructor::Guest);
                let of = Some(InnerId { instance: number, inner: *instance });
                components.add_type(ResourceTypeState { ty, of, destructor })
            }
            (Resource::Imported(_), Some((ty, destructor))) => match components.host_type(*ty) {
                Some(known) => known,
                None => {
                    let destructor = destructor.clone();
                    components.add_type(ResourceTypeState { ty: *ty, of: None, destructor })
                }
            },
            (Resource::Imported(path), None) => {
                return Err(format_err!("belljar bug: {} was not linked", OutsideText::new(&path.join("/"))));
            }
        });
    }
    for (index, func) in &linked.guests {
        let wanted = &plan.funcs[index.index()].ty;
        let (found, theirs) = components.type_of(*func, id);
        let same = &mut |a: ResourceIndex, b: ResourceIndex| resources[a.0 as usize] == theirs[b.0 as usize];
        ensure!(
            wanted.is_same(found, same),
            "type mismatch: the component imports a function of type {wanted}, and the one of another component that it was \
             given is of type {found}{}",
            if **wanted == *found { ", with other resources" } else { "" }
        );
    }
    for (index, func) in &linked.funcs {
        let wanted = &plan.funcs[index.index()];
        let types = HostTypesOf { components, resources: &resources };
        func.check(&wanted.ty, &types).with_context(|| match &wanted.origin {
            FuncOrigin::Imported(path) => {
                format!("the host's function {} does not fit its import", OutsideText::new(&path.join("#")))
            }
            FuncOrigin::Lifted { .. } => "belljar bug: a lifted function was linked".into(),
        })?;
    }
    let inner = (0..plan.instances).map(|_| {
        let flags = GlobalType::new(ValType::I32, Mutability::Var);
        Ok(Inner::new(Global::new(&mut *store, flags, Val::I32(0))?.id()))
    });
    let inner = inner.collect::<Result<_>>()?;
    let components = StoreComponents::of_mut(store.0.core_mut());
    components.instances.push(Instantiated {
        component: component.clone(),
        core: Vec::new(),
        builtins: vec![None; plan.builtins.len()],
        lowered: Vec::new(),
        lifted: Vec::new(),
        resources,
        modules: linked.modules.clone(),
        linked: linked.clone(),
        inner,
        closed: None,
    });
    let running = components.running();
    let ended = attempt(|| {
        let mut left = builtins::all(component);
        builtins::create_ready(store, number, &mut left)?;
        plan.steps.iter().try_for_each(|step| {
            run(store, number, step, start)?;
            builtins::create_ready(store, number, &mut left)
        })
    });
    leave(store, number, running, ended)?;
    Ok(Instance { store: id, number })
}

fn run<T: 'static>(
    store: &mut StoreContextMut<'_, T>,
    number: u32,
    step: &Step,
    start: Start<'_>,
) -> Result<()> {
    match step {
        Step::Instantiate { module, arguments, .. } => {
            let components = StoreComponents::of_mut(store.0.core_mut());
            let module = module_of(&components.instances[number as usize], module)?;
            let mut imports = Vec::new();
            for import in module.imports() {
                let argument = arguments.iter().find(|(name, _)| **name == *import.module());
                let item = match argument {
                    Some((_, CoreArgument::Instance(instance))) => {
                        let components = StoreComponents::of_mut(store.0.core_mut());
                        let core = components.instances[number as usize].core[instance.index()];
                        let core = CoreInstance::from_id(store.0.core().id(), core);
                        core.get_export(&*store, import.name())
                    }
                    Some((_, CoreArgument::Items(items))) => {
                        let item = items.iter().find(|(name, _)| **name == *import.name());
                        item.map(|(_, item)| core_item(store, number, item)).transpose()?
                    }
                    None => None,
                };
                imports.push(item.with_context(|| {
                    format!(
                        "belljar bug: no argument for the import {} of {} in a core module",
                        OutsideText::new(import.name()),
                        OutsideText::new(import.module())
                    )
                })?);
            }
            let instance = start.instantiate(store, &module, &imports)?;
            let components = StoreComponents::of_mut(store.0.core_mut());
            components.instances[number as usize].core.push(instance.id());
            Ok(())
        }
        Step::Adapt(adapter) => adapters::instantiate(store, number, *adapter, start),
        Step::Start(func) if start.runs_code() => call_func(store, number, *func, Vec::new()).map(drop),
        Step::Start(_) => Ok(()),
    }
}

fn core_item<T: 'static>(store: &mut StoreContextMut<'_, T>, number: u32, item: &CoreItem) -> Result<Extern> {
    match item {
        CoreItem::Func(func) => guest::core_func(store, number, func).map(Extern::from),
        CoreItem::Export(export) => {
            let core = guest::core_instance(store, number, export)?;
            core.get_export(&*store, &export.name)
                .with_context(|| format!("belljar bug: no export {}", OutsideText::new(&*export.name)))
        }
    }
}
