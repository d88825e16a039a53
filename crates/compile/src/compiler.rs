//! A compiler with all its settings: everything besides the module that affects code, in one value.

use crate::{
    Budget, BuildObserver, CompileError, CompileLimit, CompileStage, FunctionCost, MemoryAccess, ModulePlan,
    Tier, Tunables,
};
use belljar_abi::ImageWriter;
use belljar_core::{DefinedFuncIndex, OutsideText};
use belljar_module::{Module, ModuleError, WasmFeatures};
use bytes::Bytes;
use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

/// A compiler with all its settings.
///
/// The output of [`Compiler::build`] depends on the module and on this value alone, and [`Compiler::settings`]
/// describes all of this value. Two builds with equal settings and modules therefore produce the same code, and
/// [`Compiler::key`] identifies it.
#[derive(Clone)]
pub struct Compiler {
    /// The features that modules may use.
    pub features: WasmFeatures,
    /// Options that affect the code.
    pub tunables: Tunables,
    /// The tier that generates the code.
    pub tier: Arc<dyn Tier>,
}

/// The reason why a module was not built.
#[derive(Debug)]
pub enum BuildError {
    /// The module is invalid.
    Module(ModuleError),
    /// The module could not be compiled.
    Compile(CompileError),
}

impl From<CompileError> for BuildError {
    fn from(error: CompileError) -> Self {
        Self::Compile(error)
    }
}

/// The setting whose value is a set: code for fewer processor features runs where more are available.
const PROCESSOR: &str = "processor";

impl Compiler {
    /// Returns everything besides the module that affects code, as lines `name = value`.
    pub fn settings(&self) -> String {
        let Self { features, tunables, tier } = self;
        let Tunables {
            memory_access,
            consume_fuel,
            epoch_interruption,
            inlining,
            canonical_nans,
            deterministic_relaxed_simd,
            branch_hints,
            huge_functions,
        } = *tunables;
        let target = tier.target();
        let sources = [belljar_module::FINGERPRINT, crate::FINGERPRINT, tier.fingerprint()];
        let features: Vec<_> = features.iter_names().map(|(name, _)| name.to_lowercase()).collect();
        let bit = |on| String::from(if on { "yes" } else { "no" });
        let lines = [
            ("compiler", tier.name().into()),
            ("sources", sources.map(|digest| blake3::Hash::from(digest).to_hex()[..16].to_owned()).join(" ")),
            ("target", target.triple),
            (PROCESSOR, target.features.join(" ")),
            ("wasm", features.join(" ")),
            (
                "memory",
                String::from(match memory_access {
                    MemoryAccess::Reserved => "reserved",
                    MemoryAccess::Checked => "checked",
                }),
            ),
            ("fuel", bit(consume_fuel)),
            ("epochs", bit(epoch_interruption)),
            ("inlining", bit(inlining)),
            ("canonical NaNs", bit(canonical_nans)),
            ("deterministic relaxed SIMD", bit(deterministic_relaxed_simd)),
            ("branch hints", bit(branch_hints)),
            ("all as huge functions", bit(huge_functions)),
        ];
        let mut text = String::new();
        for (name, value) in lines {
            writeln!(text, "{name} = {value}").expect("writing to a string cannot fail");
        }
        text
    }

    /// Returns a key that identifies the code of a binary: a digest of the binary and of all settings (BLAKE3).
    pub fn key(&self, wasm: &[u8]) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new_derive_key("belljar 2026-11 key of a compiled module");
        let settings = self.settings();
        hasher.update(&(settings.len() as u64).to_le_bytes()).update(settings.as_bytes());
        // For a small module, starting threads takes longer than they save.
        match wasm.len() < PARALLEL_HASHING {
            true => hasher.update(wasm),
            false => belljar_parallel::run(|| hasher.update_rayon(wasm)),
        };
        hasher.finalize().into()
    }

    /// Returns the first setting that differs, as the reason why code compiled with other settings cannot replace this
    /// compiler's.
    pub fn refuses(&self, settings: &str) -> Option<String> {
        let ours = self.settings();
        for line in ours.lines() {
            let (name, here) = line.split_once(" = ")?;
            let there = value(name, settings).unwrap_or_default();
            if name == PROCESSOR {
                let missing: Vec<_> =
                    there.split(' ').filter(|f| !here.split(' ').any(|has| has == *f)).collect();
                if !missing.is_empty() {
                    return Some(format!(
                        "it needs a processor with {}, which this one lacks",
                        OutsideText::new(&missing.join(", "))
                    ));
                }
            } else if here != there {
                let there = OutsideText::new(&there);
                return Some(format!(
                    "it was made with `{name} = {there}`, and this engine has `{name} = {here}`"
                ));
            }
        }
        (ours.lines().count() != settings.lines().count())
            .then(|| "it was made with settings that this release does not know".into())
    }

    /// Returns what this machine's processor lacks to run code that was compiled with these settings.
    pub fn lacking(&self, settings: &str) -> Option<String> {
        let has = self.tier.host_features();
        let needed = value(PROCESSOR, settings).unwrap_or_default();
        let lacks: Vec<_> = needed.split_whitespace().filter(|feature| !has.contains(feature)).collect();
        (!lacks.is_empty()).then(|| {
            let lacks = lacks.join(", ");
            format!("it needs a processor with {lacks}, which this one lacks")
        })
    }

    /// Validates and compiles a binary. Returns the module and the image of its code. The observer is notified of
    /// progress and has no influence on the result.
    ///
    /// # Errors
    ///
    /// Returns an error if the binary is invalid, exceeds what the compiler supports, or exceeds the budget.
    pub fn build(
        &self,
        wasm: Bytes,
        observer: &dyn BuildObserver,
        budget: &Budget,
    ) -> Result<(Module, Vec<u8>), BuildError> {
        observer.begin(CompileStage::Validation, 0);
        budget.check(CompileLimit::ModuleSize, wasm.len() as u64, None)?;
        let module = belljar_module::validate_until_stopped(wasm, self.features, budget);
        // Validation does not know why the budget stopped it.
        let module =
            module.map_err(|error| budget.end().map_or(BuildError::Module(error), BuildError::Compile))?;
        let image = self.code(&module, observer, budget)?;
        Ok((module, image))
    }

    /// Compiles a module that was validated with these features and whose code is present.
    ///
    /// # Errors
    ///
    /// Returns an error if the module exceeds what the compiler supports, or exceeds the budget.
    fn code(
        &self,
        module: &Module,
        observer: &dyn BuildObserver,
        budget: &Budget,
    ) -> Result<Vec<u8>, CompileError> {
        check_sizes(module, budget)?;
        let plan = ModulePlan::new(module, self.tunables);
        let artifact = crate::compile(&plan, &*self.tier, observer, budget)?;
        let image = ImageWriter::new(&artifact, &self.settings()).finish();
        observer.begin(CompileStage::Finished, crate::link::code_bytes(module));
        Ok(image)
    }
}

/// Checks the number of functions and the size of the largest.
fn check_sizes(module: &Module, budget: &Budget) -> Result<(), CompileError> {
    budget.check(CompileLimit::Functions, module.defined_funcs() as u64, None)?;
    let size = |func: DefinedFuncIndex| module.body(func).len() as u64;
    let largest = (0..module.defined_funcs()).map(DefinedFuncIndex::new).max_by_key(|func| size(*func));
    let Some(func) = largest else { return Ok(()) };
    let (index, bytes) = (module.func_index(func), size(func));
    let cost = FunctionCost { index, bytes, written_out: 0, cpu: Duration::ZERO };
    budget.check(CompileLimit::FunctionSize, bytes, Some(cost))
}

/// Returns the value of a setting.
fn value<'a>(name: &str, settings: &'a str) -> Option<&'a str> {
    settings.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(" = "))
}

/// From this size on, hashing on several threads is faster.
const PARALLEL_HASHING: usize = 1 << 20;
