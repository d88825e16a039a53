//! A host without a compiler: it loads an artifact of `belljar compile`, and calls a function of it.
//!
//! ```sh
//! belljar compile guest.wat
//! cd examples/artifact_host
//! cargo run --release -- ../../guest.elf gcd 1071 462
//! ```
//!
//! The artifact contains everything that was compiled, even the code between host and guest for the types of its
//! functions. It must have been made by the same release of belljar, with the settings of this engine, and sealed by this
//! user or with a key that this user trusts.

use belljar::{Engine, Error, FuncType, Linker, Module, Result, Store, Val, ValType};
use std::process::ExitCode;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let mut args = std::env::args().skip(1);
    let (Some(artifact), Some(name)) = (args.next(), args.next()) else {
        return Err(Error::msg("usage: artifact_host ARTIFACT FUNCTION [NUMBER]..."));
    };
    let engine = Engine::default();
    let module = Module::deserialize_file(&engine, artifact)?;

    let mut linker = Linker::new(&engine);
    linker.func_wrap("host", "log", |x: i64| println!("guest says {x}"))?;
    // A function whose type is known only at run time. It finds what it needs for its calls in the artifact.
    let ty = FuncType::new(&engine, [ValType::I32, ValType::F64], []);
    linker.func_new("host", "show", ty, |_caller, params, _results| {
        println!("guest shows {params:?}");
        Ok(())
    })?;

    let mut store = Store::new(&engine, ());
    let instance = linker.instantiate(&mut store, &module)?;
    let function = instance
        .get_func(&mut store, &name)
        .ok_or_else(|| Error::msg(format!("the module exports no function {name:?}")))?;
    let ty = function.ty(&store);
    let params: Vec<Val> =
        ty.params().zip(args).map(|(ty, text)| number(ty, &text)).collect::<Result<_>>()?;
    let mut results = vec![Val::I32(0); ty.results().len()];
    function.call(&mut store, &params, &mut results)?;
    println!("{results:?}");
    Ok(())
}

/// Reads a parameter.
fn number(ty: ValType, text: &str) -> Result<Val> {
    Ok(match ty {
        ValType::I32 => Val::I32(text.parse()?),
        ValType::I64 => Val::I64(text.parse()?),
        ValType::F32 => Val::from(text.parse::<f32>()?),
        ValType::F64 => Val::from(text.parse::<f64>()?),
        ty => return Err(Error::msg(format!("cannot read a parameter of type {ty}"))),
    })
}
