//! The target machine and the code generation settings.

use crate::tuning::{LINEAR_TIME, LIVE_RANGE_NANOS, SPEED_TIME};
use belljar_compile::{CompileError, Target};
use cranelift_codegen::isa::{self, OwnedTargetIsa, TargetIsa};
use cranelift_codegen::settings::{self, Configurable};
use std::sync::OnceLock;
use std::time::Duration;

/// The settings that differ from Cranelift's defaults.
const FLAGS: &[(&str, &str)] = &[
    // Every guest frame keeps the frame pointer, which is the only means of stack walking.
    ("preserve_frame_pointers", "true"),
    ("unwind_info", "false"),
    // Frames cannot extend beyond the guard: the prologue compares with the stack limit.
    ("enable_probestack", "false"),
    // Results beyond the result registers are returned through a hidden pointer.
    ("enable_multi_ret_implicit_sret", "true"),
    // Only Wasmtime's translator reads these two; our translator decides by `tuning`.
    ("enable_heap_access_spectre_mitigation", "false"),
    ("enable_table_access_spectre_mitigation", "false"),
    ("enable_verifier", if cfg!(debug_assertions) { "true" } else { "false" }),
];

/// Instruction sets without which Cranelift calls library functions that do not exist here.
const REQUIRED: &[&str] = &["has_sse3", "has_ssse3", "has_sse41"];

/// How much a function is optimized. This affects only speed: frames, calling convention and tables are the same.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum OptLevel {
    /// The middle end runs, and registers are allocated with backtracking.
    Speed,
    /// Only passes that take time linear in the function's size: no middle end, and single-pass register allocation.
    LinearTime,
}

impl OptLevel {
    /// Returns the least CPU time from CLIF on for a function of this many instructions, values and operands.
    pub(crate) fn min_time(self, written_out: u64) -> Duration {
        let each = match self {
            Self::Speed => SPEED_TIME,
            Self::LinearTime => LINEAR_TIME,
        };
        each.saturating_mul(u32::try_from(written_out).unwrap_or(u32::MAX))
    }

    /// Returns the least CPU time of register allocation for this sum of live ranges.
    pub(crate) fn min_allocation_time(self, live_ranges: u64) -> Duration {
        match self {
            Self::Speed => Duration::from_nanos(live_ranges.saturating_mul(LIVE_RANGE_NANOS)),
            Self::LinearTime => Duration::ZERO,
        }
    }

    const fn flags(self) -> [(&'static str, &'static str); 2] {
        match self {
            Self::Speed => [("opt_level", "speed"), ("regalloc_algorithm", "backtracking")],
            Self::LinearTime => [("opt_level", "none"), ("regalloc_algorithm", "single_pass")],
        }
    }
}

/// The settings besides the function itself that affect its code.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    pub(crate) canonical_nans: bool,
    pub(crate) opt_level: OptLevel,
}

/// The target machine: with the processor's NaNs or with canonical ones, and for each optimization level.
pub(crate) struct Isas {
    /// The target processor's name; `None` for the host's.
    processor: Option<String>,
    /// The processor that the host is assumed to be, as far as the host has its features.
    host: Option<String>,
    plain: OwnedTargetIsa,
    canonical_nans: OwnedTargetIsa,
    /// Huge functions are rare: these are created for the first.
    huge: [OnceLock<Option<OwnedTargetIsa>>; 2],
}

impl Isas {
    pub(crate) fn for_host() -> Result<Self, CompileError> {
        Self::new(None)
    }

    pub(crate) fn for_processor(name: &str) -> Result<Self, CompileError> {
        Self::new(Some(name.into()))
    }

    fn new(processor: Option<String>) -> Result<Self, CompileError> {
        let full = |nans| machine(processor.as_deref(), nans, OptLevel::Speed);
        let (plain, canonical_nans) = (full(false)?, full(true)?);
        Ok(Self { processor, host: None, plain, canonical_nans, huge: Default::default() })
    }

    /// Returns the host's processor features; none if they cannot be determined.
    pub(crate) fn host_features(&self) -> Vec<&'static str> {
        let features_of = |processor: Option<&str>| {
            machine(processor, false, OptLevel::Speed)
                .map_or_else(|_| Vec::new(), |isa| target(&*isa).features)
        };
        let mut features = features_of(None);
        if let Some(host) = &self.host {
            let taken_for = features_of(Some(host));
            features.retain(|feature| taken_for.contains(feature));
        }
        features
    }

    /// Assumes that the host is a processor of this name. The host's features that it lacks are not used; it adds none.
    pub(crate) fn assume_host(&mut self, name: &str) {
        self.host = Some(name.into());
    }

    pub(crate) fn get(&self, canonical_nans: bool, opt_level: OptLevel) -> &dyn TargetIsa {
        if opt_level == OptLevel::LinearTime {
            let slot = &self.huge[usize::from(canonical_nans)];
            if let Some(isa) =
                slot.get_or_init(|| machine(self.processor.as_deref(), canonical_nans, opt_level).ok())
            {
                return &**isa;
            }
        }
        if canonical_nans { &*self.canonical_nans } else { &*self.plain }
    }
}

fn machine(
    processor: Option<&str>,
    canonical_nans: bool,
    opt_level: OptLevel,
) -> Result<OwnedTargetIsa, CompileError> {
    let unsupported = |why: String| {
        CompileError::Unsupported(format!("the optimizing tier cannot compile for this machine: {why}"))
    };
    let mut flags = settings::builder();
    let canonical_nans = [("enable_nan_canonicalization", if canonical_nans { "true" } else { "false" })];
    for (name, value) in FLAGS.iter().chain(&opt_level.flags()).chain(&canonical_nans) {
        flags.set(name, value).map_err(|e| unsupported(format!("setting {name}: {e}")))?;
    }
    let builder = match processor {
        None => cranelift_native::builder().map_err(|e| unsupported(e.into()))?,
        Some(name) => by_name(name)?,
    };
    let isa = builder.finish(settings::Flags::new(flags)).map_err(|e| unsupported(e.to_string()))?;
    check_level(&*isa).map_err(unsupported)?;
    Ok(isa)
}

/// Creates a builder for the host's architecture with the features of a named processor.
fn by_name(name: &str) -> Result<isa::Builder, CompileError> {
    let unknown = || {
        CompileError::Unsupported(format!(
            "unknown processor `{name}`: expected x86-64, x86-64-v2, x86-64-v3, x86-64-v4, or a model name that compilers use, \
             such as haswell, skylake or znver4"
        ))
    };
    let mut builder = cranelift_native::builder_with_options(false)
        .map_err(|e| CompileError::Unsupported(format!("cannot compile for this machine: {e}")))?;
    // Single features are settings as well; only presets are processors.
    let is_preset =
        builder.iter().any(|setting| setting.name == name && setting.kind == settings::SettingKind::Preset);
    if !is_preset {
        return Err(unknown());
    }
    builder.enable(name).map_err(|_| unknown())?;
    Ok(builder)
}

fn check_level(isa: &dyn TargetIsa) -> Result<(), String> {
    if isa.name() != "x64" {
        return Err(format!("its processor is {}, but only x86-64 is supported so far", isa.name()));
    }
    let present = features(isa);
    match REQUIRED.iter().find(|name| !present.contains(name)) {
        None => Ok(()),
        Some(name) => Err(format!(
            "its processor lacks {}; every x86-64 processor since 2008 has it, so check the virtual machine's \
             processor model",
            name.trim_start_matches("has_")
        )),
    }
}

/// Returns the names of the enabled processor features, in Cranelift's order.
fn features(isa: &dyn TargetIsa) -> Vec<&'static str> {
    isa.isa_flags().iter().filter(|f| f.as_bool() == Some(true)).map(|f| f.name).collect()
}

/// Returns the machine that the code is for.
pub(crate) fn target(isa: &dyn TargetIsa) -> Target {
    let plain = |name: &'static str| name.strip_prefix("has_").unwrap_or(name);
    Target { triple: isa.triple().to_string(), features: features(isa).into_iter().map(plain).collect() }
}
