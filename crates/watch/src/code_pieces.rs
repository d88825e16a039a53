//! Named pieces of loaded code, for profilers.

use crate::frame_info::FrameInfo;
use crate::printed_name::PrintedName;
use crate::symbol_cache;
use belljar_core::{DefinedFuncIndex, FuncType};
use belljar_vm::{CodeLine, CodePiece, LoadedModule, TrampolineKind};
use std::sync::Arc;

/// Returns the functions of a module, without lines. Names are those of backtraces, `module!function`, and contain no line
/// breaks. Neither debug information nor code is read.
pub fn functions(loaded: &LoadedModule) -> impl Iterator<Item = CodePiece<'_>> {
    indexed(loaded).map(|(_, piece)| piece)
}

/// Like [`functions`], with lines where the module's debug information has them. For inlined code, whether inlined by
/// belljar or by the guest's compiler, these are the lines of the innermost function.
///
/// This reads all debug information about code, which takes longer than all other processing of a module whose code is
/// already compiled.
pub fn functions_with_lines(loaded: &LoadedModule) -> impl Iterator<Item = CodePiece<'_>> {
    let mut steps = None;
    indexed(loaded).map(move |(func, piece)| {
        let lines = lines(loaded, func, &mut steps);
        CodePiece { lines, ..piece }
    })
}

/// Returns a trampoline, which is code of no module.
pub fn trampoline<'a>(kind: TrampolineKind, ty: &FuncType, address: usize, code: &'a [u8]) -> CodePiece<'a> {
    let kind = match kind {
        TrampolineKind::Entry => "entry",
        TrampolineKind::Exit => "exit",
    };
    let name = format!("belljar trampoline [{kind}] {ty}");
    CodePiece { name, address, code, lines: Vec::new() }
}

fn indexed(loaded: &LoadedModule) -> impl Iterator<Item = (DefinedFuncIndex, CodePiece<'_>)> {
    let (module, image) = (loaded.module(), loaded.code_image());
    let (text, start) = (image.text(), image.addresses().start);
    let funcs = image.tables().funcs.iter().enumerate().filter(|(_, func)| func.length > 0);
    funcs.map(move |(i, func)| {
        let (index, at) = (DefinedFuncIndex::new(i), func.start.0 as usize);
        let name = FrameInfo::somewhere_in(module, module.func_index(index)).to_string();
        let code = &text[at..at + func.length as usize];
        (index, CodePiece { name, address: start + at, code, lines: Vec::new() })
    })
}

/// Returns the lines of a function. For `steps`, see [`crate::dwarf::Dwarf::for_each_location`].
fn lines(loaded: &LoadedModule, func: DefinedFuncIndex, steps: &mut Option<u64>) -> Vec<CodeLine> {
    let (image, mut lines) = (loaded.code_image(), Vec::<CodeLine>::new());
    let (tables, start) = (image.tables(), image.addresses().start);
    // Most lines of a function are in the same file as the previous line.
    let mut last = (String::new(), Arc::<str>::from(""));
    let positions = tables.innermost_positions(func);
    symbol_cache::with_dwarf(loaded.module(), |dwarf| {
        dwarf.for_each_location(steps, loaded.module(), positions, |offset, file, line, column| {
            if last.0 != file {
                last = (file.into(), PrintedName(file).to_string().into());
            }
            let (address, file) = (start + offset.0 as usize, last.1.clone());
            let is_new = lines.last().is_none_or(|l| (&l.file, l.line, l.column) != (&file, line, column));
            if is_new {
                lines.push(CodeLine { address, file, line, column });
            }
        });
    });
    // The function's prologue counts as its first line.
    if let Some(first) = lines.first_mut() {
        first.address = start + tables.funcs[func.index()].start.0 as usize;
    }
    lines
}
