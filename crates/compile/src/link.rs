//! Compiles the functions of a module in parallel and links them.

use crate::{Budget, BuildObserver, CompileError, CompileStage, ModulePlan, Tier};
use belljar_abi::{
    CompiledFunction, FuncRange, HandlerRow, LinkedCode, ReadOnlyEntry, RelocTarget, StackMapRow, TrapSite,
    write_positions,
};
use belljar_core::{CodeOffset, DefinedFuncIndex, Trap};
use belljar_module::Module;
use rayon::prelude::*;

/// Compiles a module, and notifies `observer` of progress.
///
/// # Errors
///
/// Returns the reason why `budget` is over, or otherwise the error of the first function, in index order, that the tier
/// rejects.
pub fn compile(
    plan: &ModulePlan<'_>,
    tier: &dyn Tier,
    observer: &dyn BuildObserver,
    budget: &Budget,
) -> Result<LinkedCode, CompileError> {
    let count = plan.module.defined_funcs();
    let one = |i: usize| match i.checked_sub(count) {
        None => function(plan, tier, observer, budget, DefinedFuncIndex::new(i)),
        Some(thunk) => tier.thunk(plan, plan.thunks[thunk]),
    };
    let all = count + plan.thunks.len();
    let bytes = code_bytes(plan.module);
    observer.begin(CompileStage::Compilation, bytes);
    // A thread pool costs more than a few small functions.
    let mut pieces: Vec<Result<CompiledFunction, CompileError>> = match bytes < SERIAL_BYTES {
        true => (0..all).map(one).collect(),
        false => compile_in_parallel(plan, all, one),
    };
    for (i, piece) in pieces.iter_mut().enumerate() {
        // No others are being compiled now, so the function fits now or never.
        if matches!(piece, Err(CompileError::Crowded)) {
            *piece = one(i);
        }
    }
    if let Some(end) = budget.end() {
        return Err(end);
    }
    let pieces = pieces.into_iter().collect::<Result<Vec<_>, _>>()?;
    observer.begin(CompileStage::Linking, bytes);
    link(plan, &pieces, TEXT_LIMIT)
}

/// The largest size of a text: everything in it must be within a 32-bit distance.
const TEXT_LIMIT: u64 = i32::MAX as u64;

fn function(
    plan: &ModulePlan<'_>,
    tier: &dyn Tier,
    observer: &dyn BuildObserver,
    budget: &Budget,
    func: DefinedFuncIndex,
) -> Result<CompiledFunction, CompileError> {
    let bytes = plan.module.body(func).len() as u64;
    let mut budget = budget.function(plan.module.func_index(func), bytes)?;
    let piece = tier.function(plan, func, &mut budget)?;
    observer.compiled(bytes, budget.times);
    Ok(piece)
}

/// Below this total size of bodies, one thread is faster than starting others.
const SERIAL_BYTES: u64 = 4096;

/// Returns the total size of a module's bodies in bytes.
pub(crate) fn code_bytes(module: &Module) -> u64 {
    (0..module.defined_funcs()).map(|i| module.body(DefinedFuncIndex::new(i)).len() as u64).sum()
}

/// From this size on, compiling a body takes several hundred megabytes.
const HUGE_BYTES: usize = 512 << 10;

/// How many such functions are compiled at the same time, whatever the number of threads.
const HUGE_AT_ONCE: usize = 4;

/// Compiles the largest functions first, so that no thread is left with a huge function when the others are finished.
/// Only a few huge functions are compiled at the same time, to limit memory.
fn compile_in_parallel(
    plan: &ModulePlan<'_>,
    all: usize,
    one: impl Fn(usize) -> Result<CompiledFunction, CompileError> + Sync,
) -> Vec<Result<CompiledFunction, CompileError>> {
    let count = plan.module.defined_funcs();
    let size = |i: usize| if i < count { plan.module.body(DefinedFuncIndex::new(i)).len() } else { 0 };
    let mut order: Vec<usize> = (0..all).collect();
    order.sort_by_key(|&i| std::cmp::Reverse(size(i)));
    let huge_count = order.partition_point(|&i| size(i) >= HUGE_BYTES);
    let (huge_functions, others) = order.split_at(huge_count);
    let done = |&i: &usize| (i, one(i));
    let lane =
        |first: usize| huge_functions.iter().skip(first).step_by(HUGE_AT_ONCE).map(done).collect::<Vec<_>>();
    let (huge_functions, others): (Vec<_>, Vec<_>) = belljar_parallel::run(|| {
        rayon::join(
            || {
                (0..HUGE_AT_ONCE.min(huge_functions.len()))
                    .into_par_iter()
                    .with_max_len(1)
                    .map(lane)
                    .collect()
            },
            || others.par_iter().with_max_len(1).map(done).collect(),
        )
    });
    let mut done: Vec<_> = huge_functions.into_iter().flatten().chain(others).collect();
    done.sort_unstable_by_key(|(i, _)| *i);
    done.into_iter().map(|(_, piece)| piece).collect()
}

/// Alignment of read-only tables.
const TABLE_ALIGN: usize = 16;
const ENTRY_SIZE: usize = size_of::<ReadOnlyEntry>();

/// The text under construction.
struct Linker<'a> {
    plan: &'a ModulePlan<'a>,
    artifact: LinkedCode,
    thunks: Vec<u32>,
    tables: Vec<u32>,
}

/// Links pieces and read-only tables into a text of at most `limit` bytes.
fn link(plan: &ModulePlan<'_>, pieces: &[CompiledFunction], limit: u64) -> Result<LinkedCode, CompileError> {
    let count = plan.module.defined_funcs();
    let mut linker = Linker { plan, artifact: LinkedCode::default(), thunks: Vec::new(), tables: Vec::new() };
    let code: usize = pieces.iter().map(|p| p.code.len() + p.align as usize).sum();
    let tables: usize = plan
        .read_only_tables
        .iter()
        .flatten()
        .map(|table| TABLE_ALIGN + table.elements.len() * ENTRY_SIZE)
        .sum();
    // Checked first, because offsets in the text are 32 bits wide from here on.
    let bytes = code as u64 + tables as u64;
    if bytes > limit {
        return Err(CompileError::TextTooLarge { bytes });
    }
    linker.artifact.text.reserve(code + tables);
    let mut starts = Vec::with_capacity(pieces.len());
    for (i, piece) in pieces.iter().enumerate() {
        let start = linker.place(piece);
        starts.push(start);
        if i >= count {
            linker.thunks.push(start);
        }
    }
    linker.place_tables();
    for (piece, start) in pieces.iter().zip(&starts) {
        linker.fill_in(piece, *start)?;
    }
    Ok(linker.artifact)
}

impl Linker<'_> {
    /// Appends a piece and its tables. Thunks have no entry among the functions.
    fn place(&mut self, piece: &CompiledFunction) -> u32 {
        let artifact = &mut self.artifact;
        pad(&mut artifact.text, piece.align.max(1) as usize, 0xcc);
        let start = artifact.text.len() as u32;
        artifact.text.extend_from_slice(&piece.code);
        if artifact.funcs.len() < self.plan.module.defined_funcs() {
            artifact.funcs.push(FuncRange {
                start: CodeOffset(start),
                length: piece.code.len() as u32,
                inlined: artifact.inlined.len() as u32,
                positions: artifact.positions.len() as u32,
            });
            write_positions(&piece.positions, &mut artifact.positions);
        }
        artifact.inlined.extend_from_slice(&piece.inlined);
        let at = |offset: CodeOffset| CodeOffset(start + offset.0);
        for site in &piece.traps {
            let offset = at(site.offset);
            match site.trap() {
                Some(Trap::MemoryOutOfBounds) => set_bit(&mut artifact.accesses, offset.0),
                _ => artifact.traps.push(TrapSite { offset, ..*site }),
            }
        }
        let slots = artifact.stack_slots.len() as u32;
        let moved = |row: &StackMapRow| StackMapRow {
            offset: at(row.offset),
            first: slots + row.first,
            count: row.count,
        };
        artifact.stack_maps.extend(piece.stack_maps.iter().map(moved));
        artifact.stack_slots.extend_from_slice(&piece.stack_slots);
        artifact.handlers.extend(piece.handlers.iter().map(|row| HandlerRow {
            offset: at(row.offset),
            handler: at(row.handler),
            frame_size: row.frame_size,
        }));
        start
    }

    fn place_tables(&mut self) {
        for table in &self.plan.read_only_tables {
            if table.is_some() {
                pad(&mut self.artifact.text, TABLE_ALIGN, 0);
            }
            self.tables.push(self.artifact.text.len() as u32);
            for element in table.iter().flat_map(|t| &t.elements) {
                let entry = match *element {
                    None => ReadOnlyEntry { ty: ReadOnlyEntry::NULL, code: 0 },
                    Some(func) => ReadOnlyEntry {
                        ty: self.plan.canonical_type_of(func).0,
                        code: match self.plan.module.defined_func(func) {
                            Some(defined) => self.artifact.funcs[defined.index()].start.0,
                            None => {
                                let thunk = self.plan.thunks.binary_search(&func);
                                self.thunks[thunk.expect("imports in read-only tables have thunks")]
                            }
                        },
                    },
                };
                self.artifact.text.extend_from_slice(&entry.ty.to_le_bytes());
                self.artifact.text.extend_from_slice(&entry.code.to_le_bytes());
            }
        }
    }

    fn fill_in(&mut self, piece: &CompiledFunction, start: u32) -> Result<(), CompileError> {
        for reloc in &piece.relocs {
            let target = match reloc.target {
                RelocTarget::Func(func) => self.artifact.funcs[func.index()].start.0,
                RelocTarget::Thunk(thunk) => self.thunks[thunk as usize],
                RelocTarget::ReadOnlyTable(table) => self.tables[table.index()],
            };
            let place = start + reloc.offset;
            let distance = i32::try_from(i64::from(target) + reloc.addend - i64::from(place))
                .map_err(|_| CompileError::TextTooLarge { bytes: self.artifact.text.len() as u64 })?;
            self.artifact.text[place as usize..place as usize + 4].copy_from_slice(&distance.to_le_bytes());
        }
        Ok(())
    }
}

fn set_bit(bits: &mut Vec<u8>, i: u32) {
    let byte = i as usize / 8;
    if bits.len() <= byte {
        bits.resize(byte + 1, 0);
    }
    bits[byte] |= 1 << (i % 8);
}

fn pad(text: &mut Vec<u8>, align: usize, with: u8) {
    text.resize(text.len().next_multiple_of(align), with);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Tunables;
    use belljar_abi::{Reloc, RelocTarget};
    use belljar_core::TableIndex;
    use belljar_module::{WasmFeatures, validate};

    /// Two tables that are called through, one that is only read, and one that is unused.
    const WAT: &str = r#"(module (type $t (func))
        (table $a 100 funcref) (table $read 1000 funcref) (table $unused 1000 funcref) (table $b 7 funcref)
        (func (call_indirect $a (type $t) (i32.const 0)) (drop (table.get $read (i32.const 0)))
            (return_call_indirect $b (type $t) (i32.const 0)))
        (elem (table $a) (i32.const 1) func 0) (elem (table $unused) (i32.const 1) func 0))"#;

    fn module(wat: &str) -> Module {
        validate(wat::parse_str(wat).unwrap().into(), WasmFeatures::WASM3).unwrap()
    }

    /// Returns a function that starts with a reference to a table.
    fn piece(table: usize) -> CompiledFunction {
        let target = RelocTarget::ReadOnlyTable(TableIndex::new(table));
        let relocs = vec![Reloc { offset: 0, target, addend: -4 }];
        CompiledFunction { code: vec![0x90; 20], align: 16, relocs, ..CompiledFunction::default() }
    }

    #[test]
    fn only_tables_that_code_calls_through_are_copied() {
        let module = module(WAT);
        let plan = ModulePlan::new(&module, Tunables::default());
        let lengths: Vec<_> =
            plan.read_only_tables.iter().map(|t| t.as_ref().map(|t| t.elements.len())).collect();
        assert_eq!(lengths, [Some(100), None, None, Some(7)]);
        let artifact = link(&plan, &[piece(3)], TEXT_LIMIT).unwrap();
        assert_eq!(artifact.text.len(), 32 + 800 + 56);
        // From the first byte to the last table, minus 4.
        assert_eq!(artifact.text[..4], (32_i32 + 800 - 4).to_le_bytes());
    }

    #[test]
    fn tables_together_have_a_limit() {
        let tables = "(table 600000 funcref)".repeat(3);
        let calls: String = (0..3).map(|i| format!("(call_indirect {i} (type $t) (i32.const 0))")).collect();
        let module = module(&format!("(module (type $t (func)) {tables} (func {calls}))"));
        let plan = ModulePlan::new(&module, Tunables::default());
        assert_eq!(plan.read_only_tables.iter().flatten().count(), 1);
    }

    #[test]
    fn a_text_that_distances_cannot_span_is_refused() {
        let module = module(WAT);
        let plan = ModulePlan::new(&module, Tunables::default());
        let bytes = 36 + 2 * 16 + 800 + 56;
        assert!(link(&plan, &[piece(0)], bytes).is_ok());
        let refused = link(&plan, &[piece(0)], bytes - 1).unwrap_err();
        assert!(
            matches!(refused, CompileError::TextTooLarge { bytes: found } if found == bytes),
            "{refused}"
        );
        let mut far = piece(0);
        far.relocs[0].addend = i64::from(i32::MAX);
        assert!(matches!(link(&plan, &[far], TEXT_LIMIT), Err(CompileError::TextTooLarge { .. })));
    }
}
