use belljar_abi::StoreContext;

/// The native stack that an activation runs on, as far as guest code may use it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct NativeStack {
    /// The lowest address that guest code may use; 1 if it is not known.
    floor: usize,
}

impl NativeStack {
    /// A stack of which guest code may use what lies above `floor`.
    pub(crate) const fn above(floor: usize) -> Self {
        Self { floor }
    }

    /// The lowest address that guest code may use.
    pub(crate) fn floor(self) -> usize {
        self.floor
    }

    /// Whether nothing is left for a guest that a function with its frame at this address calls.
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
