use cranelift_codegen::ir::{Block, Function, Inst};

/// Visits every instruction of a function with its block. The visitor may replace the instruction, and insert others before it: those
/// are not visited.
pub(crate) fn for_each_inst(func: &mut Function, mut visit: impl FnMut(&mut Function, Block, Inst)) {
    let mut next_block = func.layout.entry_block();
    while let Some(block) = next_block {
        next_block = func.layout.next_block(block);
        let mut next = func.layout.first_inst(block);
        while let Some(inst) = next {
            next = func.layout.next_inst(inst);
            visit(func, block, inst);
        }
    }
}
