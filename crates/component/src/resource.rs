//! Resources on their way from one table of handles to another.

/// A resource type of a store.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct ResourceTypeId(pub u32);

/// A resource on its way from one table to another.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Passed {
    /// Its type.
    pub ty: ResourceTypeId,
    /// What stands for the resource where it is implemented.
    pub rep: u32,
    /// Whether it is owned; otherwise it is borrowed for a call.
    pub owned: bool,
}
