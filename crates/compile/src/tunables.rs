//! Options besides the module that affect its code.

use belljar_module::Module;

/// How accesses to a memory are kept in bounds.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum MemoryAccess {
    /// The memory has 4 GiB and a guard of address space, at an address that never changes. Accesses outside it fault.
    Reserved,
    /// The memory may be smaller and may move: every access is checked.
    Checked,
}

/// How much functions are optimized. Results are the same.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[non_exhaustive]
pub enum OptLevel {
    /// Without optimizations, which compiles fastest. Small functions are inlined nevertheless: see [`Inlining`].
    None,
    /// For the fastest code.
    #[default]
    Speed,
    /// For the fastest code, but smaller code where that costs little speed.
    SpeedAndSize,
}

impl OptLevel {
    /// Returns the level's name in settings.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Speed => "speed",
            Self::SpeedAndSize => "speed and size",
        }
    }
}

/// How registers are allocated. Results are the same.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[non_exhaustive]
pub enum RegallocAlgorithm {
    /// For the fastest code. The time can grow faster than the size of a function, so that huge functions get a single
    /// pass all the same.
    #[default]
    Backtracking,
    /// In time linear in the size of a function, for code with more moves and spills.
    SinglePass,
}

impl RegallocAlgorithm {
    /// Returns the algorithm's name in settings.
    pub fn name(self) -> &'static str {
        match self {
            Self::Backtracking => "backtracking",
            Self::SinglePass => "single pass",
        }
    }
}

/// Which calls are inlined. Functions are inlined only into functions of the same module, so the three variants that
/// would inline less than that inline nothing. Backtraces show inlined functions as well.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[non_exhaustive]
pub enum Inlining {
    /// Calls of small functions.
    #[default]
    Yes,
    /// Calls of small functions in modules that use garbage-collected objects; none in others.
    InterModuleAndIntraGc,
    /// None: the same as [`Inlining::No`].
    InterModule,
    /// None: the same as [`Inlining::No`].
    Intrinsics,
    /// None.
    No,
}

impl Inlining {
    /// Returns whether functions of a module are inlined.
    pub(crate) fn is_for(self, module: &Module) -> bool {
        match self {
            Self::Yes => true,
            Self::InterModuleAndIntraGc => module.uses_heap(),
            Self::InterModule | Self::Intrinsics | Self::No => false,
        }
    }

    /// Returns the name in settings, which is the same for variants with the same effect.
    pub fn name(self) -> &'static str {
        match self {
            Self::Yes => "yes",
            Self::InterModuleAndIntraGc => "gc",
            Self::InterModule | Self::Intrinsics | Self::No => "no",
        }
    }
}

impl std::fmt::Display for Inlining {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Yes => "yes",
            Self::InterModuleAndIntraGc => "gc",
            Self::InterModule => "inter-module",
            Self::Intrinsics => "intrinsics",
            Self::No => "no",
        })
    }
}

impl std::str::FromStr for Inlining {
    type Err = belljar_core::Error;

    fn from_str(text: &str) -> belljar_core::Result<Self> {
        Ok(match text {
            "yes" | "y" | "true" => Self::Yes,
            "gc" => Self::InterModuleAndIntraGc,
            "inter-module" => Self::InterModule,
            "intrinsics" => Self::Intrinsics,
            "no" | "n" | "false" => Self::No,
            _ => belljar_core::bail!(
                "{} is no kind of inlining: expected yes, gc, inter-module, intrinsics or no",
                belljar_core::OutsideText::new(text)
            ),
        })
    }
}

impl From<bool> for Inlining {
    fn from(enable: bool) -> Self {
        if enable { Self::Yes } else { Self::No }
    }
}

/// Options besides the module that affect its code.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Tunables {
    /// How accesses are kept in bounds for memories that can be reserved whole; others are always checked.
    pub memory_access: MemoryAccess,
    /// Count fuel.
    pub consume_fuel: bool,
    /// Check the epoch at function entries and loops.
    pub epoch_interruption: bool,
    /// Which calls are inlined.
    pub inlining: Inlining,
    /// How much functions are optimized.
    pub opt_level: OptLevel,
    /// How registers are allocated.
    pub regalloc: RegallocAlgorithm,
    /// Give every NaN that an operation produces the canonical bits.
    pub canonical_nans: bool,
    /// Make relaxed vector instructions follow the specification's deterministic profile.
    pub deterministic_relaxed_simd: bool,
    /// Use the module's branch hints.
    pub branch_hints: bool,
    /// Compile every function with the settings for huge functions. For tests: results are the same.
    pub huge_functions: bool,
}

impl Default for Tunables {
    fn default() -> Self {
        Self {
            memory_access: MemoryAccess::Reserved,
            consume_fuel: false,
            epoch_interruption: false,
            inlining: Inlining::default(),
            opt_level: OptLevel::default(),
            regalloc: RegallocAlgorithm::default(),
            canonical_nans: false,
            deterministic_relaxed_simd: false,
            branch_hints: true,
            huge_functions: false,
        }
    }
}
