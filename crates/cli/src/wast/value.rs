//! Conversion of values between scripts and the engine.

use belljar::{AnyRef, ExternRef, Result, Rooted, Store, V128, Val, bail};
use wast::WastArg;
use wast::core::{AbstractHeapType, HeapType, WastArgCore};

/// The host value of a script's `ref.extern N`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct HostValue(pub(super) u32);

/// Converts an argument for the engine.
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
            Some(Heap::Any) => Val::AnyRef(None),
            Some(Heap::Exn) => Val::ExnRef(None),
            None => bail!("a null of type {ty:?} is not supported"),
        },
        WastArgCore::RefExtern(n) => Val::ExternRef(Some(ExternRef::new(store, HostValue(*n))?)),
        WastArgCore::RefHost(n) => {
            let value = ExternRef::new(&mut *store, HostValue(*n))?;
            Val::AnyRef(Some(AnyRef::convert_extern(store, value)?))
        }
    })
}

/// The type hierarchy of a heap type.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Heap {
    /// Functions.
    Func,
    /// Host values.
    Extern,
    /// Objects of guests.
    Any,
    /// Exceptions.
    Exn,
}

pub(super) fn heap(ty: &HeapType<'_>) -> Option<Heap> {
    use AbstractHeapType as Abstract;
    let HeapType::Abstract { ty, .. } = ty else { return None };
    Some(match ty {
        Abstract::Func | Abstract::NoFunc => Heap::Func,
        Abstract::Extern | Abstract::NoExtern => Heap::Extern,
        Abstract::Exn | Abstract::NoExn => Heap::Exn,
        Abstract::Any
        | Abstract::Eq
        | Abstract::I31
        | Abstract::Struct
        | Abstract::Array
        | Abstract::None => Heap::Any,
        _ => return None,
    })
}

/// Returns the number in a host value that a script made.
pub(super) fn host_value(store: &Store<()>, value: Rooted<ExternRef>) -> Option<HostValue> {
    value.data(store).ok()??.downcast_ref().copied()
}

/// Formats a value as in a script, NaNs and vectors by their bits.
pub(super) fn show(store: &mut Store<()>, value: &Val) -> String {
    match value {
        Val::I32(v) => format!("(i32.const {v})"),
        Val::I64(v) => format!("(i64.const {v})"),
        Val::F32(v) => format!("(f32.const {:?} ;; {v:#010x})", f32::from_bits(*v)),
        Val::F64(v) => format!("(f64.const {:?} ;; {v:#018x})", f64::from_bits(*v)),
        Val::V128(v) => format!("(v128 {:#034x})", v.as_u128()),
        Val::FuncRef(None) => "(ref.null func)".into(),
        Val::FuncRef(Some(_)) => "(ref.func)".into(),
        Val::ExternRef(None) => "(ref.null extern)".into(),
        Val::ExternRef(Some(r)) => match host_value(store, *r) {
            Some(HostValue(n)) => format!("(ref.extern {n})"),
            None => "(ref.extern)".into(),
        },
        Val::AnyRef(None) => "(ref.null any)".into(),
        Val::AnyRef(Some(any)) => match any.ty(&*store) {
            Ok(ty) => format!("(ref {ty})"),
            Err(error) => format!("{error:#}"),
        },
        Val::ExnRef(None) => "(ref.null exn)".into(),
        other => format!("{other:?}"),
    }
}
