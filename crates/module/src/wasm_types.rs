//! Conversion of the parser's types to ours. References to defined types are indices in the module.

use crate::error::ModuleError;
use belljar_core::{
    ArrayType, CompositeType, FieldType, FuncType, GlobalType, HeapType, MemoryType, Mutability, RefType,
    StorageType, StructType, SubType, TableType, TypeIndex, TypeRef, ValType,
};
use wasmparser::{AbstractHeapType, CompositeInnerType, UnpackedIndex};

fn unsupported(what: &str) -> ModuleError {
    ModuleError::Invalid { message: format!("{what} are not supported"), offset: 0, place: None }
}

fn type_ref(index: UnpackedIndex) -> Result<TypeRef, ModuleError> {
    match index {
        UnpackedIndex::Module(i) => Ok(TypeRef::Index(TypeIndex(i))),
        _ => Err(unsupported("type indices of a validator")),
    }
}

/// Converts a heap type.
///
/// # Errors
///
/// Returns an error if the type belongs to a proposal that belljar does not support.
pub fn heap_type(ty: wasmparser::HeapType) -> Result<HeapType, ModuleError> {
    Ok(match ty {
        wasmparser::HeapType::Concrete(index) => HeapType::Defined(type_ref(index)?),
        wasmparser::HeapType::Exact(_) => return Err(unsupported("exact types")),
        wasmparser::HeapType::Abstract { shared: true, .. } => return Err(unsupported("shared types")),
        wasmparser::HeapType::Abstract { ty, .. } => match ty {
            AbstractHeapType::Any => HeapType::Any,
            AbstractHeapType::Eq => HeapType::Eq,
            AbstractHeapType::I31 => HeapType::I31,
            AbstractHeapType::Struct => HeapType::Struct,
            AbstractHeapType::Array => HeapType::Array,
            AbstractHeapType::None => HeapType::None,
            AbstractHeapType::Func => HeapType::Func,
            AbstractHeapType::NoFunc => HeapType::NoFunc,
            AbstractHeapType::Extern => HeapType::Extern,
            AbstractHeapType::NoExtern => HeapType::NoExtern,
            AbstractHeapType::Exn => HeapType::Exn,
            AbstractHeapType::NoExn => HeapType::NoExn,
            AbstractHeapType::Cont | AbstractHeapType::NoCont => return Err(unsupported("continuations")),
        },
    })
}

/// Converts a reference type.
///
/// # Errors
///
/// Returns the errors of [`heap_type`].
pub fn ref_type(ty: wasmparser::RefType) -> Result<RefType, ModuleError> {
    Ok(RefType::new(ty.is_nullable(), heap_type(ty.heap_type())?))
}

/// Converts a value type.
///
/// # Errors
///
/// Returns the errors of [`heap_type`].
pub fn val_type(ty: wasmparser::ValType) -> Result<ValType, ModuleError> {
    Ok(match ty {
        wasmparser::ValType::I32 => ValType::I32,
        wasmparser::ValType::I64 => ValType::I64,
        wasmparser::ValType::F32 => ValType::F32,
        wasmparser::ValType::F64 => ValType::F64,
        wasmparser::ValType::V128 => ValType::V128,
        wasmparser::ValType::Ref(r) => ValType::Ref(ref_type(r)?),
    })
}

fn func_type(ty: &wasmparser::FuncType) -> Result<FuncType, ModuleError> {
    let list = |types: &[wasmparser::ValType]| {
        types.iter().map(|t| val_type(*t)).collect::<Result<Vec<_>, ModuleError>>()
    };
    Ok(FuncType::new(list(ty.params())?, list(ty.results())?))
}

const fn mutability(mutable: bool) -> Mutability {
    if mutable { Mutability::Var } else { Mutability::Const }
}

fn field_type(ty: &wasmparser::FieldType) -> Result<FieldType, ModuleError> {
    let storage = match ty.element_type {
        wasmparser::StorageType::I8 => StorageType::I8,
        wasmparser::StorageType::I16 => StorageType::I16,
        wasmparser::StorageType::Val(ty) => StorageType::Val(val_type(ty)?),
    };
    Ok(FieldType::new(mutability(ty.mutable), storage))
}

pub(crate) fn sub_type(ty: &wasmparser::SubType) -> Result<SubType, ModuleError> {
    if ty.composite_type.shared {
        return Err(unsupported("shared types"));
    }
    let composite = match &ty.composite_type.inner {
        CompositeInnerType::Func(ty) => CompositeType::Func(func_type(ty)?),
        CompositeInnerType::Struct(ty) => CompositeType::Struct(StructType::new(
            ty.fields.iter().map(field_type).collect::<Result<Vec<_>, _>>()?,
        )),
        CompositeInnerType::Array(ty) => CompositeType::Array(ArrayType::new(field_type(&ty.0)?)),
        CompositeInnerType::Cont(_) => return Err(unsupported("continuations")),
    };
    let supertype = ty.supertype_idxs.first().map(|i| type_ref(i.unpack())).transpose()?;
    Ok(SubType { is_final: ty.is_final, supertype, composite })
}

pub(crate) fn table_type(ty: &wasmparser::TableType) -> Result<TableType, ModuleError> {
    let element = ref_type(ty.element_type)?;
    if ty.shared {
        return Err(unsupported("shared tables"));
    }
    Ok(match ty.table64 {
        true => TableType::new64(element, ty.initial, ty.maximum),
        // Validation has checked both against 32 bits.
        false => TableType::new(element, ty.initial as u32, ty.maximum.map(|m| m as u32)),
    })
}

pub(crate) fn memory_type(ty: &wasmparser::MemoryType) -> MemoryType {
    let plain = match ty.memory64 {
        true => MemoryType::new64(ty.initial, ty.maximum),
        false => MemoryType::new32(ty.initial, ty.maximum),
    };
    plain.with_shared(ty.shared).with_page_size_log2(ty.page_size_log2.unwrap_or(16) as u8)
}

pub(crate) fn global_type(ty: &wasmparser::GlobalType) -> Result<GlobalType, ModuleError> {
    if ty.shared {
        return Err(unsupported("shared globals"));
    }
    Ok(GlobalType::new(val_type(ty.content_type)?, mutability(ty.mutable)))
}
