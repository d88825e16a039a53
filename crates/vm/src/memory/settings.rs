/// How memories get address space that are not reserved for all 32-bit addresses.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MemorySettings {
    /// Bytes of address space that a memory gets at first, if it does not need more. `None` for 8 GiB if its addresses
    /// have 64 bits, and for no more than it needs otherwise. With less than 4 GiB, none is reserved for all 32-bit
    /// addresses.
    pub reservation: Option<usize>,
    /// Bytes of address space beyond its size that a memory gets. `None` for as much as its size, once it has moved.
    pub growth: Option<usize>,
    /// Whether a memory may move when it grows. Otherwise it does not grow beyond its address space.
    pub may_move: bool,
}

impl MemorySettings {
    /// The address space that memories get by default that are not reserved whole, so that growth rarely moves them.
    pub const DEFAULT_GROWTH: usize = 8 << 30;

    /// Returns whether memories with 32-bit addresses are reserved for all of them.
    pub fn reserves_whole(&self) -> bool {
        self.reservation.is_none_or(|bytes| bytes as u64 >= 1 << 32)
    }
}

impl Default for MemorySettings {
    fn default() -> Self {
        Self { reservation: None, growth: None, may_move: true }
    }
}
