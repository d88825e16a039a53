//! WASI functions that make the kernel write to write-protected memory of a sandbox.

use belljar::{Engine, Linker, Module, SandboxTemplate};
use belljar_wasi::{InputFile, WasiCtx, WasiCtxBuilder, p1};
use std::io::{Seek, Write};

const WAT: &str = r#"(module
    (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
    (memory (export "memory") 16)
    (func (export "usual") (i32.store (i32.const 100) (i32.const 7)))
    (func (export "random") (param i32) (result i32)
        (call $random (local.get 0) (i32.const 300000)))
    (func (export "read") (param i32) (result i32)
        (i32.store (i32.const 0) (local.get 0)) (i32.store (i32.const 4) (i32.const 3))
        (i32.store (i32.const 8) (i32.add (local.get 0) (i32.const 100000))) (i32.store (i32.const 12) (i32.const 3))
        (i32.add (i32.mul (call $read (i32.const 0) (i32.const 0) (i32.const 2) (i32.const 16)) (i32.const 100))
            (i32.load (i32.const 16))))
    (func (export "sum") (param i32) (result i32)
        (i32.add (i32.load8_u (local.get 0)) (i32.load8_u (i32.add (local.get 0) (i32.const 100002))))))"#;

#[test]
fn the_system_writes_to_memory_that_was_left_alone() {
    let engine = Engine::default();
    let module = Module::new(&engine, WAT).unwrap();
    let mut linker: Linker<WasiCtx> = Linker::new(&engine);
    p1::add_to_linker(&mut linker, |ctx| ctx).unwrap();
    let pre = linker.instantiate_pre(&module).unwrap();
    for at in [8192, 500_000] {
        for way in ["random", "read"] {
            let state = || {
                let mut file = tempfile::tempfile()?;
                file.write_all(b"abcdef")?;
                file.rewind()?;
                Ok(WasiCtxBuilder::new().stdin(InputFile::new(file)).build())
            };
            let mut sandbox = SandboxTemplate::new(pre.clone(), state).verify(true).build().unwrap();
            for _ in 0..100 {
                sandbox.call::<(), ()>("usual", ()).unwrap();
            }
            let mut session = sandbox.session().unwrap();
            let result = session.call::<i32, i32>(way, at).unwrap();
            match way {
                "random" => assert_eq!(result, 0),
                _ => {
                    assert_eq!(result, 6, "six bytes, no error");
                    let sum = i32::from(b'a') + i32::from(b'f');
                    assert_eq!(session.call::<i32, i32>("sum", at).unwrap(), sum);
                }
            }
            drop(session);
            assert_eq!(sandbox.call::<i32, i32>("sum", at).unwrap(), 0);
        }
    }
}
