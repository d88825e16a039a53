//! Modules at the limits of validation compile in reasonable time and without deep recursion.

use belljar_abi::LinkedCode;
use belljar_compile::{Budget, ModulePlan, Tunables, compile};
use belljar_core::CodeOffset;
use belljar_module::{WasmFeatures, validate};
use belljar_optimize::Optimizer;

fn compiled(wat: &str) -> LinkedCode {
    let module = validate(wat::parse_str(wat).unwrap().into(), WasmFeatures::WASM2).unwrap();
    let artifact = compile(
        &ModulePlan::new(&module, Tunables::default()),
        &Optimizer::new().unwrap(),
        &(),
        &Budget::unlimited(),
    )
    .unwrap();
    assert_eq!(artifact.funcs.len(), module.defined_funcs());
    artifact
}

#[test]
fn fifty_thousand_locals() {
    let locals = "i32 i64 f32 f64 ".repeat(12_000);
    let uses = "(local.set 7 (i32.add (local.get 7) (local.get 47999)))";
    let wat = format!("(module (func (local {locals} i32) (local.set 48000 (i32.const 1)) (loop br 0)))");
    compiled(&wat);
    let locals = "i32 ".repeat(48_000);
    compiled(&format!("(module (func (local {locals}) (loop {uses} (br_if 0 (local.get 3)))))"));
}

#[test]
fn a_table_of_many_branches() {
    for values in ["", "(i32.const 3)"] {
        let result = if values.is_empty() { "" } else { "(result i32)" };
        let drop = if values.is_empty() { "" } else { "drop" };
        let targets = "0 1 2 1 ".repeat(10_000);
        compiled(&format!(
            "(module (func (param i32) (local i32 i64)
                (block {result} (block {result} (block {result}
                    (local.set 1 (i32.const 5))
                    (br_table {targets} 0 {values} (local.get 0))) {drop}
                    (local.set 2 (i64.const 1)) {values}) {drop} {values}) {drop}))"
        ));
    }
}

#[test]
fn blocks_inside_blocks() {
    let depth = 20_000;
    for (open, close) in [
        ("block ", "end "),
        ("loop ", "end "),
        ("local.get 0 if ", "end "),
        ("local.get 0 if ", "else end "),
        ("block ", "local.get 0 br_if 0 end "),
        ("unreachable block ", "end "),
    ] {
        compiled(&format!("(module (func (param i32) {} {}))", open.repeat(depth), close.repeat(depth)));
    }
}

#[test]
fn code_that_is_never_reached() {
    let wat = "(module (memory 1) (func (param i32) (result i32)
        block (result i32)
          unreachable
          i32.add
          if (result i32) i32.const 1 else i32.const 2 br 1 end
          loop (result i64) br 0 end
          drop
          select
          i32.load
          br_table 0 1 0
        end
        return
        f64.const 0
        drop
        block (param) end
        i32.const 9))";
    compiled(wat);
}

#[test]
fn many_parameters_and_results() {
    let types = "i32 i64 f32 f64 ".repeat(100);
    let gets: String = (0..400).map(|i| format!("local.get {i} ")).collect();
    let wat = format!(
        "(module
            (import \"m\" \"f\" (func $import (param {types}) (result {types})))
            (table 2 funcref) (elem (i32.const 0) $f $import)
            (type $t (func (param {types}) (result {types})))
            (func $f (export \"f\") (type $t) {gets} call $import)
            (func (type $t) {gets} call $f)
            (func (type $t) {gets} i32.const 1 call_indirect (type $t)))"
    );
    compiled(&wat);
}

#[test]
fn inlining_is_bounded() {
    // Each function calls the previous one twice: without a bound the last would hold 2⁴⁰ bodies.
    let mut wat =
        String::from("(module (func $f0 (param i32) (result i32) (i32.add (local.get 0) (i32.const 1)))");
    for i in 1..=40 {
        let p = i - 1;
        wat.push_str(&format!(
            "(func $f{i} (param i32) (result i32)
                (loop (br_if 0 (local.get 0))) (call $f{p} (call $f{p} (local.get 0))))"
        ));
    }
    wat.push(')');
    assert!(compiled(&wat).text.len() < 100_000);
}

#[test]
fn many_small_calls_reuse_their_locals() {
    let calls = "(local.set 0 (call $f (local.get 0) (i32.const 3)))
                 (if (local.get 0) (then (local.set 1 (i32.const 1))))"
        .repeat(4000);
    compiled(&format!(
        "(module (func $f (param i32 i32) (result i32) (local i32 i64 f64)
            (local.set 2 (i32.add (local.get 0) (local.get 1))) (local.get 2))
         (func (param i32) (local i32) (loop {calls} (br_if 0 (local.get 1)))))"
    ));
}

#[test]
fn an_inlined_trap_names_the_whole_chain() {
    let wat = "(module
        (func $c (param i32) (result i32) (i32.div_u (i32.const 7) (local.get 0)))
        (func $b (param i32) (result i32) (i32.add (call $c (local.get 0)) (i32.const 1)))
        (func (export \"a\") (param i32) (result i32) (call $b (local.get 0))))";
    let artifact = compiled(wat);
    let last = artifact.funcs[2];
    let chains: Vec<usize> = artifact
        .traps
        .iter()
        .filter(|t| last.contains(t.offset))
        .map(|t| artifact.tables().positions_at(t.offset).len())
        .collect();
    assert!(chains.contains(&3), "chains of {chains:?}");
    let code = last.start.0..last.start.0 + last.length;
    assert!(code.into_iter().all(|at| !artifact.tables().positions_at(CodeOffset(at)).is_empty()));
}
