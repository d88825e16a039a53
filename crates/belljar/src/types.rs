//! Types as embedders see them. A concrete type is a handle that belongs to an engine, so that another engine refuses it.
//!
//! In: types that the embedder writes, for `to_core`, which checks their engine; types of the runtime, for `from_core`.
//! Out: types whose references are ids of the engine. Never: an id that the engine does not keep.

mod extern_type;
mod func_type;
mod heap_type;
mod object_types;
mod registered;
mod val_type;

pub use belljar_core::{MemoryType, MemoryTypeBuilder, MemoryTypeError, Mutability, TableTypeError};
pub use extern_type::{ExportType, ExternType, GlobalType, ImportType, TableType};
pub use func_type::{ExnType, FuncType, TagType};
pub use heap_type::HeapType;
pub use object_types::{ArrayType, FieldType, StorageType, StructType};
pub use registered::Finality;
pub use val_type::{RefType, ValType};
