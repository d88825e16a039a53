//! Two host threads, each with a store of its own, and one shared memory.
//!
//! `cargo run -p belljar-examples --example threads`

use belljar::{Config, Engine, Linker, MemoryType, Module, Result, SharedMemory, Store};

/// Adds up numbers to a limit, starting from its own number in steps of two; notifies the host when both are done.
const GUEST: &str = r#"(module
    (import "host" "memory" (memory 1 1 shared))
    (func (export "sum") (param $number i32) (param $limit i32)
        (loop $next
            (drop (i64.atomic.rmw.add (i32.const 8) (i64.extend_i32_u (local.get $number))))
            (local.set $number (i32.add (local.get $number) (i32.const 2)))
            (br_if $next (i32.le_u (local.get $number) (local.get $limit))))
        (drop (i32.atomic.rmw.add (i32.const 0) (i32.const 1)))
        (drop (memory.atomic.notify (i32.const 0) (i32.const 1)))))"#;

fn sum(engine: &Engine, module: &Module, memory: &SharedMemory, first: u32) -> Result<()> {
    let mut store = Store::new(engine, ());
    let mut linker = Linker::new(engine);
    linker.define(&store, "host", "memory", memory.clone())?;
    let instance = linker.instantiate(&mut store, module)?;
    instance.get_typed_func::<(u32, u32), ()>(&mut store, "sum")?.call(&mut store, (first, 1000))
}

fn main() -> Result<()> {
    let engine = Engine::new(Config::new().wasm_threads(true))?;
    let module = Module::new(&engine, GUEST)?;
    let memory = SharedMemory::new(&engine, MemoryType::shared(1, 1))?;
    std::thread::scope(|scope| {
        let threads = [1, 2].map(|first| {
            let (engine, module, memory) = (&engine, &module, &memory);
            scope.spawn(move || sum(engine, module, memory, first))
        });
        // The host waits as guests do: as long as the number of finished threads is the one that it last read.
        loop {
            let done = memory.data().load_u32(0)?;
            if done == 2 {
                break;
            }
            memory.atomic_wait32(0, done, None)?;
        }
        println!("1 + 2 + … + 1000 = {}", memory.data().load_u64(8)?);
        threads.into_iter().try_for_each(|thread| thread.join().expect("guests do not panic the host"))
    })
}
