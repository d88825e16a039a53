//! Everything besides the module that shapes its code.

/// How accesses to a memory are kept inside.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum MemoryAccess {
    /// The memory is 4 GiB and a guard of address space, at an address that never changes; what is outside
    /// faults.
    Reserved,
    /// The memory may be smaller than that and may move: every access is checked.
    Checked,
}

/// Everything besides the module that shapes its code.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Tunables {
    /// How accesses are kept inside memories that can be reserved whole; others are always checked.
    pub memory_access: MemoryAccess,
    /// Count fuel.
    pub consume_fuel: bool,
    /// Check the epoch at function entries and loops.
    pub epoch_interruption: bool,
    /// Replace calls of small functions by their bodies.
    pub inlining: bool,
    /// Give every NaN that an operation makes the canonical bits.
    pub canonical_nans: bool,
    /// Relaxed vector instructions give what the specification's deterministic profile says.
    pub deterministic_relaxed_simd: bool,
    /// Heed the module's hints about branches.
    pub branch_hints: bool,
    /// Compile every function as functions are compiled that are too large for the usual settings. For tests: results
    /// are the same.
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
