//! Exceptions between host and guest: each can catch what the other throws.

use belljar::{
    AsContextMut, Caller, Config, Engine, Error, ExnRef, ExnRefPre, ExnType, Extern, ExternRef, Func,
    FuncType, Instance, Module, Ref, RefType, Result, Rooted, Store, Table, TableType, Tag, TagType,
    ThrownException, Trap, Val, ValType, WasmBacktrace,
};
use std::panic::{AssertUnwindSafe, catch_unwind};

fn store(gc_stress: bool) -> Result<Store<Vec<i32>>> {
    let mut config = Config::new();
    config.wasm_exceptions(true).wasm_tail_call(true).gc_stress(gc_stress);
    Ok(Store::new(&Engine::new(&config)?, Vec::new()))
}

fn instance(store: &mut Store<Vec<i32>>, wat: &str, imports: &[Extern]) -> Result<Instance> {
    let module = Module::new(store.engine(), wat)?;
    Instance::new(store, &module, imports)
}

fn tag(store: &mut Store<Vec<i32>>, params: impl IntoIterator<Item = ValType>) -> Result<Tag> {
    let ty = FuncType::new(store.engine(), params, []);
    Tag::new(store, &TagType::new(ty))
}

/// Creates an exception.
fn throwable(
    mut store: impl AsContextMut<Data = Vec<i32>>,
    tag: &Tag,
    fields: &[Val],
) -> Result<Rooted<ExnRef>> {
    let ty = ExnType::from_tag_type(&tag.ty(&store))?;
    let pre = ExnRefPre::new(&mut store, ty);
    ExnRef::new(store, &pre, tag, fields)
}

/// Throws what its import throws, or catches it: `catch` returns the payload, `all` returns 1, `pass` catches another
/// tag.
const CATCHER: &str = r#"(module
    (import "" "tag" (tag $t (param i32)))
    (import "" "f" (func $f (param i32)))
    (tag $other)
    (func (export "catch") (param i32) (result i32)
        (block $h (result i32)
            (try_table (catch $t $h) (call $f (local.get 0)))
            (i32.const -1)))
    (func (export "all") (param i32) (result i32)
        (block $h (try_table (catch_all $h) (call $f (local.get 0))) (return (i32.const -1)))
        (i32.const 1))
    (func (export "pass") (param i32) (result i32)
        (block $h (try_table (catch $other $h) (call $f (local.get 0))))
        (i32.const -1))
    (func (export "again") (param i32) (result i32)
        (block $h (result exnref) (try_table (catch_all_ref $h) (call $f (local.get 0))) (return (i32.const -1)))
        (throw_ref)))"#;

/// Calls an export of [`CATCHER`] over this host function.
fn call(store: &mut Store<Vec<i32>>, tag: Tag, f: Func, export: &str) -> Result<i32> {
    let instance = instance(store, CATCHER, &[tag.into(), f.into()])?;
    instance.get_typed_func::<i32, i32>(&mut *store, export)?.call(store, 7)
}

#[test]
fn a_guest_catches_what_the_host_throws() -> Result<()> {
    for gc_stress in [false, true] {
        let mut store = store(gc_stress)?;
        let tag = tag(&mut store, [ValType::I32])?;
        let typed = Func::wrap(&mut store, move |mut caller: Caller<'_, Vec<i32>>, x: i32| -> Result<()> {
            let exception = throwable(&mut caller, &tag, &[Val::I32(x + 1)])?;
            caller.throw(exception)
        });
        let ty = FuncType::new(store.engine(), [ValType::I32], []);
        let dynamic = Func::new(&mut store, ty, move |mut caller: Caller<'_, Vec<i32>>, params, _| {
            let exception = throwable(&mut caller, &tag, params)?;
            caller.throw::<()>(exception).map_err(|error| error.context("said on the way"))
        });
        for (f, payload) in [(typed, 8), (dynamic, 7)] {
            assert_eq!(call(&mut store, tag, f, "catch")?, payload);
            assert_eq!(call(&mut store, tag, f, "all")?, 1);
            for export in ["pass", "again"] {
                let error = call(&mut store, tag, f, export).unwrap_err();
                let thrown: &ThrownException = error.downcast_ref().expect("an exception");
                assert_eq!(thrown.tag(&mut store)?, tag);
                assert_eq!(thrown.fields(&mut store)?[0].unwrap_i32(), payload);
            }
        }
    }
    Ok(())
}

#[test]
fn what_is_no_exception_is_not_caught() -> Result<()> {
    let mut store = store(false)?;
    let tag = tag(&mut store, [ValType::I32])?;
    let error = Func::wrap(&mut store, |_: i32| -> Result<()> { Err(Error::msg("the host is out")) });
    let trap = Func::wrap(&mut store, |_: i32| -> Result<()> { Err(Trap::IntegerOverflow.into()) });
    let panic = Func::wrap(&mut store, |_: i32| -> Result<()> { panic!("oh no") });
    for export in ["catch", "all", "again"] {
        let found = call(&mut store, tag, error, export).unwrap_err();
        assert_eq!(found.root_cause().to_string(), "the host is out");
        assert!(found.downcast_ref::<ThrownException>().is_none());
        let found = call(&mut store, tag, trap, export).unwrap_err();
        assert_eq!(found.downcast_ref(), Some(&Trap::IntegerOverflow));
        let found = catch_unwind(AssertUnwindSafe(|| call(&mut store, tag, panic, export))).unwrap_err();
        assert_eq!(found.downcast_ref(), Some(&"oh no"));
    }
    Ok(())
}

#[test]
fn an_exception_of_another_store_is_an_error() -> Result<()> {
    let (mut one, mut other) = (store(false)?, store(false)?);
    let foreign = tag(&mut other, [])?;
    let exception = throwable(&mut other, &foreign, &[])?;
    assert!(one.throw::<()>(exception).unwrap_err().downcast_ref::<ThrownException>().is_none());
    let thrown = other.throw::<()>(exception).unwrap_err().downcast::<ThrownException>()?;
    assert!(thrown.exception(&mut one).is_err());
    let again = thrown.clone();
    let tag = tag(&mut one, [ValType::I32])?;
    let f = Func::wrap(&mut one, move |_: i32| -> Result<()> { Err(again.clone().into()) });
    let error = call(&mut one, tag, f, "all").unwrap_err();
    let back: &ThrownException = error.downcast_ref().expect("the same exception");
    assert_eq!(back.tag(&mut other)?, foreign);
    Ok(())
}

/// Calls a function reference of a table in a host function, which handles an exception as requested.
const NESTED: &str = r#"(module
    (import "" "host" (func $host (param i32)))
    (tag $t (export "t") (param i32 externref i64))
    (func (export "throw") (param i32 externref)
        (throw $t (local.get 0) (local.get 1) (i64.const 99)))
    (func (export "run") (param i32 externref) (result i32 externref i64)
        (block $h (result i32 externref i64)
            (try_table (catch $t $h) (call $host (local.get 0)))
            (return (i32.const 0) (local.get 1) (i64.const 0)))))"#;

#[test]
fn the_host_catches_and_throws_again() -> Result<()> {
    for gc_stress in [false, true] {
        let mut store = store(gc_stress)?;
        let values = Table::new(&mut store, TableType::new(RefType::EXTERNREF, 1, None), Ref::Extern(None))?;
        let hidden = Table::new(&mut store, TableType::new(RefType::FUNCREF, 1, None), Ref::Func(None))?;
        let host = Func::wrap(&mut store, move |mut caller: Caller<'_, Vec<i32>>, x: i32| -> Result<()> {
            let throw =
                hidden.get(&mut caller, 0).and_then(|r| r.unwrap_func().copied()).expect("it is there");
            let value = ExternRef::new(&mut caller, x)?;
            values.set(&mut caller, 0, Ref::Extern(Some(value)))?;
            let error = throw.call(&mut caller, &[Val::I32(x), value.into()], &mut []).unwrap_err();
            let thrown: &ThrownException = error.downcast_ref().expect("an exception");
            let fields = thrown.fields(&mut caller)?;
            caller.data_mut().push(fields[0].unwrap_i32());
            // Exceptions with odd values are caught here.
            if x % 2 == 1 { Ok(()) } else { Err(error) }
        });
        let instance = instance(&mut store, NESTED, &[host.into()])?;
        let throw = instance.get_func(&mut store, "throw").expect("it is exported");
        hidden.set(&mut store, 0, Ref::Func(Some(throw)))?;
        let run = instance.get_func(&mut store, "run").expect("it is exported");
        let mut results = [Val::I32(0), Val::ExternRef(None), Val::I64(0)];
        for x in 0..20 {
            run.call(&mut store, &[Val::I32(x), Val::ExternRef(None)], &mut results)?;
            if x % 2 == 1 {
                assert!(results[1].unwrap_externref().copied().is_none());
                assert_eq!(results[2].unwrap_i64(), 0);
                continue;
            }
            assert_eq!((results[0].unwrap_i32(), results[2].unwrap_i64()), (x, 99));
            let value: Rooted<ExternRef> = results[1].unwrap_externref().copied().expect("what was thrown");
            assert_eq!(value.data(&store)?.and_then(|data| data.downcast_ref()), Some(&x));
        }
        assert_eq!(store.data().len(), 20);
    }
    Ok(())
}

#[test]
fn an_uncaught_exception_is_kept_for_the_embedder() -> Result<()> {
    for gc_stress in [false, true] {
        let mut store = store(gc_stress)?;
        let host = Func::wrap(&mut store, |_: i32| {});
        let instance = instance(&mut store, NESTED, &[host.into()])?;
        let throw = instance.get_func(&mut store, "throw").expect("it is exported");
        let mut errors = Vec::new();
        for x in 0..10 {
            let value = ExternRef::new(&mut store, x)?;
            errors.push(throw.call(&mut store, &[Val::I32(x), value.into()], &mut []).unwrap_err());
        }
        store.gc(None)?;
        for (x, error) in errors.iter().enumerate() {
            assert_eq!(error.root_cause().to_string(), "an exception was thrown that nothing caught");
            assert_eq!(error.downcast_ref::<WasmBacktrace>().expect("a stack").frames().len(), 1);
            let thrown: &ThrownException = error.downcast_ref().expect("an exception");
            assert_eq!(Some(thrown.tag(&mut store)?), instance.get_tag(&mut store, "t"));
            let exception = thrown.exception(&mut store)?;
            assert_eq!(exception.field(&mut store, 0)?.unwrap_i32(), x as i32);
            let value = exception.field(&mut store, 1)?.unwrap_externref().copied().expect("it was given");
            assert_eq!(value.data(&store)?.and_then(|data| data.downcast_ref()), Some(&(x as i32)));
            assert_eq!(exception.field(&mut store, 2)?.unwrap_i64(), 99);
            assert!(exception.field(&mut store, 3).is_err());
        }
    }
    Ok(())
}

#[test]
fn exceptions_are_values() -> Result<()> {
    let mut store = store(true)?;
    let tag = tag(&mut store, [ValType::I32, ValType::F64])?;
    let wat = r#"(module
        (import "" "tag" (tag $t (param i32 f64)))
        (global $kept (mut exnref) (ref.null exn))
        (table $t 3 exnref)
        (func (export "keep") (param exnref)
            (global.set $kept (local.get 0)) (table.set $t (i32.const 1) (local.get 0)))
        (func (export "kept") (result exnref) (table.get $t (i32.const 1)))
        (func (export "payload") (result i32 f64)
            (block $h (result i32 f64) (try_table (catch $t $h) (throw_ref (global.get $kept))) (unreachable))))"#;
    let instance = instance(&mut store, wat, &[tag.into()])?;
    let exception = throwable(&mut store, &tag, &[Val::I32(3), Val::F64(2.5_f64.to_bits())])?;
    assert!(throwable(&mut store, &tag, &[Val::I32(3)]).is_err());
    assert!(throwable(&mut store, &tag, &[Val::I32(3), Val::I32(4)]).is_err());
    let keep = instance.get_typed_func::<Option<Rooted<ExnRef>>, ()>(&mut store, "keep")?;
    keep.call(&mut store, Some(exception))?;
    store.gc(None)?;
    let kept = instance.get_typed_func::<(), Option<Rooted<ExnRef>>>(&mut store, "kept")?;
    let kept = kept.call(&mut store, ())?.expect("it was kept");
    assert!(Rooted::ref_eq(&store, &kept, &exception)?);
    let payload = instance.get_typed_func::<(), (i32, f64)>(&mut store, "payload")?;
    assert_eq!(payload.call(&mut store, ())?, (3, 2.5));
    Ok(())
}

#[test]
fn an_exception_in_the_start_function_ends_the_instantiation() -> Result<()> {
    let mut store = store(false)?;
    let wat = "(module (tag $t) (func $f (throw $t)) (start $f))";
    assert!(instance(&mut store, wat, &[]).unwrap_err().is::<ThrownException>());
    Ok(())
}
