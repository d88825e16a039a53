//! Wasmtime: everything in 3.0, and the parts of its interface that differ from belljar's.

use super::for_wasmtime::for_wasmtime;
use crate::compare::Ended;
use crate::generate::Mode;
use crate::generated::Generated;
use std::sync::OnceLock;
use wasmtime::{
    AsContextMut, Config, Engine, Error, ExnRef, GcHeapOutOfMemory, Instance, Module, OptLevel, Rooted,
    SharedMemory, Store, StoreLimits, StoreLimitsBuilder, ThrownException, Trap,
};

use ::wasmtime as api;
#[path = "embedding.rs"]
#[allow(clippy::duplicate_mod)]
mod embedding;

pub use embedding::Running as Wasmtime;

fn engine(mode: Mode) -> &'static Engine {
    static ENGINES: [OnceLock<Engine>; 2] = [const { OnceLock::new() }; 2];
    ENGINES[usize::from(mode.counts_steps)].get_or_init(|| {
        let mut config = Config::new();
        config
            .wasm_function_references(true)
            .wasm_gc(true)
            .wasm_exceptions(true)
            .wasm_tail_call(true)
            .wasm_relaxed_simd(true)
            .relaxed_simd_deterministic(true)
            .wasm_threads(true)
            .shared_memory(true)
            .wasm_memory64(true)
            .wasm_multi_memory(true)
            .wasm_custom_page_sizes(true)
            .wasm_wide_arithmetic(true)
            .wasm_extended_const(true)
            .cranelift_nan_canonicalization(true)
            .consume_fuel(!mode.counts_steps)
            .max_wasm_stack(crate::STACK)
            // Settings for quick compilation and instantiation.
            .cranelift_opt_level(OptLevel::None)
            .wasm_backtrace_max_frames(None)
            .memory_init_cow(false);
        Engine::new(&config).expect("an engine")
    })
}

fn instantiate(module: &Generated, mode: Mode) -> Result<(Store<StoreLimits>, Instance), Ended> {
    let engine = engine(mode);
    // Wasmtime has its own limits on the sizes of types and frames.
    let module = Module::new(engine, for_wasmtime(&module.wasm)).map_err(|_| Ended::Unsupported)?;
    let limits =
        StoreLimitsBuilder::new().memory_size(crate::MEMORY_LIMIT).table_elements(crate::TABLE_LIMIT).build();
    let mut store = Store::new(engine, limits);
    store.limiter(|limits| limits);
    refuel(&mut store);
    match Instance::new(&mut store, &module, &[]) {
        Ok(instance) => Ok((store, instance)),
        Err(error) => Err(embedding::ended(&mut store, None, 0, error)),
    }
}

/// Ten times as much as belljar gets, so that belljar's ends first, if any does.
fn refuel(store: &mut Store<StoreLimits>) {
    // An engine that counts no fuel returns an error.
    let _ = store.set_fuel(crate::FUEL * 10);
}

fn thrown(mut store: impl AsContextMut<Data = StoreLimits>, error: &Error) -> Option<Rooted<ExnRef>> {
    error.downcast_ref::<ThrownException>()?;
    store.as_context_mut().take_pending_exception()
}

fn trapped(error: &Error) -> Ended {
    use belljar::Trap as Ours;
    if error.is::<GcHeapOutOfMemory<()>>() {
        return Ended::Exhausted;
    }
    let Some(trap) = error.downcast_ref::<Trap>() else { panic!("{error:?}") };
    Ended::trapped(match trap {
        Trap::StackOverflow => Ours::StackOverflow,
        Trap::MemoryOutOfBounds => Ours::MemoryOutOfBounds,
        Trap::HeapMisaligned => Ours::HeapMisaligned,
        Trap::TableOutOfBounds => Ours::TableOutOfBounds,
        Trap::IndirectCallToNull => Ours::IndirectCallToNull,
        Trap::BadSignature => Ours::BadSignature,
        Trap::IntegerOverflow => Ours::IntegerOverflow,
        Trap::IntegerDivisionByZero => Ours::IntegerDivisionByZero,
        Trap::BadConversionToInteger => Ours::BadConversionToInteger,
        Trap::UnreachableCodeReached => Ours::UnreachableCodeReached,
        Trap::OutOfFuel => Ours::OutOfFuel,
        Trap::AtomicWaitNonSharedMemory => Ours::AtomicWaitNonSharedMemory,
        Trap::NullReference => Ours::NullReference,
        Trap::ArrayOutOfBounds => Ours::ArrayOutOfBounds,
        Trap::AllocationTooLarge => Ours::AllocationTooLarge,
        Trap::CastFailure => Ours::CastFailure,
        trap => panic!("{trap:?}"),
    })
}

fn shared_bytes(memory: &SharedMemory) -> Vec<u8> {
    // SAFETY: no other thread has this memory, and no guest runs while the host reads it.
    memory.data().iter().map(|byte| unsafe { *byte.get() }).collect()
}
