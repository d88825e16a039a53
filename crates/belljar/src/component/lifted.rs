//! What is looked up once for a function of an instance, and kept for its calls.

use belljar_component::types::{AddressType, FuncType};
use belljar_component::{InstanceIndex, StringEncoding};
use belljar_vm::NumberFunc;
use std::sync::Arc;

/// The parts of an instance that a function is lifted or lowered with.
#[derive(Debug)]
pub(super) struct Parts {
    /// The memory's number in the store.
    pub(super) memory: Option<usize>,
    /// The number of the global with the instance's flags.
    pub(super) flags: usize,
    pub(super) realloc: Option<NumberFunc>,
    pub(super) post_return: Option<NumberFunc>,
    pub(super) address: AddressType,
    pub(super) encoding: StringEncoding,
    /// Whether the instance can keep values with its calls.
    pub(super) keeps: bool,
}

impl Parts {
    /// Returns its functions.
    pub(super) fn funcs(&self) -> impl Iterator<Item = &NumberFunc> {
        self.realloc.iter().chain(&self.post_return)
    }
}

/// A function of a guest, with everything that a call needs.
#[derive(Debug)]
pub(super) struct Lifted {
    pub(super) ty: Arc<FuncType>,
    pub(super) instance: u32,
    pub(super) inner: InstanceIndex,
    pub(super) core: NumberFunc,
    pub(super) parts: Parts,
    /// Whether a call has to be recorded: it borrows handles, or keeps values for its guest.
    pub(super) is_recorded: bool,
}
