//! A generated module, and what it contains.

/// A valid module.
pub struct Generated {
    pub wasm: Vec<u8>,
    /// Functions, exported as `f0` and so on if the family is closed.
    pub functions: u32,
    /// Globals: `g0` and so on, not counting that of `STEPS`.
    pub globals: u32,
    /// Tables: `t0` and so on.
    pub tables: u32,
    /// Memories: `m0` and so on.
    pub memories: u32,
    /// Tags: `e0` and so on.
    pub tags: u32,
}

/// The exported global with the remaining steps, in a module that counts them.
pub const STEPS: &str = "steps";
