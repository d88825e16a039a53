//! Looks up the symbols of one position.

use crate::frame_symbol::FrameSymbol;
use crate::lookup::{EnclosingFunction, SymbolLookup};
use crate::symbol_cache;
use belljar_core::WasmPc;
use belljar_module::Module;
use std::sync::Arc;

/// Returns the symbols of an instruction, by its position in the module's binary: the innermost inlined function
/// first. Empty if the module has no DWARF, or its DWARF does not cover the position or belongs to other code.
///
/// The first call for a module reads its debug information; later calls reuse it, for as long as the
/// module lives and few others are looked up.
///
/// ```
/// use belljar_core::WasmPc;
/// use std::sync::Arc;
///
/// let wasm = wat::parse_str("(module (func nop))").unwrap();
/// let module = belljar_module::validate(wasm.into(), Default::default()).unwrap();
/// assert!(belljar_watch::symbols_at(&Arc::new(module), WasmPc(20)).is_empty());
/// ```
pub fn symbols_at(module: &Arc<Module>, pc: WasmPc) -> Vec<FrameSymbol> {
    find(module, pc).symbols
}

/// Looks up an instruction: its symbols, or what is wrong with them.
pub(crate) fn find(module: &Arc<Module>, pc: WasmPc) -> SymbolLookup {
    let function = EnclosingFunction::of(module, pc);
    symbol_cache::with_dwarf(module, |dwarf| dwarf.find(pc, &function)).unwrap_or_default()
}
