//! WebAssembly's types, independent of any engine.
//!
//! A defined type is referred to by a [`TypeRef`]: by its index while a module is described, by its canonical id
//! once an engine knows it. The stages never mix them: what the runtime gets holds ids only.

mod composite;
mod extern_type;
mod matching;
mod memory_builder;
mod val_type;

pub use composite::{
    ArrayType, CompositeType, FieldType, FuncType, Mutability, StorageType, StructType, SubType,
};
pub use extern_type::{ExternType, GlobalType, MemoryType, TableType, TableTypeError, TagType};
pub use matching::DefinedTypes;
pub use memory_builder::{MemoryTypeBuilder, MemoryTypeError};
pub use val_type::{EngineType, HeapType, RefType, TypeRef, ValType};
