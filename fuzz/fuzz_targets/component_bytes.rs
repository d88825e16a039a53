//! Bytes as a component: arbitrary ones, generated components, and both with some bytes changed. belljar accepts what the
//! validator accepts, except for what it says it does not have; what it accepts can be instantiated and called; and
//! nothing takes much memory, or keeps any.
//!
//! Time is bounded by libFuzzer's option `-timeout`.
#![no_main]

use arbitrary::Unstructured;
use belljar::component::{Component, Linker, Val};
use belljar::{Config, Engine, Error, Limits, Store, WasmFeatures};
use belljar_fuzz::{FUEL, components, lengthened};
use peak_alloc::PeakAlloc;
use std::sync::OnceLock;
use std::time::Duration;
use wasmparser::{Encoding, Parser, Payload, Validator};

#[global_allocator]
static PEAK: PeakAlloc = PeakAlloc;

/// The bytes that the host may use, and how many more for each byte of the component: several times what it needs.
const MEMORY: (usize, usize) = (64 << 20, 4000);

/// The bytes that may remain of a component that was made once before.
const KEPT: usize = 256 << 10;

/// How many exported functions are called.
const CALLS: usize = 20;

/// What belljar has of the component model.
const COMPONENT_FEATURES: WasmFeatures = WasmFeatures::COMPONENT_MODEL
    .union(WasmFeatures::CM_ASYNC)
    .union(WasmFeatures::CM_ASYNC_STACKFUL)
    .union(WasmFeatures::CM_MORE_ASYNC_BUILTINS)
    .union(WasmFeatures::CM_THREADING)
    .union(WasmFeatures::CM_MAP)
    .union(WasmFeatures::CM_IMPLEMENTS)
    .union(WasmFeatures::CM_FIXED_LENGTH_LISTS)
    .union(WasmFeatures::CM_ERROR_CONTEXT)
    .union(WasmFeatures::CM64);

fn engine() -> &'static Engine {
    static ENGINE: OnceLock<Engine> = OnceLock::new();
    ENGINE.get_or_init(|| {
        let mut config = Config::new();
        config
            .consume_fuel(true)
            .wasm_component_model_fixed_length_lists(true)
            .wasm_component_model_error_context(true)
            .wasm_component_model_memory64(true);
        Engine::new(&config).expect("an engine")
    })
}

/// How errors say that a valid component has what belljar does not have, or that it is too large.
const UNSUPPORTED: [&str; 3] = ["which belljar does not have", "which belljar does not do", "is too large"];

/// Returns the bytes of a component, which may be invalid.
fn bytes(input: &[u8]) -> Option<Vec<u8>> {
    // The last byte decides, so that a component can be an input.
    let (kind, input) = input.split_last()?;
    if kind % 4 == 0 {
        return Some(input.to_vec());
    }
    let input = lengthened(input);
    let mut u = Unstructured::new(&input);
    let changes = if kind % 8 < 4 { u.int_in_range(1..=4).ok()? } else { 0 };
    let changes: Vec<(usize, u8)> = (0..changes).map(|_| u.arbitrary()).collect::<Result<_, _>>().ok()?;
    let mut bytes = if kind % 4 == 1 {
        wat::parse_str(components::component(&mut u).ok()?).expect("valid text")
    } else {
        let mut config: wasm_smith::Config = u.arbitrary().ok()?;
        config.max_memory32_bytes = 1 << 20;
        config.max_memory64_bytes = 1 << 20;
        config.max_table_elements = 1000;
        config.max_instructions = config.max_instructions.min(60);
        config.limit_arrays_in_const_exprs = true;
        wasm_smith::Component::new(config, &mut u).ok()?.to_bytes()
    };
    for (at, value) in changes {
        let at = at % bytes.len();
        bytes[at] = value;
    }
    Some(bytes)
}

/// Returns whether bytes are a valid component.
fn is_valid(engine: &Engine, bytes: &[u8]) -> Result<(), String> {
    match Parser::new(0).parse_all(bytes).next() {
        Some(Ok(Payload::Version { encoding: Encoding::Component, .. })) => {}
        other => return Err(format!("{other:?}")),
    }
    let mut validator = Validator::new_with_features(engine.get_wasm_features() | COMPONENT_FEATURES);
    validator.validate_all(bytes).map(|_| ()).map_err(|error| error.to_string())
}

/// Checks that an error is not what belljar says where it is mistaken itself.
fn check(error: &Error) {
    assert!(!format!("{error:#}").contains("belljar bug"), "{error:?}");
}

fn run(engine: &Engine, bytes: &[u8]) {
    let component = match (Component::new(engine, bytes), is_valid(engine, bytes)) {
        (Ok(component), Ok(())) => component,
        (Err(error), Err(_)) => return check(&error),
        // Text.
        (Ok(_), Err(_)) if !bytes.starts_with(b"\0asm") => return,
        (Ok(_), Err(error)) => panic!("belljar accepts an invalid component: {error}"),
        (Err(error), Ok(())) => {
            let error = format!("{error:#}");
            let is_unsupported = UNSUPPORTED.iter().any(|text| error.contains(text));
            assert!(is_unsupported, "belljar does not accept a valid component: {error}");
            return;
        }
    };
    let mut linker = Linker::new(engine);
    // What generated guests call first.
    linker.root().func_new("asked", |_, _, _, _| Ok(())).expect("it is the first");
    if let Err(error) = linker.define_unknown_imports_as_traps(&component) {
        return check(&error);
    }
    let limits = Limits::default().memory(16 << 20).wall(Duration::from_secs(2));
    let mut store = Store::new(engine, ());
    store.set_limits(limits).expect("the engine can limit them");
    store.set_fuel(FUEL).expect("fuel is counted");
    let instance = match linker.instantiate(&mut store, &component) {
        Ok(instance) => instance,
        Err(error) => return check(&error),
    };
    for (path, ty) in component.exported_funcs().filter(|(_, ty)| ty.params().is_empty()).take(CALLS) {
        let func = instance.get_func_at(&store, &path).expect("it is exported");
        let mut results = vec![Val::Bool(false); usize::from(ty.result().is_some())];
        store.set_fuel(FUEL).expect("fuel is counted");
        if let Err(error) = func.call(&mut store, &[], &mut results) {
            check(&error);
        }
    }
}

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let Some(bytes) = bytes(input) else { return };
    if let Some(file) = std::env::var_os("FUZZ_MODULE") {
        std::fs::write(file, &bytes).expect("the file can be written");
    }
    let engine = engine();
    PEAK.reset_peak_usage();
    let before = PEAK.current_usage();
    run(engine, &bytes);
    let used = PEAK.peak_usage().saturating_sub(before);
    let allowed = MEMORY.0 + MEMORY.1 * bytes.len();
    assert!(used <= allowed, "{used} bytes for a component of {}", bytes.len());
    // The second time, nothing is new. Threads that compile keep what they work with, and tables grow, but not each time.
    if bytes.len() % 8 == 0 {
        let mut kept = usize::MAX;
        for _ in 0..4 {
            let before = PEAK.current_usage();
            run(engine, &bytes);
            kept = kept.min(PEAK.current_usage().saturating_sub(before));
            if kept <= KEPT {
                return;
            }
        }
        panic!("{kept} bytes are kept each time");
    }
});
