//! What a module tells of itself: its code, where its instructions are, what its instances need, and its exports.

use belljar::{
    Caller, CodeBuilder, CodeHint, Config, Engine, Extern, Func, FuncIndex, Inlining, Instance, Linker,
    Module, Origin, Result, StaticModuleIndex, Store, Trust, UserKey, Val,
};
use std::collections::BTreeSet;

const WAT: &str = r#"(module
    (import "host" "f" (func $f (param i32) (result i32)))
    (memory (export "memory") 1)
    (func $div (param i32 i32) (result i32) (i32.div_u (local.get 0) (local.get 1)))
    (func (export "main") (param i32) (result i32)
        (i32.store (i32.const 8) (call $f (local.get 0)))
        (call $div (i32.load (i32.const 12)) (local.get 0)))
    (func $last nop))"#;

fn engine(change: impl FnOnce(&mut Config)) -> Engine {
    let mut config = Config::new();
    config.trust(Trust { user: Some(UserKey::from_bytes([9; 32])), ..Trust::default() });
    change(&mut config);
    Engine::new(&config).unwrap()
}

#[test]
fn functions_and_their_code_are_listed() -> Result<()> {
    let module = Module::new(&engine(|_| ()), WAT)?;
    let functions: Vec<_> = module.functions().collect();
    assert_eq!(module.functions().len(), 3);
    let names: Vec<_> = functions.iter().map(|f| (f.index.as_u32(), f.name.as_deref())).collect();
    assert_eq!(names, [(1, Some("div")), (2, None), (3, Some("last"))]);
    let text = module.text();
    let mut end = 0;
    for function in &functions {
        assert_eq!(function.module.as_u32(), 0);
        assert!(function.offset >= end && function.len > 0);
        end = function.offset + function.len;
        // Each ends with `ret`, before what it keeps behind its code.
        assert!(text[function.offset..end].contains(&0xc3));
    }
    assert!(end <= text.len());
    // It is the text of the artifact.
    use object::{Object, ObjectSection};
    let artifact = module.serialize()?;
    let file = object::File::parse(&*artifact)?;
    assert_eq!(file.section_by_name(".text").unwrap().data()?, text);
    let again = Module::deserialize(module.engine(), &artifact)?;
    assert!(matches!(again.origin(), Origin::Artifact(_)));
    assert!(again.text() == text && again.functions().eq(functions));
    assert_eq!(FuncIndex::from_bits(7), FuncIndex::from_u32(7));
    assert_eq!((FuncIndex::from_u32(7).as_bits(), StaticModuleIndex::from_bits(1).as_u32()), (7, 1));
    assert_eq!(StaticModuleIndex::from_u32(2).as_bits(), 2);
    Ok(())
}

#[test]
fn code_is_mapped_to_the_instructions_of_the_binary() -> Result<()> {
    let binary = wat::parse_str(WAT)?;
    // Where instructions are, and in which function.
    let mut places = Vec::new();
    let mut func = 1;
    for payload in wasmparser::Parser::new(0).parse_all(&binary) {
        if let wasmparser::Payload::CodeSectionEntry(body) = payload? {
            let mut operators = body.get_operators_reader()?;
            while !operators.eof() {
                let (operator, offset) = operators.read_with_offset()?;
                places.push((offset as u32, func, format!("{operator:?}")));
            }
            func += 1;
        }
    }
    for inlining in [Inlining::No, Inlining::Yes] {
        let module = Module::new(&engine(|config| _ = config.compiler_inlining(inlining)), &binary)?;
        let map: Vec<_> = module.address_map().unwrap().collect();
        assert!(map.is_sorted_by(|a, b| a.0 < b.0), "offsets in the text ascend");
        let place = |pc: u32| places.iter().find(|place| place.0 == pc);
        let in_function = |index: u32| {
            let function = module.functions().find(|f| f.index.as_u32() == index).unwrap();
            let range = function.offset..function.offset + function.len;
            let entries = map.iter().filter(move |(offset, _)| range.contains(offset));
            entries.filter_map(|(_, pc)| *pc).collect::<BTreeSet<u32>>()
        };
        // Positions are those of instructions, or of the start of a body.
        for (_, pc) in &map {
            let Some(pc) = *pc else { continue };
            let starts_a_body = places.iter().any(|place| (place.0 - 4..=place.0).contains(&pc));
            assert!(place(pc).is_some() || starts_a_body, "{pc:#x}");
        }
        let main = in_function(2);
        let has = |what: &str, func: u32| {
            places.iter().any(|(pc, of, text)| text.starts_with(what) && *of == func && main.contains(pc))
        };
        assert!(has("I32Store {", 2) && has("I32Load {", 2) && has("Call { function_index: 0 }", 2));
        // Code of an inlined function belongs to that function.
        assert_eq!(has("I32DivU", 1), inlining == Inlining::Yes);
        assert_eq!(has("Call { function_index: 1 }", 2), inlining == Inlining::No);
    }
    let none = Module::new(&engine(|config| _ = config.generate_address_map(false)), &binary)?;
    assert!(none.address_map().is_none());
    Ok(())
}

#[test]
fn large_artifacts_show_their_code_as_well() -> Result<()> {
    // Large enough for being loaded on demand.
    let body =
        "(i32.store (local.get 0) (i32.mul (local.get 0) (i32.load offset=8 (local.get 0))))".repeat(500);
    let wat = format!("(module (memory 1) {})", format!("(func (param i32) {body})").repeat(200));
    let engine = engine(|config| _ = config.cranelift_opt_level(belljar::OptLevel::None));
    let module = Module::new(&engine, &wat)?;
    let file = tempfile::NamedTempFile::new()?;
    std::fs::write(file.path(), module.serialize()?)?;
    assert!(file.path().metadata()?.len() > 1 << 20);
    let loaded = Module::deserialize_file(&engine, file.path())?;
    assert_eq!(loaded.text().len(), module.text().len());
    assert!(loaded.text() == module.text());
    assert!(loaded.address_map().unwrap().eq(module.address_map().unwrap()));
    Ok(())
}

#[test]
fn what_instances_need_is_told() -> Result<()> {
    let engine = Engine::default();
    let required = |wat: &str| Ok::<_, belljar::Error>(Module::new(&engine, wat)?.resources_required());
    let none = required("(module (import \"\" \"m\" (memory 5)) (import \"\" \"t\" (table 5 funcref)))")?;
    assert_eq!((none.num_memories, none.max_initial_memory_size), (0, None));
    assert_eq!((none.num_tables, none.max_initial_table_size), (0, None));
    let some = required("(module (memory 2) (memory 0) (table 3 funcref) (table 4 externref))")?;
    assert_eq!((some.num_memories, some.max_initial_memory_size), (2, Some(2)));
    assert_eq!((some.num_tables, some.max_initial_table_size), (2, Some(4)));
    Ok(())
}

#[test]
fn exports_are_looked_up_once() -> Result<()> {
    let engine = Engine::default();
    let module = Module::new(&engine, WAT)?;
    let other = Module::new(&engine, WAT)?;
    assert!(Module::same(&module, &module.clone()) && !Module::same(&module, &other));
    assert!(module.get_export_index("missing").is_none());
    let (main, memory) =
        (module.get_export_index("main").unwrap(), module.get_export_index("memory").unwrap());
    let of_other = other.get_export_index("main").unwrap();
    let mut linker = Linker::new(&engine);
    let found = (memory.clone(), of_other.clone());
    linker.func_wrap("host", "f", move |mut caller: Caller<'_, ()>, x: i32| {
        let memory = caller.get_module_export(&found.0).and_then(Extern::into_memory);
        // The caller is an instance of one of the modules.
        assert_eq!(caller.get_module_export(&found.1).is_none(), memory.is_some());
        let memory = memory.or_else(|| caller.get_export("memory")?.into_memory()).unwrap();
        memory.write(&mut caller, 12, &x.to_le_bytes()).unwrap();
        memory.size(&caller) as i32
    })?;
    let mut store = Store::new(&engine, ());
    let (one, two) = (linker.instantiate(&mut store, &module)?, linker.instantiate(&mut store, &other)?);
    let call = |instance: Instance, store: &mut Store<()>, export| {
        let func = instance.get_module_export(&mut *store, export).and_then(Extern::into_func)?;
        Some(func.typed::<i32, i32>(&*store).unwrap().call(store, 10).unwrap())
    };
    assert_eq!(call(one, &mut store, &main), Some(1));
    assert_eq!(call(two, &mut store, &of_other), Some(1));
    assert_eq!((call(one, &mut store, &of_other), call(two, &mut store, &main)), (None, None));
    // A host function that no instance imported has no exports to look in.
    let host = linker.get(&mut store, "host", "f").and_then(Extern::into_func).unwrap();
    let mut results = [Val::I32(0)];
    let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        host.call(&mut store, &[Val::I32(1)], &mut results)
    }));
    assert!(ended.is_err(), "the host function found no memory");
    Ok(())
}

#[test]
fn a_builder_says_what_it_has_and_makes_artifacts() -> Result<()> {
    let engine = engine(|_| ());
    let mut builder = CodeBuilder::new(&engine);
    assert_eq!(builder.hint(), None);
    builder.wasm_binary_or_text(b"(module (func (export \"f\")))", None)?;
    assert_eq!(builder.hint(), Some(CodeHint::Module));
    let module = Module::deserialize(&engine, builder.compile_module_serialized()?)?;
    assert!(matches!(module.origin(), Origin::Artifact(_)));
    assert!(module.get_export("f").is_some());
    for other in [&b"\0asm\x0d\0\x01\0"[..], b"\0asm", b"(module)"] {
        assert_eq!(CodeBuilder::new(&engine).wasm_binary(other, None)?.hint(), None);
    }
    Ok(())
}

/// A function that the host adds to a store knows its caller once an instance imports it, as a linker's does.
#[test]
fn host_functions_of_a_store_see_who_imports_them() -> Result<()> {
    let engine = Engine::default();
    let mut store = Store::new(&engine, ());
    let size = Func::wrap(&mut store, |mut caller: Caller<'_, ()>| {
        let memory = caller.get_export("memory").and_then(Extern::into_memory);
        memory.map_or(-1, |memory| memory.size(&caller) as i32)
    });
    let instance = |store: &mut Store<()>, import: Func, pages: u32| {
        let wat = format!(
            r#"(module (import "" "size" (func $size (result i32))) (memory (export "memory") {pages})
                (table 1 funcref) (elem (i32.const 0) $size)
                (func (export "f") (result i32) (call $size))
                (func (export "g") (result i32) (call_indirect (result i32) (i32.const 0)))
                (export "size" (func $size)))"#
        );
        Instance::new(store, &Module::new(&engine, wat)?, &[import.into()])
    };
    let call = |store: &mut Store<()>, instance: Instance, name| {
        instance.get_typed_func::<(), i32>(&mut *store, name)?.call(store, ())
    };
    let (one, two) = (instance(&mut store, size, 1)?, instance(&mut store, size, 2)?);
    for name in ["f", "g", "size"] {
        assert_eq!((call(&mut store, one, name)?, call(&mut store, two, name)?), (1, 2), "{name}");
    }
    assert_eq!(size.typed::<(), i32>(&store)?.call(&mut store, ())?, -1);
    // Whoever imports it from an instance gets that instance's function.
    let exported = one.get_func(&mut store, "size").unwrap();
    let third = instance(&mut store, exported, 3)?;
    assert_eq!(call(&mut store, third, "f")?, 1);
    Ok(())
}
