//! Values of scripts, as the engine takes and gives them.

use anyhow::{Result, bail};
use belljar::{ExternRef, Store, V128, Val};
use wast::WastArg;
use wast::core::{AbstractHeapType, HeapType, WastArgCore};

/// What a script's `ref.extern N` holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct HostValue(pub(super) u32);

/// An argument as the engine takes it.
pub(super) fn argument(store: &mut Store<()>, arg: &WastArg<'_>) -> Result<Val> {
    let WastArg::Core(arg) = arg else { bail!("arguments of components are not supported") };
    Ok(match arg {
        WastArgCore::I32(v) => Val::I32(*v),
        WastArgCore::I64(v) => Val::I64(*v),
        WastArgCore::F32(v) => Val::F32(v.bits),
        WastArgCore::F64(v) => Val::F64(v.bits),
        WastArgCore::V128(v) => Val::V128(V128::from(u128::from_le_bytes(v.to_le_bytes()))),
        WastArgCore::RefNull(ty) => match heap(ty) {
            Some(Heap::Func) => Val::FuncRef(None),
            Some(Heap::Extern) => Val::ExternRef(None),
            None => bail!("a null of type {ty:?} is not supported"),
        },
        WastArgCore::RefExtern(n) => Val::ExternRef(Some(ExternRef::new(store, HostValue(*n))?)),
        WastArgCore::RefHost(_) => bail!("`ref.host` is not supported"),
    })
}

/// The hierarchy that a heap type belongs to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Heap {
    /// Functions.
    Func,
    /// Values of the host.
    Extern,
}

pub(super) fn heap(ty: &HeapType<'_>) -> Option<Heap> {
    match ty {
        HeapType::Abstract { ty: AbstractHeapType::Func | AbstractHeapType::NoFunc, .. } => Some(Heap::Func),
        HeapType::Abstract { ty: AbstractHeapType::Extern | AbstractHeapType::NoExtern, .. } => {
            Some(Heap::Extern)
        }
        _ => None,
    }
}

/// A value as a script would write it; NaNs and vectors by their bits.
pub(super) fn show(store: &Store<()>, value: &Val) -> String {
    match value {
        Val::I32(v) => format!("(i32.const {v})"),
        Val::I64(v) => format!("(i64.const {v})"),
        Val::F32(v) => format!("(f32.const {:?} ;; {v:#010x})", f32::from_bits(*v)),
        Val::F64(v) => format!("(f64.const {:?} ;; {v:#018x})", f64::from_bits(*v)),
        Val::V128(v) => format!("(v128 {:#034x})", v.as_u128()),
        Val::FuncRef(None) => "(ref.null func)".into(),
        Val::FuncRef(Some(_)) => "(ref.func)".into(),
        Val::ExternRef(None) => "(ref.null extern)".into(),
        Val::ExternRef(Some(r)) => match r.data(store).downcast_ref::<HostValue>() {
            Some(HostValue(n)) => format!("(ref.extern {n})"),
            None => "(ref.extern)".into(),
        },
        other => format!("{other:?}"),
    }
}
