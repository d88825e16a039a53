//! WebAssembly's types, independent of any engine.
//!
//! A [`TypeRef`] refers to a defined type: by index while a module is described, by canonical id once an engine has
//! registered it. The stages never mix them: the runtime receives ids only.

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
pub use val_type::{HeapType, RefType, TypeRef, ValType};
