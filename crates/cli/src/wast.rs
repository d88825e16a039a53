//! Runs spec scripts (`.wast`): from a file's text to a [`Report`].
//!
//! Every directive counts as passed or failed; none is skipped. Each script has its own store, so that scripts cannot
//! affect each other. A panic fails only its script, not the run.

mod command;
mod component;
mod component_spectest;
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
