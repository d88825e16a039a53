//! Explains invalid binaries whose problem is a feature: one that is disabled, or one of a proposal that this version
//! does not support.

use crate::Error;
use crate::config::{DisabledFeatures, SWITCHES, everything};
use belljar_compile::Budget;
use belljar_module::{CheckError, ModuleError, WasmFeatures};
use std::fmt;

/// Unsupported proposals: the names that their repositories and other tools use, and the validator's features for them.
const UNSUPPORTED: &[(&str, WasmFeatures)] = &[
    ("acquire-release-atomics", WasmFeatures::ACQUIRE_RELEASE_ATOMICS),
    ("custom-descriptors", WasmFeatures::CUSTOM_DESCRIPTORS),
    ("memory-control", WasmFeatures::MEMORY_CONTROL),
    ("multibyte-array-access", WasmFeatures::MULTIBYTE_ARRAY_ACCESS),
    ("shared-everything-threads", WasmFeatures::SHARED_EVERYTHING_THREADS),
    ("stack-switching", WasmFeatures::STACK_SWITCHING),
];

/// Proposals that give meaning to previously invalid bits: without them, the validator misinterprets the bits.
const ENCODINGS: WasmFeatures =
    WasmFeatures::ACQUIRE_RELEASE_ATOMICS.union(WasmFeatures::MULTIBYTE_ARRAY_ACCESS);

/// Proposals that the validator does not support either.
const HALF_PRECISION: &str = "half-precision";
const RELAXED_ATOMICS: &str = "relaxed-atomics";
const STRINGREF: &str = "stringref";

/// Returns the error for a binary that is invalid under `features`. If features are the reason, the error names them:
/// as [`UnsupportedProposals`] if this version does not support them, as [`DisabledFeatures`] if they would make the
/// module valid. Determining that is part of the compilation, and subject to its limits.
pub(crate) fn explain(error: ModuleError, binary: &[u8], features: WasmFeatures, budget: &Budget) -> Error {
    match explain_by_features(&error, binary, features, budget) {
        Some(explained) if budget.end().is_none() => explained,
        _ => error.into(),
    }
}

fn explain_by_features(
    error: &ModuleError,
    binary: &[u8],
    features: WasmFeatures,
    budget: &Budget,
) -> Option<Error> {
    let ModuleError::Invalid { offset, .. } = *error else { return None };
    let check = |features| match belljar_module::check(binary, features, budget) {
        Ok(()) => Ok(()),
        Err(CheckError::Invalid(error)) => Err(error),
        // The budget is used up, so no explanation is determined.
        Err(CheckError::Stopped) => Ok(()),
    };
    let all = UNSUPPORTED.iter().fold(features | everything(), |all, (_, feature)| all | *feature);
    if let Err(stumbled) = check(all) {
        let (name, offset) = unknown_proposal(&stumbled.into(), binary)?;
        return Some(UnsupportedProposals { names: vec![name], offset, place: None }.into());
    }
    // A proposal may also loosen existing rules: a module that violates them need not use the proposal.
    let uses = |feature: WasmFeatures| match check(all.difference(feature)) {
        Ok(()) => false,
        Err(error) => ENCODINGS.contains(feature) || error.missing_wasm_feature() == Some(feature),
    };
    let names: Vec<_> =
        UNSUPPORTED.iter().filter(|(_, feature)| uses(*feature)).map(|(name, _)| *name).collect();
    if !names.is_empty() {
        return Some(UnsupportedProposals { names, offset, place: None }.into());
    }
    let off = SWITCHES.iter().filter(|(_, feature)| !features.contains(*feature));
    let needed = off.filter(|(_, feature)| check(all.difference(*feature)).is_err());
    match needed.map(|(name, _)| *name).collect::<Vec<_>>() {
        switches if switches.is_empty() => None,
        switches => Some(Error::from(error.clone()).context(DisabledFeatures { switches })),
    }
}

/// Returns the proposal whose encoding the validator rejected, and the position.
fn unknown_proposal(error: &ModuleError, binary: &[u8]) -> Option<(&'static str, u64)> {
    let ModuleError::Invalid { message, offset, .. } = error else { return None };
    let bytes = binary.get(usize::try_from(*offset).ok()?..)?;
    let name = if message.contains("subopcode") {
        match (*bytes.first()?, number(&bytes[1..])?) {
            (0xfc, 0x30 | 0x31) | (0xfd, 0x120..=0x14f) => HALF_PRECISION,
            (0xfb, 0x80..=0xb7) => STRINGREF,
            _ => return None,
        }
    } else if message.starts_with("invalid value type") || message.contains("heap type") {
        match bytes {
            [0x67, ..] | [0x63 | 0x64, 0x67, ..] => STRINGREF,
            _ => return None,
        }
    } else if message.starts_with("malformed section id: 14") {
        STRINGREF
    } else if message.starts_with("invalid atomic consistency ordering") && matches!(bytes, [2 | 0x22, ..]) {
        RELAXED_ATOMICS
    } else {
        return None;
    };
    Some((name, *offset))
}

/// Reads a number in LEB128 of at most three bytes.
fn number(bytes: &[u8]) -> Option<u32> {
    let length = bytes.iter().take(3).position(|byte| *byte < 0x80)?;
    Some(bytes[..=length].iter().rev().fold(0, |number, byte| number << 7 | u32::from(byte & 0x7f)))
}

/// The proposals that a module uses and this version does not support.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UnsupportedProposals {
    names: Vec<&'static str>,
    pub(crate) offset: u64,
    /// If the binary was made from text: a line end, and the lines that show the position there.
    pub(crate) place: Option<Box<str>>,
}

impl UnsupportedProposals {
    /// Returns their names, for example `custom-descriptors` or `stack-switching`.
    pub fn names(&self) -> &[&'static str] {
        &self.names
    }

    /// Returns the byte position in the binary of what was rejected.
    pub fn offset(&self) -> u64 {
        self.offset
    }
}

impl fmt::Display for UnsupportedProposals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (names, offset) = (self.names.join(", "), self.offset);
        let proposals = if self.names.len() == 1 { "proposal" } else { "proposals" };
        write!(f, "the module uses the {proposals} {names}, which this version does not support")?;
        match &self.place {
            Some(place) => f.write_str(place),
            None => write!(f, " (at byte {offset:#x})"),
        }
    }
}

impl std::error::Error for UnsupportedProposals {}

#[cfg(test)]
mod tests {
    use super::*;

    /// Flags of the validator that are not features of modules: they are always on, or are of components.
    const NO_FEATURES: &[&str] = &["MUTABLE_GLOBAL", "FLOATS", "GC_TYPES", "COMPONENT_MODEL"];

    /// A new release of the validator may add features.
    #[test]
    fn every_feature_of_the_validator_has_a_switch_or_is_known_to_be_lacking() {
        let known = SWITCHES.iter().chain(UNSUPPORTED).fold(WasmFeatures::empty(), |all, (_, f)| all | *f);
        for (name, feature) in WasmFeatures::all().iter_names() {
            let of_components = name.starts_with("CM_") || name == "CM64";
            let is_none = of_components || NO_FEATURES.contains(&name);
            assert!(is_none || known.contains(feature), "{name}");
        }
        assert!(UNSUPPORTED.iter().all(|(_, feature)| !everything().intersects(*feature)));
    }

    /// Checks a module with these sections, as `wasm-opt --all-features` of Binaryen 132 writes them.
    #[track_caller]
    fn check(sections: &[u8], expected: &str) {
        let binary = [b"\0asm\x01\0\0\0", sections].concat();
        let error = belljar_module::validate(binary.clone().into(), everything()).unwrap_err();
        let error = explain(error, &binary, everything(), &Budget::unlimited());
        let unsupported = error.downcast_ref::<UnsupportedProposals>();
        assert_eq!(unsupported.map(|u| u.names()), Some(&[expected][..]), "{error:?}");
    }

    #[test]
    fn proposals_that_the_validator_cannot_read_are_named() {
        // f16x8.add, f32.load_f16
        check(b"\x01\x07\x01\x60\x02\x7b\x7b\x01\x7b\x03\x02\x01\x00\x0a\x0b\x01\x09\x00\x20\x00\x20\x01\xfd\xbd\x02\x0b", HALF_PRECISION);
        check(
            b"\x01\x06\x01\x60\x01\x7f\x01\x7d\x03\x02\x01\x00\x05\x03\x01\x00\x01\x0a\x0a\x01\x08\x00\x20\x00\xfc\x30\x01\x00\x0b",
            HALF_PRECISION,
        );
        // A result of type stringref, a parameter of type (ref string), the section of constants, string.const.
        check(b"\x01\x05\x01\x60\x00\x01\x67", STRINGREF);
        check(b"\x01\x06\x01\x60\x01\x64\x67\x00", STRINGREF);
        check(b"\x01\x04\x01\x60\x00\x00\x03\x02\x01\x00\x0e\x08\x00\x01\x05hello\x0a\x09\x01\x07\x00\xfb\x82\x01\x00\x1a\x0b", STRINGREF);
        check(
            b"\x01\x04\x01\x60\x00\x00\x03\x02\x01\x00\x0a\x09\x01\x07\x00\xfb\x82\x01\x00\x1a\x0b",
            STRINGREF,
        );
        // i32.atomic.load relaxed
        check(
            b"\x01\x06\x01\x60\x01\x7f\x01\x7f\x03\x02\x01\x00\x05\x04\x01\x03\x01\x01\x0a\x0b\x01\x09\x00\x20\x00\xfe\x10\x12\x02\x00\x0b",
            RELAXED_ATOMICS,
        );
    }

    /// Custom descriptors allow casts between types that share only a supertype.
    #[test]
    fn a_wrong_type_is_no_proposal() {
        let wat = "(module (type $a (struct)) (type $b (struct (field i32)))
            (func (param (ref $a)) (result (ref $b)) (br_on_cast 0 (ref $a) (ref $b) (local.get 0)) unreachable))";
        let binary = wat::parse_str(wat).unwrap();
        let error = belljar_module::validate(binary.clone().into(), everything()).unwrap_err();
        let error = explain(error, &binary, everything(), &Budget::unlimited());
        assert!(error.to_string().contains("type mismatch"), "{error}");
        assert!(!error.is::<UnsupportedProposals>(), "{error}");
    }

    #[test]
    fn numbers_are_read() {
        assert_eq!(number(&[0x30]), Some(0x30));
        assert_eq!(number(&[0xbd, 0x02, 0xff]), Some(0x13d));
        assert_eq!(number(&[0x80, 0x80, 0x80, 0]), None);
        assert_eq!(number(&[]), None);
    }
}
