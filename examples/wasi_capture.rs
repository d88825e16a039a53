//! A WASI program with given arguments and input, whose output the host captures.
//!
//! `cargo run -p belljar-examples --example wasi_capture`

use belljar::{Engine, Linker, Module, Result, Store};
use belljar_wasi::{I32Exit, MemoryInputPipe, MemoryOutputPipe, WasiCtx, WasiCtxBuilder, p1};

/// Copies its standard input to its standard output, then exits with code 3.
const GUEST: &str = r#"(module
    (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
    (memory (export "memory") 1)
    (func (export "_start")
        ;; One buffer of 1000 bytes at 100; how many were read goes to 8, and into the buffer's length.
        (i32.store (i32.const 0) (i32.const 100))
        (i32.store (i32.const 4) (i32.const 1000))
        (drop (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))
        (i32.store (i32.const 4) (i32.load (i32.const 8)))
        (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
        (call $exit (i32.const 3))))"#;

fn main() -> Result<()> {
    let engine = Engine::default();
    let module = Module::new(&engine, GUEST)?;
    let mut linker: Linker<WasiCtx> = Linker::new(&engine);
    p1::add_to_linker(&mut linker, |ctx| ctx)?;

    let output = MemoryOutputPipe::new(4096);
    let wasi = WasiCtxBuilder::new()
        .arg("guest")
        .stdin(MemoryInputPipe::new("what the guest reads\n"))
        .stdout(output.clone())
        .build();
    let mut store = Store::new(&engine, wasi);
    let instance = linker.instantiate(&mut store, &module)?;
    let start = instance.get_typed_func::<(), ()>(&mut store, "_start")?;
    let error = start.call(&mut store, ()).expect_err("the guest exits");
    println!("exit code {:?}", error.downcast_ref::<I32Exit>().map(|exit| exit.0));
    println!("output {:?}", String::from_utf8_lossy(&output.contents()));
    Ok(())
}
