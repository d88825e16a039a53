//! Generated functions far larger than hand-written ones, in shapes that are hard for compilers.
//!
//! In: a shape and a size. Out: the text of a module with one large function. The same size always gives the same
//! text; a small random number generator chooses operands, so that nothing folds away by chance.

use std::fmt::Write;

/// A kind of large function.
pub(crate) struct Shape {
    pub(crate) name: &'static str,
    /// Sizes to compile, ascending. The comment of the shape says what the size counts.
    pub(crate) sizes: &'static [usize],
    /// Writes the function's fields and other fields of the module, for a size.
    write: fn(&mut Text, usize),
}

/// All shapes. The comment of each says what its size counts.
pub(crate) static SHAPES: [Shape; 24] = [
    // Instructions: loads, arithmetic and stores over 60 locals.
    Shape { name: "straight", sizes: &[10_000, 25_000, 50_000, 100_000, 400_000], write: straight },
    // Values that are loaded first and added up last, all alive at once.
    Shape { name: "alive", sizes: &[2_500, 10_000, 25_000, 100_000], write: alive },
    // Instructions of one expression of constants.
    Shape { name: "constants", sizes: &[10_000, 25_000, 100_000, 400_000], write: constants },
    // Nested blocks; each is left early for several outer ones.
    Shape { name: "nested-blocks", sizes: &[1_000, 2_500, 10_000, 40_000], write: nested_blocks },
    // Nested conditionals.
    Shape { name: "nested-ifs", sizes: &[1_000, 2_500, 10_000, 40_000], write: nested_ifs },
    // Conditionals with two arms, in sequence, over 20 locals.
    Shape { name: "ifs", sizes: &[500, 1_000, 5_000, 20_000], write: ifs },
    // Loops: eight nested, then the next eight.
    Shape { name: "loops", sizes: &[500, 1_000, 5_000, 20_000], write: loops },
    // Nested loops.
    Shape { name: "nested-loops", sizes: &[500, 1_000, 5_000, 10_000], write: nested_loops },
    // Cases of a table in a loop over 30 locals: an interpreter.
    Shape { name: "cases", sizes: &[500, 1_000, 5_000, 20_000], write: cases },
    // Entries of a table of 100 cases; Wasmtime refuses more than 65,520.
    Shape { name: "table", sizes: &[10_000, 25_000, 65_000], write: table },
    // Locals that are alive across calls and branches.
    Shape { name: "locals", sizes: &[500, 1_250, 5_000, 20_000], write: locals },
    // Locals, as many cases of a table in a loop, each of which assigns one.
    Shape { name: "locals-cases", sizes: &[200, 500, 1_000, 2_000, 5_000], write: locals_cases },
    // Locals, and as many loops in sequence, each of which assigns three.
    Shape { name: "locals-loops", sizes: &[200, 500, 1_000, 2_000, 5_000], write: locals_loops },
    // Calls.
    Shape { name: "calls", sizes: &[1_000, 2_500, 10_000, 40_000], write: calls },
    // Calls of an inlined function.
    Shape { name: "inlined", sizes: &[1_000, 2_500, 10_000, 40_000], write: inlined },
    // References that are alive across as many calls.
    Shape { name: "references", sizes: &[500, 1_000, 2_500, 5_000], write: references },
    // Blocks that catch what the call inside throws.
    Shape { name: "try-tables", sizes: &[500, 1_000, 5_000, 10_000], write: try_tables },
    // Nested blocks that catch, each with a call.
    Shape { name: "nested-try-tables", sizes: &[500, 1_000, 2_500, 5_000], write: nested_try_tables },
    // Calls of a type with 1,000 parameters and results.
    Shape { name: "wide-calls", sizes: &[20, 50, 100, 200], write: wide_calls },
    // Loops of a type with 1,000 parameters and results, in sequence.
    Shape { name: "wide-loops", sizes: &[200, 500, 1_000, 2_000], write: wide_loops },
    // Targets of a table, each with 500 values.
    Shape { name: "wide-table", sizes: &[100, 250, 500, 1_000], write: wide_table },
    // Growths of a memory.
    Shape { name: "grows", sizes: &[10_000, 25_000, 100_000, 300_000], write: grows },
    // Locals that are assigned constants first and summed up last.
    Shape { name: "summed-locals", sizes: &[2_500, 5_000, 10_000, 20_000], write: summed_locals },
    // Calls while 500 references are on the stack.
    Shape { name: "stacked-references", sizes: &[100, 250, 500, 1_000], write: stacked_references },
];

impl Shape {
    /// Returns the text of a module of this shape.
    pub(crate) fn module(&self, size: usize) -> String {
        let mut text = Text { out: String::from("(module\n"), state: 0x9e37_79b9 };
        (self.write)(&mut text, size);
        text.out.push(')');
        text.out
    }
}

/// The text of a module under construction.
struct Text {
    out: String,
    state: u32,
}

macro_rules! put {
    ($text:expr, $($format:tt)*) => {
        writeln!($text.out, $($format)*).expect("strings take everything")
    };
}

impl Text {
    /// Returns a number below a limit.
    fn below(&mut self, limit: usize) -> usize {
        // Xorshift: Marsaglia, "Xorshift RNGs", 2003.
        self.state ^= self.state << 13;
        self.state ^= self.state >> 17;
        self.state ^= self.state << 5;
        self.state as usize % limit
    }

    /// Writes the function's head, after other fields of the module, with some locals after the one parameter and their initial
    /// values.
    fn begin(&mut self, fields: &str, locals: usize) {
        put!(self, "{fields} {HEAD} (local{})", " i32".repeat(locals));
        for local in 1..=locals {
            let factor = self.below(1000) + 10;
            put!(self, "local.get 0 i32.const {factor} i32.mul local.set {local}");
        }
    }

    /// Writes the function's end, which returns the sum of some locals.
    fn end(&mut self, locals: usize) {
        put!(self, "i32.const 0");
        for local in 1..=locals {
            put!(self, "local.get {local} i32.add");
        }
        put!(self, ")");
    }

    /// Returns some of the locals.
    fn some<const N: usize>(&mut self, locals: usize) -> [usize; N] {
        std::array::from_fn(|_| self.below(locals) + 1)
    }

    /// Writes an assignment of a local from two others.
    fn assign(&mut self, locals: usize) {
        let [to, x, y] = self.some(locals);
        let operation = ["add", "sub", "xor", "mul"][self.below(4)];
        put!(self, "local.get {x} local.get {y} i32.{operation} local.set {to}");
    }
}

const HEAD: &str = "(func (export \"f\") (param i32) (result i32)";

fn straight(text: &mut Text, size: usize) {
    const LOCALS: usize = 60;
    text.begin("(memory 1)", LOCALS);
    for _ in 0..size.saturating_sub(6 * LOCALS) / 11 {
        text.assign(LOCALS);
        let [address, value] = text.some(LOCALS);
        let offset = text.below(4096);
        put!(text, "local.get {address} i32.const 65535 i32.and local.get {value}");
        put!(text, "local.get {address} i32.load16_u offset={offset} i32.add i32.store8 offset={offset}");
    }
    text.end(LOCALS);
}

fn alive(text: &mut Text, size: usize) {
    put!(text, "(memory 1) {HEAD}");
    for i in 0..size {
        put!(text, "local.get 0 i32.load offset={}", i * 4);
    }
    put!(text, "{}", "i32.add\n".repeat(size - 1));
    put!(text, ")");
}

fn constants(text: &mut Text, size: usize) {
    put!(text, "{HEAD} i32.const 7");
    for i in 0..size / 2 {
        let number = text.below(1 << 30);
        let operation = ["add", "xor", "mul", "sub"][i % 4];
        put!(text, "i32.const {number} i32.{operation}");
    }
    put!(text, ")");
}

fn nested_blocks(text: &mut Text, size: usize) {
    const LOCALS: usize = 10;
    text.begin("", LOCALS);
    put!(text, "{}", "block ".repeat(size));
    for left in (1..=size).rev() {
        text.assign(LOCALS);
        let (condition, depth) = (text.below(LOCALS) + 1, text.below(left));
        put!(text, "local.get {condition} br_if {depth} end");
    }
    text.end(LOCALS);
}

fn nested_ifs(text: &mut Text, size: usize) {
    const LOCALS: usize = 10;
    text.begin("", LOCALS);
    for _ in 0..size {
        text.assign(LOCALS);
        let [condition] = text.some(LOCALS);
        put!(text, "local.get {condition} if");
    }
    for _ in 0..size {
        put!(text, "else");
        text.assign(LOCALS);
        put!(text, "end");
    }
    text.end(LOCALS);
}

fn ifs(text: &mut Text, size: usize) {
    const LOCALS: usize = 20;
    text.begin("", LOCALS);
    for _ in 0..size {
        let [condition] = text.some(LOCALS);
        put!(text, "local.get {condition} if");
        text.assign(LOCALS);
        put!(text, "else");
        text.assign(LOCALS);
        put!(text, "end");
    }
    text.end(LOCALS);
}

fn loops(text: &mut Text, size: usize) {
    const DEPTH: usize = 8;
    loops_of_depth(text, size / DEPTH, DEPTH);
}

fn nested_loops(text: &mut Text, size: usize) {
    loops_of_depth(text, 1, size);
}

fn loops_of_depth(text: &mut Text, count: usize, depth: usize) {
    const LOCALS: usize = 12;
    text.begin("", LOCALS);
    for _ in 0..count {
        for _ in 0..depth {
            put!(text, "loop");
            text.assign(LOCALS);
        }
        for _ in 0..depth {
            let [counter] = text.some(LOCALS);
            put!(text, "local.get {counter} i32.const 1 i32.sub local.tee {counter} br_if 0 end");
        }
    }
    text.end(LOCALS);
}

fn cases(text: &mut Text, size: usize) {
    cases_over(text, size, 30);
}

fn locals_cases(text: &mut Text, size: usize) {
    cases_over(text, size, size);
}

fn cases_over(text: &mut Text, cases: usize, locals: usize) {
    text.begin("", locals);
    put!(text, "loop block {}", "block ".repeat(cases));
    let labels: String = (0..cases).map(|i| format!("{i} ")).collect();
    put!(text, "local.get 1 br_table {labels} {cases}");
    for left in (0..cases).rev() {
        put!(text, "end");
        text.assign(locals);
        put!(text, "br {}", left + 1);
    }
    put!(text, "end end");
    text.end(locals);
}

fn table(text: &mut Text, size: usize) {
    const CASES: usize = 100;
    put!(text, "{HEAD} (local i32)");
    put!(text, "{}", "block ".repeat(CASES));
    put!(text, "local.get 0 br_table");
    for _ in 0..size {
        let label = text.below(CASES);
        put!(text, "{label}");
    }
    put!(text, "0");
    for _ in 0..CASES {
        let addend = text.below(1 << 20);
        put!(text, "end local.get 1 i32.const {addend} i32.add local.set 1");
    }
    put!(text, "local.get 1)");
}

fn locals(text: &mut Text, size: usize) {
    text.begin("(import \"m\" \"f\" (func $f (param i32) (result i32)))", size);
    for _ in 0..size / 5 {
        let [local, argument] = text.some(size);
        put!(text, "local.get {argument} call $f local.set {local}");
        put!(text, "local.get {local} if");
        text.assign(size);
        put!(text, "end");
    }
    text.end(size);
}

fn locals_loops(text: &mut Text, size: usize) {
    text.begin("", size);
    for _ in 0..size {
        put!(text, "loop");
        (0..3).for_each(|_| text.assign(size));
        let [counter] = text.some(size);
        put!(text, "local.get {counter} br_if 0 end");
    }
    text.end(size);
}

fn calls(text: &mut Text, size: usize) {
    const LOCALS: usize = 20;
    text.begin("(import \"m\" \"f\" (func $f (param i32 i32) (result i32)))", LOCALS);
    for _ in 0..size {
        let [to, x, y] = text.some(LOCALS);
        put!(text, "local.get {x} local.get {y} call $f local.set {to}");
    }
    text.end(LOCALS);
}

fn inlined(text: &mut Text, size: usize) {
    const LOCALS: usize = 20;
    const CALLEE: &str = "(func $f (param i32 i32) (result i32) (local i32)
        local.get 0 if local.get 1 local.set 2 else local.get 0 local.set 2 end
        local.get 2 local.get 0 i32.add)";
    text.begin(CALLEE, LOCALS);
    for _ in 0..size {
        let [to, x, y] = text.some(LOCALS);
        put!(text, "local.get {x} local.get {y} call $f local.set {to}");
    }
    text.end(LOCALS);
}

fn references(text: &mut Text, size: usize) {
    put!(text, "(type $s (struct (field (mut i32)))) (import \"m\" \"f\" (func $f (param i32))) {HEAD}");
    put!(text, "(local{})", " (ref null $s)".repeat(size));
    for local in 1..=size {
        put!(text, "local.get 0 struct.new $s local.set {local}");
    }
    for _ in 0..size {
        put!(text, "local.get 0 call $f");
        let [local, other] = text.some(size);
        put!(text, "local.get 0 if local.get {local} local.set {other} end");
    }
    put!(text, "i32.const 0");
    for local in 1..=size {
        put!(text, "local.get {local} struct.get $s 0 i32.add");
    }
    put!(text, ")");
}

const THROWS: &str = "(import \"m\" \"f\" (func $f (param i32) (result i32))) (tag $t (param i32))";

fn try_tables(text: &mut Text, size: usize) {
    const LOCALS: usize = 20;
    text.begin(THROWS, LOCALS);
    for _ in 0..size {
        let [to, x, y] = text.some(LOCALS);
        put!(text, "block (result i32) try_table (catch $t 0)");
        put!(text, "local.get {x} call $f local.set {to} end");
        put!(text, "local.get {y} end local.set {to}");
    }
    text.end(LOCALS);
}

fn nested_try_tables(text: &mut Text, size: usize) {
    const LOCALS: usize = 10;
    text.begin(THROWS, LOCALS);
    for _ in 0..size {
        let [to, x] = text.some(LOCALS);
        put!(text, "block (result i32) try_table (catch $t 0)");
        put!(text, "local.get {x} call $f local.set {to}");
    }
    for _ in 0..size {
        let [to] = text.some(LOCALS);
        put!(text, "end i32.const 5 end local.set {to}");
    }
    text.end(LOCALS);
}

/// Returns a type with the given number of values.
fn values(count: usize) -> String {
    " i32".repeat(count)
}

fn wide_calls(text: &mut Text, size: usize) {
    const WIDTH: usize = 1000;
    let (all, arguments) = (values(WIDTH), "local.get 0 ".repeat(WIDTH));
    put!(text, "(type $wide (func (param{all}) (result{all}))) (import \"m\" \"f\" (func $f (type $wide)))");
    put!(text, "{HEAD} {arguments} {} {} local.get 0)", "call $f\n".repeat(size), "drop ".repeat(WIDTH));
}

fn wide_loops(text: &mut Text, size: usize) {
    const WIDTH: usize = 1000;
    let (all, arguments) = (values(WIDTH), "local.get 0 ".repeat(WIDTH));
    put!(text, "(type $wide (func (param{all}) (result{all})))");
    let loops = "loop (type $wide) end\n".repeat(size);
    put!(text, "{HEAD} {arguments} {loops} {} local.get 0)", "drop ".repeat(WIDTH));
}

fn wide_table(text: &mut Text, size: usize) {
    const WIDTH: usize = 500;
    let all = values(WIDTH);
    let targets: String = (0..size).map(|depth| format!("{depth} ")).collect();
    put!(text, "{HEAD} {}", format!("block (result{all})\n").repeat(size));
    put!(text, "{} local.get 0 br_table {targets} 0", "local.get 0 ".repeat(WIDTH));
    put!(text, "{} {} local.get 0)", "end\n".repeat(size), "drop ".repeat(WIDTH));
}

fn grows(text: &mut Text, size: usize) {
    put!(text, "(memory 1) {HEAD} {} local.get 0)", "local.get 0 memory.grow local.set 0\n".repeat(size));
}

fn summed_locals(text: &mut Text, size: usize) {
    put!(text, "{HEAD} (local{})", values(size));
    for local in 1..=size {
        let number = text.below(1 << 30);
        put!(text, "i32.const {number} local.set {local}");
    }
    text.end(size);
}

fn stacked_references(text: &mut Text, size: usize) {
    const WIDTH: usize = 500;
    put!(text, "(type $s (struct (field i32))) (import \"m\" \"f\" (func $f)) {HEAD}");
    put!(text, "{} {}", "local.get 0 struct.new $s\n".repeat(WIDTH), "call $f\n".repeat(size));
    put!(text, "i32.const 0 local.set 0");
    put!(text, "{}", "struct.get $s 0 local.get 0 i32.add local.set 0\n".repeat(WIDTH));
    put!(text, "local.get 0)");
}
