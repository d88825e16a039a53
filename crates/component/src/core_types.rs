//! Types of core modules, as components declare them for modules that they import.
//!
//! In: declarations. Out: a [`ModuleType`]. Types of values are kept as text, in WebAssembly's text format, in which types
//! are compared: a component can only name types that every engine writes in the same way.

use belljar_core::{Result, bail};
use std::sync::Arc;
use wasmparser::{CompositeInnerType, CoreType, Import, ModuleTypeDeclaration, RecGroup, TypeRef, ValType};

/// The type of a core module.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ModuleType {
    /// What it may import: module name, name and type.
    pub imports: Vec<(Arc<str>, Arc<str>, CoreExternType)>,
    /// What it exports.
    pub exports: Vec<(Arc<str>, CoreExternType)>,
}

/// The type of an import or export of a core module.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum CoreExternType {
    /// A function, or a tag, with parameters and results.
    Func(CoreFuncType),
    /// A memory.
    Memory {
        /// Its size.
        limits: Limits,
        /// Whether threads share it.
        shared: bool,
        /// The size of a page.
        page_size: u64,
    },
    /// A table of elements of a type.
    Table {
        /// Its size.
        limits: Limits,
        /// The type of the elements.
        element: String,
    },
    /// A global.
    Global {
        /// The type of the value.
        content: String,
        /// Whether it can be written.
        mutable: bool,
    },
    /// A tag with parameters.
    Tag(CoreFuncType),
}

/// The type of a core function.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct CoreFuncType {
    /// The types of the parameters.
    pub params: Vec<String>,
    /// The types of the results.
    pub results: Vec<String>,
}

/// The size of a memory or table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// The initial size.
    pub minimum: u64,
    /// The maximum size.
    pub maximum: Option<u64>,
    /// Whether addresses or indices are 64 bits wide.
    pub is_64: bool,
}

impl Limits {
    /// Returns whether something of this size can be used where `wanted` is expected.
    fn fits(self, wanted: Self) -> bool {
        self.is_64 == wanted.is_64
            && self.minimum >= wanted.minimum
            && wanted.maximum.is_none_or(|most| self.maximum.is_some_and(|maximum| maximum <= most))
    }
}

impl CoreExternType {
    /// Returns whether something of this type can be used where `wanted` is expected.
    pub fn fits(&self, wanted: &Self) -> bool {
        match (self, wanted) {
            (
                Self::Memory { limits, shared, page_size },
                Self::Memory { limits: wanted, shared: wanted_shared, page_size: wanted_page_size },
            ) => limits.fits(*wanted) && shared == wanted_shared && page_size == wanted_page_size,
            (Self::Table { limits, element }, Self::Table { limits: wanted, element: wanted_element }) => {
                limits.fits(*wanted) && element == wanted_element
            }
            (a, b) => a == b,
        }
    }

    /// Returns what kind of item it is.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Func(_) => "func",
            Self::Memory { .. } => "memory",
            Self::Table { .. } => "table",
            Self::Global { .. } => "global",
            Self::Tag(_) => "tag",
        }
    }
}

impl ModuleType {
    /// Checks that a module of this type can be used where `wanted` is expected.
    ///
    /// # Errors
    ///
    /// Returns an error that names the first import or export for which that is not so.
    pub fn check(&self, wanted: &Self) -> Result<()> {
        for (name, wanted) in &wanted.exports {
            let found = self.exports.iter().find(|(export, _)| export == name);
            let name = belljar_core::OutsideText::new(&**name);
            match found {
                None => bail!("module export {name} is not defined"),
                Some((_, found)) if found.fits(wanted) => {}
                Some((_, found)) => {
                    bail!(
                        "module export {name} has the wrong type: expected {}, found {}",
                        wanted.kind(),
                        found.kind()
                    )
                }
            }
        }
        for (module, name, needed) in &self.imports {
            let shown = format!("{module}::{name}");
            let shown = belljar_core::OutsideText::new(&shown);
            match wanted.imports.iter().find(|(m, n, _)| m == module && n == name) {
                None => bail!("module import {shown} is not defined"),
                Some((_, _, given)) if given.fits(needed) => {}
                Some((_, _, given)) => {
                    bail!(
                        "module import {shown} has the wrong type: expected {}, found {}",
                        needed.kind(),
                        given.kind()
                    )
                }
            }
        }
        Ok(())
    }
}

/// A type in a core type index space.
#[derive(Clone, Debug)]
pub(crate) enum CoreTypeItem {
    Func(CoreFuncType),
    Module(Arc<ModuleType>),
    /// A type of objects, which modules do not import or export.
    Other,
}

/// Returns the types that a definition adds. `outer` finds the type at an index of a frame so many levels out.
pub(crate) fn types(
    ty: &CoreType<'_>,
    outer: &dyn Fn(u32, u32) -> Result<CoreTypeItem>,
) -> Result<Vec<CoreTypeItem>> {
    Ok(match ty {
        CoreType::Rec(group) => group_types(group),
        CoreType::Module(declarations) => vec![CoreTypeItem::Module(Arc::new(module(declarations, outer)?))],
    })
}

fn group_types(group: &RecGroup) -> Vec<CoreTypeItem> {
    let item = |ty: &wasmparser::SubType| match &ty.composite_type.inner {
        CompositeInnerType::Func(func) => CoreTypeItem::Func(CoreFuncType {
            params: func.params().iter().map(ToString::to_string).collect(),
            results: func.results().iter().map(ToString::to_string).collect(),
        }),
        _ => CoreTypeItem::Other,
    };
    group.types().map(item).collect()
}

fn module(
    declarations: &[ModuleTypeDeclaration<'_>],
    outer: &dyn Fn(u32, u32) -> Result<CoreTypeItem>,
) -> Result<ModuleType> {
    let mut types: Vec<CoreTypeItem> = Vec::new();
    let mut all = ModuleType::default();
    for declaration in declarations {
        match declaration {
            ModuleTypeDeclaration::Type(group) => types.extend(group_types(group)),
            ModuleTypeDeclaration::OuterAlias { count: 0, index, .. } => {
                let ty = types.get(*index as usize).cloned();
                types.push(ty.unwrap_or(CoreTypeItem::Other));
            }
            ModuleTypeDeclaration::OuterAlias { count, index, .. } => types.push(outer(count - 1, *index)?),
            ModuleTypeDeclaration::Export { name, ty } => {
                all.exports.push(((*name).into(), extern_type(ty, &types)?));
            }
            ModuleTypeDeclaration::Import(Import { module, name, ty }) => {
                all.imports.push(((*module).into(), (*name).into(), extern_type(ty, &types)?));
            }
        }
    }
    Ok(all)
}

fn extern_type(ty: &TypeRef, types: &[CoreTypeItem]) -> Result<CoreExternType> {
    let func = |index: u32| match types.get(index as usize) {
        Some(CoreTypeItem::Func(ty)) => Ok(ty.clone()),
        _ => bail!("belljar bug: a type of no function"),
    };
    Ok(match ty {
        TypeRef::Func(index) | TypeRef::FuncExact(index) => CoreExternType::Func(func(*index)?),
        TypeRef::Memory(ty) => CoreExternType::Memory {
            limits: Limits { minimum: ty.initial, maximum: ty.maximum, is_64: ty.memory64 },
            shared: ty.shared,
            page_size: 1 << ty.page_size_log2.unwrap_or(16).min(63),
        },
        TypeRef::Table(ty) => CoreExternType::Table {
            limits: Limits { minimum: ty.initial, maximum: ty.maximum, is_64: ty.table64 },
            element: ValType::Ref(ty.element_type).to_string(),
        },
        TypeRef::Global(ty) => {
            CoreExternType::Global { content: ty.content_type.to_string(), mutable: ty.mutable }
        }
        TypeRef::Tag(ty) => CoreExternType::Tag(func(ty.func_type_idx)?),
    })
}
