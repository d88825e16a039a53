//! Rewrites a module so that wasmi runs it correctly.
//!
//! wasmi 2.0.0 drops a comparison with zero (`i32.eqz` and the like) before a `select`, which then should choose by the compared
//! value. If that is a local, it chooses by the comparison's register instead, which was never written:
//! `(select (i32.const 5) (i32.const 6) (i32.eqz (local.get 0)))` is 5 for every argument.

use std::convert::Infallible;
use wasm_encoder::reencode::{Error, Reencode};
use wasm_encoder::{CodeSection, Instruction, Module};
use wasmparser::{FunctionBody, Parser};

/// Returns the same module with `i32.popcnt` before each `select`: zero stays zero and nonzero stays nonzero, but
/// the comparison is no longer next to the `select`.
pub fn for_wasmi(wasm: &[u8]) -> Vec<u8> {
    let mut module = Module::new();
    Apart.parse_core_module(&mut module, Parser::new(0), wasm).expect("a valid module is encoded again");
    module.finish()
}

struct Apart;

impl Reencode for Apart {
    type Error = Infallible;

    fn parse_function_body(
        &mut self,
        code: &mut CodeSection,
        body: FunctionBody<'_>,
    ) -> Result<(), Error<Infallible>> {
        let mut function = self.new_function_with_parsed_locals(&body)?;
        let mut operators = body.get_operators_reader()?;
        while !operators.eof() {
            let instruction = self.parse_instruction(&mut operators)?;
            if matches!(instruction, Instruction::Select | Instruction::TypedSelect(_)) {
                function.instruction(&Instruction::I32Popcnt);
            }
            function.instruction(&instruction);
        }
        code.function(&function);
        Ok(())
    }
}
