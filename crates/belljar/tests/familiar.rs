//! What embedders of Wasmtime and Wasmi expect under the names that they know: types and their order, values, call
//! hooks, pending exceptions, lookups of a linker.

use belljar::{
    AnyRef, ArrayRef, ArrayRefPre, ArrayType, AsContextMut, CallHook, Caller, Engine, Error, ExnRef,
    ExnRefPre, ExnType, Extern, ExternRef, F32, F64, FieldType, Finality, Func, FuncType, GcHeapOutOfMemory,
    GlobalType, HeapType, I31, I32Exit, Instance, Limits, Linker, MemoryType, Module, Mutability, NoExtern,
    NoFunc, NoneRef, Nullable, OwnedRooted, Ref, RefType, Result, RootScope, Rooted, StorageType, Store,
    StoreContext, StoreContextMut, StructRef, StructRefPre, StructType, Table, TableType, Tag,
    ThrownException, Trap, TrapCode, V128, Val, ValType, WasmBacktrace,
};
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};

fn instance<T>(store: &mut Store<T>, wat: &str, imports: &[Extern]) -> Result<Instance> {
    let module = Module::new(store.engine(), wat)?;
    Instance::new(store, &module, imports)
}

fn hash(value: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

/// All abstract heap types, each with the abstract types that it matches.
const ABSTRACT: &[(HeapType, &[HeapType])] = &[
    (HeapType::Any, &[HeapType::Any]),
    (HeapType::Eq, &[HeapType::Eq, HeapType::Any]),
    (HeapType::I31, &[HeapType::I31, HeapType::Eq, HeapType::Any]),
    (HeapType::Struct, &[HeapType::Struct, HeapType::Eq, HeapType::Any]),
    (HeapType::Array, &[HeapType::Array, HeapType::Eq, HeapType::Any]),
    (
        HeapType::None,
        &[HeapType::None, HeapType::I31, HeapType::Struct, HeapType::Array, HeapType::Eq, HeapType::Any],
    ),
    (HeapType::Func, &[HeapType::Func]),
    (HeapType::NoFunc, &[HeapType::NoFunc, HeapType::Func]),
    (HeapType::Extern, &[HeapType::Extern]),
    (HeapType::NoExtern, &[HeapType::NoExtern, HeapType::Extern]),
    (HeapType::Exn, &[HeapType::Exn]),
    (HeapType::NoExn, &[HeapType::NoExn, HeapType::Exn]),
];

#[test]
fn abstract_types_are_ordered_as_the_specification_says() {
    for (ty, above) in ABSTRACT {
        assert!(ty.is_abstract() && !ty.is_concrete());
        for (other, _) in ABSTRACT {
            assert_eq!(ty.matches(other), above.contains(other), "{ty} matches {other}");
        }
        assert!(ty.matches(&ty.top()) && ty.bottom().matches(ty));
        assert!(ty.top().is_top() && ty.bottom().is_bottom());
        assert_eq!(ty.is_top(), *ty == ty.top());
        assert_eq!(ty.is_bottom(), *ty == ty.bottom());
        let (nullable, other) = (RefType::new(true, ty.clone()), RefType::new(false, ty.clone()));
        assert!(other.matches(&nullable) && !nullable.matches(&other));
    }
}

#[test]
fn predicates_tell_each_heap_type_from_the_others() -> Result<()> {
    type Is = fn(&HeapType) -> bool;
    let engine = Engine::default();
    let (func, exn) = (FuncType::new(&engine, [], []), ExnType::new(&engine, [])?);
    let (array, object) = (
        ArrayType::new(&engine, FieldType::new(Mutability::Var, StorageType::I8))?,
        StructType::new(&engine, [])?,
    );
    let all: [(HeapType, Is); 16] = [
        (HeapType::Extern, HeapType::is_extern),
        (HeapType::NoExtern, HeapType::is_no_extern),
        (HeapType::Func, HeapType::is_func),
        (func.clone().into(), HeapType::is_concrete_func),
        (HeapType::NoFunc, HeapType::is_no_func),
        (HeapType::Any, HeapType::is_any),
        (HeapType::Eq, HeapType::is_eq),
        (HeapType::I31, HeapType::is_i31),
        (HeapType::Array, HeapType::is_array),
        (array.clone().into(), HeapType::is_concrete_array),
        (HeapType::Struct, HeapType::is_struct),
        (object.clone().into(), HeapType::is_concrete_struct),
        (HeapType::None, HeapType::is_none),
        (HeapType::Exn, HeapType::is_exn),
        (exn.clone().into(), HeapType::is_concrete_exn),
        (HeapType::NoExn, HeapType::is_no_exn),
    ];
    for (i, (ty, _)) in all.iter().enumerate() {
        for (j, (_, is)) in all.iter().enumerate() {
            assert_eq!(is(ty), i == j, "{ty}, predicate {j}");
        }
        assert_eq!(*ty, ty.clone());
        assert_eq!(hash(ty), hash(ty.clone()));
    }
    assert_eq!(HeapType::from(func.clone()).unwrap_concrete_func(), &func);
    assert_eq!(HeapType::from(array.clone()).unwrap_concrete_array(), &array);
    assert_eq!(HeapType::from(object.clone()).as_concrete_struct(), Some(&object));
    assert_eq!(HeapType::from(exn.clone()).unwrap_concrete_exn(), &exn);
    assert!(HeapType::Func.as_concrete_func().is_none());
    assert_eq!(HeapType::from(func).top(), HeapType::Func);
    assert_eq!(HeapType::from(object).bottom(), HeapType::None);
    assert_eq!(HeapType::from(exn).bottom(), HeapType::NoExn);
    Ok(())
}

#[test]
fn value_types_have_predicates_and_defaults() {
    type Is = fn(&ValType) -> bool;
    let all: [(ValType, Is); 9] = [
        (ValType::I32, ValType::is_i32),
        (ValType::I64, ValType::is_i64),
        (ValType::F32, ValType::is_f32),
        (ValType::F64, ValType::is_f64),
        (ValType::V128, ValType::is_v128),
        (ValType::FUNCREF, ValType::is_funcref),
        (ValType::EXTERNREF, ValType::is_externref),
        (ValType::ANYREF, ValType::is_anyref),
        (ValType::EXNREF, ValType::is_exnref),
    ];
    for (i, (ty, _)) in all.iter().enumerate() {
        for (j, (_, is)) in all.iter().enumerate() {
            assert_eq!(is(ty), i == j, "{ty}, predicate {j}");
        }
        assert_eq!(ty.is_num(), i < 4);
        assert_eq!(ty.is_ref(), i > 4);
        assert!(ty.matches(ty) && ty.default_value().is_some());
    }
    assert_eq!(ValType::FuncRef, ValType::FUNCREF);
    assert_eq!(RefType::Extern, RefType::EXTERNREF);
    assert!(ValType::NULLREF.matches(&ValType::ANYREF) && !ValType::ANYREF.matches(&ValType::EQREF));
    assert_eq!(ValType::STRUCTREF.unwrap_ref().heap_type(), &HeapType::Struct);
    assert!(ValType::Ref(RefType::new(false, HeapType::Func)).default_value().is_none());
    assert_eq!(StorageType::from(ValType::I64).unwrap_val_type(), &ValType::I64);
    assert_eq!(StorageType::I16.unpack(), &ValType::I32);
    assert!(StorageType::I8.is_i8() && StorageType::I16.is_i16() && !StorageType::I8.is_val_type());
    assert!(Mutability::Var.is_var() && Mutability::Var.is_mut() && Mutability::Const.is_const());
    assert!(Finality::Final.is_final() && Finality::NonFinal.is_non_final());
}

#[test]
fn function_types_can_have_supertypes() -> Result<()> {
    let engine = Engine::default();
    let with = |finality, above: Option<&FuncType>, params: [ValType; 1]| {
        FuncType::with_finality_and_supertype(&engine, finality, above, params, [])
    };
    let top = with(Finality::NonFinal, None, [ValType::EQREF])?;
    // Parameters are contravariant.
    let below = with(Finality::Final, Some(&top), [ValType::ANYREF])?;
    assert!(below.matches(&top) && !top.matches(&below));
    assert_eq!(below.supertype(), Some(top.clone()));
    assert_eq!(below.finality(), Finality::Final);
    assert!(HeapType::from(below.clone()).matches(&HeapType::from(top.clone())));
    assert!(with(Finality::Final, Some(&top), [ValType::I31REF]).is_err());
    assert!(with(Finality::Final, Some(&below), [ValType::ANYREF]).is_err(), "{below} is final");
    // A type of the same shape without a supertype is another type.
    let plain = FuncType::new(&engine, [ValType::ANYREF], []);
    assert_ne!(plain, below);
    assert_eq!(plain, FuncType::try_new(&engine, [ValType::ANYREF], [])?);
    assert!(plain.matches(&plain.clone()) && !plain.matches(&top));
    assert_eq!(hash(&plain), hash(FuncType::new(&engine, [ValType::ANYREF], [])));
    let foreign = StructType::new(&Engine::default(), [])?;
    assert!(FuncType::try_new(&engine, [foreign.ref_type(true).into()], []).is_err());
    assert!(Engine::same(plain.engine(), &engine));
    Ok(())
}

/// A function type that refers to itself: converting it must end.
#[test]
fn recursive_types_are_shown_lazily() -> Result<()> {
    let mut store = Store::new(&Engine::default(), ());
    let wat = r#"(module
        (rec (type $f (func (param (ref null $f)))) (type $s (struct (field (ref null $s)))))
        (func (export "f") (type $f))
        (global (export "s") (ref null $s) (ref.null $s)))"#;
    let instance = instance(&mut store, wat, &[])?;
    let ty = instance.get_func(&store, "f").unwrap().ty(&store);
    let param = ty.param(0).unwrap();
    let itself = param.unwrap_ref().heap_type().unwrap_concrete_func();
    assert_eq!(itself.param(0), Some(param.clone()));
    let ty = instance.get_global(&store, "s").unwrap().ty(&store);
    let object = ty.content().unwrap_ref().heap_type().unwrap_concrete_struct();
    assert_eq!(object.field(0).unwrap().element_type().unwrap_val_type(), ty.content());
    assert!(
        instance
            .get_func(&store, "f")
            .unwrap()
            .matches_ty(&store, &instance.get_func(&store, "f").unwrap().ty(&store))
    );
    Ok(())
}

#[test]
fn array_types_have_supertypes() -> Result<()> {
    let engine = Engine::default();
    let field = |ty| FieldType::new(Mutability::Const, StorageType::ValType(ty));
    let top =
        ArrayType::with_finality_and_supertype(&engine, Finality::NonFinal, None, field(ValType::ANYREF))?;
    let below =
        ArrayType::with_finality_and_supertype(&engine, Finality::Final, Some(&top), field(ValType::I31REF))?;
    assert!(below.matches(&top) && below.supertype() == Some(top.clone()));
    assert_eq!((below.mutability(), below.element_type()), (Mutability::Const, ValType::I31REF.into()));
    let wrong =
        ArrayType::with_finality_and_supertype(&engine, Finality::Final, Some(&top), field(ValType::I32));
    assert_eq!(
        wrong.unwrap_err().to_string(),
        "the elements do not match those of the supertype, array anyref"
    );
    assert!(field(ValType::I31REF).matches(&field(ValType::EQREF)));
    let var = |ty| FieldType::new(Mutability::Var, StorageType::ValType(ty));
    assert!(!var(ValType::I31REF).matches(&var(ValType::EQREF)));
    Ok(())
}

#[test]
fn references_are_cast_and_compared() -> Result<()> {
    let engine = Engine::default();
    let mut store = Store::new(&engine, ());
    let point = StructType::new(&engine, [FieldType::new(Mutability::Var, ValType::I32.into())])?;
    let pre = StructRefPre::new(&mut store, point.clone());
    let object = StructRef::new(&mut store, &pre, &[Val::I32(7)])?;
    let any: Rooted<AnyRef> = object.into();
    assert!(
        any.is_struct(&store)? && any.is_eqref(&store)? && !any.is_array(&store)? && !any.is_i31(&store)?
    );
    assert_eq!(any.ty(&store)?, HeapType::from(point.clone()));
    assert!(any.matches_ty(&store, &HeapType::Eq)? && !any.matches_ty(&store, &HeapType::Array)?);
    assert_eq!(any.unwrap_struct(&store)?.field(&mut store, 0)?.unwrap_i32(), 7);
    let eq = any.unwrap_eqref(&store)?;
    assert!(eq.as_array(&store)?.is_none() && eq.matches_ty(&store, &HeapType::Struct)?);
    assert!(Rooted::ref_eq(&store, &eq.to_anyref(), &any)?);
    assert_eq!(AnyRef::from_i31(&mut store, I31::wrapping_i32(-3)).unwrap_i31(&store)?.get_i32(), -3);

    // An owned handle has the same methods, and outlives scopes.
    let owned = any.to_owned_rooted(&mut store)?;
    store.gc(None)?;
    assert!(owned.is_struct(&store)?);
    assert_eq!(owned.unwrap_struct(&store)?.ty(&store)?, point);
    assert!(belljar::OwnedRooted::ref_eq(&store, &owned, &any)?);
    let upcast = object.to_owned_rooted(&mut store)?.to_eqref().to_anyref();
    assert!(Rooted::ref_eq(&store, &upcast, &any)?);
    assert!(Rooted::rooted_eq(any, any) && belljar::OwnedRooted::rooted_eq(&owned, &owned.clone()));
    let (mut one, mut other) = (DefaultHasher::new(), DefaultHasher::new());
    any.ref_hash(&store, &mut one)?;
    owned.ref_hash(&store, &mut other);
    assert_eq!(one.finish(), other.finish());
    Ok(())
}

#[test]
fn arrays_of_bytes_are_copied_at_once() -> Result<()> {
    let engine = Engine::default();
    let mut store = Store::new(&engine, ());
    let field = |ty| FieldType::new(Mutability::Const, ty);
    let bytes = ArrayType::new(&engine, field(StorageType::I8))?;
    let pre = ArrayRefPre::new(&mut store, bytes);
    let text: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    let array = ArrayRef::new_from_i8_slice(&mut store, &pre, &text)?;
    let mut back = vec![0; text.len()];
    array.copy_to_i8_slice(&mut store, &mut back)?;
    assert_eq!(back, text);
    assert_eq!(array.get(&mut store, 300)?.unwrap_i32(), 44);
    let error = array.copy_to_i8_slice(&mut store, &mut back[1..]).unwrap_err();
    assert_eq!(error.to_string(), "the array has 100000 elements, and the slice has 99999");
    let empty = ArrayRef::new_from_i8_slice(&mut store, &pre, &[])?;
    empty.copy_to_i8_slice(&mut store, &mut [])?;
    let wide = ArrayType::new(&engine, field(StorageType::I16))?;
    let pre = ArrayRefPre::new(&mut store, wide);
    let error = ArrayRef::new_from_i8_slice(&mut store, &pre, &text).unwrap_err();
    assert_eq!(error.to_string(), "the elements of array i16 are not of type i8");
    let array = ArrayRef::new(&mut store, &pre, &Val::I32(1), 2)?;
    assert!(array.copy_to_i8_slice(&mut store, &mut [0; 2]).is_err());
    assert_eq!(array.elems(&mut store)?.len(), 2);
    Ok(())
}

#[test]
fn host_values_can_be_changed_unless_a_checkpoint_has_them() -> Result<()> {
    let mut store = Store::new(&Engine::default(), ());
    let value = ExternRef::new(&mut store, 5_u32)?;
    *value.data_mut(&mut store)?.unwrap().downcast_mut::<u32>().unwrap() += 1;
    assert_eq!(value.data(&store)?.unwrap().downcast_ref(), Some(&6_u32));
    let any = AnyRef::from_i31(&mut store, I31::wrapping_u32(1));
    let foreign = ExternRef::convert_any(&mut store, any)?;
    assert!(foreign.data_mut(&mut store)?.is_none());
    Ok(())
}

#[test]
fn a_full_heap_gives_the_value_back() -> Result<()> {
    let mut store = Store::new(&Engine::default(), ());
    store.set_limits(Limits::unlimited().gc_heap(0))?;
    let error = {
        let mut scope = RootScope::new(&mut store);
        scope.reserve(1000);
        (0..).find_map(|_| ExternRef::new(&mut scope, vec![1, 2, 3]).err()).unwrap()
    };
    assert_eq!(error.to_string(), "the store's heap of objects is full and may not grow");
    let (value, why) = error.downcast::<GcHeapOutOfMemory<Vec<i32>>>()?.take_inner();
    assert_eq!(value, [1, 2, 3]);
    store.set_limits(Limits::unlimited())?;
    store.gc(Some(&why))?;
    ExternRef::new(&mut store, value)?;
    assert!(store.gc_heap_capacity() > 0);
    Ok(())
}

#[test]
fn values_and_references_convert() -> Result<()> {
    let mut store = Store::new(&Engine::default(), ());
    let func = Func::wrap(&mut store, |x: F32, y: F64| -> F32 {
        F32::from_float(x.to_float() + y.to_float() as f32)
    });
    let mut sum = [Val::I32(0)];
    func.call(&mut store, &[F32::from(1.5).into(), F64::from_float(2.0).into()], &mut sum)?;
    assert_eq!(sum[0].unwrap_f32(), 3.5);
    let nan = F32::from_bits(0x7fa0_0001);
    assert_eq!((nan.to_bits(), format!("{nan}").as_str()), (0x7fa0_0001, "NaN"));

    let value = Val::from(func);
    assert_eq!(value.unwrap_funcref(), Some(&func));
    assert_eq!(value.funcref(), value.func_ref());
    assert!(value.externref().is_none() && matches!(Val::null_extern_ref().externref(), Some(None)));
    let null = Val::null_func_ref();
    assert!(matches!(null.funcref(), Some(None)) && null.unwrap_func_ref().is_none());
    assert!(Val::null_ref(&HeapType::None).ref_().unwrap().is_any());
    assert!(Val::default(ValType::EXNREF).exnref().unwrap().is_none());
    assert!(value.matches_ty(&store, &ValType::FUNCREF)? && !null.matches_ty(&store, &ValType::EXTERNREF)?);
    assert!(null.matches_ty(&store, &ValType::NULLFUNCREF)?);
    assert!(Val::from(V128::from(1)).matches_ty(&store, &ValType::V128)?);
    let reference = Ref::from(func);
    assert!(reference.is_func() && reference.is_non_null() && reference.unwrap_func() == Some(&func));
    assert!(reference.as_extern().is_none() && reference.as_func() == Some(Some(&func)));
    assert!(reference.matches_ty(&store, &RefType::FUNCREF)?);
    assert_eq!(reference.ty(&store)?.heap_type().top(), HeapType::Func);
    for null in [NoneRef::null_ref(), NoFunc::null_ref(), NoExtern::null_ref(), Ref::null(&HeapType::NoExn)] {
        assert!(null.is_null());
        assert!(Ref::default_for_ty(&null.ty(&store)?).unwrap().is_null());
    }
    assert!(NoFunc::null().is_none() && NoneRef::null_val().any_ref().unwrap().is_none());
    assert_eq!(Option::from(Nullable::from(Some(func))), Some(func));
    assert!(Ref::from(Nullable::Null).is_null() && Nullable::Val(1).val() == Some(&1));
    Ok(())
}

#[test]
fn seventeen_parameters_fit() -> Result<()> {
    let mut store = Store::new(&Engine::default(), ());
    type Seventeen = (i32, i32, i32, i32, i32, i32, i32, i32, i32, i32, i32, i32, i32, i32, i32, i32, i64);
    let sum = Func::wrap(
        &mut store,
        |a: i32,
         b: i32,
         c: i32,
         d: i32,
         e: i32,
         f: i32,
         g: i32,
         h: i32,
         i: i32,
         j: i32,
         k: i32,
         l: i32,
         m: i32,
         n: i32,
         o: i32,
         p: i32,
         q: i64| { i64::from(a + b + c + d + e + f + g + h + i + j + k + l + m + n + o + p) + q },
    );
    let sum = sum.typed::<Seventeen, i64>(&store)?;
    assert_eq!(sum.call(&mut store, (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17))?, 153);
    Ok(())
}

/// Calls the host twice; with an argument of 1, the host fails.
const CALLER: &str = r#"(module
    (import "" "host" (func $host (param i32)))
    (func $start (call $host (i32.const 0)))
    (func (export "run") (param i32) (call $host (i32.const 0)) (call $host (local.get 0)))
    (func (export "trap") unreachable)
    (start $start))"#;

#[test]
fn hooks_see_every_transition() -> Result<()> {
    use CallHook::{CallingHost, CallingWasm, ReturningFromHost, ReturningFromWasm};
    const HOST: [CallHook; 2] = [CallingHost, ReturningFromHost];
    let mut store = Store::new(&Engine::default(), Vec::new());
    store.call_hook(|mut context, transition| {
        context.data_mut().push(transition);
        Ok(())
    });
    let host = Func::wrap(&mut store, |x: i32| -> Result<()> {
        if x == 1 { Err(Error::msg("no")) } else { Ok(()) }
    });
    let seen = |store: &mut Store<Vec<CallHook>>| std::mem::take(store.data_mut());
    let around = |inner: &[CallHook]| [&[CallingWasm], inner, &[ReturningFromWasm]].concat();
    let instance = instance(&mut store, CALLER, &[host.into()])?;
    assert_eq!(seen(&mut store), around(&HOST), "the start function");
    let run = instance.get_typed_func::<i32, ()>(&store, "run")?;
    run.call(&mut store, 0)?;
    assert_eq!(seen(&mut store), around(&[HOST, HOST].concat()));
    assert_eq!(run.call(&mut store, 1).unwrap_err().to_string(), "no");
    assert_eq!(seen(&mut store), around(&[HOST, HOST].concat()), "an error of the host is a return");
    run.func().call(&mut store, &[Val::I32(0)], &mut [])?;
    assert_eq!(seen(&mut store), around(&[HOST, HOST].concat()), "with values");
    let trap = instance.get_typed_func::<(), ()>(&store, "trap")?;
    assert_eq!(trap.call(&mut store, ()).unwrap_err().as_trap_code(), Some(TrapCode::UnreachableCodeReached));
    assert_eq!(seen(&mut store), around(&[]), "a trap");
    host.call(&mut store, &[Val::I32(0)], &mut [])?;
    assert_eq!(seen(&mut store), around(&HOST), "a host function that the host calls");
    for hook in around(&HOST) {
        assert_ne!(hook.entering_host(), hook.exiting_host());
    }
    Ok(())
}

#[test]
fn an_error_of_a_hook_ends_the_run() -> Result<()> {
    for at in [
        CallHook::CallingWasm,
        CallHook::CallingHost,
        CallHook::ReturningFromHost,
        CallHook::ReturningFromWasm,
    ] {
        let mut store = Store::new(&Engine::default(), 0);
        let host = Func::wrap(&mut store, |mut caller: Caller<'_, i32>, _: i32| *caller.data_mut() += 1);
        let instance = instance(&mut store, CALLER, &[host.into()])?;
        let run = instance.get_typed_func::<i32, ()>(&store, "run")?;
        *store.data_mut() = 0;
        store.call_hook(move |_, transition| match transition {
            transition if transition == at => Err(Error::msg("refused")),
            _ => Ok(()),
        });
        let error = run.call(&mut store, 0).unwrap_err();
        assert_eq!(error.to_string(), "refused", "{at:?}");
        let calls = match at {
            CallHook::CallingWasm | CallHook::CallingHost => 0,
            CallHook::ReturningFromHost => 1,
            CallHook::ReturningFromWasm => 2,
        };
        assert_eq!(*store.data(), calls, "{at:?}");
        // The store is usable afterwards.
        store.call_hook(|_, _| Ok(()));
        run.call(&mut store, 0)?;
    }
    Ok(())
}

#[test]
fn a_hook_may_call_guests_and_panic() -> Result<()> {
    let mut store = Store::new(&Engine::default(), None::<Func>);
    let host = Func::wrap(&mut store, |_: i32| {});
    let instance = instance(&mut store, CALLER, &[host.into()])?;
    let run = instance.get_func(&store, "run").unwrap();
    *store.data_mut() = Some(run);
    // Its own calls are not reported: this ends.
    store.call_hook(|mut context, _| {
        let run = context.data().unwrap();
        run.call(&mut context, &[Val::I32(0)], &mut [])
    });
    run.call(&mut store, &[Val::I32(0)], &mut [])?;
    store.call_hook(|_, _| panic!("a hook's own"));
    let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        run.call(&mut store, &[Val::I32(0)], &mut [])
    }));
    assert_eq!(panic.unwrap_err().downcast_ref(), Some(&"a hook's own"));
    store.call_hook(|_, _| Ok(()));
    run.call(&mut store, &[Val::I32(0)], &mut [])?;
    Ok(())
}

#[test]
fn the_last_uncaught_exception_is_pending() -> Result<()> {
    let engine = Engine::default();
    let mut store = Store::new(&engine, ());
    let wat = r#"(module (tag $t (export "t") (param i32)) (func (export "throw") (param i32) (throw $t (local.get 0))))"#;
    let instance = instance(&mut store, wat, &[])?;
    let throw = instance.get_typed_func::<i32, ()>(&store, "throw")?;
    assert!(!store.has_pending_exception() && store.take_pending_exception().is_none());
    assert!(throw.call(&mut store, 5).unwrap_err().is::<ThrownException>());
    assert!(store.has_pending_exception());
    let exception = store.take_pending_exception().unwrap();
    assert!(!store.has_pending_exception());
    assert_eq!(exception.field(&mut store, 0)?.unwrap_i32(), 5);
    let tag = instance.get_tag(&store, "t").unwrap();
    let ty = ExnType::from_tag_type(&tag.ty(&store))?;
    assert_eq!(exception.ty(&store)?, ty);
    assert!(
        exception.matches_ty(&store, &HeapType::Exn)? && exception.matches_ty(&store, &ty.clone().into())?
    );

    let pre = ExnRefPre::new(&mut store, ty);
    let own = ExnRef::new(&mut store, &pre, &tag, &[Val::I32(6)])?;
    let other = Tag::new(&mut store, &ExnType::new(&engine, [])?.tag_type())?;
    assert!(ExnRef::new(&mut store, &pre, &other, &[]).is_err(), "the tag has another type");
    store.throw::<()>(own).unwrap_err();
    let mut context = store.as_context_mut();
    assert!(context.has_pending_exception());
    assert_eq!(context.take_pending_exception().unwrap().fields(&mut store)?.next().unwrap().unwrap_i32(), 6);
    Ok(())
}

#[test]
fn linkers_find_defaults_and_imports() -> Result<()> {
    let engine = Engine::default();
    let mut store = Store::new(&engine, ());
    let mut linker = Linker::new(&engine);
    linker.func_wrap("main", "_start", || {})?;
    linker.func_wrap("named", "", || {})?;
    linker.func_wrap("named", "_start", |_: i32| {})?;
    let results = |func: Func, store: &Store<()>| func.ty(store).params().len();
    let found = linker.get_default(&mut store, "main")?;
    assert_eq!(results(found, &store), 0);
    let found = linker.get_default(&mut store, "named")?;
    assert_eq!(results(found, &store), 0);
    linker.get_default(&mut store, "absent")?.call(&mut store, &[], &mut [])?;
    let table = Table::new(&mut store, TableType::new(RefType::FUNCREF, 1, None), Ref::Func(None))?;
    linker.define(&mut store, "table", "", table)?;
    let error = linker.get_default(&mut store, "table").unwrap_err().to_string();
    assert_eq!(error, "`table::` is a table 1 funcref, but the default of a module is a function");

    let module = Module::new(&engine, r#"(module (import "main" "_start" (func)) (import "a" "b" (func)))"#)?;
    let imports: Vec<_> = module.imports().collect();
    assert!(linker.get_by_import(&mut store, &imports[0]).is_some());
    assert!(linker.try_get_by_import(&mut store, &imports[1])?.is_none());
    Ok(())
}

#[test]
fn unknown_imports_get_default_values() -> Result<()> {
    let engine = Engine::default();
    let mut store = Store::new(&engine, ());
    let module = Module::new(
        &engine,
        r#"(module
            (import "a" "func" (func $f (param i32) (result i64 funcref)))
            (import "a" "global" (global $g (mut f64)))
            (import "a" "table" (table 3 funcref))
            (import "a" "memory" (memory 2))
            (import "a" "shared" (memory 1 2 shared))
            (import "a" "tag" (tag (param i32)))
            (func (export "f") (result i64) (call $f (i32.const 1)) (drop))
            (func (export "g") (result f64) (global.get $g)))"#,
    )?;
    let mut linker = Linker::new(&engine);
    linker.define_unknown_imports_as_default_values(&mut store, &module)?;
    let instance = linker.instantiate_and_start(&mut store, &module)?;
    assert_eq!(instance.get_typed_func::<(), i64>(&store, "f")?.call(&mut store, ())?, 0);
    assert_eq!(instance.get_typed_func::<(), f64>(&store, "g")?.call(&mut store, ())?, 0.0);
    assert_eq!(linker.get(&mut store, "a", "memory").unwrap().into_memory().unwrap().size(&store), 2);
    assert_eq!(instance.module(&store).imports().len(), 6);

    let module = Module::new(&engine, r#"(module (import "a" "never" (global (ref func))))"#)?;
    let error = linker.define_unknown_imports_as_default_values(&mut store, &module).unwrap_err();
    assert_eq!(format!("{error:#}"), "`a::never` is not defined: (ref func) has no default value");
    let global = GlobalType::new(ValType::I32, Mutability::Var).default_value(&mut store)?;
    assert_eq!(global.get(&mut store).unwrap_i32(), 0);
    assert!(TableType::new(RefType::new(false, HeapType::Func), 1, None).default_value(&mut store).is_err());
    Ok(())
}

#[test]
fn commands_may_export_only_functions() -> Result<()> {
    let engine = Engine::default();
    let mut store = Store::new(&engine, ());
    let command = |extra: &str| Module::new(&engine, format!(r#"(module (func (export "_start")) {extra})"#));
    let mut linker = Linker::new(&engine);
    linker.module(&mut store, "plain", &command(r#"(memory (export "memory") 1)"#)?)?;
    let module = command(r#"(global (export "counter") i32 (i32.const 0))"#)?;
    let error = linker.module(&mut store, "odd", &module).unwrap_err().to_string();
    assert!(error.starts_with("the command exports the global i32 `counter`"), "{error}");
    let mut linker = Linker::new(&engine);
    linker.allow_unknown_exports(true).module(&mut store, "odd", &module)?;
    assert!(linker.get(&mut store, "odd", "counter").is_none());
    Ok(())
}

#[test]
fn backtraces_are_captured_in_host_functions() -> Result<()> {
    let mut store = Store::new(&Engine::default(), Vec::new());
    assert_eq!(WasmBacktrace::capture(&store).frames().len(), 0);
    let host = Func::wrap(&mut store, |mut caller: Caller<'_, Vec<u32>>, _: i32| {
        let stack = WasmBacktrace::force_capture(&caller);
        *caller.data_mut() = stack.frames().iter().map(|frame| frame.func_index()).collect();
    });
    let instance = instance(&mut store, CALLER, &[host.into()])?;
    assert_eq!(*store.data(), [1]);
    instance.get_typed_func::<i32, ()>(&store, "run")?.call(&mut store, 0)?;
    assert_eq!(*store.data(), [2]);
    Ok(())
}

#[test]
fn errors_have_the_shapes_of_both() -> Result<()> {
    let mut store = Store::new(&Engine::default(), ());
    let exit = Func::wrap(&mut store, |_: i32| -> Result<()> { Err(Error::i32_exit(3)) });
    let error = instance(&mut store, CALLER, &[exit.into()]).unwrap_err();
    assert_eq!((error.i32_exit_status(), error.as_trap_code()), (Some(3), None));
    assert_eq!(error.downcast_ref(), Some(&I32Exit(3)));
    let host = Func::wrap(&mut store, |_: i32| -> Result<()> { Err(Error::host(Own(7))) });
    let error = instance(&mut store, CALLER, &[host.into()]).unwrap_err();
    assert_eq!(error.downcast_ref::<Own>().map(|own| own.0), Some(7));
    assert_eq!(Trap::HeapMisaligned.trap_message(), "unaligned atomic access");
    assert_eq!(Trap::from_u8(Trap::OutOfFuel.code()), Some(Trap::OutOfFuel));

    /// An error type of a host that is no `std::error::Error`.
    #[derive(Debug)]
    struct Own(i32);

    impl std::fmt::Display for Own {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("the host's own")
        }
    }
    Ok(())
}

#[test]
fn exports_and_memories_have_types() -> Result<()> {
    let mut store = Store::new(&Engine::default(), ());
    let instance =
        instance(&mut store, r#"(module (memory (export "m") 1) (func (export "f") (param i32)))"#, &[])?;
    let types: Vec<String> = instance.exports(&store).map(|export| export.ty(&store).to_string()).collect();
    assert_eq!(types, ["memory 1", "func (i32) -> ()"]);
    assert_eq!(belljar::ExternType::from(MemoryType::new(1, None)).to_string(), types[0]);
    Ok(())
}

/// Owned handles are passed like others, and references that can only be null have types of their own.
#[test]
fn owned_handles_and_nulls_are_passed() -> Result<()> {
    let mut store = Store::new(&Engine::default(), None);
    type Owned<T> = Option<OwnedRooted<T>>;
    let keep = Func::wrap(
        &mut store,
        |mut caller: Caller<'_, Owned<ExternRef>>, kept: Owned<ExternRef>, none: Option<NoFunc>| {
            assert!(none.is_none());
            *caller.data_mut() = kept.clone();
            kept
        },
    );
    assert_eq!(keep.ty(&store).to_string(), "(externref, nullfuncref) -> externref");
    let wat = r#"(module
        (import "" "" (func $keep (param externref nullfuncref) (result externref)))
        (func (export "run") (param externref) (result externref)
            (call $keep (local.get 0) (ref.null nofunc)))
        (func (export "none") (param nullexternref) (result nullref) (ref.null none)))"#;
    let instance = instance(&mut store, wat, &[keep.into()])?;
    let run = instance.get_typed_func::<Owned<ExternRef>, Owned<ExternRef>>(&mut store, "run")?;
    let text = ExternRef::new(&mut store, "text")?.to_owned_rooted(&mut store)?;
    let back = run.call(&mut store, Some(text.clone()))?.expect("what was passed");
    store.gc(None)?;
    for owned in [back, store.data().clone().expect("it was kept"), text] {
        let data = owned.data(&store)?.expect("a value of the host");
        assert_eq!(data.downcast_ref::<&str>(), Some(&"text"));
    }
    assert!(run.call(&mut store, None)?.is_none());
    let none = instance.get_typed_func::<Option<NoExtern>, Option<NoneRef>>(&mut store, "none")?;
    assert!(none.call(&mut store, NoExtern::null())?.is_none());
    Ok(())
}

#[test]
fn contexts_convert() -> Result<()> {
    let engine = Linker::<()>::default().engine().clone();
    let mut store = Store::new(&engine, 5);
    let host = Func::wrap(&mut store, |caller: Caller<'_, i32>| {
        let context = StoreContextMut::from(caller);
        let shown = format!("{context:?}");
        let context = StoreContext::from(context);
        let copy = context;
        assert_eq!(
            (shown.as_str(), format!("{copy:?}").as_str()),
            ("StoreContextMut { .. }", "StoreContext { .. }")
        );
        *copy.data() + *context.data()
    });
    assert_eq!(host.typed::<(), i32>(&store)?.call(&mut store, ())?, 10);
    assert!(belljar::EngineWeak::default().upgrade().is_none());
    for inlining in ["yes", "gc", "inter-module", "intrinsics", "no"] {
        assert_eq!(inlining.parse::<belljar::Inlining>()?.to_string(), inlining);
    }
    let error = "a bit\n".parse::<belljar::Inlining>().unwrap_err().to_string();
    assert_eq!(error, r"a bit\n is no kind of inlining: expected yes, gc, inter-module, intrinsics or no");
    Ok(())
}
