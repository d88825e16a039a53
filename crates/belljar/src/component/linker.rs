//! Linkers for components.

use super::code::{Component, features};
use super::func::Func;
use super::host_func::{Dynamic, Typed};
use super::instance::{Exported, Instance};
use super::instance_pre::InstancePre;
use super::linked::{HostDestructor, HostFunc, Linked};
use super::names::{self, are_compatible};
use super::resource::ResourceType;
use super::state::{Destructor, ImportedModule};
use super::val::Val;
use crate::{AsContext, AsContextMut, Engine, ExternType, Module, Mutability, Result, StoreContextMut};
use belljar_component::typed::{LiftParams, LowerResults};
use belljar_component::types::FuncType;
use belljar_component::{
    Component as Plan, CoreExternType, CoreFuncType, FuncIndex, FuncOrigin, Import, Limits, ModuleType,
    Resource,
};
use belljar_core::{Counted, OutsideText, bail, ensure, similar_name};
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

/// The definition of a function.
struct FuncDefinition<T: 'static> {
    call: HostFunc<T>,
    /// The function of another component, if it is one: then its type is known.
    of: Option<Func>,
}

/// A definition. Definitions of instances have a place in [`Linker::instances`].
enum Definition<T: 'static> {
    Func(FuncDefinition<T>),
    Instance(usize),
    Module(Module),
    Resource(ResourceType, Arc<HostDestructor<T>>),
}

impl<T: 'static> Clone for Definition<T> {
    fn clone(&self) -> Self {
        match self {
            Self::Func(func) => Self::Func(FuncDefinition { call: func.call.clone(), of: func.of }),
            Self::Instance(at) => Self::Instance(*at),
            Self::Module(module) => Self::Module(module.clone()),
            Self::Resource(ty, destructor) => Self::Resource(*ty, destructor.clone()),
        }
    }
}

type Definitions<T> = Vec<(Arc<str>, Definition<T>)>;

/// A set of definitions to instantiate components with. Host functions that are defined here belong to no store: one
/// linker serves any number of stores with data of type `T`.
///
/// A definition with a version in its name serves imports of compatible versions, too: `wasi:io/poll@0.2.6` is found for
/// `wasi:io/poll@0.2.0`. If there are several, the exact one is used, else the newest.
pub struct Linker<T: 'static> {
    engine: Engine,
    /// The definitions of each instance; those of the root are first.
    instances: Vec<Definitions<T>>,
    allow_shadowing: bool,
}

impl<T: 'static> Clone for Linker<T> {
    fn clone(&self) -> Self {
        Self {
            engine: self.engine.clone(),
            instances: self.instances.clone(),
            allow_shadowing: self.allow_shadowing,
        }
    }
}

impl<T: 'static> fmt::Debug for Linker<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("component::Linker").finish_non_exhaustive()
    }
}

impl<T: 'static> Linker<T> {
    /// Creates a linker without definitions.
    pub fn new(engine: &Engine) -> Self {
        Self { engine: engine.clone(), instances: vec![Vec::new()], allow_shadowing: false }
    }

    /// Returns its engine.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Sets whether a name can be defined again. Default: no.
    pub fn allow_shadowing(&mut self, allow: bool) -> &mut Self {
        self.allow_shadowing = allow;
        self
    }

    /// Returns the definitions of the root, to add to them.
    pub fn root(&mut self) -> LinkerInstance<'_, T> {
        LinkerInstance { linker: self, at: 0 }
    }

    /// Returns the definitions of an instance, to add to them. The instance is defined if it is not yet.
    ///
    /// # Errors
    ///
    /// Returns an error if the name is defined as something else.
    pub fn instance(&mut self, name: &str) -> Result<LinkerInstance<'_, T>> {
        self.root().into_instance(name)
    }

    /// Creates an instance of a component.
    ///
    /// # Errors
    ///
    /// Returns an error if an import is not defined, naming all that are not; if the instance does not fit into the store;
    /// or if a start function does not return.
    pub fn instantiate(&self, store: impl AsContextMut<Data = T>, component: &Component) -> Result<Instance> {
        self.instantiate_pre(component)?.instantiate(store)
    }

    /// Finds what a component imports, to instantiate it any number of times.
    ///
    /// # Errors
    ///
    /// Returns an error if an import is not defined, naming all that are not.
    pub fn instantiate_pre(&self, component: &Component) -> Result<InstancePre<T>> {
        Ok(InstancePre::new(component.clone(), Arc::new(self.link(component)?)))
    }

    /// Defines everything that a component imports and that is not defined: functions trap when they are called.
    ///
    /// # Errors
    ///
    /// Returns an error if the component imports a core module that is not defined.
    pub fn define_unknown_imports_as_traps(&mut self, component: &Component) -> Result<()> {
        define_traps(&mut self.root(), &component.plan().imports, "")
    }

    fn find(&self, path: &[Arc<str>]) -> Option<&Definition<T>> {
        let (last, way) = path.split_last()?;
        let mut at = 0;
        for name in way {
            at = match names::find(&self.instances[at], name)? {
                Definition::Instance(at) => *at,
                _ => return None,
            };
        }
        names::find(&self.instances[at], last)
    }

    /// Returns what a component imports and is not defined, or is of another kind, given its binary, before it is compiled:
    /// a sentence for each. Missing interfaces are named as a whole.
    ///
    /// ```
    /// use belljar::component::Linker;
    /// let engine = belljar::Engine::default();
    /// let mut linker = Linker::<()>::new(&engine);
    /// linker.instance("a:b/c@1.0.0")?;
    /// let binary = wat::parse_str(r#"(component (import "a:b/c@2.0.0" (instance (export "f" (func)))))"#)?;
    /// assert_eq!(linker.missing_imports(&binary)?, [
    ///     "the component imports an instance (1 function) as a:b/c@2.0.0, which is not defined: a:b/c@1.0.0 is, but versions \
    ///      that differ like this are not compatible"
    /// ]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Returns an error if it is not a valid component.
    pub fn missing_imports(&self, binary: &[u8]) -> Result<Vec<String>> {
        Ok(self.link_plan(&Plan::new(binary, features(&self.engine))?).err().unwrap_or_default())
    }

    /// Finds a definition for each import.
    fn link(&self, component: &Component) -> Result<Linked<T>> {
        ensure!(
            Engine::same(&self.engine, component.engine()),
            "the component belongs to another engine than the linker"
        );
        self.link_plan(component.plan()).map_err(|missing| belljar_core::Error::msg(missing.join("\n")))
    }

    /// Returns what to tell about instances that are not defined at all, and their names.
    fn missing_instances<'a>(&self, imports: &'a [(Arc<str>, Import)]) -> Vec<(&'a str, String)> {
        let missing = imports.iter().filter_map(|(name, import)| match import {
            Import::Instance(items) if names::find(&self.instances[0], name).is_none() => {
                let what = contents(items)?;
                Some((
                    &**name,
                    self.missing(std::slice::from_ref(name), &format!("an instance ({what})"), None),
                ))
            }
            _ => None,
        });
        missing.collect()
    }

    /// Finds a definition for each import, or says what is missing.
    fn link_plan(&self, plan: &Plan) -> Result<Linked<T>, Vec<String>> {
        let instances = self.missing_instances(&plan.imports);
        let is_new = |path: &[Arc<str>]| {
            path.first().is_none_or(|first| instances.iter().all(|(name, _)| *name != &**first))
        };
        let mut missing: Vec<String> = instances.iter().map(|(_, text)| text.clone()).collect();
        let mut funcs = HashMap::new();
        let mut guests = Vec::new();
        let mut resources = Vec::new();
        let mut modules = Vec::new();
        for (index, func) in plan.funcs.iter().enumerate() {
            let FuncOrigin::Imported(path) = &func.origin else { continue };
            match self.find(path) {
                Some(Definition::Func(host)) => {
                    let index = FuncIndex(index as u32);
                    funcs.insert(index, host.call.clone());
                    guests.extend(host.of.map(|of| (index, of.id())));
                }
                found if is_new(path) => {
                    missing.push(self.missing(path, &format!("the function {}", func.ty), found));
                }
                _ => {}
            }
        }
        for resource in &plan.resources {
            resources.push(match resource {
                Resource::Defined { .. } => None,
                Resource::Imported(path) => match self.find(path) {
                    Some(Definition::Resource(ty, destructor)) => {
                        Some((*ty, Destructor::Host(destructor.clone())))
                    }
                    found => {
                        if is_new(path) {
                            missing.push(self.missing(path, "a resource type", found));
                        }
                        None
                    }
                },
            });
        }
        self.link_rest(&plan.imports, &mut Vec::new(), &resources, &mut modules, &mut missing);
        if !missing.is_empty() {
            return Err(missing);
        }
        Ok(Linked { funcs, guests, resources, modules: modules.into() })
    }

    /// Finds core modules, and checks that other names of resource types are the same types.
    fn link_rest(
        &self,
        imports: &[(Arc<str>, Import)],
        path: &mut Vec<Arc<str>>,
        resources: &[Option<(ResourceType, Destructor)>],
        modules: &mut Vec<ImportedModule>,
        missing: &mut Vec<String>,
    ) {
        for (name, import) in imports {
            path.push(name.clone());
            let found = self.find(path);
            match (import, found) {
                (Import::Instance(imports), None | Some(Definition::Instance(_))) => {
                    self.link_rest(imports, path, resources, modules, missing);
                }
                (Import::Instance(_), found) => missing.push(self.missing(path, "an instance", found)),
                (Import::Module(wanted), Some(Definition::Module(module))) => {
                    if let Err(error) = module_type(module).check(wanted) {
                        let name = OutsideText::new(&path.join("#")).to_string();
                        missing.push(format!(
                            "the core module {name} is of another type than the import: {error}"
                        ));
                    }
                    modules.push(ImportedModule { path: path.as_slice().into(), module: module.clone() });
                }
                (Import::Module(_), found) => missing.push(self.missing(path, "a core module", found)),
                (Import::SameResource(resource), Some(Definition::Resource(ty, _))) => {
                    let same = resources.get(resource.0 as usize).and_then(Option::as_ref);
                    if let Some((wanted, _)) = same.filter(|(wanted, _)| wanted != ty) {
                        let name = OutsideText::new(&path.join("#")).to_string();
                        missing.push(format!(
                            "mismatched resource types: {name} is defined as {ty:?}, and the component expects \
                             {wanted:?}, which it imports under another name"
                        ));
                    }
                }
                (Import::SameResource(_) | Import::Func(_) | Import::Resource(_) | Import::Type, _) => {}
            }
            path.pop();
        }
    }

    /// Returns what to tell about an import that is not defined, or defined as something else.
    fn missing(&self, path: &[Arc<str>], what: &str, found: Option<&Definition<T>>) -> String {
        let name = OutsideText::new(&path.join("#")).to_string();
        let as_what = match found {
            None => {
                let (first, rest) =
                    path.split_first().map_or(("", 0), |(first, rest)| (&**first, rest.len()));
                let names = || self.instances[0].iter().map(|(name, _)| &**name);
                let base = first.split('@').next().unwrap_or_default();
                let other_version =
                    names().find(|name| *name != first && name.split('@').next() == Some(base));
                let has_instance = rest > 0 && names().any(|name| are_compatible(name, first));
                return match (has_instance, other_version, similar_name(first, names())) {
                    (true, ..) => {
                        format!("the component imports {what} as {name}, which this instance does not define")
                    }
                    (_, Some(other), _) => format!(
                        "the component imports {what} as {name}, which is not defined: {} is, but versions that differ like \
                         this are not compatible",
                        OutsideText::new(other)
                    ),
                    (_, None, Some(similar)) => format!(
                        "the component imports {what} as {name}, which is not defined: is it {}?",
                        OutsideText::new(similar)
                    ),
                    _ => format!("the component imports {what} as {name}, which is not defined"),
                };
            }
            Some(Definition::Func(_)) => "a function",
            Some(Definition::Instance(_)) => "an instance",
            Some(Definition::Module(_)) => "a core module",
            Some(Definition::Resource(..)) => "a resource type",
        };
        format!("the component imports {what} as {name}, which is defined as {as_what}")
    }
}

/// Counts what an imported instance has; `None` if it need not be defined, since it has only types.
fn contents(imports: &[(Arc<str>, Import)]) -> Option<String> {
    let (mut funcs, mut resources, mut others) = (0_usize, 0_usize, 0_usize);
    let mut left = vec![imports];
    while let Some(imports) = left.pop() {
        for (_, import) in imports {
            match import {
                Import::Func(_) => funcs += 1,
                Import::Resource(_) => resources += 1,
                Import::Instance(inner) => left.push(inner),
                Import::Module(_) => others += 1,
                Import::SameResource(_) | Import::Type => {}
            }
        }
    }
    let counts = [(funcs, "function"), (resources, "resource type"), (others, "core module")];
    let shown: Vec<_> = counts
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, what)| Counted::of(*count, what).to_string())
        .collect();
    (!shown.is_empty()).then(|| shown.join(", "))
}

/// The definitions of an instance in a [`Linker`], to add to them.
pub struct LinkerInstance<'a, T: 'static> {
    linker: &'a mut Linker<T>,
    at: usize,
}

impl<T: 'static> fmt::Debug for LinkerInstance<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("component::LinkerInstance").finish_non_exhaustive()
    }
}

impl<'a, T: 'static> LinkerInstance<'a, T> {
    fn define(&mut self, name: &str, definition: Definition<T>) -> Result<()> {
        let allow = self.linker.allow_shadowing;
        let definitions = &mut self.linker.instances[self.at];
        match definitions.iter_mut().find(|(known, _)| **known == *name) {
            Some((_, known)) if allow => *known = definition,
            Some(_) => bail!("{} is already defined", OutsideText::new(name)),
            None => definitions.push((name.into(), definition)),
        }
        Ok(())
    }

    /// Defines a function whose type is that of the import that it is used for. `func` gets the store, that type, the
    /// parameters, and a slice with an element for the result if the function has one.
    ///
    /// # Errors
    ///
    /// Returns an error if the name is defined already.
    pub fn func_new(
        &mut self,
        name: &str,
        func: impl Fn(StoreContextMut<'_, T>, Arc<FuncType>, &[Val], &mut [Val]) -> Result<()>
        + Send
        + Sync
        + 'static,
    ) -> Result<()> {
        self.define(name, Definition::Func(FuncDefinition { call: Arc::new(Dynamic(func)), of: None }))
    }

    /// Defines a function with Rust types. `func` gets the store and a tuple of the parameters, and returns a tuple of the
    /// result, or `()` if there is none.
    ///
    /// # Errors
    ///
    /// Returns an error if the name is defined already. If an import has another type, instantiation fails.
    pub fn func_wrap<Params, Return>(
        &mut self,
        name: &str,
        func: impl Fn(StoreContextMut<'_, T>, Params) -> Result<Return> + Send + Sync + 'static,
    ) -> Result<()>
    where
        Params: LiftParams + 'static,
        Return: LowerResults + 'static,
    {
        let call: HostFunc<T> = Arc::new(Typed::<_, Params, Return>::new(func));
        self.define(name, Definition::Func(FuncDefinition { call, of: None }))
    }

    /// Defines a core module.
    ///
    /// # Errors
    ///
    /// Returns an error if the name is defined already.
    pub fn module(&mut self, name: &str, module: &Module) -> Result<()> {
        self.define(name, Definition::Module(module.clone()))
    }

    /// Defines a resource type. `destructor` is called with what stands for a resource when its last owner drops it.
    ///
    /// # Errors
    ///
    /// Returns an error if the name is defined already.
    pub fn resource(
        &mut self,
        name: &str,
        ty: ResourceType,
        destructor: impl Fn(StoreContextMut<'_, T>, u32) -> Result<()> + Send + Sync + 'static,
    ) -> Result<()> {
        let destructor = Arc::new(HostDestructor(Box::new(destructor)));
        self.define(name, Definition::Resource(ty, destructor))
    }

    /// Defines what another component's instance exports: at the root, the interfaces that it exports serve imports of them.
    ///
    /// # Errors
    ///
    /// Returns an error if a name is defined already.
    ///
    /// # Panics
    ///
    /// Panics if the instance belongs to another store. So does the instantiation of components in another store.
    pub fn exports_of(&mut self, store: impl AsContext<Data = T>, instance: Instance) -> Result<()> {
        instance.exports(store).into_iter().try_for_each(|(name, export)| self.exported(&name, export))
    }

    fn exported(&mut self, name: &str, export: Exported) -> Result<()> {
        match export {
            Exported::Func(func) => {
                let call =
                    move |store: StoreContextMut<'_, T>,
                          _: Arc<FuncType>,
                          params: &[Val],
                          results: &mut [Val]| { func.call(store, params, results) };
                let call: HostFunc<T> = Arc::new(Dynamic(call));
                self.define(name, Definition::Func(FuncDefinition { call, of: Some(func) }))
            }
            Exported::Module(module) => self.module(name, &module),
            Exported::Resource(ty) => self.resource(name, ty, |_, _| Ok(())),
            Exported::Instance(exports) => {
                let mut to = self.instance(name)?;
                exports.into_iter().try_for_each(|(name, export)| to.exported(&name, export))
            }
        }
    }

    /// Returns the definitions of an instance in this one, to add to them.
    ///
    /// # Errors
    ///
    /// Returns an error if the name is defined as something else.
    pub fn instance(&mut self, name: &str) -> Result<LinkerInstance<'_, T>> {
        LinkerInstance { linker: &mut *self.linker, at: self.at }.into_instance(name)
    }

    /// Returns the definitions of an instance in this one, as [`LinkerInstance::instance`] does.
    ///
    /// # Errors
    ///
    /// Returns an error if the name is defined as something else.
    pub fn into_instance(mut self, name: &str) -> Result<Self> {
        let known = self.linker.instances[self.at].iter().find(|(known, _)| **known == *name);
        self.at = match known {
            Some((_, Definition::Instance(at))) => *at,
            Some(_) if !self.linker.allow_shadowing => {
                bail!("{} is already defined, and not as an instance", OutsideText::new(name))
            }
            _ => {
                let at = self.linker.instances.len();
                self.linker.instances.push(Vec::new());
                self.define(name, Definition::Instance(at))?;
                at
            }
        };
        Ok(self)
    }
}

/// Defines what is not defined yet.
fn define_traps<T: 'static>(
    to: &mut LinkerInstance<'_, T>,
    imports: &[(Arc<str>, Import)],
    within: &str,
) -> Result<()> {
    for (name, import) in imports {
        let known = names::find(&to.linker.instances[to.at], name);
        match import {
            Import::Instance(imports) => match known {
                Some(Definition::Instance(_)) | None => {
                    define_traps(&mut to.instance(name)?, imports, &format!("{within}{name}#"))?;
                }
                Some(_) => {}
            },
            _ if known.is_some() => {}
            Import::Func(_) => {
                let full = OutsideText::new(&format!("{within}{name}")).to_string();
                to.func_new(name, move |_, _, _, _| bail!("unknown import: {full} has not been defined"))?;
            }
            Import::Resource(resource) => {
                let ty = ResourceType::host_dynamic(u32::MAX - resource.0);
                to.resource(name, ty, |_, _| Ok(()))?;
            }
            Import::Module(_) => bail!(
                "the component imports the core module {}, which is not defined",
                OutsideText::new(&**name)
            ),
            Import::SameResource(_) | Import::Type => {}
        }
    }
    Ok(())
}

/// Returns the type of a core module, as components describe it.
fn module_type(module: &Module) -> ModuleType {
    ModuleType {
        imports: module
            .imports()
            .map(|import| (import.module().into(), import.name().into(), core_type(&import.ty())))
            .collect(),
        exports: module.exports().map(|export| (export.name().into(), core_type(&export.ty()))).collect(),
    }
}

fn core_type(ty: &ExternType) -> CoreExternType {
    let func = |ty: &crate::FuncType| CoreFuncType {
        params: ty.params().map(|ty| ty.to_string()).collect(),
        results: ty.results().map(|ty| ty.to_string()).collect(),
    };
    match ty {
        ExternType::Func(ty) => CoreExternType::Func(func(ty)),
        ExternType::Tag(ty) => CoreExternType::Tag(func(ty.ty())),
        ExternType::Global(ty) => CoreExternType::Global {
            content: ty.content().to_string(),
            mutable: ty.mutability() == Mutability::Var,
        },
        ExternType::Table(ty) => CoreExternType::Table {
            limits: Limits { minimum: ty.minimum(), maximum: ty.maximum(), is_64: ty.is_64() },
            element: ty.element().to_string(),
        },
        ExternType::Memory(ty) => CoreExternType::Memory {
            limits: Limits { minimum: ty.minimum(), maximum: ty.maximum(), is_64: ty.is_64() },
            shared: ty.is_shared(),
            page_size: ty.page_size(),
        },
    }
}
