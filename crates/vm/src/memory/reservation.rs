use belljar_abi::GUARD_SIZE;

/// The size of the address space of a reserved 32-bit memory.
pub(crate) const RESERVATION: usize = (4 << 30) + GUARD_SIZE as usize;
