//! A plugin host that survives ten hostile plugins, and shows that none of them leaves anything behind.
//!
//! `cargo run -p belljar-examples --example plugin_host`

use belljar::{
    Caller, Engine, Error, Killed, Limits, Linker, Module, Result, SandboxTemplate, ThrownException, Trap,
};
use belljar_wasi::{I32Exit, WasiCtx, WasiCtxBuilder, p1};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

/// The host's state for each call.
struct Host {
    wasi: WasiCtx,
    lines: Vec<String>,
}

/// Ten plugins in one module. Each first leaves a mark wherever it can: in memory, a global, a table, an object.
const PLUGINS: &str = r#"(module $plugins
    (import "host" "log" (func $log (param i32 i32)))
    (import "host" "risky" (func $risky (param i32)))
    (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
    (memory (export "memory") 1) (data (i32.const 64) "marked")
    (global $mark (mut i32) (i32.const 0)) (table $t 1 1000 funcref) (tag $oops (param i32))
    (type $node (struct (field (ref null $node)) (field i64 i64 i64 i64)))
    (global $list (mut (ref null $node)) (ref.null $node))
    (elem declare func $leave_a_mark)
    (func $leave_a_mark
        (global.set $mark (i32.const 1)) (memory.fill (i32.const 1024) (i32.const 66) (i32.const 60000))
        (drop (memory.grow (i32.const 1))) (drop (table.grow $t (ref.func $leave_a_mark) (i32.const 10)))
        (global.set $list (struct.new $node (global.get $list)
            (i64.const 1) (i64.const 2) (i64.const 3) (i64.const 4)))
        (call $log (i32.const 64) (i32.const 6)))
    ;; How many marks there are: none in a clean instance.
    (func (export "marks") (result i32) (local $at i32) (local $marks i32)
        (local.set $marks (i32.add (global.get $mark) (i32.eqz (ref.is_null (global.get $list)))))
        (local.set $marks (i32.add (local.get $marks) (i32.gt_u (memory.size) (i32.const 1))))
        (local.set $marks (i32.add (local.get $marks) (i32.gt_u (table.size $t) (i32.const 1))))
        (local.set $at (i32.const 1024))
        (loop $next
            (local.set $marks (i32.add (local.get $marks) (i32.load8_u (local.get $at))))
            (br_if $next (i32.lt_u (local.tee $at (i32.add (local.get $at) (i32.const 1))) (i32.const 65536))))
        (local.get $marks))
    (func (export "endless loop") (call $leave_a_mark) (loop $again (br $again)))
    (func (export "memory bomb") (call $leave_a_mark)
        (loop $more (br_if $more (i32.ne (memory.grow (i32.const 16)) (i32.const -1)))) unreachable)
    (func $deep (export "deep recursion") (call $leave_a_mark) (call $deep) (call $deep))
    (func (export "objects without end") (loop $more (call $leave_a_mark) (br $more)))
    (func (export "trap") (call $leave_a_mark) (drop (i32.div_s (i32.const 1) (i32.const 0))))
    (func (export "wild pointer") (call $leave_a_mark) (drop (i32.load (i32.const 0x54534f4c))))
    (func (export "exit") (call $leave_a_mark) (call $exit (i32.const 3)))
    (func (export "exception") (call $leave_a_mark) (throw $oops (i32.const 7)))
    (func (export "error of the host") (call $leave_a_mark) (call $risky (i32.const 0)))
    (func (export "panic of the host") (call $leave_a_mark) (call $risky (i32.const 1))))"#;

const HOSTILE: [&str; 10] = [
    "endless loop",
    "memory bomb",
    "deep recursion",
    "objects without end",
    "trap",
    "wild pointer",
    "exit",
    "exception",
    "error of the host",
    "panic of the host",
];

/// Describes in a line how a plugin ended.
fn describe(error: &Error) -> String {
    if let Some(I32Exit(code)) = error.downcast_ref() {
        return format!("exited with code {code}");
    }
    if let Some(killed) = error.downcast_ref::<Killed>() {
        return format!("killed: {}", killed.reason());
    }
    if error.is::<ThrownException>() {
        return "threw what nobody caught".into();
    }
    match error.downcast_ref::<Trap>() {
        Some(trap) => format!("trapped: {trap}"),
        None => format!("{:#}", error.root_cause()),
    }
}

fn main() -> Result<()> {
    let engine = Engine::default();
    let module = Module::new(&engine, PLUGINS)?;
    let mut linker = Linker::new(&engine);
    p1::add_to_linker(&mut linker, |host: &mut Host| &mut host.wasi)?;
    linker.func_wrap("host", "log", |mut caller: Caller<'_, Host>, at: u32, length: u32| -> Result<()> {
        let memory = caller.get_export("memory").and_then(|export| export.into_memory());
        let memory = memory.ok_or_else(|| Error::msg("the plugin exports no memory"))?;
        let mut text = vec![0; length.min(80) as usize];
        memory.read(&caller, at as usize, &mut text)?;
        let lines = &mut caller.data_mut().lines;
        // The host's own memory has limits, too.
        if lines.len() < 100 {
            lines.push(String::from_utf8_lossy(&text).into_owned());
        }
        Ok(())
    })?;
    linker.func_wrap("host", "risky", |how: u32| -> Result<()> {
        assert!(how == 0, "a bug in the host");
        Err(Error::msg("the host could not do it"))
    })?;
    let host = || Ok(Host { wasi: WasiCtxBuilder::new().build(), lines: Vec::new() });
    let limits = Limits::default().memory(16 << 20).gc_heap(8 << 20).wall(Duration::from_millis(200));
    let template = SandboxTemplate::new(linker.instantiate_pre(&module)?, host).limits(limits).verify(true);
    let mut sandbox = template.build()?;

    // A host panic is not a plugin's fault; it is shown below.
    std::panic::set_hook(Box::new(|_| ()));
    for plugin in HOSTILE {
        let mut session = sandbox.session()?;
        let ended = catch_unwind(AssertUnwindSafe(|| session.call::<(), ()>(plugin, ())));
        let said = session.store().data().lines.len();
        let ended = match ended {
            Ok(Ok(())) => "returned".into(),
            Ok(Err(error)) => describe(&error),
            Err(_) => "the host panicked, and continues".into(),
        };
        drop(session);
        let marks: u32 = sandbox.call("marks", ())?;
        println!("{plugin:>19}: {ended} (after {said} lines); marks that are left: {marks}");
        assert_eq!(marks, 0);
    }
    for problem in engine.problems() {
        println!("problem: {problem}");
    }
    Ok(())
}
