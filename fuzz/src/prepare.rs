//! Prepares a generated module to run: exports everything, and removes waits for threads that do not exist.

use crate::generated::{Generated, STEPS};
use std::convert::Infallible;
use wasm_encoder::reencode::{self, Error, Reencode};
use wasm_encoder::{CodeSection, ExportKind, ExportSection, Instruction, Module, SectionId};
use wasmparser::{ExportSectionReader, FunctionBody, Parser, Payload};

/// `steps` is the global that counts steps, the last one.
pub fn prepare(wasm: &[u8], export: bool, steps: Option<u32>) -> Generated {
    let mut generated = count(wasm);
    generated.globals = steps.unwrap_or(generated.globals);
    let mut prepare = Prepare { exports: export.then(|| exports(&generated, steps)) };
    let mut module = Module::new();
    prepare.parse_core_module(&mut module, Parser::new(0), wasm).expect("a valid module is encoded again");
    generated.wasm = module.finish();
    generated
}

fn count(wasm: &[u8]) -> Generated {
    let mut counts =
        Generated { wasm: Vec::new(), functions: 0, globals: 0, tables: 0, memories: 0, tags: 0 };
    for payload in Parser::new(0).parse_all(wasm) {
        match payload.expect("a valid module is parsed") {
            Payload::FunctionSection(section) => counts.functions = section.count(),
            Payload::GlobalSection(section) => counts.globals = section.count(),
            Payload::TableSection(section) => counts.tables = section.count(),
            Payload::MemorySection(section) => counts.memories = section.count(),
            Payload::TagSection(section) => counts.tags = section.count(),
            _ => {}
        }
    }
    counts
}

fn exports(counts: &Generated, steps: Option<u32>) -> ExportSection {
    let kinds = [
        ('f', ExportKind::Func, counts.functions),
        ('g', ExportKind::Global, counts.globals),
        ('t', ExportKind::Table, counts.tables),
        ('m', ExportKind::Memory, counts.memories),
        ('e', ExportKind::Tag, counts.tags),
    ];
    let mut exports = ExportSection::new();
    for (letter, kind, count) in kinds {
        for i in 0..count {
            exports.export(&format!("{letter}{i}"), kind, i);
        }
    }
    if let Some(steps) = steps {
        exports.export(STEPS, ExportKind::Global, steps);
    }
    exports
}

struct Prepare {
    /// The exports of everything; taken where their section belongs.
    exports: Option<ExportSection>,
}

impl Reencode for Prepare {
    type Error = Infallible;

    fn intersperse_section_hook(
        &mut self,
        module: &mut Module,
        _after: Option<SectionId>,
        before: Option<SectionId>,
    ) -> Result<(), Error<Infallible>> {
        use SectionId::{Code, Data, DataCount, Element, Start};
        if let None | Some(Start | Element | DataCount | Code | Data) = before
            && let Some(exports) = self.exports.take()
        {
            module.section(&exports);
        }
        Ok(())
    }

    /// The generator exports the globals that receive what functions drop.
    fn parse_export_section(
        &mut self,
        exports: &mut ExportSection,
        section: ExportSectionReader<'_>,
    ) -> Result<(), Error<Infallible>> {
        match self.exports.take() {
            Some(all) => *exports = all,
            None => reencode::utils::parse_export_section(self, exports, section)?,
        }
        Ok(())
    }

    fn parse_function_body(
        &mut self,
        code: &mut CodeSection,
        body: FunctionBody<'_>,
    ) -> Result<(), Error<Infallible>> {
        let mut function = self.new_function_with_parsed_locals(&body)?;
        let mut operators = body.get_operators_reader()?;
        while !operators.eof() {
            let instruction = self.parse_instruction(&mut operators)?;
            if matches!(instruction, Instruction::MemoryAtomicWait32(_) | Instruction::MemoryAtomicWait64(_))
            {
                // The timeout becomes zero: no thread would ever wake this one.
                function.instruction(&Instruction::Drop).instruction(&Instruction::I64Const(0));
            }
            function.instruction(match instruction {
                // One rounding or two: the specification allows both. Wasmtime always rounds once, and belljar rounds twice in
                // its deterministic mode.
                Instruction::F32x4RelaxedMadd
                | Instruction::F32x4RelaxedNmadd
                | Instruction::F64x2RelaxedMadd
                | Instruction::F64x2RelaxedNmadd => &Instruction::V128Bitselect,
                ref instruction => instruction,
            });
        }
        code.function(&function);
        Ok(())
    }
}
