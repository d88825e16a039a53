//! Huge functions, as code generators produce them, for which the usual settings take too long.
//!
//! Compilers are designed for code that people write; some algorithms are quadratic in sizes that only generated code
//! reaches. There are three countermeasures, independent of each other. Each is used where it pays according to
//! [`crate::tier::tuning`]:
//!
//! | measure | criterion | effect |
//! |---|---|---|
//! | single-pass register allocation | sum of live ranges after the middle end | no backtracking |
//! | locals in the stack frame | locals × blocks, locals, references × calls | no SSA construction, no block parameters, one stack map for all calls |
//! | [`OptLevel::LinearTime`] | instructions, blocks, values on the stack, loop nesting | no middle end, single-pass register allocation |
//!
//! The decisions depend on the module alone, so that a module always compiles to the same code.

use crate::tier::failure::Failure;
use crate::tier::isa::OptLevel;
use crate::tier::signature::parsed_type;
use crate::tier::tuning::{
    FRAME_LOCALS, FRAME_LOCALS_BLOCKS, FRAME_REFERENCES_CALLS, HUGE_BLOCKS, HUGE_HEIGHT, HUGE_INSTRUCTIONS,
    HUGE_LOOPS, HUGE_WRITTEN_OUT, MANY_LOCALS, MANY_LOCALS_BLOCKS,
};
use belljar_abi::gc;
use belljar_compile::ModulePlan;
use belljar_core::DefinedFuncIndex;
use cranelift_codegen::ir::Type;
use wasmparser::Operator;

/// The size of a translated function.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct FunctionSize {
    pub(crate) instructions: usize,
    /// Instructions, values and operands.
    pub(crate) written_out: usize,
    pub(crate) blocks: usize,
    /// The most values on the wasm stack at once.
    pub(crate) height: usize,
    /// The deepest nesting of loops.
    pub(crate) loops: u32,
}

impl FunctionSize {
    pub(crate) fn opt_level(&self, plan: &ModulePlan<'_>) -> OptLevel {
        let is_huge = plan.tunables.huge_functions
            || self.instructions > HUGE_INSTRUCTIONS
            || self.written_out > HUGE_WRITTEN_OUT
            || self.blocks > HUGE_BLOCKS
            || self.height > HUGE_HEIGHT
            || self.loops > HUGE_LOOPS;
        match is_huge {
            true => OptLevel::LinearTime,
            false => OptLevel::Configured(plan.tunables.opt_level, plan.tunables.regalloc),
        }
    }
}

/// Returns whether callees may be inlined into a function: not if that could make it huge, or a huge function larger.
pub(crate) fn may_inline_into(plan: &ModulePlan<'_>, func: DefinedFuncIndex) -> bool {
    plan.inlines && plan.module.facts(func).operators as usize <= HUGE_INSTRUCTIONS / 2
}

/// A local of a function whose locals lie in the stack frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct FrameLocal {
    pub(crate) ty: Type,
    /// Whether the collector must trace it.
    pub(crate) traced: bool,
    /// Whether any instruction names it.
    pub(crate) used: bool,
}

/// Returns the parameters and locals of a function if they are to lie in the stack frame.
pub(crate) fn frame_locals(
    plan: &ModulePlan<'_>,
    func: DefinedFuncIndex,
) -> Result<Option<Vec<FrameLocal>>, Failure> {
    let facts = plan.module.facts(func);
    let params = plan.module.func_type(plan.module.func_index(func)).params().len();
    let locals = u64::from(facts.locals) + params as u64;
    let may_be_in_frame = plan.tunables.huge_functions
        || locals > FRAME_LOCALS
        || locals * u64::from(facts.operators) > MANY_LOCALS_BLOCKS
        || (plan.module.uses_heap() && locals * u64::from(facts.calls) > FRAME_REFERENCES_CALLS);
    if !may_be_in_frame {
        return Ok(None);
    }
    let mut locals = declared(plan, func)?;
    let blocks = survey(plan, func, &mut locals)?;
    let count = locals.len() as u64;
    let references = locals.iter().filter(|local| local.traced).count() as u64;
    let in_frame = plan.tunables.huge_functions
        || count * blocks > FRAME_LOCALS_BLOCKS
        || (count > MANY_LOCALS && count * blocks > MANY_LOCALS_BLOCKS)
        || count > FRAME_LOCALS
        || references * u64::from(facts.calls) > FRAME_REFERENCES_CALLS;
    Ok(in_frame.then_some(locals))
}

fn declared(plan: &ModulePlan<'_>, func: DefinedFuncIndex) -> Result<Vec<FrameLocal>, Failure> {
    let module = plan.module;
    let local = |ty, traced| FrameLocal { ty, traced, used: false };
    let params = module.func_type(module.func_index(func)).params().iter();
    let mut locals: Vec<_> =
        params.map(|ty| local(crate::tier::signature::value_type(*ty), gc::is_traced(*ty, module))).collect();
    for declared in plan.body(func).get_locals_reader()? {
        let (count, ty) = declared?;
        let traced =
            ty.is_reference_type() && belljar_module::val_type(ty).is_ok_and(|ty| gc::is_traced(ty, module));
        locals.extend(std::iter::repeat_n(local(parsed_type(ty), traced), count as usize));
    }
    Ok(locals)
}

/// Marks the locals that are used, and counts the blocks and the branches between them.
fn survey(plan: &ModulePlan<'_>, func: DefinedFuncIndex, locals: &mut [FrameLocal]) -> Result<u64, Failure> {
    let mut blocks = 1;
    for op in plan.body(func).get_operators_reader()? {
        match op? {
            Operator::LocalGet { local_index: i }
            | Operator::LocalSet { local_index: i }
            | Operator::LocalTee { local_index: i } => locals[i as usize].used = true,
            Operator::If { .. } => blocks += 2,
            Operator::BrTable { targets } => blocks += u64::from(targets.len()),
            Operator::Block { .. }
            | Operator::Loop { .. }
            | Operator::Else
            | Operator::Br { .. }
            | Operator::BrIf { .. }
            | Operator::BrOnNull { .. }
            | Operator::BrOnNonNull { .. }
            | Operator::BrOnCast { .. }
            | Operator::BrOnCastFail { .. }
            | Operator::TryTable { .. }
            | Operator::Try { .. }
            | Operator::Catch { .. }
            | Operator::CatchAll => blocks += 1,
            _ => {}
        }
    }
    Ok(blocks)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tier::isa::Isas;
    use crate::tier::translate::translate;
    use crate::tier::workspace::Workspace;
    use belljar_compile::{Budget, Tunables};
    use belljar_module::{WasmFeatures, validate};

    /// Returns how the first function of a module is compiled: its optimization level, and whether its locals lie in
    /// the frame.
    fn settings(wat: &str) -> (OptLevel, bool) {
        let module = validate(wat::parse_str(wat).unwrap().into(), WasmFeatures::WASM3).unwrap();
        let plan = ModulePlan::new(&module, Tunables::default());
        let (func, isas) = (DefinedFuncIndex::new(0), Isas::for_host().unwrap());
        let budget = Budget::unlimited();
        let mut budget = budget.function(plan.module.func_index(func), 0).unwrap();
        let size = translate(&mut Workspace::new(), &isas, &plan, func, &mut budget).unwrap().size;
        (size.opt_level(&plan), frame_locals(&plan, func).unwrap().is_some())
    }

    fn func(locals: usize, body: &str) -> String {
        let heads = "(type $s (struct)) (import \"\" \"f\" (func $f))";
        format!("(module {heads} (func (param i32) (local{}) {body}))", " i32".repeat(locals))
    }

    #[test]
    fn usual_functions_get_the_full_settings() {
        // As large as the largest function of CPython in each respect.
        let ifs =
            "(if (local.get 1) (then (local.set 2 (i32.mul (local.get 2) (local.get 3)))))".repeat(6_000);
        let loops = format!("{} {}", "loop ".repeat(10), "end ".repeat(10));
        let stack = format!("{} {}", "local.get 0 ".repeat(60), "drop ".repeat(60));
        assert_eq!(settings(&func(190, &(ifs + &loops + &stack))), (OptLevel::SPEED, false));
    }

    #[test]
    fn each_way_to_be_huge_is_noticed() {
        let straight = "(local.set 0 (i32.mul (local.get 0) (local.get 0)))".repeat(HUGE_INSTRUCTIONS + 1);
        let ifs = "(if (local.get 0) (then nop))".repeat(HUGE_BLOCKS / 2 + 1);
        let depth = HUGE_LOOPS as usize + 1;
        let loops = format!("{} {}", "loop ".repeat(depth), "end ".repeat(depth));
        let values = HUGE_HEIGHT + 1;
        let stack = format!("{} {}", "local.get 0 ".repeat(values), "drop ".repeat(values));
        // The same number of blocks, with branches that pass few values each, or many.
        let wide = |values: usize| {
            let values_of = |what: &str| what.repeat(values);
            let block = format!("(block (param{0}) (result{0}) local.get 0 br_if 0) ", values_of(" i32"));
            values_of("local.get 0 ") + &block.repeat(HUGE_BLOCKS / 2 - 10) + &values_of("drop ")
        };
        assert_eq!(settings(&func(0, &wide(8))), (OptLevel::SPEED, false));
        let wide = wide(32);
        for body in [straight, ifs, loops, stack, wide] {
            assert_eq!(settings(&func(0, &body)), (OptLevel::LinearTime, false), "{}", &body[..40]);
        }
    }

    #[test]
    fn locals_that_would_be_too_many_values_lie_in_the_frame() {
        let blocks = |count| "(if (local.get 1) (then nop))".repeat(count);
        let calls = "(call $f)".repeat(1_000);
        let references =
            |count| func(0, &calls).replace("(local)", &format!("(local{})", " (ref null $s)".repeat(count)));
        let few = MANY_LOCALS as usize / 2;
        for (wat, in_frame) in [
            (func(FRAME_LOCALS as usize, "nop"), true),
            (func(MANY_LOCALS as usize, "nop"), false),
            (
                func(MANY_LOCALS as usize, &blocks(MANY_LOCALS_BLOCKS as usize / MANY_LOCALS as usize / 2)),
                true,
            ),
            (func(few, &blocks(MANY_LOCALS_BLOCKS as usize / few / 2)), false),
            (func(few, &blocks(FRAME_LOCALS_BLOCKS as usize / few / 2)), true),
            (references(101), true),
            (references(90), false),
        ] {
            assert_eq!(settings(&wat), (OptLevel::SPEED, in_frame), "{}", &wat[..wat.len().min(300)]);
        }
    }
}
