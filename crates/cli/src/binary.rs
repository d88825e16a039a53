//! Describes a wasm binary without running or validating it: sections, imports, exports, features, producers.

pub(crate) mod description;
pub(crate) mod interface;
pub(crate) mod reader;

mod custom;
mod encoding;
mod entities;
#[cfg(test)]
mod feature_tests;
mod features;
mod layout;
mod passive;
