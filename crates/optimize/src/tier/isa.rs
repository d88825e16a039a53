//! The target machine and the code generation settings.

use crate::tier::tuning::{LINEAR_TIME, LIVE_RANGE_NANOS, SPEED_TIME};
use crate::{HOST_TARGET, host_features};
use belljar_compile::{CompileError, RegallocAlgorithm, Target};
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
];

/// Instruction sets without which Cranelift calls library functions that do not exist here.
const REQUIRED: &[&str] = &["has_sse3", "has_ssse3", "has_sse41"];

/// How much a function is optimized. This affects only speed: frames, calling convention and tables are the same.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum OptLevel {
    /// As the engine is configured.
    Configured(belljar_compile::OptLevel, RegallocAlgorithm),
    /// Only passes that take time linear in the function's size: no middle end, and single-pass register allocation.
    LinearTime,
}

impl OptLevel {
    /// The default: the middle end runs, and registers are allocated with backtracking.
    pub(crate) const SPEED: Self =
        Self::Configured(belljar_compile::OptLevel::Speed, RegallocAlgorithm::Backtracking);

    /// Returns whether the middle end runs.
    pub(crate) fn has_middle_end(self) -> bool {
        !matches!(self, Self::LinearTime | Self::Configured(belljar_compile::OptLevel::None, _))
    }

    /// Returns whether registers are allocated with backtracking.
    pub(crate) fn backtracks(self) -> bool {
        matches!(self, Self::Configured(_, RegallocAlgorithm::Backtracking))
    }

    /// Returns the least CPU time from CLIF on for a function of this many instructions, values and operands.
    pub(crate) fn min_time(self, written_out: u64) -> Duration {
        let each = if self.has_middle_end() && self.backtracks() { SPEED_TIME } else { LINEAR_TIME };
        each.saturating_mul(u32::try_from(written_out).unwrap_or(u32::MAX))
    }

    /// Returns the least CPU time of register allocation for this sum of live ranges.
    pub(crate) fn min_allocation_time(self, live_ranges: u64) -> Duration {
        match self.backtracks() {
            true => Duration::from_nanos(live_ranges.saturating_mul(LIVE_RANGE_NANOS)),
            false => Duration::ZERO,
        }
    }

    fn flags(self) -> [(&'static str, &'static str); 2] {
        let level = match self {
            Self::Configured(belljar_compile::OptLevel::Speed, _) => "speed",
            Self::Configured(belljar_compile::OptLevel::SpeedAndSize, _) => "speed_and_size",
            // New levels are named in `index`, which does not compile without them.
            _ => "none",
        };
        let regalloc = if self.backtracks() { "backtracking" } else { "single_pass" };
        [("opt_level", level), ("regalloc_algorithm", regalloc)]
    }

    /// Returns the position among all levels, of which there are [`LEVELS`].
    fn index(self) -> usize {
        use belljar_compile::OptLevel::{Speed, SpeedAndSize};
        let Self::Configured(level, _) = self else { return 0 };
        let level = match level {
            Speed => 2,
            SpeedAndSize => 3,
            _ => 1,
        };
        2 * level + usize::from(self.backtracks())
    }
}

/// The number of values of [`OptLevel::index`].
const LEVELS: usize = 8;

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
    /// Whether Cranelift checks its own work.
    verifies: bool,
    plain: OwnedTargetIsa,
    /// The others, by optimization level. Most engines need few: each is created when it is first needed.
    others: [[OnceLock<Option<OwnedTargetIsa>>; LEVELS]; 2],
}

impl Isas {
    pub(crate) fn for_host() -> Result<Self, CompileError> {
        Self::new(None)
    }

    pub(crate) fn for_processor(name: &str) -> Result<Self, CompileError> {
        Self::new(Some(name.into()))
    }

    fn new(processor: Option<String>) -> Result<Self, CompileError> {
        let verifies = cfg!(debug_assertions);
        let plain = machine(processor.as_deref(), verifies, false, OptLevel::SPEED)?;
        Ok(Self { processor, host: None, verifies, plain, others: Default::default() })
    }

    /// Makes Cranelift check its own work, or not.
    pub(crate) fn verify(&mut self, verifies: bool) -> Result<(), CompileError> {
        let mut other = Self::new(self.processor.take())?;
        other.plain = machine(other.processor.as_deref(), verifies, false, OptLevel::SPEED)?;
        *self = Self { host: self.host.take(), verifies, ..other };
        Ok(())
    }

    /// Returns the host's processor features.
    pub(crate) fn host_features(&self) -> Vec<&'static str> {
        let mut features = host_features();
        if let Some(host) = &self.host {
            let assumed = machine(Some(host), false, false, OptLevel::SPEED);
            let assumed = assumed.map_or_else(|_| Vec::new(), |isa| target(&*isa).features);
            features.retain(|feature| assumed.contains(feature));
        }
        features
    }

    /// Assumes that the host is a processor of this name. The host's features that it lacks are not used; it adds none.
    pub(crate) fn assume_host(&mut self, name: &str) {
        self.host = Some(name.into());
    }

    pub(crate) fn get(&self, canonical_nans: bool, opt_level: OptLevel) -> &dyn TargetIsa {
        if !canonical_nans && opt_level == OptLevel::SPEED {
            return &*self.plain;
        }
        let slot = &self.others[usize::from(canonical_nans)][opt_level.index()];
        let create = || machine(self.processor.as_deref(), self.verifies, canonical_nans, opt_level).ok();
        // All are for the same processor, so that none fails where `plain` did not.
        slot.get_or_init(create).as_deref().unwrap_or(&*self.plain)
    }
}

fn machine(
    processor: Option<&str>,
    verifies: bool,
    canonical_nans: bool,
    opt_level: OptLevel,
) -> Result<OwnedTargetIsa, CompileError> {
    let unsupported = |why: String| {
        CompileError::Unsupported(format!("the optimizing tier cannot compile for this machine: {why}"))
    };
    let mut flags = settings::builder();
    let bit = |on| if on { "true" } else { "false" };
    let chosen = [("enable_nan_canonicalization", bit(canonical_nans)), ("enable_verifier", bit(verifies))];
    for (name, value) in FLAGS.iter().chain(&opt_level.flags()).chain(&chosen) {
        flags.set(name, value).map_err(|e| unsupported(format!("setting {name}: {e}")))?;
    }
    let builder = match processor {
        None => for_host()?,
        Some(name) => by_name(name)?,
    };
    let isa = builder.finish(settings::Flags::new(flags)).map_err(|e| unsupported(e.to_string()))?;
    check_level(&*isa).map_err(unsupported)?;
    Ok(isa)
}

/// Creates a builder for the host's architecture without features.
fn plain() -> Result<isa::Builder, CompileError> {
    isa::lookup_by_name(HOST_TARGET)
        .map_err(|e| CompileError::Unsupported(format!("cannot compile for this machine: {e}")))
}

/// Creates a builder for the host's architecture with the features of the host's processor.
fn for_host() -> Result<isa::Builder, CompileError> {
    let mut builder = plain()?;
    for feature in host_features() {
        let enabled = builder.enable(&format!("has_{feature}"));
        enabled.map_err(|e| CompileError::Unsupported(format!("processor feature {feature}: {e}")))?;
    }
    Ok(builder)
}

/// Creates a builder for the host's architecture with the features of a named processor.
fn by_name(name: &str) -> Result<isa::Builder, CompileError> {
    let unknown = || {
        CompileError::Unsupported(format!(
            "unknown processor `{name}`: expected x86-64, x86-64-v2, x86-64-v3, x86-64-v4, or a model name that compilers use, \
             such as haswell, skylake or znver4"
        ))
    };
    let mut builder = plain()?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_has_the_features_that_cranelift_detects() {
        let flags = settings::Flags::new(settings::builder());
        let detected = cranelift_native::builder().unwrap().finish(flags).unwrap();
        let ours = machine(None, false, false, OptLevel::SPEED).unwrap();
        assert_eq!(target(&*ours), target(&*detected));
    }
}
