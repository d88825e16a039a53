use crate::Extern;
use belljar_vm::HostFunc;
use std::sync::Arc;

/// What a name stands for.
#[derive(Clone)]
pub(crate) enum Definition {
    Host(Arc<HostFunc>),
    Extern(Extern),
}
