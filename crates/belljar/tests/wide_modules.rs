//! Modules with more of everything than people write by hand: what they need of a store is derived from what they
//! contain.

use belljar::{
    ArtifactOptions, Config, Engine, Extern, Func, Instance, Linker, Module, SandboxTemplate, Store, Trap,
    Trust, UserKey,
};

/// A module that imports a function `imports` times, `m.f` of type `[] -> []`, and has a table with all of them and
/// then a function of its own, which counts its calls in a global. `call` calls through the table and returns the
/// count, `swap` swaps two elements.
struct Wide {
    imports: u32,
    /// Whether the table is exported, so that it lies with the tables that can grow.
    exported: bool,
}

impl Wide {
    fn binary(&self) -> Vec<u8> {
        let own = self.imports;
        let import = [1, b'm', 1, b'f', 0, 0];
        let exports: &[(&str, u8, u32)] = &[("call", 0, own + 1), ("swap", 0, own + 2), ("table", 1, 0)];
        let exports = &exports[..2 + usize::from(self.exported)];
        let export = |(name, kind, index): &(&str, u8, u32)| {
            [&[name.len() as u8], name.as_bytes(), &[*kind], &number(*index)].concat()
        };
        let bodies: [&[u8]; 3] = [
            // (global.set 0 (i32.add (global.get 0) (i32.const 1)))
            &[0, 0x23, 0, 0x41, 1, 0x6a, 0x24, 0, 0x0b],
            // (call_indirect (type 0) (local.get 0)) (global.get 0)
            &[0, 0x20, 0, 0x11, 0, 0, 0x23, 0, 0x0b],
            // (local $x funcref) (local.set 2 (table.get 0 (local.get 0)))
            // (table.set 0 (local.get 0) (table.get 0 (local.get 1))) (table.set 0 (local.get 1) (local.get 2))
            &[
                1, 1, 0x70, 0x20, 0, 0x25, 0, 0x21, 2, 0x20, 0, 0x20, 1, 0x25, 0, 0x26, 0, 0x20, 1, 0x20, 2,
                0x26, 0, 0x0b,
            ],
        ];
        let body = |code: &&[u8]| [&number(code.len() as u32), *code].concat();
        let segment = [&[0, 0x41, 0, 0x0b][..], &vector((0..own + 1).map(number))].concat();
        let sections: [(u8, Vec<u8>); 8] = [
            (1, vector([vec![0x60, 0, 0], vec![0x60, 1, 0x7f, 1, 0x7f], vec![0x60, 2, 0x7f, 0x7f, 0]])),
            (2, vector((0..own).map(|_| import.to_vec()))),
            (3, vector([vec![0], vec![1], vec![2]])),
            (4, vector([[&[0x70, 0][..], &number(own + 1)].concat()])),
            (6, vector([vec![0x7f, 1, 0x41, 0, 0x0b]])),
            (7, vector(exports.iter().map(export))),
            (9, vector([segment])),
            (10, vector(bodies.iter().map(body))),
        ];
        let mut binary = b"\0asm\x01\0\0\0".to_vec();
        for (id, contents) in sections {
            binary.push(id);
            binary.extend(number(contents.len() as u32));
            binary.extend(contents);
        }
        binary
    }
}

/// Encodes a number in LEB128.
fn number(mut n: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    while n >= 0x80 {
        bytes.push(n as u8 | 0x80);
        n >>= 7;
    }
    bytes.push(n as u8);
    bytes
}

fn vector(items: impl IntoIterator<Item = Vec<u8>, IntoIter: ExactSizeIterator>) -> Vec<u8> {
    let items = items.into_iter();
    let mut bytes = number(items.len() as u32);
    items.for_each(|item| bytes.extend(item));
    bytes
}

fn engine() -> Engine {
    let mut config = Config::new();
    config.trust(Trust { user: Some(UserKey::from_bytes([7; 32])), ..Trust::default() });
    Engine::new(&config).unwrap()
}

fn call(store: &mut Store<()>, instance: Instance, element: u32) -> Result<i32, Option<Trap>> {
    let call = instance.get_typed_func::<u32, i32>(&mut *store, "call").unwrap();
    call.call(store, element).map_err(|error| error.downcast_ref().copied())
}

fn swap(store: &mut Store<()>, instance: Instance, x: u32, y: u32) {
    instance.get_typed_func::<(u32, u32), ()>(&mut *store, "swap").unwrap().call(store, (x, y)).unwrap();
}

#[test]
fn as_many_functions_in_a_table_as_validation_accepts() {
    let engine = engine();
    // Each counts twice towards the limit of a million for the types of imports.
    let imports = 490_000;
    let module = Module::new(&engine, Wide { imports, exported: true }.binary()).unwrap();
    let mut store = Store::new(&engine, ());
    let func = Extern::from(Func::wrap(&mut store, || ()));
    // Twice: a store can hold more than one of them.
    for _ in 0..2 {
        let instance = Instance::new(&mut store, &module, &vec![func.clone(); imports as usize]).unwrap();
        assert_eq!(call(&mut store, instance, 0), Ok(0));
        assert_eq!(call(&mut store, instance, imports - 1), Ok(0));
        assert_eq!(call(&mut store, instance, imports), Ok(1));
        assert_eq!(call(&mut store, instance, imports + 1), Err(Some(Trap::UndefinedElement)));
        swap(&mut store, instance, 3, imports);
        assert_eq!((call(&mut store, instance, 3), call(&mut store, instance, imports)), (Ok(2), Ok(2)));
        let table = instance.get_table(&mut store, "table").unwrap();
        table.grow(&mut store, 1, belljar::Ref::Func(None)).unwrap();
        assert!(call(&mut store, instance, imports + 1).is_err());
        assert_eq!(call(&mut store, instance, 3), Ok(3));
    }
}

/// More than half of a region of 32 MiB holds, which was once the limit.
const MANY: u32 = 400_000;

#[test]
fn a_wide_module_goes_back() {
    let engine = engine();
    for exported in [false, true] {
        let module = Module::new(&engine, Wide { imports: MANY, exported }.binary()).unwrap();
        let mut linker = Linker::new(&engine);
        linker.func_wrap("m", "f", || ()).unwrap();
        let pre = linker.instantiate_pre(&module).unwrap();
        let template = SandboxTemplate::new(pre, || Ok(())).verify(true);
        let mut sandbox = template.build().unwrap();
        // Until the table is write-protected, and then elsewhere.
        for turn in 0..30 {
            let mut session = sandbox.session().unwrap();
            let (x, y) = if turn < 24 { (MANY, 5) } else { (MANY - 5, MANY - turn * 5000) };
            session.call::<(u32, u32), ()>("swap", (x, y)).unwrap();
            let called = session.call::<u32, i32>("call", if turn < 24 { 5 } else { MANY }).unwrap();
            assert_eq!(called, 1, "in turn {turn}");
        }
        assert_eq!(sandbox.call::<u32, i32>("call", 5).unwrap(), 0);
        // Another sandbox reuses the first one's instance.
        assert_eq!(template.build().unwrap().call::<u32, i32>("call", MANY).unwrap(), 1);
    }
}

#[test]
fn a_wide_module_goes_on_where_another_was() {
    let engines = [engine(), engine()];
    let module = Module::new(&engines[0], Wide { imports: MANY, exported: true }.binary()).unwrap();
    let linker = |engine: &Engine| {
        let mut linker = Linker::new(engine);
        linker.func_wrap("m", "f", || ()).unwrap();
        linker
    };
    let mut store = Store::new(&engines[0], ());
    let instance = linker(&engines[0]).instantiate(&mut store, &module).unwrap();
    swap(&mut store, instance, 9, MANY);
    assert_eq!(call(&mut store, instance, 9), Ok(1));
    let snapshot = store.snapshot(b"", ArtifactOptions::new()).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("wide.elf");
    std::fs::write(&path, &snapshot).unwrap();
    let module = Module::deserialize_file(&engines[1], &path).unwrap();
    let mut store = Store::new(&engines[1], ());
    let instance = linker(&engines[1]).instantiate(&mut store, &module).unwrap();
    assert_eq!(call(&mut store, instance, 9), Ok(2));
    assert_eq!(call(&mut store, instance, MANY), Ok(2));
    assert_eq!(call(&mut store, instance, MANY - 1), Ok(2));
}

#[test]
fn many_large_tables_of_constant_size() {
    let tables = "(table 1000000 funcref)".repeat(8);
    let wat = format!(
        "(module {tables} (func $f) (elem declare func $f)
            (func (export \"f\") (param i32) (result i32)
                (table.set 7 (local.get 0) (ref.func $f))
                (i32.add (ref.is_null (table.get 0 (local.get 0))) (ref.is_null (table.get 7 (local.get 0))))))"
    );
    let engine = engine();
    let module = Module::new(&engine, wat).unwrap();
    let mut store = Store::new(&engine, ());
    let instance = Instance::new(&mut store, &module, &[]).unwrap();
    let f = instance.get_typed_func::<i32, i32>(&mut store, "f").unwrap();
    assert_eq!(f.call(&mut store, 999_999).unwrap(), 1);
    assert_eq!(f.call(&mut store, 1_000_000).unwrap_err().downcast_ref(), Some(&Trap::TableOutOfBounds));
}
