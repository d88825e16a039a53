//! Guests that write to the same pages in each call, and then elsewhere: by every way to write to a memory.

use belljar::{
    Caller, Config, Engine, GuestAlloc, Linker, Memory, Module, Result, Sandbox, SandboxTemplate, Session,
    Trap,
};
use std::io::Read;

/// Writes to the same pages each time, and to others in all ways that guests have.
const WAT: &str = r#"(module
    (import "host" "fill" (func $fill (param i32 i32)))
    (memory (export "memory") 16 40)
    (data (i32.const 300000) "image") (data $passive "passive")
    (global $next (mut i32) (i32.const 500000))
    (func (export "malloc") (param i32) (result i32) (local $at i32)
        (local.set $at (global.get $next))
        (global.set $next (i32.add (global.get $next) (local.get 0))) (local.get $at))
    (func (export "free") (param i32))
    (func (export "usual") (result i32)
        (i32.store (i32.const 100) (i32.add (i32.load (i32.const 100)) (i32.const 1)))
        (i32.store (i32.const 70000) (i32.const 7))
        (i32.load (i32.const 100)))
    (func (export "store") (param i32) (result i32)
        (i32.store (local.get 0) (i32.const 0x01010101)) (i32.load8_u (local.get 0)))
    (func (export "vector") (param i32) (result i32)
        (v128.store (local.get 0) (i8x16.splat (i32.const 1))) (i32.load8_u (i32.add (local.get 0) (i32.const 15))))
    (func (export "atomic") (param i32) (result i32)
        (drop (i32.atomic.rmw.add (local.get 0) (i32.const 1))) (i32.load8_u (local.get 0)))
    (func (export "memory.fill") (param i32) (result i32)
        (memory.fill (local.get 0) (i32.const 1) (i32.const 30000)) (i32.load8_u (i32.add (local.get 0) (i32.const 29999))))
    (func (export "memory.copy") (param i32) (result i32)
        (i32.store8 (i32.const 100) (i32.const 1))
        (memory.copy (local.get 0) (i32.const 100) (i32.const 1)) (i32.load8_u (local.get 0)))
    (func (export "memory.init") (param i32) (result i32)
        (memory.init $passive (local.get 0) (i32.const 0) (i32.const 7))
        (i32.eq (i32.load8_u (local.get 0)) (i32.const 112)))
    (func (export "grow") (param i32) (result i32)
        (drop (memory.grow (i32.const 20)))
        (i32.store (i32.const 2000000) (i32.const 1)) (i32.store (local.get 0) (i32.const 1))
        (i32.load8_u (i32.const 2000000)))
    (func (export "kernel") (param i32) (result i32)
        (call $fill (local.get 0) (i32.const 200000)) (i32.load8_u (i32.add (local.get 0) (i32.const 199999))))
    (func (export "store, trap") (param i32) (result i32)
        (i32.store (local.get 0) (i32.const 1)) (i32.store (i32.const -4) (i32.const 1)) (i32.const 2)))"#;

/// Offsets outside the usual pages: zeros, the image, both, and the last page.
const ELSEWHERE: [i32; 5] = [8192, 300_000, 299_998, 131_068, 800_000];

/// More calls than a memory needs to be write-protected.
const USUAL: usize = 24;

/// In an engine of its own: a memory whose protection was disturbed waits longer the next time, also if it is reused.
fn template() -> Result<SandboxTemplate<()>> {
    let engine = Engine::new(Config::new().wasm_threads(true))?;
    let module = Module::new(&engine, WAT)?;
    let mut linker = Linker::new(&engine);
    // The kernel writes to the bytes of `data_mut`.
    linker.func_wrap("host", "fill", |mut caller: Caller<'_, ()>, at: i32, length: i32| -> Result<()> {
        let memory = caller.get_export("memory").and_then(|it| it.into_memory()).unwrap();
        read_ones(&mut memory.data_mut(&mut caller)[at as usize..][..length as usize])
    })?;
    Ok(SandboxTemplate::new(linker.instantiate_pre(&module)?, || Ok(())).verify(true))
}

/// Makes the kernel fill a buffer.
fn read_ones(mut to: &mut [u8]) -> Result<()> {
    let (mut from, mut ones) = std::io::pipe()?;
    while !to.is_empty() {
        std::io::Write::write_all(&mut ones, &vec![1; to.len().min(4096)])?;
        let read = from.read(to)?;
        to = &mut to[read..];
    }
    Ok(())
}

fn usual(sandbox: &mut Sandbox<()>) {
    for _ in 0..USUAL {
        assert_eq!(sandbox.call::<(), i32>("usual", ()).unwrap(), 1);
    }
}

/// Returns all bytes of the memory of an idle sandbox.
fn bytes(sandbox: &mut Sandbox<()>) -> Vec<u8> {
    let mut session = sandbox.session().unwrap();
    let memory = memory(&mut session);
    memory.data(&*session.store()).to_vec()
}

fn memory(session: &mut Session<'_, ()>) -> Memory {
    session.instance().get_memory(session.store(), "memory").unwrap()
}

#[test]
fn whatever_a_guest_writes_elsewhere_is_there_and_is_wiped() {
    let fresh = bytes(&mut template().unwrap().build().unwrap());
    let ways = ["store", "vector", "memory.fill", "memory.copy", "memory.init", "grow", "kernel", "atomic"];
    for way in ways {
        for at in ELSEWHERE {
            let mut sandbox = template().unwrap().build().unwrap();
            usual(&mut sandbox);
            let at = if way == "atomic" { at & !3 } else { at };
            let result = sandbox.call::<i32, i32>(way, at).unwrap();
            let expected = i32::from(way == "atomic") * i32::from(fresh[at as usize]) + 1;
            assert_eq!(result, expected, "{way} at {at}");
            assert!(bytes(&mut sandbox) == fresh, "{way} at {at}");
            usual(&mut sandbox);
            assert!(bytes(&mut sandbox) == fresh, "{way} at {at}");
        }
    }
}

#[test]
fn an_access_outside_is_a_trap_as_ever() {
    let fresh = bytes(&mut template().unwrap().build().unwrap());
    for at in ELSEWHERE {
        let mut sandbox = template().unwrap().build().unwrap();
        usual(&mut sandbox);
        let error = sandbox.call::<i32, i32>("store, trap", at).unwrap_err();
        assert_eq!(error.downcast_ref::<Trap>(), Some(&Trap::MemoryOutOfBounds), "{error:#}");
        assert!(bytes(&mut sandbox) == fresh);
    }
}

#[test]
fn whatever_the_host_writes_is_there_and_is_wiped() {
    type Write = fn(&mut Session<'_, ()>, usize) -> Result<()>;
    let ways: [(&str, Write); 5] = [
        ("Memory::write", |session, at| Ok(memory(session).write(session.store(), at, &[1; 10_000])?)),
        ("Memory::data_mut", |session, at| {
            memory(session).data_mut(session.store())[at..][..10_000].fill(1);
            Ok(())
        }),
        ("the kernel", |session, at| {
            read_ones(&mut memory(session).data_mut(session.store())[at..][..10_000])
        }),
        ("the kernel, of a part", |session, at| {
            let memory = memory(session);
            let (bytes, ()) = memory.copied_data_and_store_mut(session.store());
            let bytes = &mut bytes[at..][..10_000];
            Memory::prepare_for_kernel(bytes);
            read_ones(bytes)
        }),
        ("GuestBuf", |session, _| {
            let instance = session.instance();
            let alloc = GuestAlloc::find(session.store(), instance)?;
            let buf = alloc.alloc(session.store(), 10_000, 1)?;
            read_ones(buf.bytes_mut(session.store())?)?;
            assert!(buf.bytes(&*session.store())?.iter().all(|byte| *byte == 1));
            Ok(())
        }),
    ];
    let fresh = bytes(&mut template().unwrap().build().unwrap());
    for (way, write) in ways {
        for at in ELSEWHERE.map(|at| at as usize) {
            let mut sandbox = template().unwrap().build().unwrap();
            usual(&mut sandbox);
            let mut session = sandbox.session().unwrap();
            write(&mut session, at).unwrap();
            if way != "GuestBuf" {
                let memory = memory(&mut session);
                assert!(
                    memory.data(&*session.store())[at..][..10_000].iter().all(|byte| *byte == 1),
                    "{way}"
                );
            }
            drop(session);
            assert!(bytes(&mut sandbox) == fresh, "{way} at {at}");
        }
    }
}

#[test]
fn many_threads_settle_and_are_disturbed() {
    let template = template().unwrap();
    let pool = template.pool(Default::default()).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let pool = &pool;
            scope.spawn(move || {
                for call in 0..2000 {
                    assert_eq!(pool.call::<(), i32>("usual", ()).unwrap(), 1);
                    if (call + thread * 111) % 300 == 0 {
                        let at = (call * 4096) % 900_000;
                        assert_eq!(pool.call::<i32, i32>("store", at).unwrap(), 1);
                    }
                }
            });
        }
    });
    assert_eq!(pool.statistics().discarded, 0);
}

/// Tables of several pages, in an instance's region and beside it.
const TABLES: &str = r#"(module
    (table $t (export "t") 9000 20000 funcref) (table $u 5000 9000 funcref)
    (global $g (export "g") (mut i32) (i32.const 5))
    (func $f) (elem (table $t) (i32.const 8000) func $f) (elem declare func $f)
    (func (export "usual") (result i32)
        (global.set $g (i32.add (global.get $g) (i32.const 1)))
        (table.set $t (i32.const 10) (ref.func $f)) (global.get $g))
    (func (export "set") (param i32) (result i32)
        (table.set $t (local.get 0) (ref.func $f))
        (table.set $u (i32.and (local.get 0) (i32.const 4095)) (ref.func $f))
        (call $count))
    (func (export "fill") (param i32) (result i32)
        (table.fill $t (local.get 0) (ref.func $f) (i32.const 500)) (call $count))
    (func (export "copy") (param i32) (result i32)
        (table.copy $t $t (local.get 0) (i32.const 7900) (i32.const 500)) (call $count))
    (func (export "grow") (param i32) (result i32)
        (drop (table.grow $t (ref.func $f) (i32.const 9000)))
        (table.set $t (local.get 0) (ref.func $f)) (call $count))
    ;; What is not null.
    (func $count (export "count") (result i32) (local $i i32) (local $n i32)
        (loop (local.set $n (i32.add (local.get $n) (i32.eqz (ref.is_null (table.get $t (local.get $i))))))
            (br_if 0 (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (table.size $t))))
        (local.set $i (i32.const 0))
        (loop (local.set $n (i32.add (local.get $n) (i32.eqz (ref.is_null (table.get $u (local.get $i))))))
            (br_if 0 (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (table.size $u))))
        (local.get $n)))"#;

#[test]
fn tables_settle_and_are_disturbed() {
    let engine = Engine::default();
    let module = Module::new(&engine, TABLES).unwrap();
    let pre = Linker::<()>::new(&engine).instantiate_pre(&module).unwrap();
    let mut sandbox = SandboxTemplate::new(pre, || Ok(())).verify(true).build().unwrap();
    let count = |sandbox: &mut Sandbox<()>| sandbox.call::<(), i32>("count", ()).unwrap();
    assert_eq!(count(&mut sandbox), 1);
    // Each time it takes longer until they are write-protected again, because every page is new to them.
    let mut calls = USUAL;
    for (way, at, expected) in
        [("set", 3000, 3), ("fill", 5000, 501), ("copy", 2000, 2), ("grow", 6500, 9002), ("set", 7000, 3)]
    {
        for _ in 0..calls {
            assert_eq!(sandbox.call::<(), i32>("usual", ()).unwrap(), 6);
        }
        calls = (calls * 4).min(2000);
        assert_eq!(sandbox.call::<i32, i32>(way, at).unwrap(), expected, "{way}");
        assert_eq!(count(&mut sandbox), 1, "{way}");
        let mut session = sandbox.session().unwrap();
        let table = session.instance().get_table(session.store(), "t").unwrap();
        let func = table.get(session.store(), 8000).unwrap();
        table.set(session.store(), 4000, func).unwrap();
        assert_eq!(session.call::<(), i32>("count", ()).unwrap(), 2);
        drop(session);
        assert_eq!(count(&mut sandbox), 1);
    }
}

/// Guests that write to many pages: with contents at both ends and in the middle, from the start or after growth.
#[test]
fn whatever_much_is_written_is_wiped() {
    let wat = r#"(module (memory (export "memory") 512 1024)
        (data (i32.const 0) "begin") (data (i32.const 9000000) "middle") (data (i32.const 33554400) "end")
        (func (export "init") (i32.store (i32.const 20000000) (i32.const 5)))
        (func (export "fill") (param i32 i32) (result i32)
            (memory.fill (local.get 0) (i32.const 9) (local.get 1)) (memory.size))
        (func (export "scatter") (param i32 i32) (result i32) (local $at i32)
            (loop (i32.store (local.get $at) (i32.const 7))
                (br_if 0 (i32.lt_u (local.tee $at (i32.add (local.get $at) (local.get 0))) (local.get 1))))
            (i32.load (i32.const 0)))
        (func (export "grow") (param i32 i32) (result i32)
            (drop (memory.grow (local.get 0)))
            (memory.fill (i32.const 1000000) (i32.const 9) (local.get 1)) (memory.size))
        (func (export "clear") (param i32 i32) (result i32)
            (memory.fill (local.get 0) (i32.const 0) (local.get 1)) (i32.load (i32.const 0))))"#;
    let engine = Engine::default();
    let module = Module::new(&engine, wat).unwrap();
    let pre = Linker::<()>::new(&engine).instantiate_pre(&module).unwrap();
    let template = SandboxTemplate::new(pre, || Ok(())).init("init").verify(true);
    let mut sandbox = template.build().unwrap();
    let fresh = bytes(&mut sandbox);
    let acts = [
        ("fill", (0, 33_554_432)),
        ("scatter", (1 << 20, 33_554_432)),
        ("fill", (100, 12 << 20)),
        ("clear", (0, 33_554_432)),
        ("grow", (200, 44_000_000)),
        ("scatter", (131_072, 4 << 20)),
    ];
    // Each repeatedly, then all in turn; and in an instance that learns from the others.
    let many = acts.into_iter().flat_map(|act| std::iter::repeat_n(act, 6)).chain(acts).chain(acts);
    for (act, arguments) in many {
        sandbox.call::<(i32, i32), i32>(act, arguments).unwrap();
    }
    assert!(bytes(&mut sandbox) == fresh);
    let mut session = sandbox.session().unwrap();
    let mut other = template.build().unwrap();
    session.call::<(i32, i32), i32>("fill", (0, 33_554_432)).unwrap();
    assert!(bytes(&mut other) == fresh);
    for (act, arguments) in acts {
        other.call::<(i32, i32), i32>(act, arguments).unwrap();
    }
    assert!(bytes(&mut other) == fresh);
    drop(session);
    assert!(bytes(&mut sandbox) == fresh);
    assert!(engine.problems().is_empty(), "{:?}", engine.problems());
}
