//! A store's activations that have native stacks of their own: the one that runs, and suspended guests.
//!
//! In: what `resumable` notes about calls of the host. Out: where suspended guests continue, for it and for the collector.
//! Never: access to a stack.

use crate::guest_stack::GuestStack;
use std::sync::Arc;

/// What a guest has called where it was suspended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum SuspendedIn {
    /// A host function, which returned an error.
    HostFunction,
    /// The builtin that handles exhausted fuel.
    OutOfFuel,
}

/// A call of the host that has failed, from which the guest can continue as if it had not.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FailedCall {
    pub(crate) callee: SuspendedIn,
    /// What the stub noted about the call, as in [`belljar_abi::StoreContext`].
    pub(crate) pc: usize,
    pub(crate) fp: usize,
    pub(crate) sp: usize,
    pub(crate) saved: [usize; 5],
    /// The address of the host function's object.
    pub(crate) object: usize,
    /// The address of the buffer for the host function's results, if it does not return its result in a register.
    pub(crate) buffer: Option<usize>,
    /// Fuel that the guest has used beyond what it had.
    pub(crate) overdraft: u64,
}

/// A store's activations with stacks of their own.
#[derive(Debug, Default)]
pub(crate) struct ApartActivations {
    /// The innermost one that runs.
    pub(crate) running: Option<Running>,
    pub(crate) suspended: Vec<Suspended>,
    /// A stack for the next one.
    pub(crate) spare: Option<GuestStack>,
}

#[derive(Debug)]
pub(crate) struct Running {
    /// The frame pointer of its entry stub.
    pub(crate) entry: usize,
    /// The last call in it that failed.
    pub(crate) failed: Option<FailedCall>,
}

/// A guest that can continue.
#[derive(Debug)]
pub(crate) struct Suspended {
    /// Shared with its [`SuspendedCall`]; unique once that was dropped.
    pub(crate) token: Arc<()>,
    pub(crate) stack: GuestStack,
    pub(crate) at: FailedCall,
}

impl ApartActivations {
    /// Returns where each suspended guest continues, and its innermost frame.
    pub(crate) fn suspended_frames(&self) -> impl Iterator<Item = (usize, usize)> {
        self.suspended.iter().filter(|guest| guest.is_wanted()).map(|guest| (guest.at.pc, guest.at.fp))
    }

    /// Forgets all suspended guests: they cannot continue.
    pub(crate) fn forget_suspended(&mut self) {
        self.suspended.clear();
        self.spare = None;
    }

    /// Forgets the suspended guests whose [`SuspendedCall`] was dropped.
    pub(crate) fn forget_unwanted(&mut self) {
        if let Some(unwanted) = self.suspended.extract_if(.., |guest| !guest.is_wanted()).last() {
            self.spare = Some(unwanted.stack);
        }
    }

    pub(crate) fn take(&mut self, token: &Arc<()>) -> Option<Suspended> {
        let place = self.suspended.iter().position(|guest| Arc::ptr_eq(&guest.token, token))?;
        Some(self.suspended.swap_remove(place))
    }
}

impl Suspended {
    fn is_wanted(&self) -> bool {
        Arc::strong_count(&self.token) > 1
    }
}
