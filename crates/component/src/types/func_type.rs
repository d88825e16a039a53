//! Types of functions.

use super::layout::{AddressType, FlatType, MAX_FLAT_RESULTS};
use super::value_type::{Tuple, Type};
use std::borrow::Cow;
use std::sync::Arc;

/// The type of a function.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct FuncType {
    pub(super) params: Box<[(Arc<str>, Type)]>,
    pub(super) result: Option<Type>,
    pub(super) is_async: bool,
    /// The parameters as a tuple, which is how they lie in memory if there are too many.
    tuple: Tuple,
    /// Whether the result is returned as a core value, by the type of addresses.
    returns_flat: [bool; 2],
}

impl FuncType {
    /// Creates the type.
    pub fn new(params: Box<[(Arc<str>, Type)]>, result: Option<Type>, is_async: bool) -> Self {
        let tuple = Tuple::new(params.iter().map(|(_, ty)| ty.clone()).collect());
        let returns_flat = [AddressType::I32, AddressType::I64].map(|address| {
            let flat = result.as_ref().map(|ty| ty.flat(address));
            flat.is_none_or(|flat| flat.is_some_and(|flat| flat.len() <= MAX_FLAT_RESULTS))
        });
        Self { params, result, is_async, tuple, returns_flat }
    }

    /// Returns the parameters.
    #[inline]
    pub fn params(&self) -> &[(Arc<str>, Type)] {
        &self.params
    }

    /// Returns the type of the result.
    #[inline]
    pub fn result(&self) -> Option<&Type> {
        self.result.as_ref()
    }

    /// Returns whether it may wait.
    pub fn is_async(&self) -> bool {
        self.is_async
    }

    /// Returns the parameters as a tuple.
    #[inline]
    pub fn param_tuple(&self) -> &Tuple {
        &self.tuple
    }

    /// Returns the parameters in core code, if they are passed one by one: otherwise the address of a tuple is passed.
    #[inline]
    pub fn flat_params(&self, address: AddressType) -> Option<&[FlatType]> {
        self.tuple.flat(address)
    }

    /// Returns whether the parameters are passed one by one in core code: otherwise the address of a tuple is passed.
    #[inline]
    pub fn passes_flat(&self, address: AddressType) -> bool {
        self.flat_params(address).is_some()
    }

    /// Returns whether the result, if there is one, is returned in core code: otherwise its address is.
    #[inline]
    pub fn returns_flat(&self, address: AddressType) -> bool {
        self.returns_flat[address as usize]
    }

    /// Returns the results in core code, if they are returned one by one: otherwise the address of the result is
    /// returned, or passed as a further parameter.
    pub fn flat_results(&self, address: AddressType) -> Option<Cow<'_, [FlatType]>> {
        match &self.result {
            None => Some([].as_slice().into()),
            Some(ty) => ty.flat(address).filter(|flat| flat.len() <= MAX_FLAT_RESULTS),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Layout;

    #[test]
    fn what_does_not_fit_into_sixteen_values_lies_in_memory() {
        let params =
            |count: usize| (0..count).map(|i| (Arc::from(format!("p{i}")), Type::U32)).collect::<Box<[_]>>();
        assert_eq!(FuncType::new(params(16), None, false).flat_params(AddressType::I32).unwrap().len(), 16);
        let ty = FuncType::new(params(17), Some(Type::String), false);
        assert!(ty.flat_params(AddressType::I32).is_none());
        assert!(ty.flat_results(AddressType::I32).is_none());
        assert_eq!(ty.param_tuple().layout(AddressType::I32), Layout { size: 68, align: 4 });
        assert!(ty.to_string().starts_with("func(p0: u32, p1: u32"), "{ty}");
        assert!(ty.to_string().ends_with("p16: u32) -> string"), "{ty}");
    }
}
