//! A module's DWARF, opened.

use crate::section_reader::{SectionReader, Source};
use crate::symbol::FrameSymbol;
use belljar_core::{CodeOffset, DefinedFuncIndex, WasmPc};
use belljar_module::Module;
use gimli::Reader;
use std::ops::Range;
use std::sync::Arc;

/// Steps that one lookup may take, for each byte of debug information: an honest one reads each at most once,
/// and a few of them twice.
const STEPS_PER_BYTE: u64 = 4;
/// Steps that a lookup may take in addition, so that small modules are not cut short.
const STEPS_AT_LEAST: u64 = 1 << 20;
/// Inlined functions that one frame shows.
const SYMBOLS_KEPT: usize = 64;

/// A module's debug information, ready for lookups.
pub(crate) struct Dwarf {
    /// `None` once a lookup cost too much: the next would too.
    context: Option<addr2line::Context<SectionReader>>,
    source: Arc<Source>,
    /// The position that its addresses count from.
    start: u32,
    steps: u64,
}

impl Dwarf {
    /// Opens a module's debug information. `None` where it has none that can be used.
    pub(crate) fn open(module: &Module) -> Option<Self> {
        let range = |id: gimli::SectionId| {
            module
                .custom_sections()
                .iter()
                .find(|(name, _)| &**name == id.name())
                .map(|(_, range)| range.clone())
        };
        let info = range(gimli::SectionId::DebugInfo).filter(|range| !range.is_empty())?;
        // Where the binary was kept without code, all debug sections lie in one of its parts: behind the code.
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
        let steps = STEPS_AT_LEAST + size * STEPS_PER_BYTE;
        source.allow(steps);
        let dwarf = dwarf.ok()?;
        let start = code_start.checked_add(displacement(&dwarf, module, code_start).unwrap_or(0))?;
        let context = addr2line::Context::from_dwarf(dwarf).ok()?;
        Some(Self { context: Some(context), source, start, steps })
    }

    /// The symbols of an instruction, innermost first. Where the information is broken, those that were found
    /// before. `end`: where the function's body ends.
    pub(crate) fn symbols_at(&mut self, pc: WasmPc, end: WasmPc) -> Vec<FrameSymbol> {
        let (Some(context), Some(address)) = (&self.context, pc.0.checked_sub(self.start)) else {
            return Vec::new();
        };
        self.source.allow(self.steps);
        let mut symbols = symbols(context, address.into());
        // Some compilers know nothing of what comes before a function's first instruction, which is where stacks overflow.
        if symbols.is_empty() {
            let end = u64::from(end.0.saturating_sub(self.start));
            let mut lines = context.find_location_range(address.into(), end).into_iter().flatten();
            symbols = lines.next().map(|(first, ..)| self::symbols(context, first)).unwrap_or_default();
        }
        if self.source.is_exhausted() {
            self.context = None;
        }
        symbols
    }

    /// Calls `tell` with offset, file, line and column of those positions of which they are known; the column is 0 where it is
    /// not. `steps`: what may be spent on all calls together that are given it, at first `None`. Each part of the debug
    /// information is read once for all of them, so honest ones need no more than a lookup does.
    pub(crate) fn places(
        &mut self,
        steps: &mut Option<u64>,
        positions: impl Iterator<Item = (CodeOffset, WasmPc)>,
        mut tell: impl FnMut(CodeOffset, &str, u32, u32),
    ) {
        let Some(context) = &self.context else { return };
        self.source.allow(steps.unwrap_or(self.steps));
        for (offset, pc) in positions {
            let Some(address) = pc.0.checked_sub(self.start) else { continue };
            let Ok(Some(place)) = context.find_location(u64::from(address)) else { continue };
            if let (Some(file), Some(line @ 1..)) = (place.file, place.line) {
                tell(offset, file, line, place.column.unwrap_or(0));
            }
        }
        *steps = Some(self.source.left());
        if self.source.is_exhausted() {
            self.context = None;
        }
    }
}

/// How much larger positions in the code section are than the addresses in debug information that `wast` made (263, and versions
/// before it): it forgets the number of functions, which stands before them. Nothing for that of others, and of versions that
/// do not forget it.
fn displacement(dwarf: &gimli::Dwarf<SectionReader>, module: &Module, code_start: u32) -> Option<u32> {
    let unit = dwarf.unit(dwarf.units().next().ok()??).ok()?;
    let mut entries = unit.entries();
    let producer = entries.next_dfs().ok()??.attr_value(gimli::DW_AT_producer)?;
    if !dwarf.attr_string(&unit, producer).ok()?.to_slice().ok()?.starts_with(b"wast ") {
        return None;
    }
    // Its functions are in their order.
    let first = entries.next_dfs().ok()??;
    let gimli::AttributeValue::Addr(address) = first.attr_value(gimli::DW_AT_low_pc)? else { return None };
    let body = (module.defined_funcs() > 0).then(|| module.body(DefinedFuncIndex::new(0)))?;
    let place = (body.start as u64).checked_sub(code_start.into())?;
    // A number of 32 bits has five bytes at most.
    let missing = place.checked_sub(address).filter(|missing| *missing <= 5)?;
    (first.tag() == gimli::DW_TAG_subprogram).then_some(missing as u32)
}

fn symbols(context: &addr2line::Context<SectionReader>, address: u64) -> Vec<FrameSymbol> {
    let mut symbols = Vec::new();
    if let Ok(mut frames) = context.find_frames(address).skip_all_loads() {
        while let Ok(Some(frame)) = frames.next() {
            symbols.extend(symbol(&frame));
            if symbols.len() == SYMBOLS_KEPT {
                break;
            }
        }
    }
    symbols
}

/// `None` where nothing is known.
fn symbol(frame: &addr2line::Frame<'_, SectionReader>) -> Option<FrameSymbol> {
    let name = frame.function.as_ref().and_then(|f| f.raw_name().ok().map(|n| n.into()));
    let location = frame.location.as_ref();
    let symbol = FrameSymbol {
        name,
        file: location.and_then(|l| l.file).map(Into::into),
        line: location.and_then(|l| l.line).filter(|&n| n != 0),
        column: location.and_then(|l| l.column).filter(|&n| n != 0),
    };
    (symbol != FrameSymbol::default()).then_some(symbol)
}
