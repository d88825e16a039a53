//! Guests that are killed during a garbage collection: nothing of that collection affects the next session's.

use belljar::{Engine, Killed, Linker, Module, Result, SandboxTemplate};
use std::time::Duration;

/// A list that is long enough for most kills to hit the collector while it marks. Large arrays that become garbage
/// trigger collections.
const WAT: &str = r#"(module
    (type $leaf (struct (field i32)))
    (type $node (struct (field (ref $leaf)) (field (ref null $node)) (field (ref $leaf))))
    (type $large (array i64))
    (global $list (mut (ref null $node)) (ref.null $node))
    (func $longer (param i32)
        (loop
            (global.set $list (struct.new $node
                (struct.new $leaf (local.get 0)) (global.get $list) (struct.new $leaf (i32.const 0))))
            (br_if 0 (local.tee 0 (i32.sub (local.get 0) (i32.const 1))))))
    (func $collect (param i32)
        (loop
            (drop (array.new_default $large (i32.const 100000)))
            (br_if 0 (local.tee 0 (i32.sub (local.get 0) (i32.const 1))))))
    (func (export "init") (call $longer (i32.const 20000)))
    (func (export "spin")
        (call $longer (i32.const 150000))
        (loop (call $collect (i32.const 1)) (br 0)))
    (func (export "sum") (result i64) (local $node (ref null $node)) (local $sum i64)
        (call $longer (i32.const 1))
        (call $collect (i32.const 40))
        (local.set $node (global.get $list))
        (loop
            (local.set $sum (i64.add (local.get $sum)
                (i64.extend_i32_u (struct.get $leaf 0 (struct.get $node 0 (local.get $node))))))
            (br_if 0 (i32.eqz (ref.is_null (local.tee $node (struct.get $node 1 (local.get $node)))))))
        (local.get $sum)))"#;

#[test]
fn a_collection_that_was_given_up_leaves_nothing_to_the_next() -> Result<()> {
    let engine = Engine::default();
    let pre = Linker::<()>::new(&engine).instantiate_pre(&Module::new(&engine, WAT)?)?;
    let mut sandbox = SandboxTemplate::new(pre, || Ok(())).init("init").verify(true).build()?;
    let expected = 20_000 * 20_001 / 2 + 1;
    for i in 0..40 {
        let mut session = sandbox.session()?;
        let kill = session.kill_handle();
        let killer = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(100 + 3 * i));
            while !kill.kill("enough").unwrap() {}
        });
        let error = session.call::<(), ()>("spin", ()).unwrap_err();
        killer.join().unwrap();
        assert!(error.is::<Killed>(), "{error:?}");
        drop(session);
        assert_eq!(sandbox.call::<(), i64>("sum", ())?, expected);
        assert_eq!(engine.problems(), Vec::<String>::new());
    }
    Ok(())
}
