//! What validation found out that cannot be read off the sections of a binary: with it, a module is described again
//! without its code, and without validation.

use crate::binary::Binary;
use crate::describe::Describer;
use crate::error::ModuleError;
use crate::facts::TableUse;
use crate::module::{Body, Module};
use belljar_core::TypeIndex;
use wasmparser::{Chunk, Parser, Payload, WasmFeatures};
use zerocopy::little_endian::U32;
use zerocopy::{FromBytes, IntoBytes};

/// What validation found out about a module, as bytes.
///
/// Four counts of 32 bits: functions, types, tables, flags; then the functions' bodies, the canonical type of each type,
/// and what the code does to each table.
#[derive(Clone, Debug)]
pub struct Notes(Vec<u8>);

/// A flag: [`Module::uses_heap`].
const USES_HEAP: u32 = 1;
/// Flags of a table: [`TableUse::written`], [`TableUse::grown`].
const WRITTEN: u32 = 1;
const GROWN: u32 = 2;

impl Notes {
    /// The notes about a module.
    pub fn of(module: &Module) -> Self {
        let table = |used: &TableUse| u32::from(used.written) * WRITTEN + u32::from(used.grown) * GROWN;
        let types = module.canonical_types.iter().map(|ty| ty.0);
        let heads = [
            module.bodies.len() as u32,
            module.canonical_types.len() as u32,
            module.table_uses.len() as u32,
            u32::from(module.uses_heap) * USES_HEAP,
        ];
        let bodies = module.bodies.iter().flat_map(|body| [body.start.0, body.length]);
        let words = heads.into_iter().chain(bodies).chain(types).chain(module.table_uses.iter().map(table));
        let words: Vec<U32> = words.map(U32::new).collect();
        Self(words.as_bytes().to_vec())
    }

    /// Them as bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl Module {
    /// Describes a module again that was valid under `features`. Its code may be missing.
    ///
    /// # Errors
    ///
    /// Where the notes are not those of such a module: that is an error of whoever kept them.
    pub fn from_notes(binary: Binary, features: WasmFeatures, notes: &[u8]) -> Result<Self, ModuleError> {
        let mut describer = Describer::new(binary.clone());
        let mut parser = Parser::new(0);
        parser.set_features(features);
        let mut at = 0;
        loop {
            let part = binary.from(at).ok_or(ModuleError::WrongNotes)?;
            let is_last = at + part.len() == binary.length();
            let Chunk::Parsed { consumed, payload } = parser.parse(part, is_last)? else {
                return Err(ModuleError::WrongNotes);
            };
            at += consumed;
            match payload {
                Payload::End(_) => break,
                Payload::CodeSectionStart { ref unchecked_range, .. } => {
                    at = unchecked_range.end as usize;
                    parser.skip_section();
                    describer.payload(payload)?;
                }
                payload => describer.payload(payload)?,
            }
        }
        Read::new(notes).and_then(|notes| notes.into_module(describer)).ok_or(ModuleError::WrongNotes)?
    }
}

/// Notes taken apart.
struct Read<'a> {
    bodies: &'a [[U32; 2]],
    canonical_types: &'a [U32],
    table_uses: &'a [U32],
    flags: u32,
}

impl<'a> Read<'a> {
    fn new(notes: &'a [u8]) -> Option<Self> {
        let (heads, rest) = <[U32; 4]>::ref_from_prefix(notes).ok()?;
        let [bodies, types, tables, flags] = heads.map(U32::get);
        let (bodies, rest) = <[[U32; 2]]>::ref_from_prefix_with_elems(rest, bodies as usize).ok()?;
        let (canonical_types, rest) = <[U32]>::ref_from_prefix_with_elems(rest, types as usize).ok()?;
        let table_uses = <[U32]>::ref_from_bytes_with_elems(rest, tables as usize).ok()?;
        Some(Self { bodies, canonical_types, table_uses, flags })
    }

    /// `None` where they are of another module.
    fn into_module(self, mut describer: Describer) -> Option<Result<Module, ModuleError>> {
        let counts = (self.bodies.len(), self.canonical_types.len(), self.table_uses.len());
        if describer.counts() != counts {
            return None;
        }
        describer.set_bodies(
            self.bodies.iter().map(|[start, length]| Body {
                start: belljar_core::WasmPc(start.get()),
                length: length.get(),
            }),
        );
        let uses = self
            .table_uses
            .iter()
            .map(|flags| TableUse { written: flags.get() & WRITTEN != 0, grown: flags.get() & GROWN != 0 });
        let types = self.canonical_types.iter().map(|ty| TypeIndex(ty.get())).collect();
        Some(describer.finish(Vec::new(), uses.collect(), types, self.flags & USES_HEAP != 0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::validate;
    use belljar_core::{DefinedFuncIndex, FuncIndex, TableIndex};

    const WAT: &str = r#"(module $m
        (import "a" "b" (func $i (param i32)))
        (type $s (struct (field i32)))
        (memory (export "mem") 1) (table $t 3 9 funcref) (table 1 funcref) (global (mut i32) (i32.const 7))
        (func $f (export "f") (result i32) (drop (table.grow $t (ref.null func) (i32.const 1))) (i32.const 1))
        (func (drop (struct.new $s (i32.const 1))))
        (elem (i32.const 0) $f $f) (data (i32.const 8) "hello") (start 2))"#;

    #[test]
    fn a_module_is_described_again_with_and_without_its_code() {
        let features = WasmFeatures::WASM3;
        let first = validate(wat::parse_str(WAT).unwrap().into(), features).unwrap();
        let notes = Notes::of(&first);
        let holed = first.binary().without(first.code_to_leave_out());
        assert!(holed.whole().is_none());
        for binary in [first.binary().clone(), holed] {
            let has_code = binary.whole().is_some();
            let again = Module::from_notes(binary, features, notes.as_bytes()).unwrap();
            assert_eq!(again.layout(), first.layout());
            assert_eq!(again.types(), first.types());
            assert_eq!(again.canonical_types, first.canonical_types);
            assert_eq!(again.bodies, first.bodies);
            assert_eq!(again.table_use(TableIndex(0)), TableUse { written: true, grown: true });
            assert_eq!(again.start(), Some(FuncIndex(2)));
            assert_eq!(again.data_bytes(0), b"hello");
            assert_eq!(again.names().module(), Some("m"));
            assert_eq!(again.escaping_funcs(), first.escaping_funcs());
            assert!(again.uses_heap());
            assert_eq!(again.code_section(), first.code_section());
            assert_eq!(again.function_body(DefinedFuncIndex(0)).is_some(), has_code);
        }
    }

    /// Nothing comes behind the code, which may be shorter than what is kept of its section in any case.
    #[test]
    fn code_may_be_all_that_a_module_has() {
        for count in [0, 1, 2, 200] {
            let wat = format!("(module {})", "(func)".repeat(count));
            let first = validate(wat::parse_str(wat).unwrap().into(), WasmFeatures::WASM3).unwrap();
            let holed = first.binary().without(first.code_to_leave_out());
            let notes = Notes::of(&first);
            let again = Module::from_notes(holed, WasmFeatures::WASM3, notes.as_bytes()).unwrap();
            assert_eq!((again.defined_funcs(), &again.bodies), (count, &first.bodies));
        }
    }

    #[test]
    fn notes_of_another_module_are_refused() {
        let features = WasmFeatures::WASM3;
        let first = validate(wat::parse_str(WAT).unwrap().into(), features).unwrap();
        let other = validate(wat::parse_str("(module (func))").unwrap().into(), features).unwrap();
        let (mine, others) = (Notes::of(&first), Notes::of(&other));
        let truncated = &mine.as_bytes()[..mine.as_bytes().len() - 4];
        for notes in [others.as_bytes(), truncated, &[], &[255; 40]] {
            assert!(Module::from_notes(first.binary().clone(), features, notes).is_err());
        }
    }
}
