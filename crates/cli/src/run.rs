//! `belljar run`: a program's file in, its exit code out.

mod argument;
mod backtrace;
mod deadline;
mod dir_grant;
mod entry;
mod env_var;
mod memory_budget;
mod missing_imports;
mod options;
mod outcome;
mod preload;
mod program;
mod threads;

pub(crate) use options::RunOptions;
