//! Spec scripts (`.wast`): a file's text in, a [`Report`] out.
//!
//! Every directive counts as passed or failed; none is skipped. Each script has a store of its own, so that one
//! cannot disturb another, and a panic fails the script that it happened in, not the run.

mod command;
mod directive;
mod files;
mod pattern;
mod report;
mod script;
mod spectest;
mod value;

pub(crate) use command::WastOptions;
pub use files::find_scripts;
pub use report::{Failure, Report};
pub use script::run_script;
