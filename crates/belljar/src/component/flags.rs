//! What [`flags!`](super::flags) defines.

/// Defines what `belljar::component::flags!` read: a set of names, each of which is a constant.
#[doc(hidden)]
#[macro_export]
macro_rules! __component_flags {
    ($(#[$doc:meta])* $vis:vis $name:ident { $($(#[$flag_doc:meta])* $flag:ident = $wit:literal),* $(,)? }) => {
        #[allow(missing_docs)]
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
        $vis struct $name {
            words: [u32; $name::WORDS],
        }

        #[allow(dead_code, missing_docs)]
        impl $name {
            const NAMES: &'static [&'static str] = &[$($wit),*];
            const WORDS: usize = Self::NAMES.len().div_ceil(32);

            $crate::__component_flags!(@flags [$($(#[$flag_doc])* $flag)*] 0);

            /// Returns the empty set.
            $vis const fn empty() -> Self {
                Self { words: [0; Self::WORDS] }
            }

            /// Returns the set of all names.
            $vis fn all() -> Self {
                let mut all = Self::empty();
                (0..Self::NAMES.len()).for_each(|i| all.words[i / 32] |= 1 << (i % 32));
                all
            }

            /// Returns the set of the name with this number.
            const fn of(number: usize) -> Self {
                let mut one = Self::empty();
                one.words[number / 32] = 1 << (number % 32);
                one
            }

            /// Returns whether all names of another set are in this one.
            $vis fn contains(self, other: Self) -> bool {
                self.words.iter().zip(other.words).all(|(a, b)| a & b == b)
            }

            /// Returns whether a name of another set is in this one.
            $vis fn intersects(self, other: Self) -> bool {
                self.words.iter().zip(other.words).any(|(a, b)| a & b != 0)
            }

            /// Returns the set as bits: the first name is the lowest bit of the first word.
            $vis const fn as_array(&self) -> [u32; Self::WORDS] {
                self.words
            }

            /// Returns whether the set is empty.
            $vis fn is_empty(self) -> bool {
                self.words.iter().all(|word| *word == 0)
            }
        }

        $crate::__component_flags!(@operator $name BitOr bitor BitOrAssign bitor_assign |=);
        $crate::__component_flags!(@operator $name BitAnd bitand BitAndAssign bitand_assign &=);
        $crate::__component_flags!(@operator $name BitXor bitxor BitXorAssign bitxor_assign ^=);

        impl ::core::ops::Not for $name {
            type Output = Self;

            fn not(self) -> Self {
                self ^ Self::all()
            }
        }

        impl ::core::fmt::Debug for $name {
            fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                f.write_str(concat!(stringify!($name), "("))?;
                let set = (0..Self::NAMES.len()).filter(|i| self.words[i / 32] >> (i % 32) & 1 != 0);
                for (i, flag) in set.enumerate() {
                    write!(f, "{}{}", if i > 0 { " | " } else { "" }, Self::NAMES[flag])?;
                }
                f.write_str(")")
            }
        }

        impl $crate::component::ComponentType for $name {
            fn check(
                ty: &$crate::component::types::Type,
                _types: &dyn $crate::component::HostTypes,
            ) -> $crate::Result<()> {
                $crate::component::__derive::check_flags(ty, Self::NAMES)
            }
        }

        impl $crate::component::Lift for $name {
            fn lift(
                cx: &mut $crate::component::LiftContext<'_>,
                ty: &$crate::component::types::Type,
                flat: &mut $crate::component::FlatValues<'_>,
            ) -> $crate::Result<Self> {
                let mut set = Self::empty();
                $crate::component::__derive::lift_flags(cx, ty, flat, &mut set.words)?;
                Ok(set.known())
            }

            fn load(
                cx: &mut $crate::component::LiftContext<'_>,
                ty: &$crate::component::types::Type,
                at: u64,
            ) -> $crate::Result<Self> {
                let mut set = Self::empty();
                $crate::component::__derive::load_flags(cx, ty, at, &mut set.words)?;
                Ok(set.known())
            }
        }

        impl $name {
            /// Returns the set without bits that have no name.
            fn known(mut self) -> Self {
                self.words.iter_mut().zip(Self::all().words).for_each(|(a, b)| *a &= b);
                self
            }
        }

        impl $crate::component::Lower for $name {
            fn lower(
                &self,
                _cx: &mut $crate::component::LowerContext<'_>,
                _ty: &$crate::component::types::Type,
                flat: &mut $crate::component::FlatSink,
            ) -> $crate::Result<()> {
                $crate::component::__derive::lower_flags(flat, &self.words)
            }

            fn store(
                &self,
                cx: &mut $crate::component::LowerContext<'_>,
                ty: &$crate::component::types::Type,
                at: u64,
            ) -> $crate::Result<()> {
                $crate::component::__derive::store_flags(cx, ty, at, &self.words)
            }
        }
    };
    (@operator $name:ident $trait:ident $method:ident $assign:ident $assign_method:ident $operator:tt) => {
        impl ::core::ops::$trait for $name {
            type Output = Self;

            fn $method(mut self, other: Self) -> Self {
                self.words.iter_mut().zip(other.words).for_each(|(a, b)| *a $operator b);
                self
            }
        }

        impl ::core::ops::$assign for $name {
            fn $assign_method(&mut self, other: Self) {
                *self = ::core::ops::$trait::$method(*self, other);
            }
        }
    };
    (@flags [] $number:expr) => {};
    (@flags [$(#[$doc:meta])* $flag:ident $($rest:tt)*] $number:expr) => {
        $(#[$doc])*
        pub const $flag: Self = Self::of($number);
        $crate::__component_flags!(@flags [$($rest)*] $number + 1);
    };
}
