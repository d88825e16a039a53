//! The items of each group.

pub(crate) mod calls;
pub(crate) mod compile;
pub(crate) mod components;
pub(crate) mod deadline;
pub(crate) mod exec;
pub(crate) mod gc;
pub(crate) mod giants;
pub(crate) mod instantiate;
pub(crate) mod native;
pub(crate) mod restart;
pub(crate) mod sandbox;
pub(crate) mod start;
