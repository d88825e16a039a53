//! Two modules, one importing what the other exports: functions and a shared memory.
//!
//! `cargo run -p belljar-examples --example linking`

use belljar::{Engine, Linker, Module, Result, Store};

fn main() -> Result<()> {
    let engine = Engine::default();
    let library = Module::new(
        &engine,
        r#"(module
            (memory (export "memory") 1)
            (func (export "sum") (param $at i32) (param $count i32) (result i32) (local $total i32)
                (block $done
                    (loop $next
                        (br_if $done (i32.eqz (local.get $count)))
                        (local.set $total (i32.add (local.get $total) (i32.load (local.get $at))))
                        (local.set $at (i32.add (local.get $at) (i32.const 4)))
                        (local.set $count (i32.sub (local.get $count) (i32.const 1)))
                        (br $next)))
                (local.get $total)))"#,
    )?;
    let program = Module::new(
        &engine,
        r#"(module
            (import "library" "memory" (memory 1))
            (import "library" "sum" (func $sum (param i32 i32) (result i32)))
            (data (i32.const 0) "\01\00\00\00\02\00\00\00\03\00\00\00")
            (func (export "run") (result i32) (call $sum (i32.const 0) (i32.const 3))))"#,
    )?;
    let mut linker = Linker::new(&engine);
    let mut store = Store::new(&engine, ());
    linker.module(&mut store, "library", &library)?;
    let instance = linker.instantiate(&mut store, &program)?;
    let run = instance.get_typed_func::<(), i32>(&mut store, "run")?;
    println!("1 + 2 + 3 = {}", run.call(&mut store, ())?);
    Ok(())
}
