//! Facts that validation records about code, so that compilation need not scan it again.

/// Facts about one function's body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FuncFacts {
    /// Number of operators.
    pub operators: u32,
    /// Number of declared locals, parameters not counted.
    pub locals: u32,
    /// Calls of any kind.
    pub calls: u32,
    /// Instructions that create an object.
    pub allocations: u32,
    /// Instructions that test or cast the type of an object.
    pub casts: u32,
    /// Whether the function ends with `unreachable`, as functions do that report an error and never return.
    pub ends_unreachable: bool,
    /// Whether it has a loop.
    pub has_loop: bool,
    /// Whether the function tail-calls itself.
    pub tail_calls_itself: bool,
    /// Whether the function inspects objects of any type.
    pub inspects_objects: bool,
}

/// How the module's code uses one table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TableUse {
    /// Some instruction may write its elements.
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
