//! Limits on untrusted code: memory, fuel, time.
//!
//! `cargo run -p belljar-examples --example limits`

use belljar::{Config, Engine, Instance, Module, Result, Store, StoreLimits, StoreLimitsBuilder, Trap};
use std::time::Duration;

const GUEST: &str = r#"(module
    (memory 1)
    (func (export "hoard") (result i32)
        (loop $more
            (br_if $more (i32.ne (memory.grow (i32.const 1)) (i32.const -1))))
        (memory.size))
    (func (export "spin") (loop (br 0))))"#;

fn store(engine: &Engine) -> Store<StoreLimits> {
    let limits = StoreLimitsBuilder::new().memory_size(8 << 20).build();
    let mut store = Store::new(engine, limits);
    store.limiter(|limits| limits);
    store
}

fn main() -> Result<()> {
    // Memory: growth beyond 8 MiB is refused.
    let engine = Engine::default();
    let module = Module::new(&engine, GUEST)?;
    let mut limited = store(&engine);
    let instance = Instance::new(&mut limited, &module, &[])?;
    let pages = instance.get_typed_func::<(), u32>(&mut limited, "hoard")?.call(&mut limited, ())?;
    println!("the guest got {pages} pages of 64 KiB and no more");

    // Fuel: the same guest stops after the same number of instructions, every time.
    let engine = Engine::new(Config::new().consume_fuel(true))?;
    let module = Module::new(&engine, GUEST)?;
    let mut fuelled = store(&engine);
    fuelled.set_fuel(1_000_000)?;
    let instance = Instance::new(&mut fuelled, &module, &[])?;
    let error = instance.get_typed_func::<(), ()>(&mut fuelled, "spin")?.call(&mut fuelled, ());
    println!("with a million units of fuel: {:?}", error.expect_err("it spins").downcast_ref::<Trap>());

    // Time: another thread increments the epoch.
    let engine = Engine::new(Config::new().epoch_interruption(true))?;
    let module = Module::new(&engine, GUEST)?;
    let mut timed = store(&engine);
    timed.set_epoch_deadline(1);
    let instance = Instance::new(&mut timed, &module, &[])?;
    let clock = engine.clone();
    let ticker = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(50));
        clock.increment_epoch();
    });
    let error = instance.get_typed_func::<(), ()>(&mut timed, "spin")?.call(&mut timed, ());
    println!("after 50 ms: {:?}", error.expect_err("it spins").downcast_ref::<Trap>());
    ticker.join().expect("the ticker does not panic");
    Ok(())
}
