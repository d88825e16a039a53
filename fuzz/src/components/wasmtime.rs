//! Wasmtime's part.

use super::{Case, Event};
use ::wasmtime::component::Component;
use ::wasmtime::{Config, Engine, Error, OptLevel, Store, StoreContextMut};
use std::sync::{Arc, OnceLock};

use ::wasmtime::component as api;
#[path = "run.rs"]
#[allow(clippy::duplicate_mod)]
mod run;

/// The most bytes of values in a call: invalid lists can lie over each other.
const HOST_BYTES: usize = 8 << 20;

fn engine() -> &'static Engine {
    static ENGINE: OnceLock<Engine> = OnceLock::new();
    ENGINE.get_or_init(|| {
        let mut config = Config::new();
        config
            .wasm_component_model_map(true)
            .wasm_component_model_fixed_length_lists(true)
            // Settings for quick compilation and instantiation.
            .cranelift_opt_level(OptLevel::None)
            .wasm_backtrace_max_frames(None)
            .memory_init_cow(false);
        Engine::new(&config).expect("an engine")
    })
}

fn is_exhausted(error: &Error) -> bool {
    format!("{error:#}").contains("hostcall")
}

fn store(host: run::Host) -> Store<run::Host> {
    let mut store = Store::new(engine(), host);
    store.set_hostcall_fuel(HOST_BYTES);
    store
}

/// Runs a case. Returns what happened.
pub(super) fn run(case: &Arc<Case>, binary: &[u8]) -> Vec<Event> {
    run::run(case, &Component::new(engine(), binary).expect("a valid component compiles"))
}
