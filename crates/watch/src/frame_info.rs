//! A frame of a backtrace: one wasm function.

use crate::frame_symbol::FrameSymbol;
use crate::lookup::{LookupError, SymbolLookup};
use crate::printed_name::PrintedName;
use crate::symbolize;
use belljar_core::{FuncIndex, WasmPc};
use belljar_module::Module;
use belljar_vm::{LoadedModule, RawFrame};
use std::fmt;
use std::sync::{Arc, OnceLock};

/// A wasm function on the stack, and the guest's position in it.
#[derive(Clone)]
pub struct FrameInfo {
    module: Arc<Module>,
    func: FuncIndex,
    pc: Option<WasmPc>,
    lookup: OnceLock<SymbolLookup>,
}

impl FrameInfo {
    /// Returns the frame of the instruction at this position of the module's binary, or `None` if the position is in no
    /// function.
    pub fn at(module: &Arc<Module>, pc: WasmPc) -> Option<Self> {
        let func = module.func_at(pc)?;
        Some(Self { module: module.clone(), func, pc: Some(pc), lookup: OnceLock::new() })
    }

    /// Returns the functions of a machine frame: those that belljar inlined first, the function itself last. Returns `None`
    /// if its module is no longer loaded.
    pub fn of_frame(frame: &RawFrame) -> Option<Vec<Self>> {
        let loaded = frame.module()?.downcast::<LoadedModule>().ok()?;
        let module = loaded.module();
        let tables = frame.code().tables();
        let positions = tables.positions_at(frame.offset());
        let functions: Vec<Self> = positions.into_iter().filter_map(|pc| Self::at(module, pc)).collect();
        if functions.is_empty() {
            let func = frame.func();
            return Some(
                func.map(|f| Self::somewhere_in(module, module.func_index(f))).into_iter().collect(),
            );
        }
        Some(functions)
    }

    /// Creates the frame of a function at an unknown position.
    pub(crate) fn somewhere_in(module: &Arc<Module>, func: FuncIndex) -> Self {
        Self { module: module.clone(), func, pc: None, lookup: OnceLock::new() }
    }

    /// Makes the frame have no symbols from the module's debug information.
    pub fn hide_symbols(&mut self) {
        self.lookup = OnceLock::from(SymbolLookup::default());
    }

    /// Returns the module that the function belongs to.
    pub fn wasm_module(&self) -> &Arc<Module> {
        &self.module
    }

    /// Returns the module's name in its name section.
    pub fn module_name(&self) -> Option<&str> {
        self.module.names().module()
    }

    /// Returns the function's index in its module, imports included.
    pub fn func_index(&self) -> u32 {
        self.func.0
    }

    /// Returns the function's name in the module's name section, as its compiler wrote it, otherwise the name of its
    /// first export.
    pub fn func_name(&self) -> Option<&str> {
        self.module.names().func(self.func)
    }

    /// Returns the byte offset of the instruction in the module's binary.
    pub fn module_offset(&self) -> Option<usize> {
        self.pc.map(|pc| pc.0 as usize)
    }

    /// Returns the byte offset of the instruction in the function's body, including its locals.
    pub fn func_offset(&self) -> Option<usize> {
        let body = self.module.body(self.module.defined_func(self.func)?);
        self.module_offset()?.checked_sub(body.start)
    }

    /// Returns how many locals the function has, parameters first; only the parameters if the module was kept without its code.
    pub fn local_count(&self) -> u32 {
        let params = self.module.func_type(self.func).params().len() as u32;
        let body = self.module.defined_func(self.func).and_then(|func| self.module.function_body(func));
        let groups = body.and_then(|body| body.get_locals_reader().ok()).into_iter().flatten();
        // The body was validated, so there are few locals.
        groups.flatten().fold(params, |sum, (count, _)| sum.saturating_add(count))
    }

    /// Returns the symbols that the module's DWARF has for the position: the innermost function that the guest's compiler
    /// inlined first, the function itself last. Read at the first call.
    pub fn symbols(&self) -> &[FrameSymbol] {
        &self.lookup().symbols
    }

    /// Returns what the module's DWARF has for the position if it cannot be right and so is not among [`FrameInfo::symbols`].
    pub fn debug_info_mismatch(&self) -> Option<DebugInfoMismatch<'_>> {
        let Some(LookupError::OtherCode(subprogram)) = &self.lookup().error else { return None };
        Some(DebugInfoMismatch { frame: self, subprogram: subprogram.as_deref() })
    }

    fn lookup(&self) -> &SymbolLookup {
        self.lookup.get_or_init(|| {
            let mut found = self.pc.map(|pc| symbolize::find(&self.module, pc)).unwrap_or_default();
            if let Some(symbol) = found.symbols.last_mut()
                && self.func_name().is_some()
                && symbol.name().is_some_and(|name| self.is_number(name))
            {
                symbol.name = None;
            }
            found
        })
    }

    /// Returns whether a name only repeats the function's number, as that in the debug information that `wat` generates
    /// for a function without a name.
    fn is_number(&self, name: &str) -> bool {
        let number = name.strip_prefix("wasm-function[").and_then(|rest| rest.strip_suffix(']'));
        number.is_some_and(|number| number.parse() == Ok(self.func.0))
    }
}

/// Debug information that belongs to other code than the module's: at a position it has another function than the module.
/// Some tools rewrite code and keep custom sections as they are.
///
/// It prints as a note that explains the missing lines.
#[derive(Clone, Copy, Debug)]
pub struct DebugInfoMismatch<'a> {
    frame: &'a FrameInfo,
    subprogram: Option<&'a str>,
}

impl DebugInfoMismatch<'_> {
    /// Returns the function that the debug information has there, as its compiler wrote it.
    pub fn subprogram(&self) -> Option<&str> {
        self.subprogram
    }
}

impl fmt::Display for DebugInfoMismatch<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let module = PrintedName(self.frame.module_name().unwrap_or("<unknown>"));
        write!(
            f,
            "lines of {module} are left out where its debug information does not fit its code: it has "
        )?;
        let (subprogram, own) = (self.subprogram.map(PrintedName), self.frame.wasm_name());
        match subprogram.map(|name| name.to_string()) {
            Some(name) if name == own => write!(f, "`{name}` at other positions")?,
            Some(name) => write!(f, "`{name}` in the place of `{own}`")?,
            None => write!(f, "another function in the place of `{own}`")?,
        }
        f.write_str(
            ". A tool may have changed the code and copied the debug information, as wasm-opt of npm does",
        )
    }
}

/// Prints `0x1a3f - module!function`, and below it `at file:line:column` if that is known.
impl fmt::Display for FrameInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(offset) = self.module_offset() {
            write!(f, "{offset:#06x} - ")?;
        }
        write!(f, "{}!", PrintedName(self.module_name().unwrap_or("<unknown>")))?;
        let symbols = self.symbols();
        if symbols.is_empty() {
            return f.write_str(&self.wasm_name());
        }
        for (i, symbol) in symbols.iter().enumerate() {
            if i > 0 {
                write!(f, "\n              - ")?;
            }
            match symbol.name() {
                Some(name) => write!(f, "{}", PrintedName(name))?,
                None if i + 1 == symbols.len() => f.write_str(&self.wasm_name())?,
                None => write!(f, "<inlined function>")?,
            }
            write_location(symbol, f)?;
        }
        Ok(())
    }
}

impl FrameInfo {
    /// Returns the function's name from the name section, or `<wasm function 3>` if it has none.
    pub fn wasm_name(&self) -> String {
        match self.func_name() {
            Some(name) => PrintedName(name).to_string(),
            None => format!("<wasm function {}>", self.func.0),
        }
    }
}

fn write_location(symbol: &FrameSymbol, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let Some(file) = symbol.file() else { return Ok(()) };
    write!(f, "\n                    at {}", PrintedName(file))?;
    let Some(line) = symbol.line() else { return Ok(()) };
    write!(f, ":{line}")?;
    symbol.column().map_or(Ok(()), |column| write!(f, ":{column}"))
}

impl fmt::Debug for FrameInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FrameInfo")
            .field("module_name", &self.module_name())
            .field("func_index", &self.func_index())
            .field("func_name", &self.func_name())
            .field("module_offset", &self.module_offset())
            .finish_non_exhaustive()
    }
}
