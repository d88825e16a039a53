//! Status flags of a descriptor.

use bitflags::bitflags;

bitflags! {
    /// Status flags of a descriptor, with the numbers of WASI 0.1's `fdflags`.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
    pub(crate) struct FdFlags: u16 {
        const APPEND = 1;
        const DSYNC = 2;
        const NONBLOCK = 4;
        const RSYNC = 8;
        const SYNC = 16;
    }
}
