//! What validation notes about code on its way, so that compilation need not look twice.

/// What is known of one function's body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FuncFacts {
    /// Number of operators.
    pub operators: u32,
    /// Number of declared locals, parameters not counted.
    pub locals: u32,
    /// Calls of any kind.
    pub calls: u32,
    /// Instructions that make an object.
    pub allocations: u32,
    /// Instructions that ask for the type of an object.
    pub casts: u32,
    /// Whether it ends with `unreachable`, as functions do that report an error and do not return.
    pub ends_unreachable: bool,
    /// Whether it has a loop.
    pub has_loop: bool,
    /// Whether it calls itself where it would return otherwise.
    pub tail_calls_itself: bool,
    /// Whether it looks into objects whatever their type.
    pub inspects_objects: bool,
}

/// What the module's code does to one table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TableUse {
    /// Some instruction may change its elements.
    pub written: bool,
    /// Some instruction may grow it.
    pub grown: bool,
    /// Some `call_indirect` or `return_call_indirect` calls through it.
    pub called: bool,
}

impl TableUse {
    pub(crate) fn merge(&mut self, other: TableUse) {
        self.written |= other.written;
        self.grown |= other.grown;
        self.called |= other.called;
    }
}
