use crate::gc::OwnedRoot;
use crate::store_id::StoreId;
use std::fmt;

/// An exception that no guest has caught, kept alive. If a host function returns it as its error, it is thrown in the
/// guest that called the function.
#[derive(Clone, Debug)]
pub struct Thrown {
    pub(crate) store: StoreId,
    pub(crate) root: OwnedRoot,
}

impl fmt::Display for Thrown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an exception was thrown that nothing caught")
    }
}

impl std::error::Error for Thrown {}
