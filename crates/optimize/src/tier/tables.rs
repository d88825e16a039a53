//! Converts Cranelift's result to a [`CompiledFunction`]: machine code and its tables.

use crate::tier::failure::Failure;
use crate::tier::name;
use crate::tier::stack_maps::stack_maps;
use crate::tier::translate::Translated;
use crate::tier::trap_code;
use belljar_abi::{CompiledFunction, HandlerRow, PosRow, Reloc, SourcePos, TrapSite};
use belljar_core::{CodeOffset, Trap};
use cranelift_codegen::binemit::Reloc as MachineReloc;
use cranelift_codegen::ir::ExternalName;
use cranelift_codegen::ir::function::FunctionParameters;
use cranelift_codegen::{
    CompiledCode, FinalizedMachExceptionHandler, FinalizedMachReloc, FinalizedRelocTarget,
};

/// Collects code and tables. Code before the first instruction with a position belongs to `start`.
pub(crate) fn compiled_function(
    code: &CompiledCode,
    params: &FunctionParameters,
    align: u32,
    start: SourcePos,
    translated: Translated,
) -> Result<CompiledFunction, Failure> {
    let (stack_maps, stack_slots) = stack_maps(code, translated.frame_references);
    let traps = traps(code)?;
    let mut positions = positions(code, start);
    place_stack_checks(&mut positions, &traps, start, code.code_buffer().len() as u32);
    Ok(CompiledFunction {
        code: code.code_buffer().to_vec(),
        align,
        relocs: relocs(code, params)?,
        traps,
        positions,
        inlined: translated.inlined,
        stack_maps,
        stack_slots,
        handlers: handlers(code)?,
    })
}

/// Each call with a handler has exactly one, for all exceptions.
fn handlers(code: &CompiledCode) -> Result<Vec<HandlerRow>, Failure> {
    let mut rows = Vec::new();
    for site in code.buffer.call_sites() {
        match (site.exception_handlers, site.frame_offset) {
            ([], _) => {}
            (&[FinalizedMachExceptionHandler::Default(handler)], Some(frame_size)) => rows.push(HandlerRow {
                offset: CodeOffset(site.ret_addr),
                handler: CodeOffset(handler),
                frame_size,
            }),
            _ => return Err(Failure::new("an unexpected table of handlers; this is a bug")),
        }
    }
    Ok(rows)
}

fn relocs(code: &CompiledCode, params: &FunctionParameters) -> Result<Vec<Reloc>, Failure> {
    code.buffer.relocs().iter().map(|reloc| convert(reloc, params)).collect()
}

fn convert(reloc: &FinalizedMachReloc, params: &FunctionParameters) -> Result<Reloc, Failure> {
    let unexpected = || {
        let target = reloc.target.display(Some(params));
        Failure::new(format!("unexpected relocation {:?} to {target}; this is a bug", reloc.kind))
    };
    let FinalizedRelocTarget::ExternalName(ExternalName::User(user)) = reloc.target else {
        return Err(unexpected());
    };
    if !matches!(reloc.kind, MachineReloc::X86CallPCRel4 | MachineReloc::X86PCRel4) {
        return Err(unexpected());
    }
    let target = name::target(&params.user_named_funcs()[user]);
    Ok(Reloc { offset: reloc.offset, target, addend: reloc.addend })
}

fn traps(code: &CompiledCode) -> Result<Vec<TrapSite>, Failure> {
    let site = |trap: &cranelift_codegen::MachTrap| {
        let meaning = trap_code::decode(trap.code)
            .ok_or_else(|| Failure::new(format!("unexpected trap code {}; this is a bug", trap.code)))?;
        Ok(TrapSite::new(CodeOffset(trap.offset), meaning))
    };
    code.buffer.traps().iter().map(site).collect()
}

/// Creates one row for each change of position. Code without a position (moves, constants) belongs to the code before
/// it.
fn positions(code: &CompiledCode, start: SourcePos) -> Vec<PosRow> {
    let ranges = code.buffer.get_srclocs_sorted();
    let mut rows = Vec::with_capacity(ranges.len() + 1);
    rows.push(PosRow { offset: CodeOffset(0), pos: start });
    for range in ranges {
        if range.loc.is_default() || range.start == range.end {
            continue;
        }
        let row = PosRow { offset: CodeOffset(range.start), pos: SourcePos(range.loc.bits()) };
        match rows.last_mut() {
            Some(last) if last.pos == row.pos => {}
            Some(last) if last.offset == row.offset => *last = row,
            _ => rows.push(row),
        }
    }
    rows
}

/// The size in bytes of `ud2`, the instruction that traps.
const UD2: u32 = 2;

/// The prologue's stack check has no position, and its trap lies out of line behind the last operator. Assigns the trap
/// to `start`; code behind it keeps its position.
fn place_stack_checks(rows: &mut Vec<PosRow>, traps: &[TrapSite], start: SourcePos, length: u32) {
    for site in traps.iter().filter(|site| site.trap() == Some(Trap::StackOverflow)) {
        let next = rows.partition_point(|row| row.offset <= site.offset);
        let Some(before) = next.checked_sub(1).map(|i| rows[i]).filter(|row| row.pos != start) else {
            continue;
        };
        let end = CodeOffset(site.offset.0 + UD2);
        if end.0 < length && rows.get(next).is_none_or(|row| row.offset > end) {
            rows.insert(next, PosRow { offset: end, pos: before.pos });
        }
        let row = PosRow { offset: site.offset, pos: start };
        if before.offset == site.offset { rows[next - 1] = row } else { rows.insert(next, row) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Offsets and positions.
    type Rows = &'static [(u32, u32)];

    fn rows(rows: Rows) -> Vec<PosRow> {
        rows.iter().map(|&(at, pos)| PosRow { offset: CodeOffset(at), pos: SourcePos(pos) }).collect()
    }

    #[test]
    fn a_stack_check_belongs_to_the_start_and_what_follows_it_does_not() {
        let cases: [(Rows, Rows); 5] = [
            // At the end of the code, before code without a position of its own, before a row of its own.
            (&[(0, 7), (10, 70)], &[(0, 7), (10, 70), (40, 7)]),
            (&[(0, 7), (10, 70), (50, 80)], &[(0, 7), (10, 70), (40, 7), (42, 70), (50, 80)]),
            (&[(0, 7), (10, 70), (42, 80)], &[(0, 7), (10, 70), (40, 7), (42, 80)]),
            (&[(0, 7), (40, 70), (42, 80)], &[(0, 7), (40, 7), (42, 80)]),
            (&[(0, 7), (50, 80)], &[(0, 7), (50, 80)]),
        ];
        let site = TrapSite::new(CodeOffset(40), Trap::StackOverflow);
        for (before, after) in cases {
            let length = if before.len() == 2 && before[1].0 == 10 { 42 } else { 60 };
            let mut found = rows(before);
            place_stack_checks(&mut found, &[site], SourcePos(7), length);
            assert_eq!(found, rows(after), "{before:?}");
        }
    }
}
