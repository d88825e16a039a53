//! Compiles a module and writes its text, for a disassembler to read.
//!
//! ```sh
//! cargo run --release -p belljar-optimize --example text -- module.wasm text.bin [function]
//! objdump -D -b binary -mi386:x86-64 -Mintel text.bin
//! ```
//!
//! Prints how long compilation took. With a function, by name or index, writes the code of that one alone. With
//! `FUNCTIONS=1` in the environment, prints the range of each function; with `NO_INLINING=1`, inlines nothing.

use belljar_compile::{Budget, ModulePlan, Tunables, compile};
use belljar_core::{DefinedFuncIndex, FuncIndex};
use belljar_module::{Module, WasmFeatures, validate};
use belljar_optimize::Optimizer;
use std::error::Error;
use std::time::Instant;

/// All features that a module might use.
const FEATURES: WasmFeatures = WasmFeatures::WASM3
    .union(WasmFeatures::WIDE_ARITHMETIC)
    .union(WasmFeatures::CUSTOM_PAGE_SIZES)
    .union(WasmFeatures::THREADS);

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let (Some(path), Some(out)) = (args.first(), args.get(1)) else {
        return Err("usage: text <module> <output> [function]".into());
    };
    let tunables =
        Tunables { inlining: std::env::var_os("NO_INLINING").is_none().into(), ..Tunables::default() };
    let started = Instant::now();
    let module = validate(wat::parse_file(path)?.into(), FEATURES)?;
    println!("validated in {:?}", started.elapsed());
    let started = Instant::now();
    let plan = ModulePlan::new(&module, tunables);
    let artifact = compile(&plan, &Optimizer::new()?, &(), &Budget::unlimited())?;
    println!(
        "compiled in {:?}: {} functions, {} bytes of text, {} bytes of positions, {} inlined positions, {} traps",
        started.elapsed(),
        artifact.funcs.len(),
        artifact.text.len(),
        artifact.positions.len(),
        artifact.inlined.len(),
        artifact.traps.len()
    );
    if std::env::var_os("FUNCTIONS").is_some() {
        for (i, range) in artifact.funcs.iter().enumerate() {
            let func = module.func_index(DefinedFuncIndex::new(i));
            let name = module.names().func(func).unwrap_or("?");
            println!("{:#x} {:#x} {} {name}", range.start.0, range.length, func.0);
        }
    }
    let text = match args.get(2) {
        None => &artifact.text[..],
        Some(wanted) => {
            let func = find(&module, wanted).ok_or("no such function")?;
            let range = artifact.funcs[func.index()];
            println!("function {} is at {:#x}", func.0, range.start.0);
            &artifact.text[range.start.0 as usize..][..range.length as usize]
        }
    };
    Ok(std::fs::write(out, text)?)
}

fn find(module: &Module, wanted: &str) -> Option<DefinedFuncIndex> {
    let index = wanted.parse().ok().or_else(|| {
        (0..module.func_count() as u32).find(|i| {
            let func = FuncIndex(*i);
            let export = module.export(wanted).map(|e| e.entity);
            module.names().func(func) == Some(wanted)
                || export == Some(belljar_module::EntityIndex::Func(func))
        })
    })?;
    module.defined_func(FuncIndex(index))
}
