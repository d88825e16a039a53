//! Which calls are replaced by the callee's body.
//!
//! The decision is made where the call is translated, from what validation noted about the callee. It depends
//! on nothing but the module and `tuning`, so that the same module always becomes the same code.

use super::activation::Place;
use super::translator::Translator;
use crate::failure::Failure;
use crate::tuning::{
    INLINE_DEPTH, INLINE_GROWTH_BASE, INLINE_GROWTH_PERCENT, INLINE_IN_LOOP, INLINE_LEAF_IN_LOOP,
    INLINE_LOCALS, INLINE_ONCE, INLINE_SELF, INLINE_SELF_LOCALS,
};
use belljar_core::DefinedFuncIndex;

impl Translator<'_> {
    pub(super) fn is_worth_inlining(&self, callee: DefinedFuncIndex) -> bool {
        if !self.inlines || self.activations.len() > INLINE_DEPTH {
            return false;
        }
        let facts = self.module.facts(callee);
        facts.operators <= self.size_limit(callee)
            && facts.locals <= INLINE_LOCALS
            && self.growth + facts.operators <= self.growth_limit()
            && self.is_shallow(callee)
    }

    /// Operators up to which a callee is small. A recursive function is a loop.
    fn size_limit(&self, callee: DefinedFuncIndex) -> u32 {
        let repeated = self.loops > 0 || callee == self.func;
        match self.module.facts(callee).calls {
            _ if !repeated => INLINE_ONCE,
            0 => INLINE_LEAF_IN_LOOP,
            _ => INLINE_IN_LOOP,
        }
    }

    /// Operators that this function may gain.
    fn growth_limit(&self) -> u32 {
        let own = u64::from(self.module.facts(self.func).operators);
        INLINE_GROWTH_BASE + (own * u64::from(INLINE_GROWTH_PERCENT) / 100) as u32
    }

    /// Whether the callee is not being inlined already, or calls itself and may unfold once more.
    fn is_shallow(&self, callee: DefinedFuncIndex) -> bool {
        let around = self.activations.iter().filter(|a| a.func == callee).count();
        let only_itself = self.activations.iter().all(|a| a.func == callee);
        around == 0 || (only_itself && around <= INLINE_SELF && self.is_narrow(callee))
    }

    /// Whether a function's values fit the registers twice, so that it may unfold into itself.
    fn is_narrow(&self, callee: DefinedFuncIndex) -> bool {
        self.local_count(callee).is_ok_and(|count| count <= INLINE_SELF_LOCALS)
    }

    pub(super) fn inline(&mut self, callee: DefinedFuncIndex, place: Place) -> Result<(), Failure> {
        self.growth += self.module.facts(callee).operators;
        self.enter(callee, place)
    }
}
