//! The types of imports and exports.

use super::{FuncType, MemoryType, Mutability, RefType, TableTypeError, TagType, ValType};
use crate::{Engine, Result};
use std::fmt;

/// The type of a global.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct GlobalType {
    content: ValType,
    mutability: Mutability,
}

impl GlobalType {
    /// Creates a global type.
    pub const fn new(content: ValType, mutability: Mutability) -> Self {
        Self { content, mutability }
    }

    /// Returns the type of its value.
    pub const fn content(&self) -> &ValType {
        &self.content
    }

    /// Returns whether it may be written.
    pub const fn mutability(&self) -> Mutability {
        self.mutability
    }

    pub(crate) fn to_core(&self, engine: &Engine) -> Result<belljar_core::GlobalType> {
        Ok(belljar_core::GlobalType::new(self.content.to_core(engine)?, self.mutability))
    }

    pub(crate) fn from_core(ty: belljar_core::GlobalType, engine: &Engine) -> Self {
        Self::new(ValType::from_core(ty.content(), engine), ty.mutability())
    }
}

impl fmt::Display for GlobalType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.mutability {
            Mutability::Const => write!(f, "global {}", self.content),
            Mutability::Var => write!(f, "global (mut {})", self.content),
        }
    }
}

/// The type of a table. Sizes are in elements.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct TableType {
    element: RefType,
    minimum: u64,
    maximum: Option<u64>,
    is_64: bool,
}

impl TableType {
    /// Creates a table type with 32-bit indices.
    pub const fn new(element: RefType, minimum: u32, maximum: Option<u32>) -> Self {
        let maximum = match maximum {
            Some(m) => Some(m as u64),
            None => None,
        };
        Self { element, minimum: minimum as u64, maximum, is_64: false }
    }

    /// Creates a table type with 64-bit indices.
    pub const fn new64(element: RefType, minimum: u64, maximum: Option<u64>) -> Self {
        Self { element, minimum, maximum, is_64: true }
    }

    /// Checks that a module could declare this type. The constructors accept any numbers, so every function that
    /// creates a table calls this.
    ///
    /// # Errors
    ///
    /// Returns an error if the minimum exceeds the maximum.
    pub fn check(&self) -> Result<(), TableTypeError> {
        self.with_element(belljar_core::RefType::FUNCREF).check()
    }

    /// Returns the type of its elements.
    pub const fn element(&self) -> &RefType {
        &self.element
    }

    /// Returns the initial size.
    pub const fn minimum(&self) -> u64 {
        self.minimum
    }

    /// Returns the maximum size.
    pub const fn maximum(&self) -> Option<u64> {
        self.maximum
    }

    /// Returns whether indices are 64 bits wide.
    pub const fn is_64(&self) -> bool {
        self.is_64
    }

    fn with_element(&self, element: belljar_core::RefType) -> belljar_core::TableType {
        belljar_core::TableType::of_parts(element, self.minimum, self.maximum, self.is_64)
    }

    pub(crate) fn to_core(&self, engine: &Engine) -> Result<belljar_core::TableType> {
        Ok(self.with_element(self.element.to_core(engine)?))
    }

    pub(crate) fn from_core(ty: belljar_core::TableType, engine: &Engine) -> Self {
        let element = RefType::from_core(ty.element(), engine);
        Self { element, minimum: ty.minimum(), maximum: ty.maximum(), is_64: ty.is_64() }
    }
}

impl fmt::Display for TableType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "table {}{}", if self.is_64 { "i64 " } else { "" }, self.minimum)?;
        if let Some(max) = self.maximum {
            write!(f, "..{max}")?;
        }
        write!(f, " {}", self.element)
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
                #[track_caller]
                pub fn $unwrap(&self) -> &$ty {
                    self.$get().unwrap_or_else(|| panic!("expected a {}, found {self}", stringify!($variant)))
                }
            )*
        }
    };
}

accessors! {
    func unwrap_func Func FuncType;
    global unwrap_global Global GlobalType;
    table unwrap_table Table TableType;
    memory unwrap_memory Memory MemoryType;
    tag unwrap_tag Tag TagType;
}

impl From<FuncType> for ExternType {
    fn from(ty: FuncType) -> Self {
        Self::Func(ty)
    }
}

impl From<GlobalType> for ExternType {
    fn from(ty: GlobalType) -> Self {
        Self::Global(ty)
    }
}

impl From<TableType> for ExternType {
    fn from(ty: TableType) -> Self {
        Self::Table(ty)
    }
}

impl From<MemoryType> for ExternType {
    fn from(ty: MemoryType) -> Self {
        Self::Memory(ty)
    }
}

impl From<TagType> for ExternType {
    fn from(ty: TagType) -> Self {
        Self::Tag(ty)
    }
}

impl ExternType {
    pub(crate) fn from_core(ty: belljar_core::ExternType, engine: &Engine) -> Self {
        match ty {
            belljar_core::ExternType::Func(ty) => Self::Func(FuncType::from_core(&ty, engine)),
            belljar_core::ExternType::Global(ty) => Self::Global(GlobalType::from_core(ty, engine)),
            belljar_core::ExternType::Table(ty) => Self::Table(TableType::from_core(ty, engine)),
            belljar_core::ExternType::Memory(ty) => Self::Memory(ty),
            belljar_core::ExternType::Tag(ty) => {
                Self::Tag(TagType::new(FuncType::from_core(ty.ty(), engine)))
            }
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
