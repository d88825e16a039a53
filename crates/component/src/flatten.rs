//! Removes the nesting of a component: evaluates its definitions, and those of inner components each time they are
//! instantiated, with all items as symbols.
//!
//! In: [`Definitions`], which are valid. Out: a [`Component`]. Never: a plan of unlimited size. Components that
//! instantiate each other can describe exponentially many instances.

use crate::core_types::{self, CoreTypeItem};
use crate::definitions::{Definition, Definitions};
use crate::frame::{Closure, CoreInstance, Exports, Frame, FrameRef, Item, TypeItem, get};
use crate::plan::*;
use crate::types::ResourceIndex;
use belljar_core::{OutsideText, Result, bail, ensure, format_err};
use std::collections::{HashMap, HashSet};
use std::rc::Rc;
use std::sync::Arc;
use wasmparser::{
    CanonicalFunction, ComponentInstance, ComponentType, ComponentTypeRef, Instance, InstanceTypeDeclaration,
    TypeBounds,
};

/// The largest number of component instances, and of steps, that a component may describe.
const INSTANCES: usize = 10_000;
/// The largest number of items that instances may have together. Imports and exports, whose names have as many parts as they
/// are nested, count for each part. An item takes less than 1 KiB.
const ITEMS: usize = 200_000;
/// How deeply components may be nested in their instantiations.
const DEPTH: usize = 100;

/// Evaluates the definitions of a component.
///
/// # Errors
///
/// Returns an error if the component uses something that belljar does not have, or describes too much.
pub(crate) fn flatten(definitions: Definitions<'_>) -> Result<Component> {
    let mut flattener =
        Flattener { plan: Component::default(), modules: HashMap::new(), named: HashSet::new(), items: 0 };
    let frame = flattener.frame(None)?;
    let exports = flattener.evaluate(&Rc::new(definitions), &frame, &Arguments::Root, 0)?;
    flattener.count_exports(&exports, 1)?;
    let mut plan = flattener.plan;
    plan.exports = exports.iter().map(|(name, item)| (name.clone(), item.export())).collect();
    Ok(plan)
}

/// The exports of an imported instance, as symbols and as imports of the plan.
type ImportedInstance<'a> = (Exports<'a>, Vec<(Arc<str>, Import)>);

/// What a component is instantiated with.
enum Arguments<'a> {
    /// Imports of the root: they become imports of the plan.
    Root,
    Items(HashMap<&'a str, Item<'a>>),
}

struct Flattener {
    plan: Component,
    /// Core modules by the start of their bytes.
    modules: HashMap<usize, ModuleIndex>,
    /// The addresses of instances whose functions have got names.
    named: HashSet<usize>,
    items: usize,
}

impl Flattener {
    fn count(&mut self, items: usize) -> Result<()> {
        self.items = self.items.saturating_add(items);
        ensure!(
            self.items <= ITEMS,
            "the component is too large: it has more than {ITEMS} definitions, imports and exports"
        );
        Ok(())
    }

    /// Counts exports as often as they are exported: instances that contain others share them until then.
    fn count_exports(&mut self, exports: &Exports<'_>, depth: usize) -> Result<()> {
        for (_, item) in exports.iter() {
            self.count(depth)?;
            if let Item::Instance(exports) = item {
                self.count_exports(exports, depth + 1)?;
            }
        }
        Ok(())
    }

    fn frame<'a>(&mut self, around: Option<FrameRef<'a>>) -> Result<FrameRef<'a>> {
        let instance = InstanceIndex(self.plan.instances);
        self.plan.instances += 1;
        ensure!(
            self.plan.instances as usize <= INSTANCES,
            "the component is too large: it describes more than {INSTANCES} instances"
        );
        Ok(Frame::new(around, instance))
    }

    /// Evaluates a component's definitions. Returns its exports.
    fn evaluate<'a>(
        &mut self,
        definitions: &Rc<Definitions<'a>>,
        frame: &FrameRef<'a>,
        arguments: &Arguments<'a>,
        depth: usize,
    ) -> Result<Exports<'a>> {
        ensure!(
            depth <= DEPTH,
            "the component is too large: its instances contain each other more than {DEPTH} deep"
        );
        for definition in &definitions.0 {
            self.count(1)?;
            self.define(definition, frame, arguments, depth)?;
        }
        Ok(std::mem::take(&mut frame.borrow_mut().exports).into())
    }

    fn define<'a>(
        &mut self,
        definition: &Definition<'a>,
        frame: &FrameRef<'a>,
        arguments: &Arguments<'a>,
        depth: usize,
    ) -> Result<()> {
        match definition {
            Definition::CoreModule(bytes) => {
                let next = ModuleIndex(self.plan.modules.len() as u32);
                let index = *self.modules.entry(bytes.start).or_insert(next);
                if index == next {
                    self.plan.modules.push(bytes.clone());
                }
                frame.borrow_mut().modules.push(Module::Own(index));
            }
            Definition::CoreInstance(instance) => self.core_instance(instance, &mut frame.borrow_mut())?,
            Definition::CoreType(ty) => {
                let types =
                    core_types::types(ty, &|count, index| Frame::outer_core_type(frame, count, index))?;
                frame.borrow_mut().core_types.extend(types);
            }
            Definition::Component(inner) => {
                let closure = Closure { definitions: inner.clone(), around: frame.clone() };
                frame.borrow_mut().components.push(closure);
            }
            Definition::Instance(instance) => {
                let exports = self.instance(instance, frame, depth)?;
                frame.borrow_mut().instances.push(exports);
            }
            Definition::Alias(alias) => Frame::alias(frame, alias)?,
            Definition::Type(ty) => {
                let ty = self.type_item(ty, frame)?;
                frame.borrow_mut().types.push(ty);
            }
            Definition::Canonical(canonical) => self.canonical(canonical, &mut frame.borrow_mut())?,
            Definition::Start(start) => {
                ensure!(
                    start.arguments.is_empty() && start.results == 0,
                    "the component's start function has parameters or results, which belljar does not have"
                );
                let func = get(&frame.borrow().funcs, start.func_index)?;
                self.step(Step::Start(func))?;
            }
            Definition::Import(import) => {
                let name = import.name.full_name();
                let item = match arguments {
                    Arguments::Root => {
                        let path: ImportPath = [Arc::from(&*name)].into();
                        let (item, import) = self.import(import.ty, frame, &path)?;
                        self.plan.imports.push((path[0].clone(), import));
                        item
                    }
                    Arguments::Items(items) => {
                        items.get(&*name).or_else(|| items.get(import.name.name)).cloned().ok_or_else(
                            || {
                                format_err!(
                                    "belljar bug: no argument for the import {}",
                                    OutsideText::new(&*name)
                                )
                            },
                        )?
                    }
                };
                frame.borrow_mut().add(item);
            }
            Definition::Export(export) => {
                let frame = &mut *frame.borrow_mut();
                let item = frame.item(export.kind, export.index)?;
                let name: Arc<str> = Arc::from(&*export.name.full_name());
                self.name(&name, &item);
                frame.exports.push((name, item.clone()));
                frame.add(item);
            }
        }
        Ok(())
    }

    /// Names a function that is exported, or the functions of an interface, unless they have names.
    fn name(&mut self, name: &Arc<str>, item: &Item<'_>) {
        match item {
            Item::Func(func) => {
                self.plan.funcs[func.index()].name.get_or_insert_with(|| name.clone());
            }
            Item::Instance(exports) if self.named.insert(exports.as_ptr() as usize) => {
                for (inner, item) in exports.iter() {
                    let Item::Func(func) = item else { continue };
                    let known = &mut self.plan.funcs[func.index()].name;
                    if known.as_ref().is_none_or(|known| !known.contains('#')) {
                        *known = Some(format!("{name}#{inner}").into());
                    }
                }
            }
            _ => {}
        }
    }

    fn step(&mut self, step: Step) -> Result<()> {
        ensure!(
            self.plan.steps.len() < INSTANCES,
            "the component is too large: it describes more than {INSTANCES} core instances"
        );
        self.plan.steps.push(step);
        Ok(())
    }

    fn core_instance(&mut self, instance: &Instance<'_>, frame: &mut Frame<'_>) -> Result<()> {
        let made = match instance {
            Instance::Instantiate { module_index, args } => {
                let module = get(&frame.modules, *module_index)?;
                let arguments = args.iter().map(|argument| {
                    Ok((
                        Arc::from(argument.name),
                        match get(&frame.core_instances, argument.index)? {
                            CoreInstance::Real(index) => CoreArgument::Instance(index),
                            CoreInstance::Items(items) => CoreArgument::Items(items),
                        },
                    ))
                });
                let arguments = arguments.collect::<Result<_>>()?;
                let count =
                    self.plan.steps.iter().filter(|step| matches!(step, Step::Instantiate { .. })).count();
                self.step(Step::Instantiate { module, arguments, instance: frame.instance })?;
                CoreInstance::Real(CoreInstanceIndex(count as u32))
            }
            Instance::FromExports(exports) => {
                let items = exports.iter().map(|export| {
                    use wasmparser::ExternalKind::*;
                    let item = match export.kind {
                        Func | FuncExact => CoreItem::Func(get(&frame.core_funcs, export.index)?),
                        Memory => CoreItem::Export(get(&frame.memories, export.index)?),
                        Table => CoreItem::Export(get(&frame.tables, export.index)?),
                        Global => CoreItem::Export(get(&frame.globals, export.index)?),
                        Tag => CoreItem::Export(get(&frame.tags, export.index)?),
                    };
                    Ok((Arc::from(export.name), item))
                });
                CoreInstance::Items(items.collect::<Result<Vec<_>>>()?.into())
            }
        };
        frame.core_instances.push(made);
        Ok(())
    }

    fn instance<'a>(
        &mut self,
        instance: &ComponentInstance<'a>,
        frame: &FrameRef<'a>,
        depth: usize,
    ) -> Result<Exports<'a>> {
        match instance {
            ComponentInstance::Instantiate { component_index, args } => {
                let Closure { definitions, around } = get(&frame.borrow().components, *component_index)?;
                let items = args
                    .iter()
                    .map(|argument| Ok((argument.name, frame.borrow().item(argument.kind, argument.index)?)));
                let arguments = Arguments::Items(items.collect::<Result<_>>()?);
                let inner = self.frame(Some(around))?;
                self.evaluate(&definitions, &inner, &arguments, depth + 1)
            }
            ComponentInstance::FromExports(exports) => {
                let frame = frame.borrow();
                let items = exports.iter().map(|export| {
                    Ok((Arc::from(&*export.name.full_name()), frame.item(export.kind, export.index)?))
                });
                Ok(items.collect::<Result<Vec<_>>>()?.into())
            }
        }
    }

    fn canonical(&mut self, canonical: &CanonicalFunction, frame: &mut Frame<'_>) -> Result<()> {
        let instance = frame.instance;
        let kind = match canonical {
            CanonicalFunction::Lift { core_func_index, type_index, options } => {
                let TypeItem::Func(ty) = get(&frame.types, *type_index)? else {
                    bail!("belljar bug: a function is lifted to a type of no function")
                };
                let origin = FuncOrigin::Lifted {
                    func: get(&frame.core_funcs, *core_func_index)?,
                    options: frame.options(options)?,
                    instance,
                };
                let func = self.func(Func { ty, origin, name: None });
                frame.funcs.push(func);
                return Ok(());
            }
            CanonicalFunction::Lower { func_index, options } => {
                BuiltinKind::Lower { func: get(&frame.funcs, *func_index)?, options: frame.options(options)? }
            }
            CanonicalFunction::ResourceNew { resource } => {
                BuiltinKind::ResourceNew(frame.resource(*resource)?)
            }
            CanonicalFunction::ResourceRep { resource } => {
                BuiltinKind::ResourceRep(frame.resource(*resource)?)
            }
            CanonicalFunction::ResourceDrop { resource } => {
                BuiltinKind::ResourceDrop(frame.resource(*resource)?)
            }
            CanonicalFunction::ContextGet { slot, .. } => BuiltinKind::ContextGet(*slot),
            CanonicalFunction::ContextSet { slot, .. } => BuiltinKind::ContextSet(*slot),
            CanonicalFunction::BackpressureInc => BuiltinKind::BackpressureInc,
            CanonicalFunction::BackpressureDec => BuiltinKind::BackpressureDec,
            other => {
                let result = match other {
                    CanonicalFunction::TaskReturn { result, .. } => {
                        result.map(|ty| frame.value(ty)).transpose()?
                    }
                    _ => None,
                };
                crate::unsupported::builtin(other, result.as_ref())
            }
        };
        let index = BuiltinIndex(self.plan.builtins.len() as u32);
        self.plan.builtins.push(Builtin { instance, kind, is_adapted: false });
        frame.core_funcs.push(CoreFunc::Builtin(index));
        Ok(())
    }

    fn func(&mut self, func: Func) -> FuncIndex {
        self.plan.funcs.push(func);
        FuncIndex(self.plan.funcs.len() as u32 - 1)
    }

    /// Makes the symbol for an import of the root, or for an export of an imported instance.
    fn import<'a>(
        &mut self,
        ty: ComponentTypeRef,
        frame: &FrameRef<'a>,
        path: &ImportPath,
    ) -> Result<(Item<'a>, Import)> {
        self.count(path.len())?;
        let type_at = |index: u32| get(&frame.borrow().types, index);
        Ok(match ty {
            ComponentTypeRef::Func(index) => {
                let TypeItem::Func(ty) = type_at(index)? else {
                    bail!("belljar bug: a function is imported with a type of no function")
                };
                let func = self.func(Func {
                    ty: ty.clone(),
                    origin: FuncOrigin::Imported(path.clone()),
                    name: None,
                });
                (Item::Func(func), Import::Func(ty))
            }
            ComponentTypeRef::Type(TypeBounds::SubResource) => {
                let resource = self.resource(Resource::Imported(path.clone()));
                (Item::Type(TypeItem::Resource(resource)), Import::Resource(resource))
            }
            ComponentTypeRef::Type(TypeBounds::Eq(index)) => {
                let ty = type_at(index)?;
                let import = match ty {
                    TypeItem::Resource(resource) => Import::SameResource(resource),
                    _ => Import::Type,
                };
                (Item::Type(ty), import)
            }
            ComponentTypeRef::Instance(index) => {
                let TypeItem::Instance(ty, around) = type_at(index)? else {
                    bail!("belljar bug: an instance is imported with a type of no instance")
                };
                let (exports, imports) = self.imported_instance(&ty, around, path)?;
                (Item::Instance(exports), Import::Instance(imports))
            }
            ComponentTypeRef::Module(index) => {
                let CoreTypeItem::Module(ty) = get(&frame.borrow().core_types, index)? else {
                    bail!("belljar bug: a module is imported with a type of no module")
                };
                (Item::Module(Module::Imported(path.clone())), Import::Module(ty))
            }
            ComponentTypeRef::Component(_) => bail!(
                "the component imports the component {}, which belljar does not have: only functions, instances, \
                 resources and core modules can be imported",
                OutsideText::new(&path.join("/"))
            ),
            ComponentTypeRef::Value(_) => bail!(
                "the component imports the value {}, which belljar does not have",
                OutsideText::new(&path.join("/"))
            ),
        })
    }

    fn imported_instance<'a>(
        &mut self,
        ty: &Rc<ComponentType<'a>>,
        around: FrameRef<'a>,
        path: &ImportPath,
    ) -> Result<ImportedInstance<'a>> {
        let ComponentType::Instance(declarations) = &**ty else {
            bail!("belljar bug: a type of instances that is none")
        };
        ensure!(
            path.len() <= DEPTH,
            "the component is too large: its imports contain each other more than {DEPTH} deep"
        );
        let instance = around.borrow().instance;
        let frame = Frame::new(Some(around), instance);
        let (mut exports, mut imports) = (Vec::new(), Vec::new());
        for declaration in declarations {
            self.count(1)?;
            match declaration {
                InstanceTypeDeclaration::CoreType(ty) => {
                    let types =
                        core_types::types(ty, &|count, index| Frame::outer_core_type(&frame, count, index))?;
                    frame.borrow_mut().core_types.extend(types);
                }
                InstanceTypeDeclaration::Type(ty) => {
                    let ty = self.type_item(&Rc::new(ty.clone()), &frame)?;
                    frame.borrow_mut().types.push(ty);
                }
                InstanceTypeDeclaration::Alias(alias) => Frame::alias(&frame, alias)?,
                InstanceTypeDeclaration::Export { name, ty } => {
                    let name: Arc<str> = Arc::from(&*name.full_name());
                    let path: ImportPath = path.iter().cloned().chain([name.clone()]).collect();
                    let (item, import) = self.import(*ty, &frame, &path)?;
                    frame.borrow_mut().add(item.clone());
                    exports.push((name.clone(), item));
                    imports.push((name, import));
                }
            }
        }
        Ok((exports.into(), imports))
    }

    fn resource(&mut self, resource: Resource) -> ResourceIndex {
        self.plan.resources.push(resource);
        ResourceIndex(self.plan.resources.len() as u32 - 1)
    }

    fn type_item<'a>(&mut self, ty: &Rc<ComponentType<'a>>, frame: &FrameRef<'a>) -> Result<TypeItem<'a>> {
        Ok(match &**ty {
            ComponentType::Defined(defined) => TypeItem::Value(frame.borrow().defined(defined)?),
            ComponentType::Func(func) => TypeItem::Func(Arc::new(frame.borrow().func_type(func)?)),
            ComponentType::Component(_) => TypeItem::Component,
            ComponentType::Instance(_) => TypeItem::Instance(ty.clone(), frame.clone()),
            ComponentType::Resource { dtor, .. } => {
                let frame = frame.borrow();
                let destructor = dtor.map(|index| get(&frame.core_funcs, index)).transpose()?;
                TypeItem::Resource(self.resource(Resource::Defined { instance: frame.instance, destructor }))
            }
        })
    }
}
