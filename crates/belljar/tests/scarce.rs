//! With little address space, as under `ulimit -v`: memories are not reserved, and everything still works. Each
//! case runs in a process of its own.

use belljar::{Engine, Instance, Module, Result, Store, Trap};
use rustix::process::{Resource, Rlimit, setrlimit};
use std::process::Command;

const GUEST: &str = r#"(module
    (memory (export "m") 1 100)
    (data (i32.const 65530) "abcdef")
    (func (export "f") (param i32) (result i32)
        (drop (memory.grow (i32.const 9)))
        (i32.store (i32.const 600000) (i32.const 5))
        (i32.add (i32.load8_u (i32.const 65535)) (i32.load (local.get 0)))))"#;

fn limit() {
    // A process with this test's threads and a store's region uses about half of it.
    let bytes = Some(1 << 30);
    setrlimit(Resource::As, Rlimit { current: bytes, maximum: bytes }).expect("a limit can be set");
}

fn use_guest(engine: &Engine, module: &Module) -> Result<()> {
    for _ in 0..3 {
        let mut store = Store::new(engine, ());
        let instance = Instance::new(&mut store, module, &[])?;
        let f = instance.get_typed_func::<u32, i32>(&mut store, "f")?;
        assert_eq!(f.call(&mut store, 600_000)?, 5 + i32::from(b'f'));
        for outside in [100 << 16, u32::MAX, u32::MAX - 3] {
            let error = f.call(&mut store, outside).unwrap_err();
            assert_eq!(error.downcast_ref::<Trap>(), Some(&Trap::MemoryOutOfBounds));
        }
    }
    Ok(())
}

fn in_child(test: &str, run: impl FnOnce() -> Result<()>) -> Result<()> {
    if std::env::var_os("BELLJAR_TEST_CHILD").is_some() {
        return run();
    }
    let this = std::env::current_exe()?;
    let output = Command::new(this).args(["--exact", test]).env("BELLJAR_TEST_CHILD", "1").output()?;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    Ok(())
}

#[test]
fn an_engine_made_under_the_limit() -> Result<()> {
    in_child("an_engine_made_under_the_limit", || {
        limit();
        let engine = Engine::default();
        use_guest(&engine, &Module::new(&engine, GUEST)?)
    })
}

#[test]
fn a_module_compiled_before_the_limit() -> Result<()> {
    in_child("a_module_compiled_before_the_limit", || {
        let engine = Engine::default();
        let module = Module::new(&engine, GUEST)?;
        limit();
        use_guest(&engine, &module)
    })
}
