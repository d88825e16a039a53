//! Results of scripts: patterns that a value matches or does not.

use super::value::{Heap, HostValue, heap};
use belljar::{Store, V128, Val};
use wast::WastRet;
use wast::core::{NanPattern, V128Pattern, WastRetCore};
use wast::token::{F32, F64};

/// Whether a result is what the script expects.
pub(super) fn matches(store: &Store<()>, expected: &WastRet<'_>, found: &Val) -> bool {
    match expected {
        WastRet::Core(expected) => matches_core(store, expected, found),
        _ => false,
    }
}

fn matches_core(store: &Store<()>, expected: &WastRetCore<'_>, found: &Val) -> bool {
    match (expected, found) {
        (WastRetCore::I32(e), Val::I32(v)) => e == v,
        (WastRetCore::I64(e), Val::I64(v)) => e == v,
        (WastRetCore::F32(e), Val::F32(v)) => f32_matches(e, *v),
        (WastRetCore::F64(e), Val::F64(v)) => f64_matches(e, *v),
        (WastRetCore::V128(e), Val::V128(v)) => v128_matches(e, *v),
        (WastRetCore::RefNull(None), Val::FuncRef(None) | Val::ExternRef(None)) => true,
        (WastRetCore::RefNull(Some(ty)), Val::FuncRef(None)) => heap(ty) == Some(Heap::Func),
        (WastRetCore::RefNull(Some(ty)), Val::ExternRef(None)) => heap(ty) == Some(Heap::Extern),
        (WastRetCore::RefExtern(None), Val::ExternRef(Some(_))) => true,
        (WastRetCore::RefExtern(Some(n)), Val::ExternRef(Some(r))) => {
            r.data(store).downcast_ref::<HostValue>() == Some(&HostValue(*n))
        }
        (WastRetCore::RefFunc(_), Val::FuncRef(Some(_))) => true,
        (WastRetCore::Either(cases), found) => cases.iter().any(|e| matches_core(store, e, found)),
        _ => false,
    }
}

/// A NaN is canonical if its payload is the top bit alone, arithmetic if it has at least that; of either sign.
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
