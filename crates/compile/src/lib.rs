//! Compiles a described module to linked code.
//!
//! In: a [`belljar_module::Module`], a [`Tier`] and [`Tunables`]. Out: a [`belljar_abi::LinkedCode`], position
//! independent and fully relocated. Never: knowledge of how code is loaded or run, or `unsafe`.

mod budget;
mod compiler;
mod elf;
mod error;
mod fuel_costs;
mod limits;
mod link;
mod observer;
mod plan;
mod settings;
mod tier;
mod trampolines;
mod tunables;

pub use belljar_abi::TrampolineKind;
pub use budget::{Budget, CompileCancel, FunctionBudget, Work};
pub use compiler::{BuildError, Compiler};
pub use elf::{FileContents, Keep, object_file};
pub use error::CompileError;
pub use fuel_costs::{FuelCosts, OperatorCost, SizeCost, SizedOp, VariableOperatorCost};
pub use limits::{CompileLimit, CompileLimitExceeded, CompileLimits, FunctionCost};
pub use link::compile;
pub use observer::{BuildObserver, CompileStage, CompileTimes};
pub use plan::{ModulePlan, ReadOnlyContents, ReadOnlyTable};
pub use settings::{CodeSettings, Target, TierOrigin};
pub use tier::Tier;
pub use trampolines::StoredTrampolines;
pub use tunables::{Inlining, MemoryAccess, OptLevel, RegallocAlgorithm, Tunables};

/// A digest of this crate's sources, which tells builds apart.
pub const FINGERPRINT: [u8; 32] = include!(concat!(env!("OUT_DIR"), "/sources.rs"));
