//! Scarce address space, as under `ulimit -v`: memories are not reserved, and everything still works. Each case runs in
//! its own process.

use belljar::{ArtifactOptions, Config, Engine, Instance, Module, Result, Store, Trap, Trust, UserKey};
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

/// The code is compiled again from the wasm in the artifact, which is read only then.
#[test]
fn an_artifact_whose_wasm_is_damaged() -> Result<()> {
    in_child("an_artifact_whose_wasm_is_damaged", || {
        let trust = Trust { user: Some(UserKey::from_bytes([2; 32])), ..Trust::default() };
        let engine = Engine::new(Config::new().trust(trust))?;
        // Large enough for the code to lie in blocks of its own.
        let filling = |place: &str| format!("(@custom \"x\" ({place} code) \"{}\")", "x".repeat(1 << 20));
        let guest = GUEST.replace("(module", &format!("(module {}{}", filling("before"), filling("after")));
        let options = ArtifactOptions::new().embed_source(true);
        let right = Module::new(&engine, wat::parse_str(guest)?)?.serialize_with(options)?;
        let mut damaged = right.clone();
        // `i32.const 600000` of the wasm: the damaged bytes would be valid code.
        let at = right.windows(4).rposition(|bytes| bytes == [0x41, 0xc0, 0xcf, 0x24]).expect("the wasm");
        damaged[at + 1] ^= 1;
        let file = |bytes: &[u8]| -> Result<_> {
            let path = tempfile::NamedTempFile::new()?.into_temp_path();
            std::fs::write(&path, bytes)?;
            Ok(path)
        };
        let (right, damaged) = (file(&right)?, file(&damaged)?);
        let right = Module::deserialize_file(&engine, &right)?;
        let damaged = Module::deserialize_file(&engine, &damaged);
        limit();
        use_guest(&engine, &right)?;
        // Without a lease it is refused immediately.
        let error = damaged.and_then(|damaged| use_guest(&engine, &damaged)).unwrap_err();
        assert!(format!("{error:#}").contains("is damaged"), "{error:#}");
        Ok(())
    })
}
