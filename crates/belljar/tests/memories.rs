//! Memories and tables other than plain 32-bit ones, as the host creates and sees them.

use belljar::{
    Config, Engine, Extern, Instance, Memory, MemoryType, Module, Ref, RefType, Result, Store, Table,
    TableType, Trap,
};

fn engine(reserve: bool) -> Engine {
    let mut config = Config::new();
    config.wasm_memory64(true).wasm_multi_memory(true).wasm_custom_page_sizes(true);
    Engine::new(config.memory_reservation(if reserve { 4 << 30 } else { 0 })).unwrap()
}

fn instance(store: &mut Store<()>, wat: &str, imports: &[Extern]) -> Result<Instance> {
    let module = Module::new(store.engine(), wat)?;
    Instance::new(store, &module, imports)
}

#[test]
fn a_memory_counts_in_its_own_pages() -> Result<()> {
    let mut store = Store::new(&engine(true), ());
    let bytes = MemoryType::builder().min(3).max(Some(5000)).page_size_log2(0).build()?;
    let memory = Memory::new(&mut store, bytes)?;
    assert_eq!((memory.page_size(&store), memory.page_size_log2(&store)), (1, 0));
    assert_eq!((memory.size(&store), memory.data_size(&store)), (3, 3));
    assert_eq!(memory.grow(&mut store, 4097)?, 3);
    assert_eq!((memory.size(&store), memory.data(&store).len()), (4100, 4100));
    assert!(memory.write(&mut store, 4099, b"ab").is_err());
    let error = memory.grow(&mut store, 901).unwrap_err().to_string();
    assert_eq!(error, "could not grow the memory by 901 pages: it has 4100 and may have 5000");

    let wide = Memory::new(&mut store, MemoryType::new64(1, None))?;
    assert_eq!((wide.page_size(&store), wide.size(&store)), (65536, 1));
    assert_eq!(wide.grow(&mut store, 0x1_0000)?, 1);
    assert_eq!(wide.data_size(&store), (4 << 30) + 65536);
    wide.write(&mut store, 4 << 30, b"far")?;
    let get = instance(
        &mut store,
        r#"(module (import "" "" (memory i64 1))
            (func (export "get") (param i64) (result i32) (i32.load8_u (local.get 0))))"#,
        &[wide.into()],
    )?;
    let get = get.get_typed_func::<i64, i32>(&mut store, "get")?;
    assert_eq!(get.call(&mut store, (4 << 30) + 2)?, i32::from(b'r'));
    let error = get.call(&mut store, (4 << 30) + 65536).unwrap_err();
    assert_eq!(error.downcast_ref::<Trap>(), Some(&Trap::MemoryOutOfBounds));
    assert!(Memory::new(&mut store, MemoryType::new64(1 << 48, None)).is_err());
    Ok(())
}

#[test]
fn a_table_with_64_bit_indices() -> Result<()> {
    let mut store = Store::new(&engine(true), ());
    let table = Table::new(&mut store, TableType::new64(RefType::FUNCREF, 2, None), Ref::Func(None))?;
    assert_eq!(table.grow(&mut store, 3, Ref::Func(None))?, 2);
    assert_eq!(table.size(&store), 5);
    assert!(table.get(&mut store, 4).is_some());
    assert!(table.get(&mut store, 1 << 32).is_none());
    assert!(table.set(&mut store, 1 << 32, Ref::Func(None)).is_err());
    assert!(table.grow(&mut store, u64::MAX, Ref::Func(None)).is_err());
    let wat =
        r#"(module (import "" "" (table i64 5 funcref)) (func (export "size") (result i64) (table.size 0)))"#;
    let size = instance(&mut store, wat, &[table.into()])?;
    assert_eq!(size.get_typed_func::<(), i64>(&mut store, "size")?.call(&mut store, ())?, 5);
    Ok(())
}

/// Every kind of memory that is not fully reserved moves when it outgrows its address space, with its image.
#[test]
fn a_memory_that_moves_keeps_its_contents() -> Result<()> {
    let image: String = (0..40_000).map(|i| char::from(b'a' + (i % 26) as u8)).collect();
    for (ty, suffix, unit) in [("", "i32", 1), ("i64", "i64", 1), ("", "i32", 65536), ("i64", "i64", 65536)] {
        let mut store = Store::new(&engine(false), ());
        let pages = if unit == 1 { "" } else { "(pagesize 1)" };
        let wat = format!(
            r#"(module (memory (export "m") {ty} {} {pages})
                (data ({suffix}.const 70000) "{image}")
                (func (export "grow") (param {suffix}) (result {suffix}) (memory.grow (local.get 0)))
                (func (export "get") (param {suffix}) (result i32) (i32.load8_u (local.get 0)))
                (func (export "set") (param {suffix}) (i32.store8 (local.get 0) (i32.const 33))))"#,
            3 * unit
        );
        let instance = instance(&mut store, &wat, &[])?;
        let memory = instance.get_memory(&mut store, "m").unwrap();
        memory.write(&mut store, 5, b"!")?;
        memory.write(&mut store, 80_000, b"!")?;
        memory.write(&mut store, 190_000, b"!")?;
        for round in 0..200 {
            assert_eq!(memory.grow(&mut store, unit)?, (3 + round) * unit);
        }
        let data = memory.data(&store);
        assert_eq!(data.len(), 203 << 16);
        assert_eq!((data[5], data[80_000], data[190_000]), (b'!', b'!', b'!'));
        assert_eq!(&data[70_000..80_000], &image.as_bytes()[..10_000]);
        assert_eq!(&data[80_001..110_000], &image.as_bytes()[10_001..]);
        assert!(data[190_001..].iter().all(|b| *b == 0));
    }
    Ok(())
}

/// A module with several kinds of memories is compiled again if one of them needs checks.
#[test]
fn checks_are_decided_for_each_memory() -> Result<()> {
    let wat = r#"(module
        (import "" "plain" (memory $plain 1))
        (memory $wide i64 1)
        (func (export "get") (param i32) (result i32)
            (i64.store8 $wide (i64.const 3) (i64.load8_u $plain (local.get 0)))
            (i32.load8_u $wide (i64.const 3))))"#;
    for reserve in [true, false] {
        let mut store = Store::new(&engine(reserve), ());
        let plain = Memory::new(&mut store, MemoryType::new(1, None))?;
        plain.write(&mut store, 65535, b"x")?;
        let get =
            instance(&mut store, wat, &[plain.into()])?.get_typed_func::<i32, i32>(&mut store, "get")?;
        assert_eq!(get.call(&mut store, 65535)?, i32::from(b'x'));
        assert!(get.call(&mut store, 65536).is_err());
        assert!(get.call(&mut store, -1).is_err());
    }
    Ok(())
}
