//! Huge functions, as only generators write them: they run correctly, and the settings for huge functions give the same
//! results as the usual settings.
//!
//! Each shape is written together with its result. The large sizes are above the threshold for huge functions in
//! `optimize/src/tier/tuning.rs`; the small ones run with both settings.

use belljar::{Config, Engine, Linker, Module, Result, Store, Trap};
use std::fmt::Write;

/// Calls the export `f` of a module with 7. The import `m.f` returns three times its argument, plus one.
fn run(config: &Config, wat: &str) -> Result<i32> {
    let engine = Engine::new(config)?;
    let module = Module::new(&engine, wat)?;
    let mut linker = Linker::new(&engine);
    linker.func_wrap("m", "f", |x: i32| x.wrapping_mul(3).wrapping_add(1))?;
    let mut store = Store::new(&engine, ());
    let instance = linker.instantiate(&mut store, &module)?;
    instance.get_typed_func::<i32, i32>(&mut store, "f")?.call(&mut store, 7)
}

/// Checks a shape at a size at which both settings are compared, and at a huge size.
fn check(shape: fn(usize) -> (String, i32), small: usize, large: usize) {
    for giants in [false, true] {
        let (wat, expected) = shape(small);
        let mut config = Config::new();
        let result = run(config.compile_as_huge(giants), &wat);
        assert_eq!(result.unwrap(), expected, "{small}, as giants: {giants}");
    }
    let (wat, expected) = shape(large);
    assert_eq!(run(&Config::new(), &wat).unwrap(), expected, "{large}");
}

/// The locals after the parameter: in the text, and their values after the code so far has run.
struct Locals {
    wat: String,
    values: Vec<i32>,
    state: u32,
}

impl Locals {
    fn new(count: usize) -> Self {
        let wat = format!("(func (export \"f\") (param i32) (result i32) (local{})\n", " i32".repeat(count));
        let mut locals = Self { wat, values: vec![7], state: 0x9e37_79b9 };
        for i in 1..=count {
            writeln!(locals.wat, "local.get 0 i32.const {} i32.mul local.set {i}", i + 3).unwrap();
            locals.values.push(7 * (i as i32 + 3));
        }
        locals
    }

    /// Picks a local, but not the parameter.
    fn any(&mut self) -> usize {
        self.state = self.state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        1 + (self.state >> 8) as usize % (self.values.len() - 1)
    }

    /// Assigns to a local. `executed` says whether the assignment is executed.
    fn assign(&mut self, executed: bool) {
        let (to, x, y) = (self.any(), self.any(), self.any());
        let operation = ["add", "sub", "mul", "xor"][self.state as usize >> 8 & 3];
        writeln!(self.wat, "local.get {x} local.get {y} i32.{operation} local.set {to}").unwrap();
        let (x, y) = (self.values[x], self.values[y]);
        if executed {
            self.values[to] = match operation {
                "add" => x.wrapping_add(y),
                "sub" => x.wrapping_sub(y),
                "mul" => x.wrapping_mul(y),
                _ => x ^ y,
            };
        }
    }

    /// Ends the function with the sum of all locals. Returns the module and the sum. `beside` is the rest of the
    /// module.
    fn end(mut self, beside: &str) -> (String, i32) {
        self.wat.push_str("i32.const 0\n");
        for i in 1..self.values.len() {
            writeln!(self.wat, "local.get {i} i32.add").unwrap();
        }
        let sum = self.values[1..].iter().fold(0i32, |sum, value| sum.wrapping_add(*value));
        (format!("(module {beside} {}))", self.wat), sum)
    }
}

const IMPORT: &str = "(import \"m\" \"f\" (func $f (param i32) (result i32)))";

#[test]
fn many_values_on_the_stack() {
    check(
        |size| {
            let stores: String = (0..64)
                .map(|i| format!("(i32.store offset={} (local.get 0) (i32.const {}))\n", i * 4, i * 977))
                .collect();
            let loads: String =
                (0..size).map(|i| format!("(i32.load offset={} (local.get 0))\n", i % 64 * 4)).collect();
            let subtract = "i32.sub\n".repeat(size - 1);
            let wat = format!(
                "(module (memory 1) (func (export \"f\") (param i32) (result i32) {stores} {loads} {subtract}))"
            );
            let values = (0..size as i32).map(|i| i % 64 * 977);
            (wat, values.rev().reduce(|right, left| left.wrapping_sub(right)).unwrap())
        },
        300,
        5_000,
    );
}

#[test]
fn many_locals_across_calls_and_branches() {
    check(
        |size| {
            let mut locals = Locals::new(size);
            for _ in 0..size / 4 {
                let (to, argument) = (locals.any(), locals.any());
                writeln!(locals.wat, "local.get {argument} call $f local.tee {to} i32.const 1 i32.and if")
                    .unwrap();
                let value = locals.values[argument].wrapping_mul(3).wrapping_add(1);
                locals.values[to] = value;
                locals.assign(value & 1 == 1);
                locals.wat.push_str("else\n");
                locals.assign(value & 1 == 0);
                locals.wat.push_str("end\n");
            }
            locals.end(IMPORT)
        },
        100,
        2_200,
    );
}

#[test]
fn locals_in_the_cases_of_a_loop() {
    check(
        |size| {
            let mut locals = Locals::new(size);
            // The parameter counts the iterations, and each iteration takes the case of its number.
            let labels: String = (0..size).map(|i| format!("{i} ")).collect();
            write!(locals.wat, "i32.const 0 local.set 0 loop {}", "block ".repeat(size + 1)).unwrap();
            writeln!(locals.wat, "local.get 0 br_table {labels} {size}").unwrap();
            for left in (0..size).rev() {
                locals.wat.push_str("end\n");
                locals.assign(true);
                writeln!(locals.wat, "local.get 0 i32.const 1 i32.add local.set 0 br {}", left + 1).unwrap();
            }
            locals.wat.push_str("end end\n");
            locals.end("")
        },
        100,
        650,
    );
}

#[test]
fn many_blocks() {
    check(
        |size| {
            let mut locals = Locals::new(5);
            for i in 0..size {
                let taken = i % 3 == 0;
                writeln!(locals.wat, "i32.const {} local.get 0 i32.lt_u if", if taken { 3 } else { 9 })
                    .unwrap();
                locals.assign(taken);
                locals.wat.push_str("else\n");
                locals.assign(!taken);
                locals.wat.push_str("end\n");
            }
            locals.end("")
        },
        300,
        11_000,
    );
}

#[test]
fn blocks_inside_blocks_that_are_left_early() {
    check(
        |size| {
            let mut locals = Locals::new(8);
            locals.wat.push_str(&"block ".repeat(size));
            // The block behind which execution continues, counted from the innermost.
            let mut skipped = 0;
            for i in 0..size {
                let executed = i >= skipped;
                locals.assign(executed);
                let depth = (i % 5).min(size - 1 - i);
                writeln!(locals.wat, "local.get 0 i32.const {} i32.gt_u br_if {depth} end", i % 11).unwrap();
                if executed && 7 > i % 11 {
                    skipped = i + depth + 1;
                }
            }
            locals.end("")
        },
        300,
        8_000,
    );
}

#[test]
fn loops_inside_loops() {
    check(
        |size| {
            let mut locals = Locals::new(6);
            for _ in 0..size {
                locals.wat.push_str("loop\n");
                locals.assign(true);
            }
            for _ in 0..size {
                locals.assign(true);
                // Never taken: the parameter is 7.
                locals.wat.push_str("local.get 0 i32.const 8 i32.eq br_if 0 end\n");
            }
            locals.end("")
        },
        40,
        2_000,
    );
}

/// Its locals are zero again in each iteration, even if they lie in the frame.
#[test]
fn a_giant_body_that_calls_itself_last() {
    check(
        |size| {
            let locals = " i64".repeat(size);
            let mut wat = format!("(func $f (export \"f\") (param i32) (result i32) (local{locals})\n");
            // The result of the last iteration, with the parameter 0, is 0 only if they were.
            for i in 1..=size {
                let next = i % size + 1;
                writeln!(wat, "local.get {i} local.get 0 i64.extend_i32_u i64.add local.get {next} i64.add local.set {i}")
                    .unwrap();
            }
            wat.push_str("local.get 0 if local.get 0 i32.const 1 i32.sub return_call $f end i32.const 5\n");
            for i in 1..=size {
                writeln!(wat, "local.get {i} i32.wrap_i64 i32.add").unwrap();
            }
            (format!("(module {wat}))"), 5)
        },
        50,
        2_100,
    );
}

#[test]
fn many_try_tables() {
    check(
        |size| {
            let mut locals = Locals::new(6);
            for i in 0..size {
                let (caught, called, to) = (locals.any(), locals.any(), locals.any());
                let (code, throws) = (i % 5, i % 5 == 0);
                writeln!(
                    locals.wat,
                    "block (result i32) try_table (catch $t 0) i32.const {code} local.get {called}"
                )
                .unwrap();
                writeln!(
                    locals.wat,
                    "call $thrower local.set {to} end local.get {caught} end local.set {caught}"
                )
                .unwrap();
                if throws {
                    locals.values[caught] = locals.values[called] ^ 21;
                } else {
                    locals.values[to] = locals.values[called].wrapping_add(code as i32);
                }
            }
            let thrower = "(tag $t (param i32))
                (func $thrower (param i32 i32) (result i32)
                    (if (i32.eqz (local.get 0)) (then (throw $t (i32.xor (local.get 1) (i32.const 21)))))
                    (loop (br_if 0 (i32.eqz (i32.const 1))))
                    (i32.add (local.get 0) (local.get 1)))";
            locals.end(thrower)
        },
        50,
        6_000,
    );
}

/// References that are live across many calls, each of which moves the objects.
#[test]
fn many_references() {
    let shape = |size: usize, rounds: usize| {
        let mut wat = format!(
            "(func (export \"f\") (param i32) (result i32) (local{})\n",
            " (ref null $s)".repeat(size)
        );
        let mut values = Vec::new();
        for i in 1..=size {
            writeln!(wat, "i32.const {} struct.new $s local.set {i}", i * 3).unwrap();
            values.push(i as i32 * 3);
        }
        for round in 0..rounds {
            let (from, to) = (round * 7 % size, round * 13 % size);
            writeln!(wat, "local.get {} call $touch local.set {}", from + 1, to + 1).unwrap();
            values[to] = values[from] + 1;
        }
        wat.push_str("i32.const 0\n");
        for i in 1..=size {
            writeln!(wat, "local.get {i} struct.get $s 0 i32.const 3 i32.mul i32.add").unwrap();
        }
        let module = format!(
            "(module (type $s (struct (field (mut i32))))
                (func $touch (param (ref null $s)) (result (ref null $s)) (loop (br_if 0 (i32.eqz (i32.const 1))))
                    (struct.new $s (i32.add (i32.const 1) (struct.get $s 0 (local.get 0))))) {wat}))"
        );
        (module, values.iter().sum::<i32>() * 3)
    };
    for (size, rounds, giants) in [(30, 100, false), (30, 100, true), (700, 800, false)] {
        let (wat, expected) = shape(size, rounds);
        for stress in [false, true] {
            let mut config = Config::new();
            config.gc_stress(stress).compile_as_huge(giants);
            assert_eq!(
                run(&config, &wat).unwrap(),
                expected,
                "{size} references, as giants: {giants}, {stress}"
            );
        }
    }
}

/// A huge function traps at the correct position, and its frames do not break stack walks.
#[test]
fn a_trap_in_a_giant_is_at_its_place() {
    let dead = "(i32.div_u (i32.const 1) (local.get 0)) drop ".repeat(2_500);
    let alive = "local.get 0 ".repeat(2_500) + &"i32.add ".repeat(2_499);
    let wat = format!(
        "(module (func $outer (export \"f\") (param i32) (result i32) (call $giant (i32.const 0)))
            (func $giant (param i32) (result i32) {alive} drop nop nop {dead} (i32.const 1)))"
    );
    let error = run(&Config::new(), &wat).unwrap_err();
    assert_eq!(error.downcast_ref::<Trap>(), Some(&Trap::IntegerDivisionByZero), "{error:?}");
    let shown = format!("{error:?}");
    assert!(shown.contains("giant") && shown.contains("outer"), "{shown}");
}

/// Few huge functions are compiled at once, and each function gets its own code.
#[test]
fn several_giants_in_one_module() {
    let nops = "nop ".repeat(530_000);
    let giants: String =
        (0..5).map(|i| format!("(func $g{i} (result i32) {nops} i32.const {i})\n")).collect();
    let sum: String = (0..5).map(|i| format!("i32.const 10 i32.mul call $g{i} i32.add\n")).collect();
    let wat = format!("(module {giants} (func (export \"f\") (param i32) (result i32) local.get 0 {sum}))");
    assert_eq!(run(Config::new().compiler_inlining(false), &wat).unwrap(), 701_234);
}
