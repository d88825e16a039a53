//! Loaded code in pieces with names, for profilers.

use crate::frame_info::FrameInfo;
use crate::printed_name::PrintedName;
use crate::symbol_cache;
use belljar_core::{DefinedFuncIndex, FuncType};
use belljar_vm::{CodeLine, CodePiece, Direction, LoadedModule};
use std::sync::Arc;

/// The functions of a module, without lines. Names are those of backtraces, `module!function`, and none of them has a line
/// break. Neither debug information is read nor code.
pub fn functions(loaded: &LoadedModule) -> impl Iterator<Item = CodePiece<'_>> {
    indexed(loaded).map(|(_, piece)| piece)
}

/// The same as [`functions`], with lines where the module's debug information has them. Of code that belljar inlined, and
/// of what the guest's compiler did, these are the lines of the innermost function.
///
/// All debug information about code is read, which takes longer than everything else that is done for a module with its code
/// compiled.
pub fn functions_with_lines(loaded: &LoadedModule) -> impl Iterator<Item = CodePiece<'_>> {
    let mut steps = None;
    indexed(loaded).map(move |(func, piece)| {
        let lines = lines(loaded, func, &mut steps);
        CodePiece { lines, ..piece }
    })
}

/// A trampoline: code of no module.
pub fn trampoline<'a>(direction: Direction, ty: &FuncType, address: usize, code: &'a [u8]) -> CodePiece<'a> {
    let direction = match direction {
        Direction::Entry => "entry",
        Direction::Exit => "exit",
    };
    let name = format!("belljar trampoline [{direction}] {ty}");
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

/// The lines of a function. `steps`: as [`crate::dwarf::Dwarf::for_each_location`] has it.
fn lines(loaded: &LoadedModule, func: DefinedFuncIndex, steps: &mut Option<u64>) -> Vec<CodeLine> {
    let (image, mut lines) = (loaded.code_image(), Vec::<CodeLine>::new());
    let (tables, start) = (image.tables(), image.addresses().start);
    // Most lines of a function are of the file of the line before.
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
    // What a function does before, to make its frame, counts to its first line.
    if let Some(first) = lines.first_mut() {
        first.address = start + tables.funcs[func.index()].start.0 as usize;
    }
    lines
}
