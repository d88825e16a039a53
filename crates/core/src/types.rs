//! WebAssembly's types, independent of any engine.

use std::fmt;

/// What a reference may refer to.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum HeapType {
    /// Any function.
    Func,
    /// Any host value.
    Extern,
}

/// A reference type: what it refers to and whether it may be null.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct RefType {
    nullable: bool,
    heap: HeapType,
}

impl RefType {
    /// `funcref`: a nullable reference to any function.
    pub const FUNCREF: Self = Self { nullable: true, heap: HeapType::Func };
    /// `externref`: a nullable reference to any host value.
    pub const EXTERNREF: Self = Self { nullable: true, heap: HeapType::Extern };

    /// A reference type.
    pub const fn new(nullable: bool, heap: HeapType) -> Self {
        Self { nullable, heap }
    }

    /// Whether null is one of its values.
    pub const fn is_nullable(&self) -> bool {
        self.nullable
    }

    /// What it refers to.
    pub const fn heap_type(&self) -> HeapType {
        self.heap
    }
}

impl fmt::Display for RefType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let heap = match self.heap {
            HeapType::Func => "func",
            HeapType::Extern => "extern",
        };
        if self.nullable { write!(f, "{heap}ref") } else { write!(f, "(ref {heap})") }
    }
}

/// The type of a value.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum ValType {
    /// A 32-bit integer.
    I32,
    /// A 64-bit integer.
    I64,
    /// A 32-bit float.
    F32,
    /// A 64-bit float.
    F64,
    /// A 128-bit vector.
    V128,
    /// A reference.
    Ref(RefType),
}

impl ValType {
    /// `funcref`.
    pub const FUNCREF: Self = Self::Ref(RefType::FUNCREF);
    /// `externref`.
    pub const EXTERNREF: Self = Self::Ref(RefType::EXTERNREF);

    /// Whether this is a reference type.
    pub const fn is_ref(&self) -> bool {
        matches!(self, Self::Ref(_))
    }

    /// Whether values of this type travel in vector registers (floats and vectors).
    pub const fn is_float_or_vector(&self) -> bool {
        matches!(self, Self::F32 | Self::F64 | Self::V128)
    }
}

impl fmt::Display for ValType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::I32 => f.write_str("i32"),
            Self::I64 => f.write_str("i64"),
            Self::F32 => f.write_str("f32"),
            Self::F64 => f.write_str("f64"),
            Self::V128 => f.write_str("v128"),
            Self::Ref(r) => r.fmt(f),
        }
    }
}

/// The type of a function: its parameters, then its results.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct FuncType {
    types: Box<[ValType]>,
    params: u32,
}

impl FuncType {
    /// A function type.
    pub fn new(
        params: impl IntoIterator<Item = ValType>,
        results: impl IntoIterator<Item = ValType>,
    ) -> Self {
        let mut types: Vec<ValType> = params.into_iter().collect();
        let params = types.len() as u32;
        types.extend(results);
        Self { types: types.into(), params }
    }

    /// The parameters, in order.
    pub fn params(&self) -> &[ValType] {
        &self.types[..self.params as usize]
    }

    /// The results, in order.
    pub fn results(&self) -> &[ValType] {
        &self.types[self.params as usize..]
    }
}

impl fmt::Display for FuncType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |f: &mut fmt::Formatter<'_>, types: &[ValType]| {
            f.write_str("(")?;
            for (i, ty) in types.iter().enumerate() {
                write!(f, "{}{ty}", if i == 0 { "" } else { ", " })?;
            }
            f.write_str(")")
        };
        list(f, self.params())?;
        f.write_str(" -> ")?;
        match self.results() {
            [one] => one.fmt(f),
            many => list(f, many),
        }
    }
}

/// Whether a global may be written.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Mutability {
    /// It keeps the value that it was made with.
    Const,
    /// It may be written by guest and host.
    Var,
}

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
}

impl TableType {
    /// A table type with 32-bit indices.
    pub const fn new(element: RefType, minimum: u32, maximum: Option<u32>) -> Self {
        let maximum = match maximum {
            Some(m) => Some(m as u64),
            None => None,
        };
        Self { element, minimum: minimum as u64, maximum }
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
}

impl fmt::Display for TableType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "table {}", self.minimum)?;
        if let Some(max) = self.maximum {
            write!(f, "..{max}")?;
        }
        write!(f, " {}", self.element)
    }
}

/// The type of a memory. Sizes are in pages of 64 KiB.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct MemoryType {
    minimum: u64,
    maximum: Option<u64>,
}

impl MemoryType {
    /// A memory with 32-bit addresses.
    pub const fn new(minimum: u32, maximum: Option<u32>) -> Self {
        let maximum = match maximum {
            Some(m) => Some(m as u64),
            None => None,
        };
        Self { minimum: minimum as u64, maximum }
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
        false
    }

    /// The most pages that this type and its address width allow.
    pub fn page_limit(&self) -> u64 {
        self.maximum.unwrap_or(u64::MAX).min(1 << 16)
    }
}

impl fmt::Display for MemoryType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "memory {}", self.minimum)?;
        if let Some(max) = self.maximum {
            write!(f, "..{max}")?;
        }
        Ok(())
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
}

impl fmt::Display for ExternType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Func(ty) => write!(f, "func {ty}"),
            Self::Global(ty) => ty.fmt(f),
            Self::Table(ty) => ty.fmt(f),
            Self::Memory(ty) => ty.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_print_as_a_person_writes_them() {
        let f = FuncType::new([ValType::I32, ValType::FUNCREF], [ValType::F64]);
        assert_eq!(f.to_string(), "(i32, funcref) -> f64");
        assert_eq!(FuncType::new([], []).to_string(), "() -> ()");
        assert_eq!(MemoryType::new(1, Some(2)).to_string(), "memory 1..2");
        assert_eq!(GlobalType::new(ValType::I64, Mutability::Var).to_string(), "global (mut i64)");
    }
}
