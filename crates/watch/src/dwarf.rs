//! A module's DWARF, opened.

use crate::section_reader::{SectionReader, Source};
use crate::symbol::FrameSymbol;
use belljar_core::{CodeOffset, WasmPc};
use belljar_module::Module;
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
    code_start: u32,
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
        let context = addr2line::Context::from_dwarf(dwarf.ok()?).ok()?;
        Some(Self { context: Some(context), source, code_start, steps })
    }

    /// The symbols of an instruction, innermost first. Where the information is broken, those that were found
    /// before.
    pub(crate) fn symbols_at(&mut self, pc: WasmPc) -> Vec<FrameSymbol> {
        let mut symbols = Vec::new();
        let (Some(context), Some(address)) = (&self.context, pc.0.checked_sub(self.code_start)) else {
            return symbols;
        };
        self.source.allow(self.steps);
        if let Ok(mut frames) = context.find_frames(u64::from(address)).skip_all_loads() {
            while let Ok(Some(frame)) = frames.next() {
                symbols.extend(symbol(&frame));
                if symbols.len() == SYMBOLS_KEPT {
                    break;
                }
            }
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
            let Some(address) = pc.0.checked_sub(self.code_start) else { continue };
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
