//! Values of all types: from the host to a guest, from the guest to the host, and both ways back.

use crate::guests::forwarding;
use belljar::component::{HasSelf, Linker};
use belljar::{Config, Engine, Store};
use std::collections::HashMap;

mod owning {
    belljar::component::bindgen!({
        path: "tests/bindgen/wit/echo",
        additional_derives: [PartialEq, Clone],
    });
}

/// Parameters borrow, and the imports are those of another world.
mod borrowing {
    belljar::component::bindgen!({
        path: "tests/bindgen/wit/echo",
        ownership: Borrowing { duplicate_if_necessary: true },
        with: { "test:echo/kinds": super::owning::test::echo::kinds },
    });
}

/// One type for each of WIT, which owns; parameters are references to it.
mod sharing {
    belljar::component::bindgen!({
        path: "tests/bindgen/wit/echo",
        ownership: Borrowing { duplicate_if_necessary: false },
        with: { "test:echo": super::owning::test::echo },
    });
}

use owning::test::echo::kinds;

/// Returns whatever it gets, and counts.
#[derive(Default)]
struct Mirror {
    calls: u32,
}

impl Mirror {
    fn back<T>(&mut self, value: T) -> T {
        self.calls += 1;
        value
    }
}

type Scalars = (bool, u8, i8, u16, i16, u32, i32, u64, i64, f32, f64, char);

impl kinds::Host for Mirror {
    fn scalars(
        &mut self,
        a: bool,
        b: u8,
        c: i8,
        d: u16,
        e: i16,
        f: u32,
        g: i32,
        h: u64,
        i: i64,
        j: f32,
        k: f64,
        l: char,
    ) -> Scalars {
        self.back((a, b, c, d, e, f, g, h, i, j, k, l))
    }

    fn nothing(&mut self) {
        self.calls += 1;
    }

    fn return_(&mut self, self_: u8, fn_: String) -> String {
        self.back(format!("{self_} {fn_}"))
    }

    fn points(&mut self, a: kinds::Point, b: kinds::Point) -> kinds::Point {
        self.back(kinds::Point { x: a.x, y: b.y })
    }

    fn colors(&mut self, color: kinds::Color, other: Option<kinds::Color>) -> Option<kinds::Color> {
        self.back(other.map(|_| color))
    }

    fn accesses(&mut self, access: kinds::Access) -> kinds::Access {
        self.back(access)
    }

    fn shapes(&mut self, shape: kinds::Shape) -> kinds::Shape {
        self.back(shape)
    }

    fn everything(&mut self, entry: kinds::Entry) -> kinds::Entry {
        self.back(entry)
    }

    fn all(&mut self, entries: kinds::Entries, more: Vec<Vec<String>>) -> (kinds::Entries, Vec<Vec<String>>) {
        self.back((entries, more))
    }

    fn outcomes(&mut self, outcome: kinds::Outcome) -> kinds::Outcome {
        self.back(outcome)
    }

    fn results(
        &mut self,
        a: Result<(), ()>,
        b: Result<u8, ()>,
        c: Result<(), String>,
    ) -> (Result<(), ()>, Result<u8, ()>, Result<(), String>) {
        self.back((a, b, c))
    }

    fn pairs(&mut self, pair: kinds::Pair) -> kinds::Pair {
        self.back(pair)
    }

    fn bytes(&mut self, bytes: Vec<u8>) -> Vec<u8> {
        self.back(bytes)
    }

    fn fixed(&mut self, lists: [u16; 3], of_strings: [String; 2]) -> ([u16; 3], [String; 2]) {
        self.back((lists, of_strings))
    }

    fn maps(
        &mut self,
        counts: HashMap<String, u32>,
        other: HashMap<u8, Vec<kinds::Point>>,
    ) -> (HashMap<String, u32>, HashMap<u8, Vec<kinds::Point>>) {
        self.back((counts, other))
    }
}

fn linker(engine: &Engine) -> Linker<Mirror> {
    let mut linker = Linker::new(engine);
    kinds::add_to_linker::<_, HasSelf<_>>(&mut linker, |mirror| mirror).unwrap();
    linker
}

#[test]
fn values_are_the_same_on_all_sides() {
    use owning::exports::test::echo::kinds::{Access, Color, Entry, Point, Shape};
    let mut config = Config::new();
    let engine = Engine::new(config.wasm_component_model_fixed_length_lists(true)).unwrap();
    let component = forwarding(&engine, "echo", "echo");
    let mut store = Store::new(&engine, Mirror::default());
    let echo = owning::Echo::instantiate(&mut store, &component, &linker(&engine)).unwrap();
    let guest = echo.test_echo_kinds();
    let store = &mut store;

    let scalars = (
        true,
        200,
        -100,
        60_000,
        -30_000,
        4_000_000_000,
        -2_000_000_000,
        u64::MAX,
        i64::MIN,
        0.5,
        -1e300,
        '🦀',
    );
    let (a, b, c, d, e, f, g, h, i, j, k, l) = scalars;
    assert_eq!(guest.call_scalars(&mut *store, a, b, c, d, e, f, g, h, i, j, k, l).unwrap(), scalars);
    guest.call_nothing(&mut *store).unwrap();
    assert_eq!(guest.call_return(&mut *store, 7, "sins").unwrap(), "7 sins");
    let (a, b) = (Point { x: 1, y: -2 }, Point { x: 3, y: i32::MIN });
    assert_eq!(guest.call_points(&mut *store, a, b).unwrap(), Point { x: 1, y: i32::MIN });
    assert_eq!(
        guest.call_colors(&mut *store, Color::DarkGreen, Some(Color::Red)).unwrap(),
        Some(Color::DarkGreen)
    );
    assert_eq!(guest.call_colors(&mut *store, Color::DarkGreen, None).unwrap(), None);
    let access = Access::SELF | Access::READ;
    assert_eq!(guest.call_accesses(&mut *store, access).unwrap(), access);

    let shapes = [
        Shape::Nothing,
        Shape::Circle(1.5),
        Shape::Named("naïve".into()),
        Shape::Line((Point { x: 1, y: 2 }, b)),
    ];
    for shape in &shapes {
        assert_eq!(guest.call_shapes(&mut *store, shape).unwrap(), *shape);
    }
    let entry = |parent| Entry {
        name: "a.txt".into(),
        type_: Color::Red,
        access: Access::WRITE_ALL,
        shapes: shapes.to_vec(),
        parent,
    };
    for parent in [None, Some(None), Some(Some(255))] {
        assert_eq!(guest.call_everything(&mut *store, &entry(parent)).unwrap(), entry(parent));
    }
    let entries = vec![entry(None), entry(Some(Some(1)))];
    let more = vec![vec![], vec!["one".to_owned()], vec!["two".to_owned(), String::new()]];
    assert_eq!(guest.call_all(&mut *store, &entries, &more).unwrap(), (entries, more));
    assert_eq!(guest.call_outcomes(&mut *store, &Ok(entry(None))).unwrap(), Ok(entry(None)));
    assert_eq!(guest.call_outcomes(&mut *store, &Err("no".to_owned())).unwrap(), Err("no".to_owned()));
    let results = (Ok(()), Err(()), Err("why".to_owned()));
    assert_eq!(guest.call_results(&mut *store, Ok(()), Err(()), Err("why")).unwrap(), results);
    let results = (Err(()), Ok(3), Ok(()));
    assert_eq!(guest.call_results(&mut *store, Err(()), Ok(3), Ok(())).unwrap(), results);
    assert_eq!(guest.call_pairs(&mut *store, ('ä', Some(a))).unwrap(), ('ä', Some(a)));
    let bytes: Vec<u8> = (0..=255).collect();
    assert_eq!(guest.call_bytes(&mut *store, &bytes).unwrap(), bytes);
    let fixed = ([1, 2, u16::MAX], ["a".to_owned(), "b".to_owned()]);
    assert_eq!(guest.call_fixed(&mut *store, [1, 2, u16::MAX], ["a", "b"]).unwrap(), fixed);
    let counts = HashMap::from([("a".to_owned(), 1), ("b".to_owned(), 2), (String::new(), u32::MAX)]);
    let borrowed = counts.iter().map(|(key, value)| (&**key, *value)).collect();
    let other = HashMap::from([(7, vec![a, b]), (8, vec![])]);
    let borrowed_other = other.iter().map(|(key, value)| (*key, &**value)).collect();
    assert_eq!(guest.call_maps(&mut *store, borrowed, borrowed_other).unwrap(), (counts, other));
    assert_eq!(store.data().calls, 23);
}

#[test]
fn parameters_can_borrow_all_the_way_down() {
    use borrowing::exports::test::echo::kinds::{
        Access, Color, EntryParam, EntryResult, Point, ShapeParam, ShapeResult,
    };
    let mut config = Config::new();
    let engine = Engine::new(config.wasm_component_model_fixed_length_lists(true)).unwrap();
    let component = forwarding(&engine, "echo", "echo");
    let mut store = Store::new(&engine, Mirror::default());
    let echo = borrowing::Echo::instantiate(&mut store, &component, &linker(&engine)).unwrap();
    let guest = echo.test_echo_kinds();
    let name = String::from("borrowed");
    let shapes = [ShapeParam::Named(&name), ShapeParam::Circle(2.0)];
    let entry = EntryParam {
        name: &name,
        type_: Color::DarkGreen,
        access: Access::empty(),
        shapes: &shapes,
        parent: None,
    };
    let EntryResult { name: returned, shapes, .. } =
        guest.call_everything(&mut store, entry.clone()).unwrap();
    assert_eq!(returned, name);
    assert!(matches!(&shapes[..], [ShapeResult::Named(n), ShapeResult::Circle(2.0)] if *n == name));
    let (entries, more) = guest.call_all(&mut store, &[entry.clone(), entry], &[&["a", "b"], &[]]).unwrap();
    assert_eq!((entries.len(), more), (2, vec![vec!["a".to_owned(), "b".to_owned()], vec![]]));
    let shape = guest.call_shapes(&mut store, ShapeParam::Line((Point { x: 0, y: 1 }, Point { x: 2, y: 3 })));
    assert_eq!(
        format!("{:?}", shape.unwrap()),
        "ShapeResult::Line((Point { x: 0, y: 1 }, Point { x: 2, y: 3 }))"
    );
}

#[test]
fn references_to_types_that_own_are_parameters() {
    use sharing::exports::test::echo::kinds::Shape;
    let mut config = Config::new();
    let engine = Engine::new(config.wasm_component_model_fixed_length_lists(true)).unwrap();
    let component = forwarding(&engine, "echo", "echo");
    let mut store = Store::new(&engine, Mirror::default());
    let pre = sharing::EchoPre::new(linker(&engine).instantiate_pre(&component).unwrap()).unwrap();
    let echo = pre.clone().instantiate(&mut store).unwrap();
    let shape = Shape::Named("x".into());
    let returned = echo.test_echo_kinds().call_shapes(&mut store, &shape).unwrap();
    assert_eq!(format!("{returned:?}"), format!("{shape:?}"));
    // The function with its types, without the struct.
    let typed = echo.test_echo_kinds().func_return();
    let text = String::from("text");
    assert_eq!(typed.call(&mut store, (1, &text)).unwrap(), ("1 text".to_owned(),));
}
