//! Expected results of scripts: patterns that a value matches or not.

use super::value::{Heap, HostValue, heap, host_value};
use belljar::{ExternRef, Store, V128, Val};
use wast::WastRet;
use wast::core::{NanPattern, V128Pattern, WastRetCore};
use wast::token::{F32, F64};

/// Returns whether a result matches the script's expectation.
pub(super) fn matches(store: &mut Store<()>, expected: &WastRet<'_>, found: &Val) -> bool {
    match expected {
        WastRet::Core(expected) => matches_core(store, expected, found),
        _ => false,
    }
}

fn matches_core(store: &mut Store<()>, expected: &WastRetCore<'_>, found: &Val) -> bool {
    match (expected, found) {
        (WastRetCore::I32(e), Val::I32(v)) => e == v,
        (WastRetCore::I64(e), Val::I64(v)) => e == v,
        (WastRetCore::F32(e), Val::F32(v)) => f32_matches(e, *v),
        (WastRetCore::F64(e), Val::F64(v)) => f64_matches(e, *v),
        (WastRetCore::V128(e), Val::V128(v)) => v128_matches(e, *v),
        (WastRetCore::RefNull(ty), found) => is_null_of(ty.as_ref().and_then(heap), ty.is_none(), found),
        (WastRetCore::RefExtern(None), Val::ExternRef(Some(_))) => true,
        (WastRetCore::RefExtern(Some(n)), Val::ExternRef(Some(r))) => {
            host_value(store, *r) == Some(HostValue(*n))
        }
        (WastRetCore::RefHost(n), Val::AnyRef(Some(any))) => {
            let value = ExternRef::convert_any(&mut *store, *any);
            value.is_ok_and(|value| host_value(store, value) == Some(HostValue(*n)))
        }
        (WastRetCore::RefAny, Val::AnyRef(Some(_))) => true,
        (WastRetCore::RefEq, Val::AnyRef(Some(any))) => any.is_eqref(&*store).unwrap_or(false),
        (WastRetCore::RefI31, Val::AnyRef(Some(any))) => any.is_i31(&*store).unwrap_or(false),
        (WastRetCore::RefStruct, Val::AnyRef(Some(any))) => any.is_struct(&*store).unwrap_or(false),
        (WastRetCore::RefArray, Val::AnyRef(Some(any))) => any.is_array(&*store).unwrap_or(false),
        (WastRetCore::RefFunc(_), Val::FuncRef(Some(_))) => true,
        (WastRetCore::Either(cases), found) => cases.iter().any(|e| matches_core(store, e, found)),
        _ => false,
    }
}

/// Returns whether a value is a null of a hierarchy, or of any with `any_hierarchy`.
fn is_null_of(wanted: Option<Heap>, any_hierarchy: bool, found: &Val) -> bool {
    let found = match found {
        Val::FuncRef(None) => Heap::Func,
        Val::ExternRef(None) => Heap::Extern,
        Val::AnyRef(None) => Heap::Any,
        Val::ExnRef(None) => Heap::Exn,
        _ => return false,
    };
    any_hierarchy || wanted == Some(found)
}

/// Formats a pattern as in a script, with numbers formatted like values.
pub(super) fn show(expected: &WastRet<'_>) -> String {
    match expected {
        WastRet::Core(expected) => show_core(expected),
        other => format!("{other:?}"),
    }
}

fn show_core(expected: &WastRetCore<'_>) -> String {
    match expected {
        WastRetCore::I32(v) => format!("(i32.const {v})"),
        WastRetCore::I64(v) => format!("(i64.const {v})"),
        WastRetCore::F32(v) => format!("(f32.const {})", show_f32(v)),
        WastRetCore::F64(v) => format!("(f64.const {})", show_f64(v)),
        WastRetCore::V128(v) => format!("(v128.const {})", show_v128(v)),
        WastRetCore::RefNull(_) => "(ref.null)".into(),
        WastRetCore::RefExtern(Some(n)) => format!("(ref.extern {n})"),
        WastRetCore::RefExtern(None) => "(ref.extern)".into(),
        WastRetCore::RefFunc(_) => "(ref.func)".into(),
        WastRetCore::Either(cases) => {
            format!("(either {})", cases.iter().map(show_core).collect::<Vec<_>>().join(" "))
        }
        other => format!("{other:?}"),
    }
}

fn show_f32(pattern: &NanPattern<F32>) -> String {
    match pattern {
        NanPattern::CanonicalNan => "nan:canonical".into(),
        NanPattern::ArithmeticNan => "nan:arithmetic".into(),
        NanPattern::Value(v) => format!("{:?} ;; {:#010x}", f32::from_bits(v.bits), v.bits),
    }
}

fn show_f64(pattern: &NanPattern<F64>) -> String {
    match pattern {
        NanPattern::CanonicalNan => "nan:canonical".into(),
        NanPattern::ArithmeticNan => "nan:arithmetic".into(),
        NanPattern::Value(v) => format!("{:?} ;; {:#018x}", f64::from_bits(v.bits), v.bits),
    }
}

fn show_v128(pattern: &V128Pattern) -> String {
    let join = |lanes: Vec<String>| lanes.join(" ");
    match pattern {
        V128Pattern::I8x16(e) => format!("i8x16 {}", join(e.iter().map(|v| format!("{v:#04x}")).collect())),
        V128Pattern::I16x8(e) => format!("i16x8 {}", join(e.iter().map(|v| format!("{v:#06x}")).collect())),
        V128Pattern::I32x4(e) => format!("i32x4 {}", join(e.iter().map(|v| format!("{v:#010x}")).collect())),
        V128Pattern::I64x2(e) => format!("i64x2 {}", join(e.iter().map(|v| format!("{v:#018x}")).collect())),
        V128Pattern::F32x4(e) => format!("f32x4 {}", join(e.iter().map(show_f32).collect())),
        V128Pattern::F64x2(e) => format!("f64x2 {}", join(e.iter().map(show_f64).collect())),
    }
}

/// A NaN is canonical if its payload is the top bit alone, arithmetic if the top bit is set; the sign does not matter.
fn f32_matches(expected: &NanPattern<F32>, found: u32) -> bool {
    match expected {
        NanPattern::CanonicalNan => found & 0x7fff_ffff == 0x7fc0_0000,
        NanPattern::ArithmeticNan => found & 0x7fc0_0000 == 0x7fc0_0000,
        NanPattern::Value(v) => v.bits == found,
    }
}

fn f64_matches(expected: &NanPattern<F64>, found: u64) -> bool {
    match expected {
        NanPattern::CanonicalNan => found & 0x7fff_ffff_ffff_ffff == 0x7ff8_0000_0000_0000,
        NanPattern::ArithmeticNan => found & 0x7ff8_0000_0000_0000 == 0x7ff8_0000_0000_0000,
        NanPattern::Value(v) => v.bits == found,
    }
}

fn v128_matches(expected: &V128Pattern, found: V128) -> bool {
    let bits = found.as_u128();
    let lane = |i: usize, width: usize| (bits >> (i * width)) as u64 & (u64::MAX >> (64 - width));
    match expected {
        V128Pattern::I8x16(e) => e.iter().enumerate().all(|(i, e)| lane(i, 8) as i8 == *e),
        V128Pattern::I16x8(e) => e.iter().enumerate().all(|(i, e)| lane(i, 16) as i16 == *e),
        V128Pattern::I32x4(e) => e.iter().enumerate().all(|(i, e)| lane(i, 32) as i32 == *e),
        V128Pattern::I64x2(e) => e.iter().enumerate().all(|(i, e)| lane(i, 64) as i64 == *e),
        V128Pattern::F32x4(e) => e.iter().enumerate().all(|(i, e)| f32_matches(e, lane(i, 32) as u32)),
        V128Pattern::F64x2(e) => e.iter().enumerate().all(|(i, e)| f64_matches(e, lane(i, 64))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nan_patterns_look_at_payloads() {
        assert!(f32_matches(&NanPattern::CanonicalNan, 0xffc0_0000));
        assert!(!f32_matches(&NanPattern::CanonicalNan, 0x7fc0_0001));
        assert!(f32_matches(&NanPattern::ArithmeticNan, 0x7fc0_0001));
        assert!(!f32_matches(&NanPattern::ArithmeticNan, 0x7fa0_0000));
        assert!(!f64_matches(&NanPattern::ArithmeticNan, f64::INFINITY.to_bits()));
    }

    #[test]
    fn lanes_count_from_the_lowest_bits() {
        let v = V128::from(0x0000_0002_0000_0001_u128);
        assert!(v128_matches(&V128Pattern::I32x4([1, 2, 0, 0]), v));
        assert!(!v128_matches(&V128Pattern::I64x2([1, 0]), v));
    }
}
