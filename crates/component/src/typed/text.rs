//! Strings.

use super::{ComponentType, HostTypes, Lift, Lower, expected};
use crate::abi::{
    FlatSink, FlatValues, LiftContext, LowerContext, lift_string, load_pair, lower_string, pointer,
    store_pair,
};
use crate::types::Type;
use belljar_core::Result;

fn check(ty: &Type) -> Result<()> {
    if *ty == Type::String { Ok(()) } else { expected("`string`", ty) }
}

macro_rules! owned {
    ($($rust:ty)*) => {$(
        impl ComponentType for $rust {
            fn check(ty: &Type, _types: &dyn HostTypes) -> Result<()> {
                check(ty)
            }
        }

        impl Lift for $rust {
            fn lift(cx: &mut LiftContext<'_>, _ty: &Type, flat: &mut FlatValues<'_>) -> Result<Self> {
                let address = cx.address();
                let (at, length) = (pointer(flat.next()?, address), pointer(flat.next()?, address));
                lift_string(cx, at, length).map(Into::into)
            }

            fn load(cx: &mut LiftContext<'_>, _ty: &Type, at: u64) -> Result<Self> {
                let (at, length) = load_pair(cx, at)?;
                lift_string(cx, at, length).map(Into::into)
            }
        }

        impl Lower for $rust {
            fn lower(&self, cx: &mut LowerContext<'_>, ty: &Type, flat: &mut FlatSink) -> Result<()> {
                <str>::lower(self, cx, ty, flat)
            }

            fn store(&self, cx: &mut LowerContext<'_>, ty: &Type, at: u64) -> Result<()> {
                <str>::store(self, cx, ty, at)
            }
        }
    )*};
}

owned!(String Box<str> std::sync::Arc<str>);

impl ComponentType for str {
    fn check(ty: &Type, _types: &dyn HostTypes) -> Result<()> {
        check(ty)
    }
}

impl Lower for str {
    fn lower(&self, cx: &mut LowerContext<'_>, _ty: &Type, flat: &mut FlatSink) -> Result<()> {
        let (at, length) = lower_string(cx, self)?;
        flat.push(at)?;
        flat.push(length)
    }

    fn store(&self, cx: &mut LowerContext<'_>, _ty: &Type, at: u64) -> Result<()> {
        let lowered = lower_string(cx, self)?;
        store_pair(cx, at, lowered)
    }
}
