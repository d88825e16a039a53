//! Finds the innermost frame of guest code at any instruction (x86-64).
//!
//! All guest code begins with `push rbp; mov rbp, rsp` and ends with `mov rsp, rbp; pop rbp`, then `ret` or a jump that
//! is a tail call. In between, `rbp` points to the caller's frame pointer and return address. In the prologue and the
//! epilogue, the next instructions show how far the function has got: they are used nowhere else, or occur in
//! recognizable sequences. Cranelift allocates neither `rbp` nor `rsp`, and emits `push` only for the frame.

use std::ops::Range;

/// How much of its frame a function has set up: where its return address and its caller's frame pointer are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Prologue {
    /// The frame is not set up yet, or already gone: the return address lies at the stack pointer, and `rbp` is the
    /// caller's.
    NoFrame,
    /// The caller's `rbp` lies at the stack pointer, the return address above it.
    Pushed,
    /// The caller's `rbp` lies at `rbp`, the return address above it.
    Complete,
}

/// `ud2`: the instruction by which code traps.
pub(crate) const TRAP_INSTRUCTION: [u8; 2] = [0x0f, 0x0b];

const PUSH_RBP: u8 = 0x55;
const MOV_RBP_RSP: [u8; 3] = [0x48, 0x89, 0xe5];
const RET: u8 = 0xc3;
const RET_AND_POP: u8 = 0xc2;
const JUMP: u8 = 0xe9;

/// The number of bytes of code, starting at an instruction, that [`Prologue::at`] reads if the end of the function is
/// unknown.
pub(crate) const REACH: usize = 24;

impl Prologue {
    /// Returns the state of the frame at the instruction at offset `at` of `code`. `function` is the range of its
    /// function in `code`, if known.
    pub(crate) fn at(code: &[u8], at: usize, function: Option<Range<usize>>) -> Self {
        let next = code.get(at..).unwrap_or_default();
        if next.first() == Some(&PUSH_RBP) {
            return Self::NoFrame;
        }
        if next.starts_with(&MOV_RBP_RSP) {
            let is_second = at.checked_sub(1).is_some_and(|before| code[before] == PUSH_RBP);
            return if is_second { Self::Pushed } else { Self::Complete };
        }
        match is_past_frame(code, at, function.as_ref()) {
            true => Self::NoFrame,
            false => Self::Complete,
        }
    }
}

/// Returns whether the function's frame is gone: only its return or its tail call is left.
fn is_past_frame(code: &[u8], at: usize, function: Option<&Range<usize>>) -> bool {
    let next = &code[at..];
    if matches!(next, [RET | RET_AND_POP, ..]) {
        return true;
    }
    // If the callee of a tail call has fewer stack arguments: `mov tmp, [rsp]; mov [rsp + n], tmp; add rsp, n`.
    let mut end = at;
    if let Some(length) = load_of_return_address(&code[end..]) {
        let Some(store) = store_of_return_address(&code[end + length..]) else { return false };
        end += length + store;
    } else if let Some(length) = store_of_return_address(&code[end..]) {
        end += length;
    }
    match add_to_rsp(&code[end..]) {
        Some(length) => is_jump(&code[end + length..]),
        // Without the `add`, neither of the moves may be there.
        None => end == at && is_last_call(code, at, function),
    }
}

/// The length of `mov r64, [rsp]`, if the code begins with it.
fn load_of_return_address(code: &[u8]) -> Option<usize> {
    match code {
        [0x48 | 0x4c, 0x8b, modrm, 0x24, ..] if modrm & 0xc7 == 0x04 => Some(4),
        _ => None,
    }
}

/// The length of `mov [rsp + n], r64`, if the code begins with it.
fn store_of_return_address(code: &[u8]) -> Option<usize> {
    match code {
        [0x48 | 0x4c, 0x89, modrm, 0x24, _, ..] if modrm & 0xc7 == 0x44 => Some(5),
        [0x48 | 0x4c, 0x89, modrm, 0x24, _, _, _, _, ..] if modrm & 0xc7 == 0x84 => Some(8),
        _ => None,
    }
}

/// The length of `add rsp, n`, if the code begins with it.
fn add_to_rsp(code: &[u8]) -> Option<usize> {
    match code {
        [0x48, 0x83, 0xc4, _, ..] => Some(4),
        [0x48, 0x81, 0xc4, _, _, _, _, ..] => Some(7),
        _ => None,
    }
}

/// Returns whether the code begins with a jump that could be a tail call.
fn is_jump(code: &[u8]) -> bool {
    code.first() == Some(&JUMP) || jump_to_register(code).is_some()
}

/// The length of `jmp r64`, if the code begins with it.
fn jump_to_register(code: &[u8]) -> Option<usize> {
    match code {
        [0xff, 0xe0..=0xe7, ..] => Some(2),
        [0x41, 0xff, 0xe0..=0xe7, ..] => Some(3),
        _ => None,
    }
}

/// Returns whether a jump is a function's tail call, not a jump within the function.
fn is_last_call(code: &[u8], at: usize, function: Option<&Range<usize>>) -> bool {
    if let [JUMP, a, b, c, d, ..] = code[at..] {
        let target = (at + 5).wrapping_add_signed(i32::from_le_bytes([a, b, c, d]) as isize);
        // A jump to the function's own start is a call as well: no loop begins with the prologue.
        return function.is_none_or(|function| target == function.start || !function.contains(&target));
    }
    // A jump table is read with `add r64, r64` right before the jump.
    let is_table =
        matches!(at.checked_sub(3).map(|i| &code[i..at]), Some([0x48..=0x4f, 0x01 | 0x03, 0xc0..=0xff]));
    jump_to_register(&code[at..]).is_some() && !is_table
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the state of the frame at each instruction of a function that follows another byte.
    fn frames(instructions: &[&[u8]]) -> Vec<Prologue> {
        let mut code = vec![0x90];
        let starts: Vec<usize> = instructions
            .iter()
            .map(|bytes| {
                code.extend_from_slice(bytes);
                code.len() - bytes.len()
            })
            .collect();
        let function = 1..code.len();
        code.extend([0xcc; 16]);
        starts.iter().map(|at| Prologue::at(&code, *at, Some(function.clone()))).collect()
    }

    #[test]
    fn a_function_that_returns() {
        use Prologue::{Complete, NoFrame, Pushed};
        let function: &[&[u8]] = &[
            &[0x55],
            &[0x48, 0x89, 0xe5],
            &[0x48, 0x83, 0xec, 0x10],       // sub rsp, 16
            &[0x48, 0x8b, 0x04, 0x24],       // mov rax, [rsp]: a slot
            &[0x48, 0x89, 0x44, 0x24, 0x08], // mov [rsp + 8], rax: another
            &[0x48, 0x83, 0xc4, 0x10],       // add rsp, 16
            &[0x48, 0x89, 0xec],             // mov rsp, rbp
            &[0x5d],                         // pop rbp
            &[0xc3],
        ];
        let expected = [NoFrame, Pushed, Complete, Complete, Complete, Complete, Complete, Complete, NoFrame];
        assert_eq!(frames(function), expected);
        let pops: &[&[u8]] = &[&[0x5d], &[0xc2, 0x20, 0]];
        assert_eq!(frames(pops), [Complete, NoFrame]);
    }

    #[test]
    fn a_function_that_ends_in_a_call() {
        use Prologue::{Complete, NoFrame, Pushed};
        let shrinking: &[&[u8]] = &[
            &[0x55],
            &[0x48, 0x89, 0xe5],
            &[0x48, 0x89, 0xec],
            &[0x5d],
            &[0x4c, 0x8b, 0x1c, 0x24],       // mov r11, [rsp]
            &[0x4c, 0x89, 0x5c, 0x24, 0x20], // mov [rsp + 32], r11
            &[0x48, 0x83, 0xc4, 0x20],       // add rsp, 32
            &[0x41, 0xff, 0xe2],             // jmp r10
        ];
        let expected = [NoFrame, Pushed, Complete, Complete, NoFrame, NoFrame, NoFrame, NoFrame];
        assert_eq!(frames(shrinking), expected);
        // To another function, to itself, and to a place within.
        for (target, expected) in [(1000, NoFrame), (-6, NoFrame), (-5, Complete), (2, Complete)] {
            let jump: &[&[u8]] = &[&[0x5d], &[0xe9], &i32::to_le_bytes(target), &[0x90; 20]];
            assert_eq!(frames(jump)[1], expected, "{target}");
        }
    }

    #[test]
    fn a_table_of_jumps() {
        let function: &[&[u8]] =
            &[&[0x4c, 0x01, 0xc9], &[0xff, 0xe1], &[0x49, 0x03, 0xca], &[0x41, 0xff, 0xe2]];
        assert_eq!(frames(function), [Prologue::Complete; 4]);
    }
}
