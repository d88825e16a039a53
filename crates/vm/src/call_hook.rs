/// A transition between host and guest.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum CallHook {
    /// The host is about to call a guest.
    CallingWasm,
    /// A guest has ended, however it did, and the host continues.
    ReturningFromWasm,
    /// A guest is about to call a function of the host.
    CallingHost,
    /// A function of the host has returned, with results or an error, and its guest continues.
    ReturningFromHost,
}

impl CallHook {
    /// Returns whether code of the host runs next.
    pub const fn entering_host(&self) -> bool {
        matches!(self, Self::ReturningFromWasm | Self::CallingHost)
    }

    /// Returns whether code of the host has just run.
    pub const fn exiting_host(&self) -> bool {
        !self.entering_host()
    }
}
