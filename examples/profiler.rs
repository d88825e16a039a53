//! A host that profiles its own guests: a table for the log, and a file for people.

use belljar::{Engine, Instance, Module, ProfileFormat, Profiler, Result, Store};
use std::fs::File;
use std::time::Duration;

/// Sorts numbers in two ways.
const GUEST: &str = r#"(module $sorts
    (memory 1)
    (func $less (param $a i32) (param $b i32) (result i32)
        (i32.lt_u (i32.load (local.get $a)) (i32.load (local.get $b))))
    (func $swap (param $a i32) (param $b i32) (local $old i32)
        (local.set $old (i32.load (local.get $a)))
        (i32.store (local.get $a) (i32.load (local.get $b)))
        (i32.store (local.get $b) (local.get $old)))
    (func $shuffle (local $i i32) (local $seed i32)
        (local.set $seed (i32.const 1))
        (loop $next
            (local.set $seed (i32.add (i32.mul (local.get $seed) (i32.const 1664525)) (i32.const 1013904223)))
            (i32.store (local.get $i) (i32.shr_u (local.get $seed) (i32.const 8)))
            (br_if $next (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 4))) (i32.const 8000)))))
    (func $bubble (local $i i32) (local $end i32)
        (local.set $end (i32.const 7996))
        (loop $pass
            (local.set $i (i32.const 0))
            (loop $next
                (if (call $less (i32.add (local.get $i) (i32.const 4)) (local.get $i))
                    (then (call $swap (local.get $i) (i32.add (local.get $i) (i32.const 4)))))
                (br_if $next (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 4))) (local.get $end))))
            (br_if $pass (local.tee $end (i32.sub (local.get $end) (i32.const 4))))))
    (func $insert (local $i i32) (local $j i32)
        (local.set $i (i32.const 4))
        (loop $next
            (local.set $j (local.get $i))
            (block $placed (loop $down
                (br_if $placed (i32.eqz (local.get $j)))
                (br_if $placed (call $less (i32.sub (local.get $j) (i32.const 4)) (local.get $j)))
                (call $swap (local.get $j) (i32.sub (local.get $j) (i32.const 4)))
                (local.set $j (i32.sub (local.get $j) (i32.const 4)))
                (br $down)))
            (br_if $next (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 4))) (i32.const 8000)))))
    (func (export "run") (call $shuffle) (call $bubble) (call $shuffle) (call $insert)))"#;

fn main() -> Result<()> {
    let engine = Engine::default();
    let module = Module::new(&engine, GUEST)?;
    let mut store = Store::new(&engine, ());
    let instance = Instance::new(&mut store, &module, &[])?;
    let run = instance.get_typed_func::<(), ()>(&mut store, "run")?;

    let profiler = Profiler::start(&engine, "two sorts", Duration::from_millis(1))?;
    for _ in 0..100 {
        run.call(&mut store, ())?;
    }
    let profile = profiler.finish()?;

    println!("{} samples, {:?} of CPU time\n", profile.sample_count(), profile.total_weight());
    print!("{:.5}", profile.summary());
    let file = std::env::temp_dir().join("two-sorts.json");
    profile.write_to(ProfileFormat::Firefox, &mut File::create(&file)?)?;
    println!("\nfor https://profiler.firefox.com: {}", file.display());
    assert!(profile.summary().function("bubble").is_some());
    Ok(())
}
