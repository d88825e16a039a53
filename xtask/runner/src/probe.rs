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
/// What it returns.
pub(crate) const COUNTED: i32 = {
    let number =
        [image_byte(COUNTER), image_byte(COUNTER + 1), image_byte(COUNTER + 2), image_byte(COUNTER + 3)];
    i32::from_le_bytes(number) + 1
};
/// Where the number lies.
const COUNTER: usize = 65536;

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
/// Bytes of the memory that has it.
pub(crate) const IMAGE_MEMORY: usize = 17 << 16;

/// An export `() -> i32` that adds one to a word of each of some pages, and returns one of them: 1 in a clean world.
pub const DIRTY: &str = "dirty";

/// An export `() -> i32` that sums 64 KiB up, byte by byte.
pub(crate) const SUM: &str = "sum";

const MIB: usize = 1 << 20;

/// A guest whose calls begin in clean worlds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Guest {
    /// The binary.
    pub wasm: Vec<u8>,
    /// Bytes of its memory.
    pub memory: usize,
    /// What is called: no parameters, an `i32`.
    pub export: &'static str,
    /// What it returns, always, if the worlds are clean.
    pub returns: i32,
}

impl Guest {
    /// A call that does nothing, beside a memory of 4 MiB.
    pub(crate) fn small() -> Self {
        Self { wasm: sandbox(), memory: 4 * MIB, export: CONSTANT, returns: 42 }
    }

    /// A call that writes to 32 pages of it.
    pub(crate) fn scattered() -> Self {
        Self { wasm: sandbox(), memory: 4 * MIB, export: DIRTY, returns: 1 }
    }

    /// A call that writes to every page of the first so many MiB of a memory of so many.
    pub(crate) fn dirty(written: usize, memory: usize) -> Self {
        let memory = memory * MIB;
        Self { wasm: dirty(memory, written * MIB, 4096), memory, export: DIRTY, returns: 1 }
    }

    /// Whether a call's result shows that its world was clean.
    ///
    /// # Errors
    ///
    /// If it was not.
    pub fn check(&self, result: i32) -> anyhow::Result<()> {
        anyhow::ensure!(
            result == self.returns,
            "the world was not clean: {result}, expected {}",
            self.returns
        );
        Ok(())
    }
}

/// The module for sandboxes: a memory of 4 MiB, [`CONSTANT`], [`DIRTY`] of each 32nd page of the host and one that sums 64 KiB up.
pub fn sandbox() -> Vec<u8> {
    dirty(4 * MIB, 4 * MIB, 4 * MIB / 32)
}

/// A memory of so many bytes; [`DIRTY`] writes to its beginning, in steps.
fn dirty(memory: usize, end: usize, step: usize) -> Vec<u8> {
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
        pages = memory >> 16,
        last = memory - 100,
    );
    wat::parse_str(text).expect("the module is right")
}

/// A byte of the image: no page of it is alike, and none is zero.
const fn image_byte(at: usize) -> u8 {
    (at * 31 + (at >> 12)) as u8 | 1
}

/// The module for instantiation: a memory with 1 MiB of data.
pub(crate) fn image() -> Vec<u8> {
    let mut data = String::with_capacity(IMAGE * 3);
    for at in 0..IMAGE {
        write!(data, "\\{:02x}", image_byte(at)).expect("strings take everything");
    }
    let text = format!(
        r#"(module
            (memory (export "memory") 17)
            (data (i32.const 0) "{data}")
            (func (export "constant") (result i32) (i32.const 42))
            (func (export "count") (result i32)
                (i32.store (i32.const {COUNTER}) (i32.add (i32.load (i32.const {COUNTER})) (i32.const 1)))
                (i32.load (i32.const {COUNTER}))))"#
    );
    wat::parse_str(text).expect("the module is right")
}
