//! Prints the largest functions of modules, by the measures that decide on the settings for huge functions.
//!
//! ```sh
//! cargo run --release -p belljar-optimize --example largest -- module.wasm…
//! ```
//!
//! Prints three functions for each measure; see `tuning` for the limits above which a function is huge.

use belljar_core::DefinedFuncIndex;
use belljar_module::{Module, WasmFeatures, validate};
use std::error::Error;
use wasmparser::Operator;

/// All features that a module might use.
const FEATURES: WasmFeatures = WasmFeatures::WASM3
    .union(WasmFeatures::LEGACY_EXCEPTIONS)
    .union(WasmFeatures::WIDE_ARITHMETIC)
    .union(WasmFeatures::CUSTOM_PAGE_SIZES)
    .union(WasmFeatures::THREADS);

/// The measures.
const MEASURES: [&str; 6] =
    ["operators", "locals", "blocks", "locals × blocks", "references × calls", "loops around one another"];

struct Row {
    name: String,
    sizes: [u64; 6],
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut rows = Vec::new();
    for path in std::env::args().skip(1) {
        let module = match validate(std::fs::read(&path)?.into(), FEATURES) {
            Ok(module) => module,
            Err(error) => {
                eprintln!("{path}: {error}");
                continue;
            }
        };
        for i in 0..module.defined_funcs() {
            rows.push(measure(&path, &module, DefinedFuncIndex::new(i))?);
        }
    }
    println!("{} functions", rows.len());
    for (i, measure) in MEASURES.iter().enumerate() {
        rows.sort_by_key(|row| std::cmp::Reverse(row.sizes[i]));
        println!("{measure}:");
        for row in rows.iter().take(3) {
            println!("  {:>10} {}", row.sizes[i], row.name);
        }
    }
    Ok(())
}

fn measure(path: &str, module: &Module, func: DefinedFuncIndex) -> Result<Row, Box<dyn Error>> {
    let index = module.func_index(func);
    let body = module.function_body(func).expect("the binary is whole");
    let mut references = 0;
    for local in body.get_locals_reader()? {
        let (count, ty) = local?;
        references += if ty.is_reference_type() { u64::from(count) } else { 0 };
    }
    let (mut blocks, mut loops, mut deepest, mut open) = (1, 0u64, 0, Vec::new());
    for op in body.get_operators_reader()? {
        match op? {
            Operator::Loop { .. } => {
                open.push(true);
                (loops, blocks) = (loops + 1, blocks + 1);
                deepest = deepest.max(loops);
            }
            Operator::Block { .. } | Operator::TryTable { .. } | Operator::Try { .. } => {
                open.push(false);
                blocks += 1;
            }
            Operator::If { .. } => {
                open.push(false);
                blocks += 2;
            }
            Operator::BrIf { .. } | Operator::Else => blocks += 1,
            Operator::End | Operator::Delegate { .. } => {
                loops -= u64::from(open.pop() == Some(true));
            }
            _ => {}
        }
    }
    let facts = module.facts(func);
    let locals = u64::from(facts.locals) + module.func_type(index).params().len() as u64;
    let name = module.names().func(index).map_or_else(|| format!("function {}", index.0), str::to_string);
    let calls = u64::from(facts.calls);
    let sizes = [u64::from(facts.operators), locals, blocks, locals * blocks, references * calls, deepest];
    Ok(Row { name: format!("{name}, {path}"), sizes })
}
