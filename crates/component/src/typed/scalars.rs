//! Numbers, truth values and characters.

use super::{ComponentType, HostTypes, Lift, Lower, expected};
use crate::abi::{FlatSink, FlatValues, LiftContext, LowerContext, range, range_mut, size_of_list};
use crate::types::Type;
use belljar_core::{Result, format_err};

macro_rules! numbers {
    ($($rust:ty, $ty:ident, $bits:expr, $of_bits:expr;)*) => {$(
        impl ComponentType for $rust {
            fn check(ty: &Type, _types: &dyn HostTypes) -> Result<()> {
                if *ty == Type::$ty { Ok(()) } else { expected(concat!("`", stringify!($rust), "`"), ty) }
            }
        }

        impl Lift for $rust {
            #[inline]
            fn lift(_cx: &mut LiftContext<'_>, _ty: &Type, flat: &mut FlatValues<'_>) -> Result<Self> {
                let of_bits: fn(u64) -> $rust = $of_bits;
                Ok(of_bits(flat.next()?))
            }

            #[inline]
            fn load(cx: &mut LiftContext<'_>, _ty: &Type, at: u64) -> Result<Self> {
                let bytes = range(cx.memory()?, at, size_of::<Self>() as u64)?;
                Ok(Self::from_le_bytes(bytes.try_into().map_err(|_| format_err!("belljar bug: a number's bytes"))?))
            }

            fn load_list(cx: &mut LiftContext<'_>, _element: &Type, at: u64, count: u64) -> Result<Vec<Self>> {
                let size = size_of_list(count, size_of::<Self>() as u32, "list")?;
                cx.charge(size)?;
                let (numbers, _) = range(cx.memory()?, at, size)?.as_chunks();
                Ok(numbers.iter().map(|bytes| Self::from_le_bytes(*bytes)).collect())
            }
        }

        impl Lower for $rust {
            #[inline]
            fn lower(&self, _cx: &mut LowerContext<'_>, _ty: &Type, flat: &mut FlatSink) -> Result<()> {
                let bits: fn($rust) -> u64 = $bits;
                flat.push(bits(*self))
            }

            #[inline]
            fn store(&self, cx: &mut LowerContext<'_>, _ty: &Type, at: u64) -> Result<()> {
                range_mut(cx.memory()?, at, size_of::<Self>() as u64)?.copy_from_slice(&self.to_le_bytes());
                Ok(())
            }

            fn store_list(list: &[Self], cx: &mut LowerContext<'_>, _element: &Type, at: u64) -> Result<()> {
                let size = size_of_list(list.len() as u64, size_of::<Self>() as u32, "list")?;
                let (places, _) = range_mut(cx.memory()?, at, size)?.as_chunks_mut();
                places.iter_mut().zip(list).for_each(|(place, value)| *place = value.to_le_bytes());
                Ok(())
            }
        }
    )*};
}

numbers! {
    u8, U8, u64::from, |bits| bits as u8;
    i8, S8, |value| u64::from(i32::from(value) as u32), |bits| bits as i8;
    u16, U16, u64::from, |bits| bits as u16;
    i16, S16, |value| u64::from(i32::from(value) as u32), |bits| bits as i16;
    u32, U32, u64::from, |bits| bits as u32;
    i32, S32, |value| u64::from(value as u32), |bits| bits as i32;
    u64, U64, |value| value, |bits| bits;
    i64, S64, |value| value as u64, |bits| bits as i64;
    f32, Float32, |value| u64::from(value.to_bits()), |bits| f32::from_bits(bits as u32);
    f64, Float64, f64::to_bits, f64::from_bits;
}

impl ComponentType for bool {
    fn check(ty: &Type, _types: &dyn HostTypes) -> Result<()> {
        if *ty == Type::Bool { Ok(()) } else { expected("`bool`", ty) }
    }
}

impl Lift for bool {
    #[inline]
    fn lift(_cx: &mut LiftContext<'_>, _ty: &Type, flat: &mut FlatValues<'_>) -> Result<Self> {
        Ok(flat.next()? as u32 != 0)
    }

    fn load(cx: &mut LiftContext<'_>, ty: &Type, at: u64) -> Result<Self> {
        u8::load(cx, ty, at).map(|byte| byte != 0)
    }
}

impl Lower for bool {
    #[inline]
    fn lower(&self, _cx: &mut LowerContext<'_>, _ty: &Type, flat: &mut FlatSink) -> Result<()> {
        flat.push(u64::from(*self))
    }

    fn store(&self, cx: &mut LowerContext<'_>, ty: &Type, at: u64) -> Result<()> {
        u8::from(*self).store(cx, ty, at)
    }
}

impl ComponentType for char {
    fn check(ty: &Type, _types: &dyn HostTypes) -> Result<()> {
        if *ty == Type::Char { Ok(()) } else { expected("`char`", ty) }
    }
}

impl Lift for char {
    #[inline]
    fn lift(_cx: &mut LiftContext<'_>, _ty: &Type, flat: &mut FlatValues<'_>) -> Result<Self> {
        crate::abi::char_of(flat.next()?)
    }

    fn load(cx: &mut LiftContext<'_>, ty: &Type, at: u64) -> Result<Self> {
        crate::abi::char_of(u64::from(u32::load(cx, ty, at)?))
    }
}

impl Lower for char {
    #[inline]
    fn lower(&self, _cx: &mut LowerContext<'_>, _ty: &Type, flat: &mut FlatSink) -> Result<()> {
        flat.push(u64::from(*self))
    }

    fn store(&self, cx: &mut LowerContext<'_>, ty: &Type, at: u64) -> Result<()> {
        u32::from(*self).store(cx, ty, at)
    }
}
