//! Whether the host may write to a guest's memory, where [`crate::Config::host_write_check`] asks.
//!
//! In: a range inside a memory. Out: nothing, or a [`Refused`] that says what lies there. Never: a write.

use crate::guest_layout::{GuestLayout, Place};
use crate::guest_ranges::GuestRanges;
use belljar_core::ByteCount;
use belljar_vm::StoreCore;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

/// Why a host write was not made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Refused {
    /// The guest has not handed out what lies at this address.
    NotHandedOut { at: u64, place: Place },
    /// Below the stack pointer of a guest that is running.
    DeadStack { at: u64, start: u64, pointer: u64 },
}

impl Refused {
    /// What is wrong with a write, if something is.
    pub(crate) fn find(core: &mut StoreCore, memory: usize, range: Range<u64>) -> Option<Self> {
        let at = GuestRanges::of_memory(core, memory).first_foreign(&range)?;
        let layouts = layouts(core, memory);
        // The host's own: no guest of the store has it.
        if layouts.is_empty() {
            return None;
        }
        if !core.is_running() {
            let known = layouts.iter().map(|layout| layout.place_at(at)).find(|it| *it != Place::Unknown);
            return Some(Self::NotHandedOut { at, place: known.unwrap_or(Place::Unknown) });
        }
        // Wherever the guest may have something, it may have passed the address of it.
        let dead = layouts.iter().filter_map(|layout| layout.stack.as_ref()?.dead_part(core));
        let dead: Vec<Range<u64>> = dead.collect();
        dead.into_iter().find_map(|dead| {
            let part = range.start.max(dead.start)..range.end.min(dead.end);
            let at = GuestRanges::of_memory(core, memory).first_foreign(&part)?;
            Some(Self::DeadStack { at, start: dead.start, pointer: dead.end })
        })
    }

    /// The sentence for a write of `length` bytes at `offset`.
    pub(crate) fn write(self, f: &mut fmt::Formatter<'_>, offset: u64, length: u64) -> fmt::Result {
        let length = ByteCount(length);
        match self {
            Self::NotHandedOut { at, place } => write!(
                f,
                "a host write of {length} at {offset:#x} was refused: at {at:#x} lies {place}. Ask the guest's allocator for memory \
                 and write there (GuestAlloc), or say that the guest expects the write (Memory::declare)"
            ),
            Self::DeadStack { at, start, pointer } => write!(
                f,
                "a host write of {length} at {offset:#x} was refused: at {at:#x} lies the part of the guest's stack that is not in \
                 use, {start:#x}..{pointer:#x}, because __stack_pointer is {pointer:#x}: the guest's next call overwrites it. Write \
                 where the guest said, or ask its allocator for memory (GuestAlloc)"
            ),
        }
    }
}

/// The layouts of a memory, found when they are first needed.
fn layouts(core: &mut StoreCore, memory: usize) -> Arc<[GuestLayout]> {
    let instances = core.instance_count();
    if let Some(known) = GuestRanges::of_memory(core, memory).known_layouts(instances) {
        return known;
    }
    let found: Arc<[GuestLayout]> = GuestLayout::of_memory(core, memory).into();
    GuestRanges::of_memory(core, memory).keep_layouts(instances, &found);
    found
}
