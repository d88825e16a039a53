//! How a run of guest code ends when it does not return.
//!
//! In: why the guest is left, recorded as [`Pending`] while its frames still exist. Out: an [`Exit`], which the caller
//! gets.

use crate::fault::Fault;
use crate::kill_reason::KillReason;
use crate::recorded_stack::RawStack;
use crate::thrown::Thrown;
use belljar_core::Trap;
use std::any::Any;

/// Why an activation is being left.
pub(crate) enum Pending {
    Trap { found: RaisedTrap, address: Option<usize>, stack: RawStack },
    Error { error: belljar_core::Error, stack: RawStack },
    Exception { thrown: Thrown, stack: RawStack },
    Panic(Box<dyn Any + Send>),
}

/// A trap, and what the runtime knew about the access when it found it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RaisedTrap {
    pub(crate) trap: Trap,
    pub(crate) fault: Option<Fault>,
}

impl From<Trap> for RaisedTrap {
    fn from(trap: Trap) -> Self {
        Self { trap, fault: None }
    }
}

impl RaisedTrap {
    /// Returns how an operation of the runtime ended while no guest was running.
    pub(crate) fn into_exit(self) -> Exit {
        Exit::Trap { trap: self.trap, fault: self.fault, stack: RawStack::default() }
    }
}

impl From<Fault> for RaisedTrap {
    fn from(fault: Fault) -> Self {
        Self { trap: Trap::MemoryOutOfBounds, fault: Some(fault) }
    }
}

/// How a run of guest code ended, when it did not return.
#[derive(Debug)]
pub enum Exit {
    /// A trap.
    Trap {
        /// Which trap.
        trap: Trap,
        /// The access, if the trap is about one.
        fault: Option<Fault>,
        /// The guest's stack at the trap.
        stack: RawStack,
    },
    /// A host function returned an error.
    Error {
        /// The error.
        error: belljar_core::Error,
        /// The guest's stack at the call.
        stack: RawStack,
    },
    /// An exception that no frame of the run caught.
    Exception {
        /// The exception.
        thrown: Thrown,
        /// The guest's stack where it was last thrown.
        stack: RawStack,
    },
    /// The guest was killed, and its store with it.
    Killed {
        /// Why it was killed.
        reason: KillReason,
        /// The guest's stack at that moment.
        stack: RawStack,
    },
}

impl Exit {
    /// Returns the guest's stack.
    pub(crate) fn into_stack(self) -> RawStack {
        match self {
            Self::Trap { stack, .. }
            | Self::Error { stack, .. }
            | Self::Exception { stack, .. }
            | Self::Killed { stack, .. } => stack,
        }
    }

    /// Creates the exit for a trap while no guest is running.
    pub(crate) fn of_trap(trap: Trap) -> Self {
        Self::Trap { trap, fault: None, stack: RawStack::default() }
    }

    /// Creates the exit for an operation of the runtime that failed while no guest was running.
    pub(crate) fn of_error(error: belljar_core::Error) -> Self {
        match plain_trap(&error) {
            Some(trap) => Self::of_trap(trap),
            None => Self::Error { error, stack: RawStack::default() },
        }
    }
}

/// Returns the trap that an error consists of, if nothing was added to it.
pub(crate) fn plain_trap(error: &belljar_core::Error) -> Option<Trap> {
    error.downcast_ref::<Trap>().copied().filter(|_| !error.has_additions())
}
