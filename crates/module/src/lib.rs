//! Turns the bytes of a wasm binary into a validated, described [`Module`].
//!
//! In: bytes and the enabled features. Out: a description that owns its bytes, from which later stages slice function
//! bodies and segments. Never: I/O, `unsafe`, or a decision about how code is compiled.

mod binary;
mod branch_hints;
mod const_expr;
mod describe;
mod error;
mod facts;
mod image_builder;
mod import_export;
mod item_at;
mod memory_images;
mod memory_op;
mod metadata;
mod module;
mod names;
mod rows;
mod segments;
mod validate;
mod wasm_types;

pub use binary::Binary;
pub use branch_hints::BranchHints;
pub use const_expr::{Arithmetic, ConstExpr, ConstOp};
pub use error::ModuleError;
pub use facts::{FuncFacts, TableUse};
pub use import_export::{EntityIndex, Export, Import};
pub use item_at::{Item, item_at};
pub use memory_images::{ImagePiece, MemoryImages};
pub use memory_op::MemoryOp;
pub use metadata::ModuleMetadata;
pub use module::Module;
pub use names::Names;
pub use segments::{ActiveData, ElemFuncs, ElemItems, ElemSegment, SegmentMode};
pub use validate::{CheckError, StopCheck, check, validate, validate_until_stopped};
pub use wasm_types::{heap_type, ref_type, val_type};
pub use wasmparser::{FunctionBody, WasmFeatures};

/// A digest of this crate's sources, which tells builds apart.
pub const FINGERPRINT: [u8; 32] = include!(concat!(env!("OUT_DIR"), "/sources.rs"));
