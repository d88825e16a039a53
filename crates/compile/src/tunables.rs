//! Options besides the module that affect its code.

/// How accesses to a memory are kept in bounds.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum MemoryAccess {
    /// The memory has 4 GiB and a guard of address space, at an address that never changes. Accesses outside it fault.
    Reserved,
    /// The memory may be smaller and may move: every access is checked.
    Checked,
}

/// Options besides the module that affect its code.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Tunables {
    /// How accesses are kept in bounds for memories that can be reserved whole; others are always checked.
    pub memory_access: MemoryAccess,
    /// Count fuel.
    pub consume_fuel: bool,
    /// Check the epoch at function entries and loops.
    pub epoch_interruption: bool,
    /// Inline small functions.
    pub inlining: bool,
    /// Give every NaN that an operation produces the canonical bits.
    pub canonical_nans: bool,
    /// Make relaxed vector instructions follow the specification's deterministic profile.
    pub deterministic_relaxed_simd: bool,
    /// Use the module's branch hints.
    pub branch_hints: bool,
    /// Compile every function with the settings for huge functions. For tests: results are the same.
    pub huge_functions: bool,
}

impl Default for Tunables {
    fn default() -> Self {
        Self {
            memory_access: MemoryAccess::Reserved,
            consume_fuel: false,
            epoch_interruption: false,
            inlining: true,
            canonical_nans: false,
            deterministic_relaxed_simd: false,
            branch_hints: true,
            huge_functions: false,
        }
    }
}
