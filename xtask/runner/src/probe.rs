//! The modules for measuring calls and instantiation.

use std::fmt::Write;

/// An export `(i32, i32) -> i32` that adds.
pub const GUEST_ADD: &str = "guest_add";
/// An export `(i32) -> i32` that calls the import `host.add` (`(i32, i32) -> i32`) the given number of times.
pub const CALL_HOST: &str = "call_host";

/// An export `() -> i32` that returns a constant.
pub const CONSTANT: &str = "constant";
/// An export `() -> i32` that adds to a number in the memory's image.
pub(crate) const COUNT: &str = "count";
/// Its result.
pub(crate) const COUNTED: i32 = {
    let number =
        [image_byte(COUNTER), image_byte(COUNTER + 1), image_byte(COUNTER + 2), image_byte(COUNTER + 3)];
    i32::from_le_bytes(number) + 1
};
/// The address of the number.
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
/// Never panics: its text is valid.
pub fn calls() -> Vec<u8> {
    wat::parse_str(CALLS).expect("the module is right")
}

/// Bytes of the image that instances start with.
const IMAGE: usize = 1 << 20;
/// Bytes of the memory with that image.
pub(crate) const IMAGE_MEMORY: usize = 17 << 16;

/// An export `() -> i32` that adds one to a word of some pages, and returns one of the words: 1 in a clean instance.
pub const DIRTY: &str = "dirty";

/// An export `() -> i32` that sums up 64 KiB, byte by byte.
pub(crate) const SUM: &str = "sum";

const MIB: usize = 1 << 20;

/// A guest whose calls run in clean instances.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Guest {
    /// The binary.
    pub wasm: Vec<u8>,
    /// The size of its memory in bytes.
    pub memory: usize,
    /// The export to call: no parameters, an `i32` result.
    pub export: &'static str,
    /// Its result in a clean instance.
    pub returns: i32,
}

impl Guest {
    /// A guest whose call does nothing, with a memory of 4 MiB.
    pub(crate) fn small() -> Self {
        Self { wasm: sandbox(), memory: 4 * MIB, export: CONSTANT, returns: 42 }
    }

    /// A guest whose call writes to 32 pages of it.
    pub(crate) fn scattered() -> Self {
        Self { wasm: sandbox(), memory: 4 * MIB, export: DIRTY, returns: 1 }
    }

    /// A guest whose call writes to every page of the first MiB of a memory, by the given sizes.
    pub(crate) fn dirty(written: usize, memory: usize) -> Self {
        let memory = memory * MIB;
        Self { wasm: dirty(memory, written * MIB, 4096), memory, export: DIRTY, returns: 1 }
    }

    /// Checks by a call's result that its instance was clean.
    ///
    /// # Errors
    ///
    /// Returns an error if it was not.
    pub fn check(&self, result: i32) -> anyhow::Result<()> {
        anyhow::ensure!(
            result == self.returns,
            "the world was not clean: {result}, expected {}",
            self.returns
        );
        Ok(())
    }
}

/// The module for sandboxes: a memory of 4 MiB, [`CONSTANT`], [`DIRTY`] for each 32nd host page, and a function that
/// sums up 64 KiB.
pub fn sandbox() -> Vec<u8> {
    dirty(4 * MIB, 4 * MIB, 4 * MIB / 32)
}

/// Creates a module with a memory of the given size; [`DIRTY`] writes to its beginning, in steps.
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

/// Returns a byte of the image: no two pages are alike, and none is zero.
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
