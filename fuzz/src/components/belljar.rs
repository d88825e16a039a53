//! belljar's part: with adapters between guests, and without.

use super::{Case, Event};
use ::belljar::component::Component;
use ::belljar::{Config, Engine, Error, Store, StoreContextMut};
use std::sync::{Arc, OnceLock};

use ::belljar::component as api;
#[path = "run.rs"]
#[allow(clippy::duplicate_mod)]
mod run;

fn engine() -> &'static Engine {
    static ENGINE: OnceLock<Engine> = OnceLock::new();
    ENGINE.get_or_init(|| {
        let mut config = Config::new();
        config.wasm_component_model_fixed_length_lists(true);
        Engine::new(&config).expect("an engine")
    })
}

/// belljar's limits are higher than Wasmtime's here. Its mistakes are no traps.
fn is_exhausted(error: &Error) -> bool {
    assert!(!format!("{error:#}").contains("belljar bug"), "{error:?}");
    false
}

fn store(host: run::Host) -> Store<run::Host> {
    Store::new(engine(), host)
}

/// Runs a case. Returns what happened.
pub(super) fn run(case: &Arc<Case>, binary: &[u8]) -> Vec<Event> {
    let component = if case.adapters {
        Component::new(engine(), binary)
    } else {
        Component::without_adapters(engine(), binary)
    };
    run::run(case, &component.expect("a valid component compiles"))
}
