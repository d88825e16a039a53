//! Checks the shape of code where it matters. The size limits leave room for other register choices, but not for
//! instructions that should be gone.

use belljar_abi::LinkedCode;
use belljar_compile::{Budget, ModulePlan, Tunables, compile};
use belljar_module::{EntityIndex, Module, WasmFeatures, validate};
use belljar_optimize::Optimizer;

/// The features that the modules here use.
const FEATURES: WasmFeatures = WasmFeatures::WASM2
    .union(WasmFeatures::MEMORY64)
    .union(WasmFeatures::RELAXED_SIMD)
    .union(WasmFeatures::WIDE_ARITHMETIC)
    .union(WasmFeatures::TAIL_CALL)
    .union(WasmFeatures::EXCEPTIONS)
    .union(WasmFeatures::FUNCTION_REFERENCES)
    .union(WasmFeatures::GC);

struct Compiled {
    module: Module,
    artifact: LinkedCode,
}

impl Compiled {
    fn new(wat: &str, tunables: Tunables) -> Self {
        let module = validate(wat::parse_str(wat).unwrap().into(), FEATURES).unwrap();
        let artifact = compile(
            &ModulePlan::new(&module, tunables),
            &Optimizer::new().unwrap(),
            &(),
            &Budget::unlimited(),
        )
        .unwrap();
        Self { module, artifact }
    }

    /// Returns the code of an exported function.
    fn code(&self, export: &str) -> &[u8] {
        let EntityIndex::Func(func) = self.module.export(export).unwrap().entity else { panic!() };
        let range = self.artifact.funcs[self.module.defined_func(func).unwrap().index()];
        &self.artifact.text[range.start.0 as usize..][..range.length as usize]
    }
}

/// Counts the occurrences of a byte sequence.
fn count(code: &[u8], bytes: &[u8]) -> usize {
    code.windows(bytes.len()).filter(|w| *w == bytes).count()
}

fn plain(wat: &str) -> Compiled {
    Compiled::new(wat, Tunables::default())
}

#[test]
fn a_small_leaf_is_inlined_and_needs_no_stack_check() {
    let wat = r#"(module
        (func $sq (param i32) (result i32) (i32.mul (local.get 0) (local.get 0)))
        (func (export "f") (param i32) (result i32)
            (i32.add (call $sq (local.get 0)) (call $sq (i32.add (local.get 0) (i32.const 3))))))"#;
    let inlined = plain(wat);
    assert!(inlined.code("f").len() <= 32, "{:x?}", inlined.code("f"));
    let called = Compiled::new(wat, Tunables { inlining: false.into(), ..Tunables::default() });
    assert!(called.code("f").len() > 60);
}

#[test]
fn a_counting_loop_has_one_jump_a_round() {
    let compiled = plain(
        r#"(module (memory 1) (func (export "f") (param $p i32) (result i32) (local $i i32) (local $s i32)
            (loop $l
                (local.set $s (i32.add (local.get $s) (i32.load (local.get $p))))
                (local.set $p (i32.add (local.get $p) (i32.const 4)))
                (br_if $l (i32.ne (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 700))))
            (local.get $s)))"#,
    );
    let code = compiled.code("f");
    // `jne` back, and no `jmp` of either width.
    assert_eq!(count(code, &[0x0f, 0x85]), 1, "{code:x?}");
    assert!(!code.contains(&0xe9) && !code.contains(&0xeb), "{code:x?}");
}

#[test]
fn a_product_of_halves_is_one_multiplication() {
    let wat = include_str!("scripts/wide_products.wast");
    let module = &wat[wat.find("(module").unwrap()..wat.find("\n(assert").unwrap()];
    let compiled = plain(module);
    for i in 0..32 {
        let code = compiled.code(&format!("upper{i}"));
        assert!(code.len() <= 24, "upper{i}: {code:x?}");
    }
    for i in (0..16).step_by(3) {
        let code = compiled.code(&format!("lower{i}"));
        assert!(code.len() <= 24, "lower{i}: {code:x?}");
    }
    assert!(compiled.code("wrong").len() > 48);
}

#[test]
fn an_index_with_one_meaning_is_a_direct_call() {
    let compiled = plain(
        r#"(module (table 3 3 funcref) (elem (i32.const 0) $a $b $c)
            (type $one (func (param i32) (result i32)))
            (func $a (type $one) (i32.add (local.get 0) (i32.const 1)))
            (func $b (param i64))
            (func $c (param f32))
            (func (export "constant") (param i32) (result i32)
                (call_indirect (type $one) (local.get 0) (i32.const 0)))
            (func (export "only one") (param i32 i32) (result i32)
                (call_indirect (type $one) (local.get 0) (local.get 1))))"#,
    );
    assert!(compiled.code("constant").len() <= 16, "{:x?}", compiled.code("constant"));
    // A comparison, the body, and the traps, without a call.
    assert!(compiled.code("only one").len() <= 48, "{:x?}", compiled.code("only one"));
}

#[test]
fn constant_globals_are_constants() {
    let compiled = plain(
        r#"(module (global $g i32 (i32.const 41))
            (func (export "f") (result i32) (i32.add (global.get $g) (i32.const 1))))"#,
    );
    assert!(count(compiled.code("f"), &[42, 0, 0, 0]) == 1);
}

#[test]
fn wide_arithmetic_is_what_the_processor_has() {
    let compiled = plain(
        r#"(module
            (func (export "add") (param i64 i64 i64 i64) (result i64 i64)
                (i64.add128 (local.get 0) (local.get 1) (local.get 2) (local.get 3)))
            (func (export "sub") (param i64 i64 i64 i64) (result i64 i64)
                (i64.sub128 (local.get 0) (local.get 1) (local.get 2) (local.get 3)))
            (func (export "mul_s") (param i64 i64) (result i64 i64)
                (i64.mul_wide_s (local.get 0) (local.get 1)))
            (func (export "mul_u") (param i64 i64) (result i64 i64)
                (i64.mul_wide_u (local.get 0) (local.get 1))))"#,
    );
    for export in ["add", "sub", "mul_s", "mul_u"] {
        // One or two instructions, between the common part of every function and some moves.
        assert!(compiled.code(export).len() <= 24, "{export}: {:x?}", compiled.code(export));
    }
}

#[test]
fn accesses_through_a_64_bit_pointer_share_their_check() {
    let compiled = plain(
        r#"(module (memory i64 1)
            (func (export "shared") (param i64) (result i64)
                (i64.add (i64.load offset=8 (local.get 0)) (i64.load offset=16 (local.get 0))))
            (func (export "static") (result i64) (i64.load offset=65528 (i64.const 0))))"#,
    );
    // One conditional move, and no trap besides the accesses themselves.
    let shared = compiled.code("shared");
    assert_eq!(count(shared, &[0x0f, 0x42]), 1, "{shared:x?}");
    assert_eq!(count(shared, &[0x0f, 0x0b]), 0, "{shared:x?}");
    // The first page always exists.
    assert_eq!(count(compiled.code("static"), &[0x0f, 0x42]), 0, "{:x?}", compiled.code("static"));
}

#[test]
fn relaxed_vector_instructions_are_single_ones() {
    let wat = r#"(module
        (func (export "swizzle") (param v128 v128) (result v128)
            (i8x16.relaxed_swizzle (local.get 0) (local.get 1)))
        (func (export "trunc") (param v128) (result v128) (i32x4.relaxed_trunc_f32x4_s (local.get 0)))
        (func (export "trunc zero") (param v128) (result v128)
            (i32x4.relaxed_trunc_f64x2_s_zero (local.get 0)))
        (func (export "dot") (param v128 v128) (result v128)
            (i16x8.relaxed_dot_i8x16_i7x16_s (local.get 0) (local.get 1)))
        (func (export "min") (param v128 v128) (result v128)
            (f32x4.relaxed_min (local.get 0) (local.get 1))))"#;
    let compiled = plain(wat);
    for export in ["swizzle", "trunc", "trunc zero", "dot", "min"] {
        assert!(compiled.code(export).len() <= 20, "{export}: {:x?}", compiled.code(export));
    }
    let same = Compiled::new(wat, Tunables { deterministic_relaxed_simd: true, ..Tunables::default() });
    assert!(same.code("trunc").len() > 24);
}

#[test]
fn what_is_unlikely_lies_behind_the_return() {
    let wat = r#"(module
        (import "" "" (func $rare))
        (func (export "if") (param i32)
            local.get 0
            (@metadata.code.branch_hint "\00")
            if call $rare end)
        (func (export "else") (param i32) (result i32)
            local.get 0
            (@metadata.code.branch_hint "\01")
            if (result i32) i32.const 5 else call $rare i32.const 6 end)
        (func (export "br_if") (param i32)
            (block $out
                local.get 0
                (@metadata.code.branch_hint "\00")
                br_if $out
                return)
            call $rare)
        (func (export "fall through") (param i32)
            (block $out
                local.get 0
                (@metadata.code.branch_hint "\01")
                br_if $out
                call $rare)))"#;
    let hinted = plain(wat);
    let deaf = Compiled::new(wat, Tunables { branch_hints: false, ..Tunables::default() });
    let is_behind = |code: &[u8]| {
        // `call` through a register or memory, `ret`.
        let call = code.windows(2).position(|w| w[0] == 0xff && w[1] & 0x38 == 0x10).unwrap();
        call > code.iter().position(|b| *b == 0xc3).unwrap()
    };
    for export in ["if", "else", "br_if", "fall through"] {
        assert!(is_behind(hinted.code(export)), "{export}: {:x?}", hinted.code(export));
    }
    assert!(["if", "else", "fall through"].iter().all(|export| !is_behind(deaf.code(export))));
}

#[test]
fn a_body_that_calls_itself_last_is_a_loop() {
    let compiled = plain(
        r#"(module (func $f (export "f") (param i32 i32) (result i32)
            (if (i32.eqz (local.get 0)) (then (return (local.get 1))))
            (return_call $f (i32.sub (local.get 0) (i32.const 1)) (i32.mul (local.get 1) (local.get 0)))))"#,
    );
    assert!(compiled.code("f").len() <= 48, "{:x?}", compiled.code("f"));
}

#[test]
fn what_a_function_throws_and_catches_itself_is_a_branch() {
    let compiled = plain(
        r#"(module (tag $t (param i32))
            (func $check (param i32) (result i32)
                (if (i32.gt_s (local.get 0) (i32.const 9)) (then (throw $t (local.get 0))))
                (local.get 0))
            (func (export "f") (param i32) (result i32)
                (block $h (result i32)
                    (try_table (result i32) (catch $t $h) (call $check (local.get 0)))
                    (return (i32.add (i32.const 1))))))"#,
    );
    assert!(compiled.code("f").len() <= 40, "{:x?}", compiled.code("f"));
}

#[test]
fn a_call_that_is_caught_has_its_handler_out_of_the_way() {
    let wat = |catch: &str| {
        format!(
            r#"(module (tag $t (param i32)) (import "" "f" (func $f (param i32) (result i32)))
                (func (export "f") (param i32) (result i32)
                    (block $h (result i32)
                        (try_table (result i32) {catch} (call $f (i32.mul (local.get 0) (i32.const 5))))
                        (return (i32.add (i32.const 1))))))"#
        )
    };
    let (caught, not) = (plain(&wat("(catch $t $h)")), plain(&wat("")));
    assert_eq!((caught.artifact.handlers.len(), not.artifact.handlers.len()), (1, 0));
    let row = caught.artifact.handlers[0];
    assert!(row.handler > row.offset);
    let after_call = |code: &[u8]| {
        let call = code.windows(2).position(|bytes| bytes[0] == 0xff && bytes[1] >> 3 == 0b11010).unwrap();
        code[call..].iter().position(|byte| *byte == 0xc3).unwrap()
    };
    // The frame saves more registers; otherwise the path of a return is the same.
    let (a, b) = (after_call(caught.code("f")), after_call(not.code("f")));
    assert!(a <= b + 40, "{a} bytes from the call to the return, and {b} without a handler");
}

#[test]
fn what_does_not_return_is_called() {
    let wat = |end: &str| {
        format!(
            r#"(module (memory 1) (func $fail (param i32) (i32.store (local.get 0) (i32.const 0x12345678)) {end})
                (func (export "f") (param i32) (if (local.get 0) (then (call $fail (local.get 0)))) (call $fail (i32.const 1))))"#
        )
    };
    let stores = |end| count(plain(&wat(end)).code("f"), &0x1234_5678_u32.to_le_bytes());
    assert_eq!((stores("nop"), stores("unreachable")), (2, 0), "the constant that is stored");
}

#[test]
fn what_makes_an_object_is_inlined_in_loops_only() {
    let wat = r#"(module (type $s (struct (field i32)))
        (func $new (param i32) (result (ref $s)) (struct.new $s (local.get 0)))
        (func (export "once") (param i32) (result (ref $s)) (call $new (local.get 0)) (drop) (call $new (i32.const 1)))
        (func (export "loop") (param i32) (result (ref $s)) (local (ref null $s))
            (loop $again (local.set 1 (call $new (local.get 0)))
                (br_if $again (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))
            (ref.as_non_null (local.get 1))))"#;
    let compiled = plain(wat);
    assert!(compiled.code("once").len() < 90, "{:x?}", compiled.code("once"));
    assert!(compiled.code("loop").len() > 120, "{:x?}", compiled.code("loop"));
}

#[test]
fn a_cast_looks_for_no_more_than_the_type_leaves_open() {
    let wat = r#"(module (type $s (sub (struct))) (type $t (sub final $s (struct)))
        (func (export "any") (param anyref) (result i32) (ref.test (ref $t) (local.get 0)))
        (func (export "nullable") (param (ref null $s)) (result i32) (ref.test (ref $t) (local.get 0)))
        (func (export "object") (param (ref $s)) (result i32) (ref.test (ref $t) (local.get 0))))"#;
    let compiled = plain(wat);
    let [any, nullable, object] = ["any", "nullable", "object"].map(|export| compiled.code(export).len());
    assert!(any > nullable && nullable > object, "{any}, {nullable}, {object}");
}

#[test]
fn stack_maps_of_a_list_of_calls_grow_with_its_length() {
    let wat = |length: usize| {
        let calls = "(call $f)".repeat(length);
        format!(
            "(module (type $list (array (ref any))) (import \"\" \"f\" (func $f (result (ref any))))
                (func (export \"f\") (result (ref $list)) (array.new_fixed $list {length} {calls})))"
        )
    };
    let rows = |length| plain(&wat(length)).artifact.stack_slots.len();
    assert!(rows(400) <= 2 * rows(200) + 16, "{} and {}", rows(200), rows(400));
}
