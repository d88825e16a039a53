//! Opening and querying a module's DWARF.

use crate::frame_symbol::FrameSymbol;
use crate::lookup::{EnclosingFunction, LookupError, SymbolLookup};
use crate::section_reader::{SectionReader, Source};
use crate::subprograms::{SubprogramFit, Subprograms, names_agree};
use belljar_core::{CodeOffset, DefinedFuncIndex, WasmPc};
use belljar_module::Module;
use gimli::Reader;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

/// Reader steps that one lookup may take for each byte of debug information. A lookup in well-formed information reads
/// each byte at most once, and a few of them twice.
const STEPS_PER_BYTE: u64 = 4;
/// Steps that a lookup may take in addition, so that small modules are not cut short.
const MIN_STEPS: u64 = 1 << 20;
/// The most inlined functions that one frame shows.
const MAX_SYMBOLS: usize = 64;
/// The most inlined functions at one position that are read to find the function that contains them.
const MAX_FRAMES_READ: usize = 1 << 12;

/// A module's debug information, ready for lookups.
pub(crate) struct Dwarf {
    /// `None` once a lookup exceeded its budget, because the next one would too.
    context: Option<addr2line::Context<SectionReader>>,
    source: Arc<Source>,
    /// The position that addresses in the debug information count from.
    start: u32,
    steps: u64,
    subprograms: Subprograms,
}

impl Dwarf {
    /// Opens a module's debug information. Returns `None` if it has none that can be used.
    pub(crate) fn open(module: &Module) -> Option<Self> {
        let range = |id: gimli::SectionId| {
            module
                .custom_sections()
                .iter()
                .find(|(name, _)| &**name == id.name())
                .map(|(_, range)| range.clone())
        };
        let info = range(gimli::SectionId::DebugInfo).filter(|range| !range.is_empty())?;
        // If the binary was kept without code, all debug sections lie in one of its parts, behind the code.
        let parts = module.binary().parts();
        let (start, bytes) =
            &parts[parts.partition_point(|(start, _)| *start <= info.start).checked_sub(1)?];
        let in_part = |range: Range<usize>| {
            let (from, to) = (range.start.checked_sub(*start)?, range.end.checked_sub(*start)?);
            (to <= bytes.len()).then_some(from..to)
        };
        let code_start = module.code_section().start as u32;
        let source = Source::new(bytes.clone());
        let mut size = 0;
        let dwarf = gimli::Dwarf::load(|id| {
            let range = range(id).and_then(in_part).unwrap_or(0..0);
            size += range.len() as u64;
            Ok::<_, gimli::Error>(SectionReader::new(&source, range))
        });
        let steps = MIN_STEPS + size * STEPS_PER_BYTE;
        source.set_budget(steps);
        let dwarf = dwarf.ok()?;
        let displacement = displacement(&dwarf, module, code_start).unwrap_or(0);
        let start = code_start.checked_add(displacement)?;
        let context = addr2line::Context::from_dwarf(dwarf).ok()?;
        Some(Self {
            context: Some(context),
            source,
            start,
            steps,
            subprograms: Subprograms::new(displacement),
        })
    }

    /// Looks up an instruction. If the information is broken, returns what was found before the error.
    pub(crate) fn find(&mut self, pc: WasmPc, function: &EnclosingFunction<'_>) -> SymbolLookup {
        self.source.set_budget(self.steps);
        let found = self.find_within_budget(pc, function);
        if self.source.is_exhausted() {
            self.context = None;
        }
        found
    }

    /// Like [`Self::find`], with the current budget.
    fn find_within_budget(&mut self, pc: WasmPc, function: &EnclosingFunction<'_>) -> SymbolLookup {
        let (Some(context), Some(address)) = (&self.context, pc.0.checked_sub(self.start)) else {
            return SymbolLookup::default();
        };
        let within = |at: usize| (at as u64).saturating_sub(self.start.into());
        let body = within(function.body.start)..within(function.body.end);
        let (mut address, mut frames) = (u64::from(address), frames(context, address.into()));
        // Some compilers emit no lines before a function's first instruction, which is where stacks overflow.
        if frames.symbols.is_empty() {
            let mut lines = context.find_location_range(address, body.end).into_iter().flatten();
            if let Some((first, ..)) = lines.next() {
                (address, frames) = (first, self::frames(context, first));
            }
        }
        let Some(Subprogram(name)) = frames.subprogram else {
            return SymbolLookup { symbols: frames.symbols, error: None };
        };
        let unit = context.find_dwarf_and_unit(address).skip_all_loads();
        let fit = unit.map_or(SubprogramFit::Missing, |unit| self.subprograms.fit(unit, address, &body));
        let is_right = match (fit, function.name, name.as_deref()) {
            (SubprogramFit::Missing, ..) => {
                return SymbolLookup { symbols: Vec::new(), error: Some(LookupError::RemovedByLinker) };
            }
            // Without two names to compare, the subprogram's range has to match exactly.
            (_, None, _) | (_, _, None) => fit == SubprogramFit::Exact,
            (_, Some(wasm), Some(dwarf)) => fit >= SubprogramFit::SameStart && names_agree(wasm, dwarf),
        };
        match is_right {
            true => SymbolLookup { symbols: frames.symbols, error: None },
            false => SymbolLookup { symbols: Vec::new(), error: Some(LookupError::OtherCode(name)) },
        }
    }

    /// Calls `report` with offset, file, line and column of each position that has them; an unknown column is 0.
    /// `steps` is the budget shared by all calls that are passed the same variable, initially `None`. Each part of the
    /// debug information is read once for all of them, so well-formed information needs no more steps than one lookup.
    pub(crate) fn for_each_location(
        &mut self,
        steps: &mut Option<u64>,
        module: &Module,
        positions: impl Iterator<Item = (CodeOffset, WasmPc)>,
        mut report: impl FnMut(CodeOffset, &str, u32, u32),
    ) {
        self.source.set_budget(steps.unwrap_or(self.steps));
        // By function: whether its debug information is wrong. Inlined code belongs to another function than the one
        // that is looked up.
        let mut wrong = HashMap::new();
        for (offset, pc) in positions {
            let is_wrong = *wrong.entry(module.func_at(pc)).or_insert_with(|| {
                self.find_within_budget(pc, &EnclosingFunction::of(module, pc)).error.is_some()
            });
            let (Some(context), false) = (&self.context, is_wrong) else { continue };
            let Some(address) = pc.0.checked_sub(self.start) else { continue };
            let Ok(Some(location)) = context.find_location(u64::from(address)) else { continue };
            if let (Some(file), Some(line @ 1..)) = (location.file, location.line) {
                report(offset, file, line, location.column.unwrap_or(0));
            }
        }
        *steps = Some(self.source.remaining());
        if self.source.is_exhausted() {
            self.context = None;
        }
    }
}

/// Returns how much larger positions in the code section are than the addresses in debug information that `wast` made (263, and
/// versions before it), which omits the number of functions that precedes them. `None` for other producers, and for versions that
/// do not omit it.
fn displacement(dwarf: &gimli::Dwarf<SectionReader>, module: &Module, code_start: u32) -> Option<u32> {
    let unit = dwarf.unit(dwarf.units().next().ok()??).ok()?;
    let mut entries = unit.entries();
    let producer = entries.next_dfs().ok()??.attr_value(gimli::DW_AT_producer)?;
    if !dwarf.attr_string(&unit, producer).ok()?.to_slice().ok()?.starts_with(b"wast ") {
        return None;
    }
    // wast emits functions in order, after the types of their locals if it emits those.
    let mut first = entries.next_dfs().ok()??;
    while first.tag() == gimli::DW_TAG_base_type {
        first = entries.next_dfs().ok()??;
    }
    let gimli::AttributeValue::Addr(address) = first.attr_value(gimli::DW_AT_low_pc)? else { return None };
    let body = (module.defined_funcs() > 0).then(|| module.body(DefinedFuncIndex::new(0)))?;
    let position = (body.start as u64).checked_sub(code_start.into())?;
    // A 32-bit number has at most five bytes.
    let missing = position.checked_sub(address).filter(|missing| *missing <= 5)?;
    (first.tag() == gimli::DW_TAG_subprogram).then_some(missing as u32)
}

/// The source functions at an address.
#[derive(Default)]
struct Frames {
    symbols: Vec<FrameSymbol>,
    /// The outermost function, if there is one.
    subprogram: Option<Subprogram>,
}

/// A source function that was not inlined, and its name if it has one.
struct Subprogram(Option<Box<str>>);

fn frames(context: &addr2line::Context<SectionReader>, address: u64) -> Frames {
    let mut found = Frames::default();
    if let Ok(mut frames) = context.find_frames(address).skip_all_loads() {
        for _ in 0..MAX_FRAMES_READ {
            let Ok(Some(frame)) = frames.next() else { break };
            found.subprogram = frame.function.as_ref().map(|function| Subprogram(name(function)));
            if found.symbols.len() < MAX_SYMBOLS {
                found.symbols.extend(symbol(&frame));
            }
        }
    }
    found
}

fn name(function: &addr2line::FunctionName<SectionReader>) -> Option<Box<str>> {
    function.raw_name().ok().map(|name| name.into())
}

/// Returns `None` if nothing is known.
fn symbol(frame: &addr2line::Frame<'_, SectionReader>) -> Option<FrameSymbol> {
    let name = frame.function.as_ref().and_then(name);
    let location = frame.location.as_ref();
    let symbol = FrameSymbol {
        name,
        file: location.and_then(|l| l.file).map(Into::into),
        line: location.and_then(|l| l.line).filter(|&n| n != 0),
        column: location.and_then(|l| l.column).filter(|&n| n != 0),
    };
    (symbol != FrameSymbol::default()).then_some(symbol)
}
