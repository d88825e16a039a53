//! A value in a slot between host and guest: 16 bytes without a tag.

/// An untyped wasm value. Its type is known from the signature that goes with it.
///
/// Integers and float bits are zero-extended; references are 32-bit ids ([`crate::FuncRefId`] or an index
/// of the store's external references), never addresses.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C, align(16))]
pub struct RawVal {
    lo: u64,
    hi: u64,
}

macro_rules! scalar {
    ($($from:ident $to:ident $ty:ty: $enc:expr, $dec:expr;)*) => {$(
        #[doc = concat!("A slot that holds this `", stringify!($ty), "`.")]
        #[inline]
        pub fn $from(v: $ty) -> Self {
            let enc: fn($ty) -> u64 = $enc;
            Self { lo: enc(v), hi: 0 }
        }

        #[doc = concat!("The slot read as `", stringify!($ty), "`.")]
        #[inline]
        pub fn $to(self) -> $ty {
            let dec: fn(u64) -> $ty = $dec;
            dec(self.lo)
        }
    )*};
}

impl RawVal {
    scalar! {
        from_i32 i32 i32: |v| v as u32 as u64, |b| b as i32;
        from_u32 u32 u32: |v| v as u64, |b| b as u32;
        from_i64 i64 i64: |v| v as u64, |b| b as i64;
        from_u64 u64 u64: |v| v, |b| b;
        from_f32 f32 f32: |v| v.to_bits() as u64, |b| f32::from_bits(b as u32);
        from_f64 f64 f64: |v| v.to_bits(), f64::from_bits;
    }

    /// Creates a slot that holds this vector.
    #[inline]
    pub fn from_v128(v: u128) -> Self {
        Self { lo: v as u64, hi: (v >> 64) as u64 }
    }

    /// Returns the slot read as a vector.
    #[inline]
    pub fn v128(self) -> u128 {
        (self.hi as u128) << 64 | self.lo as u128
    }
}
