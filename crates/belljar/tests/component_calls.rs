//! Calls between components: values, what traps, handles, and what adapters look like from outside. Everything is tried
//! with adapters and without: both have the same results and say the same.

use belljar::component::types::{self, AddressType, FlatType, FuncType, Type};
use belljar::component::{Component, Linker, Val};
use belljar::{Config, Engine, Error, Store, Trap, WasmBacktrace, WasmRelease};
use std::sync::Arc;

/// An engine whose components may use everything.
fn engine() -> Engine {
    let mut config = Config::new();
    config.wasm_component_model_fixed_length_lists(true).wasm_component_model_memory64(true);
    Engine::new(&config).unwrap()
}

/// A core module with a memory and an allocator that never frees, for 32- or 64-bit addresses.
fn libc(address: &str) -> String {
    format!(
        r#"(core module $libc
            (memory (export "memory") {memory} 1000)
            (global $top (mut {address}) ({address}.const 4096))
            (func (export "realloc") (param $old {address}) (param $old_size {address}) (param $align {address})
                (param $size {address}) (result {address}) (local $at {address}) (local $keep {address})
                (local.set $at ({address}.and
                    ({address}.add (global.get $top) ({address}.sub (local.get $align) ({address}.const 1)))
                    ({address}.sub ({address}.const 0) (local.get $align))))
                (global.set $top ({address}.add (local.get $at) (local.get $size)))
                (local.set $keep (select (local.get $old_size) (local.get $size)
                    ({address}.lt_u (local.get $old_size) (local.get $size))))
                (memory.copy (local.get $at) (local.get $old) (local.get $keep))
                (local.get $at)))
        (core instance $libc (instantiate $libc))
        (alias core export $libc "memory" (core memory $memory))
        (alias core export $libc "realloc" (core func $realloc))"#,
        memory = if address == "i64" { "i64" } else { "" }
    )
}

/// One of the two components of a call.
#[derive(Clone, Copy)]
struct Side {
    address: AddressType,
    encoding: &'static str,
}

impl Side {
    fn name(self) -> &'static str {
        if self.address == AddressType::I64 { "i64" } else { "i32" }
    }

    fn options(self) -> String {
        format!("(memory $memory) (realloc $realloc) string-encoding={}", self.encoding)
    }
}

/// Compiles a component with adapters, and without.
fn both(engine: &Engine, text: &str) -> [Component; 2] {
    [Component::new(engine, text), Component::without_adapters(engine, text)]
        .map(|component| component.unwrap_or_else(|error| panic!("{error:?}\n{text}")))
}

fn flat(ty: FlatType) -> &'static str {
    match ty {
        FlatType::I32 => "i32",
        FlatType::I64 => "i64",
        FlatType::F32 => "f32",
        FlatType::F64 => "f64",
    }
}

/// Writes a component that passes its parameters on, and returns what it gets.
fn forwarder(ty: &FuncType, declared: &str, side: Side) -> String {
    let address = side.address;
    let params = ty.flat_params(address).map_or_else(|| vec![address.flat()], <[_]>::to_vec);
    let params = params.into_iter().map(flat).collect::<Vec<_>>().join(" ");
    let count = params.split_whitespace().count();
    let gets: String = (0..count).map(|i| format!("(local.get {i})")).collect();
    let at = side.name();
    let (import, body, result) = match (ty.result(), ty.flat_results(address)) {
        (None, _) => (format!("(param {params})"), format!("(call $f {gets})"), String::new()),
        (Some(_), Some(results)) => {
            let result = results.first().map_or("", |result| flat(*result));
            (
                format!("(param {params}) (result {result})"),
                format!("(call $f {gets})"),
                format!("(result {result})"),
            )
        }
        (Some(_), None) => (
            format!("(param {params} {at})"),
            format!("(call $f {gets} ({at}.const 1024)) ({at}.const 1024)"),
            format!("(result {at})"),
        ),
    };
    format!(
        r#"{declared}
        (import "f" (func $f (param "x" $named) (result $named)))
        {libc}
        (core func $f (canon lower (func $f) {options}))
        (core module $m
            (import "" "f" (func $f {import}))
            (func (export "f") (param {params}) {result} {body}))
        (core instance $m (instantiate $m (with "" (instance (export "f" (func $f))))))
        (func (export "f") (param "x" $named) (result $named) (canon lift (core func $m "f") {options}))"#,
        libc = libc(at),
        options = side.options(),
    )
}

/// Writes a component in which one component calls another one, which calls the host: all with a value of the same type.
fn chain(ty: &Type, from: Side, to: Side) -> String {
    let func = FuncType::new([("x".into(), ty.clone())].into(), Some(ty.clone()), false);
    let declared = format!(r#"{} (import "ty" (type $named (eq $declared)))"#, declare(ty));
    let count = declared.matches("(import \"t").count() - 1;
    let types: String = (0..count).map(|i| format!(r#"(with "t{i}" (type $t{i}))"#)).collect();
    let of = |side| forwarder(&func, &declared, side);
    format!(
        r#"(component
        {declared}
        (import "echo" (func $echo (param "x" $named) (result $named)))
        (component $B {b})
        (component $A {a})
        (instance $b (instantiate $B {types} (with "ty" (type $named)) (with "f" (func $echo))))
        (instance $a (instantiate $A {types} (with "ty" (type $named)) (with "f" (func $b "f"))))
        (func (export "run") (alias export $a "f")))"#,
        a = of(from),
        b = of(to),
    )
}

/// Writes the definition of a type, with those of its parts before it.
fn declare(ty: &Type) -> String {
    fn part(ty: &Type, out: &mut String, count: &mut usize) -> String {
        let all = |types: &mut dyn Iterator<Item = &Type>, out: &mut String, count: &mut usize| {
            types.map(|ty| part(ty, out, count)).collect::<Vec<_>>()
        };
        let text = match ty {
            Type::List(element) => format!("(list {})", part(element, out, count)),
            Type::FixedLengthList(list) => {
                format!("(list {} {})", part(list.element(), out, count), list.length())
            }
            Type::Map(map) => {
                let parts = all(&mut map.entry().types().iter(), out, count);
                format!("(map {})", parts.join(" "))
            }
            Type::Option(option) => format!("(option {})", part(option.some(), out, count)),
            Type::Result(result) => {
                let ok = result.ok().map(|ty| part(ty, out, count)).unwrap_or_default();
                let err = result.err().map(|ty| format!("(error {})", part(ty, out, count)));
                format!("(result {ok} {})", err.unwrap_or_default())
            }
            Type::Tuple(tuple) => {
                let parts = all(&mut tuple.types().iter(), out, count);
                format!("(tuple {})", parts.join(" "))
            }
            Type::Record(record) => {
                let parts = all(&mut record.fields().iter().map(|(_, ty)| ty), out, count);
                let fields = record.fields().iter().zip(parts);
                let fields: String =
                    fields.map(|((name, _), part)| format!(r#"(field "{name}" {part})"#)).collect();
                format!("(record {fields})")
            }
            Type::Variant(variant) => {
                let mut cases = String::new();
                for (name, ty) in variant.cases() {
                    let payload = ty.as_ref().map(|ty| part(ty, out, count)).unwrap_or_default();
                    cases += &format!(r#"(case "{name}" {payload})"#);
                }
                format!("(variant {cases})")
            }
            Type::Enum(names) => {
                format!("(enum {})", names.names().iter().map(|n| format!("{n:?} ")).collect::<String>())
            }
            Type::Flags(names) => {
                format!("(flags {})", names.names().iter().map(|n| format!("{n:?} ")).collect::<String>())
            }
            other => return other.to_string(),
        };
        // A type with names of its own is exported before others use it.
        if matches!(ty, Type::Record(_) | Type::Variant(_) | Type::Enum(_) | Type::Flags(_)) {
            let i = *count;
            *count += 1;
            *out += &format!("(type $d{i} {text}) (import \"t{i}\" (type $t{i} (eq $d{i})))\n");
            return format!("$t{i}");
        }
        text
    }
    let (mut out, mut count) = (String::new(), 0);
    let text = part(ty, &mut out, &mut count);
    format!("{out} (type $declared {text})")
}

/// Numbers that look random and are always the same.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, end: u64) -> u64 {
        (self.next() >> 11) % end
    }

    fn names(&mut self, count: u64) -> Box<[Arc<str>]> {
        (0..count).map(|i| Arc::from(format!("n{i}"))).collect()
    }

    fn payload(&mut self, depth: u32) -> Option<Type> {
        (self.below(3) > 0).then(|| self.ty(depth))
    }

    fn ty(&mut self, depth: u32) -> Type {
        let scalars = [
            Type::Bool,
            Type::S8,
            Type::U8,
            Type::S16,
            Type::U16,
            Type::S32,
            Type::U32,
            Type::S64,
            Type::U64,
            Type::Float32,
            Type::Float64,
            Type::Char,
            Type::String,
        ];
        if depth == 0 {
            return scalars[self.below(scalars.len() as u64) as usize].clone();
        }
        let inner = depth - 1;
        match self.below(13) {
            0 | 1 => Type::List(Arc::new(self.ty(inner))),
            2 => {
                let length = 1 + self.below(4) as u32;
                Type::FixedLengthList(Arc::new(types::FixedLengthList::new(self.ty(inner), length)))
            }
            3 => {
                let keys = [Type::U8, Type::Char, Type::String, Type::S64];
                let key = keys[self.below(4) as usize].clone();
                let entry = types::Tuple::new([key, self.ty(inner)].into());
                Type::Map(Arc::new(types::Map::new(entry)))
            }
            4 | 5 => {
                let count = 1 + self.below(5);
                let fields = self.names(count).iter().map(|name| (name.clone(), self.ty(inner))).collect();
                Type::Record(Arc::new(types::Record::new(fields)))
            }
            6 => {
                let count = 1 + self.below(5);
                Type::Tuple(Arc::new(types::Tuple::new((0..count).map(|_| self.ty(inner)).collect())))
            }
            7 | 8 => {
                let count = 1 + self.below(6);
                let cases =
                    self.names(count).iter().map(|name| (name.clone(), self.payload(inner))).collect();
                Type::Variant(Arc::new(types::Variant::new(cases)))
            }
            9 => {
                let count = [1, 3, 300][self.below(3) as usize];
                Type::Enum(Arc::new(types::Enum::new(self.names(count))))
            }
            10 => Type::Option(Arc::new(types::OptionType::new(self.ty(inner)))),
            11 => Type::Result(Arc::new(types::ResultType::new(self.payload(inner), self.payload(inner)))),
            _ => {
                let count = [1, 3, 8, 12, 16, 20, 32][self.below(7) as usize];
                Type::Flags(Arc::new(types::Flags::new(self.names(count))))
            }
        }
    }

    fn char(&mut self) -> char {
        let max = [0x80, 0x100, 0x800, 0x1_0000, 0x11_0000][self.below(5) as usize];
        char::from_u32(self.below(max) as u32).unwrap_or('x')
    }

    fn value(&mut self, ty: &Type) -> Val {
        let bits = self.next();
        let boxed = |value: Option<Val>| value.map(Box::new);
        match ty {
            Type::Bool => Val::Bool(bits & 1 != 0),
            Type::S8 => Val::S8(bits as i8),
            Type::U8 => Val::U8(bits as u8),
            Type::S16 => Val::S16(bits as i16),
            Type::U16 => Val::U16(bits as u16),
            Type::S32 => Val::S32(bits as i32),
            Type::U32 => Val::U32(bits as u32),
            Type::S64 => Val::S64(bits as i64),
            Type::U64 => Val::U64(bits),
            Type::Float32 => Val::Float32(bits as i32 as f32 / 7.0),
            Type::Float64 => Val::Float64(bits as i64 as f64 / 7.0),
            Type::Char => Val::Char(self.char()),
            Type::String => {
                let length = [0, 1, 3, 7, 12, 20, 31, 33, 200][self.below(9) as usize];
                let widest = self.below(3);
                let chars = (0..length).map(|_| match widest {
                    0 => char::from(self.below(0x80) as u8),
                    1 => char::from(self.below(0x100) as u8),
                    _ => self.char(),
                });
                Val::String(chars.collect())
            }
            Type::List(element) => Val::List((0..self.below(6)).map(|_| self.value(element)).collect()),
            Type::FixedLengthList(list) => {
                Val::FixedLengthList((0..list.length()).map(|_| self.value(list.element())).collect())
            }
            Type::Map(map) => {
                let [key, value] = map.entry().types() else { panic!("two parts") };
                Val::Map((0..self.below(4)).map(|_| (self.value(key), self.value(value))).collect())
            }
            Type::Record(record) => Val::Record(
                record.fields().iter().map(|(name, ty)| (name.to_string(), self.value(ty))).collect(),
            ),
            Type::Tuple(tuple) => Val::Tuple(tuple.types().iter().map(|ty| self.value(ty)).collect()),
            Type::Variant(variant) => {
                let (name, ty) = &variant.cases()[self.below(variant.cases().len() as u64) as usize];
                Val::Variant(name.to_string(), boxed(ty.as_ref().map(|ty| self.value(ty))))
            }
            Type::Enum(names) => {
                Val::Enum(names.names()[self.below(names.names().len() as u64) as usize].to_string())
            }
            Type::Option(option) => Val::Option(boxed((bits & 1 != 0).then(|| self.value(option.some())))),
            Type::Result(result) => match bits & 1 {
                0 => Val::Result(Ok(boxed(result.ok().map(|ty| self.value(ty))))),
                _ => Val::Result(Err(boxed(result.err().map(|ty| self.value(ty))))),
            },
            Type::Flags(names) => {
                let names = names.names().iter().filter(|_| self.below(2) > 0);
                Val::Flags(names.map(ToString::to_string).collect())
            }
            _ => panic!("no values of {ty}"),
        }
    }
}

const SIDES: [Side; 6] = [
    Side { address: AddressType::I32, encoding: "utf8" },
    Side { address: AddressType::I32, encoding: "utf16" },
    Side { address: AddressType::I32, encoding: "latin1+utf16" },
    Side { address: AddressType::I64, encoding: "utf8" },
    Side { address: AddressType::I64, encoding: "utf16" },
    Side { address: AddressType::I64, encoding: "latin1+utf16" },
];

/// Passes values of a type through two components and back.
fn echo(engine: &Engine, component: &Component, ty: &Type, values: &[Val]) -> Vec<Val> {
    let mut linker = Linker::new(engine);
    linker
        .root()
        .func_new("echo", |_, _, params, results| {
            results[0] = params[0].clone();
            Ok(())
        })
        .unwrap();
    let mut store = Store::new(engine, ());
    let instance = linker.instantiate(&mut store, component).unwrap_or_else(|error| panic!("{error:?}"));
    let run = instance.get_func(&store, "run").unwrap();
    let call = |value: &Val| {
        let mut results = [Val::Bool(false)];
        let called = run.call(&mut store, std::slice::from_ref(value), &mut results);
        called.unwrap_or_else(|error| panic!("{ty}: {value:?}: {error:?}"));
        let [result] = results;
        result
    };
    values.iter().map(call).collect()
}

#[test]
fn values_of_random_types_arrive_as_they_were() {
    let engine = engine();
    let mut random = Random(0x1234_5678_9abc_def1);
    for round in 0..150 {
        let ty = types::Tuple::new([random.ty(1 + round % 3)].into());
        let ty = Type::Tuple(Arc::new(ty));
        let (from, to) = (SIDES[random.below(6) as usize], SIDES[random.below(6) as usize]);
        let values: Vec<Val> = (0..6).map(|_| random.value(&ty)).collect();
        let text = chain(&ty, from, to);
        for component in both(&engine, &text) {
            let found = echo(&engine, &component, &ty, &values);
            let shown =
                format!("{ty} from {} {} to {} {}", from.name(), from.encoding, to.name(), to.encoding);
            assert!(found == values, "{shown}: {values:?} arrived as {found:?}");
        }
    }
}

#[test]
fn flags_of_all_numbers_arrive_as_they_were() {
    let engine = engine();
    for count in 1..=32 {
        let names: Box<[Arc<str>]> = (0..count).map(|i| Arc::from(format!("n{i}"))).collect();
        let flags = |keep: &dyn Fn(usize) -> bool| {
            let kept = names.iter().enumerate().filter(|(i, _)| keep(*i)).map(|(_, name)| name.to_string());
            Val::List(vec![Val::Flags(kept.collect())])
        };
        let values =
            [flags(&|_| true), flags(&|_| false), flags(&|i| i + 1 == count), flags(&|i| i % 3 == 0)];
        let list = Type::List(Arc::new(Type::Flags(Arc::new(types::Flags::new(names.clone())))));
        let text = chain(&list, SIDES[0], SIDES[1]);
        for component in both(&engine, &text) {
            assert_eq!(echo(&engine, &component, &list, &values), values, "{count} flags");
        }
    }
}

#[test]
fn strings_of_all_lengths_are_transcoded() {
    let engine = engine();
    let ty = Type::Tuple(Arc::new(types::Tuple::new([Type::String].into())));
    let plain = "plain text, which is ASCII. ".repeat(700);
    let texts = [
        "",
        "a",
        "abc",
        "abcd",
        "abcdefg",
        "abcdefgh",
        "ü",
        "abü",
        "abcü",
        "abcdefgü",
        "abcdefghü",
        "ÿÿÿÿ",
        "東",
        "😀",
        "abcdefghijklmnop",
        "abcdefghijklmnoü",
        "üabcdefghijklmnop",
        "abcdefghijklmnopqrstuvwxyzabcdef",
        "abcdefghijklmnopqrstuvwxyzabcdü",
        "abcdefghijklmnopqrstuvwxyzabcdefg",
        &plain,
        &format!("{plain}ü"),
        &format!("{plain}東{plain}"),
        &format!("ü{plain}😀"),
        &"ü".repeat(9000),
        &"東".repeat(5000),
        &"😀".repeat(5000),
        &format!("a{}", "😀".repeat(5000)),
    ];
    let values = texts.map(|text| Val::Tuple(vec![Val::String(text.into())]));
    for from in SIDES {
        for to in SIDES {
            let text = chain(&ty, from, to);
            for component in both(&engine, &text) {
                let found = echo(&engine, &component, &ty, &values);
                let wrong = found
                    .iter()
                    .zip(&texts)
                    .position(|(found, text)| *found != Val::Tuple(vec![Val::String((*text).into())]));
                assert_eq!(wrong, None, "{} to {}", from.encoding, to.encoding);
            }
        }
    }
}

#[test]
fn long_text_is_checked_and_copied_in_pieces() {
    let engine = Engine::default();
    let ty = Type::Tuple(Arc::new(types::Tuple::new([Type::String].into())));
    let [utf8, utf16, compact, ..] = SIDES;
    // With characters of all lengths at the ends of pieces.
    let texts = ["ü東😀a".repeat(120_000), "ü".repeat(600_000)];
    let values = texts.map(|text| Val::Tuple(vec![Val::String(text)]));
    for (from, to) in [(utf8, utf8), (utf8, utf16), (utf16, utf8), (utf16, compact), (compact, compact)] {
        let component = Component::new(&engine, chain(&ty, from, to)).unwrap();
        let found = echo(&engine, &component, &ty, &values);
        assert!(found == values, "{} to {}", from.encoding, to.encoding);
    }
}

/// A call of one component by another that traps. The memories are one page, with the numbers 0 to 255 at 256.
struct Case {
    what: &'static str,
    /// Definitions of types, for both components.
    types: &'static str,
    /// The type of the function.
    ty: &'static str,
    /// The encodings of strings.
    encodings: [&'static str; 2],
    /// The core type of the function as the caller imports it.
    imported: &'static str,
    /// What the caller does.
    call: &'static str,
    /// The callee: the core function `f`, and others.
    callee: &'static str,
    /// What the callee's function is lifted with besides memory and encoding.
    options: &'static str,
    error: &'static str,
}

const CASE: Case = Case {
    what: "",
    types: "",
    ty: r#"(param "a" string)"#,
    encodings: ["utf8", "utf8"],
    imported: "(param i32 i32)",
    call: "",
    callee: r#"(func (export "f") (param i32 i32))"#,
    options: "",
    error: "",
};

/// An allocator that always returns the same address.
const ALLOCATES: &str = r#"(func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024))"#;

impl Case {
    fn text(&self) -> String {
        let bytes: String = (0..256).map(|i| format!("\\{i:02x}")).collect();
        let Self { types, ty, encodings: [from, to], imported, call, callee, options, .. } = self;
        let realloc = if callee.contains("\"realloc\"") { "" } else { ALLOCATES };
        let memory = format!(r#"(memory (export "memory") 1) (data (i32.const 256) "{bytes}")"#);
        format!(
            r#"(component
            (component $B
                {types}
                (core module $m {memory} {callee} {realloc})
                (core instance $m (instantiate $m))
                (func (export "f") {ty} (canon lift (core func $m "f") (memory (core memory $m "memory"))
                    (realloc (core func $m "realloc")) string-encoding={to} {options})))
            (component $A
                {types}
                (import "f" (func $f {ty}))
                (core module $libc {memory} {ALLOCATES})
                (core instance $libc (instantiate $libc))
                (core func $f (canon lower (func $f) (memory (core memory $libc "memory"))
                    (realloc (core func $libc "realloc")) string-encoding={from}))
                (core module $m
                    (import "" "f" (func $f {imported}))
                    (import "libc" "memory" (memory 1))
                    (func (export "run") {call}))
                (core instance $m (instantiate $m
                    (with "" (instance (export "f" (func $f)))) (with "libc" (instance $libc))))
                (func (export "run") (canon lift (core func $m "run"))))
            (instance $b (instantiate $B))
            (instance $a (instantiate $A (with "f" (func $b "f"))))
            (export "run" (func $a "run")))"#
        )
    }
}

/// Calls the function `run` of a component that traps. Returns the errors with adapters and without.
fn errors(engine: &Engine, what: &str, text: &str) -> [Error; 2] {
    both(engine, text).map(|component| {
        let mut store = Store::new(engine, ());
        let linker = Linker::new(engine);
        let instance = linker.instantiate(&mut store, &component);
        let instance = instance.unwrap_or_else(|error| panic!("{what}: {error:?}"));
        let run = instance.get_func(&store, "run").unwrap();
        let error = run.call(&mut store, &[], &mut []).expect_err(what);
        // The instance is closed, with the reason.
        let again = run.call(&mut store, &[], &mut []).expect_err(what).to_string();
        assert_eq!(
            again,
            format!("cannot enter component instance: an earlier call ended with: {error}"),
            "{what}"
        );
        error
    })
}

#[test]
fn what_is_invalid_traps_between_components() {
    let engine = engine();
    let list = r#"(param "a" (list u32))"#;
    let wide = r#"(param "a" (tuple u32 u32 u32 u32 u32 u32 u32 u32 u32 u32 u32 u32 u32 u32 u32 u32 u32))"#;
    let chars = r#"(param "a" (list char))"#;
    let returns_pair = "(param i32)";
    let pair = "(result (tuple u32 u32))";
    let option = r#"(param "a" (option u32))"#;
    let options = r#"(param "a" (list (option u32)))"#;
    let one = r#"(func (export "f") (param i32))"#;
    let utf16 = ["utf16", "utf8"];
    let compact = ["latin1+utf16", "utf8"];
    let outside = "pointer out of bounds: ";
    let cases = [
        // Strings.
        Case {
            what: "a string outside",
            call: "(call $f (i32.const 65535) (i32.const 2))",
            error: "pointer out of bounds: 2 bytes at 0xffff do not lie in the memory, which has 65536",
            ..CASE
        },
        Case {
            what: "an empty string outside",
            call: "(call $f (i32.const -1) (i32.const 0))",
            error: outside,
            ..CASE
        },
        Case {
            what: "a long string",
            call: "(call $f (i32.const 0) (i32.const 0x10000000))",
            error: "string too long: 268435456 elements of 1 bytes, and the limit is 268435455 bytes",
            ..CASE
        },
        Case {
            what: "a long utf-16 string",
            encodings: utf16,
            call: "(call $f (i32.const 0) (i32.const 0x8000000))",
            error: "string too long: 134217728 elements of 2 bytes",
            ..CASE
        },
        Case {
            what: "an odd utf-16 string",
            encodings: utf16,
            call: "(call $f (i32.const 1) (i32.const 0))",
            error: "pointer not aligned: 0x1 is not a multiple of 2",
            ..CASE
        },
        Case {
            what: "an odd latin-1 string",
            encodings: compact,
            call: "(call $f (i32.const 1) (i32.const 0))",
            error: "pointer not aligned: 0x1 is not a multiple of 2",
            ..CASE
        },
        Case {
            what: "a compact string outside",
            encodings: compact,
            error: outside,
            call: "(call $f (i32.const 65534) (i32.const 0x80000002))",
            ..CASE
        },
        Case {
            what: "no utf-8",
            call: "(call $f (i32.const 380) (i32.const 20))",
            error: "invalid utf-8: invalid utf-8 sequence of 1 bytes from index 4",
            ..CASE
        },
        Case {
            what: "no utf-8 in a long string",
            call: "(call $f (i32.const 256) (i32.const 200))",
            error: "invalid utf-8: invalid utf-8 sequence of 1 bytes from index 128",
            ..CASE
        },
        Case {
            what: "a character that ends early",
            call: "(i32.store8 (i32.const 0) (i32.const 0xe2))
            (call $f (i32.const 0) (i32.const 1))",
            error: "invalid utf-8: incomplete utf-8 byte sequence from index 0",
            ..CASE
        },
        Case {
            what: "no utf-16",
            encodings: utf16,
            call: "(i32.store (i32.const 4) (i32.const 0xd800))
            (call $f (i32.const 0) (i32.const 4))",
            error: "invalid utf-16: unpaired surrogate found: d800",
            ..CASE
        },
        Case {
            what: "no utf-16 in a compact string",
            encodings: compact,
            call: "(i32.store (i32.const 4) (i32.const 0xdfff))
            (call $f (i32.const 0) (i32.const 0x80000004))",
            error: "invalid utf-16: unpaired surrogate found: dfff",
            ..CASE
        },
        // Lists.
        Case {
            what: "a list outside",
            ty: list,
            call: "(call $f (i32.const 65532) (i32.const 2))",
            error: "pointer out of bounds: 8 bytes at 0xfffc do not lie in the memory, which has 65536",
            ..CASE
        },
        Case {
            what: "a list that is not aligned",
            ty: list,
            call: "(call $f (i32.const 2) (i32.const 0))",
            error: "pointer not aligned: 0x2 is not a multiple of 4",
            ..CASE
        },
        Case {
            what: "a long list",
            ty: list,
            call: "(call $f (i32.const 0) (i32.const 0x4000000))",
            error: "list too long: 67108864 elements of 4 bytes",
            ..CASE
        },
        Case {
            what: "a list whose size overflows",
            ty: list,
            call: "(call $f (i32.const 0) (i32.const 0x40000001))",
            error: "list too long: 1073741825 elements of 4 bytes",
            ..CASE
        },
        Case {
            what: "a long map",
            ty: r#"(param "a" (map u32 u32))"#,
            call: "(call $f (i32.const 0) (i32.const 0x2000000))",
            error: "map too long: 33554432 elements of 8 bytes",
            ..CASE
        },
        Case {
            what: "a map outside",
            ty: r#"(param "a" (map u32 u32))"#,
            call: "(call $f (i32.const 65528) (i32.const 2))",
            error: outside,
            ..CASE
        },
        Case {
            what: "a list in a list outside",
            ty: r#"(param "a" (list (list u8)))"#,
            error: outside,
            call: "(i32.store (i32.const 4) (i32.const 65537)) (call $f (i32.const 0) (i32.const 1))",
            ..CASE
        },
        Case {
            what: "a string in a list in a variant",
            ty: r#"(param "a" (result (list string)))"#,
            error: outside,
            imported: "(param i32 i32 i32)",
            callee: r#"(func (export "f") (param i32 i32 i32))"#,
            call: "(i32.store (i32.const 12) (i32.const 65537)) (call $f (i32.const 0) (i32.const 0) (i32.const 2))",
            ..CASE
        },
        // Characters and cases.
        Case {
            what: "a surrogate",
            ty: r#"(param "a" char)"#,
            imported: "(param i32)",
            callee: one,
            call: "(call $f (i32.const 0xd800))",
            error: "invalid `char` bit pattern: 0xd800 is no Unicode scalar value",
            ..CASE
        },
        Case {
            what: "a large character",
            ty: r#"(param "a" char)"#,
            imported: "(param i32)",
            callee: one,
            call: "(call $f (i32.const 0x110000))",
            error: "invalid `char` bit pattern: 0x110000",
            ..CASE
        },
        Case {
            what: "a surrogate in a list",
            ty: chars,
            call: "(i32.store (i32.const 4) (i32.const 0xdfff))
            (call $f (i32.const 0) (i32.const 2))",
            error: "invalid `char` bit pattern: 0xdfff",
            ..CASE
        },
        Case {
            what: "no case of an option",
            ty: option,
            call: "(call $f (i32.const 2) (i32.const 0))",
            error: "invalid variant discriminant: 2 in a value of type option<u32>",
            ..CASE
        },
        Case {
            what: "no case of an option in a list",
            ty: options,
            call: "(i32.store8 (i32.const 8) (i32.const 255))
            (call $f (i32.const 0) (i32.const 2))",
            error: "invalid variant discriminant: 255 in a value of type option<u32>",
            ..CASE
        },
        Case {
            what: "no case of a result in an option",
            ty: r#"(param "a" (option (result)))"#,
            call: "(call $f (i32.const 1) (i32.const 3))",
            error: "invalid variant discriminant: 3 in a value of type result",
            ..CASE
        },
        Case {
            what: "no result",
            ty: "(result (result))",
            imported: "(result i32)",
            callee: r#"(func (export "f") (result i32) (i32.const 2))"#,
            call: "(drop (call $f))",
            error: "invalid variant discriminant: 2 in a value of type result",
            ..CASE
        },
        // Values in memory.
        Case {
            what: "parameters outside",
            ty: wide,
            imported: "(param i32)",
            callee: one,
            call: "(call $f (i32.const 65472))",
            error: "pointer out of bounds: 68 bytes at 0xffc0",
            ..CASE
        },
        Case {
            what: "parameters that are not aligned",
            ty: wide,
            imported: "(param i32)",
            callee: one,
            call: "(call $f (i32.const 2))",
            error: "pointer not aligned: 0x2 is not a multiple of 4",
            ..CASE
        },
        Case {
            what: "a result outside",
            ty: pair,
            imported: returns_pair,
            call: "(call $f (i32.const 0))",
            callee: r#"(func (export "f") (result i32) (i32.const 65532))"#,
            error: "pointer out of bounds: 8 bytes at 0xfffc",
            ..CASE
        },
        Case {
            what: "a result that is not aligned",
            ty: pair,
            imported: returns_pair,
            call: "(call $f (i32.const 0))",
            callee: r#"(func (export "f") (result i32) (i32.const 1))"#,
            error: "pointer not aligned: 0x1",
            ..CASE
        },
        Case {
            what: "room for a result outside",
            ty: pair,
            imported: returns_pair,
            call: "(call $f (i32.const 65532))",
            callee: r#"(func (export "f") (result i32) (i32.const 0))"#,
            error: "pointer out of bounds: 8 bytes at 0xfffc",
            ..CASE
        },
        Case {
            what: "room for a result that is not aligned",
            ty: pair,
            imported: returns_pair,
            call: "(call $f (i32.const 3))",
            callee: r#"(func (export "f") (result i32) (i32.const 0))"#,
            error: "pointer not aligned: 0x3",
            ..CASE
        },
        Case {
            what: "a string that is returned",
            ty: "(result string)",
            imported: returns_pair,
            call: "(call $f (i32.const 0))",
            error: outside,
            callee: r#"(func (export "f") (result i32) (i32.store (i32.const 0) (i32.const 65537)) (i32.const 0))"#,
            ..CASE
        },
        // Allocators.
        Case {
            what: "an allocator that returns what is outside",
            call: "(call $f (i32.const 0) (i32.const 2))",
            callee: r#"(func (export "f") (param i32 i32))
                (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 65535))"#,
            error: "realloc return: beyond end of memory: 2 bytes at 0xffff, and the memory has 65536",
            ..CASE
        },
        Case {
            what: "an allocator that returns what is not aligned",
            ty: list,
            call: "(call $f (i32.const 0) (i32.const 2))",
            callee: r#"(func (export "f") (param i32 i32))
                (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 6))"#,
            error: "realloc return: result not aligned: 0x6 is not a multiple of 4",
            ..CASE
        },
        // All parameters are lifted before anything is allocated.
        Case {
            what: "an allocator, after a parameter",
            ty: r#"(param "a" string) (param "b" char)"#,
            imported: "(param i32 i32 i32)",
            call: "(call $f (i32.const 0) (i32.const 2) (i32.const -1))",
            callee: r#"(func (export "f") (param i32 i32 i32))
                (func (export "realloc") (param i32 i32 i32 i32) (result i32) unreachable)"#,
            error: "invalid `char` bit pattern: 0xffffffff",
            ..CASE
        },
    ];
    for case in cases {
        let [adapted, lifted] = errors(&engine, case.what, &case.text()).map(|error| error.to_string());
        assert!(adapted.starts_with(case.error), "{}: {adapted}", case.what);
        assert_eq!(adapted, lifted, "{}", case.what);
    }
}

#[test]
fn traps_and_exceptions_of_the_callee_end_the_caller() {
    let engine = engine();
    let call = "(call $f (i32.const 0) (i32.const 2))";
    let unreachable = |what, callee, options| Case { what, call, callee, options, ..CASE };
    let trap = |error: &Error| error.downcast_ref::<Trap>().copied();
    let post_return = r#"(post-return (core func $m "after"))"#;
    for case in [
        unreachable("the callee", r#"(func (export "f") (param i32 i32) unreachable)"#, ""),
        unreachable(
            "the allocator",
            r#"(func (export "f") (param i32 i32))
            (func (export "realloc") (param i32 i32 i32 i32) (result i32) unreachable)"#,
            "",
        ),
        unreachable(
            "post-return",
            r#"(func (export "f") (param i32 i32)) (func (export "after") unreachable)"#,
            post_return,
        ),
    ] {
        for error in errors(&engine, case.what, &case.text()) {
            assert_eq!(trap(&error), Some(Trap::UnreachableCodeReached), "{}: {error}", case.what);
        }
        // An exception is none for the caller, which catches everything.
        let text = case
            .text()
            .replace("unreachable", "(throw $t)")
            .replace("(core module $m (memory", "(core module $m (tag $t) (memory");
        let caught =
            "(block $caught (try_table (catch_all $caught) (call $f (i32.const 0) (i32.const 2))) (return))";
        let text = text.replace(call, caught);
        for error in errors(&engine, case.what, &text) {
            let error = error.to_string();
            assert!(
                error.starts_with("uncaught exception propagated out of component"),
                "{}: {error}",
                case.what
            );
        }
    }
}

#[test]
fn backtraces_name_adapters() {
    let engine = engine();
    let case = Case {
        call: "(call $f (i32.const 0) (i32.const 2))",
        callee: r#"(func $inner (export "f") (param i32 i32) unreachable)"#,
        ..CASE
    };
    let [adapted, _] = errors(&engine, "unreachable", &case.text());
    let trace = adapted.downcast_ref::<WasmBacktrace>().expect("a backtrace");
    let names: Vec<_> = trace.frames().iter().map(|frame| frame.func_name()).collect();
    assert_eq!(names, [Some("inner"), Some("adapter of f"), Some("run")]);
    assert_eq!(trace.frames()[1].module_name(), Some("adapters"));
}

/// Calls the function `run` of a component, which returns a number.
fn numbers(engine: &Engine, text: &str) -> [u32; 2] {
    both(engine, text).map(|component| {
        let mut store = Store::new(engine, ());
        let instance = Linker::new(engine).instantiate(&mut store, &component);
        let instance = instance.unwrap_or_else(|error| panic!("{error:?}"));
        let run = instance.get_func(&store, "run").unwrap().typed::<(), (u32,)>(&store).unwrap();
        let (number,) = run.call(&mut store, ()).unwrap_or_else(|error| panic!("{error:?}\n{text}"));
        number
    })
}

#[test]
fn bits_that_mean_nothing_are_removed() {
    let engine = engine();
    for (ty, core, passed, arrives) in [
        ("bool", "i32", "i32.const 2", "i32.const 1"),
        ("u8", "i32", "i32.const 0x1ff", "i32.const 0xff"),
        ("s8", "i32", "i32.const 0x1fe", "i32.const -2"),
        ("u16", "i32", "i32.const 0x1fffe", "i32.const 0xfffe"),
        ("s16", "i32", "i32.const 0x1fffe", "i32.const -2"),
        ("$flags", "i32", "i32.const 0xff", "i32.const 7"),
        ("f32", "f32", "f32.const -0.5", "f32.const -0.5"),
    ] {
        let types = r#"(type $f (flags "a" "b" "c")) (import "t" (type $flags (eq $f)))"#;
        let text = format!(
            r#"(component
            {types}
            (component $B {types}
                (core module $m (func (export "f") (param {core}) (result i32) ({core}.eq (local.get 0) ({arrives}))))
                (core instance $m (instantiate $m))
                (func (export "f") (param "a" {ty}) (result u32) (canon lift (core func $m "f"))))
            (component $A {types}
                (import "f" (func $f (param "a" {ty}) (result u32)))
                (core func $f (canon lower (func $f)))
                (core module $m (import "" "f" (func $f (param {core}) (result i32)))
                    (func (export "run") (result i32) (call $f ({passed}))))
                (core instance $m (instantiate $m (with "" (instance (export "f" (func $f))))))
                (func (export "run") (result u32) (canon lift (core func $m "run"))))
            (instance $b (instantiate $B (with "t" (type $flags))))
            (instance $a (instantiate $A (with "t" (type $flags)) (with "f" (func $b "f"))))
            (export "run" (func $a "run")))"#
        );
        assert_eq!(numbers(&engine, &text), [1, 1], "{ty}");
    }
}

#[test]
fn bits_that_mean_nothing_are_removed_from_memory() {
    let engine = engine();
    // A truth value, flags, and a case without a payload, whose bytes do not reach the other component.
    let types = r#"(type $f (flags "a" "b" "c")) (import "t" (type $flags (eq $f)))"#;
    let ty = r#"(param "a" (list (tuple bool $flags (option u32))))"#;
    let text = format!(
        r#"(component
        {types}
        (component $B {types}
            (core module $m (memory (export "memory") 1) {ALLOCATES}
                (func (export "f") (param $at i32) (param i32) (result i32)
                    (i32.and
                        (i64.eq (i64.load (local.get $at)) (i64.const 0x0000_0000_0000_0701))
                        (i32.eqz (i32.load offset=8 (local.get $at))))))
            (core instance $m (instantiate $m))
            (func (export "f") {ty} (result bool) (canon lift (core func $m "f")
                (memory (core memory $m "memory")) (realloc (core func $m "realloc")))))
        (component $A {types}
            (import "f" (func $f {ty} (result bool)))
            (core module $libc (memory (export "memory") 1))
            (core instance $libc (instantiate $libc))
            (core func $f (canon lower (func $f) (memory (core memory $libc "memory"))))
            (core module $m (import "" "f" (func $f (param i32 i32) (result i32)))
                (import "libc" "memory" (memory 1))
                (func (export "run") (result i32)
                    (i64.store (i32.const 0) (i64.const 0xffff_ff00_ffff_ff02))
                    (i32.store (i32.const 8) (i32.const -1))
                    (call $f (i32.const 0) (i32.const 1))))
            (core instance $m (instantiate $m
                (with "" (instance (export "f" (func $f)))) (with "libc" (instance $libc))))
            (func (export "run") (result u32) (canon lift (core func $m "run"))))
        (instance $b (instantiate $B (with "t" (type $flags))))
        (instance $a (instantiate $A (with "t" (type $flags)) (with "f" (func $b "f"))))
        (export "run" (func $a "run")))"#
    );
    assert_eq!(numbers(&engine, &text), [1, 1]);
}

#[test]
fn allocators_may_have_types_of_their_own() {
    let engine = Engine::default();
    // Neither type of the group is that of a function which is imported by its parameters and results.
    let text = r#"(component
        (component $B
            (core module $m
                (rec (type $realloc (sub (func (param i32 i32 i32 i32) (result i32)))) (type $other (struct)))
                (memory (export "memory") 1)
                (func (export "realloc") (type $realloc) (i32.const 64))
                (func (export "f") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1))))
            (core instance $m (instantiate $m))
            (func (export "f") (param "a" string) (result u32) (canon lift (core func $m "f")
                (memory (core memory $m "memory")) (realloc (core func $m "realloc")))))
        (component $A
            (import "f" (func $f (param "a" string) (result u32)))
            (core module $libc (memory (export "memory") 1))
            (core instance $libc (instantiate $libc))
            (core func $f (canon lower (func $f) (memory (core memory $libc "memory"))))
            (core module $m (import "" "f" (func $f (param i32 i32) (result i32)))
                (func (export "run") (result i32) (call $f (i32.const 0) (i32.const 3))))
            (core instance $m (instantiate $m (with "" (instance (export "f" (func $f))))))
            (func (export "run") (result u32) (canon lift (core func $m "run"))))
        (instance $b (instantiate $B))
        (instance $a (instantiate $A (with "f" (func $b "f"))))
        (export "run" (func $a "run")))"#;
    assert_eq!(numbers(&engine, text), [67, 67]);
}

#[test]
fn text_that_an_allocator_moves_is_read_where_it_then_is() {
    let engine = Engine::default();
    // The allocator of `$B` moves nothing when it makes room: "ab" has gone when "д" shows that it has to be UTF-16.
    let text = r#"(component
        (component $B
            (core module $m
                (memory (export "memory") 1)
                (func (export "realloc") (param $old i32) (param $old_size i32) (param i32) (param $size i32) (result i32)
                    (if (i32.eqz (local.get $old)) (then (return (i32.const 64))))
                    (if (i32.lt_u (local.get $old_size) (local.get $size)) (then (return (i32.const 128))))
                    (local.get $old))
                (func (export "f") (param i32 i32) (result i32)
                    (i32.add (i32.load (local.get 0)) (i32.load16_u offset=4 (local.get 0)))))
            (core instance $m (instantiate $m))
            (func (export "f") (param "a" string) (result u32) (canon lift (core func $m "f")
                (memory (core memory $m "memory")) (realloc (core func $m "realloc")) string-encoding=latin1+utf16)))
        (component $A
            (import "f" (func $f (param "a" string) (result u32)))
            (core module $libc (memory (export "memory") 1) (data (i32.const 0) "abд"))
            (core instance $libc (instantiate $libc))
            (core func $f (canon lower (func $f) (memory (core memory $libc "memory"))))
            (core module $m (import "" "f" (func $f (param i32 i32) (result i32)))
                (func (export "run") (result i32) (call $f (i32.const 0) (i32.const 4))))
            (core instance $m (instantiate $m (with "" (instance (export "f" (func $f))))))
            (func (export "run") (result u32) (canon lift (core func $m "run"))))
        (instance $b (instantiate $B))
        (instance $a (instantiate $A (with "f" (func $b "f"))))
        (export "run" (func $a "run")))"#;
    assert_eq!(numbers(&engine, text), [0x434, 0x434]);
}

/// Writes components that pass handles: `$R` implements a resource, `$C` gets handles, and `$A` calls both.
fn with_handles(call: &str, of_c: &str) -> String {
    let resource = r#"(import "r" (type $r (sub resource)))
        (import "make" (func $make (param "rep" u32) (result (own $r))))
        (import "take" (func $take (param "r" (own $r)) (result u32)))
        (import "look" (func $look (param "r" (borrow $r)) (result u32)))
        (core func $make (canon lower (func $make)))
        (core func $take (canon lower (func $take)))
        (core func $look (canon lower (func $look)))
        (core func $drop (canon resource.drop $r))"#;
    let imports = r#"(import "" "make" (func $make (param i32) (result i32)))
        (import "" "take" (func $take (param i32) (result i32)))
        (import "" "look" (func $look (param i32) (result i32)))
        (import "" "drop" (func $drop (param i32)))"#;
    let exports = r#"(export "make" (func $make)) (export "take" (func $take)) (export "look" (func $look))
        (export "drop" (func $drop))"#;
    let given = r#"(with "r" (type $r "r")) (with "make" (func $r "make")) (with "take" (func $r "take"))
        (with "look" (func $r "look"))"#;
    format!(
        r#"(component
        (component $R
            (type $r (resource (rep i32)))
            (core func $new (canon resource.new $r))
            (core func $rep (canon resource.rep $r))
            (core func $drop (canon resource.drop $r))
            (core module $m
                (import "" "new" (func $new (param i32) (result i32)))
                (import "" "rep" (func $rep (param i32) (result i32)))
                (import "" "drop" (func $drop (param i32)))
                (func (export "make") (param i32) (result i32) (call $new (local.get 0)))
                ;; Who implements a resource gets what stands for it.
                (func (export "look") (param i32) (result i32) (local.get 0))
                (func (export "take") (param i32) (result i32)
                    (call $rep (local.get 0)) (call $drop (local.get 0))))
            (core instance $m (instantiate $m (with "" (instance
                (export "new" (func $new)) (export "rep" (func $rep)) (export "drop" (func $drop))))))
            (export $r' "r" (type $r))
            (func (export "make") (param "rep" u32) (result (own $r')) (canon lift (core func $m "make")))
            (func (export "take") (param "r" (own $r')) (result u32) (canon lift (core func $m "take")))
            (func (export "look") (param "r" (borrow $r')) (result u32) (canon lift (core func $m "look"))))
        (component $C
            {resource}
            (core module $m {imports} (memory (export "memory") 1)
                (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024))
                {of_c})
            (core instance $m (instantiate $m (with "" (instance {exports}))))
            (func (export "lend") (param "a" (borrow $r)) (param "b" (option (own $r))) (result u32)
                (canon lift (core func $m "lend")))
            (func (export "give") (param "all" (list (tuple (own $r) u8))) (result u32)
                (canon lift (core func $m "give") (memory (core memory $m "memory")) (realloc (core func $m "realloc")))))
        (component $A
            {resource}
            (import "lend" (func $lend (param "a" (borrow $r)) (param "b" (option (own $r))) (result u32)))
            (import "give" (func $give (param "all" (list (tuple (own $r) u8))) (result u32)))
            (core module $libc (memory (export "memory") 1))
            (core instance $libc (instantiate $libc))
            (core func $lend (canon lower (func $lend)))
            (core func $give (canon lower (func $give) (memory (core memory $libc "memory"))))
            (core module $m {imports}
                (import "" "lend" (func $lend (param i32 i32 i32) (result i32)))
                (import "" "give" (func $give (param i32 i32) (result i32)))
                (import "libc" "memory" (memory 1))
                (func (export "run") (result i32) {call}))
            (core instance $m (instantiate $m (with "libc" (instance $libc)) (with "" (instance {exports}
                (export "lend" (func $lend)) (export "give" (func $give))))))
            (func (export "run") (result u32) (canon lift (core func $m "run"))))
        (instance $r (instantiate $R))
        (instance $c (instantiate $C {given}))
        (instance $a (instantiate $A {given} (with "lend" (func $c "lend")) (with "give" (func $c "give"))))
        (export "run" (func $a "run")))"#
    )
}

const LENDS: &str = r#"(func (export "lend") (param i32 i32 i32) (result i32)
        (i32.mul (call $look (local.get 0)) (i32.const 100))
        (if (result i32) (local.get 1) (then (call $take (local.get 2))) (else (i32.const 0)))
        i32.add
        (call $drop (local.get 0)))
    (func (export "give") (param i32 i32) (result i32)
        (i32.mul (call $take (i32.load (local.get 0))) (i32.const 100))
        (call $take (i32.load offset=8 (local.get 0)))
        i32.add)"#;

#[test]
fn handles_pass_from_component_to_component() {
    let engine = engine();
    // The resources 11 and 12 have the handles 1 and 2, and others where they arrive.
    let lend = "(drop (call $make (i32.const 11))) (drop (call $make (i32.const 12)))
        (call $lend (i32.const 1) (i32.const 1) (i32.const 2))";
    assert_eq!(numbers(&engine, &with_handles(lend, LENDS)), [1112, 1112]);
    // After the call, what was lent can be given away.
    let twice = format!("{lend} (call $take (i32.const 1)) i32.add");
    assert_eq!(numbers(&engine, &with_handles(&twice, LENDS)), [1123, 1123]);
    let give = "(i32.store (i32.const 0) (call $make (i32.const 11))) (i32.store (i32.const 8) (call $make (i32.const 12)))
        (call $give (i32.const 0) (i32.const 2))";
    assert_eq!(numbers(&engine, &with_handles(give, LENDS)), [1112, 1112]);

    // Adapters do not depend on what an engine's modules may use, or on how memories are reserved.
    let mut config = Config::new();
    config.wasm_release(WasmRelease::V1).memory_reservation(0);
    assert_eq!(numbers(&Engine::new(&config).unwrap(), &with_handles(give, LENDS)), [1112, 1112]);

    let keeps = LENDS.replace("(call $drop (local.get 0))", "");
    let gives_on = LENDS.replace("(call $look (local.get 0))", "(call $take (local.get 0))");
    for (what, call, of_c, expected) in [
        ("an unknown handle", "(call $take (i32.const 5))", LENDS, "unknown handle index 5"),
        (
            "a handle that was given",
            "(drop (call $take (call $make (i32.const 1)))) (call $take (i32.const 1))",
            LENDS,
            "unknown handle index 1",
        ),
        (
            "a handle that is given twice",
            "(i32.store (i32.const 0) (call $make (i32.const 11)))
            (i32.store (i32.const 8) (i32.const 1)) (call $give (i32.const 0) (i32.const 2))",
            LENDS,
            "unknown handle index 1",
        ),
        (
            "a handle that is lent and given",
            "(call $lend (call $make (i32.const 1)) (i32.const 1) (i32.const 1))",
            LENDS,
            "cannot remove owned resource while borrowed",
        ),
        (
            "a borrowed handle that is given",
            "(call $lend (call $make (i32.const 1)) (i32.const 0) (i32.const 0))",
            &*gives_on,
            "cannot lift own resource from a borrow",
        ),
        (
            "a borrowed handle that is kept",
            "(call $lend (call $make (i32.const 1)) (i32.const 0) (i32.const 0))",
            &*keeps,
            "borrow handles still remain at the end of the call: 1 handle",
        ),
    ] {
        for error in errors_with_result(&engine, what, &with_handles(call, of_c)) {
            assert_eq!(error, expected, "{what}");
        }
    }
}

/// As [`errors`], for a function with a result.
fn errors_with_result(engine: &Engine, what: &str, text: &str) -> [String; 2] {
    both(engine, text).map(|component| {
        let mut store = Store::new(engine, ());
        let instance = Linker::new(engine).instantiate(&mut store, &component).unwrap();
        let run = instance.get_func(&store, "run").unwrap().typed::<(), (u32,)>(&store).unwrap();
        run.call(&mut store, ()).expect_err(what).to_string()
    })
}

#[test]
fn allocators_and_post_return_may_not_leave() {
    let engine = engine();
    for (called, core) in
        [("realloc", "(result i32) (call $leave) (i32.const 16)"), ("after", "(call $leave)")]
    {
        let of = |name: &str| if name == called { core } else { "" };
        let text = format!(
            r#"(component
            (component $L
                (core module $m (func (export "f")))
                (core instance $m (instantiate $m))
                (func (export "f") (canon lift (core func $m "f"))))
            (component $B
                (import "leave" (func $leave))
                (core func $leave (canon lower (func $leave)))
                (core module $m
                    (import "" "leave" (func $leave))
                    (memory (export "memory") 1)
                    (func (export "realloc") (param i32 i32 i32 i32) {realloc})
                    (func (export "f") (param i32 i32) (call $leave))
                    (func (export "after") {after}))
                (core instance $m (instantiate $m (with "" (instance (export "leave" (func $leave))))))
                (func (export "f") (param "a" string) (canon lift (core func $m "f") (memory (core memory $m "memory"))
                    (realloc (core func $m "realloc")) (post-return (core func $m "after")))))
            (component $A
                (import "f" (func $f (param "a" string)))
                (core module $libc (memory (export "memory") 1))
                (core instance $libc (instantiate $libc))
                (core func $f (canon lower (func $f) (memory (core memory $libc "memory"))))
                (core module $m (import "" "f" (func $f (param i32 i32)))
                    (func (export "run") (call $f (i32.const 0) (i32.const 3))))
                (core instance $m (instantiate $m (with "" (instance (export "f" (func $f))))))
                (func (export "run") (canon lift (core func $m "run"))))
            (instance $l (instantiate $L))
            (instance $b (instantiate $B (with "leave" (func $l "f"))))
            (instance $a (instantiate $A (with "f" (func $b "f"))))
            (export "run" (func $a "run")))"#,
            realloc = if called == "realloc" { of("realloc") } else { "(result i32) (i32.const 16)" },
            after = of("after"),
        );
        for error in errors(&engine, called, &text) {
            let error = error.to_string();
            assert!(error.starts_with("cannot leave component instance"), "{called}: {error}");
        }
    }
}

#[test]
fn a_call_keeps_values_that_its_allocator_does_not_see() {
    let engine = engine();
    let text = r#"(component
        (component $B
            (core func $get (canon context.get i32 0))
            (core func $set (canon context.set i32 0))
            (core module $m
                (import "" "get" (func $get (result i32)))
                (import "" "set" (func $set (param i32)))
                (memory (export "memory") 1)
                (func (export "realloc") (param i32 i32 i32 i32) (result i32)
                    (if (call $get) (then unreachable))
                    (call $set (i32.const 5))
                    (i32.const 16))
                (func (export "f") (param i32 i32) (result i32)
                    (if (call $get) (then unreachable))
                    (call $set (i32.const 7))
                    (call $get)))
            (core instance $m (instantiate $m
                (with "" (instance (export "get" (func $get)) (export "set" (func $set))))))
            (func (export "f") (param "a" string) (result u32) (canon lift (core func $m "f")
                (memory (core memory $m "memory")) (realloc (core func $m "realloc")))))
        (component $A
            (import "f" (func $f (param "a" string) (result u32)))
            (core func $get (canon context.get i32 0))
            (core func $set (canon context.set i32 0))
            (core module $libc (memory (export "memory") 1))
            (core instance $libc (instantiate $libc))
            (core func $f (canon lower (func $f) (memory (core memory $libc "memory"))))
            (core module $m
                (import "" "f" (func $f (param i32 i32) (result i32)))
                (import "" "get" (func $get (result i32)))
                (import "" "set" (func $set (param i32)))
                (func (export "run") (result i32)
                    (call $set (i32.const 100))
                    (call $f (i32.const 0) (i32.const 3))
                    (i32.add (call $get))))
            (core instance $m (instantiate $m (with "" (instance
                (export "f" (func $f)) (export "get" (func $get)) (export "set" (func $set))))))
            (func (export "run") (result u32) (canon lift (core func $m "run"))))
        (instance $b (instantiate $B))
        (instance $a (instantiate $A (with "f" (func $b "f"))))
        (export "run" (func $a "run")))"#;
    assert_eq!(numbers(&engine, text), [107, 107]);
}

/// Stacks name the function of WIT that the host implements; errors, the one that was called.
#[test]
fn stacks_and_errors_name_functions_of_wit() {
    let engine = engine();
    let component = Component::new(
        &engine,
        r#"(component
            (import "my:host/api@1.0.0" (instance $host (export "wait" (func (param "fails" bool)))))
            (core func $wait (canon lower (func $host "wait")))
            (core module $tool
                ;; Under another name than the interface has.
                (import "" "0" (func $import (param i32)))
                (func $inner (param i32) (call $import (local.get 0)))
                (func (export "run") (param i32) (call $inner (local.get 0))))
            (core instance $tool (instantiate $tool (with "" (instance (export "0" (func $wait))))))
            (func $run (param "fails" bool) (canon lift (core func $tool "run")))
            (instance (export "my:tool/api@1.0.0") (export "run" (func $run))))"#,
    )
    .unwrap();
    let (reached, is_reached) = std::sync::mpsc::channel();
    let (go_on, goes_on) = std::sync::mpsc::channel();
    let goes_on = std::sync::Mutex::new(goes_on);
    let mut linker = Linker::<()>::new(&engine);
    let mut host = linker.instance("my:host/api@1.0.0").unwrap();
    host.func_wrap("wait", move |_, (fails,): (bool,)| {
        if fails {
            return Err(Error::msg("no time"));
        }
        reached.send(()).unwrap();
        goes_on.lock().unwrap().recv().unwrap();
        Ok(())
    })
    .unwrap();
    let mut store = Store::new(&engine, ());
    let instance = linker.instantiate(&mut store, &component).unwrap();
    let run = instance.get_typed_func::<(bool,), ()>(&store, ["my:tool/api@1.0.0", "run"]).unwrap();
    let inspector = store.inspector();
    std::thread::scope(|scope| {
        scope.spawn(|| run.call(&mut store, (false,)).unwrap());
        is_reached.recv().unwrap();
        let stack = inspector.capture(std::time::Duration::from_secs(60)).unwrap();
        go_on.send(()).unwrap();
        assert_eq!(stack.host_function(), Some(("my:host/api@1.0.0", "wait")));
        let names: Vec<_> =
            stack.backtrace().frames().iter().map(|frame| (frame.module_name(), frame.func_name())).collect();
        assert_eq!(names, [(Some("tool"), Some("inner")), (Some("tool"), Some("run"))]);
    });
    let error = run.call(&mut store, (true,)).unwrap_err();
    assert_eq!(error.to_string(), "no time");
    let long = format!("{error:?}");
    assert!(long.contains("in a call of the component's my:tool/api@1.0.0#run"), "{long}");
}

/// The canonical ABI asks for room for UTF-16, and then for the smaller room that the bytes need.
#[test]
fn text_that_turns_out_to_be_latin1_is_made_smaller_with_an_alignment_of_1() {
    let engine = engine();
    let component = Component::new(
        &engine,
        r#"(component
            (component $Taker
                (core module $m
                    (memory (export "memory") 1)
                    (global $seen (mut i32) (i32.const 0))
                    (func (export "realloc") (param i32 i32 i32 i32) (result i32)
                        (global.set $seen (i32.add (i32.mul (global.get $seen) (i32.const 10)) (local.get 2)))
                        (i32.const 64))
                    (func (export "take") (param i32 i32) (result i32) (global.get $seen)))
                (core instance $m (instantiate $m))
                (func (export "take") (param "text" string) (result u32)
                    (canon lift (core func $m "take") (memory (core memory $m "memory"))
                        (realloc (core func $m "realloc")) string-encoding=latin1+utf16)))
            (component $Giver
                (import "take" (func $take (param "text" string) (result u32)))
                (core module $memory (memory (export "memory") 1) (data (i32.const 0) "a\00b\00c\00"))
                (core instance $memory (instantiate $memory))
                (core func $take (canon lower (func $take) (memory (core memory $memory "memory"))
                    string-encoding=latin1+utf16))
                (core module $m
                    (import "" "take" (func $take (param i32 i32) (result i32)))
                    (func (export "run") (result i32) (call $take (i32.const 0) (i32.const 0x80000003))))
                (core instance $m (instantiate $m (with "" (instance (export "take" (func $take))))))
                (func (export "run") (result u32) (canon lift (core func $m "run"))))
            (instance $taker (instantiate $Taker))
            (instance $giver (instantiate $Giver (with "take" (func $taker "take"))))
            (export "run" (func $giver "run")))"#,
    )
    .unwrap();
    let mut store = Store::new(&engine, ());
    let instance = Linker::new(&engine).instantiate(&mut store, &component).unwrap();
    let run = instance.get_typed_func::<(), (u32,)>(&store, "run").unwrap();
    assert_eq!(run.call(&mut store, ()).unwrap(), (21,));
}
