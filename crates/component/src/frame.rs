//! Symbols for the items of components, and the index spaces in which definitions find them.

use crate::core_types::CoreTypeItem;
use crate::definitions::Definitions;
use crate::plan::*;
use crate::types::{
    Enum, FixedLengthList, Flags, FuncType, Map, OptionType, Record, ResourceIndex, ResultType, Tuple, Type,
    Variant,
};
use belljar_core::{OutsideText, Result, bail, format_err};
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use wasmparser::{
    CanonicalOption, ComponentAlias, ComponentDefinedType, ComponentExternalKind, ComponentFuncType,
    ComponentOuterAliasKind, ComponentType, ComponentValType, PrimitiveValType,
};

/// A symbol for an item of a component.
#[derive(Clone)]
pub(crate) enum Item<'a> {
    Func(FuncIndex),
    Instance(Exports<'a>),
    Component(Closure<'a>),
    Module(Module),
    Type(TypeItem<'a>),
}

/// The exports of an instance, in order.
pub(crate) type Exports<'a> = Rc<[(Arc<str>, Item<'a>)]>;

/// A component with the definitions around it, to which it may refer.
#[derive(Clone)]
pub(crate) struct Closure<'a> {
    pub(crate) definitions: Rc<Definitions<'a>>,
    pub(crate) around: FrameRef<'a>,
}

/// A symbol for a type.
#[derive(Clone)]
pub(crate) enum TypeItem<'a> {
    Value(Type),
    Func(Arc<FuncType>),
    Resource(ResourceIndex),
    /// A type of instances with the definitions around it.
    Instance(Rc<ComponentType<'a>>, FrameRef<'a>),
    Component,
}

/// A symbol for a core instance.
#[derive(Clone)]
pub(crate) enum CoreInstance {
    Real(CoreInstanceIndex),
    Items(Arc<[(Arc<str>, CoreItem)]>),
}

/// The index spaces of a component, or of a type of instances, while it is evaluated.
pub(crate) struct Frame<'a> {
    pub(crate) around: Option<FrameRef<'a>>,
    /// The instance whose definitions they are.
    pub(crate) instance: InstanceIndex,
    pub(crate) modules: Vec<Module>,
    pub(crate) core_types: Vec<CoreTypeItem>,
    pub(crate) core_instances: Vec<CoreInstance>,
    pub(crate) core_funcs: Vec<CoreFunc>,
    pub(crate) memories: Vec<CoreExport>,
    pub(crate) tables: Vec<CoreExport>,
    pub(crate) globals: Vec<CoreExport>,
    pub(crate) tags: Vec<CoreExport>,
    pub(crate) components: Vec<Closure<'a>>,
    pub(crate) instances: Vec<Exports<'a>>,
    pub(crate) funcs: Vec<FuncIndex>,
    pub(crate) types: Vec<TypeItem<'a>>,
    pub(crate) exports: Vec<(Arc<str>, Item<'a>)>,
}

pub(crate) type FrameRef<'a> = Rc<RefCell<Frame<'a>>>;

/// An index that validation has checked.
pub(crate) fn get<T: Clone>(space: &[T], index: u32) -> Result<T> {
    space
        .get(index as usize)
        .cloned()
        .ok_or_else(|| format_err!("belljar bug: an index of a valid component"))
}

impl<'a> Frame<'a> {
    pub(crate) fn new(around: Option<FrameRef<'a>>, instance: InstanceIndex) -> FrameRef<'a> {
        Rc::new(RefCell::new(Self {
            around,
            instance,
            modules: Vec::new(),
            core_types: Vec::new(),
            core_instances: Vec::new(),
            core_funcs: Vec::new(),
            memories: Vec::new(),
            tables: Vec::new(),
            globals: Vec::new(),
            tags: Vec::new(),
            components: Vec::new(),
            instances: Vec::new(),
            funcs: Vec::new(),
            types: Vec::new(),
            exports: Vec::new(),
        }))
    }

    pub(crate) fn add(&mut self, item: Item<'a>) {
        match item {
            Item::Func(func) => self.funcs.push(func),
            Item::Instance(exports) => self.instances.push(exports),
            Item::Component(closure) => self.components.push(closure),
            Item::Module(module) => self.modules.push(module),
            Item::Type(ty) => self.types.push(ty),
        }
    }

    pub(crate) fn item(&self, kind: ComponentExternalKind, index: u32) -> Result<Item<'a>> {
        Ok(match kind {
            ComponentExternalKind::Module => Item::Module(get(&self.modules, index)?),
            ComponentExternalKind::Func => Item::Func(get(&self.funcs, index)?),
            ComponentExternalKind::Type => Item::Type(get(&self.types, index)?),
            ComponentExternalKind::Instance => Item::Instance(get(&self.instances, index)?),
            ComponentExternalKind::Component => Item::Component(get(&self.components, index)?),
            ComponentExternalKind::Value => bail!("the component uses values, which belljar does not have"),
        })
    }

    /// Returns a core type of a frame so many levels out.
    pub(crate) fn outer_core_type(frame: &FrameRef<'a>, count: u32, index: u32) -> Result<CoreTypeItem> {
        let mut from = frame.clone();
        for _ in 0..count {
            let around = from.borrow().around.clone();
            from = around.ok_or_else(|| format_err!("belljar bug: an alias of what is around the root"))?;
        }
        get(&from.borrow().core_types, index)
    }

    pub(crate) fn alias(frame: &FrameRef<'a>, alias: &ComponentAlias<'a>) -> Result<()> {
        let item = match *alias {
            ComponentAlias::InstanceExport { instance_index, name, .. } => {
                let exports = get(&frame.borrow().instances, instance_index)?;
                let found = exports.iter().find(|(export, _)| **export == *name);
                found.map(|(_, item)| item.clone()).ok_or_else(|| {
                    format_err!("belljar bug: an alias of {}, which is no export", OutsideText::new(name))
                })?
            }
            ComponentAlias::CoreInstanceExport { kind, instance_index, name } => {
                return frame.borrow_mut().core_alias(kind, instance_index, name);
            }
            ComponentAlias::Outer { kind, count, index } => {
                let mut from = frame.clone();
                for _ in 0..count {
                    let around = from.borrow().around.clone();
                    from = around
                        .ok_or_else(|| format_err!("belljar bug: an alias of what is around the root"))?;
                }
                let from = from.borrow();
                match kind {
                    ComponentOuterAliasKind::CoreModule => Item::Module(get(&from.modules, index)?),
                    ComponentOuterAliasKind::CoreType => {
                        let ty = get(&from.core_types, index)?;
                        drop(from);
                        frame.borrow_mut().core_types.push(ty);
                        return Ok(());
                    }
                    ComponentOuterAliasKind::Type => Item::Type(get(&from.types, index)?),
                    ComponentOuterAliasKind::Component => Item::Component(get(&from.components, index)?),
                }
            }
        };
        frame.borrow_mut().add(item);
        Ok(())
    }

    pub(crate) fn core_alias(
        &mut self,
        kind: wasmparser::ExternalKind,
        instance: u32,
        name: &str,
    ) -> Result<()> {
        let item = match get(&self.core_instances, instance)? {
            CoreInstance::Real(instance) => {
                let export = CoreExport { instance, name: name.into() };
                match kind {
                    wasmparser::ExternalKind::Func | wasmparser::ExternalKind::FuncExact => {
                        CoreItem::Func(CoreFunc::Export(export))
                    }
                    _ => CoreItem::Export(export),
                }
            }
            CoreInstance::Items(items) => {
                let found = items.iter().find(|(item, _)| **item == *name);
                found.map(|(_, item)| item.clone()).ok_or_else(|| {
                    format_err!("belljar bug: an alias of {}, which is no export", OutsideText::new(name))
                })?
            }
        };
        use wasmparser::ExternalKind::*;
        match (kind, item) {
            (Func | FuncExact, CoreItem::Func(func)) => self.core_funcs.push(func),
            (Memory, CoreItem::Export(export)) => self.memories.push(export),
            (Table, CoreItem::Export(export)) => self.tables.push(export),
            (Global, CoreItem::Export(export)) => self.globals.push(export),
            (Tag, CoreItem::Export(export)) => self.tags.push(export),
            _ => bail!("belljar bug: an alias of an item of another kind"),
        }
        Ok(())
    }

    pub(crate) fn options(&self, options: &[CanonicalOption]) -> Result<Options> {
        let mut all = Options::default();
        for option in options {
            match *option {
                CanonicalOption::UTF8 => all.encoding = StringEncoding::Utf8,
                CanonicalOption::UTF16 => all.encoding = StringEncoding::Utf16,
                CanonicalOption::CompactUTF16 => all.encoding = StringEncoding::CompactUtf16,
                CanonicalOption::Memory(index) => all.memory = Some(get(&self.memories, index)?),
                CanonicalOption::Realloc(index) => all.realloc = Some(get(&self.core_funcs, index)?),
                CanonicalOption::PostReturn(index) => all.post_return = Some(get(&self.core_funcs, index)?),
                CanonicalOption::Async => all.is_async = true,
                CanonicalOption::Callback(index) => all.callback = Some(get(&self.core_funcs, index)?),
                CanonicalOption::CoreType(_) | CanonicalOption::Gc => {
                    bail!(
                        "the component passes values as objects of the garbage collector, which belljar does not do"
                    )
                }
            }
        }
        Ok(all)
    }

    pub(crate) fn resource(&self, index: u32) -> Result<ResourceIndex> {
        match get(&self.types, index)? {
            TypeItem::Resource(resource) => Ok(resource),
            _ => bail!("belljar bug: a handle of a type that is no resource"),
        }
    }

    pub(crate) fn value(&self, ty: ComponentValType) -> Result<Type> {
        match ty {
            ComponentValType::Primitive(ty) => Ok(primitive(ty)),
            ComponentValType::Type(index) => match get(&self.types, index)? {
                TypeItem::Value(ty) => Ok(ty),
                _ => bail!("belljar bug: a value of a type that has none"),
            },
        }
    }

    pub(crate) fn func_type(&self, ty: &ComponentFuncType<'_>) -> Result<FuncType> {
        let params = ty.params.iter().map(|(name, ty)| Ok((Arc::from(*name), self.value(*ty)?)));
        let params = params.collect::<Result<_>>()?;
        let result = ty.result.map(|ty| self.value(ty)).transpose()?;
        Ok(FuncType::new(params, result, ty.async_))
    }

    pub(crate) fn defined(&self, ty: &ComponentDefinedType<'_>) -> Result<Type> {
        let value = |ty: &ComponentValType| self.value(*ty);
        let optional = |ty: &Option<ComponentValType>| ty.map(|ty| self.value(ty)).transpose();
        let names = |names: &[&str]| names.iter().map(|name| Arc::from(*name)).collect();
        Ok(match ty {
            ComponentDefinedType::Primitive(ty) => primitive(*ty),
            ComponentDefinedType::Record(fields) => {
                let fields = fields.iter().map(|(name, ty)| Ok((Arc::from(*name), value(ty)?)));
                Type::Record(Arc::new(Record::new(fields.collect::<Result<_>>()?)))
            }
            ComponentDefinedType::Variant(cases) => {
                let cases = cases.iter().map(|case| Ok((Arc::from(case.name), optional(&case.ty)?)));
                Type::Variant(Arc::new(Variant::new(cases.collect::<Result<_>>()?)))
            }
            ComponentDefinedType::List(ty) => Type::List(Arc::new(value(ty)?)),
            ComponentDefinedType::Map(key, entry) => {
                Type::Map(Arc::new(Map::new(Tuple::new([value(key)?, value(entry)?].into()))))
            }
            ComponentDefinedType::FixedLengthList(ty, length) => {
                Type::FixedLengthList(Arc::new(FixedLengthList::new(value(ty)?, *length)))
            }
            ComponentDefinedType::Tuple(types) => {
                Type::Tuple(Arc::new(Tuple::new(types.iter().map(value).collect::<Result<_>>()?)))
            }
            ComponentDefinedType::Flags(all) => Type::Flags(Arc::new(Flags::new(names(all)))),
            ComponentDefinedType::Enum(all) => Type::Enum(Arc::new(Enum::new(names(all)))),
            ComponentDefinedType::Option(ty) => Type::Option(Arc::new(OptionType::new(value(ty)?))),
            ComponentDefinedType::Result { ok, err } => {
                Type::Result(Arc::new(ResultType::new(optional(ok)?, optional(err)?)))
            }
            ComponentDefinedType::Own(index) => Type::Own(self.resource(*index)?),
            ComponentDefinedType::Borrow(index) => Type::Borrow(self.resource(*index)?),
            ComponentDefinedType::Future(ty) => Type::Future(optional(ty)?.map(Arc::new)),
            ComponentDefinedType::Stream(ty) => Type::Stream(optional(ty)?.map(Arc::new)),
        })
    }
}

pub(crate) fn primitive(ty: PrimitiveValType) -> Type {
    match ty {
        PrimitiveValType::Bool => Type::Bool,
        PrimitiveValType::S8 => Type::S8,
        PrimitiveValType::U8 => Type::U8,
        PrimitiveValType::S16 => Type::S16,
        PrimitiveValType::U16 => Type::U16,
        PrimitiveValType::S32 => Type::S32,
        PrimitiveValType::U32 => Type::U32,
        PrimitiveValType::S64 => Type::S64,
        PrimitiveValType::U64 => Type::U64,
        PrimitiveValType::F32 => Type::Float32,
        PrimitiveValType::F64 => Type::Float64,
        PrimitiveValType::Char => Type::Char,
        PrimitiveValType::String => Type::String,
        PrimitiveValType::ErrorContext => Type::ErrorContext,
    }
}

impl Item<'_> {
    pub(crate) fn export(&self) -> Export {
        match self {
            Self::Func(func) => Export::Func(*func),
            Self::Instance(exports) => {
                Export::Instance(exports.iter().map(|(name, item)| (name.clone(), item.export())).collect())
            }
            Self::Module(module) => Export::Module(module.clone()),
            Self::Type(TypeItem::Value(ty)) => Export::Type(ty.clone()),
            Self::Type(TypeItem::Resource(resource)) => Export::Resource(*resource),
            Self::Type(_) | Self::Component(_) => Export::Other,
        }
    }
}
