//! Memory that a thread reuses from function to function: most of what compilation would allocate.

use crate::translate::scratch::Scratch;
use crate::tuning::{POOLED_VALUES, POOLED_WORKSPACES};
use cranelift_codegen::Context;
use cranelift_codegen::control::ControlPlane;
use cranelift_frontend::FunctionBuilderContext;
use std::sync::{Mutex, PoisonError};

/// All that compiling a function needs besides its inputs.
pub(crate) struct Workspace {
    pub(crate) context: Context,
    pub(crate) builder: FunctionBuilderContext,
    pub(crate) control: ControlPlane,
    pub(crate) registers: regalloc2::Ctx,
    pub(crate) scratch: Scratch,
}

impl Workspace {
    pub(crate) fn new() -> Self {
        Self {
            context: Context::new(),
            builder: FunctionBuilderContext::new(),
            control: ControlPlane::default(),
            registers: regalloc2::Ctx::default(),
            scratch: Scratch::default(),
        }
    }

    /// Whether what was compiled last was small enough for its memory to be of use to others.
    pub(crate) fn is_worth_keeping(&self) -> bool {
        self.context.func.dfg.num_values() <= POOLED_VALUES
    }
}

/// Workspaces that no thread uses at the moment.
#[derive(Default)]
pub(crate) struct WorkspacePool(Mutex<Vec<Box<Workspace>>>);

impl WorkspacePool {
    pub(crate) fn take(&self) -> Box<Workspace> {
        let idle = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
        idle.unwrap_or_else(|| Box::new(Workspace::new()))
    }

    pub(crate) fn put(&self, mut workspace: Box<Workspace>) {
        workspace.context.clear();
        let mut idle = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < POOLED_WORKSPACES {
            idle.push(workspace);
        }
    }
}
