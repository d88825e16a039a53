//! Types of imports and exports.

use super::composite::{FuncType, Mutability};
use super::val_type::{RefType, TypeRef, ValType};
use crate::Counted;
use std::fmt;

/// The type of a global.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
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
    pub const fn content(&self) -> ValType {
        self.content
    }

    /// Returns whether it may be written.
    pub const fn mutability(&self) -> Mutability {
        self.mutability
    }

    /// Returns the same type with every reference to a defined type replaced.
    #[must_use]
    pub fn map(self, f: &mut impl FnMut(TypeRef) -> TypeRef) -> Self {
        Self { content: self.content.map(f), ..self }
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
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
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

    /// Creates a table type from its parts.
    pub const fn of_parts(element: RefType, minimum: u64, maximum: Option<u64>, is_64: bool) -> Self {
        Self { element, minimum, maximum, is_64 }
    }

    /// Checks that a module could declare this type. The constructors accept any numbers, so every function that
    /// creates a table calls this.
    ///
    /// # Errors
    ///
    /// Returns an error if the minimum exceeds the maximum.
    pub fn check(&self) -> Result<(), TableTypeError> {
        match self.maximum {
            Some(maximum) if self.minimum > maximum => Err(TableTypeError { minimum: self.minimum, maximum }),
            _ => Ok(()),
        }
    }

    /// Returns the type of its elements.
    pub const fn element(&self) -> RefType {
        self.element
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

    /// Returns the same type with every reference to a defined type replaced.
    #[must_use]
    pub fn map(self, f: &mut impl FnMut(TypeRef) -> TypeRef) -> Self {
        Self { element: self.element.map(f), ..self }
    }
}

/// The error for a table type whose minimum exceeds its maximum.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TableTypeError {
    minimum: u64,
    maximum: u64,
}

impl fmt::Display for TableTypeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let minimum = Counted(self.minimum, "element");
        write!(f, "the minimum of {minimum} exceeds the maximum of {}", self.maximum)
    }
}

impl std::error::Error for TableTypeError {}

impl fmt::Display for TableType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "table {}{}", if self.is_64 { "i64 " } else { "" }, self.minimum)?;
        if let Some(max) = self.maximum {
            write!(f, "..{max}")?;
        }
        write!(f, " {}", self.element)
    }
}

/// The type of a memory. Sizes are in its own pages, which have 64 KiB by default.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct MemoryType {
    pub(super) minimum: u64,
    pub(super) maximum: Option<u64>,
    pub(super) is_64: bool,
    pub(super) is_shared: bool,
    pub(super) page_size_log2: u8,
}

impl MemoryType {
    /// Creates the type of a memory with 32-bit addresses.
    pub const fn new(minimum: u32, maximum: Option<u32>) -> Self {
        let maximum = match maximum {
            Some(m) => Some(m as u64),
            None => None,
        };
        Self { minimum: minimum as u64, maximum, is_64: false, is_shared: false, page_size_log2: 16 }
    }

    /// Creates the type of a memory with 32-bit addresses. The number of 1-byte pages can exceed 32 bits.
    pub const fn new32(minimum: u64, maximum: Option<u64>) -> Self {
        Self { minimum, maximum, is_64: false, is_shared: false, page_size_log2: 16 }
    }

    /// Creates the type of a memory with 64-bit addresses.
    pub const fn new64(minimum: u64, maximum: Option<u64>) -> Self {
        Self { minimum, maximum, is_64: true, is_shared: false, page_size_log2: 16 }
    }

    /// Creates the type of a memory with 32-bit addresses that is shared between threads.
    pub const fn shared(minimum: u32, maximum: u32) -> Self {
        Self { is_shared: true, ..Self::new(minimum, Some(maximum)) }
    }

    /// Returns the same memory, shared between threads or not.
    #[must_use]
    pub const fn with_shared(self, is_shared: bool) -> Self {
        Self { is_shared, ..self }
    }

    /// Returns the same memory with pages of 2 to this power bytes: 0 or 16.
    #[must_use]
    pub const fn with_page_size_log2(self, page_size_log2: u8) -> Self {
        Self { page_size_log2, ..self }
    }

    /// Returns the initial size in pages.
    pub const fn minimum(&self) -> u64 {
        self.minimum
    }

    /// Returns the maximum size in pages.
    pub const fn maximum(&self) -> Option<u64> {
        self.maximum
    }

    /// Returns whether addresses are 64 bits wide.
    pub const fn is_64(&self) -> bool {
        self.is_64
    }

    /// Returns whether the memory is shared between threads.
    pub const fn is_shared(&self) -> bool {
        self.is_shared
    }

    /// Returns the size of a page in bytes: 65536 or 1. The result is arbitrary for any other power of two, which no
    /// memory can have.
    pub const fn page_size(&self) -> u64 {
        1_u64.wrapping_shl(self.page_size_log2 as u32)
    }

    /// Returns the base-2 logarithm of the page size.
    pub const fn page_size_log2(&self) -> u8 {
        self.page_size_log2
    }

    /// Returns the largest number of pages that this type and its address width allow. The number fits an address.
    pub fn page_limit(&self) -> u64 {
        let addresses: u128 = 1 << if self.is_64 { 64 } else { 32 };
        let pages = addresses.checked_shr(self.page_size_log2.into()).unwrap_or(0).min(addresses - 1);
        self.maximum.unwrap_or(u64::MAX).min(pages as u64)
    }

    /// Returns the initial size in bytes, or `None` if it does not fit 64 bits.
    pub const fn minimum_bytes(&self) -> Option<u64> {
        self.bytes(self.minimum)
    }

    /// Returns the size of that many of its pages in bytes, or `None` if it does not fit 64 bits.
    pub const fn bytes(&self, pages: u64) -> Option<u64> {
        pages.checked_mul(self.page_size())
    }
}

impl fmt::Display for MemoryType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "memory {}{}", if self.is_64 { "i64 " } else { "" }, self.minimum)?;
        if let Some(max) = self.maximum {
            write!(f, "..{max}")?;
        }
        if self.page_size_log2 != 16 {
            write!(f, " pages of {} byte", self.page_size())?;
        }
        f.write_str(if self.is_shared { " shared" } else { "" })
    }
}

/// The type of a tag: a function type whose parameters are an exception's payload, without results.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct TagType {
    ty: FuncType,
}

impl TagType {
    /// Creates the type of a tag for exceptions with this payload.
    pub const fn new(ty: FuncType) -> Self {
        Self { ty }
    }

    /// Returns the function type, whose parameters are the payload.
    pub const fn ty(&self) -> &FuncType {
        &self.ty
    }
}

impl fmt::Display for TagType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tag {}", self.ty)
    }
}

/// The type of anything that a module imports or exports.
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

impl ExternType {
    /// Returns the same type with every reference to a defined type replaced.
    #[must_use]
    pub fn map(&self, f: &mut impl FnMut(TypeRef) -> TypeRef) -> Self {
        match self {
            Self::Func(ty) => Self::Func(ty.map(f)),
            Self::Global(ty) => Self::Global(ty.map(f)),
            Self::Table(ty) => Self::Table(ty.map(f)),
            Self::Memory(ty) => Self::Memory(*ty),
            Self::Tag(ty) => Self::Tag(TagType::new(ty.ty.map(f))),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_print_as_a_person_writes_them() {
        assert_eq!(MemoryType::new(1, Some(2)).to_string(), "memory 1..2");
        assert_eq!(GlobalType::new(ValType::I64, Mutability::Var).to_string(), "global (mut i64)");
        assert_eq!(
            MemoryType::new64(1, None).with_page_size_log2(0).to_string(),
            "memory i64 1 pages of 1 byte"
        );
        assert_eq!(MemoryType::shared(1, 2).to_string(), "memory 1..2 shared");
    }
}
