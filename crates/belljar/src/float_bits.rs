//! Floats as their bits, which keeps the payload of a NaN.

use crate::Val;
use std::fmt;

macro_rules! float {
    ($($name:ident $float:ident $bits:ident $variant:ident;)*) => {$(
        #[doc = concat!("An `", stringify!($float), "` as its bits. Passing a NaN as an `", stringify!($float), "` may change \
            its payload on some machines; passing this does not.")]
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
        pub struct $name($bits);

        impl $name {
            /// Creates a float from its bits.
            pub const fn from_bits(bits: $bits) -> Self {
                Self(bits)
            }

            /// Returns the bits.
            pub const fn to_bits(self) -> $bits {
                self.0
            }

            /// Converts a float.
            pub const fn from_float(float: $float) -> Self {
                Self(float.to_bits())
            }

            /// Returns the float.
            pub const fn to_float(self) -> $float {
                $float::from_bits(self.0)
            }
        }

        impl From<$float> for $name {
            fn from(float: $float) -> Self {
                Self::from_float(float)
            }
        }

        impl From<$name> for $float {
            fn from(float: $name) -> Self {
                float.to_float()
            }
        }

        impl From<$name> for Val {
            fn from(float: $name) -> Self {
                Val::$variant(float.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.to_float().fmt(f)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.to_float().fmt(f)
            }
        }
    )*};
}

float! {
    F32 f32 u32 F32;
    F64 f64 u64 F64;
}
