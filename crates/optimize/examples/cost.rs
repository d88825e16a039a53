//! Prints the functions of modules that take longest to compile, with their times and sizes.
//!
//! ```sh
//! cargo run --release -p belljar-optimize --example cost -- module.wasm…
//! ```
//!
//! With `HUGE=1` in the environment, compiles all functions with the settings for huge functions.

use belljar_compile::{Budget, ModulePlan, Tier, Tunables};
use belljar_core::DefinedFuncIndex;
use belljar_module::{WasmFeatures, validate};
use belljar_optimize::Optimizer;
use std::error::Error;
use std::time::{Duration, Instant};

/// All features that a module might use.
const FEATURES: WasmFeatures = WasmFeatures::WASM3
    .union(WasmFeatures::LEGACY_EXCEPTIONS)
    .union(WasmFeatures::WIDE_ARITHMETIC)
    .union(WasmFeatures::CUSTOM_PAGE_SIZES)
    .union(WasmFeatures::THREADS);

/// The number of functions printed for each module.
const SHOWN: usize = 5;

fn main() -> Result<(), Box<dyn Error>> {
    let tunables = Tunables { huge_functions: std::env::var_os("HUGE").is_some(), ..Tunables::default() };
    let optimizer = Optimizer::new()?;
    for path in std::env::args().skip(1) {
        let module = validate(wat::parse_file(&path)?.into(), FEATURES)?;
        let plan = ModulePlan::new(&module, tunables);
        let budget = Budget::unlimited();
        let (mut all, mut sum) = (Vec::new(), Duration::ZERO);
        for func in (0..module.defined_funcs()).map(DefinedFuncIndex::new) {
            let index = module.func_index(func);
            let mut budget = budget.function(index, module.body(func).len() as u64)?;
            let started = Instant::now();
            let bytes = optimizer.function(&plan, func, &mut budget)?.code.len();
            let time = started.elapsed();
            sum += time;
            all.push((time, index, bytes, budget.written_out(), budget.times));
        }
        println!("{path}: {} functions in {sum:.2?}", all.len());
        all.sort_by_key(|row| std::cmp::Reverse(row.0));
        for (time, index, bytes, written_out, times) in all.into_iter().take(SHOWN) {
            let each = time.as_nanos() as u64 / written_out.max(1);
            println!(
                "  {time:8.2?} function {:6}: {written_out:9} written out, {each:5} ns each, {bytes:8} bytes of code; \
                 translation {:.2?}, optimization {:.2?}, generation {:.2?}",
                index.0, times.translation, times.optimization, times.generation
            );
        }
    }
    Ok(())
}
