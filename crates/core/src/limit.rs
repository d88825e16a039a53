//! Names of what can be limited, and what each is counted in.

use crate::ByteCount;
use std::time::Duration;

/// What a limit is counted in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum LimitUnit {
    /// Bytes.
    Bytes,
    /// Things of a kind.
    Count,
    /// Nanoseconds.
    Time,
}

impl LimitUnit {
    /// An amount, with its unit.
    pub fn show(self, amount: u64) -> String {
        match self {
            Self::Bytes => ByteCount(amount).to_string(),
            Self::Count => amount.to_string(),
            Self::Time => format!("{:?}", Duration::from_nanos(amount)),
        }
    }
}

/// Defines an enum of limits: of each its name, the method's that sets it, its unit, the default, and what it limits in a few words.
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
            /// All of them.
            pub const ALL: &[$Limit] = &[$($Limit::$name),*];

            /// What it is called, as the method that sets it.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }

            /// What it is counted in.
            pub fn unit(self) -> $crate::LimitUnit {
                match self {
                    $(Self::$name => $crate::LimitUnit::$unit,)*
                }
            }

            /// An amount of it, with its unit.
            pub fn show(self, amount: u64) -> String {
                self.unit().show(amount)
            }

            /// What it limits, in a few words.
            pub fn meaning(self) -> &'static str {
                match self {
                    $(Self::$name => $meaning,)*
                }
            }

            /// What code that nobody vouches for gets: enough for most programs, and too little to harm a machine. `None`: no
            /// limit.
            pub fn default_amount(self) -> Option<u64> {
                match self {
                    $(Self::$name => $default,)*
                }
            }
        }
    };
}
