//! A host that wants to know where a plugin hangs: after a while it prints the plugin's stack, and lets it continue.

use belljar::{Engine, Linker, Module, Result, Store, Watchdog, WatchdogAction};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;

/// Finds the smallest factor of a number, slowly. Its author did not think of large primes.
const PLUGIN: &str = r#"(module $factors
    (import "host" "log" (func $log (param i64)))
    (func $divides (param $d i64) (param $n i64) (result i32) (i64.eqz (i64.rem_u (local.get $n) (local.get $d))))
    (func $smallest (param $n i64) (result i64) (local $d i64)
        (local.set $d (i64.const 1))
        (loop $next
            (local.set $d (i64.add (local.get $d) (i64.const 1)))
            (br_if $next (i32.eqz (call $divides (local.get $d) (local.get $n)))))
        (local.get $d))
    (func $run (export "run") (param $n i64) (call $log (call $smallest (local.get $n)))))"#;

/// How long a plugin may run before its stack is printed.
const PATIENCE: Duration = Duration::from_millis(100);

fn main() -> Result<()> {
    let engine = Engine::default();
    let module = Module::new(&engine, PLUGIN)?;
    let mut linker = Linker::new(&engine);
    linker.func_wrap("host", "log", |factor: u64| println!("smallest factor: {factor}"))?;
    let mut store = Store::new(&engine, ());
    let instance = linker.instantiate(&mut store, &module)?;
    let run = instance.get_typed_func::<u64, ()>(&mut store, "run")?;

    let seen = Arc::new(AtomicU32::new(0));
    for n in [1_000_000_007 * 3, 2_147_483_647] {
        println!("\nfactors of {n}");
        let times = seen.clone();
        // CPU time, because a plugin that waits for the host is not at fault.
        let _watchdog = Watchdog::cpu(store.inspector(), PATIENCE, move |stack| {
            match stack {
                Ok(stack) => println!("the plugin has run for long. It is {stack}"),
                Err(error) => {
                    println!("the plugin has run for long, and its stack cannot be captured: {error:#}")
                }
            }
            match times.fetch_add(1, Relaxed) {
                0..3 => WatchdogAction::Again,
                _ => WatchdogAction::Stop,
            }
        })?;
        run.call(&mut store, n)?;
    }
    assert!(seen.load(Relaxed) > 0, "a prime of 31 bits takes seconds");
    Ok(())
}
