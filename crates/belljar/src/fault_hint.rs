//! Hints about an address outside a memory: text, a pattern of freed memory, a negative number, the end of a stack.
//!
//! In: an access that trapped. Out: one clause for a reader, or nothing. Never: certainty; it says what the address
//! looks like.

use belljar_core::InstanceId;
use belljar_vm::{Fault, FaultAddress, RawStack, StoreCore};
use std::fmt;

/// What an access outside a memory looks like.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum FaultHint {
    /// The guest's own stack is exhausted.
    StackExhausted { start: u64, now: i64 },
    /// The address is a pattern that some programs fill memory with, plus a small offset.
    Pattern { pattern: u64, offset: i64, use_of: &'static str },
    /// The bytes of the address are printable.
    Text([u8; 8]),
    /// The address is negative as a signed number.
    Negative(i64),
    /// The length is negative as a signed number.
    NegativeLength(i64),
    /// A negative address plus an offset.
    Beyond,
}

/// Patterns that debuggers, allocators and compilers fill memory with: 32 bits of each.
const PATTERNS: &[(u32, &str)] = &[
    (0xdead_beef, "a common marker for freed or uninitialized memory"),
    (0xdead_dead, "a common marker for freed memory"),
    (0xdead_c0de, "a common marker for freed memory"),
    (0xbaad_f00d, "a common marker for uninitialized memory"),
    (0xcdcd_cdcd, "which debug allocators fill new memory with"),
    (0xcccc_cccc, "which debug builds fill new stack frames with"),
    (0xdddd_dddd, "which debug allocators fill freed memory with"),
    (0xfdfd_fdfd, "which debug allocators put around allocations"),
    (0xabab_abab, "which debug allocators put after allocations"),
    (0xfeee_feee, "which debug allocators fill freed memory with"),
    (0xaaaa_aaaa, "which Zig and Clang fill uninitialized variables with"),
    (0xa5a5_a5a5, "which debug allocators fill new memory with"),
    (0x5a5a_5a5a, "which debug allocators fill freed memory with"),
];

/// The largest distance of an address from a pattern or from zero: a field of a structure, or an element of a small
/// array.
const FIELD_OFFSETS: i64 = 4096;
/// The largest distance by which a stack pointer or an index may have gone below null, or below the end of the address
/// space.
const WRAPPED: u64 = 1 << 16;
/// Addresses this close after the memory's end get no hint: they are overruns.
const RAN_ON: u64 = 1 << 16;
/// The largest frame that a function is assumed to have on the guest's stack.
const FRAME: u64 = 64 << 20;
const FOUR_GIB: u64 = 1 << 32;
/// The longest access of an instruction other than bulk operations.
const LONGEST_ACCESS: u64 = 16;

impl FaultHint {
    /// Returns a hint for an access, and where the stack pointer was.
    pub(crate) fn of(fault: &Fault, stack: &RawStack, core: &StoreCore) -> Option<Self> {
        let FaultAddress::Start(address) = fault.address else { return None };
        let exhausted = || {
            let frame = stack.frames().first()?;
            let mut instances = core.instances_of(frame);
            // Each instance of a module has its own stack, and compiled code does not tell which of them it runs for.
            let only = instances.next().filter(|_| instances.next().is_none())?;
            Self::of_stack(address, fault.memory_size, core, only)
        };
        let length = fault.length.unwrap_or(0);
        Self::of_length(address, length, fault.memory_size)
            .or_else(exhausted)
            .or_else(|| Self::of_address(address, length, fault.memory_size))
    }

    /// Returns the hint for a negative length with an address inside the memory.
    fn of_length(address: u64, length: u64, memory_size: u64) -> Option<Self> {
        let is_length = address <= memory_size && length > LONGEST_ACCESS;
        is_length.then(|| negative(length).map(Self::NegativeLength))?
    }

    /// Returns the hint for a stack pointer that went below null, or was about to: the address is then at the other end
    /// of the address space.
    fn of_stack(address: u64, memory_size: u64, core: &StoreCore, instance: InstanceId) -> Option<Self> {
        // Checked first, because looking up the stack pointer reads the module's names.
        let below_null = FOUR_GIB.saturating_sub(address);
        if address < memory_size || below_null > FRAME || address >= FOUR_GIB + FRAME {
            return None;
        }
        let (start, now) = crate::guest_layout::stack_pointer_now(core, instance)?;
        let signed = i64::from(u32::try_from(now).ok()?.cast_signed());
        let went_below = signed < 0 && signed.unsigned_abs() <= FRAME && address.abs_diff(now) <= FRAME;
        // A leaf function does not write the stack pointer back.
        let leaf_went_below = now < WRAPPED && now < start && below_null != 0 && below_null <= WRAPPED;
        let is_stack =
            start <= memory_size && (went_below || leaf_went_below && now.saturating_mul(8) < start);
        is_stack.then_some(Self::StackExhausted { start, now: signed })
    }

    fn of_address(address: u64, length: u64, memory_size: u64) -> Option<Self> {
        if address < memory_size.saturating_add(RAN_ON) {
            return None;
        }
        if let Some(value) = negative(address) {
            return Some(Self::Negative(value));
        }
        if (FOUR_GIB..FOUR_GIB + WRAPPED).contains(&address) && length <= LONGEST_ACCESS {
            return Some(Self::Beyond);
        }
        pattern(address).or_else(|| text(address))
    }
}

/// Returns an address or length slightly below the end of a 32-bit or 64-bit address space as a signed number.
fn negative(value: u64) -> Option<i64> {
    let signed = match u32::try_from(value) {
        Ok(value) => i64::from(value.cast_signed()),
        Err(_) => value.cast_signed(),
    };
    (signed < 0 && signed.unsigned_abs() <= WRAPPED).then_some(signed)
}

fn pattern(address: u64) -> Option<FaultHint> {
    PATTERNS.iter().find_map(|(half, use_of)| {
        let half = u64::from(*half);
        // The pattern as all of a 32-bit address, or as both halves of a 64-bit one.
        [half, half << 32 | half].into_iter().find_map(|pattern| {
            let offset = i64::try_from(i128::from(address) - i128::from(pattern)).ok()?;
            (-FIELD_OFFSETS..=FIELD_OFFSETS).contains(&offset).then_some(FaultHint::Pattern {
                pattern,
                offset,
                use_of,
            })
        })
    })
}

fn text(address: u64) -> Option<FaultHint> {
    let bytes = address.to_le_bytes();
    let is_text = |bytes: &[u8]| bytes.iter().all(|byte| (b' '..=b'~').contains(byte));
    let is_32 = address < FOUR_GIB;
    (is_text(&bytes[..4]) && (is_32 || is_text(&bytes))).then_some(FaultHint::Text(bytes))
}

impl fmt::Display for FaultHint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::StackExhausted { start, now } => write!(
                f,
                "the guest's own stack is exhausted: __stack_pointer started at {start:#x} and is now {now}"
            ),
            Self::Pattern { pattern, offset, use_of } => {
                write!(f, "the address is {pattern:#x}")?;
                match offset {
                    0 => {}
                    1.. => write!(f, " plus {offset}")?,
                    _ => write!(f, " minus {}", -offset)?,
                }
                write!(f, ", {use_of}")
            }
            Self::Text(bytes) => {
                let length = if bytes[4..] == [0; 4] { 4 } else { 8 };
                let text = String::from_utf8_lossy(&bytes[..length]);
                write!(f, "the address reads as the text {text:?}: was text written over a pointer?")
            }
            Self::Negative(value) => {
                write!(
                    f,
                    "the address is {value} as a signed number: an access before null, or a negative index"
                )
            }
            Self::NegativeLength(value) => write!(f, "the length is {value} as a signed number"),
            Self::Beyond => f.write_str(
                "the address is above 4 GiB: a value that is negative as a signed number, plus an offset",
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hint(address: u64) -> String {
        FaultHint::of_address(address, 4, 17 << 16).map(|hint| hint.to_string()).unwrap_or_default()
    }

    #[test]
    fn addresses_are_read() {
        let cases = [
            (0x4141_4141, r#"the address reads as the text "AAAA": was text written over a pointer?"#),
            (0x6c6c_6568, r#"the address reads as the text "hell": was text written over a pointer?"#),
            (0x2222_2222, r#"the address reads as the text "\"\"\"\"": was text written over a pointer?"#),
            (
                0x6f77_206f_6c6c_6568,
                r#"the address reads as the text "hello wo": was text written over a pointer?"#,
            ),
            (0xdead_beef, "the address is 0xdeadbeef, a common marker for freed or uninitialized memory"),
            (0xcdcd_cdd5, "the address is 0xcdcdcdcd plus 8, which debug allocators fill new memory with"),
            (
                0xfeee_fede,
                "the address is 0xfeeefeee minus 16, which debug allocators fill freed memory with",
            ),
            (0x5a5a_5a5a, "the address is 0x5a5a5a5a, which debug allocators fill freed memory with"),
            (
                0xaaaa_aaaa_aaaa_aaac,
                "the address is 0xaaaaaaaaaaaaaaaa plus 2, which Zig and Clang fill uninitialized variables with",
            ),
            (0xffff_fff8, "the address is -8 as a signed number: an access before null, or a negative index"),
            (u64::MAX, "the address is -1 as a signed number: an access before null, or a negative index"),
            (
                0x1_0000_000f,
                "the address is above 4 GiB: a value that is negative as a signed number, plus an offset",
            ),
            (0x11_0000, ""),
            (0x11_0010, ""),
            (0x4141_4101, ""),
            (0x8000_0000, ""),
            (0x1_4141_4141, ""),
        ];
        for (address, expected) in cases {
            assert_eq!(hint(address), expected, "{address:#x}");
        }
    }

    #[test]
    fn what_ran_on_is_no_text() {
        let size = 0x2020_0000;
        assert_eq!(FaultHint::of_address(size + 0x2020, 4, size), None);
        assert!(FaultHint::of_address(size + 0x2020_2020, 4, size).is_some());
    }

    #[test]
    fn lengths_are_read() {
        assert_eq!(FaultHint::of_length(8, 0xffff_fff0, 1 << 16), Some(FaultHint::NegativeLength(-16)));
        assert_eq!(FaultHint::of_length(8, 70_000, 1 << 16), None);
        assert_eq!(FaultHint::of_length(1 << 20, 0xffff_fff0, 1 << 16), None);
    }
}
