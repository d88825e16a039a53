//! References that may be null, as Wasmi names them.

use crate::{Func, Ref, Val};

/// A reference that may be null, as Wasmi names it. It converts from and to an [`Option`], which belljar's own
/// interface uses.
///
/// ```
/// use belljar::{Nullable, Val};
/// assert!(Nullable::<u32>::Null.is_null());
/// assert_eq!(Option::from(Nullable::Val(5)), Some(5));
/// assert!(Val::from(Nullable::<belljar::Func>::Null).ref_().unwrap().is_null());
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Nullable<T> {
    /// Null.
    #[default]
    Null,
    /// A reference.
    Val(T),
}

impl<T> Nullable<T> {
    /// Returns whether it is null.
    pub const fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// Returns the reference, unless it is null.
    pub const fn val(&self) -> Option<&T> {
        match self {
            Self::Null => None,
            Self::Val(value) => Some(value),
        }
    }

    /// Borrows the reference.
    pub const fn as_ref(&self) -> Nullable<&T> {
        match self {
            Self::Null => Nullable::Null,
            Self::Val(value) => Nullable::Val(value),
        }
    }
}

impl<T> From<T> for Nullable<T> {
    fn from(value: T) -> Self {
        Self::Val(value)
    }
}

impl<T> From<Option<T>> for Nullable<T> {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Self::Val)
    }
}

impl<T> From<Nullable<T>> for Option<T> {
    fn from(value: Nullable<T>) -> Self {
        match value {
            Nullable::Null => None,
            Nullable::Val(value) => Some(value),
        }
    }
}

impl From<Nullable<Func>> for Val {
    fn from(func: Nullable<Func>) -> Self {
        Self::FuncRef(func.into())
    }
}

impl From<Nullable<Func>> for Ref {
    fn from(func: Nullable<Func>) -> Self {
        Self::Func(func.into())
    }
}
