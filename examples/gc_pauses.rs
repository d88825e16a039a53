//! Measures how long collections pause a guest that has a million objects and constantly replaces them, and how much memory
//! that takes.
//!
//! `cargo run --release -p belljar-examples --example gc_pauses`

use belljar::{Engine, Instance, Module, Result, Store};

const GUEST: &str = r#"(module
    (type $object (struct (field (mut i64)) (field (mut (ref null $object)))))
    (type $objects (array (mut (ref null $object))))
    (global $all (ref $objects) (array.new_default $objects (i32.const 1000000)))
    (func (export "fill") (local $i i32)
        (loop $more
            (array.set $objects (global.get $all) (local.get $i)
                (struct.new $object (i64.extend_i32_u (local.get $i)) (ref.null $object)))
            (local.set $i (i32.add (local.get $i) (i32.const 1)))
            (br_if $more (i32.lt_u (local.get $i) (i32.const 1000000)))))
    (func (export "churn") (param $n i32) (local $seed i32) (local $slot i32)
        (local.set $seed (local.get $n))
        (loop $more
            (local.set $seed (i32.add (i32.mul (local.get $seed) (i32.const 1664525)) (i32.const 1013904223)))
            (local.set $slot (i32.rem_u (i32.shr_u (local.get $seed) (i32.const 4)) (i32.const 1000000)))
            ;; One object that stays until its turn comes, and three that are garbage at once.
            (array.set $objects (global.get $all) (local.get $slot)
                (struct.new $object (i64.extend_i32_u (local.get $n)) (ref.null $object)))
            (drop (struct.new $object (i64.const 1)
                (struct.new $object (i64.const 2) (struct.new $object (i64.const 3) (ref.null $object)))))
            (local.set $n (i32.sub (local.get $n) (i32.const 1)))
            (br_if $more (local.get $n)))))"#;

fn main() -> Result<()> {
    let engine = Engine::default();
    let mut store = Store::new(&engine, ());
    let instance = Instance::new(&mut store, &Module::new(&engine, GUEST)?, &[])?;
    let without_heap = resident();
    instance.get_typed_func::<(), ()>(&mut store, "fill")?.call(&mut store, ())?;
    store.gc(None)?;
    let before = store.gc_stats();
    let churn = instance.get_typed_func::<i32, ()>(&mut store, "churn")?;
    let objects = 10_000_000;
    let began = std::time::Instant::now();
    churn.call(&mut store, objects)?;
    let took = began.elapsed();
    let stats = store.gc_stats();
    let minors = (stats.minor_collections - before.minor_collections).max(1) as u32;
    let majors = (stats.major_collections - before.major_collections).max(1) as u32;
    println!("{} objects made in {took:.0?}", u64::from(objects.unsigned_abs()) * 4);
    println!(
        "{minors} collections of the nursery: {:.0?} each, {:.0?} the longest",
        (stats.minor_pause - before.minor_pause) / minors,
        stats.longest_minor_pause
    );
    println!(
        "{majors} of the whole heap: {:.1?} each, {:.1?} the longest",
        (stats.major_pause - before.major_pause) / majors,
        stats.longest_major_pause
    );
    println!(
        "alive {:.1} MB; resident for it at most {:.1} MB, and {:.1} MB for program and engine",
        mega(stats.live_bytes),
        mega(resident() - without_heap),
        mega(without_heap)
    );
    Ok(())
}

fn mega(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

/// Returns the peak resident memory of the process in bytes.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok()).map_or(0, |kb| kb * 1024)
}
