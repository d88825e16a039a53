//! A valid module with any imports: it compiles, instantiates (or fails with an error), and every export can
//! be called.
#![no_main]

use arbitrary::Unstructured;
use belljar::{Extern, Linker, Module, Val};
use belljar_fuzz::{FUEL, Family, Mode, engine, generate, lengthened, store};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let bytes = lengthened(bytes);
    let mut u = Unstructured::new(&bytes);
    let mut some = || u.arbitrary().unwrap_or(true);
    let mode = Mode { reserved: some(), giants: some(), ..Mode::PLAIN };
    let Ok(generated) = generate(&mut u, Family::Imports, mode.counts_steps) else { return };
    let engine = engine(mode);
    let module = Module::new(engine, &generated.wasm).expect("a valid module compiles");
    let mut linker = Linker::new(engine);
    if linker.define_unknown_imports_as_traps(&module).is_err() {
        return;
    }
    let mut store = store(engine);
    let Ok(instance) = linker.instantiate(&mut store, &module) else { return };
    let exports: Vec<Extern> = instance.exports(&store).map(|e| e.into_extern()).collect();
    for export in exports {
        let Extern::Func(func) = export else { continue };
        let ty = func.ty(&store);
        let params: Vec<Val> = ty.params().filter_map(|ty| Val::default_for_ty(&ty)).collect();
        let mut results = vec![Val::I32(0); ty.results().len()];
        store.set_fuel(FUEL).expect("fuel is counted");
        let _ = func.call(&mut store, &params, &mut results);
    }
});
