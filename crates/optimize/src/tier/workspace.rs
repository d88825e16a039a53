//! Memory that a thread reuses from function to function: most of what compilation would otherwise allocate.

use crate::tier::translate::scratch::Scratch;
use crate::tier::tuning::{POOLED_VALUES, POOLED_WORKSPACES};
use cranelift_codegen::Context;
use cranelift_codegen::control::ControlPlane;
use cranelift_frontend::FunctionBuilderContext;
use std::sync::{Mutex, PoisonError};

/// The mutable state that compiling a function needs.
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

    /// Returns whether the last function was small enough for the workspace's memory to be useful to others.
    pub(crate) fn is_worth_keeping(&self) -> bool {
        self.context.func.dfg.num_values() <= POOLED_VALUES
    }
}

/// Workspaces that no thread is using.
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
