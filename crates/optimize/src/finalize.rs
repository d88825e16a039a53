//! From Cranelift's result to a [`CompiledFunction`].

use crate::failure::Failure;
use crate::isa::{Isas, OptLevel, Settings};
use crate::late_opts::{keep_positions, late_opts, prepare};
use crate::name;
use crate::pressure::area;
use crate::stack_maps::stack_maps;
use crate::translate::Translated;
use crate::trap_code;
use crate::tuning::{CROWDED_AREA, CROWDED_LOOPS_AREA, CROWDED_WRITTEN_OUT};
use crate::workspace::Workspace;
use belljar_abi::{CompiledFunction, HandlerRow, PosRow, Reloc, SourcePos, TrapSite};
use belljar_compile::FunctionBudget;
use belljar_core::{CodeOffset, Trap};
use cranelift_codegen::binemit::Reloc as MachineReloc;
use cranelift_codegen::ir::ExternalName;
use cranelift_codegen::ir::function::FunctionParameters;
use cranelift_codegen::{
    CompiledCode, Context, FinalizedMachExceptionHandler, FinalizedMachReloc, FinalizedRelocTarget,
};
use std::time::Instant;

/// Runs Cranelift over the function in the workspace, and the polishing passes between its halves. Code before
/// the first positioned instruction belongs to `start`. Neither half can be ended: whether there is time for it is asked before.
pub(crate) fn finalize(
    workspace: &mut Workspace,
    isas: &Isas,
    Settings { canonical_nans, opt_level }: Settings,
    start: SourcePos,
    translated: Translated,
    budget: &mut FunctionBudget<'_>,
) -> Result<CompiledFunction, Failure> {
    let (written_out, has_loops) = (translated.extent.written_out as u64, translated.extent.loops > 0);
    budget.look(opt_level.foreseen(written_out))?;
    let isa = isas.get(canonical_nans, opt_level);
    let Workspace { context, control, registers, .. } = workspace;
    let started = Instant::now();
    prepare(context);
    context.optimize(isa, control)?;
    if opt_level == OptLevel::LinearTime {
        keep_positions(context);
    } else if late_opts(context) {
        context.func.dfg.resolve_all_aliases();
        context.verify_if(isa)?;
    }
    let optimized = Instant::now();
    let alive = alive(context, opt_level, written_out);
    let opt_level = registers_by(opt_level, alive, has_loops);
    budget.times.optimization += optimized - started;
    budget.look(opt_level.foreseen(written_out) / 2 + opt_level.foreseen_for(alive))?;
    let isa = isas.get(canonical_nans, opt_level);
    let stencil = isa.compile_function(&context.func, &context.domtree, registers, false, control)?;
    let code = stencil.apply_params(&context.func.params);
    let (stack_maps, stack_slots) = stack_maps(&code, translated.frame_references);
    let traps = traps(&code)?;
    let mut positions = positions(&code, start);
    place_stack_checks(&mut positions, &traps, start, code.code_buffer().len() as u32);
    let function = CompiledFunction {
        code: code.code_buffer().to_vec(),
        align: code.buffer.alignment.max(isa.function_alignment().preferred),
        relocs: relocs(&code, &context.func.params)?,
        traps,
        positions,
        inlined: translated.inlined,
        stack_maps,
        stack_slots,
        handlers: handlers(&code)?,
    };
    budget.times.generation += optimized.elapsed();
    Ok(function)
}

/// What is alive, summed over the function, where that is worth knowing: more than the most that is allowed is told as such.
fn alive(context: &Context, opt_level: OptLevel, written_out: u64) -> u64 {
    match opt_level == OptLevel::Speed && written_out > CROWDED_WRITTEN_OUT {
        true => area(&context.func, &context.cfg, CROWDED_LOOPS_AREA),
        false => 0,
    }
}

/// How registers are given out: in one pass where backtracking would take long, even though the middle end did not. What is alive
/// at once is known only now: it makes values of what lay in the frame, and moves what it finds twice.
fn registers_by(opt_level: OptLevel, alive: u64, has_loops: bool) -> OptLevel {
    match alive > if has_loops { CROWDED_LOOPS_AREA } else { CROWDED_AREA } {
        true => OptLevel::LinearTime,
        false => opt_level,
    }
}

/// Every call that is to be caught has one handler, for whatever it throws.
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

/// One row for each change of position. Code without one of its own (moves, constants) belongs to what
/// precedes it.
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

/// Bytes of the instruction that traps, `ud2`.
const UD2: u32 = 2;

/// The prologue's stack check has no position, and its trap lies out of line, behind the last operator: it
/// belongs to `start` all the same. Code behind it stays where it was.
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
            // At the end of the code, as code behind it without a position of its own, before a row of its own.
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
