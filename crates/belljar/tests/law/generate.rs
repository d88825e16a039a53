//! Generated modules for tests of resets: each has some memories, tables, globals and segments, functions that change
//! them, functions that end a run in some way, and functions that report the state.

use std::fmt::Write;

/// SplitMix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, 2014).
pub(crate) struct Random(pub u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    pub(crate) fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    pub(crate) fn pick<V: Copy>(&mut self, from: &[V]) -> V {
        from[self.below(from.len() as u64) as usize]
    }
}

/// What a module exports. Every function takes and returns an `i64`.
pub(crate) struct Generated {
    pub wat: String,
    /// Exported as `m0` and so on.
    pub memories: usize,
    /// `see_t0` and so on return an element, `size_t0` and so on the number of elements.
    pub tables: usize,
    /// `see_g0` and so on return a value.
    pub globals: usize,
    /// `op0` and so on change the state.
    pub ops: usize,
    /// Ways to end a run: names of exports.
    pub ends: Vec<&'static str>,
    /// Functions that report whether segments are dropped, and may change memories and tables: names of exports.
    pub probes: Vec<String>,
}

const TYPES: &str = r#"
  (type $op (func (param i64) (result i64)))
  (type $other (func (param i32)))
  (type $node (sub (struct (field (mut (ref null $node))) (field (mut i64)) (field (mut i8)))))
  (type $fat (sub $node (struct (field (mut (ref null $node))) (field (mut i64)) (field (mut i8)) (field (mut anyref)))))
  (type $bytes (array (mut i8)))
  (type $longs (array (mut i64)))
  (type $refs (array (mut anyref)))
  (type $externs (array (mut externref)))
  (import "host" "do" (func $do (param i64 i64) (result i64)))
  (import "host" "make" (func $make (param i64) (result externref)))
  (import "host" "read" (func $read (param externref) (result i64)))
  (tag $e (param i64))
  (tag $f (param externref))
  (func $id0 (type $op) (i64.const 100))
  (func $id1 (type $op) (i64.const 101))
  (func $id2 (type $op) (i64.const 102))
  (func $odd (type $other))
  (elem declare func $id0 $id1 $id2 $odd)
"#;

/// Functions that describe references, and the ends that every module has.
const COMMON: &str = r#"
  (func $see_func (param funcref) (result i64)
    (if (ref.is_null (local.get 0)) (then (return (i64.const -1))))
    (if (i32.eqz (ref.test (ref $op) (local.get 0))) (then (return (i64.const -2))))
    (call_ref $op (i64.const 0) (ref.cast (ref $op) (local.get 0))))
  (func $see_extern (param externref) (result i64)
    (if (ref.is_null (local.get 0)) (then (return (i64.const -1))))
    (i64.add (i64.mul (call $read (local.get 0)) (i64.const 7))
      (call $see (any.convert_extern (local.get 0)) (i32.const 0))))
  (func $see_exn (param exnref) (result i64)
    (if (ref.is_null (local.get 0)) (then (return (i64.const -1))))
    (block $one (result i64)
      (return (call $see_extern (block $two (result externref)
        (try_table (catch $e $one) (catch $f $two) (throw_ref (local.get 0))) (unreachable))))))
  (func $see_any (param anyref) (result i64) (call $see (local.get 0) (i32.const 2)))
  (func $see (param $r anyref) (param $depth i32) (result i64)
    (local $n (ref null $node)) (local $count i64) (local $sum i64) (local $i i32) (local $length i32)
    (if (ref.is_null (local.get $r)) (then (return (i64.const -1))))
    (if (ref.test (ref i31) (local.get $r))
      (then (return (i64.add (i64.const 5000000) (i64.extend_i32_s (i31.get_s (ref.cast (ref i31) (local.get $r))))))))
    (if (ref.test (ref $node) (local.get $r)) (then
      (local.set $n (ref.cast (ref $node) (local.get $r)))
      (loop $next
        (if (i32.and (i32.eqz (ref.is_null (local.get $n))) (i64.lt_u (local.get $count) (i64.const 200))) (then
          (local.set $count (i64.add (local.get $count) (i64.const 1)))
          (local.set $sum (i64.add (i64.mul (local.get $sum) (i64.const 31)) (i64.add (struct.get $node 1 (local.get $n))
            (i64.extend_i32_u (struct.get_u $node 2 (local.get $n))))))
          (if (i32.and (ref.test (ref $fat) (local.get $n)) (i32.gt_s (local.get $depth) (i32.const 0))) (then
            (local.set $sum (i64.add (i64.mul (local.get $sum) (i64.const 37))
              (call $see (struct.get $fat 3 (ref.cast (ref $fat) (local.get $n))) (i32.sub (local.get $depth) (i32.const 1)))))))
          (local.set $n (struct.get $node 0 (local.get $n)))
          (br $next))))
      (return (i64.add (local.get $sum) (i64.shl (local.get $count) (i64.const 48))))))
    (if (i32.eqz (ref.test (ref array) (local.get $r))) (then (return (i64.const -7))))
    (local.set $length (array.len (ref.cast (ref array) (local.get $r))))
    (loop $next
      (if (i32.and (i32.lt_u (local.get $i) (local.get $length)) (i32.lt_u (local.get $i) (i32.const 64))) (then
        (local.set $sum (i64.add (i64.mul (local.get $sum) (i64.const 33))
          (if (result i64) (ref.test (ref $bytes) (local.get $r))
            (then (i64.extend_i32_u (array.get_u $bytes (ref.cast (ref $bytes) (local.get $r)) (local.get $i))))
            (else (if (result i64) (ref.test (ref $longs) (local.get $r))
              (then (array.get $longs (ref.cast (ref $longs) (local.get $r)) (local.get $i)))
              (else (if (result i64) (ref.test (ref $externs) (local.get $r))
                (then (call $see_extern (array.get $externs (ref.cast (ref $externs) (local.get $r)) (local.get $i))))
                (else (if (result i64) (i32.and (i32.lt_u (local.get $i) (i32.const 4)) (i32.gt_s (local.get $depth) (i32.const 0)))
                  (then (call $see (array.get $refs (ref.cast (ref $refs) (local.get $r)) (local.get $i))
                    (i32.sub (local.get $depth) (i32.const 1))))
                  (else (i64.extend_i32_u (ref.is_null (array.get $refs (ref.cast (ref $refs) (local.get $r)) (local.get $i))))))))))))))
        (local.set $i (i32.add (local.get $i) (i32.const 1)))
        (br $next))))
    (i64.add (local.get $sum) (i64.shl (i64.extend_i32_u (local.get $length)) (i64.const 40))))

  (global $kept (mut anyref) (ref.null any))
  (global $deep (mut i64) (i64.const 0))
  (func (export "see_kept") (type $op) (call $see_any (global.get $kept)))
  (func (export "see_deep") (type $op) (global.get $deep))
  (func (export "see_host") (type $op) (call $do (i64.const 0) (local.get 0)))

  (func (export "returns") (type $op) (local.get 0))
  (func (export "unreachable") (type $op) (unreachable))
  (func (export "divides_by_zero") (type $op) (i64.div_u (local.get 0) (i64.const 0)))
  (func (export "overflows") (type $op) (i64.div_s (i64.const 0x8000000000000000) (i64.const -1)))
  (func (export "converts") (type $op) (i64.trunc_f64_s (f64.const nan)))
  (func (export "casts") (type $op)
    (struct.get $fat 1 (ref.cast (ref $fat) (struct.new $node (ref.null $node) (local.get 0) (i32.const 1)))))
  (func (export "null_struct") (type $op) (struct.get $node 1 (ref.null $node)))
  (func (export "array_bounds") (type $op) (array.get $longs (array.new_default $longs (i32.const 5)) (i32.const 5)))
  (func (export "array_too_large") (type $op) (global.set $kept (array.new_default $longs (i32.const -1))) (i64.const 0))
  (func $deepen (export "recurses") (type $op)
    (global.set $deep (i64.add (global.get $deep) (i64.const 1)))
    (i64.add (call $deepen (local.get 0)) (i64.const 1)))
  (func $deepen_with_objects (param $n (ref null $node)) (result i64)
    (local $new (ref null $node))
    (local.set $new (struct.new $node (local.get $n) (i64.const 3) (i32.const 4)))
    (global.set $kept (local.get $new))
    (i64.add (call $deepen_with_objects (local.get $new)) (struct.get $node 1 (local.get $new))))
  (func (export "recurses_with_objects") (type $op) (call $deepen_with_objects (ref.null $node)))
  (func $deepen_with_host (export "recurses_with_host") (type $op)
    (i64.add (call $deepen_with_host (call $do (i64.const 0) (i64.const 1))) (i64.const 1)))
  (func (export "throws") (type $op) (throw $e (local.get 0)))
  (func (export "throws_extern") (type $op) (throw $f (call $make (local.get 0))))
  (func (export "throws_null") (type $op) (throw_ref (ref.null exn)))
  (func (export "host_error") (type $op) (call $do (i64.const 1) (local.get 0)))
  (func (export "host_panic") (type $op) (call $do (i64.const 2) (local.get 0)))
  (func (export "host_kill") (type $op) (drop (call $do (i64.const 3) (local.get 0))) (global.set $deep (i64.const -5)) (i64.const 1))
  (func (export "host_kill_and_panic") (type $op) (call $do (i64.const 4) (local.get 0)))
  (func (export "host_kill_and_error") (type $op) (call $do (i64.const 5) (local.get 0)))
  (func (export "host_exit") (type $op) (call $do (i64.const 6) (local.get 0)))
  (func (export "host_trap") (type $op) (call $do (i64.const 7) (local.get 0)))
  (func (export "reenters") (type $op) (call $do (i64.const 8) (local.get 0)))
  (func (export "reenters_and_dies") (type $op) (call $do (i64.const 9) (local.get 0)))
  (func (export "host_grows") (type $op) (call $do (i64.const 10) (local.get 0)))
  (func (export "spins") (type $op) (loop (br 0)) (i64.const 0))
  (func (export "fills_heap") (type $op)
    (loop (global.set $kept (struct.new $fat (ref.cast (ref null $node) (block (result anyref)
        (if (result anyref) (ref.test (ref null $node) (global.get $kept)) (then (global.get $kept)) (else (ref.null any)))))
      (local.get 0) (i32.const 1) (ref.null any))) (br 0)) (i64.const 0))
  (func (export "fills_heap_with_arrays") (type $op) (local $a (ref null $refs))
    (loop (local.set $a (array.new $refs (local.get $a) (i32.const 50000))) (global.set $kept (local.get $a)) (br 0)) (i64.const 0))
  (func (export "fills_heap_with_externs") (type $op) (local $a (ref null $externs)) (local $i i32)
    (local.set $a (array.new_default $externs (i32.const 3000))) (global.set $kept (local.get $a))
    (loop $next
      (array.set $externs (local.get $a) (local.get $i) (call $make (i64.extend_i32_u (local.get $i))))
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br_if $next (i32.lt_u (local.get $i) (i32.const 3000))))
    (unreachable))
"#;

const ENDS: &[&str] = &[
    "returns",
    "unreachable",
    "divides_by_zero",
    "overflows",
    "converts",
    "casts",
    "null_struct",
    "array_bounds",
    "array_too_large",
    "recurses",
    "recurses_with_objects",
    "recurses_with_host",
    "throws",
    "throws_extern",
    "throws_null",
    "host_error",
    "host_panic",
    "host_kill",
    "host_kill_and_panic",
    "host_kill_and_error",
    "host_exit",
    "host_trap",
    "reenters",
    "reenters_and_dies",
    "host_grows",
    "spins",
    "fills_heap",
    "fills_heap_with_arrays",
    "fills_heap_with_externs",
];

/// A memory or table, as far as its users must know it.
#[derive(Clone, Copy)]
struct Space {
    is_64: bool,
    /// The element type of a table; a table of function references can be called through.
    element: Element,
}

impl Space {
    /// Converts an `i64` to an index.
    fn index(self, value: &str) -> String {
        if self.is_64 { value.into() } else { format!("(i32.wrap_i64 {value})") }
    }

    /// Converts an index to an `i64`.
    fn widen(self, value: &str) -> String {
        if self.is_64 { value.into() } else { format!("(i64.extend_i32_s {value})") }
    }
}

/// A type of values that can be reported, and created from the `i64` in local 0.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Element {
    Func,
    Extern,
    Any,
    Node,
    Exn,
    I32,
    I64,
    F32,
    F64,
    V128,
}

const REFERENCES: &[Element] =
    &[Element::Func, Element::Func, Element::Extern, Element::Any, Element::Node, Element::Exn];
const NUMBERS: &[Element] = &[Element::I32, Element::I64, Element::F32, Element::F64, Element::V128];

impl Element {
    fn ty(self) -> &'static str {
        match self {
            Self::Func => "funcref",
            Self::Extern => "externref",
            Self::Any => "anyref",
            Self::Node => "(ref null $node)",
            Self::Exn => "exnref",
            Self::I32 => "i32",
            Self::I64 => "i64",
            Self::F32 => "f32",
            Self::F64 => "f64",
            Self::V128 => "v128",
        }
    }

    /// Reports a value as an `i64`.
    fn tell(self, value: &str) -> String {
        match self {
            Self::Func => format!("(call $see_func {value})"),
            Self::Extern => format!("(call $see_extern {value})"),
            Self::Any | Self::Node => format!("(call $see_any {value})"),
            Self::Exn => format!("(call $see_exn {value})"),
            Self::I32 => format!("(i64.extend_i32_u {value})"),
            Self::I64 => value.into(),
            Self::F32 => format!("(i64.extend_i32_u (i32.reinterpret_f32 {value}))"),
            Self::F64 => format!("(i64.reinterpret_f64 {value})"),
            Self::V128 => {
                format!(
                    "(i64.xor (i64x2.extract_lane 0 {value}) (i64.rotl (i64x2.extract_lane 1 {value}) (i64.const 7)))"
                )
            }
        }
    }

    /// Returns an initial value.
    fn initial(self, random: &mut Random) -> String {
        let number = random.below(1000);
        match self {
            Self::Func if random.chance(50) => format!("(ref.func $id{})", number % 3),
            Self::Func => "(ref.null func)".into(),
            Self::Extern => "(ref.null extern)".into(),
            Self::Any if random.chance(30) => format!("(ref.i31 (i32.const {number}))"),
            Self::Any if random.chance(40) => {
                format!("(array.new $longs (i64.const {number}) (i32.const 9))")
            }
            Self::Any | Self::Node if random.chance(50) => {
                format!("(struct.new $node (ref.null $node) (i64.const {number}) (i32.const 7))")
            }
            Self::Any => "(ref.null any)".into(),
            Self::Node => "(ref.null $node)".into(),
            Self::Exn => "(ref.null exn)".into(),
            Self::I32 | Self::I64 | Self::F32 | Self::F64 => format!("({}.const {number})", self.ty()),
            Self::V128 => format!("(v128.const i64x2 {number} 5)"),
        }
    }

    /// Creates a value from local 0.
    fn make(self, random: &mut Random) -> String {
        const X: &str = "(local.get 0)";
        match self {
            Self::Func => {
                let [a, b] = [0; 2].map(|_: u64| random.pick(&["$id0", "$id1", "$id2", "$odd"]));
                format!(
                    "(select (result funcref) (ref.func {a}) (ref.func {b}) (i32.wrap_i64 (i64.and {X} (i64.const 1))))"
                )
            }
            Self::Extern if random.chance(30) => format!("(extern.convert_any {})", Self::Any.make(random)),
            Self::Extern => format!("(call $make {X})"),
            Self::Any => match random.below(7) {
                0 => format!("(ref.i31 (i32.wrap_i64 {X}))"),
                1 => format!("(array.new $longs {X} (i32.wrap_i64 (i64.and {X} (i64.const 4095))))"),
                2 => format!("(array.new_default $bytes (i32.wrap_i64 (i64.and {X} (i64.const 0x3ffff))))"),
                3 => format!(
                    "(array.new_fixed $externs 3 (call $make {X}) (ref.null extern) (call $make (i64.const 8)))"
                ),
                4 => format!("(any.convert_extern (call $make {X}))"),
                5 => format!(
                    "(array.new $refs (global.get $kept) (i32.wrap_i64 (i64.and {X} (i64.const 255))))"
                ),
                _ => format!("(struct.new $fat (ref.null $node) {X} (i32.const 3) (global.get $kept))"),
            },
            Self::Node => {
                let next = "(if (result (ref null $node)) (ref.test (ref null $node) (global.get $kept))
                    (then (ref.cast (ref null $node) (global.get $kept))) (else (ref.null $node)))";
                format!("(struct.new $node {next} {X} (i32.const 200))")
            }
            Self::Exn => {
                let throw =
                    random.pick(&["(throw $e (local.get 0))", "(throw $f (call $make (local.get 0)))"]);
                format!(
                    "(block $caught (result exnref) (try_table (catch_all_ref $caught) {throw}) (unreachable))"
                )
            }
            Self::I32 => format!("(i32.wrap_i64 {X})"),
            Self::I64 => format!("(i64.rotl {X} (i64.const {}))", random.below(64)),
            Self::F32 => format!("(f32.convert_i64_s {X})"),
            Self::F64 => format!("(f64.convert_i64_s {X})"),
            Self::V128 => format!("(i64x2.splat {X})"),
        }
    }
}

/// Generates a module, and a description of its exports.
pub(crate) fn generate(seed: u64) -> Generated {
    let mut random = Random(seed);
    let random = &mut random;
    let mut module = Module::default();
    module.text.push_str("(module");
    module.text.push_str(TYPES);
    for i in 0..random.pick(&[0, 1, 1, 1, 2, 3]) {
        module.memory(i, random);
    }
    for i in 0..random.pick(&[0, 1, 2, 3]) {
        module.table(i, random);
    }
    module.text.push_str(COMMON);
    for i in 0..random.below(6) as usize {
        module.global(i, random);
    }
    module.segments(random);
    let ops = 4 + random.below(8) as usize;
    for i in 0..ops {
        let body = module.op(random);
        // Which operations are chosen is random, so an operation may consist of several.
        let more = if random.chance(30) { module.op(random) } else { "(i64.const 0)".into() };
        writeln!(module.text, "  (func $op{i} (export \"op{i}\") (type $op) (i64.xor {body} {more}))")
            .unwrap();
    }
    let start = "(global.set $deep (i64.const 77)) (global.set $kept (struct.new $node (ref.null $node) (i64.const 5) (i32.const 6)))";
    if random.chance(40) {
        writeln!(module.text, "  (func $start {start}) (start $start)").unwrap();
    }
    // The host ignores how these end, so they may do anything.
    let call = "(drop (call $do (i64.const 8) (i64.const";
    let warm: String = (0..random.below(4)).map(|_| format!("{call} {})))", random.below(1 << 18))).collect();
    writeln!(module.text, "  (func (export \"init\") {warm})").unwrap();
    module.ends(random);
    module.text.push(')');
    let mut ends = ENDS.to_vec();
    ends.extend(&module.ends);
    Generated {
        wat: module.text,
        memories: module.memories.len(),
        tables: module.tables.len(),
        globals: module.globals.len(),
        ops,
        ends,
        probes: module.probes,
    }
}

#[derive(Default)]
struct Module {
    text: String,
    memories: Vec<Space>,
    tables: Vec<Space>,
    globals: Vec<(Element, bool)>,
    data: usize,
    elements: Vec<Element>,
    ends: Vec<&'static str>,
    probes: Vec<String>,
}

impl Module {
    fn memory(&mut self, i: usize, random: &mut Random) {
        let is_64 = random.chance(30);
        let bytes_for_pages = random.chance(20);
        let (unit, suffix) = if bytes_for_pages { (1, " (pagesize 1)") } else { (1 << 16, "") };
        // Sometimes one that is larger than what is wiped in place.
        let bytes = if random.chance(8) { 7 << 20 } else { random.below(4 << 16) };
        let minimum = bytes / unit;
        let maximum = random.pick(&[minimum, minimum + 1 + (300_000 / unit), minimum + (20 << 20) / unit]);
        let maximum = if random.chance(80) || bytes_for_pages { maximum.to_string() } else { String::new() };
        let address = if is_64 { "i64 " } else { "" };
        writeln!(self.text, "  (memory $m{i} (export \"m{i}\") {address}{minimum} {maximum}{suffix})")
            .unwrap();
        let space = Space { is_64, element: Element::I32 };
        for _ in 0..random.below(3) {
            let contents: String =
                (0..1 + random.below(40)).map(|_| random.pick(&['a', 'Z', '.', '7'])).collect();
            if minimum * unit > 60_000 {
                let at = if is_64 { "i64" } else { "i32" };
                let offset = random.below(50_000);
                writeln!(self.text, "  (data (memory $m{i}) ({at}.const {offset}) \"{contents}\")").unwrap();
            }
        }
        self.memories.push(space);
        writeln!(
            self.text,
            "  (func $size_m{i} (export \"size_m{i}\") (type $op) {})",
            space.widen(&format!("(memory.size $m{i})"))
        )
        .unwrap();
    }

    fn table(&mut self, i: usize, random: &mut Random) {
        let element = random.pick(REFERENCES);
        let is_64 = random.chance(20);
        let minimum = random.below(40);
        let maximum = random.pick(&[minimum, minimum, minimum + 10, 10_000]);
        let (export, address) = (
            if random.chance(50) { format!("(export \"t{i}\") ") } else { String::new() },
            if is_64 { "i64 " } else { "" },
        );
        writeln!(self.text, "  (table $t{i} {export}{address}{minimum} {maximum} {})", element.ty()).unwrap();
        let space = Space { is_64, element };
        if element == Element::Func && minimum > 4 {
            let at = if is_64 { "i64" } else { "i32" };
            writeln!(
                self.text,
                "  (elem (table $t{i}) ({at}.const {}) func $id1 $odd $id2)",
                random.below(minimum - 3)
            )
            .unwrap();
        }
        self.tables.push(space);
        let tell = element.tell(&format!("(table.get $t{i} {})", space.index("(local.get 0)")));
        writeln!(self.text, "  (func (export \"see_t{i}\") (type $op) {tell})").unwrap();
        let size = space.widen(&format!("(table.size $t{i})"));
        writeln!(self.text, "  (func (export \"size_t{i}\") (type $op) {size})").unwrap();
        // Space that was used by another table would show.
        let (value, few) = (element.make(random), space.index("(i64.const 30)"));
        let grow = space.widen(&format!("(table.grow $t{i} {value} {few})"));
        writeln!(self.text, "  (func (export \"probe_t{i}\") (type $op) {grow})").unwrap();
        self.probes.push(format!("probe_t{i}"));
    }

    fn global(&mut self, i: usize, random: &mut Random) {
        let element = if random.chance(50) { random.pick(NUMBERS) } else { random.pick(REFERENCES) };
        let is_mutable = random.chance(85);
        let ty = if is_mutable { format!("(mut {})", element.ty()) } else { element.ty().into() };
        let export = if random.chance(50) { format!("(export \"g{i}\") ") } else { String::new() };
        writeln!(self.text, "  (global $g{i} {export}{ty} {})", element.initial(random)).unwrap();
        let tell = element.tell(&format!("(global.get $g{i})"));
        writeln!(self.text, "  (func (export \"see_g{i}\") (type $op) {tell})").unwrap();
        self.globals.push((element, is_mutable));
    }

    fn segments(&mut self, random: &mut Random) {
        self.data = random.below(3) as usize;
        for i in 0..self.data {
            writeln!(self.text, "  (data $d{i} \"{}\")", "passive!".repeat(1 + random.below(9) as usize))
                .unwrap();
            self.probes.push(format!("probe_d{i}"));
            // A dropped segment has no bytes.
            writeln!(
                self.text,
                "  (func (export \"probe_d{i}\") (type $op) (call $see_any (array.new_data $bytes $d{i} (i32.const 0) (i32.const 8))))"
            )
            .unwrap();
        }
        for i in 0..random.below(3) {
            let element = random.pick(REFERENCES);
            let items: String =
                (0..1 + random.below(9)).map(|_| format!(" (item {})", element.initial(random))).collect();
            writeln!(self.text, "  (elem $e{i} {}{items})", element.ty()).unwrap();
            self.elements.push(element);
            let fits = self.tables.iter().position(|table| table.element == element);
            if let Some(table) = fits {
                let at = self.tables[table].index("(i64.const 0)");
                self.probes.push(format!("probe_e{i}"));
                writeln!(self.text, "  (func (export \"probe_e{i}\") (type $op) (table.init $t{table} $e{i} {at} (i32.const 0) (i32.const 1)) (i64.const 3))")
                    .unwrap();
            } else if matches!(element, Element::Any | Element::Node) {
                self.probes.push(format!("probe_e{i}"));
                writeln!(self.text, "  (func (export \"probe_e{i}\") (type $op) (call $see_any (array.get $refs (array.new_elem $refs $e{i} (i32.const 0) (i32.const 1)) (i32.const 0))))")
                    .unwrap();
            }
        }
    }

    /// Generates an operation with an `i64` as its result; local 0 is a value of the caller's choice.
    fn op(&self, random: &mut Random) -> String {
        loop {
            let op = match random.below(8) {
                0..=2 => self.memory_op(random),
                3 | 4 => self.table_op(random),
                5 => self.global_op(random),
                6 => self.segment_op(random),
                _ => Some(self.other_op(random)),
            };
            if let Some(op) = op {
                return op;
            }
        }
    }

    fn memory_op(&self, random: &mut Random) -> Option<String> {
        const X: &str = "(local.get 0)";
        let i = random.below(self.memories.len().max(1) as u64) as usize;
        let memory = *self.memories.get(i)?;
        // Sometimes out of bounds.
        let mask = random.pick(&[0xfff_u64, 0xffff, 0x1ffff, 0x7f_ffff]);
        let address = memory.index(&format!(
            "(i64.and (i64.mul {X} (i64.const {})) (i64.const {mask}))",
            random.next() >> 40 | 1
        ));
        let length =
            memory.index(&format!("(i64.and {X} (i64.const {}))", random.pick(&[0xff_u64, 0xfff, 0x1ffff])));
        let zero = memory.index("(i64.const 16)");
        let unit =
            memory.index(&format!("(i64.and {X} (i64.const {}))", random.pick(&[1_u64, 3, 0xff, 0xffff])));
        Some(match random.below(9) {
            0 | 1 => format!("(block (result i64) (i64.store $m{i} {address} {X}) {X})"),
            2 => format!("(block (result i64) (i32.store8 $m{i} {address} (i32.const 77)) {X})"),
            3 => format!("(i64.load32_s $m{i} {address})"),
            4 => {
                format!("(block (result i64) (memory.fill $m{i} {address} (i32.wrap_i64 {X}) {length}) {X})")
            }
            5 => format!("(block (result i64) (memory.copy $m{i} $m{i} {address} {zero} {length}) {X})"),
            6 | 7 => memory.widen(&format!("(memory.grow $m{i} {unit})")),
            // The whole memory.
            _ => format!(
                "(block (result i64) (memory.fill $m{i} {} (i32.const 165) {}) {X})",
                memory.index("(i64.const 0)"),
                if memory.is_64 {
                    format!("(memory.size $m{i})")
                } else {
                    format!("(i32.mul (memory.size $m{i}) (i32.const 64000))")
                }
            ),
        })
    }

    fn table_op(&self, random: &mut Random) -> Option<String> {
        const X: &str = "(local.get 0)";
        let i = random.below(self.tables.len().max(1) as u64) as usize;
        let table = *self.tables.get(i)?;
        let at = table.index(&format!("(i64.and {X} (i64.const {}))", random.pick(&[7, 15, 31, 63])));
        let few = table.index(&format!("(i64.and {X} (i64.const {}))", random.pick(&[3, 7, 127])));
        let value = table.element.make(random);
        Some(match random.below(7) {
            0 | 1 => format!("(block (result i64) (table.set $t{i} {at} {value}) {X})"),
            2 | 3 => table.widen(&format!("(table.grow $t{i} {value} {few})")),
            4 => format!("(block (result i64) (table.fill $t{i} {at} {value} {few}) {X})"),
            5 => format!(
                "(block (result i64) (table.copy $t{i} $t{i} {at} {} {few}) {X})",
                table.index("(i64.const 1)")
            ),
            _ if table.element == Element::Func => format!("(call_indirect $t{i} (type $op) {X} {at})"),
            _ => table.element.tell(&format!("(table.get $t{i} {at})")),
        })
    }

    fn global_op(&self, random: &mut Random) -> Option<String> {
        let i = random.below(self.globals.len().max(1) as u64) as usize;
        let (element, is_mutable) = *self.globals.get(i)?;
        is_mutable.then(|| {
            format!("(block (result i64) (global.set $g{i} {}) (local.get 0))", element.make(random))
        })
    }

    fn segment_op(&self, random: &mut Random) -> Option<String> {
        if random.chance(50) {
            let segment = random.below(self.data.max(1) as u64);
            (self.data > 0).then_some(())?;
            let memory = random.below(self.memories.len().max(1) as u64) as usize;
            return Some(match self.memories.get(memory) {
                Some(space) if random.chance(50) => {
                    let at = space.index("(i64.and (local.get 0) (i64.const 0xffff))");
                    format!(
                        "(block (result i64) (memory.init $m{memory} $d{segment} {at} (i32.const 1) (i32.const 6)) (i64.const 2))"
                    )
                }
                _ => format!("(block (result i64) (data.drop $d{segment}) (i64.const 1))"),
            });
        }
        let segment = random.below(self.elements.len().max(1) as u64) as usize;
        let element = *self.elements.get(segment)?;
        let drop = format!("(block (result i64) (elem.drop $e{segment}) (i64.const 1))");
        let Some(i) = self.tables.iter().position(|table| table.element == element) else {
            return Some(drop);
        };
        let at = self.tables[i].index("(i64.and (local.get 0) (i64.const 15))");
        let init = format!(
            "(block (result i64) (table.init $t{i} $e{segment} {at} (i32.const 0) (i32.const 1)) (i64.const 4))"
        );
        Some(if random.chance(50) { init } else { drop })
    }

    fn other_op(&self, random: &mut Random) -> String {
        match random.below(7) {
            0 | 1 => format!("(block (result i64) (global.set $kept {}) (local.get 0))", Element::Any.make(random)),
            2 => format!("(block (result i64) (global.set $kept {}) (local.get 0))", Element::Node.make(random)),
            3 => "(call $do (i64.const 0) (local.get 0))".into(),
            4 => "(block (result i64) (if (ref.test (ref $node) (global.get $kept)) (then
                (struct.set $node 1 (ref.cast (ref $node) (global.get $kept)) (local.get 0)))) (i64.const 6))"
                .into(),
            // Much garbage, some of which stays alive.
            5 => "(block (result i64) (loop $again
                (global.set $kept (struct.new $fat (ref.null $node) (local.get 0) (i32.const 9)
                    (array.new $longs (local.get 0) (i32.wrap_i64 (i64.and (local.get 0) (i64.const 255))))))
                (br_if $again (i64.ne (i64.const 0) (i64.and (i64.const 1023) (local.tee 0 (i64.sub (local.get 0) (i64.const 1)))))))
                (local.get 0))"
                .into(),
            _ => "(block (result i64) (global.set $deep (i64.add (global.get $deep) (local.get 0))) (global.get $deep))".into(),
        }
    }

    /// Ends that need a memory or table.
    fn ends(&mut self, random: &mut Random) {
        if let Some(i) = (0..self.memories.len()).max_by_key(|_| random.next()) {
            let memory = self.memories[i];
            let (outside, page, end) = (
                memory.index("(i64.const -3)"),
                memory.index("(i64.const 1)"),
                memory.index("(i64.const 0)"),
            );
            let is_refused = if memory.is_64 { "i64.ne" } else { "i32.ne" };
            let refused = memory.index("(i64.const -1)");
            writeln!(
                self.text,
                r#"  (func (export "loads_outside") (type $op) (i64.load $m{i} {outside}))
  (func (export "fills_outside") (type $op) (memory.fill $m{i} {end} (i32.const 1) {outside}) (i64.const 0))
  (func (export "grows_until_refused") (type $op)
    (loop (br_if 0 ({is_refused} (memory.grow $m{i} {}) {refused})))
    (i64.store8 $m{i} (memory.size $m{i}) (i64.const 5)) (memory.fill $m{i} {end} (i32.const 7) (memory.grow $m{i} {page})) (i64.const 1))"#,
                memory.index("(i64.const 10)"),
            )
            .unwrap();
            self.ends.extend(["loads_outside", "fills_outside", "grows_until_refused"]);
        }
        if let Some(i) = (0..self.tables.len()).max_by_key(|_| random.next()) {
            let table = self.tables[i];
            let (many, refused, is_refused) = (
                table.index("(i64.const 100)"),
                table.index("(i64.const -1)"),
                if table.is_64 { "i64.ne" } else { "i32.ne" },
            );
            let value = table.element.make(random);
            let outside = table.index("(i64.const -1)");
            writeln!(
                self.text,
                r#"  (func (export "table_outside") (type $op) (drop (table.get $t{i} {outside})) (i64.const 0))
  (func (export "grows_table_until_refused") (type $op)
    (loop (br_if 0 ({is_refused} (table.grow $t{i} {value} {many}) {refused}))) (i64.const 1))"#
            )
            .unwrap();
            self.ends.extend(["table_outside", "grows_table_until_refused"]);
        }
        if let Some(i) = self.tables.iter().position(|table| table.element == Element::Func) {
            let table = self.tables[i];
            let (first, at) = (table.index("(i64.const 0)"), table.index("(i64.const 1)"));
            writeln!(
                self.text,
                r#"  (func (export "calls_null") (type $op) (table.set $t{i} {at} (ref.null func)) (call_indirect $t{i} (type $op) (local.get 0) {at}))
  (func (export "calls_another") (type $op) (table.set $t{i} {first} (ref.func $odd)) (call_indirect $t{i} (type $op) (local.get 0) {first}))"#
            )
            .unwrap();
            self.ends.extend(["calls_null", "calls_another"]);
        }
    }
}
