//! Types of imports and exports.

use crate::Engine;
use std::fmt;

use belljar_vm::Runtime;

pub use belljar_core::{
    FieldType, GlobalType, HeapType, MemoryType, MemoryTypeBuilder, MemoryTypeError, Mutability, RefType,
    StorageType, TableType, TableTypeError, ValType,
};

/// Prepares a type for the embedder, which may use the types that it refers to at any later time. Types from the
/// embedder take the opposite path, through [`Runtime::own_types`].
pub(crate) fn shown(ty: belljar_core::ExternType, runtime: &Runtime) -> ExternType {
    ty.map(&mut |r| runtime.show_type(r)).into()
}

/// Prepares a heap type for the embedder, as [`shown`] does.
pub(crate) fn shown_heap(ty: HeapType, runtime: &Runtime) -> HeapType {
    match ty {
        HeapType::Defined(ty) => HeapType::Defined(runtime.show_type(ty)),
        other => other,
    }
}

/// Prepares a function type for the embedder, as [`shown`] does.
pub(crate) fn shown_func(ty: &belljar_core::FuncType, runtime: &Runtime) -> FuncType {
    FuncType(ty.map(&mut |r| runtime.show_type(r)))
}

/// The type of a function: its parameters and its results.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct FuncType(pub(crate) belljar_core::FuncType);

impl FuncType {
    /// Creates a function type. The types that it refers to must belong to the engine that it is used with; using it
    /// with another engine is an error.
    pub fn new(
        _engine: &Engine,
        params: impl IntoIterator<Item = ValType>,
        results: impl IntoIterator<Item = ValType>,
    ) -> Self {
        Self(belljar_core::FuncType::new(params, results))
    }

    /// Returns the parameters, in order.
    pub fn params(&self) -> impl ExactSizeIterator<Item = ValType> + '_ {
        self.0.params().iter().copied()
    }

    /// Returns the `i`th parameter.
    pub fn param(&self, i: usize) -> Option<ValType> {
        self.0.params().get(i).copied()
    }

    /// Returns the results, in order.
    pub fn results(&self) -> impl ExactSizeIterator<Item = ValType> + '_ {
        self.0.results().iter().copied()
    }

    /// Returns the `i`th result.
    pub fn result(&self, i: usize) -> Option<ValType> {
        self.0.results().get(i).copied()
    }
}

impl fmt::Display for FuncType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The type of a tag: a function type whose parameters are the payload of an exception, and which has no results.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct TagType(FuncType);

impl TagType {
    /// Creates the type of a tag whose exceptions carry the function type's parameters.
    pub const fn new(ty: FuncType) -> Self {
        Self(ty)
    }

    /// Returns the function type.
    pub const fn ty(&self) -> &FuncType {
        &self.0
    }
}

impl fmt::Display for TagType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tag {}", self.0)
    }
}

/// The type of an import or export.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum ExternType {
    /// A function.
    Func(FuncType),
    /// A global.
    Global(GlobalType),
    /// A table.
    Table(TableType),
    /// A memory.
    Memory(MemoryType),
    /// A tag.
    Tag(TagType),
}

macro_rules! accessors {
    ($($get:ident $unwrap:ident $variant:ident $ty:ty;)*) => {
        impl ExternType {
            $(
                #[doc = concat!("Returns the type, if it is a `", stringify!($variant), "`.")]
                pub fn $get(&self) -> Option<&$ty> {
                    match self {
                        Self::$variant(ty) => Some(ty),
                        _ => None,
                    }
                }

                #[doc = concat!("Returns the type of a `", stringify!($variant), "`.\n\n# Panics\n\nPanics if it is of another kind.")]
                pub fn $unwrap(&self) -> &$ty {
                    self.$get().unwrap_or_else(|| panic!("expected a {}, found {self}", stringify!($variant)))
                }
            )*
        }

        $(impl From<$ty> for ExternType {
            fn from(ty: $ty) -> Self {
                Self::$variant(ty)
            }
        })*
    };
}

accessors! {
    func unwrap_func Func FuncType;
    global unwrap_global Global GlobalType;
    table unwrap_table Table TableType;
    memory unwrap_memory Memory MemoryType;
    tag unwrap_tag Tag TagType;
}

impl From<belljar_core::ExternType> for ExternType {
    fn from(ty: belljar_core::ExternType) -> Self {
        match ty {
            belljar_core::ExternType::Func(ty) => Self::Func(FuncType(ty)),
            belljar_core::ExternType::Global(ty) => Self::Global(ty),
            belljar_core::ExternType::Table(ty) => Self::Table(ty),
            belljar_core::ExternType::Memory(ty) => Self::Memory(ty),
            belljar_core::ExternType::Tag(ty) => Self::Tag(TagType::new(FuncType(ty.ty().clone()))),
        }
    }
}

impl fmt::Display for ExternType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Func(ty) => write!(f, "func {ty}"),
            Self::Global(ty) => ty.fmt(f),
            Self::Table(ty) => ty.fmt(f),
            Self::Memory(ty) => ty.fmt(f),
            Self::Tag(ty) => ty.fmt(f),
        }
    }
}

/// An import of a module.
#[derive(Clone, Debug)]
pub struct ImportType<'module> {
    pub(crate) module: &'module str,
    pub(crate) name: &'module str,
    pub(crate) ty: ExternType,
}

impl<'module> ImportType<'module> {
    /// Returns the module name.
    pub fn module(&self) -> &'module str {
        self.module
    }

    /// Returns the field name.
    pub fn name(&self) -> &'module str {
        self.name
    }

    /// Returns the type that the import requires.
    pub fn ty(&self) -> ExternType {
        self.ty.clone()
    }
}

/// An export of a module.
#[derive(Clone, Debug)]
pub struct ExportType<'module> {
    pub(crate) name: &'module str,
    pub(crate) ty: ExternType,
}

impl<'module> ExportType<'module> {
    /// Returns the export's name.
    pub fn name(&self) -> &'module str {
        self.name
    }

    /// Returns the export's type.
    pub fn ty(&self) -> ExternType {
        self.ty.clone()
    }
}
