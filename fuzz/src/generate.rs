//! Generates modules from bytes: the family decides what a module may contain, the input how much.

use crate::generated::Generated;
use crate::prepare::prepare;
use arbitrary::{Arbitrary, Result, Unstructured};
use wasm_smith::{Config, InstructionKinds};

/// The features that a module uses. All but `Imports` are closed: without imports, everything exported.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Family {
    /// WebAssembly 2.0, with NaNs made canonical by the module itself, for engines that cannot do it.
    Release2,
    /// Structs, arrays, small integers, casts, typed function references.
    Gc,
    /// Exceptions and tail calls, with objects or without.
    Exceptions,
    /// Vectors, including relaxed ones.
    Simd,
    /// Shared memories and atomic instructions, on one thread.
    Threads,
    /// Several memories, of 64-bit addresses and of small pages; 128-bit arithmetic.
    Memories,
    /// Any imports, and all of 3.0.
    Imports,
}

/// How a module is run.
#[derive(Clone, Copy, Arbitrary, Debug)]
pub struct Mode {
    /// Address space is reserved for memories, so that most accesses carry no checks.
    pub reserved: bool,
    /// A collection runs at every allocation.
    pub gc_stress: bool,
    /// The module counts its own steps and stops where it did in any other engine. Otherwise each engine counts
    /// fuel in its own way, and the code is what a compiler would have made.
    pub counts_steps: bool,
    /// Everything is compiled with the settings for huge functions.
    pub giants: bool,
    /// Engines make NaNs canonical.
    #[arbitrary(value = true)]
    pub canonical_nans: bool,
}

impl Mode {
    /// Returns a number below [`Mode::COUNT`].
    pub fn index(self) -> usize {
        let bits = [self.reserved, self.gc_stress, self.counts_steps, self.giants, self.canonical_nans];
        bits.into_iter().fold(0, |index, bit| index << 1 | usize::from(bit))
    }

    /// Fuel is counted and nothing else is special.
    pub const PLAIN: Self =
        Self { reserved: true, gc_stress: false, counts_steps: false, giants: false, canonical_nans: false };

    /// The number of modes.
    pub const COUNT: usize = 32;
}

/// Steps (calls and loop iterations) for each call of a module that counts them.
pub const STEPS_PER_CALL: i32 = 1000;

/// Generates a module of a family.
///
/// # Errors
///
/// Returns an error if the input is used up before the module is complete.
pub fn generate(u: &mut Unstructured<'_>, family: Family, counts_steps: bool) -> Result<Generated> {
    let config = config(u, family)?;
    let mut module = wasm_smith::Module::new(config, u)?;
    let steps = counts_steps.then(|| module.ensure_termination(STEPS_PER_CALL as u32));
    let steps = steps.transpose().expect("bodies are generated, not arbitrary bytes");
    Ok(prepare(&module.to_bytes(), family != Family::Imports, steps))
}

/// Extends the input with bytes derived from its first bytes, so that short inputs, which a fuzzer starts with,
/// give complete modules as well.
pub fn lengthened(bytes: &[u8]) -> Vec<u8> {
    const MADE: usize = 1536;
    let mut seed = [0; 8];
    let length = bytes.len().min(8);
    seed[..length].copy_from_slice(&bytes[..length]);
    let mut state = u64::from_le_bytes(seed);
    // SplitMix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, 2014).
    let made = std::iter::repeat_with(|| {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (state ^ state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    });
    bytes.iter().copied().chain(made.take(MADE / 8).flat_map(u64::to_le_bytes)).collect()
}

fn config(u: &mut Unstructured<'_>, family: Family) -> Result<Config> {
    let mut config: Config = u.arbitrary()?;
    if u.arbitrary()? {
        config.allowed_instructions = InstructionKinds::all();
    }
    config.multi_value_enabled = true;
    config.bulk_memory_enabled = true;
    config.reference_types_enabled = true;
    config.simd_enabled = true;
    config.saturating_float_to_int_enabled = true;
    config.sign_extension_ops_enabled = true;
    limit(&mut config);
    release_2(&mut config);
    match family {
        Family::Release2 => config.canonicalize_nans = true,
        Family::Gc => {
            config.gc_enabled = true;
            config.extended_const_enabled = true;
            config.tail_call_enabled = u.arbitrary()?;
            config.min_types = 4;
        }
        Family::Exceptions => {
            config.exceptions_enabled = true;
            config.tail_call_enabled = true;
            config.gc_enabled = u.arbitrary()?;
            config.min_tags = 1;
        }
        Family::Simd => config.relaxed_simd_enabled = true,
        Family::Threads => {
            config.threads_enabled = true;
            config.memory64_enabled = u.arbitrary()?;
            config.min_memories = 1;
            config.max_memories = 2;
        }
        Family::Memories => {
            config.memory64_enabled = true;
            config.custom_page_sizes_enabled = true;
            config.wide_arithmetic_enabled = true;
            config.extended_const_enabled = true;
            config.min_memories = 1;
            config.max_memories = 4;
        }
        Family::Imports => {
            config.gc_enabled = u.arbitrary()?;
            config.tail_call_enabled = true;
            config.exceptions_enabled = true;
            config.threads_enabled = true;
            config.memory64_enabled = true;
            config.relaxed_simd_enabled = true;
            config.extended_const_enabled = true;
            config.max_memories = 2;
        }
    }
    if family != Family::Imports {
        config.max_imports = 0;
        // `prepare` exports everything, under names that cost no input.
        config.max_exports = 0;
        config.min_funcs = 3;
    }
    config.max_types = config.max_types.max(config.min_types.max(1));
    config.min_types = config.min_types.max(1);
    config.max_funcs = config.max_funcs.max(config.min_funcs);
    config.max_tags = config.max_tags.max(config.min_tags);
    Ok(config)
}

/// Limits so small that an input takes milliseconds.
fn limit(config: &mut Config) {
    config.min_memories = 0;
    config.max_memories = 1;
    config.max_memory32_bytes = 1 << 20;
    config.max_memory64_bytes = 1 << 20;
    config.max_table_elements = 1000;
    config.max_tables = config.max_tables.min(4);
    config.max_funcs = config.max_funcs.min(12);
    // Nothing after a trap runs, so several short functions test more than one long one.
    config.max_instructions = config.max_instructions.min(60);
    config.limit_arrays_in_const_exprs = true;
}

/// Disables everything that came after 2.0.
fn release_2(config: &mut Config) {
    config.canonicalize_nans = false;
    config.relaxed_simd_enabled = false;
    config.memory64_enabled = false;
    config.threads_enabled = false;
    config.exceptions_enabled = false;
    config.tail_call_enabled = false;
    config.gc_enabled = false;
    config.custom_page_sizes_enabled = false;
    config.wide_arithmetic_enabled = false;
    config.extended_const_enabled = false;
    config.shared_everything_threads_enabled = false;
    config.compact_imports_enabled = false;
}
