//! Scarce threads and stacks: slower paths and clear errors, never a panic or a wrong trap.

use belljar::{Config, Engine, Instance, Killed, Limits, Module, Store, Trap};

const RECURSE: &str = r#"(module (func $f (export "f") (param i32) (result i32)
    (if (result i32) (i32.eqz (local.get 0)) (then (i32.const 7))
        (else (i32.add (i32.const 0) (call $f (i32.sub (local.get 0) (i32.const 1))))))))"#;

fn call(config: &Config, depth: i32) -> belljar::Result<i32> {
    let engine = Engine::new(config)?;
    let mut store = Store::new(&engine, ());
    let instance = Instance::new(&mut store, &Module::new(&engine, RECURSE)?, &[])?;
    instance.get_typed_func::<i32, i32>(&mut store, "f")?.call(&mut store, depth)
}

fn on_stack<R: Send + 'static>(bytes: usize, work: impl FnOnce() -> R + Send + 'static) -> R {
    std::thread::Builder::new().stack_size(bytes).spawn(work).unwrap().join().unwrap()
}

#[test]
fn a_stack_limit_larger_than_the_address_space_is_what_the_thread_has() {
    for limit in [usize::MAX, usize::MAX / 2, 1 << 47, 1 << 46] {
        let mut config = Config::new();
        config.max_wasm_stack(limit);
        assert_eq!(call(&config, 1000).unwrap(), 7, "{limit:#x}");
        let error = on_stack(1 << 20, move || call(&config, i32::MAX).unwrap_err());
        assert_eq!(error.downcast_ref::<Trap>(), Some(&Trap::StackOverflow), "{limit:#x}: {error:?}");
    }
}

#[test]
fn a_thread_with_little_stack_is_named_as_the_reason() {
    // Enough to compile and to call, but no more than is reserved for the host.
    let engine = Engine::default();
    let module = Module::new(&engine, RECURSE).unwrap();
    let error = on_stack(120 << 10, move || {
        let mut store = Store::new(&engine, ());
        let instance = Instance::new(&mut store, &module, &[]).unwrap();
        let f = instance.get_typed_func::<i32, i32>(&mut store, "f").unwrap();
        f.call(&mut store, 1).unwrap_err()
    });
    assert_eq!(error.downcast_ref::<Trap>(), Some(&Trap::StackOverflow));
    assert!(format!("{error:#}").contains("call guests on a thread with a larger stack"), "{error:#}");
    // If the thread has enough stack, the error names only the guest.
    let error = call(&Config::new(), i32::MAX).unwrap_err();
    assert!(!format!("{error:#}").contains("call guests on a thread with a larger stack"), "{error:#}");
}

/// Runs this test's binary again as a user who may not have more threads, if it can switch to one.
fn as_a_user_without_threads(test: &str) -> Option<std::process::Output> {
    use std::os::unix::process::CommandExt;
    if std::env::var_os("BELLJAR_NO_THREADS").is_some() || !rustix::process::geteuid().is_root() {
        return None;
    }
    // A user who runs nothing else here; the limit applies to users other than root.
    let user = 64_123;
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("test");
    std::fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    std::fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let mut command = std::process::Command::new("prlimit");
    command.arg("--nproc=2:2").arg(&program).args([test, "--exact", "--nocapture", "--test-threads=1"]);
    command.env("BELLJAR_NO_THREADS", "1").env("RUST_BACKTRACE", "0").uid(user).gid(user);
    command.current_dir("/").output().ok()
}

#[test]
fn without_threads_things_are_slower_or_refused() {
    if std::env::var_os("BELLJAR_NO_THREADS").is_none() {
        let Some(output) = as_a_user_without_threads("without_threads_things_are_slower_or_refused") else {
            println!("skipped: this needs root, and the program prlimit");
            return;
        };
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
        assert!(text.contains("all was done"), "{text}");
        return;
    }
    // Only the test's own thread and the main thread are allowed.
    assert!(std::thread::Builder::new().spawn(|| ()).is_err(), "threads can be had here");
    let engine = Engine::default();
    let functions: String = (0..500).map(|i| format!("(func (result i32) (i32.const {i}))")).collect();
    let module = Module::new(&engine, format!(r#"(module {functions} (export "f" (func 499)))"#)).unwrap();
    let mut store = Store::new(&engine, ());
    let instance = Instance::new(&mut store, &module, &[]).unwrap();
    assert_eq!(
        instance.get_typed_func::<(), i32>(&mut store, "f").unwrap().call(&mut store, ()).unwrap(),
        499
    );
    // A limit that cannot be enforced is refused; the store is usable without it.
    store.set_limits(Limits::unlimited().wall(std::time::Duration::from_secs(1))).unwrap();
    let f = instance.get_typed_func::<(), i32>(&mut store, "f").unwrap();
    let error = f.call(&mut store, ()).unwrap_err();
    assert!(format!("{error:#}").contains("could not start the thread"), "{error:#}");
    assert!(!error.is::<Killed>());
    store.set_limits(Limits::unlimited()).unwrap();
    assert_eq!(f.call(&mut store, ()).unwrap(), 499);
    let watchdog = belljar::Watchdog::wall(store.inspector(), std::time::Duration::from_secs(1), |_| {
        belljar::WatchdogAction::Stop
    });
    assert!(format!("{:#}", watchdog.unwrap_err()).contains("could not start the thread"));
    assert!(belljar::Profiler::start(&engine, "none", std::time::Duration::from_millis(1)).is_err());
    println!("all was done");
}
