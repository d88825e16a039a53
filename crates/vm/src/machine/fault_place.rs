//! Where a guest's access faulted, and whether its code may fault there.
//!
//! In: an address and the layout of the store. Out: a [`FaultPlace`]. Never: anything that is not async-signal-safe.
//!
//! Code without bounds checks relies on faults in two places: in the address space behind a memory's accessible bytes,
//! and in the page that null references point to. A fault anywhere else is a bug of the compiler or a defect of the
//! machine, not an error of the guest.

use belljar_core::Trap;
use std::ops::Range;

/// The part of a store in which a guest's access faulted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum FaultPlace {
    /// In the address space of a memory, behind its accessible bytes.
    OutsideMemory,
    /// In an accessible byte of a memory.
    InsideMemory,
    /// In the page that null references point to.
    NullPage,
    /// In no part of the store.
    Unknown,
}

/// The address space of a memory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MemorySpace {
    pub(crate) base: usize,
    /// Accessible bytes.
    pub(crate) length: usize,
    /// Bytes of address space, the accessible ones included.
    pub(crate) room: usize,
    /// Whether other threads may have made bytes accessible since the fault.
    pub(crate) is_shared: bool,
}

impl FaultPlace {
    /// Classifies an address.
    pub(crate) fn of(
        address: usize,
        memories: impl IntoIterator<Item = MemorySpace>,
        null_page: Option<Range<usize>>,
    ) -> Self {
        if null_page.is_some_and(|page| page.contains(&address)) {
            return Self::NullPage;
        }
        let space = memories.into_iter().find(|space| address.wrapping_sub(space.base) < space.room);
        match space {
            None => Self::Unknown,
            Some(space) if address - space.base < space.length && !space.is_shared => Self::InsideMemory,
            Some(_) => Self::OutsideMemory,
        }
    }

    /// Returns whether guest code may raise this trap by a fault here.
    pub(crate) fn is_expected(self, trap: Trap) -> bool {
        matches!(
            (trap, self),
            (Trap::MemoryOutOfBounds, Self::OutsideMemory) | (Trap::NullReference, Self::NullPage)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: MemorySpace = MemorySpace { base: 0x10000, length: 0x2000, room: 0x8000, is_shared: false };
    const SHARED: MemorySpace = MemorySpace { base: 0x20000, length: 0x1000, room: 0x4000, is_shared: true };

    fn place(address: usize) -> FaultPlace {
        FaultPlace::of(address, [OWN, SHARED], Some(0x40000..0x41000))
    }

    #[test]
    fn only_the_address_space_behind_a_memory_is_outside_of_it() {
        for (address, expected) in [
            (0, FaultPlace::Unknown),
            (0xffff, FaultPlace::Unknown),
            (0x10000, FaultPlace::InsideMemory),
            (0x11fff, FaultPlace::InsideMemory),
            (0x12000, FaultPlace::OutsideMemory),
            (0x17fff, FaultPlace::OutsideMemory),
            (0x18000, FaultPlace::Unknown),
            // The shared memory may have grown since the fault.
            (0x20000, FaultPlace::OutsideMemory),
            (0x24000, FaultPlace::Unknown),
            (0x3ffff, FaultPlace::Unknown),
            (0x40000, FaultPlace::NullPage),
            (0x41000, FaultPlace::Unknown),
            (usize::MAX, FaultPlace::Unknown),
        ] {
            assert_eq!(place(address), expected, "{address:#x}");
        }
    }

    #[test]
    fn a_trap_belongs_to_its_place() {
        assert!(FaultPlace::OutsideMemory.is_expected(Trap::MemoryOutOfBounds));
        assert!(FaultPlace::NullPage.is_expected(Trap::NullReference));
        assert!(!FaultPlace::NullPage.is_expected(Trap::MemoryOutOfBounds));
        assert!(!FaultPlace::OutsideMemory.is_expected(Trap::NullReference));
        for trap in Trap::ROWS.iter().map(|row| row.trap) {
            assert!(!FaultPlace::InsideMemory.is_expected(trap) && !FaultPlace::Unknown.is_expected(trap));
        }
    }
}
