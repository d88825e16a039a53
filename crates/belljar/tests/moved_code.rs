//! Debug information that belongs to other code than the module's: none of it is shown, and a note says why.

use belljar::WasmBacktrace;
use belljar_core::{FuncIndex, WasmPc};
use belljar_module::{Module, validate};
use belljar_watch::{FrameInfo, symbols_at};
use std::sync::Arc;
use wasm_encoder::{CustomSection, NameMap, NameSection, RawSection};
use wasmparser::{Operator, Parser, Payload};

/// As the compiler wrote it.
const BEFORE: &[u8] = include_bytes!("dwarf/moved.wasm");
/// As `wasm-opt` wrote it: other code, and the same debug information.
const AFTER: &[u8] = include_bytes!("dwarf/moved.opt.wasm");
const SOURCE: &str = include_str!("dwarf/moved.cpp");

fn module(wasm: &[u8]) -> Arc<Module> {
    Arc::new(validate(wasm.to_vec().into(), Default::default()).unwrap())
}

/// Returns the positions of all instructions, with the functions that contain them.
fn positions(wasm: &[u8]) -> Vec<(u32, WasmPc, bool)> {
    let bodies = Parser::new(0).parse_all(wasm).filter_map(|payload| match payload.unwrap() {
        Payload::CodeSectionEntry(body) => Some(body),
        _ => None,
    });
    let mut found = Vec::new();
    for (i, body) in bodies.enumerate() {
        let mut operators = body.get_operators_reader().unwrap();
        while !operators.eof() {
            let (operator, at) = operators.read_with_offset().unwrap();
            found.push((i as u32, WasmPc(at as u32), matches!(operator, Operator::Unreachable)));
        }
    }
    found
}

fn trap(wasm: &[u8]) -> WasmPc {
    positions(wasm).iter().find(|(.., is_trap)| *is_trap).unwrap().1
}

/// Returns the same module with other function names, or with none.
fn renamed(wasm: &[u8], names: Option<&[&str]>) -> Vec<u8> {
    let mut module = wasm_encoder::Module::new();
    for payload in Parser::new(0).parse_all(wasm) {
        let payload = payload.unwrap();
        if let Payload::CustomSection(section) = &payload {
            if section.name() != "name" {
                module.section(&CustomSection { name: section.name().into(), data: section.data().into() });
            }
        } else if let Some((id, range)) = payload.as_section() {
            module.section(&RawSection { id, data: &wasm[range.start as usize..range.end as usize] });
        }
    }
    if let Some(names) = names {
        let (mut map, mut section) = (NameMap::new(), NameSection::new());
        names.iter().enumerate().for_each(|(i, name)| map.append(i as u32, name));
        section.functions(&map);
        module.section(&section);
    }
    module.finish()
}

/// Returns which functions have symbols, and which have wrong ones.
fn told(wasm: &[u8]) -> (Vec<u32>, Vec<u32>) {
    let module = module(wasm);
    let (mut right, mut wrong) = (Vec::new(), Vec::new());
    for (func, pc, _) in positions(wasm) {
        let frame = FrameInfo::at(&module, pc).unwrap();
        if let Some(outermost) = frame.symbols().last() {
            assert_eq!(
                outermost.name(),
                Some(["wasteful", "fails", "first", "last"][func as usize]),
                "{pc:?}"
            );
            assert!(frame.debug_info_mismatch().is_none());
            right.push(func);
        }
        wrong.extend(frame.debug_info_mismatch().map(|_| func));
    }
    right.dedup();
    wrong.dedup();
    (right, wrong)
}

#[test]
fn what_the_compiler_made_is_right() {
    assert_eq!(told(BEFORE), (vec![0, 1, 2, 3], vec![]));
    let module = module(BEFORE);
    let names: Vec<_> = (0..4).map(|func| module.names().func(FuncIndex(func)).unwrap()).collect();
    assert_eq!(names, ["wasteful", "fails", "first", "last"]);
    let symbols = symbols_at(&module, trap(BEFORE));
    let line = 1 + SOURCE.lines().position(|line| line.ends_with("// trap")).unwrap() as u32;
    assert_eq!((symbols[0].file(), symbols[0].line()), (Some("./moved.cpp"), Some(line)));
    // Without a name section there is nothing to compare with.
    assert_eq!(told(&renamed(BEFORE, None)), (vec![0, 1, 2, 3], vec![]));
}

#[test]
fn functions_that_moved_have_no_lines() {
    let debug_info = |wasm| module(wasm).custom_section(".debug_info").unwrap().to_vec();
    assert_eq!(debug_info(BEFORE), debug_info(AFTER));
    for wasm in [AFTER.to_vec(), renamed(AFTER, None)] {
        let (right, wrong) = told(&wasm);
        assert_eq!((right, wrong), (vec![], vec![0, 1, 2, 3]));
    }
    let module = module(AFTER);
    // Before, the start of `fails` was the end of another function, and its trap was at another of its own positions.
    let (_, start, _) = *positions(AFTER).iter().find(|(func, ..)| *func == 1).unwrap();
    let cases = [
        (start, "wasteful", "`wasteful` in the place of `fails`"),
        (trap(AFTER), "fails", "`fails` at other positions"),
    ];
    for (pc, subprogram, why) in cases {
        let frame = FrameInfo::at(&module, pc).unwrap();
        assert_eq!(frame.debug_info_mismatch().unwrap().subprogram(), Some(subprogram));
        let expected = format!(
            "wasm backtrace:
    0: {:#06x} - moved.wasm!fails
note: lines of moved.wasm are left out where its debug information does not fit its code: it has {why}. \
             A tool may have changed the code and copied the debug information, as wasm-opt of npm does",
            pc.0
        );
        assert_eq!(WasmBacktrace::of_frames(vec![frame], 0).to_string(), expected);
    }
}

#[test]
fn names_that_disagree_are_reason_enough() {
    let wasm = renamed(BEFORE, Some(&["wasteful", "first", "fails", "last"]));
    let module = module(&wasm);
    let frame = |func: u32| {
        let (_, pc, _) = *positions(&wasm).iter().find(|(f, ..)| *f == func).unwrap();
        FrameInfo::at(&module, pc).unwrap()
    };
    for (func, subprogram) in [(1, "fails"), (2, "first")] {
        let frame = frame(func);
        assert!(frame.symbols().is_empty());
        assert_eq!(frame.debug_info_mismatch().unwrap().subprogram(), Some(subprogram));
    }
    for func in [0, 3] {
        assert!(!frame(func).symbols().is_empty() && frame(func).debug_info_mismatch().is_none());
    }
}

/// The linker removed a function: its address is 2^32 − 1, and it matches no position. Other tools write 0, from where it extends
/// over the first functions.
#[test]
fn functions_that_were_left_out_are_nowhere() {
    let intact = module(BEFORE);
    let info = intact.custom_sections().iter().find(|(name, _)| &**name == ".debug_info").unwrap().1.clone();
    let at = info.start + BEFORE[info.clone()].windows(4).position(|address| address == [0xff; 4]).unwrap();
    let mut at_zero = BEFORE.to_vec();
    at_zero[at..at + 4].fill(0);
    for wasm in [BEFORE, AFTER, &at_zero] {
        let module = module(wasm);
        assert!(module.custom_section(".debug_str").unwrap().windows(9).any(|name| name == b"left_out\0"));
        for pc in 0..wasm.len() as u32 {
            let symbols = symbols_at(&module, WasmPc(pc));
            assert!(symbols.iter().all(|symbol| symbol.name() != Some("left_out")), "{pc:#x}");
        }
    }
    // The others are where they were, and no error is reported.
    assert_eq!(told(&at_zero), (vec![0, 1, 2, 3], vec![]));
}

/// `wast` omits the number of functions in its addresses: those of the first function are the lowest that are possible.
#[test]
fn the_first_function_is_not_taken_for_one_that_was_left_out() {
    let wasm = include_bytes!("dwarf/typed.wasm");
    let source = include_str!("dwarf/typed.wat");
    let module = module(wasm);
    let lines: Vec<_> = (1..).zip(source.lines()).filter(|(_, text)| text.contains("unreachable")).collect();
    let traps = positions(wasm).into_iter().filter(|(.., is_trap)| *is_trap);
    let names = ["first", "second"];
    for (((_, pc, _), name), (line, _)) in traps.zip(names).zip(lines) {
        let symbols = symbols_at(&module, pc);
        assert_eq!((symbols[0].name(), symbols[0].line()), (Some(name), Some(line)));
    }
}
