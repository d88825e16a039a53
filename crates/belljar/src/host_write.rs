//! Checks of the host's writes to a guest's memory, for [`crate::Config::host_write_check`].
//!
//! In: a range inside a memory. Out: nothing, or a [`Refused`] that says what lies there. Never: a write.

use crate::guest_layout::{GuestLayout, LayoutRegion};
use crate::guest_ranges::GuestRanges;
use belljar_core::ByteCount;
use belljar_vm::StoreCore;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

/// Why a host write was refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Refused {
    /// The guest has not handed out the memory at this address.
    NotHandedOut { at: u64, region: LayoutRegion },
    /// The address is below the stack pointer of a running guest.
    DeadStack { at: u64, start: u64, pointer: u64 },
}

impl Refused {
    /// Returns why a write is refused, if it is.
    pub(crate) fn find(core: &mut StoreCore, memory: usize, range: Range<u64>) -> Option<Self> {
        let at = GuestRanges::of_memory(core, memory).first_foreign(&range)?;
        let layouts = layouts(core, memory);
        // The memory belongs to the host: no guest of the store has it.
        if layouts.is_empty() {
            return None;
        }
        if !core.is_running() {
            let known =
                layouts.iter().map(|layout| layout.region_at(at)).find(|it| *it != LayoutRegion::Unknown);
            return Some(Self::NotHandedOut { at, region: known.unwrap_or(LayoutRegion::Unknown) });
        }
        // The guest may have passed the address of anything that it uses.
        let dead = layouts.iter().filter_map(|layout| layout.stack.as_ref()?.dead_part(core));
        let dead: Vec<Range<u64>> = dead.collect();
        dead.into_iter().find_map(|dead| {
            let part = range.start.max(dead.start)..range.end.min(dead.end);
            let at = GuestRanges::of_memory(core, memory).first_foreign(&part)?;
            Some(Self::DeadStack { at, start: dead.start, pointer: dead.end })
        })
    }

    /// Writes the message for a write of `length` bytes at `offset`.
    pub(crate) fn write(self, f: &mut fmt::Formatter<'_>, offset: u64, length: u64) -> fmt::Result {
        let length = ByteCount(length);
        match self {
            Self::NotHandedOut { at, region } => write!(
                f,
                "a host write of {length} at {offset:#x} was refused: at {at:#x} is {region}. Request memory from the guest's \
                 allocator and write there (GuestAlloc), or declare that the guest expects the write (Memory::declare)"
            ),
            Self::DeadStack { at, start, pointer } => write!(
                f,
                "a host write of {length} at {offset:#x} was refused: at {at:#x} is the unused part of the guest's stack, \
                 {start:#x}..{pointer:#x}, because __stack_pointer is {pointer:#x}: the guest's next call overwrites it. Write \
                 to an address that the guest passed, or request memory from its allocator (GuestAlloc)"
            ),
        }
    }
}

/// Returns the layouts of a memory, and determines them when they are first needed.
fn layouts(core: &mut StoreCore, memory: usize) -> Arc<[GuestLayout]> {
    let instances = core.instance_count();
    if let Some(known) = GuestRanges::of_memory(core, memory).known_layouts(instances) {
        return known;
    }
    let found: Arc<[GuestLayout]> = GuestLayout::of_memory(core, memory).into();
    GuestRanges::of_memory(core, memory).keep_layouts(instances, &found);
    found
}
