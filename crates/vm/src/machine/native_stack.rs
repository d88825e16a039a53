use belljar_abi::StoreContext;

/// The part of an activation's native stack that guest code may use.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct NativeStack {
    /// The lowest address that guest code may use; 1 if it is unknown.
    floor: usize,
}

impl NativeStack {
    /// Creates a stack of which guest code may use the part above `floor`.
    pub(crate) const fn above(floor: usize) -> Self {
        Self { floor }
    }

    /// Returns the lowest address that guest code may use.
    pub(crate) fn floor(self) -> usize {
        self.floor
    }

    /// Returns whether a function with its frame at this address leaves no stack for guest code that it calls.
    pub(crate) fn is_used_up(self, frame: usize) -> bool {
        frame < self.floor
    }

    /// Prepares a store's context for an outermost activation on this stack. The entry stub computes the limit.
    #[inline]
    pub(crate) fn prepare(self, context: &mut StoreContext) {
        context.stack_floor = self.floor;
        context.entry_sp = 0;
    }
}
