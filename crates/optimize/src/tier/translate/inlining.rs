//! The decision which calls are inlined.
//!
//! The decision is made when the call is translated, from the facts that validation recorded about the callee. It
//! depends on the module and `tuning` alone, so that a module always compiles to the same code.

use super::state::CallPosition;
use super::translator::Translator;
use crate::tier::failure::Failure;
use crate::tier::tuning::{
    ALLOCATION_OPERATORS, CAST_OPERATORS, INLINE_DEPTH, INLINE_GROWTH_BASE, INLINE_GROWTH_BASE_OF_MANY,
    INLINE_GROWTH_PERCENT, INLINE_IN_LOOP, INLINE_LEAF_IN_LOOP, INLINE_LOCALS, INLINE_ONCE,
    INLINE_ONCE_OF_MANY, INLINE_SELF, INLINE_SELF_LOCALS, MANY_FUNCTIONS,
};
use belljar_core::DefinedFuncIndex;

impl Translator<'_> {
    /// Returns whether a call is inlined. A callee that does not return is not: it reports errors, so it is called
    /// rarely and from many places.
    pub(super) fn is_worth_inlining(&self, callee: DefinedFuncIndex) -> bool {
        if !self.inlines || self.activations.len() > INLINE_DEPTH {
            return false;
        }
        let (facts, size) = (self.module.facts(callee), self.weighted_size(callee));
        !facts.ends_unreachable
            && size <= self.size_limit(callee)
            && facts.locals <= INLINE_LOCALS
            && self.growth.saturating_add(size) <= self.growth_limit()
            && self.may_nest(callee)
    }

    /// Returns the number of a function's operators, with a higher weight for those that become much code.
    fn weighted_size(&self, func: DefinedFuncIndex) -> u32 {
        let facts = self.module.facts(func);
        let more = |count: u32, size: u32| count.saturating_mul(size - 1);
        facts
            .operators
            .saturating_add(more(facts.allocations, ALLOCATION_OPERATORS))
            .saturating_add(more(facts.casts, CAST_OPERATORS))
    }

    /// Returns the size up to which a callee is inlined. A recursive call counts as one in a loop.
    fn size_limit(&self, callee: DefinedFuncIndex) -> u32 {
        let repeated = self.loops > 0 || callee == self.func;
        match self.module.facts(callee).calls {
            _ if !repeated && self.has_many_functions() => INLINE_ONCE_OF_MANY,
            _ if !repeated => INLINE_ONCE,
            0 => INLINE_LEAF_IN_LOOP,
            _ => INLINE_IN_LOOP,
        }
    }

    /// Returns the size that this function may gain.
    fn growth_limit(&self) -> u32 {
        let own = u64::from(self.weighted_size(self.func));
        let base = if self.has_many_functions() { INLINE_GROWTH_BASE_OF_MANY } else { INLINE_GROWTH_BASE };
        base + (own * u64::from(INLINE_GROWTH_PERCENT) / 100) as u32
    }

    /// Returns whether the module has so many functions that their size matters more than the cost of a call.
    fn has_many_functions(&self) -> bool {
        self.module.defined_funcs() > MANY_FUNCTIONS
    }

    /// Returns whether the callee is not already being inlined, or is recursive and may be unrolled once more.
    fn may_nest(&self, callee: DefinedFuncIndex) -> bool {
        let around = self.activations.iter().filter(|a| a.func == callee).count();
        let only_itself = self.activations.iter().all(|a| a.func == callee);
        around == 0 || (only_itself && around <= INLINE_SELF && self.fits_registers_twice(callee))
    }

    /// Returns whether a function's values fit the registers twice, so that it may be inlined into itself.
    fn fits_registers_twice(&self, callee: DefinedFuncIndex) -> bool {
        self.local_count(callee).is_ok_and(|count| count <= INLINE_SELF_LOCALS)
    }

    pub(super) fn inline(
        &mut self,
        callee: DefinedFuncIndex,
        call_position: CallPosition,
    ) -> Result<(), Failure> {
        self.growth += self.weighted_size(callee);
        self.enter(callee, call_position)
    }
}
