//! Makes the same calls in two engines and compares results, traps and exceptions, and the state after each.

use crate::generate::{Family, Mode, generate, lengthened};
use crate::generated::Generated;
use arbitrary::Unstructured;
use belljar::Trap;

/// An engine with an instance of a module. Exports are identified by kind and index, as in [`Generated`].
pub trait Runner: Sized {
    /// Compiles and instantiates, including the start function; or returns how that ended.
    fn new(module: &Generated, mode: Mode) -> Result<Self, Ended>;

    /// Calls a function with arguments derived from the seed, the same in every engine; `None` if it takes a type of which no
    /// value can be made.
    fn call(&mut self, function: u32, seed: u64) -> Option<Ended>;

    fn global(&mut self, global: u32) -> Plain;

    /// Returns a table's size, and its first [`ELEMENTS`].
    fn table(&mut self, table: u32) -> (u64, Vec<Plain>);

    fn memory<R>(&mut self, memory: u32, look: impl FnOnce(&[u8]) -> R) -> R;
}

/// How many elements of a table are compared.
pub const ELEMENTS: u64 = 20;

/// How a call, or an instantiation, ended.
#[derive(Debug, PartialEq)]
pub enum Ended {
    Returned(Vec<Plain>),
    Threw(Plain),
    Trapped(Trap),
    /// Fuel, stack or memory was exhausted. The amounts differ between engines, so what follows cannot be
    /// compared.
    Exhausted,
    /// The engine cannot run the module at all, which only the other engine may do.
    Unsupported,
}

impl Ended {
    /// A trap, as far as all engines can distinguish it: not all of them know whether a call or another access went
    /// outside a table.
    pub fn trapped(trap: Trap) -> Self {
        match trap {
            Trap::OutOfFuel | Trap::StackOverflow => Self::Exhausted,
            Trap::GcHeapExhausted | Trap::AllocationTooLarge => Self::Exhausted,
            Trap::UndefinedElement => Self::Trapped(Trap::TableOutOfBounds),
            // An access may be both, and engines check in different orders: Wasmtime's `notify` adds the offset first.
            Trap::HeapMisaligned => Self::Trapped(Trap::MemoryOutOfBounds),
            trap => Self::Trapped(trap),
        }
    }
}

/// A value, as far as all engines can compare it: numbers by their bits, objects by their contents, to an affordable depth.
#[derive(Debug, PartialEq)]
pub enum Plain {
    Bits32(u32),
    Bits64(u64),
    Bits128(u128),
    Null,
    Func,
    I31(u32),
    Struct(Vec<Plain>),
    /// The length, and the first elements.
    Array(u32, Vec<Plain>),
    /// A host value.
    Host(u32),
    /// A guest's value as an external one.
    Extern(Box<Plain>),
    /// The tag's index among the exports, and the payload.
    Exception(Option<u32>, Vec<Plain>),
    /// Too deep to compare.
    Deep,
}

/// Returns an arbitrary argument of a number type, the same for all engines.
pub fn bits(seed: u64, i: usize) -> u64 {
    const INTERESTING: [u64; 8] =
        [0, 1, u64::MAX, 0x8000_0000, 0x7fff_ffff, 1 << 63, 65535, 0x3ff0_0000_0000_0000];
    INTERESTING[(seed as usize).wrapping_add(i * 3) % INTERESTING.len()] ^ (seed >> 32)
}

/// Panics if the engines differ.
pub fn compare<Ours: Runner, Theirs: Runner>(family: Family, bytes: &[u8]) {
    let bytes = lengthened(bytes);
    let mut u = Unstructured::new(&bytes);
    let Ok(mut mode) = u.arbitrary::<Mode>() else { return };
    mode.canonical_nans = family != Family::Release2;
    let Ok(seed) = u.arbitrary::<u64>() else { return };
    let Ok(module) = generate(&mut u, family, mode.counts_steps) else { return };
    if let Some(file) = std::env::var_os("FUZZ_MODULE") {
        std::fs::write(file, &module.wasm).expect("the file can be written");
    }
    let (mut ours, mut theirs) = match (Ours::new(&module, mode), Theirs::new(&module, mode)) {
        (Ok(ours), Ok(theirs)) => (ours, theirs),
        (Err(Ended::Exhausted), _) | (_, Err(Ended::Exhausted | Ended::Unsupported)) => return,
        (ours, theirs) => return assert_eq!(ours.err(), theirs.err(), "how the instantiation ended"),
    };
    same_state(&module, &mut ours, &mut theirs, "after the instantiation");
    for function in 0..module.functions {
        let seed = seed.rotate_left(function * 7);
        match (ours.call(function, seed), theirs.call(function, seed)) {
            (Some(Ended::Exhausted), _) | (_, Some(Ended::Exhausted)) => return,
            (ours, theirs) => assert_eq!(ours, theirs, "f{function}"),
        }
        same_state(&module, &mut ours, &mut theirs, &format!("after f{function}"));
    }
}

fn same_state(module: &Generated, ours: &mut impl Runner, theirs: &mut impl Runner, when: &str) {
    for i in 0..module.memories {
        let differs = ours.memory(i, |ours| theirs.memory(i, |theirs| difference(ours, theirs)));
        assert_eq!(differs, None, "m{i} {when}");
    }
    for i in 0..module.globals {
        assert_eq!(ours.global(i), theirs.global(i), "g{i} {when}");
    }
    for i in 0..module.tables {
        assert_eq!(ours.table(i), theirs.table(i), "t{i} {when}");
    }
}

/// Returns where memories differ, if they do: their lengths, the address of the first different byte and both bytes.
type Difference = (usize, usize, Option<(usize, u8, u8)>);

fn difference(ours: &[u8], theirs: &[u8]) -> Option<Difference> {
    if ours == theirs {
        return None;
    }
    let at = ours.iter().zip(theirs).position(|(a, b)| a != b);
    Some((ours.len(), theirs.len(), at.map(|at| (at, ours[at], theirs[at]))))
}
