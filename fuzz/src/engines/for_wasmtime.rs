//! Rewrites a module so that Wasmtime computes what the specification says.
//!
//! In the deterministic profile, `relaxed_madd` and `relaxed_nmadd` round twice (Numerics, "Relaxed Operations": all
//! parameters are 0, and alternative 0 is the product, then the sum). Wasmtime 48 rounds once in its deterministic
//! mode.

use std::convert::Infallible;
use wasm_encoder::reencode::{Error, Reencode};
use wasm_encoder::{CodeSection, Function, Instruction, Module, ValType};
use wasmparser::{CompositeInnerType, FunctionBody, Parser, Payload};

/// Returns the same module with a product and a sum in place of each relaxed `madd`.
pub fn for_wasmtime(wasm: &[u8]) -> Vec<u8> {
    let mut module = Module::new();
    let mut twice = Twice { params: params(wasm).into_iter() };
    twice.parse_core_module(&mut module, Parser::new(0), wasm).expect("a valid module is encoded again");
    module.finish()
}

/// The number of parameters of each function; a generated module that runs here imports none.
fn params(wasm: &[u8]) -> Vec<u32> {
    let (mut types, mut functions) = (Vec::new(), Vec::new());
    for payload in Parser::new(0).parse_all(wasm) {
        match payload.expect("a valid module is parsed") {
            Payload::TypeSection(section) => {
                for group in section {
                    let group = group.expect("a valid type is parsed");
                    types.extend(group.types().map(|ty| match &ty.composite_type.inner {
                        CompositeInnerType::Func(ty) => ty.params().len() as u32,
                        _ => 0,
                    }));
                }
            }
            Payload::FunctionSection(section) => {
                functions.extend(section.into_iter().map(|ty| ty.expect("a valid index is parsed")));
            }
            _ => {}
        }
    }
    functions.into_iter().map(|ty| types[ty as usize]).collect()
}

struct Twice {
    /// Of the bodies that are still to come.
    params: std::vec::IntoIter<u32>,
}

impl Reencode for Twice {
    type Error = Infallible;

    fn parse_function_body(
        &mut self,
        code: &mut CodeSection,
        body: FunctionBody<'_>,
    ) -> Result<(), Error<Infallible>> {
        let mut addend = self.params.next().expect("each body has a function");
        let mut locals = Vec::new();
        for local in body.get_locals_reader()? {
            let (count, ty) = local?;
            addend += count;
            locals.push((count, self.val_type(ty)?));
        }
        locals.push((1, ValType::V128));
        let mut function = Function::new(locals);
        let mut operators = body.get_operators_reader()?;
        while !operators.eof() {
            let instruction = self.parse_instruction(&mut operators)?;
            let Some([product, negated, sum]) = parts(&instruction) else {
                function.instruction(&instruction);
                continue;
            };
            function.instruction(&Instruction::LocalSet(addend)).instruction(&product);
            if let Instruction::F32x4RelaxedNmadd | Instruction::F64x2RelaxedNmadd = instruction {
                function.instruction(&negated);
            }
            function.instruction(&Instruction::LocalGet(addend)).instruction(&sum);
        }
        code.function(&function);
        Ok(())
    }
}

fn parts(instruction: &Instruction<'_>) -> Option<[Instruction<'static>; 3]> {
    match instruction {
        Instruction::F32x4RelaxedMadd | Instruction::F32x4RelaxedNmadd => {
            Some([Instruction::F32x4Mul, Instruction::F32x4Neg, Instruction::F32x4Add])
        }
        Instruction::F64x2RelaxedMadd | Instruction::F64x2RelaxedNmadd => {
            Some([Instruction::F64x2Mul, Instruction::F64x2Neg, Instruction::F64x2Add])
        }
        _ => None,
    }
}
