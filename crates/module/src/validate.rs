//! The first stage: bytes in, [`Module`] out. Function bodies are validated in parallel.

use crate::binary::Binary;
use crate::describe::Describer;
use crate::error::ModuleError;
use crate::facts::{FuncFacts, TableUse};
use crate::module::Module;
use belljar_core::TypeIndex;
use bytes::Bytes;
use rayon::prelude::*;
use std::collections::HashMap;
use wasmparser::{
    FuncToValidate, FuncValidatorAllocations, FunctionBody, Operator, Parser, Payload, ValidPayload,
    Validator, ValidatorResources, WasmFeatures,
};

/// Validates a binary and describes it.
///
/// # Errors
///
/// Where the bytes are no valid core module under `features`.
pub fn validate(bytes: Bytes, features: WasmFeatures) -> Result<Module, ModuleError> {
    check_magic(&bytes)?;
    let mut validator = Validator::new_with_features(features);
    let mut describer = Describer::new(Binary::new(bytes.clone()));
    let mut bodies: Vec<(FuncToValidate<ValidatorResources>, FunctionBody<'_>)> = Vec::new();
    let mut parser = Parser::new(0);
    // What a byte means can depend on the features: where one memory is allowed, its index is a zero byte.
    parser.set_features(features);
    let mut canonical_types = Vec::new();
    for payload in parser.parse_all(&bytes) {
        let payload = payload?;
        match validator.payload(&payload)? {
            ValidPayload::Func(func, body) => bodies.push((func, body)),
            ValidPayload::End(types) if types_are_interned(features) => canonical_types = canonical(&types),
            _ => {}
        }
        match payload {
            Payload::CodeSectionEntry(body) => describer.body(body.range()),
            other => describer.payload(other)?,
        }
    }
    let tables = describer.table_count();
    let (facts, uses) = check_bodies(&bodies, tables)?;
    let looks_into_objects = facts.iter().any(|facts| facts.looks_into_objects);
    describer.finish(facts, uses, canonical_types, looks_into_objects)
}

/// Whether the validator gives equal types one id: only if types can refer to each other.
fn types_are_interned(features: WasmFeatures) -> bool {
    features.intersects(WasmFeatures::GC.union(WasmFeatures::FUNCTION_REFERENCES))
}

/// For each type, the smallest index of an equal one.
fn canonical(types: &wasmparser::types::Types) -> Vec<TypeIndex> {
    let types = types.as_ref();
    let mut first = HashMap::new();
    (0..types.core_type_count_in_module())
        .map(|i| *first.entry(types.core_type_at_in_module(i)).or_insert(TypeIndex(i)))
        .collect()
}

fn check_magic(bytes: &[u8]) -> Result<(), ModuleError> {
    if bytes.is_empty() {
        return Err(ModuleError::Empty);
    }
    if !bytes.starts_with(b"\0asm") {
        return Err(ModuleError::NotWasm { found: bytes[..bytes.len().min(4)].to_vec() });
    }
    // Version 0x0d with layer 1 is a component.
    if bytes.len() >= 8 && bytes[6..8] == [1, 0] {
        return Err(ModuleError::Component);
    }
    Ok(())
}

type Bodies<'a> = [(FuncToValidate<ValidatorResources>, FunctionBody<'a>)];

/// Functions that one task validates: enough to outweigh handing it to a thread.
const CHUNK: usize = 64;

fn check_bodies(bodies: &Bodies<'_>, tables: usize) -> Result<(Vec<FuncFacts>, Vec<TableUse>), ModuleError> {
    let chunk = |bodies: &Bodies<'_>| -> Result<(Vec<FuncFacts>, Vec<TableUse>), ModuleError> {
        let mut allocations = FuncValidatorAllocations::default();
        let mut uses = vec![TableUse::default(); tables];
        let mut all = Vec::with_capacity(bodies.len());
        for (func, body) in bodies {
            let func = FuncToValidate { resources: func.resources.clone(), ..*func };
            let (facts, a) = check_body(func, body, allocations, &mut uses)?;
            allocations = a;
            all.push(facts);
        }
        Ok((all, uses))
    };
    let parts: Vec<_> = if bodies.len() <= CHUNK {
        vec![chunk(bodies)]
    } else {
        belljar_parallel::run(|| bodies.par_chunks(CHUNK).map(chunk).collect())
    };
    let mut facts = Vec::with_capacity(bodies.len());
    let mut uses = vec![TableUse::default(); tables];
    // In order, so that the error reported is the first of the binary however threads were scheduled.
    for part in parts {
        let (f, u) = part?;
        facts.extend(f);
        uses.iter_mut().zip(u).for_each(|(all, one)| all.merge(one));
    }
    Ok((facts, uses))
}

fn check_body(
    func: FuncToValidate<ValidatorResources>,
    body: &FunctionBody<'_>,
    allocations: FuncValidatorAllocations,
    uses: &mut [TableUse],
) -> Result<(FuncFacts, FuncValidatorAllocations), ModuleError> {
    let index = func.index;
    let mut validator = func.into_validator(allocations);
    let mut facts = FuncFacts::default();
    let mut reader = body.get_binary_reader();
    validator.read_locals(&mut reader)?;
    facts.locals = validator.len_locals();
    let mut ops = wasmparser::OperatorsReader::new(reader);
    while !ops.eof() {
        let (op, offset) = ops.read_with_offset()?;
        validator.op(offset, &op)?;
        if !ops.eof() {
            facts.ends_unreachable = matches!(op, Operator::Unreachable);
        }
        note(&op, index, &mut facts, uses);
    }
    ops.finish()?;
    Ok((facts, validator.into_allocations()))
}

fn note(op: &Operator<'_>, func: u32, facts: &mut FuncFacts, uses: &mut [TableUse]) {
    facts.operators += 1;
    match *op {
        Operator::Loop { .. } => facts.has_loop = true,
        Operator::AnyConvertExtern => facts.looks_into_objects = true,
        Operator::RefTestNonNull { .. }
        | Operator::RefTestNullable { .. }
        | Operator::RefCastNonNull { .. }
        | Operator::RefCastNullable { .. }
        | Operator::BrOnCast { .. }
        | Operator::BrOnCastFail { .. } => {
            facts.looks_into_objects = true;
            facts.casts += 1;
        }
        Operator::StructNew { .. }
        | Operator::StructNewDefault { .. }
        | Operator::ArrayNew { .. }
        | Operator::ArrayNewDefault { .. }
        | Operator::ArrayNewFixed { .. }
        | Operator::ArrayNewData { .. }
        | Operator::ArrayNewElem { .. } => facts.allocations += 1,
        Operator::Call { .. } | Operator::CallRef { .. } | Operator::ReturnCallRef { .. } => facts.calls += 1,
        Operator::CallIndirect { table_index, .. } | Operator::ReturnCallIndirect { table_index, .. } => {
            facts.calls += 1;
            uses[table_index as usize].called = true;
        }
        Operator::ReturnCall { function_index } => {
            facts.calls += 1;
            facts.calls_itself_last |= function_index == func;
        }
        Operator::TableSet { table }
        | Operator::TableFill { table }
        | Operator::TableInit { table, .. }
        | Operator::TableCopy { dst_table: table, .. } => uses[table as usize].written = true,
        Operator::TableGrow { table } => {
            let used = &mut uses[table as usize];
            (used.written, used.grown) = (true, true);
        }
        _ => {}
    }
}
