//! External names in CLIF for targets that are linked later.

use belljar_abi::RelocTarget;
use belljar_core::{DefinedFuncIndex, TableIndex};
use cranelift_codegen::ir::UserExternalName;

const FUNC: u32 = 0;
const THUNK: u32 = 1;
const READ_ONLY_TABLE: u32 = 2;

/// Returns the name of a target.
pub(crate) fn of(target: RelocTarget) -> UserExternalName {
    match target {
        RelocTarget::Func(f) => UserExternalName::new(FUNC, f.0),
        RelocTarget::Thunk(n) => UserExternalName::new(THUNK, n),
        RelocTarget::ReadOnlyTable(t) => UserExternalName::new(READ_ONLY_TABLE, t.0),
    }
}

/// Returns the target of a name.
pub(crate) fn target(name: &UserExternalName) -> RelocTarget {
    match name.namespace {
        FUNC => RelocTarget::Func(DefinedFuncIndex(name.index)),
        READ_ONLY_TABLE => RelocTarget::ReadOnlyTable(TableIndex(name.index)),
        _ => RelocTarget::Thunk(name.index),
    }
}
