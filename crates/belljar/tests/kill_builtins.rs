//! Guests that spend all their time in one function of the runtime, killed at arbitrary moments. The table has a row
//! for each builtin, or this does not compile.
//!
//! With `BELLJAR_LONG_TESTS` each is killed 10,000 times, or as often as possible in two minutes.

mod killer;

use belljar::{
    Config, Engine, Killed, LimitExceeded, Limits, Linker, Module, PoolConfig, SandboxTemplate, Store,
    UpdateDeadline,
};
use belljar_abi::Builtin;
use killer::{Killer, TIMEOUT};
use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};

/// A guest: the contents of its module, and the body of its endless loop.
struct Guest {
    module: String,
    body: &'static str,
}

fn guest(module: impl Into<String>, body: &'static str) -> Guest {
    Guest { module: module.into(), body }
}

/// Types and functions of guests that create objects. `$list` is a list of 100,000 of them, so that collections have
/// work to do.
const OBJECTS: &str = r#"(type $node (struct (field (mut (ref null $node))) (field i32)))
    (type $bytes (array (mut i8))) (type $words (array (mut i64))) (type $refs (array (mut (ref null $node))))
    (type $funcs (array (mut funcref)))
    (global $list (export "list") (mut (ref null $node)) (ref.null $node))
    (func $fill (local $i i32) (loop $more
        (global.set $list (struct.new $node (global.get $list) (local.get $i)))
        (local.set $i (i32.add (local.get $i) (i32.const 1)))
        (br_if $more (i32.lt_u (local.get $i) (i32.const 100000)))))
    (start $fill)"#;

fn with_objects(more: &str) -> String {
    format!("{OBJECTS} {more}")
}

/// A data segment of 64 KiB.
fn data() -> String {
    format!("(data $d \"{}\")", "x".repeat(64 << 10))
}

/// An element segment of 20,000 functions.
fn functions() -> String {
    format!("(func $f) (elem $e func {})", "$f ".repeat(20_000))
}

/// Returns guests that only use this builtin.
fn guests(builtin: Builtin) -> Vec<Guest> {
    match builtin {
        Builtin::MemoryGrow => vec![
            guest("(memory 1)", "(drop (memory.grow (i32.const 0)))"),
            guest("(memory 1 300)", "(drop (memory.grow (i32.const 1)))"),
            guest("(memory i64 1 300)", "(drop (memory.grow (i64.const 1)))"),
        ],
        Builtin::MemoryCopy => vec![
            guest("(memory 2)", "(memory.copy (i32.const 0) (i32.const 9) (i32.const 100000))"),
            guest("(memory 512)", "(memory.copy (i32.const 7) (i32.const 0) (i32.const 33000000))"),
            guest(
                "(memory $a 256) (memory $b 256)",
                "(memory.copy $a $b (i32.const 0) (i32.const 0) (i32.const 16777216))",
            ),
        ],
        Builtin::MemoryFill => vec![
            guest("(memory 2)", "(memory.fill (i32.const 0) (i32.const 9) (i32.const 100000))"),
            guest("(memory 512)", "(memory.fill (i32.const 0) (i32.const 9) (i32.const 33554432))"),
        ],
        Builtin::MemoryInit => vec![guest(
            format!("(memory 2) {}", data()),
            "(memory.init $d (i32.const 5) (i32.const 0) (i32.const 65536))",
        )],
        Builtin::MemoryWait32 => vec![
            guest(
                "(memory 1 1 shared)",
                "(drop (memory.atomic.wait32 (i32.const 0) (i32.const 0) (i64.const 1000)))",
            ),
            guest(
                "(memory 1 1 shared)",
                "(drop (memory.atomic.wait32 (i32.const 0) (i32.const 0) (i64.const -1)))",
            ),
        ],
        Builtin::MemoryWait64 => vec![
            guest(
                "(memory 1 1 shared)",
                "(drop (memory.atomic.wait64 (i32.const 0) (i64.const 0) (i64.const 1000)))",
            ),
            guest(
                "(memory 1 1 shared)",
                "(drop (memory.atomic.wait64 (i32.const 0) (i64.const 1) (i64.const -1)))",
            ),
        ],
        Builtin::MemoryNotify => {
            vec![guest("(memory 1 1 shared)", "(drop (memory.atomic.notify (i32.const 0) (i32.const 9)))")]
        }
        Builtin::DataDrop => vec![guest(data(), "(data.drop $d)")],
        Builtin::TableGrow => vec![
            guest("(table 1 funcref)", "(drop (table.grow (ref.null func) (i32.const 0)))"),
            guest("(table 1 5000000 funcref)", "(drop (table.grow (ref.null func) (i32.const 4999)))"),
        ],
        Builtin::TableFill => vec![guest(
            "(table 2000000 funcref)",
            "(table.fill (i32.const 0) (ref.null func) (i32.const 2000000))",
        )],
        Builtin::TableCopy => vec![
            guest("(table 2000000 funcref)", "(table.copy (i32.const 1) (i32.const 0) (i32.const 1999999))"),
            guest(
                "(table $a 1000000 funcref) (table $b 1000000 funcref)",
                "(table.copy $a $b (i32.const 0) (i32.const 0) (i32.const 1000000))",
            ),
        ],
        Builtin::TableInit => vec![guest(
            format!("(table 20000 funcref) {}", functions()),
            "(table.init $e (i32.const 0) (i32.const 0) (i32.const 20000))",
        )],
        Builtin::ElemDrop => vec![guest(functions(), "(elem.drop $e)")],
        Builtin::GcAlloc => vec![
            guest(OBJECTS, "(drop (struct.new $node (global.get $list) (i32.const 1)))"),
            // Up to 200,000 objects stay alive, so the old space is collected again and again.
            guest(
                with_objects("(global $n (mut i32) (i32.const 0))"),
                "(global.set $list (struct.new $node (global.get $list) (i32.const 1)))
                 (global.set $n (i32.add (global.get $n) (i32.const 1)))
                 (if (i32.gt_u (global.get $n) (i32.const 200000)) (then
                    (global.set $n (i32.const 0)) (global.set $list (ref.null $node))))",
            ),
        ],
        Builtin::GcAllocArray => vec![
            guest(OBJECTS, "(drop (array.new_default $words (i32.const 100)))"),
            guest(OBJECTS, "(drop (array.new_default $words (i32.const 2000000)))"),
            // A large array of references, which each collection scans.
            guest(
                with_objects("(global $all (mut (ref null $refs)) (ref.null $refs))"),
                "(global.set $all (array.new $refs (global.get $list) (i32.const 3000000)))",
            ),
        ],
        Builtin::ArrayNewData => vec![guest(
            with_objects(&data()),
            "(drop (array.new_data $bytes $d (i32.const 0) (i32.const 65536)))",
        )],
        Builtin::ArrayNewElem => vec![guest(
            with_objects(&functions()),
            "(drop (array.new_elem $funcs $e (i32.const 0) (i32.const 20000)))",
        )],
        Builtin::ArrayInitData => vec![guest(
            with_objects(&format!(
                "{} (global $a (mut (ref null $bytes)) (array.new_default $bytes (i32.const 65536)))",
                data()
            )),
            "(array.init_data $bytes $d (global.get $a) (i32.const 0) (i32.const 0) (i32.const 65536))",
        )],
        Builtin::ArrayInitElem => vec![guest(
            with_objects(&format!(
                "{} (global $a (mut (ref null $funcs)) (array.new_default $funcs (i32.const 20000)))",
                functions()
            )),
            "(array.init_elem $funcs $e (global.get $a) (i32.const 0) (i32.const 0) (i32.const 20000))",
        )],
        Builtin::ArrayCopy => vec![guest(
            with_objects(
                "(global $a (mut (ref null $words)) (array.new_default $words (i32.const 2000000)))",
            ),
            "(array.copy $words $words (global.get $a) (i32.const 1) (global.get $a) (i32.const 0) (i32.const 1999999))",
        )],
        Builtin::ThrowRef => vec![guest(
            "(tag $t) (type $void (func)) (table (export \"t\") 1 funcref) (func $throw (throw $t))
             (elem (table 0) (i32.const 0) func $throw)",
            "(block $caught (try_table (catch $t $caught) (call_indirect (type $void) (i32.const 0))))",
        )],
        // The guest gets 2^63 of fuel from its reserve each time: this one only counts.
        Builtin::OutOfFuel => vec![guest("", "(nop)")],
        Builtin::NewEpoch => vec![guest("", "(nop)")],
    }
}

fn engine(builtin: Builtin) -> Engine {
    let mut config = Config::new();
    config.consume_fuel(builtin == Builtin::OutOfFuel);
    config.epoch_interruption(builtin == Builtin::NewEpoch);
    Engine::new(&config).unwrap()
}

/// Kills a guest `tries` times, or until the time is over. Returns how often, and the longest time from a kill to the
/// end of the run.
fn kill(builtin: Builtin, guest: &Guest, tries: u32, time: Duration) -> (u32, Duration) {
    let engine = engine(builtin);
    let Guest { module, body } = guest;
    let wat = format!(
        "(module (import \"host\" \"runs\" (func $runs)) {module}
            (func (export \"run\") (call $runs) (loop $again {body} (br $again))))"
    );
    let module = Module::new(&engine, wat).unwrap_or_else(|e| panic!("{}: {e:?}", builtin.name()));
    let mut killer = Killer::new(builtin as u32);
    let (runs, name) = (killer.runs, builtin.name());
    let mut linker = Linker::new(&engine);
    linker.func_wrap("host", "runs", || runs.store(true, SeqCst)).unwrap();
    let (mut count, end) = (0, Instant::now() + time);
    while count < tries && (count == 0 || Instant::now() < end) {
        count += 1;
        let mut store = Store::new(&engine, ());
        if builtin == Builtin::OutOfFuel {
            store.set_fuel(u64::MAX).unwrap();
        }
        store.epoch_deadline_callback(|_| Ok(UpdateDeadline::Continue(0)));
        let instance = linker.instantiate(&mut store, &module).unwrap();
        let run = instance.get_typed_func::<(), ()>(&mut store, "run").unwrap();
        killer.kill(name, store.kill_handle(), || run.call(&mut store, ()));
        assert!(run.call(&mut store, ()).unwrap_err().is::<Killed>(), "{name}");
        // If a collection was interrupted, access is refused: nothing is read, and nothing panics.
        if let Some(list) = instance.get_global(&mut store, "list") {
            assert!(store.gc(None).is_err(), "{name}");
            let list = list.get(&mut store).unwrap_anyref().copied();
            let fields =
                list.and_then(|list| list.as_struct(&store).unwrap()).map(|node| node.fields(&mut store));
            assert!(
                fields.is_none_or(|fields| fields.is_err() || fields.is_ok_and(|fields| fields.len() == 2))
            );
        }
    }
    (count, killer.end())
}

/// `fill_loop.wat`: deadlines, too, need no particular moment, and such guests do not delay a pool.
#[test]
fn deadlines_end_bulk_operations_as_anything_else() {
    let engine = Engine::default();
    let loops = [Builtin::MemoryFill, Builtin::MemoryCopy, Builtin::TableFill, Builtin::TableCopy];
    for Guest { module, body } in loops.into_iter().flat_map(guests) {
        let wat = format!("(module {module} (func (export \"run\") (loop $again {body} (br $again))))");
        let pre = Linker::new(&engine).instantiate_pre(&Module::new(&engine, wat).unwrap()).unwrap();
        let template =
            SandboxTemplate::new(pre, || Ok(())).limits(Limits::unlimited().wall(Duration::from_millis(20)));
        let pool = template.pool(PoolConfig::new().max_sandboxes(2)).unwrap();
        std::thread::scope(|scope| {
            for _ in 0..6 {
                scope.spawn(|| {
                    let error = pool.call::<(), ()>("run", ()).unwrap_err();
                    assert!(error.is::<LimitExceeded>(), "{error:?}");
                });
            }
        });
    }
}

#[test]
fn a_guest_is_killed_in_whatever_it_does() {
    let is_long = std::env::var_os("BELLJAR_LONG_TESTS").is_some();
    let (tries, time) =
        if is_long { (10_000, Duration::from_secs(120)) } else { (20, Duration::from_secs(2)) };
    for row in Builtin::ROWS {
        for (i, guest) in guests(row.builtin).iter().enumerate() {
            let (count, longest) = kill(row.builtin, guest, tries, time);
            println!("{:16} {i}: killed {count} times, within {longest:?} each", row.name);
            assert!(longest < TIMEOUT);
        }
    }
}
