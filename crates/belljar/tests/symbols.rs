//! Symbols of positions in a module that has DWARF: found, printed, and harmless when broken.

use belljar::WasmBacktrace;
use belljar_core::WasmPc;
use belljar_module::{Module, validate};
use belljar_watch::{FrameInfo, symbols_at};
use std::sync::Arc;
use wasmparser::{Operator, Parser, Payload};

const SOURCE: &str = include_str!("dwarf/shapes.cpp");
const WASM: &[u8] = include_bytes!("dwarf/shapes.wasm");

fn module(wasm: &[u8]) -> Arc<Module> {
    Arc::new(validate(wasm.to_vec().into(), Default::default()).unwrap())
}

/// Returns the line of the source that ends in `// mark`.
fn line(mark: &str) -> u32 {
    let mark = format!("// {mark}");
    1 + SOURCE.lines().position(|l| l.ends_with(&mark)).unwrap() as u32
}

/// Returns the positions of the instructions that `wanted` names.
fn positions(wasm: &[u8], wanted: fn(&Operator<'_>) -> bool) -> Vec<WasmPc> {
    let mut found = Vec::new();
    for payload in Parser::new(0).parse_all(wasm) {
        if let Payload::CodeSectionEntry(body) = payload.unwrap() {
            let mut operators = body.get_operators_reader().unwrap();
            while !operators.eof() {
                let (operator, at) = operators.read_with_offset().unwrap();
                found.extend(wanted(&operator).then_some(WasmPc(at as u32)));
            }
        }
    }
    found
}

fn the_trap() -> WasmPc {
    positions(WASM, |o| matches!(o, Operator::Unreachable))[0]
}

fn the_call() -> WasmPc {
    positions(WASM, |o| matches!(o, Operator::Call { .. }))[0]
}

#[test]
fn inlined_functions_are_symbols_of_one_frame() {
    let symbols = symbols_at(&module(WASM), the_trap());
    let [checked, area] = &symbols[..] else { panic!("{symbols:?}") };
    assert_eq!(checked.name(), Some("_ZNK6shapes6Square7checkedEv"));
    assert_eq!(checked.file(), Some("./shapes.cpp"));
    assert_eq!(checked.line(), Some(line("trap")));
    assert_eq!(area.name(), Some("_ZN6shapes4areaERKNS_6SquareE"));
    assert_eq!(area.line(), Some(line("call checked")));
    assert!(area.column().is_some());
}

#[test]
fn a_backtrace_prints_places_and_what_it_leaves_out() {
    let module = module(WASM);
    let frames = [the_trap(), the_call()].map(|pc| FrameInfo::at(&module, pc).unwrap());
    let backtrace = WasmBacktrace::of_frames(frames.into(), 7);
    let (trap, call) = (the_trap().0, the_call().0);
    let [at, inlined, outer] = [line("trap"), line("call checked"), line("call area")];
    let expected = format!(
        "wasm backtrace:
    0: {trap:#06x} - shapes.wasm!shapes::Square::checked() const
                    at ./shapes.cpp:{at}:13
              - shapes::area(shapes::Square const&)
                    at ./shapes.cpp:{inlined}:19
    1: {call:#06x} - shapes.wasm!area_of
                    at ./shapes.cpp:{outer}:12
  … 7 more frames"
    );
    assert_eq!(backtrace.to_string(), expected);
}

#[test]
fn a_frame_knows_its_place() {
    let module = module(WASM);
    let frame = FrameInfo::at(&module, the_call()).unwrap();
    assert_eq!(frame.func_name(), Some("area_of"));
    assert_eq!(frame.module_offset(), Some(the_call().0 as usize));
    let body = module.body(module.defined_func(belljar_core::FuncIndex(frame.func_index())).unwrap());
    assert_eq!(frame.func_offset(), Some(the_call().0 as usize - body.start));
    assert!(FrameInfo::at(&module, WasmPc(4)).is_none());
    assert!(FrameInfo::at(&module, WasmPc(u32::MAX)).is_none());
}

#[test]
fn names_alone_make_a_backtrace() {
    let wasm = wat::parse_str(
        r#"(module $m
            (func $_ZN4core9panicking5panic17h0123456789abcdefE nop)
            (func nop)
            (func $"tty\1b[2J" nop))"#,
    );
    let wasm = wasm.unwrap();
    let module = module(&wasm);
    let frames = positions(&wasm, |o| matches!(o, Operator::Nop)).into_iter();
    let frames: Vec<_> = frames.map(|pc| FrameInfo::at(&module, pc).unwrap()).collect();
    assert!(frames[0].symbols().is_empty());
    let offset = |i: usize| frames[i].module_offset().unwrap();
    let expected = format!(
        "wasm backtrace:
    0: {:#06x} - m!core::panicking::panic
    1: {:#06x} - m!<wasm function 1>
    2: {:#06x} - m!tty\\u{{1b}}[2J",
        offset(0),
        offset(1),
        offset(2)
    );
    assert_eq!(WasmBacktrace::of_frames(frames, 0).to_string(), expected);
}

#[test]
fn broken_debug_information_is_missing_information() {
    let intact = module(WASM);
    let sections = intact.custom_sections().iter();
    let debug: Vec<usize> = sections
        .filter(|(name, _)| name.starts_with(".debug"))
        .flat_map(|(_, range)| range.clone())
        .collect();
    assert!(!debug.is_empty());
    let pcs: Vec<_> = positions(WASM, |_| true);
    for &at in &debug {
        for value in [0x00, 0x7f, 0xff, WASM[at] ^ 1, WASM[at].wrapping_add(1)] {
            let mut wasm = WASM.to_vec();
            wasm[at] = value;
            let module = module(&wasm);
            for &pc in &pcs {
                let frame = FrameInfo::at(&module, pc).unwrap();
                assert!(frame.symbols().len() <= 64);
                let _ = frame.to_string();
            }
        }
    }
}

#[test]
fn cut_debug_information_is_missing_information() {
    let intact = module(WASM);
    for (name, range) in intact.custom_sections().iter().filter(|(name, _)| name.starts_with(".debug")) {
        for length in 0..range.len() {
            let mut wasm = wasm_encoder::Module::new();
            for payload in Parser::new(0).parse_all(WASM) {
                let payload = payload.unwrap();
                if let Payload::CustomSection(c) = &payload {
                    let data = if c.name() == &**name { &c.data()[..length] } else { c.data() };
                    wasm.section(&wasm_encoder::CustomSection { name: c.name().into(), data: data.into() });
                } else if let Some((id, range)) = payload.as_section() {
                    let data = &WASM[range.start as usize..range.end as usize];
                    wasm.section(&wasm_encoder::RawSection { id, data });
                }
            }
            let module = module(&wasm.finish());
            for pc in [the_trap(), the_call()] {
                let _ = FrameInfo::at(&module, pc).unwrap().to_string();
            }
        }
    }
}
