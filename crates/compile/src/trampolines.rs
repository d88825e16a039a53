//! The trampolines in a module's file, for programs that load the file and have no compiler.
//!
//! In: a described module. Out: both kinds of trampolines for its function types, as far as a limit allows. Never: a
//! trampoline twice: types that differ only in their references share one.

use crate::{CompileError, Tier, TrampolineKind};
use belljar_abi::{CompiledFunction, Image, ImageError, ImageWriter, Part, TrampolineRow};
use belljar_core::{CompositeType, FuncType, HeapType, RefType, ValType};
use belljar_module::Module;
use std::collections::HashMap;
use zerocopy::IntoBytes;

/// The trampolines of a module, as its file contains them.
#[derive(Clone, Default, Debug)]
pub struct StoredTrampolines {
    rows: Vec<TrampolineRow>,
    code: Vec<u8>,
}

/// The most parameters and results for which trampolines are stored. Compiling them takes about a microsecond for each.
/// The types of real modules have a few hundred together; the limit is for modules that were made to take time.
const MOST_VALUES: usize = 1 << 14;

impl StoredTrampolines {
    /// Compiles the trampolines of a module's types.
    pub(crate) fn compile(module: &Module, tier: &dyn Tier) -> Result<Self, CompileError> {
        let mut stored = Self::default();
        let mut known: HashMap<FuncType, [(u32, u32); TrampolineKind::ALL.len()]> = HashMap::new();
        let mut values = 0;
        for (index, ty) in (0..).zip(module.types()) {
            let CompositeType::Func(ty) = &ty.composite else { continue };
            let ty = without_kinds_of_references(ty);
            let places = match known.get(&ty) {
                Some(places) => *places,
                None => {
                    // One for the trampolines themselves.
                    values += 1 + ty.params().len() + ty.results().len();
                    if values > MOST_VALUES {
                        continue;
                    }
                    let mut places = [(0, 0); TrampolineKind::ALL.len()];
                    for (place, kind) in places.iter_mut().zip(TrampolineKind::ALL) {
                        let CompiledFunction { code, relocs, traps, .. } = tier.trampoline(kind, &ty)?;
                        if !relocs.is_empty() || !traps.is_empty() {
                            return Err(CompileError::Trampoline {
                                signature: ty.to_string(),
                                message: "belljar bug: it traps or has relocations".into(),
                            });
                        }
                        *place = (stored.code.len() as u32, code.len() as u32);
                        stored.code.extend_from_slice(&code);
                    }
                    known.insert(ty, places);
                    places
                }
            };
            for (kind, (start, length)) in TrampolineKind::ALL.into_iter().zip(places) {
                stored.rows.push(TrampolineRow { ty: index, kind: kind as u32, start, length });
            }
        }
        Ok(stored)
    }

    /// Returns the trampolines that a file contains.
    ///
    /// # Errors
    ///
    /// Returns an error if the parts do not have the right sizes.
    pub fn of(image: Image<'_>) -> Result<Self, ImageError> {
        let (rows, code) = image.trampolines()?;
        Ok(Self { rows: rows.to_vec(), code: code.to_vec() })
    }

    /// Adds them to an image.
    pub(crate) fn add_to(&self, writer: &mut ImageWriter) {
        writer.add(Part::Trampolines, self.rows.as_bytes());
        writer.add(Part::TrampolineCode, &self.code);
    }
}

/// Replaces all reference types by one: trampolines treat all references alike.
fn without_kinds_of_references(ty: &FuncType) -> FuncType {
    let plain = |ty: &ValType| match ty {
        ValType::Ref(_) => ValType::Ref(RefType::new(true, HeapType::Any)),
        number => *number,
    };
    FuncType::new(ty.params().iter().map(plain), ty.results().iter().map(plain))
}
