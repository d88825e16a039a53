use crate::Extern;
use belljar_vm::HostFunc;
use std::sync::Arc;

/// The definition of a name.
#[derive(Clone)]
pub(crate) enum Definition {
    Host(Arc<HostFunc>),
    Extern(Extern),
}
