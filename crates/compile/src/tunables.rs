//! Everything besides the module that shapes its code.

/// How accesses to 32-bit memories are kept inside.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum MemoryAccess {
    /// Each memory is 4 GiB and a guard of address space, at an address that never changes; what is outside
    /// faults.
    Reserved,
    /// Memories may be smaller than that and may move: every access is checked.
    Checked,
}

/// Everything besides the module that shapes its code.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Tunables {
    /// How memory accesses are kept inside.
    pub memory_access: MemoryAccess,
    /// Count fuel.
    pub consume_fuel: bool,
    /// Check the epoch at function entries and loops.
    pub epoch_interruption: bool,
    /// Replace calls of small functions by their bodies.
    pub inlining: bool,
    /// Give every NaN that an operation makes the canonical bits.
    pub canonical_nans: bool,
}

impl Default for Tunables {
    fn default() -> Self {
        Self {
            memory_access: MemoryAccess::Reserved,
            consume_fuel: false,
            epoch_interruption: false,
            inlining: true,
            canonical_nans: false,
        }
    }
}
