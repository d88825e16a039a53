//! Objects of the garbage-collected heap, as the host sees them.

use belljar::*;
use std::sync::Arc;

fn engine(stress: bool) -> Engine {
    let mut config = Config::new();
    config.wasm_function_references(true).wasm_gc(true).gc_stress(stress);
    Engine::new(&config).unwrap()
}

fn instance<T>(store: &mut Store<T>, wat: &str) -> Result<Instance> {
    let module = Module::new(store.engine(), wat)?;
    Instance::new(store, &module, &[])
}

/// A list of numbers: each a struct with the rest behind it.
const LIST: &str = r#"(module
    (type $list (struct (field $head (mut i32)) (field $rest (mut (ref null $list)))))
    (func (export "push") (param i32 anyref) (result anyref)
        (struct.new $list (local.get 0) (ref.cast (ref null $list) (local.get 1))))
    (func (export "sum") (param anyref) (result i32) (local $at (ref null $list)) (local $sum i32)
        (local.set $at (ref.cast (ref null $list) (local.get 0)))
        (block $done (loop $next
            (br_if $done (ref.is_null (local.get $at)))
            (local.set $sum (i32.add (local.get $sum) (struct.get $list $head (local.get $at))))
            (local.set $at (struct.get $list $rest (local.get $at)))
            (br $next)))
        (local.get $sum)))"#;

type Any = Option<Rooted<AnyRef>>;

#[test]
fn what_the_host_holds_survives_collections() -> Result<()> {
    for stress in [false, true] {
        let mut store = Store::new(&engine(stress), ());
        let instance = instance(&mut store, LIST)?;
        let push = instance.get_typed_func::<(i32, Any), Any>(&mut store, "push")?;
        let sum = instance.get_typed_func::<Any, i32>(&mut store, "sum")?;
        let mut list = None;
        for i in 0..100 {
            list = push.call(&mut store, (i, list))?;
        }
        store.gc()?;
        assert_eq!(sum.call(&mut store, list)?, 4950);
        let first = list.unwrap().as_struct(&store)?.unwrap();
        assert_eq!(first.field(&mut store, 0)?.unwrap_i32(), 99);
        first.set_field(&mut store, 0, Val::I32(1))?;
        first.set_field(&mut store, 1, Val::AnyRef(None))?;
        store.gc()?;
        assert_eq!(sum.call(&mut store, list)?, 1);
    }
    Ok(())
}

#[test]
fn a_handle_ends_with_its_scope() -> Result<()> {
    let engine = engine(false);
    let mut store = Store::new(&engine, ());
    let ty = StructType::new(&engine, [])?;
    let pre = StructRefPre::new(&ty);
    let (short, long) = {
        let mut scope = RootScope::new(&mut store);
        let short = StructRef::new(&mut scope, &pre, &[])?;
        (short, short.to_owned_rooted(&mut scope)?)
    };
    let again = StructRef::new(&mut store, &pre, &[])?;
    let error = short.ty(&store).unwrap_err().to_string();
    assert_eq!(error, "a Rooted<StructRef> was used after the end of the scope in which it was made");
    let long = long.to_rooted(&mut store);
    assert!(!Rooted::ref_eq(&store, &again, &long)?);
    let other = Store::new(&engine, ());
    let error = again.ty(&other).unwrap_err().to_string();
    assert_eq!(error, "a Rooted<StructRef> was used with a store that it does not belong to");
    Ok(())
}

#[test]
fn a_handle_of_a_host_function_ends_with_its_call() -> Result<()> {
    let mut store: Store<Option<Rooted<ExternRef>>> = Store::new(&engine(false), None);
    let mut linker = Linker::new(store.engine());
    linker.func_wrap("host", "keep", |mut caller: Caller<'_, _>, value: Option<Rooted<ExternRef>>| {
        *caller.data_mut() = value;
    })?;
    let wat = r#"(module (import "host" "keep" (func $keep (param externref)))
        (func (export "run") (param externref) (call $keep (local.get 0))))"#;
    let instance = linker.instantiate(&mut store, &Module::new(linker.engine(), wat)?)?;
    let run = instance.get_typed_func::<Option<Rooted<ExternRef>>, ()>(&mut store, "run")?;
    let value = ExternRef::new(&mut store, 7)?;
    run.call(&mut store, Some(value))?;
    assert!(store.data().unwrap().data(&store).is_err());
    assert!(value.data(&store)?.is_some());
    Ok(())
}

#[test]
fn host_values_are_dropped_when_nobody_can_reach_them() -> Result<()> {
    let mut store = Store::new(&engine(false), ());
    let value = Arc::new(());
    let kept = {
        let mut scope = RootScope::new(&mut store);
        for _ in 0..10 {
            ExternRef::new(&mut scope, value.clone())?;
        }
        ExternRef::new(&mut scope, value.clone())?.to_owned_rooted(&mut scope)?
    };
    assert_eq!(Arc::strong_count(&value), 12);
    store.gc()?;
    assert_eq!(Arc::strong_count(&value), 2);
    drop(kept);
    store.gc()?;
    assert_eq!(Arc::strong_count(&value), 1);
    Ok(())
}

#[test]
fn arrays_are_checked() -> Result<()> {
    let engine = engine(true);
    let mut store = Store::new(&engine, ());
    let ty = ArrayType::new(&engine, FieldType::new(Mutability::Const, StorageType::Val(ValType::ANYREF)))?;
    let small = AnyRef::from_i31(&mut store, I31::wrapping_i32(-5));
    let array = ArrayRef::new_fixed(&mut store, &ArrayRefPre::new(&ty), &[small.into(), Val::AnyRef(None)])?;
    let element = array.get(&mut store, 0)?.unwrap_any_ref().unwrap();
    assert_eq!(element.as_i31(&store)?.unwrap().get_i32(), -5);
    assert_eq!(array.get(&mut store, 2).unwrap_err().downcast_ref(), Some(&Trap::ArrayOutOfBounds));
    let error = array.set(&mut store, 0, Val::AnyRef(None)).unwrap_err().to_string();
    assert_eq!(error, "the element is immutable and cannot be set");
    let error = ArrayRef::new(&mut store, &ArrayRefPre::new(&ty), &Val::I32(1), 3).unwrap_err().to_string();
    assert_eq!(error, "a field of the array holds values of type anyref, and was given a i32");
    assert_eq!(array.ty(&store)?, ty);
    Ok(())
}

#[test]
fn a_full_heap_is_a_trap_that_names_the_limit() -> Result<()> {
    let limits = StoreLimitsBuilder::new().gc_heap_size(8 << 20).build();
    let mut store = Store::new(&engine(false), limits);
    store.limiter(|limits| limits);
    let wat = r#"(module
        (type $list (struct (field (ref null $list)) (field i64)))
        (global $all (mut (ref null $list)) (ref.null $list))
        (func (export "hoard")
            (loop $more (global.set $all (struct.new $list (global.get $all) (i64.const 1))) (br $more)))
        (func (export "forget") (global.set $all (ref.null $list))))"#;
    let instance = instance(&mut store, wat)?;
    let hoard = instance.get_typed_func::<(), ()>(&mut store, "hoard")?;
    let forget = instance.get_typed_func::<(), ()>(&mut store, "forget")?;
    for _ in 0..3 {
        let error = hoard.call(&mut store, ()).unwrap_err();
        assert_eq!(error.downcast_ref(), Some(&Trap::GcHeapExhausted));
        let text = format!("{error:#}");
        assert!(
            text.contains("the garbage-collected heap is exhausted") && text.contains("its limit is"),
            "{text}"
        );
        forget.call(&mut store, ())?;
    }
    let stats = store.gc_stats();
    assert!(stats.major_collections > 0 && stats.old_bytes < 10 << 20, "{stats:?}");
    Ok(())
}

#[test]
fn dead_objects_make_room() -> Result<()> {
    let mut store = Store::new(&engine(false), ());
    let wat = r#"(module
        (type $node (struct (field (ref null $node)) (field (ref null $node))))
        (type $nodes (array (mut (ref null $node))))
        (global $kept (ref $nodes) (array.new_default $nodes (i32.const 1000)))
        (func (export "churn") (param $n i32) (local $i i32) (local $slot i32)
            (loop $more
                (local.set $slot (i32.rem_u (i32.mul (local.get $i) (i32.const 7919)) (i32.const 1000)))
                (array.set $nodes (global.get $kept) (local.get $slot)
                    (struct.new $node
                        (struct.new $node (ref.null $node) (ref.null $node))
                        (ref.null $node)))
                (local.set $i (i32.add (local.get $i) (i32.const 1)))
                (br_if $more (i32.lt_u (local.get $i) (local.get $n))))))"#;
    let instance = instance(&mut store, wat)?;
    let churn = instance.get_typed_func::<i32, ()>(&mut store, "churn")?;
    churn.call(&mut store, 1_000_000)?;
    store.gc()?;
    let stats = store.gc_stats();
    assert!(stats.allocated_bytes >= 32_000_000 && stats.live_bytes < 1 << 20, "{stats:?}");
    Ok(())
}
