//! What a binary imports and exports, read without a look at its code and without validating it. What cannot be read is left to
//! those who validate it.

use super::entities::Entities;
use wasmparser::{FuncType, Import, Parser, Payload, TypeRef};

/// What a binary imports.
#[derive(Default)]
pub(crate) struct Imports<'a> {
    imports: Vec<Import<'a>>,
    types: Entities,
}

impl<'a> Imports<'a> {
    /// Reads them; none, if there is something wrong with them.
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

    /// All of them, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Import<'a>> {
        self.imports.iter()
    }

    /// The type of one, as text.
    pub(crate) fn type_text(&self, import: &Import<'_>) -> String {
        self.types.import(import.ty)
    }

    /// The type of one that is a function.
    pub(crate) fn func_type(&self, import: &Import<'_>) -> Option<&FuncType> {
        match import.ty {
            TypeRef::Func(index) | TypeRef::FuncExact(index) => self.types.func_type(index),
            _ => None,
        }
    }
}

/// The names of a binary's exports.
pub(crate) fn export_names(bytes: &[u8]) -> Vec<&str> {
    let sections = Parser::new(0).parse_all(bytes).map_while(Result::ok);
    let exports = sections.filter_map(|payload| match payload {
        Payload::ExportSection(section) => Some(section),
        _ => None,
    });
    exports.flatten().filter_map(Result::ok).map(|export| export.name).collect()
}

/// The names of a binary's custom sections.
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
                (import "a" "m" (memory 1)) (func (export "g")) (@custom "late" ""))"#,
        )
        .unwrap();
        let imports = Imports::read(&wasm);
        let texts: Vec<_> = imports.iter().map(|i| (i.module, i.name, imports.type_text(i))).collect();
        assert_eq!(texts, [("a", "f", "func (i32) -> ()".into()), ("a", "m", "memory 1".into())]);
        let arities: Vec<_> =
            imports.iter().map(|i| imports.func_type(i).map(|ty| ty.params().len())).collect();
        assert_eq!(arities, [Some(1), None]);
        assert_eq!(export_names(&wasm), ["g"]);
        assert_eq!(custom_section_names(&wasm), ["early", "late"]);
    }

    #[test]
    fn what_is_broken_has_none() {
        let whole = wat::parse_str(r#"(module (import "a" "f" (func)) (func (export "g")))"#).unwrap();
        for length in 0..whole.len() {
            let found = Imports::read(&whole[..length]);
            assert!(found.iter().count() <= 1, "{length}");
            let _ = (export_names(&whole[..length]), custom_section_names(&whole[..length]));
        }
        assert_eq!(Imports::read(b"(module)").iter().count(), 0);
    }
}
