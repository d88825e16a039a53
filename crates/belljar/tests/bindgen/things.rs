//! Resources of both sides, errors of the host, and functions of the world.

use crate::guests;
use belljar::component::{Component, HasData, HasSelf, Linker, Resource, ResourceAny, ResourceTable};
use belljar::{Engine, Result, Store, bail};
use test::things::store::{ErrorCode, Problem};

/// The value of a counter. It is public because the generated code names it again.
#[expect(unreachable_pub, reason = "a private type cannot be named again")]
pub struct Counter(u32);

/// What functions of the host return where WIT says `error-code`.
#[derive(Debug)]
enum Failed {
    Code(ErrorCode),
    /// It ends the guest's call.
    Trap(belljar::Error),
}

belljar::component::bindgen!({
    path: "tests/bindgen/wit/things",
    imports: {
        "test:things/store.[static]counter.end": trappable,
        "test:things/store.open": trappable,
        "test:things/store.check": trappable,
        "log": trappable,
    },
    trappable_error_type: { "test:things/store.error-code" => Failed },
    with: { "test:things/store.counter": Counter },
});

#[derive(Default)]
struct State {
    table: ResourceTable,
    log: Vec<String>,
    dropped: u32,
}

impl test::things::store::Host for State {
    fn open(&mut self, name: String) -> Result<Resource<Counter>, Failed> {
        match &*name {
            "seven" => self.table.push(Counter(7)).map_err(|error| Failed::Trap(error.into())),
            "trap" => Err(Failed::Trap(belljar::format_err!("the host gives up"))),
            _ => Err(Failed::Code(ErrorCode::NotFound)),
        }
    }

    fn check(&mut self, value: u32) -> Result<Result<u32, Problem>> {
        match value {
            0 => bail!("zero"),
            1 => Ok(Err(Problem::Code(ErrorCode::Busy))),
            2 => Ok(Err(Problem::Other("two".into()))),
            other => Ok(Ok(other)),
        }
    }

    fn convert_error_code(&mut self, err: Failed) -> Result<ErrorCode> {
        match err {
            Failed::Code(code) => Ok(code),
            Failed::Trap(error) => Err(error),
        }
    }
}

impl test::things::store::HostCounter for State {
    fn new(&mut self, start: u32) -> Resource<Counter> {
        self.table.push(Counter(start)).unwrap()
    }

    fn next(&mut self, self_: Resource<Counter>) -> u32 {
        let counter = self.table.get_mut(&self_).unwrap();
        counter.0 += 1;
        counter.0
    }

    fn sum(&mut self, a: Resource<Counter>, b: Resource<Counter>) -> u32 {
        self.table.get(&a).unwrap().0 + self.table.get(&b).unwrap().0
    }

    fn end(&mut self, counter: Resource<Counter>) -> Result<u32> {
        Ok(self.table.delete(counter)?.0)
    }

    fn drop(&mut self, rep: Resource<Counter>) -> Result<()> {
        self.dropped += 1;
        self.table.delete(rep)?;
        Ok(())
    }
}

impl ThingsImports for State {
    fn log(&mut self, text: String) -> Result<()> {
        if text == "refuse" {
            bail!("the host does not log this");
        }
        self.log.push(text);
        Ok(())
    }
}

fn component(engine: &Engine) -> Component {
    let imports = r#"
        (import "test:things/store" "[constructor]counter" (func $counter (param i32) (result i32)))
        (import "test:things/store" "[method]counter.next" (func $next (param i32) (result i32)))
        (import "test:things/store" "[static]counter.sum" (func $sum (param i32 i32) (result i32)))
        (import "test:things/store" "[static]counter.end" (func $end (param i32) (result i32)))
        (import "test:things/store" "[resource-drop]counter" (func $drop_counter (param i32)))
        (import "test:things/store" "open" (func $open (param i32 i32 i32)))
        (import "test:things/store" "check" (func $check (param i32 i32)))
        (import "$root" "log" (func $log (param i32 i32)))
        (import "[export]test:things/shop" "[resource-new]item" (func $new (param i32) (result i32)))
        (import "[export]test:things/shop" "[resource-rep]item" (func $rep (param i32) (result i32)))
        (import "[export]test:things/shop" "[resource-drop]item" (func $drop (param i32)))"#;
    let text = r#"
        (data (i32.const 100) "itemgonecodeother")
        ;; What stands for an item is its price.
        (func (export "test:things/shop#[constructor]item") (param i32) (result i32) (call $new (local.get 0)))
        (func (export "test:things/shop#[method]item.price") (param i32) (result i32) (local.get 0))
        (func (export "test:things/shop#[method]item.is-cheaper") (param i32 i32) (result i32)
            (i32.lt_u (local.get 0) (local.get 1)))
        (func (export "test:things/shop#[static]item.cheapest") (param $list i32) (param $count i32) (result i32)
            (local $best i32) (local $item i32)
            (i64.store (i32.const 32) (i64.const 0))
            (loop $next
                (if (local.get $count) (then
                    (local.set $item (i32.load (local.get $list)))
                    (local.set $list (i32.add (local.get $list) (i32.const 4)))
                    (local.set $count (i32.sub (local.get $count) (i32.const 1)))
                    (if (i32.eqz (local.get $best))
                        (then (local.set $best (local.get $item)))
                        (else
                            (if (i32.lt_u (call $rep (local.get $item)) (call $rep (local.get $best)))
                                (then (call $drop (local.get $best)) (local.set $best (local.get $item)))
                                (else (call $drop (local.get $item))))))
                    (br $next))))
            (i32.store (i32.const 32) (i32.ne (local.get $best) (i32.const 0)))
            (i32.store (i32.const 36) (local.get $best))
            (i32.const 32))
        (func (export "test:things/shop#describe") (param i32) (result i32)
            (i32.store (i32.const 32) (i32.const 100)) (i32.store (i32.const 36) (i32.const 4)) (i32.const 32))
        (func (export "test:things/shop#[dtor]item") (param i32) (call $log (i32.const 104) (i32.const 4)))
        (func (export "count") (param $start i32) (result i32) (local $a i32) (local $b i32)
            (local.set $a (call $counter (local.get $start)))
            (local.set $b (call $counter (i32.const 1000)))
            (drop (call $next (local.get $a)))
            (drop (call $next (local.get $a)))
            (call $sum (local.get $a) (local.get $b))
            (call $drop_counter (local.get $b))
            (i32.add (call $end (local.get $a)))) 
        ;; The kind of error as a digit, or `=` and what the counter says next.
        (func (export "open") (param i32 i32) (result i32)
            (call $log (local.get 0) (local.get 1))
            (call $open (local.get 0) (local.get 1) (i32.const 16))
            (if (i32.load8_u (i32.const 16))
                (then (i32.store8 (i32.const 48) (i32.add (i32.const 48) (i32.load8_u (i32.const 20)))))
                (else
                    (i32.store8 (i32.const 48) (i32.add (i32.const 48) (call $next (i32.load (i32.const 20)))))
                    (call $drop_counter (i32.load (i32.const 20)))))
            (i32.store (i32.const 32) (i32.const 48)) (i32.store (i32.const 36) (i32.const 1)) (i32.const 32))
        (func (export "check") (param i32) (result i32)
            (call $check (local.get 0) (i32.const 16))
            ;; result<u32, problem>: the number at 4; of the problem, the case at 4 and the payload at 8.
            (i32.store (i32.const 32) (i32.load8_u (i32.const 16)))
            (if (i32.load (i32.const 32))
                (then
                    (if (i32.load8_u (i32.const 20))
                        (then
                            (i32.store (i32.const 36) (i32.load (i32.const 24)))
                            (i32.store (i32.const 40) (i32.load (i32.const 28))))
                        (else (i32.store (i32.const 36) (i32.const 108)) (i32.store (i32.const 40) (i32.const 4)))))
                (else (i32.store (i32.const 36) (i32.load (i32.const 20)))))
            (i32.const 32))"#;
    guests::component(engine, "things", "things", imports, text)
}

fn linker(engine: &Engine) -> Linker<State> {
    let mut linker = Linker::new(engine);
    Things::add_to_linker::<_, HasSelf<_>>(&mut linker, |state| state).unwrap();
    linker
}

fn things() -> (Store<State>, Things) {
    let engine = Engine::default();
    let mut store = Store::new(&engine, State::default());
    let things = Things::instantiate(&mut store, &component(&engine), &linker(&engine)).unwrap();
    (store, things)
}

#[test]
fn guests_use_resources_of_the_host() {
    let (mut store, things) = things();
    assert_eq!(things.call_count(&mut store, 5).unwrap(), 7 + 1000 + 7);
    // One ended by `end`, the other was dropped.
    assert_eq!(store.data().dropped, 1);
    assert!(store.data().table.is_empty());
}

#[test]
fn the_host_uses_resources_of_guests() {
    let (mut store, things) = things();
    let shop = things.test_things_shop();
    let item = shop.item();
    let [a, b, c] = [30, 10, 20].map(|price| item.call_constructor(&mut store, price).unwrap());
    assert_eq!(item.call_price(&mut store, a).unwrap(), 30);
    assert!(item.call_is_cheaper(&mut store, b, a).unwrap());
    assert!(!item.call_is_cheaper(&mut store, a, a).unwrap());
    assert_eq!(shop.call_describe(&mut store, c).unwrap(), "item");
    // Two are dropped by the guest, and the third comes back by another handle.
    let best: ResourceAny = item.call_cheapest(&mut store, &[a, b, c]).unwrap().unwrap();
    assert_eq!(store.data().log, ["gone", "gone"]);
    assert_eq!(item.call_price(&mut store, best).unwrap(), 10);
    let error = item.call_price(&mut store, b).unwrap_err();
    assert!(error.to_string().contains("passed on or dropped before"), "{error}");
}

#[test]
fn handles_that_were_lent_are_given_back() {
    let (mut store, things) = things();
    let item = things.test_things_shop().item();
    let one = item.call_constructor(&mut store, 1).unwrap();
    for _ in 0..3 {
        assert_eq!(item.call_price(&mut store, one).unwrap(), 1);
    }
    one.resource_drop(&mut store).unwrap();
    assert_eq!(store.data().log, ["gone"]);
    assert_eq!(item.call_cheapest(&mut store, &[]).unwrap(), None);
    // Lent and given away in one call.
    let two = item.call_constructor(&mut store, 2).unwrap();
    let error = item.call_cheapest(&mut store, &[two, two]).unwrap_err();
    assert!(error.to_string().contains("passed on or dropped before"), "{error}");
}

#[test]
fn errors_of_the_host_are_values_or_end_the_call() {
    let (mut store, things) = things();
    assert_eq!(things.call_open(&mut store, "seven").unwrap(), "8");
    assert_eq!(things.call_open(&mut store, "other").unwrap(), "0");
    assert_eq!(store.data().log, ["seven", "other"]);
    assert_eq!(things.call_check(&mut store, 1).unwrap(), Err("code".into()));
    assert_eq!(things.call_check(&mut store, 2).unwrap(), Err("two".into()));
    assert_eq!(things.call_check(&mut store, 3).unwrap(), Ok(3));
    let error = things.call_open(&mut store, "trap").unwrap_err();
    assert_eq!(error.to_string(), "the host gives up");

    for (name, message) in [("refuse", "the host does not log this"), ("trap", "the host gives up")] {
        let (mut store, things) = self::things();
        let error = things.call_open(&mut store, name).unwrap_err();
        assert_eq!(error.to_string(), message);
    }
    let (mut store, things) = self::things();
    assert_eq!(things.call_check(&mut store, 0).unwrap_err().to_string(), "zero");
}

#[test]
fn errors_of_wit_are_errors_of_rust() {
    fn error(error: impl std::error::Error) -> (String, String) {
        (error.to_string(), format!("{error:?}"))
    }
    assert_eq!(ErrorCode::NotFound.name(), "not-found");
    assert_eq!(ErrorCode::NotFound.message(), "There is no such counter.");
    let (shown, debug) = error(ErrorCode::NotFound);
    assert_eq!(shown, "not-found (error 0)");
    assert_eq!(debug, r#"ErrorCode { code: 0, name: "not-found", message: "There is no such counter." }"#);
    let (shown, _) = error(Problem::Other("x".into()));
    assert_eq!(shown, r#"Problem::Other("x")"#);
}

/// What a library needs of the store's data.
struct Part<'a>(&'a mut State);

struct HasPart;

impl HasData for HasPart {
    type Data<'a> = Part<'a>;
}

impl ThingsImports for Part<'_> {
    fn log(&mut self, text: String) -> Result<()> {
        self.0.log.push(format!("part: {text}"));
        Ok(())
    }
}

#[test]
fn a_part_of_the_data_can_implement_imports() {
    let engine = Engine::default();
    let mut linker: Linker<(u8, State)> = Linker::new(&engine);
    Things::add_to_linker_imports::<_, HasPart>(&mut linker, |(_, state)| Part(state)).unwrap();
    test::things::store::add_to_linker::<_, HasSelf<_>>(&mut linker, |(_, state): &mut (u8, State)| state)
        .unwrap();
    let mut store = Store::new(&engine, (0, State::default()));
    let instance = linker.instantiate(&mut store, &component(&engine)).unwrap();
    let things = Things::new(&mut store, &instance).unwrap();
    things.call_open(&mut store, "x").unwrap();
    assert_eq!(store.data().1.log, ["part: x"]);
}

#[test]
fn components_of_other_worlds_are_refused() {
    let engine = Engine::default();
    let pre = |text: &str| {
        let component = Component::new(&engine, text).unwrap();
        Linker::<State>::new(&engine).instantiate_pre(&component).unwrap()
    };
    let error = ThingsPre::new(pre("(component)")).err().unwrap();
    assert_eq!(error.to_string(), "the component does not export the function `count`");
    let shop = |text| exports::test::things::shop::GuestIndices::new(&pre(text)).err().unwrap().to_string();
    assert_eq!(shop("(component)"), "the component does not export an instance `test:things/shop`");
    assert_eq!(
        shop(r#"(component (instance $i) (export "test:things/shop" (instance $i)))"#),
        "the component's instance `test:things/shop` does not export the function `[constructor]item`"
    );
    // The right names, and a wrong type.
    mod counting {
        belljar::component::bindgen!({
            inline: "package test:counting; world counting { export count: func(start: string) -> u32; }",
        });
    }
    let mut store = Store::new(&engine, State::default());
    let instance = linker(&engine).instantiate(&mut store, &component(&engine)).unwrap();
    let error = counting::Counting::new(&mut store, &instance).err().unwrap();
    assert_eq!(
        format!("{error:#}"),
        "the exported function count: type mismatch: the function has type func(start: u32) -> u32: parameter start: \
         expected `string`, found u32"
    );
}
