//! Lifting and lowering of Rust types: straight-line code for each type, without values that know their type at run time.
//!
//! In: a Rust type that implements [`Lift`] or [`Lower`]. Out: the same conversions as in [`abi`](crate::abi). Never: trust in
//! an implementation. The traits are safe: an implementation that is wrong gets or causes an error, because every access
//! of memory is checked, and every type was compared before.

mod arrays;
#[doc(hidden)]
pub mod derive;
mod lists;
mod maps;
mod params;
mod parts;
mod scalars;
mod text;

pub use params::{LiftParams, LiftResults, LowerParams, LowerResults};

use crate::abi::{FlatSink, FlatValues, LiftContext, LowerContext};
use crate::types::{ResourceIndex, Type};
use belljar_core::{Result, bail};
use std::any::TypeId;

/// What the resource types of a component stand for.
pub trait HostTypes {
    /// Returns whether a resource type is the host's that this Rust type stands for.
    fn is_host(&self, resource: ResourceIndex, ty: TypeId) -> bool;
}

/// A Rust type that corresponds to types of components.
///
/// | Rust | WIT |
/// |---|---|
/// | `bool`, `u8` to `u64`, `i8` to `i64`, `f32`, `f64`, `char` | `bool`, `u8` to `u64`, `s8` to `s64`, `f32`, `f64`, `char` |
/// | `String`, `Box<str>`, `&str` (only lowered) | `string` |
/// | `Vec<T>`, `Box<[T]>`, `&[T]` (only lowered) | `list<T>` |
/// | `[T; N]` | `list<T, N>` |
/// | `HashMap<K, V>` | `map<K, V>` |
/// | `Option<T>` | `option<T>` |
/// | `Result<T, E>`, with `()` for no payload | `result<T, E>` |
/// | tuples of up to 16 elements | `tuple` |
pub trait ComponentType {
    /// Whether it is `()`, the payload of a case that has none.
    #[doc(hidden)]
    const IS_NOTHING: bool = false;

    /// Checks that a type of a component corresponds to this one.
    ///
    /// # Errors
    ///
    /// Returns an error that says what was expected.
    fn check(ty: &Type, types: &dyn HostTypes) -> Result<()>;
}

/// A [`ComponentType`] whose values can be lifted: taken from a component.
pub trait Lift: ComponentType + Sized {
    /// Returns the value of `()`.
    #[doc(hidden)]
    fn nothing() -> Option<Self> {
        None
    }

    /// Lifts a value from core values.
    ///
    /// # Errors
    ///
    /// Returns an error if the guest passes something invalid.
    fn lift(cx: &mut LiftContext<'_>, ty: &Type, flat: &mut FlatValues<'_>) -> Result<Self>;

    /// Loads a value from the guest's memory.
    ///
    /// # Errors
    ///
    /// Returns an error if the guest passes something invalid.
    fn load(cx: &mut LiftContext<'_>, ty: &Type, at: u64) -> Result<Self>;

    /// Loads the elements of a list, which lies in the guest's memory.
    ///
    /// # Errors
    ///
    /// Returns an error if the guest passes something invalid.
    fn load_list(cx: &mut LiftContext<'_>, element: &Type, at: u64, count: u64) -> Result<Vec<Self>> {
        cx.charge(count.saturating_mul(size_of::<Self>() as u64))?;
        let size = u64::from(element.layout(cx.address()).size);
        // Collecting results would let the list grow step by step.
        let mut list = Vec::with_capacity(count as usize);
        for i in 0..count {
            list.push(Self::load(cx, element, at + i * size)?);
        }
        Ok(list)
    }
}

/// A [`ComponentType`] whose values can be lowered: passed to a component.
pub trait Lower: ComponentType {
    /// Lowers the value to core values.
    ///
    /// # Errors
    ///
    /// Returns an error if the guest does not provide room, or a handle is invalid.
    fn lower(&self, cx: &mut LowerContext<'_>, ty: &Type, flat: &mut FlatSink) -> Result<()>;

    /// Stores the value in the guest's memory.
    ///
    /// # Errors
    ///
    /// Returns an error if the guest does not provide room, or a handle is invalid.
    fn store(&self, cx: &mut LowerContext<'_>, ty: &Type, at: u64) -> Result<()>;

    /// Stores the elements of a list.
    ///
    /// # Errors
    ///
    /// Returns an error if the guest does not provide room, or a handle is invalid.
    fn store_list(list: &[Self], cx: &mut LowerContext<'_>, element: &Type, at: u64) -> Result<()>
    where
        Self: Sized,
    {
        let size = u64::from(element.layout(cx.address()).size);
        list.iter().enumerate().try_for_each(|(i, value)| value.store(cx, element, at + i as u64 * size))
    }
}

impl<T: ComponentType + ?Sized> ComponentType for &T {
    fn check(ty: &Type, types: &dyn HostTypes) -> Result<()> {
        T::check(ty, types)
    }
}

impl<T: Lower + ?Sized> Lower for &T {
    fn lower(&self, cx: &mut LowerContext<'_>, ty: &Type, flat: &mut FlatSink) -> Result<()> {
        T::lower(self, cx, ty, flat)
    }

    fn store(&self, cx: &mut LowerContext<'_>, ty: &Type, at: u64) -> Result<()> {
        T::store(self, cx, ty, at)
    }
}

/// Returns the error of a type that does not correspond to a Rust type.
#[cold]
fn expected<R>(what: &str, found: &Type) -> Result<R> {
    bail!("expected {what}, found {found}")
}
