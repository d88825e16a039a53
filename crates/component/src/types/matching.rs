//! Whether types of different components are the same.

use super::func_type::FuncType;
use super::value_type::{ResourceIndex, Type};

/// Whether two resource types, each of a component of its own, are the same.
pub type SameResource<'a> = dyn FnMut(ResourceIndex, ResourceIndex) -> bool + 'a;

impl Type {
    /// Returns whether it is the same type as one of another component. `same` compares resource types.
    pub fn is_same(&self, other: &Self, same: &mut SameResource<'_>) -> bool {
        let mut optional = |a: Option<&Self>, b: Option<&Self>| match (a, b) {
            (Some(a), Some(b)) => a.is_same(b, same),
            (None, None) => true,
            _ => false,
        };
        match (self, other) {
            (Self::Own(a), Self::Own(b)) | (Self::Borrow(a), Self::Borrow(b)) => same(*a, *b),
            (Self::List(a), Self::List(b)) => a.is_same(b, same),
            (Self::FixedLengthList(a), Self::FixedLengthList(b)) => {
                a.length == b.length && a.element.is_same(&b.element, same)
            }
            (Self::Map(a), Self::Map(b)) => all_same(&a.entry.types, &b.entry.types, same),
            (Self::Tuple(a), Self::Tuple(b)) => all_same(&a.types, &b.types, same),
            (Self::Record(a), Self::Record(b)) => {
                a.fields.len() == b.fields.len()
                    && a.fields.iter().zip(&b.fields).all(|((n, a), (m, b))| n == m && a.is_same(b, same))
            }
            (Self::Variant(a), Self::Variant(b)) => {
                let mut cases = a.cases.iter().zip(&b.cases);
                a.cases.len() == b.cases.len()
                    && cases.all(|((n, a), (m, b))| n == m && optional(a.as_ref(), b.as_ref()))
            }
            (Self::Option(a), Self::Option(b)) => a.some.is_same(&b.some, same),
            (Self::Result(a), Self::Result(b)) => {
                optional(a.ok.as_ref(), b.ok.as_ref()) && optional(a.err.as_ref(), b.err.as_ref())
            }
            (Self::Stream(a), Self::Stream(b)) | (Self::Future(a), Self::Future(b)) => {
                optional(a.as_deref(), b.as_deref())
            }
            (a, b) => a == b,
        }
    }
}

fn all_same(a: &[Type], b: &[Type], same: &mut SameResource<'_>) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.is_same(b, same))
}

impl FuncType {
    /// Returns whether it is the same type as one of another component. `same` compares resource types.
    pub fn is_same(&self, other: &Self, same: &mut SameResource<'_>) -> bool {
        self.is_async == other.is_async
            && self.params.len() == other.params.len()
            && self.params.iter().zip(&other.params).all(|((n, a), (m, b))| n == m && a.is_same(b, same))
            && match (&self.result, &other.result) {
                (Some(a), Some(b)) => a.is_same(b, same),
                (None, None) => true,
                _ => false,
            }
    }
}
