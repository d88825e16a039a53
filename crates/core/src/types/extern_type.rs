//! Types of what modules import and export.

use super::composite::{FuncType, Mutability};
use super::val_type::{RefType, TypeRef, ValType};
use std::fmt;

/// The type of a global.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct GlobalType {
    content: ValType,
    mutability: Mutability,
}

impl GlobalType {
    /// A global type.
    pub const fn new(content: ValType, mutability: Mutability) -> Self {
        Self { content, mutability }
    }

    /// The type of its value.
    pub const fn content(&self) -> ValType {
        self.content
    }

    /// Whether it may be written.
    pub const fn mutability(&self) -> Mutability {
        self.mutability
    }

    /// The same type with every reference to a defined type replaced.
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
    /// A table type with 32-bit indices.
    pub const fn new(element: RefType, minimum: u32, maximum: Option<u32>) -> Self {
        let maximum = match maximum {
            Some(m) => Some(m as u64),
            None => None,
        };
        Self { element, minimum: minimum as u64, maximum, is_64: false }
    }

    /// A table type with 64-bit indices.
    pub const fn new64(element: RefType, minimum: u64, maximum: Option<u64>) -> Self {
        Self { element, minimum, maximum, is_64: true }
    }

    /// Refuses a type that no module could declare: its constructors take any numbers, and whatever makes a table asks this.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn check(&self) -> Result<(), TableTypeError> {
        match self.maximum {
            Some(maximum) if self.minimum > maximum => Err(TableTypeError { minimum: self.minimum, maximum }),
            _ => Ok(()),
        }
    }

    /// The type of its elements.
    pub const fn element(&self) -> RefType {
        self.element
    }

    /// The size that it starts with.
    pub const fn minimum(&self) -> u64 {
        self.minimum
    }

    /// The size that it may grow to.
    pub const fn maximum(&self) -> Option<u64> {
        self.maximum
    }

    /// Whether indices are 64 bits wide.
    pub const fn is_64(&self) -> bool {
        self.is_64
    }

    /// The same type with every reference to a defined type replaced.
    #[must_use]
    pub fn map(self, f: &mut impl FnMut(TypeRef) -> TypeRef) -> Self {
        Self { element: self.element.map(f), ..self }
    }
}

/// Why there is no such table type: its minimum exceeds its maximum.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TableTypeError {
    minimum: u64,
    maximum: u64,
}

impl fmt::Display for TableTypeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the minimum of {} elements exceeds the maximum of {}", self.minimum, self.maximum)
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

/// The type of a memory. Sizes are in its own pages, of 64 KiB unless said otherwise.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct MemoryType {
    pub(super) minimum: u64,
    pub(super) maximum: Option<u64>,
    pub(super) is_64: bool,
    pub(super) is_shared: bool,
    pub(super) page_size_log2: u8,
}

impl MemoryType {
    /// A memory with 32-bit addresses.
    pub const fn new(minimum: u32, maximum: Option<u32>) -> Self {
        let maximum = match maximum {
            Some(m) => Some(m as u64),
            None => None,
        };
        Self { minimum: minimum as u64, maximum, is_64: false, is_shared: false, page_size_log2: 16 }
    }

    /// A memory with 32-bit addresses. Small pages can be more than 32 bits count.
    pub const fn new32(minimum: u64, maximum: Option<u64>) -> Self {
        Self { minimum, maximum, is_64: false, is_shared: false, page_size_log2: 16 }
    }

    /// A memory with 64-bit addresses.
    pub const fn new64(minimum: u64, maximum: Option<u64>) -> Self {
        Self { minimum, maximum, is_64: true, is_shared: false, page_size_log2: 16 }
    }

    /// A memory with 32-bit addresses that several threads may use at once.
    pub const fn shared(minimum: u32, maximum: u32) -> Self {
        Self { is_shared: true, ..Self::new(minimum, Some(maximum)) }
    }

    /// The same memory, shared between threads or not.
    #[must_use]
    pub const fn with_shared(self, is_shared: bool) -> Self {
        Self { is_shared, ..self }
    }

    /// The same memory with pages of 2 to this power bytes: 0 or 16.
    #[must_use]
    pub const fn with_page_size_log2(self, page_size_log2: u8) -> Self {
        Self { page_size_log2, ..self }
    }

    /// The size that it starts with, in pages.
    pub const fn minimum(&self) -> u64 {
        self.minimum
    }

    /// The size that it may grow to, in pages.
    pub const fn maximum(&self) -> Option<u64> {
        self.maximum
    }

    /// Whether addresses are 64 bits wide.
    pub const fn is_64(&self) -> bool {
        self.is_64
    }

    /// Whether several threads may use it at once.
    pub const fn is_shared(&self) -> bool {
        self.is_shared
    }

    /// Bytes of a page: 65536, or 1. Of another power of two, which no memory can have, whatever.
    pub const fn page_size(&self) -> u64 {
        1_u64.wrapping_shl(self.page_size_log2 as u32)
    }

    /// The power of two that the page size is.
    pub const fn page_size_log2(&self) -> u8 {
        self.page_size_log2
    }

    /// The most pages that this type and its address width allow. An address can hold the number.
    pub fn page_limit(&self) -> u64 {
        let addresses: u128 = 1 << if self.is_64 { 64 } else { 32 };
        let pages = addresses.checked_shr(self.page_size_log2.into()).unwrap_or(0).min(addresses - 1);
        self.maximum.unwrap_or(u64::MAX).min(pages as u64)
    }

    /// The bytes that it starts with; `None` where they do not fit 64 bits.
    pub const fn minimum_bytes(&self) -> Option<u64> {
        self.bytes(self.minimum)
    }

    /// The bytes of so many of its pages; `None` where that does not fit 64 bits.
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

/// The type of a tag: that of a function which takes an exception's payload and returns nothing.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct TagType {
    ty: FuncType,
}

impl TagType {
    /// A tag for exceptions with this payload.
    pub const fn new(ty: FuncType) -> Self {
        Self { ty }
    }

    /// The function type, whose parameters are the payload.
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
    /// The same type with every reference to a defined type replaced.
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
