//! belljar: an engine for each mode, and the parts of its interface that differ from Wasmtime's.

use crate::compare::Ended;
use crate::generate::Mode;
use crate::generated::Generated;
use belljar::{
    AsContextMut, Config, Engine, Error, ExnRef, Instance, Module, Rooted, SharedMemory, Store, StoreLimits,
    StoreLimitsBuilder, ThrownException, Trap,
};
use std::sync::OnceLock;

use ::belljar as api;
#[path = "embedding.rs"]
#[allow(clippy::duplicate_mod)]
mod embedding;

pub use embedding::Running as Belljar;

/// Returns an engine, shared by all inputs of a mode.
pub fn engine(mode: Mode) -> &'static Engine {
    static ENGINES: [OnceLock<Engine>; Mode::COUNT] = [const { OnceLock::new() }; Mode::COUNT];
    ENGINES[mode.index()].get_or_init(|| {
        let mut config = Config::new();
        config
            .consume_fuel(!mode.counts_steps)
            .memory_reservation(if mode.reserved { 4 << 30 } else { 0 })
            .gc_stress(mode.gc_stress)
            .compile_as_huge(mode.giants)
            .cranelift_nan_canonicalization(mode.canonical_nans)
            .relaxed_simd_deterministic(true)
            .max_wasm_stack(crate::STACK);
        Engine::new(&config).expect("an engine")
    })
}

/// Creates a store with limits, and with fuel if it is counted.
pub fn store(engine: &Engine) -> Store<StoreLimits> {
    let limits = StoreLimitsBuilder::new()
        .memory_size(crate::MEMORY_LIMIT)
        .gc_heap_size(crate::MEMORY_LIMIT)
        .table_elements(crate::TABLE_LIMIT)
        .build();
    let mut store = Store::new(engine, limits);
    store.limiter(|limits| limits);
    // An engine that counts no fuel returns an error.
    let _ = store.set_fuel(crate::FUEL);
    store
}

fn instantiate(module: &Generated, mode: Mode) -> Result<(Store<StoreLimits>, Instance), Ended> {
    let engine = engine(mode);
    let module = Module::new(engine, &module.wasm).expect("a valid module compiles");
    let mut store = store(engine);
    match Instance::new(&mut store, &module, &[]) {
        Ok(instance) => Ok((store, instance)),
        Err(error) => Err(embedding::ended(&mut store, None, 0, error)),
    }
}

fn refuel(store: &mut Store<StoreLimits>) {
    let _ = store.set_fuel(crate::FUEL);
}

/// Returns the exception in the error.
fn thrown(mut store: impl AsContextMut, error: &Error) -> Option<Rooted<ExnRef>> {
    let thrown = error.downcast_ref::<ThrownException>()?;
    Some(thrown.exception(&mut store).expect("it was thrown in this store"))
}

/// Returns how a run ended that threw nothing.
fn trapped(error: &Error) -> Ended {
    match error.downcast_ref::<Trap>() {
        Some(trap) => Ended::trapped(*trap),
        None => panic!("{error:?}"),
    }
}

fn shared_bytes(memory: &SharedMemory) -> Vec<u8> {
    let data = memory.data();
    let mut bytes = vec![0; data.len()];
    data.read(0, &mut bytes).expect("as long as the memory");
    bytes
}
