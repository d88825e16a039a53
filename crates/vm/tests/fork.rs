//! Hosts that fork worker processes. In a child that inherits an engine, limits, kills, watchdogs, stacks, compilations
//! and sandboxes work, and state that belongs to the parent reports that.

use belljar::{
    Engine, Error, Instance, Killed, LimitExceeded, Limits, Linker, Module, Profiler, Sandbox,
    SandboxTemplate, Store, Trap, Watchdog, WatchdogAction,
};
use std::sync::mpsc;
use std::time::{Duration, Instant};

const SPIN: &str = r#"(module (func (export "run") (loop $l (br $l))))"#;
const LONG: Duration = Duration::from_secs(60);

/// Runs `child` in a forked process and waits for it. It must not fail.
fn in_child(name: &str, child: impl FnOnce() -> Result<(), Error>) {
    // SAFETY: the child only does what this test is about: it uses the engine that it inherits. The other threads of
    // this process wait, and hold no lock.
    let process = unsafe { libc::fork() };
    assert!(process >= 0);
    if process == 0 {
        let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(child));
        let code = match done {
            Ok(Ok(())) => 0,
            Ok(Err(error)) => {
                eprintln!("{name}: {error:?}");
                1
            }
            Err(_) => 2,
        };
        // SAFETY: ends the process at once, without cleaning up what belongs to the parent.
        unsafe { libc::_exit(code) };
    }
    let end = Instant::now() + LONG;
    let mut status = 0;
    loop {
        // SAFETY: waits for our child, and writes to our variable.
        let ended = unsafe { libc::waitpid(process, &mut status, libc::WNOHANG) };
        if ended == process {
            break;
        }
        if Instant::now() > end {
            // SAFETY: our child, which has not been waited for.
            unsafe { libc::kill(process, libc::SIGKILL) };
            panic!("{name}: the child hangs");
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(status, 0, "{name}: the child failed");
}

fn limit_ends_a_run(engine: &Engine) -> Result<(), Error> {
    let mut store = Store::new(engine, ());
    store.set_limits(Limits::unlimited().wall(Duration::from_millis(20)))?;
    let instance = Instance::new(&mut store, &Module::new(engine, SPIN)?, &[])?;
    let error = instance.get_typed_func::<(), ()>(&mut store, "run")?.call(&mut store, ()).unwrap_err();
    belljar_core::ensure!(error.is::<LimitExceeded>(), "{error:?}");
    Ok(())
}

fn kill_ends_a_run(engine: &Engine) -> Result<(), Error> {
    let mut store = Store::new(engine, ());
    let instance = Instance::new(&mut store, &Module::new(engine, SPIN)?, &[])?;
    let run = instance.get_typed_func::<(), ()>(&mut store, "run")?;
    let (handle, inspector) = (store.kill_handle(), store.inspector());
    let killer = std::thread::spawn(move || {
        while inspector.capture(LONG).unwrap().backtrace().frames().is_empty() {}
        handle.kill("enough").unwrap()
    });
    let error = run.call(&mut store, ()).unwrap_err();
    belljar_core::ensure!(error.is::<Killed>() && killer.join().unwrap(), "{error:?}");
    Ok(())
}

fn watchdog_barks(engine: &Engine) -> Result<(), Error> {
    let mut store = Store::new(engine, ());
    let instance = Instance::new(&mut store, &Module::new(engine, SPIN)?, &[])?;
    let run = instance.get_typed_func::<(), ()>(&mut store, "run")?;
    let (handle, (send, receive)) = (store.kill_handle(), mpsc::channel());
    let _watchdog = Watchdog::wall(store.inspector(), Duration::from_millis(5), move |stack| {
        send.send(stack.is_ok()).unwrap();
        handle.kill("seen").unwrap();
        WatchdogAction::Stop
    })?;
    let error = run.call(&mut store, ()).unwrap_err();
    belljar_core::ensure!(error.is::<Killed>() && receive.recv_timeout(LONG)?, "{error:?}");
    Ok(())
}

/// Compiles a module whose functions are validated and compiled by many threads.
fn compiles_in_parallel(engine: &Engine, salt: u32) -> Result<(), Error> {
    let functions: String =
        (0..500).map(|i| format!("(func (result i32) (i32.const {}))", i ^ salt)).collect();
    let module = Module::new(engine, format!(r#"(module {functions} (export "f" (func 499)))"#))?;
    let mut store = Store::new(engine, ());
    let instance = Instance::new(&mut store, &module, &[])?;
    let found = instance.get_typed_func::<(), u32>(&mut store, "f")?.call(&mut store, ())?;
    belljar_core::ensure!(found == 499 ^ salt);
    Ok(())
}

/// Checks that a session does not see what the previous one wrote. Each process writes to pages of its own: the page
/// map of another process would not list them.
fn sessions_begin_clean(sandbox: &mut Sandbox<()>, salt: u32) -> Result<(), Error> {
    for at in [salt * 8, salt * 8 + 3, salt * 8, salt * 8 + 3].map(|page| page << 16) {
        let before = sandbox.call::<(u32, u32), u32>("swap", (at, 0xbad))?;
        belljar_core::ensure!(before == 0, "a session saw {before:#x} at {at:#x}");
    }
    Ok(())
}

fn sandbox(engine: &Engine) -> Result<Sandbox<()>, Error> {
    let wat = r#"(module (memory 128)
        (func (export "swap") (param i32 i32) (result i32)
            (i32.load (local.get 0)) (i32.store (local.get 0) (local.get 1))))"#;
    let pre = Linker::new(engine).instantiate_pre(&Module::new(engine, wat)?)?;
    SandboxTemplate::new(pre, || Ok(())).build()
}

fn all(engine: &Engine, sandbox: &mut Sandbox<()>, salt: u32) -> Result<(), Error> {
    limit_ends_a_run(engine)?;
    kill_ends_a_run(engine)?;
    watchdog_barks(engine)?;
    compiles_in_parallel(engine, salt)?;
    sessions_begin_clean(sandbox, salt)
}

#[test]
fn a_child_uses_the_engine_that_it_inherits() -> Result<(), Error> {
    let engine = Engine::default();
    let mut sandbox = sandbox(&engine)?;
    // So that everything that starts a thread or opens a file has done so.
    all(&engine, &mut sandbox, 1)?;
    in_child("a child", || all(&engine, &mut sandbox, 2));
    in_child("a grandchild", || {
        all(&engine, &mut sandbox, 3)?;
        in_child("the grandchild itself", || all(&engine, &mut sandbox, 4));
        all(&engine, &mut sandbox, 5)
    });
    // With an operation of each kind in progress.
    let profiler = Profiler::start(&engine, "the parent", Duration::from_millis(1))?;
    let mut store = Store::new(&engine, ());
    store.set_limits(Limits::unlimited().wall(LONG))?;
    let watchdog = Watchdog::wall(store.inspector(), LONG, |_| WatchdogAction::Stop)?;
    let mut linker = Linker::new(&engine);
    linker.func_wrap("host", "fork", || -> Result<(), Error> {
        // SAFETY: as in `in_child`; the child ends by itself below.
        match unsafe { libc::fork() } {
            0 => Ok(()),
            child => {
                let mut status = 0;
                // SAFETY: our child, and our variable.
                unsafe { libc::waitpid(child, &mut status, 0) };
                belljar_core::ensure!(status == 0, "the child ended with {status}");
                Ok(())
            }
        }
    })?;
    let wat = r#"(module (import "host" "fork" (func $fork)) (func (export "run") (call $fork)))"#;
    let instance = linker.instantiate(&mut store, &Module::new(&engine, wat)?)?;
    // SAFETY: a call without arguments that always succeeds.
    let parent = unsafe { libc::getpid() };
    let ended = instance.get_typed_func::<(), ()>(&mut store, "run")?.call(&mut store, ());
    // SAFETY: as above.
    if unsafe { libc::getpid() } != parent {
        // The guest and the profile continue in the parent only; everything else can be started anew.
        let is_right = ended.as_ref().is_err_and(|error| {
            error.is::<Killed>()
                && error.downcast_ref::<Trap>() == Some(&Trap::Interrupt)
                && format!("{error:#}").contains("forked")
        });
        let is_right = is_right && profiler.finish().is_err();
        drop(watchdog);
        let is_right = is_right && all(&engine, &mut sandbox, 6).inspect_err(|e| eprintln!("{e:?}")).is_ok();
        // SAFETY: as in `in_child`.
        unsafe { libc::_exit(i32::from(!is_right)) };
    }
    ended?;
    profiler.finish()?;
    drop(watchdog);
    all(&engine, &mut sandbox, 7)
}
