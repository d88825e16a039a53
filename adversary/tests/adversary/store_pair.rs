//! Two stores with the same contents, contexts that alternate between them, and the invariants of both
//! stores after any attack.

use belljar::*;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Each store's functions return a number of their own, which reveals a reference that came from the other store.
pub(crate) const WAT: &str = r#"(module
    (type $node (struct (field (mut i32)) (field (mut (ref null $node)))))
    (type $numbers (array (mut i32)))
    (import "host" "own" (func $own (result i32)))
    (tag $tag (export "tag") (param i32))
    (memory (export "memory") 2 10)
    (table $table (export "table") 10 100 funcref)
    (global $global (export "global") (mut i32) (i32.const 7))
    (global $list (export "list") (mut (ref null $node)) (ref.null $node))
    (global $top (mut i32) (i32.const 70000))
    (func $f0 (export "f0") (result i32) (call $own))
    (func $f1 (export "f1") (result i32) (i32.add (call $own) (i32.const 1)))
    (elem (table $table) (i32.const 0) func $f0 $f1)
    (func (export "malloc") (param i32) (result i32)
        (global.get $top) (global.set $top (i32.add (global.get $top) (i32.and (i32.add (local.get 0) (i32.const 15)) (i32.const -16)))))
    (func (export "free") (param i32))
    (func (export "node") (param i32) (result (ref $node)) (struct.new $node (local.get 0) (global.get $list)))
    (func (export "numbers") (result (ref $numbers)) (array.new_fixed $numbers 3 (i32.const 1) (i32.const 2) (i32.const 3)))
    (func (export "throw") (throw $tag (i32.const 42)))
    (func (export "identity") (param externref) (result externref) (local.get 0))
    ;; The sum of what all functions in the table return, each less the store's own number: 0 or 1.
    (func (export "check") (result i32) (local $i i32) (local $wrong i32)
        (loop $next
            (if (i32.eqz (ref.is_null (table.get $table (local.get $i)))) (then
                (if (i32.gt_u (i32.sub (call_indirect (result i32) (local.get $i)) (call $own)) (i32.const 1)) (then
                    (local.set $wrong (i32.add (local.get $wrong) (i32.const 1)))))))
            (local.set $i (i32.add (local.get $i) (i32.const 1)))
            (br_if $next (i32.lt_u (local.get $i) (table.size $table))))
        (local.get $wrong))
    ;; A list of 1,000 nodes is made, and summed up.
    (func (export "exercise") (result i32) (local $i i32) (local $sum i32) (local $node (ref null $node))
        (global.set $list (ref.null $node))
        (loop $more
            (global.set $list (struct.new $node (local.get $i) (global.get $list)))
            (local.set $i (i32.add (local.get $i) (i32.const 1)))
            (br_if $more (i32.lt_u (local.get $i) (i32.const 1000))))
        (local.set $node (global.get $list))
        (loop $next
            (local.set $sum (i32.add (local.get $sum) (struct.get $node 0 (local.get $node))))
            (local.set $node (struct.get $node 1 (local.get $node)))
            (br_if $next (i32.eqz (ref.is_null (local.get $node)))))
        (local.get $sum)))"#;

pub(crate) type Data = i32;

/// The handles of one store.
pub(crate) struct Things {
    pub instance: Instance,
    pub export: ModuleExport,
    pub func: Func,
    pub typed: TypedFunc<(), i32>,
    pub table: Table,
    pub memory: Memory,
    pub global: Global,
    pub tag: Tag,
    pub node: OwnedRooted<AnyRef>,
    pub numbers: OwnedRooted<AnyRef>,
    pub value: OwnedRooted<ExternRef>,
    pub exception: OwnedRooted<ExnRef>,
    pub thrown: ThrownException,
    pub alloc: GuestAlloc,
    pub buffer: Cell<Option<GuestBuf>>,
    pub dump: WasmCoreDump,
}

pub(crate) struct StorePair {
    pub engine: Engine,
    pub other_engine: Engine,
    pub module: Module,
    pub linker: Linker<Data>,
    pub a: Store<Data>,
    pub b: Store<Data>,
    pub of_a: Things,
    pub of_b: Things,
}

pub(crate) fn engine() -> Engine {
    let mut config = Config::new();
    config.host_write_check(true).coredump_on_trap(true);
    config.trust(Trust { user: Some(UserKey::from_bytes([9; 32])), ..Trust::default() });
    Engine::new(&config).unwrap()
}

pub(crate) fn linker(engine: &Engine) -> Linker<Data> {
    let mut linker = Linker::new(engine);
    linker.func_wrap("host", "own", |caller: Caller<'_, Data>| *caller.data()).unwrap();
    linker
}

fn things(store: &mut Store<Data>, linker: &Linker<Data>, module: &Module) -> Things {
    let instance = linker.instantiate(&mut *store, module).unwrap();
    let make = |store: &mut Store<Data>, name: &str, arguments: &[Val]| {
        let mut made = [Val::I32(0)];
        instance.get_func(&mut *store, name).unwrap().call(store, arguments, &mut made).unwrap();
        made[0].unwrap_anyref().copied().unwrap()
    };
    let node = make(store, "node", &[Val::I32(5)]).to_owned_rooted(&mut *store).unwrap();
    let numbers = make(store, "numbers", &[]).to_owned_rooted(&mut *store).unwrap();
    let throw = instance.get_typed_func::<(), ()>(&mut *store, "throw").unwrap();
    let error = throw.call(&mut *store, ()).unwrap_err();
    let thrown = error.downcast_ref::<ThrownException>().unwrap().clone();
    let exception = thrown.exception(&mut *store).unwrap().to_owned_rooted(&mut *store).unwrap();
    let alloc = GuestAlloc::find(&mut *store, instance).unwrap();
    let buffer = Cell::new(Some(alloc.alloc(&mut *store, 64, 8).unwrap()));
    let value = ExternRef::new(&mut *store, "a host value").unwrap().to_owned_rooted(&mut *store).unwrap();
    let func = instance.get_func(&mut *store, "f0").unwrap();
    let dump = WasmCoreDump::of(&*store);
    Things {
        instance,
        export: module.get_export_index("table").unwrap(),
        func,
        typed: func.typed(&*store).unwrap(),
        table: instance.get_table(&mut *store, "table").unwrap(),
        memory: instance.get_memory(&mut *store, "memory").unwrap(),
        global: instance.get_global(&mut *store, "global").unwrap(),
        tag: instance.get_tag(&mut *store, "tag").unwrap(),
        node,
        numbers,
        value,
        exception,
        thrown,
        alloc,
        buffer,
        dump,
    }
}

impl Default for StorePair {
    fn default() -> Self {
        Self::new(&engine())
    }
}

impl StorePair {
    /// Creates two stores of an engine.
    pub(crate) fn new(engine: &Engine) -> Self {
        let module = Module::new(engine, WAT).unwrap();
        let linker = linker(engine);
        let (mut a, mut b) = (Store::new(engine, 1000), Store::new(engine, 2000));
        let (of_a, of_b) = (things(&mut a, &linker, &module), things(&mut b, &linker, &module));
        let other_engine = self::engine();
        Self { engine: engine.clone(), other_engine, module, linker, a, b, of_a, of_b }
    }

    /// Returns the state of store B that the host sees.
    fn state_of_b(&mut self) -> (Vec<bool>, u64, Vec<u8>, i32) {
        let (b, of_b) = (&mut self.b, &self.of_b);
        let size = of_b.table.size(&*b);
        let table = (0..size).map(|i| of_b.table.get(&mut *b, i).is_some_and(|r| !r.is_null())).collect();
        let pages = of_b.memory.size(&*b);
        let bytes = of_b.memory.data(&*b).to_vec();
        (table, pages, bytes, of_b.global.get(b).unwrap_i32())
    }

    /// Runs an attack with handles of store A and contexts that return either store. Store B must not change.
    pub(crate) fn with_contexts(&mut self, name: &str, attack: fn(&Things, &mut Shifty<'_>)) {
        let before = self.state_of_b();
        for (number, script) in SCRIPTS.iter().enumerate() {
            let mut context = Shifty { a: &mut self.a, b: &mut self.b, script: *script, asked: Cell::new(0) };
            let tried = catch_unwind(AssertUnwindSafe(|| attack(&self.of_a, &mut context)));
            if let Err(panic) = tried {
                assert_is_a_message(name, &*panic);
            }
            let after = self.state_of_b();
            assert!(before == after, "{name}, script {number}: store B has changed");
            self.check(name);
        }
    }

    /// Checks that both stores work, and contain nothing of each other.
    pub(crate) fn check(&mut self, name: &str) {
        for (store, things) in [(&mut self.a, &self.of_a), (&mut self.b, &self.of_b)] {
            check_store(name, store, things.instance);
        }
    }
}

pub(crate) fn check_store(name: &str, store: &mut Store<Data>, instance: Instance) {
    let mut call = |export: &str| {
        let func = instance.get_typed_func::<(), i32>(&mut *store, export).unwrap();
        func.call(&mut *store, ()).unwrap_or_else(|error| panic!("{name}: `{export}`: {error:?}"))
    };
    assert_eq!(call("check"), 0, "{name}: something of another store is in the table");
    assert_eq!(call("exercise"), 499_500, "{name}");
    store.gc(None).unwrap_or_else(|error| panic!("{name}: {error:?}"));
    let sum = instance.get_typed_func::<(), i32>(&mut *store, "exercise").unwrap().call(store, ());
    assert_eq!(sum.unwrap(), 499_500, "{name}");
}

/// Checks that a panic of the library says that a handle was used wrongly. It must not be a message of Rust about an index or an
/// unwrapped `None`.
pub(crate) fn assert_is_a_message(name: &str, panic: &(dyn std::any::Any + Send)) {
    let text = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
    let text = text.unwrap_or("a panic without a message");
    let known = [
        "with a store that it does not belong to",
        "a context of the adversary's",
        "the adversary's",
        "cannot create a host function",
        "the store has no such instance",
    ];
    assert!(known.iter().any(|known| text.contains(known)), "{name} panicked: {text}");
}

/// What a context does when it is requested.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Lends {
    A,
    B,
    /// Panics.
    Nothing,
}

/// What a context does at its nth request, to be read or to be written.
type Script = fn(u32, bool) -> Lends;

const SCRIPTS: &[Script] = &[
    |nth, _| if nth % 2 == 0 { Lends::A } else { Lends::B },
    |nth, _| if nth % 2 == 0 { Lends::B } else { Lends::A },
    |_, to_write| if to_write { Lends::B } else { Lends::A },
    |_, to_write| if to_write { Lends::A } else { Lends::B },
    |nth, _| if nth == 0 { Lends::A } else { Lends::Nothing },
    |_, _| Lends::Nothing,
    |_, _| Lends::B,
    |_, _| Lends::A,
];

/// A context that returns one store or the other.
pub(crate) struct Shifty<'a> {
    a: &'a mut Store<Data>,
    b: &'a mut Store<Data>,
    script: Script,
    asked: Cell<u32>,
}

impl Shifty<'_> {
    fn next(&self, to_write: bool) -> Lends {
        let nth = self.asked.replace(self.asked.get() + 1);
        (self.script)(nth, to_write)
    }

    /// Returns the store that the handles belong to, for an attack's preparation.
    pub(crate) fn honest(&mut self) -> &mut Store<Data> {
        self.a
    }
}

impl AsContext for Shifty<'_> {
    type Data = Data;
    fn as_context(&self) -> StoreContext<'_, Data> {
        match self.next(false) {
            Lends::A => self.a.as_context(),
            Lends::B => self.b.as_context(),
            Lends::Nothing => panic!("a context of the adversary's"),
        }
    }
}

impl AsContextMut for Shifty<'_> {
    fn as_context_mut(&mut self) -> StoreContextMut<'_, Data> {
        match self.next(true) {
            Lends::A => self.a.as_context_mut(),
            Lends::B => self.b.as_context_mut(),
            Lends::Nothing => panic!("a context of the adversary's"),
        }
    }
}
