//! What the fuzz targets share: generated modules, and a store that no module can exhaust.

mod for_wasmi;

pub use for_wasmi::for_wasmi;

use arbitrary::{Result, Unstructured};
use belljar::{Config, Engine, Store, StoreLimits, StoreLimitsBuilder};
use std::sync::OnceLock;

/// Fuel for each call: enough to get anywhere, too little to take long.
pub const FUEL: u64 = 100_000;

/// A valid WebAssembly 2.0 module. `closed`: without imports, everything exported, so that engines can be
/// compared; otherwise with tail calls and exceptions.
pub fn module(u: &mut Unstructured<'_>, closed: bool) -> Result<Vec<u8>> {
    let mut config: wasm_smith::Config = u.arbitrary()?;
    config.multi_value_enabled = true;
    config.bulk_memory_enabled = true;
    config.reference_types_enabled = true;
    config.simd_enabled = true;
    config.saturating_float_to_int_enabled = true;
    config.sign_extension_ops_enabled = true;
    config.relaxed_simd_enabled = false;
    config.memory64_enabled = false;
    config.threads_enabled = false;
    config.exceptions_enabled = !closed;
    config.tail_call_enabled = !closed;
    config.gc_enabled = false;
    config.custom_page_sizes_enabled = false;
    config.wide_arithmetic_enabled = false;
    config.extended_const_enabled = false;
    config.shared_everything_threads_enabled = false;
    config.compact_imports_enabled = false;
    config.min_memories = config.min_memories.min(1);
    config.max_memories = 1;
    config.max_memory32_bytes = 4 << 20;
    config.max_table_elements = 1000;
    config.canonicalize_nans = closed;
    if closed {
        config.max_imports = 0;
        config.export_everything = true;
        config.min_funcs = 1;
        config.max_funcs = config.max_funcs.max(1);
        config.min_types = 1;
        config.max_types = config.max_types.max(1);
        config.min_exports = 0;
    }
    let module = wasm_smith::Module::new(config, u)?;
    Ok(module.to_bytes())
}

/// An engine that counts fuel: one for all inputs, and one with explicit checks of memory accesses.
pub fn engine(reserved: bool) -> &'static Engine {
    static ENGINES: OnceLock<[Engine; 2]> = OnceLock::new();
    let make = |reserved| {
        let mut config = Config::new();
        config.consume_fuel(true).memory_reservation(reserved).max_wasm_stack(256 << 10);
        Engine::new(&config).expect("an engine")
    };
    &ENGINES.get_or_init(|| [make(true), make(false)])[usize::from(!reserved)]
}

/// A store with limits and fuel.
pub fn store(engine: &Engine) -> Store<StoreLimits> {
    let limits = StoreLimitsBuilder::new().memory_size(16 << 20).table_elements(100_000).build();
    let mut store = Store::new(engine, limits);
    store.limiter(|limits| limits);
    store.set_fuel(FUEL).expect("fuel is counted");
    store
}
