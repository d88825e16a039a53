//! Where an engine's code comes from: a compiler, or artifacts alone.

#[cfg(not(feature = "compiler"))]
mod artifacts;
#[cfg(feature = "compiler")]
mod compiler;

#[cfg(not(feature = "compiler"))]
pub(crate) use artifacts::CodeSource;
#[cfg(feature = "compiler")]
pub(crate) use compiler::CodeSource;
