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

/// A list of numbers: each is a struct that refers to the rest.
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
        store.gc(None)?;
        assert_eq!(sum.call(&mut store, list)?, 4950);
        let first = list.unwrap().as_struct(&store)?.unwrap();
        assert_eq!(first.field(&mut store, 0)?.unwrap_i32(), 99);
        first.set_field(&mut store, 0, Val::I32(1))?;
        first.set_field(&mut store, 1, Val::AnyRef(None))?;
        store.gc(None)?;
        assert_eq!(sum.call(&mut store, list)?, 1);
    }
    Ok(())
}

#[test]
fn a_handle_ends_with_its_scope() -> Result<()> {
    let engine = engine(false);
    let mut store = Store::new(&engine, ());
    let ty = StructType::new(&engine, [])?;
    let pre = StructRefPre::new(&mut store, ty);
    let (short, long) = {
        let mut scope = RootScope::new(&mut store);
        let short = StructRef::new(&mut scope, &pre, &[])?;
        (short, short.to_owned_rooted(&mut scope)?)
    };
    let again = StructRef::new(&mut store, &pre, &[])?;
    let error = short.ty(&store).unwrap_err().to_string();
    assert_eq!(error, "a Rooted<StructRef> was used after the end of the scope in which it was created");
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
    store.gc(None)?;
    assert_eq!(Arc::strong_count(&value), 2);
    drop(kept);
    store.gc(None)?;
    assert_eq!(Arc::strong_count(&value), 1);
    Ok(())
}

#[test]
fn arrays_are_checked() -> Result<()> {
    let engine = engine(true);
    let mut store = Store::new(&engine, ());
    let ty =
        ArrayType::new(&engine, FieldType::new(Mutability::Const, StorageType::ValType(ValType::ANYREF)))?;
    let small = AnyRef::from_i31(&mut store, I31::wrapping_i32(-5));
    let pre = ArrayRefPre::new(&mut store, ty.clone());
    let array = ArrayRef::new_fixed(&mut store, &pre, &[small.into(), Val::AnyRef(None)])?;
    let element = array.get(&mut store, 0)?.unwrap_anyref().copied().unwrap();
    assert_eq!(element.as_i31(&store)?.unwrap().get_i32(), -5);
    assert_eq!(array.get(&mut store, 2).unwrap_err().downcast_ref(), Some(&Trap::ArrayOutOfBounds));
    let error = array.set(&mut store, 0, Val::AnyRef(None)).unwrap_err().to_string();
    assert_eq!(error, "the element is immutable and cannot be set");
    let error = ArrayRef::new(&mut store, &pre, &Val::I32(1), 3).unwrap_err().to_string();
    assert_eq!(error, "a field of the array holds values of type anyref, and was given an i32");
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
    store.gc(None)?;
    let stats = store.gc_stats();
    assert!(stats.allocated_bytes >= 32_000_000 && stats.live_bytes < 1 << 20, "{stats:?}");
    Ok(())
}

const POINTS: &str = r#"(module
    (type $point (sub (struct (field $x i32) (field $y i32))))
    (type $point3 (sub $point (struct (field $x i32) (field $y i32) (field $z i32))))
    (type $bytes (array (mut i8)))
    (func (export "point") (param i32 i32) (result (ref $point))
        (struct.new $point (local.get 0) (local.get 1)))
    (func (export "point3") (param i32 i32 i32) (result (ref $point3))
        (struct.new $point3 (local.get 0) (local.get 1) (local.get 2)))
    (func (export "bytes") (param i32) (result (ref null $bytes)) (array.new_default $bytes (local.get 0)))
    (func (export "x") (param (ref $point)) (result i32) (struct.get $point $x (local.get 0)))
    (func (export "z") (param (ref null $point3)) (result i32) (struct.get $point3 $z (local.get 0)))
    (func (export "half") (param i31ref) (result (ref i31))
        (ref.i31 (i32.div_s (i31.get_s (local.get 0)) (i32.const 2))))
    (func (export "same") (param eqref (ref eq)) (result i32) (ref.eq (local.get 0) (local.get 1)))
    (func $five (result i32) (i32.const 5))
    (elem declare func $five)
    (func (export "five") (result (ref func)) (ref.func $five))
    (func (export "none") (result anyref) (ref.null none)))"#;

#[test]
fn typed_functions_take_and_give_narrower_references() -> Result<()> {
    for stress in [false, true] {
        let mut store = Store::new(&engine(stress), ());
        let instance = instance(&mut store, POINTS)?;
        // A result may have any supertype as its Rust type.
        let point = instance.get_typed_func::<(i32, i32), Rooted<StructRef>>(&mut store, "point")?;
        let point3 = instance.get_typed_func::<(i32, i32, i32), Rooted<AnyRef>>(&mut store, "point3")?;
        let bytes = instance.get_typed_func::<i32, Option<Rooted<ArrayRef>>>(&mut store, "bytes")?;
        let (flat, solid) = (point.call(&mut store, (1, 2))?, point3.call(&mut store, (3, 4, 5))?);
        let array = bytes.call(&mut store, 7)?.unwrap();
        assert_eq!(array.len(&store)?, 7);
        // A parameter is checked if its Rust type is wider.
        let x = instance.get_typed_func::<Rooted<AnyRef>, i32>(&mut store, "x")?;
        let z = instance.get_typed_func::<Option<Rooted<StructRef>>, i32>(&mut store, "z")?;
        assert_eq!(x.call(&mut store, flat.to_anyref())?, 1);
        assert_eq!(x.call(&mut store, solid)?, 3);
        let error = x.call(&mut store, array.to_anyref()).unwrap_err().to_string();
        assert!(error.starts_with("parameter 0 of the function holds values of type (ref "), "{error}");
        let error = z.call(&mut store, Some(flat)).unwrap_err().to_string();
        assert!(error.starts_with("parameter 0 of the function"), "{error}");
        let solid = solid.as_struct(&store)?;
        assert_eq!(z.call(&mut store, solid)?, 5);
        let null = z.call(&mut store, None).unwrap_err();
        assert_eq!(null.downcast_ref(), Some(&Trap::NullReference));
        let nullable = instance.get_typed_func::<Option<Rooted<AnyRef>>, i32>(&mut store, "x")?;
        let error = nullable.call(&mut store, None).unwrap_err().to_string();
        assert!(error.ends_with("and was given null"), "{error}");

        let half = instance.get_typed_func::<Option<I31>, I31>(&mut store, "half")?;
        assert_eq!(half.call(&mut store, I31::new_i32(-9))?.get_i32(), -4);
        let same =
            instance.get_typed_func::<(Option<Rooted<EqRef>>, Rooted<EqRef>), i32>(&mut store, "same")?;
        assert_eq!(same.call(&mut store, (None, flat.to_eqref()))?, 0);
        assert_eq!(same.call(&mut store, (Some(flat.to_eqref()), flat.to_eqref()))?, 1);
        let five = instance.get_typed_func::<(), Func>(&mut store, "five")?.call(&mut store, ())?;
        assert_eq!(five.typed::<(), i32>(&store)?.call(&mut store, ())?, 5);
    }
    Ok(())
}

#[test]
fn typed_functions_refuse_references_that_can_never_fit() -> Result<()> {
    let mut store = Store::new(&engine(false), ());
    let instance = instance(&mut store, POINTS)?;
    assert!(instance.get_typed_func::<Rooted<ArrayRef>, i32>(&mut store, "x").is_err());
    assert!(instance.get_typed_func::<Rooted<ExternRef>, i32>(&mut store, "x").is_err());
    assert!(instance.get_typed_func::<(i32, i32), Rooted<ArrayRef>>(&mut store, "point").is_err());
    // A nullable result does not match a type that is not nullable.
    assert!(instance.get_typed_func::<(), Rooted<AnyRef>>(&mut store, "none").is_err());
    assert!(instance.get_typed_func::<i32, Rooted<ArrayRef>>(&mut store, "bytes").is_err());
    Ok(())
}

#[test]
fn host_functions_have_narrow_references_in_their_types() -> Result<()> {
    let mut store = Store::new(&engine(true), ());
    let sum = Func::wrap(&mut store, |mut caller: Caller<'_, ()>, point: Rooted<StructRef>| -> Result<I31> {
        let x = point.field(&mut caller, 0)?.unwrap_i32();
        let y = point.field(&mut caller, 1)?.unwrap_i32();
        Ok(I31::wrapping_i32(x + y))
    });
    assert_eq!(sum.ty(&store).to_string(), "((ref struct)) -> (ref i31)");
    let wat = r#"(module
        (type $point (struct (field i32) (field i32)))
        (import "host" "sum" (func $sum (param (ref struct)) (result (ref i31))))
        (func (export "run") (param i32 i32) (result i32)
            (i31.get_s (call $sum (struct.new $point (local.get 0) (local.get 1))))))"#;
    let module = Module::new(store.engine(), wat)?;
    let instance = Instance::new(&mut store, &module, &[sum.into()])?;
    let run = instance.get_typed_func::<(i32, i32), i32>(&mut store, "run")?;
    assert_eq!(run.call(&mut store, (20, -62))?, -42);
    Ok(())
}

#[test]
fn a_host_value_is_of_no_type_that_a_module_defines() -> Result<()> {
    // The very first type that an engine sees, and one that is not final: its display is looked up.
    let engine = engine(false);
    let wat = r#"(module
        (type $s (sub (struct (field (mut i64)))))
        (type $t (sub $s (struct (field (mut i64)) (field i32))))
        (func (export "test") (param externref) (result i32)
            (i32.add (ref.test (ref $s) (any.convert_extern (local.get 0))) (ref.test (ref $t) (any.convert_extern (local.get 0)))))
        (func (export "cast") (param externref) (result i64)
            (struct.get $s 0 (ref.cast (ref $s) (any.convert_extern (local.get 0))))))"#;
    let mut store = Store::new(&engine, ());
    let instance = Instance::new(&mut store, &Module::new(&engine, wat)?, &[])?;
    let value = ExternRef::new(&mut store, 7)?;
    let test = instance.get_typed_func::<Option<Rooted<ExternRef>>, i32>(&mut store, "test")?;
    assert_eq!(test.call(&mut store, Some(value))?, 0);
    let cast = instance.get_typed_func::<Option<Rooted<ExternRef>>, i64>(&mut store, "cast")?;
    let error = cast.call(&mut store, Some(value)).unwrap_err();
    assert_eq!(error.downcast_ref::<Trap>(), Some(&Trap::CastFailure));
    Ok(())
}
