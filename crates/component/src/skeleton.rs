//! A component's binary without the code and data of its core modules.
//!
//! In: a valid component. Out: a valid one with the same plan, whose functions consist of `unreachable`. It takes a few bytes for
//! each function, and is kept beside the code of the modules: the plan is made of it again when the code is loaded.

use belljar_core::{Context, Result, bail};
use wasm_encoder::{CodeSection, Encode, Function};
use wasmparser::{BinaryReader, CodeSectionReader};

/// The bytes of a binary's header.
const HEADER: usize = 8;

mod section {
    pub(super) const CUSTOM: u8 = 0;
    pub(super) const START: u8 = 8;
    pub(super) const ELEMENTS: u8 = 9;
    pub(super) const CODE: u8 = 10;
    pub(super) const DATA: u8 = 11;
    pub(super) const DATA_COUNT: u8 = 12;
    /// In a component.
    pub(super) const CORE_MODULE: u8 = 1;
    pub(super) const COMPONENT: u8 = 4;
}

/// Returns the skeleton of a valid component.
///
/// # Errors
///
/// Returns an error if the binary is cut off.
pub fn skeleton(component: &[u8]) -> Result<Vec<u8>> {
    rewritten(component, |id, contents| {
        Ok(match id {
            section::CUSTOM => None,
            section::CORE_MODULE => Some(module_skeleton(contents)?),
            section::COMPONENT => Some(skeleton(contents)?),
            _ => Some(contents.to_vec()),
        })
    })
}

fn module_skeleton(module: &[u8]) -> Result<Vec<u8>> {
    rewritten(module, |id, contents| {
        Ok(match id {
            // Bodies, which alone refer to segments, have gone.
            section::CUSTOM | section::START | section::ELEMENTS | section::DATA | section::DATA_COUNT => {
                None
            }
            section::CODE => Some(trivial_code(contents)?),
            _ => Some(contents.to_vec()),
        })
    })
}

/// Returns a code section with as many functions.
fn trivial_code(contents: &[u8]) -> Result<Vec<u8>> {
    let count = CodeSectionReader::new(BinaryReader::new(contents, 0)).context("invalid component")?.count();
    let mut section = CodeSection::new();
    let mut body = Function::new([]);
    body.instructions().unreachable().end();
    for _ in 0..count {
        section.function(&body);
    }
    // Without the length, which stands before the contents.
    let mut bytes = Vec::new();
    section.encode(&mut bytes);
    let mut reader = BinaryReader::new(&bytes, 0);
    let length = reader.read_var_u32().context("belljar bug: a section without a length")? as usize;
    Ok(bytes.split_off(bytes.len() - length))
}

/// Rewrites each section of a binary, or leaves it out.
fn rewritten(
    binary: &[u8],
    mut rewrite: impl FnMut(u8, &[u8]) -> Result<Option<Vec<u8>>>,
) -> Result<Vec<u8>> {
    let Some((header, sections)) = binary.split_at_checked(HEADER) else {
        bail!("invalid component: a binary without a header");
    };
    let mut out = header.to_vec();
    let mut reader = BinaryReader::new(sections, 0);
    while !reader.eof() {
        let id = reader.read_u8().context("invalid component")?;
        let length = reader.read_var_u32().context("invalid component")? as usize;
        let contents = reader.read_bytes(length).context("invalid component")?;
        if let Some(contents) = rewrite(id, contents)? {
            out.push(id);
            contents.encode(&mut out);
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Component, WasmFeatures};

    #[test]
    fn a_skeleton_has_the_same_plan() {
        let wat = r#"(component
            (import "f" (func $f (param "x" string)))
            (core module $libc
                (memory (export "memory") 1)
                (data (i32.const 0) "a long text that is not kept, and more of it")
                (data $passive "another one")
                (func (export "realloc") (param i32 i32 i32 i32) (result i32)
                    (memory.init $passive (i32.const 0) (i32.const 0) (i32.const 1)) (i32.const 8)))
            (component $inner
                (core module $m (table 2 funcref) (elem (i32.const 0) $f) (func $f) (start $f) (func (export "g")))
                (core instance $m (instantiate $m))
                (func (export "g") (canon lift (core func $m "g"))))
            (instance $inner (instantiate $inner))
            (core instance $libc (instantiate $libc))
            (core func $lowered (canon lower (func $f)
                (memory (core memory $libc "memory")) (realloc (core func $libc "realloc"))))
            (core module $m (import "" "f" (func (param i32 i32))) (func (export "run")))
            (core instance $m (instantiate $m (with "" (instance (export "f" (func $lowered))))))
            (func (export "run") (canon lift (core func $m "run")))
            (export "inner" (instance $inner)))"#;
        let binary = wat::parse_str(wat).unwrap();
        let bones = skeleton(&binary).unwrap();
        assert!(bones.len() < binary.len(), "{} of {}", bones.len(), binary.len());
        let plan = |binary: &[u8]| {
            let plan = Component::new(binary, WasmFeatures::all()).unwrap();
            format!("{:?}", Component { modules: plan.modules.iter().map(|_| 0..0).collect(), ..plan })
        };
        assert_eq!(plan(&bones), plan(&binary));
        assert_eq!(skeleton(&bones).unwrap(), bones);
        for end in 0..binary.len() {
            let _ = skeleton(&binary[..end]);
        }
    }
}
