//! The errors of what a guest passes that is invalid. The same words are used wherever it is found: where values are
//! lifted and lowered, and in adapters.

use belljar_core::{Error, format_err};
use std::fmt;

/// The largest size of a list or string in bytes.
pub const MAX_BYTES: u64 = (1 << 28) - 1;

/// The error of a range that does not lie in a memory.
#[cold]
pub fn out_of_bounds(start: u64, size: u64, length: u64) -> Error {
    format_err!(
        "pointer out of bounds: {size} bytes at {start:#x} do not lie in the memory, which has {length}"
    )
}

/// The error of an address that is not aligned.
#[cold]
pub fn unaligned(address: u64, align: u32) -> Error {
    format_err!("pointer not aligned: {address:#x} is not a multiple of {align}")
}

/// The error of a string, list or map with too many bytes.
#[cold]
pub fn too_long(what: &str, count: u64, element: u32) -> Error {
    format_err!("{what} too long: {count} elements of {element} bytes, and the limit is {MAX_BYTES} bytes")
}

/// The error of a number that is no character.
#[cold]
pub fn no_char(code: u32) -> Error {
    format_err!("invalid `char` bit pattern: {code:#x} is no Unicode scalar value")
}

/// The error of a number that is no case of a type.
#[cold]
pub fn no_case(case: u64, ty: &dyn fmt::Display) -> Error {
    format_err!("invalid variant discriminant: {case} in a value of type {ty}")
}

/// The error of an allocator that returns a range that does not lie in its memory.
#[cold]
pub fn allocated_out_of_bounds(at: u64, size: u64, length: u64) -> Error {
    format_err!("realloc return: beyond end of memory: {size} bytes at {at:#x}, and the memory has {length}")
}

/// The error of an allocator that returns an address that is not aligned.
#[cold]
pub fn allocated_unaligned(at: u64, align: u32) -> Error {
    format_err!("realloc return: result not aligned: {at:#x} is not a multiple of {align}")
}

/// The error of an exception that a component does not catch.
#[cold]
pub fn exception_left_component() -> Error {
    format_err!("uncaught exception propagated out of component: no other component can catch it")
}
