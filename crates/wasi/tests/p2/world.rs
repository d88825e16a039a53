//! Arguments, variables, the end, clocks, randomness, and components that are no programs.

use super::{Host, guest, run, run_with};
use belljar::component::{Component, Linker, ResourceTable};
use belljar::{Killed, Store};
use belljar_wasi::p2::bindings::sync::Command;
use belljar_wasi::{Deterministic, HostMonotonicClock, HostWallClock, I32Exit, WasiCtxBuilder};
use std::sync::Mutex;
use std::time::Duration;

#[test]
fn arguments_and_variables_are_those_granted() {
    let outcome = run(&["environment", "zwölf"], |builder| {
        builder.env("A", "b=c").env("EMPTY", "").initial_cwd("/here");
    });
    outcome.prints(&[
        r#"["guest", "environment", "zwölf"]"#,
        r#"[("A", "b=c"), ("EMPTY", "")]"#,
        r#"Some("/here")"#,
        "false",
    ]);
}

#[test]
fn exits_have_codes() {
    let exit = |args: &[&str]| run(args, |_| ()).result.unwrap_err().downcast_ref::<I32Exit>().copied();
    // Rust's library tells only whether it has failed.
    assert_eq!(exit(&["exit", "0"]), Some(I32Exit(0)));
    assert_eq!(exit(&["exit", "7"]), Some(I32Exit(1)));
    let (engine, _) = guest();
    let wat = r#"(component
        (import "wasi:cli/exit@0.2.12" (instance $exit (export "exit-with-code" (func (param "status-code" u8)))))
        (core func $exit (canon lower (func $exit "exit-with-code")))
        (core module $m (import "" "exit" (func $exit (param i32)))
            (func (export "run") (result i32) (call $exit (i32.const 200)) (unreachable)))
        (core instance $m (instantiate $m (with "" (instance (export "exit" (func $exit))))))
        (func $run (result (result)) (canon lift (core func $m "run")))
        (instance (export "wasi:cli/run@0.2.3") (export "run" (func $run))))"#;
    let component = Component::new(engine, wat).unwrap();
    let mut linker = Linker::<Host>::new(engine);
    belljar_wasi::p2::add_to_linker_sync(&mut linker).unwrap();
    let mut store =
        Store::new(engine, Host { ctx: WasiCtxBuilder::new().build(), table: ResourceTable::new() });
    let command = Command::instantiate(&mut store, &component, &linker).unwrap();
    let error = command.wasi_cli_run().call_run(&mut store).unwrap_err();
    assert_eq!(error.downcast_ref(), Some(&I32Exit(200)));
    // After an exit, the instance cannot be entered any more.
    let again = command.wasi_cli_run().call_run(&mut store).unwrap_err().to_string();
    assert!(again.contains("cannot enter component instance"), "{again}");
}

#[test]
fn other_components_are_no_programs() {
    let (engine, _) = guest();
    let linker = Linker::<Host>::new(engine);
    let mut store =
        Store::new(engine, Host { ctx: WasiCtxBuilder::new().build(), table: ResourceTable::new() });
    let component = Component::new(engine, "(component)").unwrap();
    let error = Command::instantiate(&mut store, &component, &linker).unwrap_err().to_string();
    assert!(error.starts_with("the component is no program: it exports no function `run`"), "{error}");
}

#[test]
fn linkers_have_each_interface_once() {
    let (engine, _) = guest();
    let mut linker = Linker::<Host>::new(engine);
    belljar_wasi::p2::add_to_linker_sync(&mut linker).unwrap();
    let error = belljar_wasi::p2::add_to_linker_sync(&mut linker).unwrap_err().to_string();
    assert!(error.contains("already defined"), "{error}");
}

#[derive(Clone)]
struct Fixed;

impl HostWallClock for Fixed {
    fn resolution(&self) -> Duration {
        Duration::new(1, 5)
    }

    fn now(&self) -> Duration {
        Duration::new(1_234_567_890, 7)
    }
}

/// A clock that passes by itself while a guest waits.
struct Virtual(Mutex<u64>);

impl HostMonotonicClock for Virtual {
    fn resolution(&self) -> u64 {
        1
    }

    fn now(&self) -> u64 {
        *self.0.lock().unwrap()
    }

    fn advance(&self, by: Duration) -> bool {
        *self.0.lock().unwrap() += by.as_nanos() as u64;
        true
    }
}

#[test]
fn clocks_are_the_embedders() {
    let expected = ["true", "true false", "true true"];
    let outcome = run(&["clocks"], |builder| _ = builder.wall_clock(Fixed));
    outcome.prints(&[&expected[..], &["1234567890"]].concat());
    let outcome = run(&["clocks"], |builder| {
        builder.wall_clock(Fixed).monotonic_clock(Virtual(Mutex::new(0)));
    });
    outcome.prints(&[&expected[..], &["1234567890"]].concat());
    // An hour of this clock.
    run(&["wait"], |builder| _ = builder.monotonic_clock(Virtual(Mutex::new(0)))).prints(&[]);
}

#[test]
fn randomness_is_the_embedders() {
    let outcome = run(&["random"], |builder| {
        builder
            .secure_random(Deterministic::new(vec![1]))
            .insecure_random(Deterministic::new(vec![7, 8]))
            .insecure_random_seed(1 << 64 | 5);
    });
    // 5, 3 bytes and a number from the sequence.
    outcome.prints(&["5 true", "true", "[7, 8, 7] 506662689138280200", "(5, 1)"]);
    let outcome = run(&["random"], |_| ());
    assert!(outcome.stdout.starts_with("5 false\nfalse\n"), "{}", outcome.stdout);
    let message = run(&["random-too-much"], |_| ()).message();
    assert!(
        message.contains("asked for 1099511627776 random bytes at once, and may ask for 67108864"),
        "{message}"
    );
    let message = run(&["random"], |builder| _ = builder.max_random_size(4)).message();
    assert!(message.contains("asked for 5 random bytes at once, and may ask for 4"), "{message}");
}

/// Whoever waits is ended by a kill.
#[test]
fn a_kill_ends_a_guest_that_waits() {
    let outcome = run_with(
        &["wait"],
        |_| (),
        |store| {
            let kill = store.kill_handle();
            std::thread::spawn(move || {
                // Nothing runs yet.
                while !kill.kill("enough").unwrap() {
                    std::thread::yield_now();
                }
            });
        },
    );
    let error = outcome.result.unwrap_err();
    assert!(error.is::<Killed>(), "{error:?}");
}

#[test]
fn failures_are_told() {
    assert!(run(&["fail"], |_| ()).result.is_err());
    let message = run(&["poll-nothing"], |_| ()).message();
    assert!(message.contains("`poll` was called without anything to wait for"), "{message}");
    let message = run(&["drop-parent"], |_| ()).message();
    assert!(message.contains("the resource has children"), "{message}");
}
