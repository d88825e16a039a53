//! Every function that takes a context, called with handles of store A and a context that alternates between A and B.

use crate::Row;
use crate::store_pair::{Shifty, Things};
use belljar::*;

/// Ignores the result: the same checks follow for all attacks.
fn any<R>(_result: R) {}

macro_rules! rows {
    ($($name:literal: |$things:ident, $context:ident| $attack:expr;)*) => {
        &[$(($name, Row::Context(|$things: &Things, $context: &mut Shifty<'_>| any($attack)))),*]
    };
}

fn node(things: &Things, context: &mut Shifty<'_>) -> Rooted<StructRef> {
    let store = context.honest();
    things.node.to_rooted(&mut *store).as_struct(&*store).unwrap().unwrap()
}

fn numbers(things: &Things, context: &mut Shifty<'_>) -> Rooted<ArrayRef> {
    let store = context.honest();
    things.numbers.to_rooted(&mut *store).as_array(&*store).unwrap().unwrap()
}

fn object(things: &Things, context: &mut Shifty<'_>) -> Rooted<AnyRef> {
    things.node.to_rooted(context.honest())
}

fn exception(things: &Things, context: &mut Shifty<'_>) -> Rooted<ExnRef> {
    things.exception.to_rooted(context.honest())
}

fn value(things: &Things, context: &mut Shifty<'_>) -> Rooted<ExternRef> {
    things.value.to_rooted(context.honest())
}

/// A buffer of store A, which is restored afterwards.
fn with_buffer<R>(
    things: &Things,
    context: &mut Shifty<'_>,
    f: impl FnOnce(&GuestBuf, &mut Shifty<'_>) -> R,
) {
    let buffer = things.buffer.take().unwrap_or_else(|| things.alloc.alloc(context.honest(), 64, 8).unwrap());
    any(std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| f(&buffer, context))));
    things.buffer.set(Some(buffer));
}

fn new_buffer(things: &Things, context: &mut Shifty<'_>) -> GuestBuf {
    things.alloc.alloc(context.honest(), 32, 8).unwrap()
}

/// A guest of store A that keeps an object, and whose host function fails.
fn asking(context: &mut Shifty<'_>) -> Instance {
    let store = context.honest();
    let wat = r#"(module
        (type $box (struct (field i32)))
        (import "host" "ask" (func $ask (result i32)))
        (func (export "run") (result i32) (local $kept (ref null $box))
            (local.set $kept (struct.new $box (i32.const 40)))
            (i32.add (call $ask) (struct.get $box 0 (local.get $kept)))))"#;
    let module = Module::new(store.engine(), wat).unwrap();
    let ask = Func::wrap(&mut *store, || -> Result<i32> { Err(Error::msg("nobody answers")) });
    Instance::new(&mut *store, &module, &[ask.into()]).unwrap()
}

/// Resumes a call, which is right only with store A's context.
fn resume(context: &mut Shifty<'_>) {
    let run = asking(context).get_func(context.honest(), "run").unwrap();
    let mut results = [Val::I32(0)];
    let ResumableCall::HostTrap(call) = run.call_resumable(context.honest(), &[], &mut results).unwrap()
    else {
        panic!("the host function failed");
    };
    context.honest().gc(None).unwrap();
    if let Ok(ResumableCall::Finished) = call.resume(&mut *context, &[Val::I32(2)], &mut results) {
        assert_eq!(results[0].unwrap_i32(), 42);
    }
    let ResumableCall::HostTrap(call) = run.call_resumable(context.honest(), &[], &mut results).unwrap()
    else {
        panic!("the host function failed");
    };
    let object = Val::AnyRef(None);
    any(call.resume(context, &[object], &mut results));
}

fn resume_typed(context: &mut Shifty<'_>) {
    let run = asking(context).get_typed_func::<(), i32>(context.honest(), "run").unwrap();
    let TypedResumableCall::HostTrap(call) = run.call_resumable(context.honest(), ()).unwrap() else {
        panic!("the host function failed");
    };
    context.honest().gc(None).unwrap();
    if let Ok(TypedResumableCall::Finished(result)) = call.resume(context, &[Val::I32(2)]) {
        assert_eq!(result, 42);
    }
}

fn func_type(context: &mut Shifty<'_>) -> FuncType {
    FuncType::new(context.honest().engine(), [], [ValType::I32])
}

fn module(context: &mut Shifty<'_>) -> Module {
    let wat = r#"(module (import "host" "own" (func (result i32))) (global (export "g") i32 (i32.const 1)))"#;
    Module::new(context.honest().engine(), wat).unwrap()
}

fn linker(context: &mut Shifty<'_>) -> Linker<i32> {
    crate::store_pair::linker(context.honest().engine())
}

fn struct_pre(things: &Things, context: &mut Shifty<'_>) -> StructRefPre {
    let node = node(things, context);
    let ty = node.ty(&*context.honest()).unwrap();
    StructRefPre::new(context.honest(), ty)
}

fn array_pre(things: &Things, context: &mut Shifty<'_>) -> ArrayRefPre {
    let numbers = numbers(things, context);
    let ty = numbers.ty(&*context.honest()).unwrap();
    ArrayRefPre::new(context.honest(), ty)
}

fn bytes_pre(context: &mut Shifty<'_>) -> ArrayRefPre {
    let ty = ArrayType::new(context.honest().engine(), FieldType::new(Mutability::Const, StorageType::I8))
        .unwrap();
    ArrayRefPre::new(context.honest(), ty)
}

fn bytes(_things: &Things, context: &mut Shifty<'_>) -> Rooted<ArrayRef> {
    let pre = bytes_pre(context);
    ArrayRef::new_from_i8_slice(context.honest(), &pre, b"abc").unwrap()
}

fn profiler(context: &mut Shifty<'_>) -> GuestProfiler {
    GuestProfiler::new(context.honest().engine(), "attack", std::time::Duration::from_millis(1), []).unwrap()
}

fn exn_pre(context: &mut Shifty<'_>) -> ExnRefPre {
    let ty = ExnType::new(context.honest().engine(), [ValType::I32]).unwrap();
    ExnRefPre::new(context.honest(), ty)
}

pub(crate) const ROWS: &[(&str, Row)] = rows! {
    "AnyRef::from_i31": |_t, c| AnyRef::from_i31(c, I31::wrapping_u32(7));
    "AnyRef::convert_extern": |t, c| { let v = value(t, c); AnyRef::convert_extern(c, v) };
    "ArrayRef::new": |t, c| {
        let pre = array_pre(t, c);
        let made = ArrayRef::new(&mut *c, &pre, &Val::I32(1), 5);
        any(made);
        let wrong = Val::AnyRef(Some(object(t, c)));
        ArrayRef::new(&mut *c, &pre, &wrong, 5)
    };
    "ArrayRef::new_fixed": |t, c| { let pre = array_pre(t, c); ArrayRef::new_fixed(c, &pre, &[Val::I32(1), Val::I32(2)]) };
    "ExnRef::new": |t, c| { let pre = exn_pre(c); ExnRef::new(c, &pre, &t.tag, &[Val::I32(1)]) };
    "ExnRefPre::new": |_t, c| { let ty = ExnType::new(c.honest().engine(), [ValType::I32]).unwrap(); ExnRefPre::new(c, ty) };
    "Extern::ty": |t, c| Extern::from(t.table).ty(&*c);
    "ExternRef::new": |_t, c| ExternRef::new(c, String::from("value"));
    "ExternRef::convert_any": |t, c| { let o = object(t, c); ExternRef::convert_any(c, o) };
    "Func::call": |t, c| t.func.call(c, &[], &mut [Val::I32(0)]);
    "Func::call_resumable": |t, c| {
        any(t.func.call_resumable(&mut *c, &[], &mut [Val::I32(0)]));
        let run = asking(c).get_func(c.honest(), "run").unwrap();
        any(run.call_resumable(&mut *c, &[], &mut []));
        run.call_resumable(c, &[], &mut [Val::I32(0)])
    };
    "Func::new": |_t, c| {
        let ty = func_type(c);
        let func = Func::new(&mut *c, ty, |_, _, results| { results[0] = Val::I32(3); Ok(()) });
        func.call(c, &[], &mut [Val::I32(0)])
    };
    "Func::ty": |t, c| t.func.ty(&*c);
    "Func::typed": |t, c| t.func.typed::<(), i32>(&*c).map(|f| f.call(c, ()));
    "Func::wrap": |_t, c| { let f = Func::wrap(&mut *c, || 3); f.call(c, &[], &mut [Val::I32(0)]) };
    "Global::get": |t, c| t.global.get(c);
    "Global::new": |t, c| {
        let ty = GlobalType::new(ValType::Ref(RefType::new(true, HeapType::Func)), Mutability::Var);
        Global::new(&mut *c, ty, Val::FuncRef(Some(t.func))).map(|global| global.get(c))
    };
    "Global::set": |t, c| t.global.set(c, Val::I32(8));
    "Global::ty": |t, c| t.global.ty(&*c);
    "GuestAlloc::adopt": |t, c| t.alloc.adopt(c, 100_000_u32, 8).map(std::mem::forget);
    "GuestAlloc::adopt_aligned": |t, c| t.alloc.adopt_aligned(c, 100_064_u32, 8, 8).map(std::mem::forget);
    "GuestAlloc::alloc": |t, c| t.alloc.alloc(c, 8, 8);
    "GuestAlloc::alloc_bytes": |t, c| t.alloc.alloc_bytes(c, b"bytes");
    "GuestAlloc::alloc_slice": |t, c| t.alloc.alloc_slice(c, &[1_u32, 2]);
    "GuestAlloc::find": |t, c| GuestAlloc::find(c, t.instance);
    "GuestAlloc::named": |t, c| GuestAlloc::named(c, t.instance, "malloc", Some("free"));
    "GuestAlloc::release": |t, c| { drop(new_buffer(t, c)); t.alloc.release(c) };
    "GuestBuf::bytes": |t, c| with_buffer(t, c, |b, c| b.bytes(&*c).map(<[u8]>::len));
    "GuestBuf::bytes_mut": |t, c| with_buffer(t, c, |b, c| b.bytes_mut(c).map(|bytes| bytes.fill(1)));
    "GuestBuf::free": |t, c| new_buffer(t, c).free(c);
    "GuestBuf::give_to_guest": |t, c| new_buffer(t, c).give_to_guest::<u32>(c);
    "GuestBuf::memory": |t, c| with_buffer(t, c, |b, c| b.memory(&*c).map(|memory| memory.size(&*c)));
    "GuestBuf::read": |t, c| with_buffer(t, c, |b, c| b.read(&*c, 0, &mut [0; 8]));
    "GuestBuf::read_slice": |t, c| with_buffer(t, c, |b, c| b.read_slice(&*c, 0, &mut [0_u32; 2]));
    "GuestBuf::to_vec": |t, c| with_buffer(t, c, |b, c| b.to_vec::<u64>(&*c));
    "GuestBuf::write": |t, c| with_buffer(t, c, |b, c| b.write(c, 0, b"12345678"));
    "GuestBuf::write_slice": |t, c| with_buffer(t, c, |b, c| b.write_slice(c, 0, &[1_u32, 2]));
    "Instance::exports": |t, c| t.instance.exports(&*c).count();
    "Instance::get_export": |t, c| t.instance.get_export(c, "table");
    "Instance::get_func": |t, c| t.instance.get_func(&mut *c, "f1").map(|f| f.call(c, &[], &mut [Val::I32(0)]));
    "Instance::get_global": |t, c| t.instance.get_global(&mut *c, "global").map(|g| g.set(c, Val::I32(9)));
    "Instance::get_memory": |t, c| t.instance.get_memory(&mut *c, "memory").map(|m| m.write(c, 0, b"x"));
    "Instance::get_module_export": |t, c| {
        let table = t.instance.get_module_export(&mut *c, &t.export).and_then(Extern::into_table);
        table.map(|table| table.set(c, 5, Ref::Func(Some(t.func))))
    };
    "Instance::get_shared_memory": |t, c| t.instance.get_shared_memory(c, "memory");
    "Instance::get_table": |t, c| t.instance.get_table(&mut *c, "table").map(|table| table.set(c, 5, Ref::Func(Some(t.func))));
    "Instance::get_tag": |t, c| t.instance.get_tag(&mut *c, "tag").map(|tag| { let pre = exn_pre(c); ExnRef::new(c, &pre, &tag, &[Val::I32(1)]) });
    "Instance::get_typed_func": |t, c| t.instance.get_typed_func::<(), i32>(&mut *c, "f0").map(|f| f.call(c, ()));
    "Instance::new": |t, c| { let module = module(c); Instance::new(c, &module, &[t.func.into()]) };
    "InstancePre::instantiate": |_t, c| {
        let pre = linker(c).instantiate_pre(&module(c)).unwrap();
        pre.instantiate(c)
    };
    "Linker::define": |t, c| {
        let mut linker = linker(c);
        linker.define(&*c, "m", "f", t.func).unwrap();
        let wat = r#"(module (import "m" "f" (func $f (result i32))) (start $s) (func $s (drop (call $f))))"#;
        let module = Module::new(c.honest().engine(), wat).unwrap();
        linker.instantiate(c, &module)
    };
    "Linker::get": |_t, c| { let linker = linker(c); linker.get(&mut *c, "host", "own").map(|f| f.ty(&*c)) };
    "Linker::instance": |t, c| { let mut linker = linker(c); linker.instance(c, "m", t.instance).map(drop) };
    "Linker::instantiate": |_t, c| { let (linker, module) = (linker(c), module(c)); linker.instantiate(c, &module) };
    "Linker::iter": |_t, c| { let linker = linker(c); linker.iter(&mut *c).map(|(_, _, item)| item).collect::<Vec<_>>() };
    "Linker::module": |_t, c| { let (mut linker, module) = (linker(c), module(c)); linker.module(c, "m", &module).map(drop) };
    "Memory::data": |t, c| t.memory.data(&*c).len();
    "Memory::data_and_store_mut": |t, c| t.memory.data_and_store_mut(&mut *c).0[9] = 9;
    "Memory::data_mut": |t, c| t.memory.data_mut(&mut *c)[8] = 8;
    "Memory::data_size": |t, c| t.memory.data_size(&*c);
    "Memory::declare": |t, c| t.memory.declare(c, 200..300);
    "Memory::grow": |t, c| t.memory.grow(c, 1);
    "Memory::new": |_t, c| {
        let memory = Memory::new(&mut *c, MemoryType::new(1, None)).unwrap();
        memory.write(c, 0, b"x")
    };
    "Memory::page_size": |t, c| t.memory.page_size(&*c);
    "Memory::page_size_log2": |t, c| t.memory.page_size_log2(&*c);
    "Memory::read": |t, c| t.memory.read(&*c, 0, &mut [0; 4]);
    "Memory::size": |t, c| t.memory.size(&*c);
    "Memory::ty": |t, c| t.memory.ty(&*c);
    "Memory::undeclare": |t, c| t.memory.undeclare(c, 200..300);
    "Memory::write": |t, c| t.memory.write(c, 0, b"write");
    "OwnedRooted::to_rooted": |t, c| t.node.to_rooted(&mut *c).ty(&*c);
    "Rooted::ref_eq": |t, c| { let o = object(t, c); Rooted::ref_eq(&*c, &o, &o) };
    "Rooted::to_owned_rooted": |t, c| { let o = object(t, c); o.to_owned_rooted(&mut *c).map(|o| o.to_rooted(c)) };
    "also: AnyRef::as_array": |t, c| { let o = object(t, c); o.as_array(&*c) };
    "also: AnyRef::as_eqref": |t, c| { let o = object(t, c); o.as_eqref(&*c) };
    "also: AnyRef::as_i31": |t, c| { let o = object(t, c); o.as_i31(&*c) };
    "also: AnyRef::as_struct": |t, c| {
        let o = object(t, c);
        o.as_struct(&*c).map(|o| o.map(|o| o.set_field(c, 1, Val::AnyRef(None))))
    };
    "also: AnyRef::is_array": |t, c| { let o = object(t, c); o.is_array(&*c) };
    "also: AnyRef::is_eqref": |t, c| { let o = object(t, c); o.is_eqref(&*c) };
    "also: AnyRef::is_i31": |t, c| { let o = object(t, c); o.is_i31(&*c) };
    "also: AnyRef::is_struct": |t, c| { let o = object(t, c); o.is_struct(&*c) };
    "also: AnyRef::ty": |t, c| { let o = object(t, c); o.ty(&*c) };
    "ArrayRef::elems": |t, c| { let n = numbers(t, c); n.elems(c) };
    "ArrayRef::get": |t, c| { let n = numbers(t, c); n.get(c, 1) };
    "ArrayRef::is_empty": |t, c| { let n = numbers(t, c); n.is_empty(&*c) };
    "ArrayRef::len": |t, c| { let n = numbers(t, c); n.len(&*c) };
    "ArrayRef::set": |t, c| { let n = numbers(t, c); n.set(c, 1, Val::I32(5)) };
    "ArrayRef::ty": |t, c| { let n = numbers(t, c); n.ty(&*c) };
    "ExnRef::field": |t, c| { let e = exception(t, c); e.field(c, 0) };
    "ExnRef::fields": |t, c| { let e = exception(t, c); e.fields(c) };
    "ExnRef::tag": |t, c| { let e = exception(t, c); e.tag(&*c) };
    "ExnRef::ty": |t, c| { let e = exception(t, c); e.ty(&*c) };
    "ExnRef::matches_ty": |t, c| { let e = exception(t, c); e.matches_ty(&*c, &HeapType::Exn) };
    "ExternRef::data": |t, c| { let v = value(t, c); v.data(&*c).map(|data| data.is_some()) };
    "StructRef::field": |t, c| { let n = node(t, c); n.field(c, 0) };
    "StructRef::fields": |t, c| { let n = node(t, c); n.fields(c) };
    "StructRef::set_field": |t, c| {
        let (n, o) = (node(t, c), object(t, c));
        any(n.set_field(&mut *c, 1, Val::AnyRef(Some(o))));
        n.set_field(c, 1, Val::FuncRef(Some(t.func)))
    };
    "StructRef::ty": |t, c| { let n = node(t, c); n.ty(&*c) };
    "RootScope::new": |t, c| {
        let o = object(t, c);
        let mut scope = RootScope::new(&mut *c);
        any(AnyRef::from_i31(&mut scope, I31::wrapping_u32(1)));
        o.ty(&scope)
    };
    "StructRef::new": |t, c| {
        let (pre, o) = (struct_pre(t, c), object(t, c));
        StructRef::new(c, &pre, &[Val::I32(1), Val::AnyRef(Some(o))])
    };
    "ResumableCallHostTrap::resume": |_t, c| resume(c);
    "Table::copy": |t, c| Table::copy(c, &t.table, 4, &t.table, 0, 2);
    "Table::fill": |t, c| t.table.fill(c, 2, Ref::Func(Some(t.func)), 3);
    "Table::get": |t, c| t.table.get(c, 0);
    "Table::grow": |t, c| t.table.grow(c, 1, Ref::Func(Some(t.func)));
    "Table::new": |t, c| {
        let table = Table::new(&mut *c, TableType::new(RefType::new(true, HeapType::Func), 4, None), Ref::Func(Some(t.func)));
        table.map(|table| table.get(c, 0))
    };
    "Table::set": |t, c| t.table.set(c, 3, Ref::Func(Some(t.func)));
    "Table::size": |t, c| t.table.size(&*c);
    "Table::ty": |t, c| t.table.ty(&*c);
    "Tag::eq": |t, c| Tag::eq(&t.tag, &t.tag, &*c);
    "Tag::new": |_t, c| {
        let ty = TagType::new(FuncType::new(c.honest().engine(), [ValType::I32], []));
        Tag::new(&mut *c, &ty).map(|tag| { let pre = exn_pre(c); ExnRef::new(c, &pre, &tag, &[Val::I32(1)]) })
    };
    "Tag::ty": |t, c| t.tag.ty(&*c);
    "ThrownException::exception": |t, c| t.thrown.exception(&mut *c).map(|e| e.tag(&*c));
    "ThrownException::fields": |t, c| t.thrown.fields(c);
    "ThrownException::tag": |t, c| t.thrown.tag(c);
    "TypedFunc::call": |t, c| t.typed.call(c, ());
    "TypedFunc::call_resumable": |t, c| {
        any(t.typed.call_resumable(&mut *c, ()));
        let run = asking(c).get_typed_func::<(), i32>(c.honest(), "run").unwrap();
        run.call_resumable(c, ())
    };
    "TypedResumableCallHostTrap<Results>::resume": |_t, c| resume_typed(c);
    "Val::ty": |t, c| { let o = object(t, c); Val::AnyRef(Some(o)).ty(&*c) };
    "WasmCoreDump::of": |_t, c| WasmCoreDump::of(&*c);
    "WasmCoreDump::serialize": |t, c| t.dump.serialize(&*c, "name").len();
    "WasmCoreDump::write_to": |t, c| t.dump.write_to(&*c, "name", &mut std::io::sink());
    "ArrayRef::copy_to_i8_slice": |t, c| { let n = bytes(t, c); n.copy_to_i8_slice(c, &mut [0; 3]) };
    "ArrayRef::matches_ty": |t, c| {
        let n = numbers(t, c);
        let ty = n.ty(&*c.honest()).unwrap();
        n.matches_ty(&*c, &ty)
    };
    "ArrayRef::new_from_i8_slice": |_t, c| { let pre = bytes_pre(c); ArrayRef::new_from_i8_slice(c, &pre, b"abc") };
    "ArrayRefPre::new": |t, c| { let ty = numbers(t, c).ty(&*c.honest()).unwrap(); ArrayRefPre::new(c, ty) };
    "EqRef::from_i31": |_t, c| EqRef::from_i31(c, I31::wrapping_u32(7));
    "Export<'instance>::ty": |t, c| Extern::from(t.func).ty(&*c);
    "ExternRef::data_mut": |t, c| { let v = value(t, c); v.data_mut(c).map(|data| data.is_some()) };
    "ExternType::default_value": |_t, c| ExternType::from(func_type(c)).default_value(c);
    "Func::matches_ty": |t, c| { let ty = func_type(c); t.func.matches_ty(&*c, &ty) };
    "Func::try_new": |_t, c| { let ty = func_type(c); Func::try_new(c, ty, |_, _, _| Ok(())) };
    "Func::try_wrap": |_t, c| Func::try_wrap(c, |x: i32| x);
    "FuncType::default_value": |_t, c| func_type(c).default_value(c);
    "GlobalType::default_value": |_t, c| GlobalType::new(ValType::I32, Mutability::Var).default_value(c);
    "GuestProfiler::call_hook": |_t, c| profiler(c).call_hook(&*c, CallHook::CallingHost);
    "GuestProfiler::sample": |_t, c| profiler(c).sample(&*c, std::time::Duration::ZERO);
    "Instance::module": |t, c| t.instance.module(&*c).name().map(str::to_string);
    "Linker::define_unknown_imports_as_default_values": |_t, c| {
        let module = module(c);
        linker(c).define_unknown_imports_as_default_values(c, &module)
    };
    "Linker::get_by_import": |_t, c| {
        let module = module(c);
        let import = module.imports().next().unwrap();
        linker(c).get_by_import(c, &import)
    };
    "Linker::get_default": |_t, c| linker(c).get_default(c, "host");
    "Linker::instantiate_and_start": |_t, c| { let module = module(c); linker(c).instantiate_and_start(c, &module) };
    "Linker::try_get": |_t, c| linker(c).try_get(c, "host", "own");
    "Linker::try_get_by_import": |_t, c| {
        let module = module(c);
        let import = module.imports().next().unwrap();
        linker(c).try_get_by_import(c, &import)
    };
    "OwnedRooted::ref_eq": |t, c| OwnedRooted::ref_eq(&*c, &t.node, &t.numbers);
    "OwnedRooted::ref_hash": |t, c| t.node.ref_hash(&*c, &mut std::hash::DefaultHasher::new());
    "Ref::matches_ty": |t, c| { let o = object(t, c); Ref::from(o).matches_ty(&*c, &RefType::ANYREF) };
    "Ref::ty": |t, c| { let o = object(t, c); Ref::from(o).ty(&*c) };
    "Rooted::ref_hash": |t, c| { let o = object(t, c); o.ref_hash(&*c, &mut std::hash::DefaultHasher::new()) };
    "StructRef::matches_ty": |t, c| {
        let n = node(t, c);
        let ty = n.ty(&*c.honest()).unwrap();
        n.matches_ty(&*c, &ty)
    };
    "StructRefPre::new": |t, c| { let ty = node(t, c).ty(&*c.honest()).unwrap(); StructRefPre::new(c, ty) };
    "TableType::default_value": |_t, c| TableType::new(RefType::FUNCREF, 1, None).default_value(c);
    "TagType::default_value": |_t, c| TagType::new(FuncType::new(c.honest().engine(), [], [])).default_value(c);
    "Val::matches_ty": |t, c| { let o = object(t, c); Val::AnyRef(Some(o)).matches_ty(&*c, &ValType::ANYREF) };
    "WasmBacktrace::capture": |_t, c| WasmBacktrace::capture(&*c);
    "WasmBacktrace::force_capture": |_t, c| WasmBacktrace::force_capture(&*c);
};
