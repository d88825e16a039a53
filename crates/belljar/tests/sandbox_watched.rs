//! Inspectors, watchdogs and other observers of a sandbox session end with it, and neither report nor affect the next
//! one.

use belljar::{
    Caller, Engine, Error, GuestState, Inspector, Killed, Limits, Linker, Module, Sandbox, SandboxTemplate,
    Session, Stack, Store, Trap, Watchdog, WatchdogAction,
};
use std::sync::mpsc;
use std::time::{Duration, Instant};

const LONG: Duration = Duration::from_secs(60);

const WAT: &str = r#"(module $guest
    (import "host" "wait" (func $wait))
    (import "host" "look" (func $look))
    (memory 1)
    (func (export "nop"))
    (func $spin (export "spin") (loop (br 0)))
    (func (export "grow") (drop (memory.grow (i32.const 3))))
    (func (export "waits") (call $wait))
    (func (export "looks") (call $look)))"#;

/// The host's state of a session.
#[derive(Default)]
struct Host {
    /// The stack that was captured in the host function `look`.
    seen: Option<Stack>,
    looks: Option<Inspector>,
}

fn template(engine: &Engine) -> SandboxTemplate<Host> {
    let mut linker = Linker::new(engine);
    linker.func_wrap("host", "wait", || std::thread::sleep(Duration::from_millis(50))).unwrap();
    linker
        .func_wrap("host", "look", |mut caller: Caller<'_, Host>| -> Result<(), Error> {
            let inspector = caller.data_mut().looks.take().expect("the session has one");
            // This thread answers itself.
            caller.data_mut().seen = Some(inspector.capture(LONG)?);
            Ok(())
        })
        .unwrap();
    let pre = linker.instantiate_pre(&Module::new(engine, WAT).unwrap()).unwrap();
    SandboxTemplate::new(pre, || Ok(Host::default()))
}

fn is_over(inspector: &Inspector) {
    let error = inspector.capture(LONG).unwrap_err();
    assert_eq!(format!("{error:#}"), "could not inspect the guest: that session is over");
    assert!(inspector.is_over());
    let told = (inspector.label(), inspector.memory_size(), inspector.age());
    assert_eq!(told, (None, 0, Duration::ZERO));
}

/// Runs `act` while another thread runs a guest that spins, which is killed afterwards.
fn while_spinning<R>(session: &mut Session<'_, Host>, act: impl FnOnce(&Inspector) -> R) -> R {
    let (inspector, kill) = (session.store().inspector(), session.kill_handle());
    std::thread::scope(|scope| {
        let run = scope.spawn(|| session.call::<(), ()>("spin", ()));
        while inspector.capture(LONG).unwrap().state() != GuestState::InGuest {}
        let result = act(&inspector);
        assert!(kill.kill("enough").unwrap());
        assert!(run.join().unwrap().unwrap_err().is::<Killed>());
        result
    })
}

#[test]
fn an_inspector_ends_with_its_session() {
    let engine = Engine::default();
    let mut sandbox = template(&engine).build().unwrap();
    let mut ids = Vec::new();
    let mut old: Vec<Inspector> = Vec::new();
    for _ in 0..5 {
        let mut session = sandbox.session().unwrap();
        let inspector = session.store().inspector();
        assert_eq!(inspector.capture(LONG).unwrap().state(), GuestState::Idle);
        assert_eq!(&*inspector.label().unwrap(), "guest");
        while_spinning(&mut session, |now| {
            let stack = inspector.capture(LONG).unwrap();
            assert_eq!((stack.state(), stack.store_id()), (GuestState::InGuest, now.store_id()));
            old.iter().for_each(is_over);
            // Queries of the engine see this session, and no other.
            let all = engine.inspectors();
            assert_eq!(all.iter().map(Inspector::store_id).collect::<Vec<_>>(), [now.store_id()]);
            assert_eq!(engine.stacks(LONG).len(), 1);
        });
        ids.push(inspector.store_id());
        drop(session);
        is_over(&inspector);
        old.push(inspector);
    }
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 5, "no two sessions have the same number");
    drop(sandbox);
    drop(template(&engine));
}

#[test]
fn an_inspector_of_a_store_that_is_gone_says_so() {
    let engine = Engine::default();
    let store = Store::new(&engine, ());
    let inspector = store.inspector();
    assert!(!inspector.is_over());
    drop(store);
    assert!(inspector.is_over());
    let error = format!("{:#}", inspector.capture(LONG).unwrap_err());
    assert_eq!(error, "could not inspect the guest: the store is gone");
}

#[test]
fn a_label_lasts_as_long_as_its_session() {
    let engine = Engine::default();
    let label = |sandbox: &mut Sandbox<Host>| {
        let mut session = sandbox.session().unwrap();
        let label = session.store().inspector().label().unwrap();
        session.store().set_label("the session of somebody");
        let other = session.store().inspector().label().unwrap();
        assert_eq!(&*other, "the session of somebody");
        session.call::<(), ()>("nop", ()).unwrap();
        label.to_string()
    };
    let mut unnamed = template(&engine).build().unwrap();
    let prepared = template(&engine).prepare(|store| {
        store.set_label("prepared");
        Ok(())
    });
    let (mut first, mut second) = (prepared.build().unwrap(), prepared.build().unwrap());
    for _ in 0..4 {
        assert_eq!(label(&mut unnamed), "guest");
        assert_eq!(label(&mut first), "prepared");
        assert_eq!(label(&mut second), "prepared");
    }
    // Two at once, so that there are two stores; stores that adopted the same checkpoint have different labels.
    let numbers = std::sync::atomic::AtomicU32::new(0);
    let numbered = template(&engine).prepare(move |store| {
        store.set_label(&format!("number {}", numbers.fetch_add(1, std::sync::atomic::Ordering::SeqCst)));
        Ok(())
    });
    let (mut first, mut second) = (numbered.build().unwrap(), numbered.build().unwrap());
    for _ in 0..3 {
        let (mut a, mut b) = (first.session().unwrap(), second.session().unwrap());
        let mut labels = [&mut a, &mut b].map(|session| {
            let label = session.store().inspector().label().unwrap();
            session.store().set_label("another");
            label.to_string()
        });
        labels.sort();
        assert_eq!(labels, ["number 0", "number 1"]);
    }
}

#[test]
fn a_watchdog_ends_with_its_session() {
    let engine = Engine::default();
    let mut sandbox = template(&engine).build().unwrap();
    for is_cpu in [false, true] {
        let (send, told) = mpsc::channel();
        let mut session = sandbox.session().unwrap();
        let inspector = session.store().inspector();
        let of_first = inspector.store_id();
        let callback = move |stack: belljar::Result<Stack>| {
            send.send(stack.map(|stack| stack.store_id()).map_err(|error| format!("{error:#}"))).unwrap();
            WatchdogAction::Again
        };
        let after = Duration::from_millis(100);
        let _watchdog = match is_cpu {
            false => Watchdog::wall(inspector, after, callback).unwrap(),
            true => Watchdog::cpu(inspector, after, callback).unwrap(),
        };
        drop(session);
        let mut session = sandbox.session().unwrap();
        while_spinning(&mut session, |_| {
            let error = loop {
                match told.recv_timeout(LONG).unwrap() {
                    // On a slow machine, the time was over before the session was.
                    Ok(id) => assert_eq!(id, of_first),
                    Err(error) => break error,
                }
            };
            assert_eq!(error, "could not inspect the guest: that session is over");
            // Only once: there is nothing more to wait for.
            assert_eq!(told.recv_timeout(LONG), Err(mpsc::RecvTimeoutError::Disconnected));
        });
    }
}

/// The duration of a host call is recorded for sessions with an inspector, and not for later ones.
#[test]
fn what_is_noted_for_an_inspector_ends_with_its_session() {
    let mut sandbox = template(&Engine::default()).build().unwrap();
    let mut session = sandbox.session().unwrap();
    let inspector = session.store().inspector();
    session.store().data_mut().looks = Some(inspector);
    session.call::<(), ()>("looks", ()).unwrap();
    assert!(session.store().data().seen.as_ref().unwrap().in_host_for().is_some());
    drop(session);
    let mut session = sandbox.session().unwrap();
    session.call::<(), ()>("waits", ()).unwrap();
    let inspector = session.store().inspector();
    assert_eq!(inspector.capture(LONG).unwrap().in_host_for(), None);
    // Nothing is left of where the previous session ran.
    drop(session);
    let mut session = sandbox.session().unwrap();
    assert_eq!(session.store().inspector().capture(LONG).unwrap().thread_id(), None);
    session.call::<(), ()>("grow", ()).unwrap();
    assert_eq!(session.store().inspector().memory_size(), 4 << 16);
    drop(session);
    let mut session = sandbox.session().unwrap();
    assert_eq!(session.store().inspector().memory_size(), 1 << 16);
    let age = session.store().inspector().age();
    std::thread::sleep(Duration::from_millis(20));
    assert!(session.store().inspector().age() > age);
}

/// Returns an error with all its causes, but without the host's own stack.
fn debug(error: &Error) -> String {
    let debug = format!("{error:?}");
    debug.split("Stack backtrace:").next().unwrap_or_default().to_string()
}

/// The error of a run that a limit ended names that limit.
#[test]
fn a_run_that_a_limit_ended_says_which() {
    let time = Duration::from_millis(20);
    let limited = |limits| template(&Engine::default()).limits(limits).build().unwrap();
    for (limits, told, exceeded) in [
        (Limits::unlimited().wall(time), "it ran for longer than 20ms", "wall"),
        (Limits::unlimited().cpu(time), "it used more than 20ms of CPU time", "cpu"),
    ] {
        let error = limited(limits).call::<(), ()>("spin", ()).unwrap_err();
        assert_eq!(error.downcast_ref::<Trap>(), Some(&Trap::Interrupt));
        let sentence =
            format!("{exceeded}: the guest wanted more than its limit of 20ms (Limits::{exceeded})");
        let debug = debug(&error);
        assert!(!debug.contains("epoch"), "{debug}");
        assert!(debug.starts_with(&sentence), "{debug}");
        assert!(debug.contains(&format!("the guest was killed: {told}")), "{debug}");
        assert!(format!("{error:#}").ends_with("interrupted by the host"), "{error:#}");
        assert!(!format!("{error:#}").contains("epoch"), "{error:#}");
    }
    let mut sandbox = template(&Engine::default()).build().unwrap();
    let mut session = sandbox.session().unwrap();
    let kill = session.kill_handle();
    let error = std::thread::scope(|scope| {
        let run = scope.spawn(|| session.call::<(), ()>("spin", ()).unwrap_err());
        let end = Instant::now() + LONG;
        while !kill.kill("nobody waits for it").unwrap() {
            assert!(Instant::now() < end);
        }
        run.join().unwrap()
    });
    let debug = debug(&error);
    assert!(
        debug.contains("the guest was killed: nobody waits for it") && !debug.contains("epoch"),
        "{debug}"
    );
}

/// The error of a run that an epoch ended says so.
#[test]
fn a_run_that_an_epoch_ended_says_so() {
    for asks in [None, Some(belljar::UpdateDeadline::Interrupt)] {
        let engine = Engine::new(belljar::Config::new().epoch_interruption(true)).unwrap();
        let wat = r#"(module (func (export "spin") (loop (br 0))))"#;
        let mut store = Store::new(&engine, ());
        let instance = belljar::Instance::new(&mut store, &Module::new(&engine, wat).unwrap(), &[]).unwrap();
        if let Some(decision) = asks {
            store.epoch_deadline_callback(move |_| Ok(decision));
        }
        store.set_epoch_deadline(1);
        engine.increment_epoch();
        let spin = instance.get_typed_func::<(), ()>(&mut store, "spin").unwrap();
        let error = spin.call(&mut store, ()).unwrap_err();
        assert_eq!(error.downcast_ref::<Trap>(), Some(&Trap::Interrupt));
        assert!(format!("{error:?}").contains("the epoch deadline passed"), "{error:?}");
    }
}
