//! Instantiation as a run: modules whose instantiation takes arbitrarily long, and how it ends.

use belljar::{
    Config, Engine, Error, Instance, KillReason, Killed, Limits, Linker, Module, PoolConfig, ResourceLimiter,
    Result, SandboxTemplate, Store, Trap,
};
use std::fmt::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

/// Modules that would be busy for minutes before any of their functions runs: with constant expressions whose objects
/// are garbage.
fn busy() -> Vec<String> {
    let arrays = |field: &str, array: &str| {
        let mut wat = format!("(module (type $i (array {field})) (type $o (array (ref $i)))");
        for _ in 0..20_000 {
            write!(wat, "(global (ref $o) (array.new $o ({array}) (i32.const 0)))").unwrap();
        }
        wat + ")"
    };
    let mut items = String::from("(module (type $i (array i64)) (type $o (array (ref $i))) (elem (ref $o)");
    for _ in 0..20_000 {
        items += "(item (array.new $o (array.new_default $i (i32.const 7000000)) (i32.const 0)))";
    }
    let filled = "array.new $i (i32.const 1) (i32.const 50000000)";
    vec![arrays("i64", "array.new_default $i (i32.const 7000000)"), arrays("i8", filled), items + "))"]
}

fn reason(error: &Error) -> Option<&KillReason> {
    error.downcast_ref::<Killed>().map(Killed::reason)
}

#[test]
fn limits_of_time_hold_for_instantiation() -> Result<()> {
    let engine = Engine::default();
    for wat in busy() {
        let module = Module::new(&engine, wat)?;
        let time = Duration::from_millis(30);
        for (limits, expected) in [
            (Limits::default().wall(time), KillReason::WallTime(time)),
            (Limits::default().cpu(time), KillReason::CpuTime(time)),
        ] {
            let mut store = Store::new(&engine, ());
            store.set_limits(limits)?;
            let error = Instance::new(&mut store, &module, &[]).unwrap_err();
            assert_eq!(reason(&error), Some(&expected), "{error:?}");
            assert_eq!(store.killed(), Some(&expected));
            assert!(Instance::new(&mut store, &module, &[]).is_err(), "nothing of it runs any more");
        }
    }
    Ok(())
}

#[test]
fn instantiation_can_be_killed_and_a_sandbox_is_not_made_of_it() -> Result<()> {
    let engine = Engine::default();
    for wat in busy() {
        let module = Module::new(&engine, wat)?;
        let mut store = Store::new(&engine, ());
        let kill = store.kill_handle();
        let killer = std::thread::spawn(move || while !kill.kill("enough").unwrap() {});
        let error = Instance::new(&mut store, &module, &[]).unwrap_err();
        killer.join().unwrap();
        assert_eq!(reason(&error), Some(&"enough".into()), "{error:?}");

        let pre = Linker::<()>::new(&engine).instantiate_pre(&module)?;
        let limits = Limits::default().wall(Duration::from_millis(30));
        let template = SandboxTemplate::new(pre, || Ok(())).limits(limits);
        assert!(reason(&template.build().unwrap_err()).is_some());
        assert!(reason(&template.pool(PoolConfig::new()).unwrap_err()).is_some());
    }
    Ok(())
}

#[test]
fn a_start_function_is_part_of_its_instantiation() -> Result<()> {
    let engine = Engine::new(Config::new().max_concurrent_calls(1))?;
    let spin = Module::new(&engine, "(module (func $s (loop (br 0))) (start $s))")?;
    let time = Duration::from_millis(30);
    let mut store = Store::new(&engine, ());
    store.set_limits(Limits::default().wall(time))?;
    let error = Instance::new(&mut store, &spin, &[]).unwrap_err();
    assert_eq!(reason(&error), Some(&KillReason::WallTime(time)));
    // The run token is returned, and the next store is not the killed one.
    let mut store = Store::new(&engine, ());
    let module = Module::new(&engine, r#"(module (func $s) (start $s) (func (export "f")))"#)?;
    let instance = Instance::new(&mut store, &module, &[])?;
    instance.get_typed_func::<(), ()>(&mut store, "f")?.call(&mut store, ())
}

/// Panics when objects are created.
struct Panics(bool);

impl ResourceLimiter for Panics {
    fn memory_growing(&mut self, _: usize, _: usize, _: Option<usize>) -> Result<bool> {
        Ok(true)
    }
    fn table_growing(&mut self, _: usize, _: usize, _: Option<usize>) -> Result<bool> {
        Ok(true)
    }
    fn gc_heap_growing(&mut self, _: usize, _: usize) -> Result<bool> {
        if self.0 {
            panic!("a limiter of the host's");
        }
        Ok(true)
    }
}

#[test]
fn traps_errors_and_panics_of_instantiation_leave_the_store_usable() -> Result<()> {
    let engine = Engine::default();
    let object = r#"(module (type $i (array i64))
        (global (ref $i) (array.new_default $i (i32.const 100000))) (func (export "f")))"#;
    let object = Module::new(&engine, object)?;
    let segment = Module::new(&engine, r#"(module (memory 1) (data (i32.const 65536) "x"))"#)?;
    let mut store = Store::new(&engine, Panics(true));
    store.limiter(|panics| panics);
    let panicked = catch_unwind(AssertUnwindSafe(|| Instance::new(&mut store, &object, &[])));
    assert!(panicked.is_err());
    let error = Instance::new(&mut store, &segment, &[]).unwrap_err();
    assert_eq!(error.downcast_ref::<Trap>(), Some(&Trap::MemoryOutOfBounds));
    store.data_mut().0 = false;
    let instance = Instance::new(&mut store, &object, &[])?;
    instance.get_typed_func::<(), ()>(&mut store, "f")?.call(&mut store, ())
}
