//! What is looked up in debug information, and what the result is.

use crate::frame_symbol::FrameSymbol;
use belljar_core::WasmPc;
use belljar_module::Module;
use std::ops::Range;

/// The function of a module that contains a position.
pub(crate) struct EnclosingFunction<'a> {
    /// The range of its body in the binary.
    pub(crate) body: Range<usize>,
    /// Its name in the name section.
    pub(crate) name: Option<&'a str>,
}

impl<'a> EnclosingFunction<'a> {
    /// Returns the function that contains this position.
    pub(crate) fn of(module: &'a Module, pc: WasmPc) -> Self {
        let func = module.func_at(pc);
        let body = func.and_then(|func| module.defined_func(func)).map(|func| module.body(func));
        let at = pc.0 as usize;
        Self { body: body.unwrap_or(at..at), name: func.and_then(|func| module.names().section_func(func)) }
    }
}

/// The result of looking up a position in debug information.
#[derive(Clone, Debug, Default)]
pub(crate) struct SymbolLookup {
    /// The symbols, innermost first; none if they cannot be right.
    pub(crate) symbols: Vec<FrameSymbol>,
    /// Why there are no symbols, although the debug information has some.
    pub(crate) error: Option<LookupError>,
}

/// Why the debug information for a position cannot be right.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum LookupError {
    /// It describes a function that the linker removed.
    RemovedByLinker,
    /// It describes other code: the subprogram of this name, if it has one.
    OtherCode(Option<Box<str>>),
}
