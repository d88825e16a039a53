//! The imports and exports of a binary, read without its code and without validation. Errors are left to the validator.

use super::entities::{self, Entities};
use wasmparser::{Export, FuncType, Import, Parser, Payload, RecGroup, TypeRef};

/// The imports of a binary.
#[derive(Default)]
pub(crate) struct Imports<'a> {
    imports: Vec<Import<'a>>,
    types: Entities,
}

impl<'a> Imports<'a> {
    /// Reads the imports; none if there is an error.
    pub(crate) fn read(bytes: &'a [u8]) -> Self {
        let mut found = Self::default();
        for payload in Parser::new(0).parse_all(bytes) {
            match payload.and_then(|payload| found.section(payload)) {
                Ok(true) => {}
                Ok(false) => break,
                Err(_) => return Self::default(),
            }
        }
        found
    }

    /// Reads a section. Returns whether imports may follow.
    fn section(&mut self, payload: Payload<'a>) -> wasmparser::Result<bool> {
        match payload {
            Payload::TypeSection(section) => {
                for group in section {
                    group?.into_types().for_each(|ty| self.types.push_type(ty));
                }
            }
            Payload::ImportSection(section) => {
                self.imports = section.into_imports().collect::<Result<_, _>>()?;
                return Ok(false);
            }
            Payload::Version { .. } | Payload::CustomSection(_) => {}
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Returns all imports in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Import<'a>> {
        self.imports.iter()
    }

    /// Formats the type of an import.
    pub(crate) fn type_text(&self, import: &Import<'_>) -> String {
        self.types.import(import.ty)
    }

    /// Returns the type of a function import.
    pub(crate) fn func_type(&self, import: &Import<'_>) -> Option<&FuncType> {
        match import.ty {
            TypeRef::Func(index) | TypeRef::FuncExact(index) => self.types.func_type(index),
            _ => None,
        }
    }
}

/// The exports of a binary, and whether it has a start function.
#[derive(Default)]
pub(crate) struct Exports<'a> {
    exports: Vec<Export<'a>>,
    has_start: bool,
    bytes: &'a [u8],
}

impl<'a> Exports<'a> {
    /// Reads the exports; none if there is an error.
    pub(crate) fn read(bytes: &'a [u8]) -> Self {
        let mut found = Self { bytes, ..Self::default() };
        for payload in Parser::new(0).parse_all(bytes) {
            match payload {
                Ok(Payload::ExportSection(section)) => match section.into_iter().collect() {
                    Ok(exports) => found.exports = exports,
                    Err(_) => return Self::default(),
                },
                Ok(Payload::StartSection { .. }) => found.has_start = true,
                // These come after exports and the start function.
                Ok(Payload::ElementSection(_) | Payload::CodeSectionStart { .. }) | Err(_) => break,
                Ok(_) => {}
            }
        }
        found
    }

    /// Returns all exports in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Export<'a>> {
        self.exports.iter()
    }

    /// Returns whether there is a start function.
    pub(crate) fn has_start(&self) -> bool {
        self.has_start
    }

    /// Reads the types of all functions. This is done on demand, as there can be many.
    pub(crate) fn func_types(&self) -> FuncTypes {
        let mut types = Entities::default();
        for payload in Parser::new(0).parse_all(self.bytes) {
            match payload {
                Ok(Payload::TypeSection(section)) => {
                    let groups = section.into_iter().map_while(Result::ok);
                    groups.flat_map(RecGroup::into_types).for_each(|ty| types.push_type(ty));
                }
                Ok(Payload::ImportSection(section)) => {
                    section.into_imports().map_while(Result::ok).for_each(|i| types.push_import(i.ty));
                }
                Ok(Payload::FunctionSection(section)) => {
                    types.funcs.extend(section.into_iter().map_while(Result::ok));
                }
                Ok(Payload::CodeSectionStart { .. }) | Err(_) => break,
                Ok(_) => {}
            }
        }
        FuncTypes(types)
    }
}

/// The types of functions by index.
pub(crate) struct FuncTypes(Entities);

impl FuncTypes {
    /// Returns the type of a function, and its text.
    pub(crate) fn get(&self, index: u32) -> Option<(&FuncType, String)> {
        let ty = self.0.func_type(*self.0.funcs.get(index as usize)?)?;
        Some((ty, entities::func(ty)))
    }
}

/// Returns the names of a binary's custom sections.
pub(crate) fn custom_section_names(bytes: &[u8]) -> Vec<&str> {
    let sections = Parser::new(0).parse_all(bytes).map_while(Result::ok);
    let names = sections.filter_map(|payload| match payload {
        Payload::CustomSection(section) => Some(section.name()),
        _ => None,
    });
    names.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn imports_exports_and_sections_are_read() {
        let wasm = wat::parse_str(
            r#"(module (@custom "early" (before first) "") (import "a" "f" (func (param i32)))
                (import "a" "m" (memory 1)) (func $g (export "g") (result i64) (i64.const 0))
                (export "m" (memory 0)) (func $start) (start $start) (@custom "late" ""))"#,
        )
        .unwrap();
        let imports = Imports::read(&wasm);
        let texts: Vec<_> = imports.iter().map(|i| (i.module, i.name, imports.type_text(i))).collect();
        assert_eq!(texts, [("a", "f", "func (i32) -> ()".into()), ("a", "m", "memory 1".into())]);
        let arities: Vec<_> =
            imports.iter().map(|i| imports.func_type(i).map(|ty| ty.params().len())).collect();
        assert_eq!(arities, [Some(1), None]);
        let exports = Exports::read(&wasm);
        assert_eq!(exports.iter().map(|e| (e.name, e.index)).collect::<Vec<_>>(), [("g", 1), ("m", 0)]);
        assert!(exports.has_start());
        assert_eq!(exports.func_types().get(1).unwrap().1, "() -> i64");
        assert!(exports.func_types().get(3).is_none());
        let sections = custom_section_names(&wasm);
        assert!(sections.contains(&"early") && sections.contains(&"late"), "{sections:?}");
    }

    #[test]
    fn what_is_broken_has_none() {
        let whole = wat::parse_str(r#"(module (import "a" "f" (func)) (func (export "g")))"#).unwrap();
        for length in 0..whole.len() {
            let found = Imports::read(&whole[..length]);
            assert!(found.iter().count() <= 1, "{length}");
            let exports = Exports::read(&whole[..length]);
            assert!(exports.iter().count() <= 1 && exports.func_types().get(2).is_none(), "{length}");
            assert!(custom_section_names(&whole[..length]).is_empty(), "{length}");
        }
        assert_eq!(Imports::read(b"(module)").iter().count(), 0);
    }
}
