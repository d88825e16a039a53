//! The modules that calls and instantiation are measured with.

use std::fmt::Write;

/// An export `(i32, i32) -> i32` that adds.
pub const GUEST_ADD: &str = "guest_add";
/// An export `(i32) -> i32` that calls the import `host.add` (`(i32, i32) -> i32`) so many times.
pub const CALL_HOST: &str = "call_host";

/// An export `() -> i32` that returns a constant.
pub const CONSTANT: &str = "constant";
/// An export `() -> i32` that adds to a number in the memory's image.
pub(crate) const COUNT: &str = "count";

const CALLS: &str = r#"(module
    (import "host" "add" (func $add (param i32 i32) (result i32)))
    (func (export "guest_add") (param i32 i32) (result i32)
        (i32.add (local.get 0) (local.get 1)))
    (func (export "call_host") (param $left i32) (result i32)
        (local $sum i32)
        (loop $again
            (local.set $sum (call $add (local.get $sum) (local.get $left)))
            (br_if $again (local.tee $left (i32.sub (local.get $left) (i32.const 1)))))
        (local.get $sum)))"#;

/// The module for calls: [`GUEST_ADD`] and [`CALL_HOST`].
///
/// # Panics
///
/// Never: its text is right.
pub fn calls() -> Vec<u8> {
    wat::parse_str(CALLS).expect("the module is right")
}

/// Bytes of the image that instances start with.
const IMAGE: usize = 1 << 20;

/// Pages that [`DIRTY`] writes to.
const DIRTY_PAGES: usize = 32;
/// An export `() -> i32` that writes to so many pages.
pub const DIRTY: &str = "dirty";

/// An export `() -> i32` that sums 64 KiB up, byte by byte.
pub(crate) const SUM: &str = "sum";

/// The module for sandboxes: a memory of 4 MiB, [`CONSTANT`], [`DIRTY`] and one that sums 64 KiB up.
pub fn sandbox() -> Vec<u8> {
    // Each 32nd page of the host.
    dirty(64, 64 << 16, (64 << 16) / DIRTY_PAGES)
}

/// The same with a memory of 16 MiB, of which 12 are written to.
pub(crate) fn large() -> Vec<u8> {
    dirty(256, 12 << 20, 4096)
}

/// A memory of so many pages; [`DIRTY`] writes to its beginning, in steps.
fn dirty(pages: usize, end: usize, step: usize) -> Vec<u8> {
    let text = format!(
        r#"(module
            (memory (export "memory") {pages})
            (data (i32.const 0) "something") (data (i32.const {last}) "at both ends")
            (func (export "constant") (result i32) (i32.const 42))
            (func (export "sum") (result i32) (local $at i32) (local $sum i32)
                (loop $again
                    (local.set $sum (i32.add (local.get $sum) (i32.load8_u (local.get $at))))
                    (br_if $again (i32.lt_u (local.tee $at (i32.add (local.get $at) (i32.const 1))) (i32.const 65536))))
                (local.get $sum))
            (func (export "dirty") (result i32) (local $at i32)
                (loop $again
                    (i32.store (local.get $at) (i32.add (i32.load (local.get $at)) (i32.const 1)))
                    (br_if $again (i32.lt_u (local.tee $at (i32.add (local.get $at) (i32.const {step})))
                        (i32.const {end}))))
                (i32.load (i32.const {step}))))"#,
        last = (pages << 16) - 100,
    );
    wat::parse_str(text).expect("the module is right")
}

/// The module for instantiation: a memory with 1 MiB of data.
pub(crate) fn image() -> Vec<u8> {
    let mut data = String::with_capacity(IMAGE * 3);
    for i in 0..IMAGE {
        // No page of it is alike, and none is zero.
        write!(data, "\\{:02x}", (i * 31 + (i >> 12)) as u8 | 1).expect("strings take everything");
    }
    let text = format!(
        r#"(module
            (memory (export "memory") 17)
            (data (i32.const 0) "{data}")
            (func (export "constant") (result i32) (i32.const 42))
            (func (export "count") (result i32)
                (i32.store (i32.const 65536) (i32.add (i32.load (i32.const 65536)) (i32.const 1)))
                (i32.load (i32.const 65536))))"#
    );
    wat::parse_str(text).expect("the module is right")
}
