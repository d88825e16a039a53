//! Units of limits, and the macro that defines an enum of limits.

use crate::ByteCount;
use std::time::Duration;

/// The unit of a limit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum LimitUnit {
    /// Bytes.
    Bytes,
    /// A number of items.
    Count,
    /// Nanoseconds.
    Time,
}

impl LimitUnit {
    /// Formats an amount with its unit.
    pub fn show(self, amount: u64) -> String {
        match self {
            Self::Bytes => ByteCount(amount).to_string(),
            Self::Count => amount.to_string(),
            Self::Time => format!("{:?}", Duration::from_nanos(amount)),
        }
    }

    /// Formats amounts that a message compares: sizes in bytes have the same unit.
    pub fn show_all<const N: usize>(self, amounts: [u64; N]) -> [String; N] {
        match self {
            Self::Bytes => ByteCount::in_one_unit(amounts),
            Self::Count | Self::Time => amounts.map(|amount| self.show(amount)),
        }
    }
}

/// Defines an enum of limits. Each row holds the variant's name, the name of the method that sets the limit, its unit,
/// its default, and a short description.
#[macro_export]
macro_rules! define_limits {
    ($(#[$doc:meta])* pub enum $Limit:ident {
        $($name:ident $text:literal $unit:ident $default:expr, $meaning:literal;)*
    }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        #[non_exhaustive]
        pub enum $Limit {
            $(
                #[doc = concat!($meaning, ".")]
                $name,
            )*
        }

        impl $Limit {
            /// All limits.
            pub const ALL: &[$Limit] = &[$($Limit::$name),*];

            /// Returns the name, which is also that of the method that sets the limit.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }

            /// Returns the unit.
            pub fn unit(self) -> $crate::LimitUnit {
                match self {
                    $(Self::$name => $crate::LimitUnit::$unit,)*
                }
            }

            /// Formats an amount with the limit's unit.
            pub fn show(self, amount: u64) -> String {
                self.unit().show(amount)
            }

            /// Returns a short description of what is limited.
            pub fn meaning(self) -> &'static str {
                match self {
                    $(Self::$name => $meaning,)*
                }
            }

            /// Returns the default for untrusted code: enough for most programs, and too little to harm a machine.
            /// `None` means no limit.
            pub fn default_amount(self) -> Option<u64> {
                match self {
                    $(Self::$name => $default,)*
                }
            }
        }
    };
}
