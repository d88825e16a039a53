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
    BinaryReaderError, FuncToValidate, FuncValidator, FuncValidatorAllocations, FunctionBody, Operator,
    Parser, Payload, ValidPayload, Validator, ValidatorResources, WasmFeatures,
};

/// Decides whether validation continues.
pub trait StopCheck: Sync {
    /// Called by each thread when it starts to validate. The thread calls the returned function from time to time, with
    /// the number of steps of the work ahead if that is large; `false` stops validation.
    fn checker(&self) -> Box<dyn FnMut(u64) -> bool + '_>;
}

/// Never stops validation.
impl StopCheck for () {
    fn checker(&self) -> Box<dyn FnMut(u64) -> bool + '_> {
        Box::new(|_| true)
    }
}

/// Validates a binary and describes it.
///
/// # Errors
///
/// Returns an error if the bytes are not a valid core module under `features`.
pub fn validate(bytes: Bytes, features: WasmFeatures) -> Result<Module, ModuleError> {
    validate_until_stopped(bytes, features, &())
}

/// Validates a binary like [`validate`], until `stop_check` stops it.
///
/// # Errors
///
/// Returns the errors of [`validate`], and [`ModuleError::Stopped`].
pub fn validate_until_stopped(
    bytes: Bytes,
    features: WasmFeatures,
    stop_check: &dyn StopCheck,
) -> Result<Module, ModuleError> {
    check_magic(&bytes)?;
    let mut validator = Validator::new_with_features(features);
    let mut describer = Describer::new(Binary::new(bytes.clone()));
    let mut bodies: Vec<(FuncToValidate<ValidatorResources>, FunctionBody<'_>)> = Vec::new();
    let mut parser = Parser::new(0);
    // The meaning of a byte can depend on the features: if only one memory is allowed, its index is a zero byte.
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
    let (facts, uses) = check_bodies(&bodies, tables, stop_check)?;
    let inspects_objects = facts.iter().any(|facts| facts.inspects_objects);
    describer.finish(facts, uses, canonical_types, inspects_objects)
}

/// The reason why a binary was not found to be valid.
#[derive(Clone, Debug)]
pub enum CheckError {
    /// The binary is invalid. This is the validator's own error, which can name the missing feature.
    Invalid(BinaryReaderError),
    /// The [`StopCheck`] stopped validation.
    Stopped,
}

impl From<BinaryReaderError> for CheckError {
    fn from(error: BinaryReaderError) -> Self {
        Self::Invalid(error)
    }
}

impl From<CheckError> for ModuleError {
    fn from(why: CheckError) -> Self {
        match why {
            CheckError::Invalid(error) => error.into(),
            CheckError::Stopped => Self::Stopped,
        }
    }
}

/// Checks whether a binary is valid under `features`, which may be more than [`validate`] can describe.
///
/// # Errors
///
/// Returns an error if the binary is invalid or the check was stopped.
pub fn check(bytes: &[u8], features: WasmFeatures, stop_check: &dyn StopCheck) -> Result<(), CheckError> {
    let mut validator = Validator::new_with_features(features);
    let mut parser = Parser::new(0);
    parser.set_features(features);
    let mut bodies = Vec::new();
    for payload in parser.parse_all(bytes) {
        if let ValidPayload::Func(func, body) = validator.payload(&payload?)? {
            bodies.push((func, body));
        }
    }
    let chunk = |bodies: &Bodies<'_>| -> Result<(), CheckError> {
        let mut may_continue = stop_check.checker();
        let mut allocations = FuncValidatorAllocations::default();
        for (func, body) in bodies {
            let func = FuncToValidate { resources: func.resources.clone(), ..*func };
            allocations = read_body(func.into_validator(allocations), body, &mut *may_continue, |_| ())?
                .into_allocations();
        }
        Ok(())
    };
    // In order, so that the first error of the binary is reported.
    let chunks = || bodies.par_chunks(CHUNK).map(chunk).collect::<Vec<_>>();
    belljar_parallel::run(chunks).into_iter().collect()
}

/// Returns whether the validator gives equal types one id, which it does only if types can refer to each other.
fn types_are_interned(features: WasmFeatures) -> bool {
    features.intersects(WasmFeatures::GC.union(WasmFeatures::FUNCTION_REFERENCES))
}

/// Maps each type to the smallest index of an equal type.
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

/// Functions that one task validates: enough work to outweigh handing it to a thread.
const CHUNK: usize = 64;

fn check_bodies(
    bodies: &Bodies<'_>,
    tables: usize,
    stop_check: &dyn StopCheck,
) -> Result<(Vec<FuncFacts>, Vec<TableUse>), ModuleError> {
    let chunk = |bodies: &Bodies<'_>| -> Result<(Vec<FuncFacts>, Vec<TableUse>), ModuleError> {
        let mut allocations = FuncValidatorAllocations::default();
        let mut uses = vec![TableUse::default(); tables];
        let mut all = Vec::with_capacity(bodies.len());
        let mut may_continue = stop_check.checker();
        for (func, body) in bodies {
            let func = FuncToValidate { resources: func.resources.clone(), ..*func };
            let (facts, a) = check_body(func, body, allocations, &mut uses, &mut *may_continue)?;
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
    // In order, so that the error reported is the first of the binary, however threads were scheduled.
    for part in parts {
        let (f, u) = part?;
        facts.extend(f);
        uses.iter_mut().zip(u).for_each(|(all, one)| all.merge(one));
    }
    Ok((facts, uses))
}

/// Operators between two calls of the [`StopCheck`]. Each may take time proportional to the number of values in its
/// type, up to 2,000.
const STRIDE: u32 = 256;

/// The most values that a label takes.
const LABEL_VALUES: u32 = 1000;

/// The [`StopCheck`] is called before an operator with at least this many steps.
const LARGE_STEP: u64 = 1 << 16;

fn check_body(
    func: FuncToValidate<ValidatorResources>,
    body: &FunctionBody<'_>,
    allocations: FuncValidatorAllocations,
    uses: &mut [TableUse],
    may_continue: &mut dyn FnMut(u64) -> bool,
) -> Result<(FuncFacts, FuncValidatorAllocations), ModuleError> {
    let index = func.index;
    let mut facts = FuncFacts::default();
    let validator = func.into_validator(allocations);
    let mut before_is_unreachable = false;
    let validator = read_body(validator, body, may_continue, |op| {
        // Ends up as the value for the operator before the body's final `end`.
        facts.ends_unreachable = before_is_unreachable;
        before_is_unreachable = matches!(op, Operator::Unreachable);
        record(op, index, &mut facts, uses);
    })?;
    facts.locals = validator.len_locals();
    Ok((facts, validator.into_allocations()))
}

/// Validates a body and passes each valid operator to `valid`.
fn read_body(
    mut validator: FuncValidator<ValidatorResources>,
    body: &FunctionBody<'_>,
    may_continue: &mut dyn FnMut(u64) -> bool,
    mut valid: impl FnMut(&Operator<'_>),
) -> Result<FuncValidator<ValidatorResources>, CheckError> {
    if !may_continue(0) {
        return Err(CheckError::Stopped);
    }
    let mut reader = body.get_binary_reader();
    validator.read_locals(&mut reader)?;
    let mut ops = wasmparser::OperatorsReader::new(reader);
    let mut since_check = 0;
    while !ops.eof() {
        let (op, offset) = ops.read_with_offset()?;
        let steps = match &op {
            // The values of each target are checked.
            Operator::BrTable { targets } => {
                u64::from(targets.len()) * u64::from(validator.operand_stack_height().min(LABEL_VALUES))
            }
            _ => 0,
        };
        since_check += 1;
        if steps > LARGE_STEP || since_check == STRIDE {
            since_check = 0;
            if !may_continue(steps) {
                return Err(CheckError::Stopped);
            }
        }
        validator.op(offset, &op)?;
        valid(&op);
    }
    ops.finish()?;
    Ok(validator)
}

fn record(op: &Operator<'_>, func: u32, facts: &mut FuncFacts, uses: &mut [TableUse]) {
    facts.operators += 1;
    match *op {
        Operator::Loop { .. } => facts.has_loop = true,
        Operator::AnyConvertExtern => facts.inspects_objects = true,
        Operator::RefTestNonNull { .. }
        | Operator::RefTestNullable { .. }
        | Operator::RefCastNonNull { .. }
        | Operator::RefCastNullable { .. }
        | Operator::BrOnCast { .. }
        | Operator::BrOnCastFail { .. } => {
            facts.inspects_objects = true;
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
            facts.tail_calls_itself |= function_index == func;
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
