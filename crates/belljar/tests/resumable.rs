//! Calls that are suspended by an error of a host function or by exhausted fuel, and resumed.

use belljar::{
    CallHook, Caller, Config, Engine, Error, ExternRef, Func, GuestState, Instance, Linker, Module, Result,
    ResumableCall, Rooted, SandboxTemplate, Store, Trap, TypedResumableCall, V128, Val, WasmBacktrace, bail,
};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// The error of the host functions below: it tells which question the guest asked.
#[derive(Debug)]
struct Question(i64);

impl std::fmt::Display for Question {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "question {}", self.0)
    }
}

impl std::error::Error for Question {}

const ASKS: &str = r#"(module
    (import "host" "ask" (func $ask (param i64) (result i64)))
    (memory (export "memory") 1)
    (global $asked (export "asked") (mut i32) (i32.const 0))
    ;; Asks 1 to $n, and returns the sum of the answers, weighted by the question.
    (func $sum (export "sum") (param $n i64) (result i64) (local $i i64) (local $sum i64)
        (loop $next
            (local.set $i (i64.add (local.get $i) (i64.const 1)))
            (global.set $asked (i32.add (global.get $asked) (i32.const 1)))
            (local.set $sum (i64.add (local.get $sum)
                (i64.mul (local.get $i) (call $ask (local.get $i)))))
            (br_if $next (i64.lt_u (local.get $i) (local.get $n))))
        (local.get $sum))
    (func (export "plain") (result i32) (global.get $asked))
    ;; Asks at the bottom of a recursion.
    (func $deep (export "deep") (param $depth i32) (result i64)
        (if (result i64) (i32.eqz (local.get $depth))
            (then (call $ask (i64.const 7)))
            (else (i64.add (i64.const 1) (call $deep (i32.sub (local.get $depth) (i32.const 1)))))))
    (func $forever (export "forever") (result i64) (i64.add (i64.const 1) (call $forever)))
    (func (export "spin") (loop (br 0))))"#;

fn asking(engine: &Engine) -> (Store<()>, Instance) {
    let mut store = Store::new(engine, ());
    let mut linker = Linker::new(engine);
    linker
        .func_wrap("host", "ask", |question: i64| -> Result<i64> { Err(Question(question).into()) })
        .unwrap();
    let instance = linker.instantiate(&mut store, &Module::new(engine, ASKS).unwrap()).unwrap();
    (store, instance)
}

fn suspended<R: std::fmt::Debug>(call: TypedResumableCall<R>) -> belljar::TypedResumableCallHostTrap<R> {
    match call {
        TypedResumableCall::HostTrap(call) => call,
        other => panic!("not suspended by the host: {other:?}"),
    }
}

fn question(error: &Error) -> i64 {
    error.downcast_ref::<Question>().expect("a question").0
}

#[test]
fn a_guest_continues_where_the_host_function_failed() {
    let (mut store, instance) = asking(&Engine::default());
    let sum = instance.get_typed_func::<i64, i64>(&mut store, "sum").unwrap();
    let mut call = sum.call_resumable(&mut store, 100).unwrap();
    for i in 1..=100 {
        let at = suspended(call);
        assert_eq!(question(at.host_error()), i);
        assert_eq!(at.host_func().ty(&store).results().len(), 1);
        assert_eq!(at.host_error().downcast_ref::<WasmBacktrace>().unwrap().frames().len(), 1);
        // Answers are squares.
        call = at.resume(&mut store, &[Val::I64(i * i)]).unwrap();
    }
    let TypedResumableCall::Finished(total) = call else { panic!("{call:?}") };
    assert_eq!(total, (1..=100).map(|i: i64| i * i * i).sum::<i64>());
    assert_eq!(question(&sum.call(&mut store, 5).unwrap_err()), 1);
}

#[test]
fn the_store_can_be_used_meanwhile() {
    let (mut store, instance) = asking(&Engine::default());
    let sum = instance.get_typed_func::<i64, i64>(&mut store, "sum").unwrap();
    let deep = instance.get_typed_func::<i32, i64>(&mut store, "deep").unwrap();
    let plain = instance.get_typed_func::<(), i32>(&mut store, "plain").unwrap();
    let memory = instance.get_memory(&mut store, "memory").unwrap();
    let first = suspended(sum.call_resumable(&mut store, 2).unwrap());
    let second = suspended(deep.call_resumable(&mut store, 1000).unwrap());
    let third = suspended(sum.call_resumable(&mut store, 1).unwrap());
    assert_eq!(plain.call(&mut store, ()).unwrap(), 2);
    memory.grow(&mut store, 100).unwrap();
    assert_eq!(question(&deep.call(&mut store, 5000).unwrap_err()), 7);
    let backtrace = second.host_error().downcast_ref::<WasmBacktrace>().unwrap();
    assert_eq!(backtrace.frames().len() + backtrace.omitted(), 1001);
    // Neither the first nor the last one first.
    let TypedResumableCall::Finished(1010) = second.resume(&mut store, &[Val::I64(10)]).unwrap() else {
        panic!()
    };
    let first = suspended(first.resume(&mut store, &[Val::I64(3)]).unwrap());
    let TypedResumableCall::Finished(9) = third.resume(&mut store, &[Val::I64(9)]).unwrap() else { panic!() };
    let TypedResumableCall::Finished(11) = first.resume(&mut store, &[Val::I64(4)]).unwrap() else {
        panic!()
    };
    assert_eq!(plain.call(&mut store, ()).unwrap(), 3);
}

#[test]
fn a_call_that_was_dropped_leaves_nothing_behind() {
    let (mut store, instance) = asking(&Engine::default());
    let sum = instance.get_typed_func::<i64, i64>(&mut store, "sum").unwrap();
    let mappings = || std::fs::read_to_string("/proc/self/maps").unwrap().lines().count();
    drop(sum.call_resumable(&mut store, 1).unwrap());
    let before = mappings();
    for _ in 0..10_000 {
        assert_eq!(question(&suspended(sum.call_resumable(&mut store, 1).unwrap()).into_host_error()), 1);
    }
    // Other tests map things too; ten thousand stacks would be twice as many mappings.
    assert!(mappings() < before + 5000, "{} mappings, before {before}", mappings());
}

#[test]
fn a_call_continues_on_another_thread() {
    let (mut store, instance) = asking(&Engine::default());
    let deep = instance.get_typed_func::<i32, i64>(&mut store, "deep").unwrap();
    let call = suspended(deep.call_resumable(&mut store, 500).unwrap());
    let (mut store, total) = std::thread::spawn(move || {
        let ended = call.resume(&mut store, &[Val::I64(1)]).unwrap();
        (store, ended)
    })
    .join()
    .unwrap();
    let TypedResumableCall::Finished(501) = total else { panic!("{total:?}") };
    assert_eq!(question(&deep.call(&mut store, 500).unwrap_err()), 7);
}

#[test]
fn every_kind_of_result_arrives() {
    let engine = Engine::default();
    let mut store = Store::new(&engine, ());
    let mut linker = Linker::new(&engine);
    linker.func_wrap("host", "none", || -> Result<()> { bail!("none") }).unwrap();
    linker.func_wrap("host", "i32", || -> Result<i32> { bail!("i32") }).unwrap();
    linker.func_wrap("host", "f32", |_: f32, _: f64| -> Result<f32> { bail!("f32") }).unwrap();
    linker.func_wrap("host", "f64", || -> Result<f64> { bail!("f64") }).unwrap();
    linker.func_wrap("host", "v128", |_: V128| -> Result<V128> { bail!("v128") }).unwrap();
    linker.func_wrap("host", "two", || -> Result<(i64, f32)> { bail!("two") }).unwrap();
    type Ref = Option<Rooted<ExternRef>>;
    linker.func_wrap("host", "ref", || -> Result<Ref> { bail!("ref") }).unwrap();
    let many =
        belljar::FuncType::new(&engine, vec![belljar::ValType::I32; 20], vec![belljar::ValType::I64; 20]);
    linker.func_new("host", "many", many, |_, _, _| bail!("many")).unwrap();
    let module = Module::new(
        &engine,
        r#"(module
            (import "host" "none" (func $none))
            (import "host" "i32" (func $i32 (result i32)))
            (import "host" "f32" (func $f32 (param f32 f64) (result f32)))
            (import "host" "f64" (func $f64 (result f64)))
            (import "host" "v128" (func $v128 (param v128) (result v128)))
            (import "host" "two" (func $two (result i64 f32)))
            (import "host" "ref" (func $ref (result externref)))
            (type $many (func (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32)
                (result i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64)))
            (import "host" "many" (func $many (type $many)))
            (func (export "all") (param $before i64)
                (result i32 f32 f64 v128 i64 f32 externref i64 i64 i64)
                (local $first i64) (local $last i64) (local $i i64)
                (call $none)
                (call $i32)
                (call $f32 (f32.const 1) (f64.const 2))
                (call $f64)
                (call $v128 (v128.const i64x2 1 2))
                (call $two)
                (call $ref)
                (call $many (i32.const 1) (i32.const 2) (i32.const 3) (i32.const 4) (i32.const 5) (i32.const 6)
                    (i32.const 7) (i32.const 8) (i32.const 9) (i32.const 10) (i32.const 1) (i32.const 2) (i32.const 3)
                    (i32.const 4) (i32.const 5) (i32.const 6) (i32.const 7) (i32.const 8) (i32.const 9) (i32.const 10))
                (local.set $last)
                drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop drop
                (local.set $first)
                (local.get $first) (local.get $last) (local.get $before)))"#,
    );
    let instance = linker.instantiate(&mut store, &module.unwrap()).unwrap();
    let all = instance.get_func(&mut store, "all").unwrap();
    let reference = ExternRef::new(&mut store, "kept").unwrap();
    let answers: [(&str, Vec<Val>); 8] = [
        ("none", vec![]),
        ("i32", vec![Val::I32(-5)]),
        ("f32", vec![Val::F32(1.5_f32.to_bits())]),
        ("f64", vec![Val::F64((-2.5_f64).to_bits())]),
        ("v128", vec![Val::V128(V128::from(u128::MAX - 1))]),
        ("two", vec![Val::I64(i64::MIN), Val::F32(0.25_f32.to_bits())]),
        ("ref", vec![Val::ExternRef(Some(reference))]),
        ("many", (0..20).map(|i| Val::I64(100 + i)).collect()),
    ];
    let mut results = vec![Val::I32(0); 10];
    let mut call = all.call_resumable(&mut store, &[Val::I64(77)], &mut results).unwrap();
    for (name, answer) in &answers {
        let ResumableCall::HostTrap(at) = call else { panic!("{name}: {call:?}") };
        assert_eq!(at.host_error().root_cause().to_string(), *name);
        // Garbage on the thread's stack, and in the registers.
        assert!(std::hint::black_box(format!("{:?}", [1.0_f64; 64])).len() > 64);
        call = at.resume(&mut store, answer, &mut results).unwrap();
    }
    assert!(matches!(call, ResumableCall::Finished), "{call:?}");
    assert_eq!(results[0].unwrap_i32(), -5);
    assert_eq!(results[1].unwrap_f32(), 1.5);
    assert_eq!(results[2].unwrap_f64(), -2.5);
    assert_eq!(results[3].unwrap_v128().as_u128(), u128::MAX - 1);
    assert_eq!(results[4].unwrap_i64(), i64::MIN);
    assert_eq!(results[5].unwrap_f32(), 0.25);
    let kept = results[6].unwrap_externref().unwrap();
    assert_eq!(kept.data(&store).unwrap().unwrap().downcast_ref::<&str>(), Some(&"kept"));
    let numbers = results[7..].iter().map(|v| v.unwrap_i64()).collect::<Vec<_>>();
    assert_eq!(numbers, [100, 119, 77]);
}

/// Objects of a suspended guest are found by the collector, and moved.
#[test]
fn collections_find_the_references_of_suspended_guests() {
    let engine = Engine::default();
    let mut store = Store::new(&engine, ());
    let module = r#"(module
        (type $pair (struct (field i32) (field (mut (ref null $pair)))))
        (import "host" "ask" (func $ask (param (ref null $pair)) (result i32)))
        (func (export "run") (param $n i32) (result i32)
            (local $list (ref null $pair)) (local $kept (ref null $pair)) (local $i i32)
            (local.set $kept (struct.new $pair (i32.const 1000) (ref.null $pair)))
            (loop $next
                (local.set $list (struct.new $pair (local.get $i) (local.get $list)))
                (struct.set $pair 1 (local.get $kept)
                    (struct.new $pair (call $ask (local.get $list)) (struct.get $pair 1 (local.get $kept))))
                (local.set $i (i32.add (local.get $i) (i32.const 1)))
                (br_if $next (i32.lt_u (local.get $i) (local.get $n))))
            ;; The sum of both lists.
            (local.set $i (i32.const 0))
            (loop $sum
                (local.set $i (i32.add (local.get $i) (struct.get $pair 0 (local.get $list))))
                (local.set $list (struct.get $pair 1 (local.get $list)))
                (br_if $sum (i32.eqz (ref.is_null (local.get $list)))))
            (loop $sum
                (local.set $i (i32.add (local.get $i) (struct.get $pair 0 (local.get $kept))))
                (local.set $kept (struct.get $pair 1 (local.get $kept)))
                (br_if $sum (i32.eqz (ref.is_null (local.get $kept)))))
            (local.get $i))
        (func (export "litter") (local $i i32)
            (loop
                (drop (struct.new $pair (i32.const -1) (ref.null $pair)))
                (br_if 0 (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 200000))))))"#;
    let module = Module::new(&engine, module).unwrap();
    let ty = module.imports().next().unwrap().ty().unwrap_func().clone();
    let ask = Func::new(&mut store, ty, |_, _, _| bail!("asked"));
    let instance = Instance::new(&mut store, &module, &[ask.into()]).unwrap();
    let run = instance.get_typed_func::<i32, i32>(&mut store, "run").unwrap();
    let litter = instance.get_typed_func::<(), ()>(&mut store, "litter").unwrap();
    let mut other = Some(suspended(run.call_resumable(&mut store, 1).unwrap()));
    let mut call = run.call_resumable(&mut store, 40).unwrap();
    for i in 0..40 {
        match i % 3 {
            0 => store.gc(None).unwrap(),
            1 => litter.call(&mut store, ()).unwrap(),
            _ => drop(other.take()),
        }
        call = suspended(call).resume(&mut store, &[Val::I32(10 * i)]).unwrap();
    }
    let expected = 1000 + (0..40).map(|i| i + 10 * i).sum::<i32>();
    assert!(matches!(call, TypedResumableCall::Finished(sum) if sum == expected), "{call:?}, not {expected}");
}

fn fueled() -> Engine {
    Engine::new(Config::new().consume_fuel(true)).unwrap()
}

const COUNTS: &str = r#"(module
    (func $one (param i64) (result i64) (i64.add (local.get 0) (i64.const 1)))
    (func (export "count") (param $n i64) (param $f f64) (result i64 f64)
        (local $i i64) (local $a i64) (local $b i64) (local $c i64) (local $d i64) (local $e i64)
        (local.set $b (i64.const 2)) (local.set $c (i64.const 3)) (local.set $d (i64.const 5))
        (loop $next
            ;; Enough values that some are kept in registers that a native function preserves.
            (local.set $a (i64.add (local.get $a) (local.get $b)))
            (local.set $b (i64.xor (local.get $b) (local.get $c)))
            (local.set $c (i64.rotl (local.get $c) (local.get $d)))
            (local.set $d (i64.add (local.get $d) (local.get $e)))
            (local.set $e (i64.add (local.get $e) (local.get $i)))
            (local.set $f (f64.add (local.get $f) (f64.const 0.5)))
            (local.set $i (call $one (local.get $i)))
            (br_if $next (i64.lt_u (local.get $i) (local.get $n))))
        (i64.add (i64.add (local.get $a) (local.get $b)) (i64.add (local.get $c) (i64.add (local.get $d) (local.get $e))))
        (local.get $f)))"#;

#[test]
fn a_guest_continues_when_it_has_fuel_again() {
    let engine = fueled();
    let module = Module::new(&engine, COUNTS).unwrap();
    let run = |portion: Option<u64>| {
        let mut store = Store::new(&engine, ());
        let instance = Instance::new(&mut store, &module, &[]).unwrap();
        let count = instance.get_typed_func::<(i64, f64), (i64, f64)>(&mut store, "count").unwrap();
        let Some(portion) = portion else {
            store.set_fuel(1_000_000).unwrap();
            let result = count.call(&mut store, (1000, 1.0)).unwrap();
            return (result, 1_000_000 - store.get_fuel().unwrap(), 0);
        };
        store.set_fuel(portion).unwrap();
        let (mut given, mut times) = (portion, 0);
        let mut call = count.call_resumable(&mut store, (1000, 1.0)).unwrap();
        loop {
            match call {
                TypedResumableCall::Finished(result) => {
                    return (result, given - store.get_fuel().unwrap(), times);
                }
                TypedResumableCall::OutOfFuel(at) => {
                    assert_eq!(store.get_fuel().unwrap(), 0);
                    let required = at.required_fuel();
                    // Too little does nothing.
                    let TypedResumableCall::OutOfFuel(at) = at.resume(&mut store).unwrap() else { panic!() };
                    assert_eq!(at.required_fuel(), required);
                    let more = portion.max(required);
                    store.set_fuel(more).unwrap();
                    given += more;
                    times += 1;
                    call = at.resume(&mut store).unwrap();
                }
                other => panic!("{other:?}"),
            }
        }
    };
    let (result, used, _) = run(None);
    for portion in [1, 2, 7, 100, 3000] {
        let (resumed, used_in_portions, times) = run(Some(portion));
        assert_eq!(resumed, result, "in portions of {portion}");
        // At its end, the function may use a little more than it had.
        assert!(
            (used.saturating_sub(100)..=used).contains(&used_in_portions),
            "{used_in_portions} in portions of {portion}, {used} at once"
        );
        assert!(times + 2 > used / portion.max(50), "{times} times in portions of {portion}");
    }
}

#[test]
fn exhausted_fuel_and_errors_of_the_host_take_turns() {
    let engine = fueled();
    let (mut store, instance) = asking(&engine);
    let sum = instance.get_func(&mut store, "sum").unwrap();
    let (mut asked, mut refuelled) = (0, 0);
    let mut results = [Val::I64(0)];
    store.set_fuel(1).unwrap();
    let mut call = sum.call_resumable(&mut store, &[Val::I64(50)], &mut results).unwrap();
    loop {
        call = match call {
            ResumableCall::Finished => break,
            ResumableCall::HostTrap(at) => {
                asked += 1;
                at.resume(&mut store, &[Val::I64(1)], &mut results).unwrap()
            }
            ResumableCall::OutOfFuel(at) => {
                refuelled += 1;
                store.set_fuel(at.required_fuel() + 5).unwrap();
                at.resume(&mut store, &mut results).unwrap()
            }
        };
    }
    assert_eq!((asked, results[0].unwrap_i64()), (50, 50 * 51 / 2));
    assert!(refuelled > 40, "{refuelled}");
}

#[test]
fn wrong_values_are_refused_and_the_call_given_up() {
    let (mut store, instance) = asking(&Engine::default());
    let sum = instance.get_func(&mut store, "sum").unwrap();
    let mut results = [Val::I64(0)];
    let mut suspend = |store: &mut Store<()>| {
        let call = sum.call_resumable(store, &[Val::I64(1)], &mut results).unwrap();
        let ResumableCall::HostTrap(call) = call else { panic!("{call:?}") };
        call
    };
    let at = suspend(&mut store);
    let error = at.resume(&mut store, &[Val::I32(1)], &mut [Val::I64(0)]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the host function that failed has type (i64) -> i64, and the call was resumed with (i32) as its results"
    );
    let at = suspend(&mut store);
    let error = at.resume(&mut store, &[Val::I64(1)], &mut []).unwrap_err();
    assert_eq!(error.to_string(), "the function has 1 result, but `results` has 0 elements");
    let error = sum.call_resumable(&mut store, &[], &mut [Val::I64(0)]).unwrap_err();
    assert_eq!(error.to_string(), "the function has type (i64) -> i64, and was called with ()");
    let error = sum.call_resumable(&mut store, &[Val::I64(1)], &mut []).unwrap_err();
    assert_eq!(error.to_string(), "the function has 1 result, but `results` has 0 elements");
    // A host function as such is not suspended.
    let host = suspend(&mut store).host_func();
    let error = host.call_resumable(&mut store, &[Val::I64(3)], &mut [Val::I64(0)]).unwrap_err();
    assert_eq!(question(&error), 3);
}

#[test]
#[should_panic(expected = "a ResumableCall was used with a store that it does not belong to")]
fn another_store_is_refused() {
    let engine = Engine::default();
    let (mut store, instance) = asking(&engine);
    let sum = instance.get_typed_func::<i64, i64>(&mut store, "sum").unwrap();
    let at = suspended(sum.call_resumable(&mut store, 1).unwrap());
    let _ = at.resume(&mut Store::new(&engine, ()), &[Val::I64(1)]);
}

#[test]
fn a_reset_ends_suspended_calls() {
    let engine = Engine::default();
    let mut linker = Linker::<()>::new(&engine);
    linker
        .func_wrap("host", "ask", |question: i64| -> Result<i64> { Err(Question(question).into()) })
        .unwrap();
    let pre = linker.instantiate_pre(&Module::new(&engine, ASKS).unwrap()).unwrap();
    let template = SandboxTemplate::new(pre, || Ok(()));
    let mut sandbox = template.build().unwrap();
    for _ in 0..3 {
        let at = {
            let mut session = sandbox.session().unwrap();
            let instance = session.instance();
            let sum = instance.get_typed_func::<i64, i64>(session.store(), "sum").unwrap();
            suspended(sum.call_resumable(session.store(), 1).unwrap())
        };
        let mut session = sandbox.session().unwrap();
        let resumed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            at.resume(session.store(), &[Val::I64(1)]).map(drop)
        }));
        let message = *resumed.unwrap_err().downcast::<String>().unwrap();
        assert!(message.contains("does not belong to"), "{message}");
    }
    assert_eq!(sandbox.call::<(), i32>("plain", ()).unwrap(), 0);
}

/// A host function that calls a guest gets the guest's error; only its own error suspends the outer call. And a call may
/// continue in a host function of another guest, or outside of the one that it was suspended in.
#[test]
fn nested_calls() {
    type Kept = Arc<Mutex<Option<belljar::TypedResumableCallHostTrap<i64>>>>;
    let engine = Engine::default();
    let mut store = Store::new(&engine, ());
    let kept = Kept::default();
    let mut linker = Linker::new(&engine);
    linker
        .func_wrap("host", "ask", |question: i64| -> Result<i64> { Err(Question(question).into()) })
        .unwrap();
    let instance = linker.instantiate(&mut store, &Module::new(&engine, ASKS).unwrap()).unwrap();
    let sum = instance.get_typed_func::<i64, i64>(&mut store, "sum").unwrap();
    let deep = instance.get_typed_func::<i32, i64>(&mut store, "deep").unwrap();

    linker
        .func_wrap("host", "call", move |mut caller: Caller<'_, ()>, depth: i32| -> Result<i64> {
            let error = deep.call(&mut caller, depth).unwrap_err();
            bail!("the inner call asked {}", question(&error))
        })
        .unwrap();
    let slot = kept.clone();
    linker
        .func_wrap("host", "suspend", move |mut caller: Caller<'_, ()>| -> Result<i64> {
            *slot.lock().unwrap() = Some(suspended(sum.call_resumable(&mut caller, 2)?));
            Ok(1)
        })
        .unwrap();
    let slot = kept.clone();
    linker
        .func_wrap("host", "resume", move |mut caller: Caller<'_, ()>| -> Result<i64> {
            let at = slot.lock().unwrap().take().unwrap();
            match at.resume(&mut caller, &[Val::I64(10)])? {
                TypedResumableCall::Finished(sum) => Ok(sum),
                again => {
                    *slot.lock().unwrap() = Some(suspended(again));
                    Ok(-1)
                }
            }
        })
        .unwrap();
    let outer = r#"(module
        (import "host" "call" (func $call (param i32) (result i64)))
        (import "host" "suspend" (func $suspend (result i64)))
        (import "host" "resume" (func $resume (result i64)))
        (func (export "call") (result i64) (i64.add (i64.const 100) (call $call (i32.const 30))))
        (func (export "suspend") (result i64) (i64.add (i64.const 200) (call $suspend)))
        (func (export "resume") (result i64) (i64.add (i64.const 300) (call $resume))))"#;
    let outer = linker.instantiate(&mut store, &Module::new(&engine, outer).unwrap()).unwrap();
    let func = |store: &mut Store<()>, name: &str| outer.get_typed_func::<(), i64>(store, name).unwrap();

    let at = suspended(func(&mut store, "call").call_resumable(&mut store, ()).unwrap());
    assert_eq!(at.host_error().root_cause().to_string(), "the inner call asked 7");
    let TypedResumableCall::Finished(105) = at.resume(&mut store, &[Val::I64(5)]).unwrap() else { panic!() };

    for resumable in [false, true] {
        let mut call = |name: &str| {
            let func = func(&mut store, name);
            match resumable {
                false => func.call(&mut store, ()).unwrap(),
                true => match func.call_resumable(&mut store, ()).unwrap() {
                    TypedResumableCall::Finished(result) => result,
                    other => panic!("{other:?}"),
                },
            }
        };
        // Suspended in one host function, resumed in two others.
        assert_eq!((call("suspend"), call("resume"), call("resume")), (201, 299, 330));
        // Suspended in a host function, resumed outside; and the other way round.
        assert_eq!(call("suspend"), 201);
        let at = kept.lock().unwrap().take().unwrap();
        let at = suspended(at.resume(&mut store, &[Val::I64(1)]).unwrap());
        let TypedResumableCall::Finished(5) = at.resume(&mut store, &[Val::I64(2)]).unwrap() else {
            panic!()
        };
        *kept.lock().unwrap() = Some(suspended(sum.call_resumable(&mut store, 1).unwrap()));
        let mut call = |name: &str| func(&mut store, name).call(&mut store, ()).unwrap();
        assert_eq!(call("resume"), 310);
    }
}

#[test]
fn the_stack_of_a_resumable_call_has_its_limits() {
    let engine = Engine::default();
    let (mut store, instance) = asking(&engine);
    let forever = instance.get_typed_func::<(), i64>(&mut store, "forever").unwrap();
    let deep = instance.get_typed_func::<i32, i64>(&mut store, "deep").unwrap();
    let overflow =
        |error: Error| assert_eq!(error.downcast_ref::<Trap>(), Some(&Trap::StackOverflow), "{error:?}");
    overflow(forever.call_resumable(&mut store, ()).map(drop).unwrap_err());
    overflow(forever.call(&mut store, ()).unwrap_err());
    let at = suspended(deep.call_resumable(&mut store, 2000).unwrap());
    overflow(forever.call_resumable(&mut store, ()).map(drop).unwrap_err());
    overflow(forever.call(&mut store, ()).unwrap_err());
    let TypedResumableCall::Finished(2001) = at.resume(&mut store, &[Val::I64(1)]).unwrap() else { panic!() };
    // On a thread whose own stack is too small for any guest.
    let small = std::thread::Builder::new().stack_size(160 << 10).spawn(move || {
        let at = suspended(deep.call_resumable(&mut store, 2000).unwrap());
        let TypedResumableCall::Finished(2003) = at.resume(&mut store, &[Val::I64(3)]).unwrap() else {
            panic!()
        };
    });
    small.unwrap().join().unwrap();
}

/// A guest of another store that a host function on such a stack calls has the rest of that stack, and later its own.
#[test]
fn guests_of_other_stores_on_the_same_stack() {
    let engine = Engine::default();
    let (inner, instance) = asking(&engine);
    let inner = Arc::new(Mutex::new(inner));
    let forever = instance.get_typed_func::<(), i64>(&mut *inner.lock().unwrap(), "forever").unwrap();
    let plain = instance.get_typed_func::<(), i32>(&mut *inner.lock().unwrap(), "plain").unwrap();
    let mut store = Store::new(&engine, ());
    let used = inner.clone();
    let call = Func::wrap(&mut store, move || -> Result<i32> {
        let mut inner = used.lock().unwrap();
        plain.call(&mut *inner, ())?;
        let error = forever.call(&mut *inner, ()).unwrap_err();
        bail!("{}", error.downcast_ref::<Trap>().unwrap())
    });
    let module = r#"(module (import "" "" (func $call (result i32))) (func (export "run") (result i32) (call $call)))"#;
    let outer = Instance::new(&mut store, &Module::new(&engine, module).unwrap(), &[call.into()]).unwrap();
    let run = outer.get_typed_func::<(), i32>(&mut store, "run").unwrap();
    for _ in 0..3 {
        let at = suspended(run.call_resumable(&mut store, ()).unwrap());
        assert_eq!(at.host_error().root_cause().to_string(), Trap::StackOverflow.to_string());
        let inner = &mut *inner.lock().unwrap();
        assert_eq!(plain.call(&mut *inner, ()).unwrap(), 0);
        let error = forever.call(&mut *inner, ()).unwrap_err();
        assert_eq!(error.downcast_ref::<Trap>(), Some(&Trap::StackOverflow));
        let TypedResumableCall::Finished(8) = at.resume(&mut store, &[Val::I32(8)]).unwrap() else {
            panic!()
        };
    }
}

#[test]
fn it_is_watched_and_killed_like_any_other_guest() {
    let engine = Engine::default();
    let (mut store, instance) = asking(&engine);
    let spin = instance.get_typed_func::<(), ()>(&mut store, "spin").unwrap();
    let sum = instance.get_typed_func::<i64, i64>(&mut store, "sum").unwrap();
    let at = suspended(sum.call_resumable(&mut store, 1).unwrap());
    let (inspector, handle) = (store.inspector(), store.kill_handle());
    // A suspended guest does not run.
    assert_eq!(inspector.capture(Duration::from_secs(5)).unwrap().state(), GuestState::Idle);
    let watcher = std::thread::spawn(move || {
        let stack = loop {
            let stack = inspector.capture(Duration::from_secs(5)).unwrap();
            if stack.state() == GuestState::InGuest {
                break stack;
            }
        };
        assert_eq!(stack.backtrace().frames().len(), 1);
        assert_eq!(stack.backtrace().frames()[0].func_name(), Some("spin"));
        handle.kill("seen enough").unwrap()
    });
    let error = spin.call_resumable(&mut store, ()).map(drop).unwrap_err();
    assert!(error.is::<belljar::Killed>(), "{error:?}");
    assert!(watcher.join().unwrap());
    let error = at.resume(&mut store, &[Val::I64(1)]).map(drop).unwrap_err();
    assert!(error.is::<belljar::Killed>(), "{error:?}");
}

#[test]
fn panics_traps_and_exceptions_are_not_suspended() {
    let engine = Engine::default();
    let mut store = Store::new(&engine, ());
    let mut linker = Linker::new(&engine);
    linker
        .func_wrap("host", "fail", |how: i32| -> Result<i32> {
            match how {
                0 => panic!("the host panics"),
                _ => bail!("the host fails"),
            }
        })
        .unwrap();
    let module = r#"(module
        (import "host" "fail" (func $fail (param i32) (result i32)))
        (tag $tag (param i32))
        (func $throw (param i32) (throw $tag (local.get 0)))
        (func (export "run") (param i32) (result i32)
            (block $caught (result i32)
                (try_table (catch $tag $caught)
                    (call $throw (call $fail (local.get 0))))
                (unreachable)))
        (func (export "trap") (param i32) (result i32) (drop (call $fail (local.get 0))) (unreachable)))"#;
    let instance = linker.instantiate(&mut store, &Module::new(&engine, module).unwrap()).unwrap();
    let run = instance.get_typed_func::<i32, i32>(&mut store, "run").unwrap();
    let trap = instance.get_typed_func::<i32, i32>(&mut store, "trap").unwrap();
    for _ in 0..3 {
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            run.call_resumable(&mut store, 0).map(drop)
        }));
        assert_eq!(panicked.unwrap_err().downcast_ref::<&str>(), Some(&"the host panics"));
        // What the host function would have returned is thrown, and caught in a frame that was suspended.
        let at = suspended(run.call_resumable(&mut store, 1).unwrap());
        let TypedResumableCall::Finished(11) = at.resume(&mut store, &[Val::I32(11)]).unwrap() else {
            panic!()
        };
        let at = suspended(trap.call_resumable(&mut store, 1).unwrap());
        let error = at.resume(&mut store, &[Val::I32(0)]).map(drop).unwrap_err();
        assert_eq!(error.downcast_ref::<Trap>(), Some(&Trap::UnreachableCodeReached));
        assert_eq!(error.downcast_ref::<WasmBacktrace>().unwrap().frames().len(), 1);
    }
}

#[test]
fn hooks_see_each_part() {
    let engine = Engine::default();
    let mut store = Store::new(&engine, Vec::new());
    store.call_hook(|mut store, hook| {
        store.data_mut().push(hook);
        Ok(())
    });
    let mut linker = Linker::new(&engine);
    linker
        .func_wrap("host", "ask", |question: i64| -> Result<i64> { Err(Question(question).into()) })
        .unwrap();
    let instance = linker.instantiate(&mut store, &Module::new(&engine, ASKS).unwrap()).unwrap();
    let sum = instance.get_typed_func::<i64, i64>(&mut store, "sum").unwrap();
    store.data_mut().clear();
    let at = suspended(sum.call_resumable(&mut store, 1).unwrap());
    let TypedResumableCall::Finished(_) = at.resume(&mut store, &[Val::I64(1)]).unwrap() else { panic!() };
    use CallHook::*;
    assert_eq!(
        *store.data(),
        [CallingWasm, CallingHost, ReturningFromHost, ReturningFromWasm, CallingWasm, ReturningFromWasm]
    );
}
