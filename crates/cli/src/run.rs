//! `belljar run`: a program's file in, its exit code out.

mod argument;
mod backtrace;
mod core_dump;
mod dir_grant;
mod end;
mod entry;
mod env_var;
mod limits;
mod memory_budget;
mod missing_imports;
mod options;
mod outcome;
mod outside;
mod preload;
mod profile;
mod program;
mod stop;
mod threads;

pub(crate) use options::RunOptions;
