//! Types of components, with everything about their layout that lifting and lowering need.
//!
//! In: the parts of a type. Out: a [`Type`] that knows its size, alignment and flat form. Layouts are the canonical ABI's
//! (`CanonicalABI.md` of the component model, at the commit that ARCHITECTURE.md names).

mod display;
mod func_type;
mod layout;
mod matching;
mod value_type;

pub use func_type::FuncType;
pub use layout::{
    AddressType, CaseLayout, FlatType, Layout, MAX_FLAT_ASYNC_PARAMS, MAX_FLAT_PARAMS, MAX_FLAT_RESULTS,
};
pub use matching::SameResource;
pub use value_type::{
    Enum, FixedLengthList, Flags, Map, OptionType, Record, ResourceIndex, ResultType, Tuple, Type, Variant,
};
