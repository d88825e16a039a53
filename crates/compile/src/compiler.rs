//! A compiler with all its settings: everything that shapes code besides the module, in one value.

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
/// What [`Compiler::build`] makes depends on the module and on this value alone, and [`Compiler::settings`] tells all of
/// this value: so two builds whose settings and modules are the same give the same code, and [`Compiler::key`] names it.
#[derive(Clone)]
pub struct Compiler {
    /// What modules may use.
    pub features: WasmFeatures,
    /// What shapes the code.
    pub tunables: Tunables,
    /// What makes it.
    pub tier: Arc<dyn Tier>,
}

/// Why a module was not built.
#[derive(Debug)]
pub enum BuildError {
    /// It is not valid.
    Module(ModuleError),
    /// It exceeds what the compiler can hold.
    Compile(CompileError),
}

impl From<CompileError> for BuildError {
    fn from(error: CompileError) -> Self {
        Self::Compile(error)
    }
}

/// The setting whose value is a set: code for fewer processor features runs where there are more.
const PROCESSOR: &str = "processor";

impl Compiler {
    /// All that shapes code besides the module: a line `name = value` each.
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
            writeln!(text, "{name} = {value}").expect("strings take everything");
        }
        text
    }

    /// Names the code that a build of a binary gives: a digest of the binary and of all settings (BLAKE3).
    pub fn key(&self, wasm: &[u8]) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new_derive_key("belljar 2026-11 key of a compiled module");
        let settings = self.settings();
        hasher.update(&(settings.len() as u64).to_le_bytes()).update(settings.as_bytes());
        // Starting threads takes longer than they would save on a small module.
        match wasm.len() < PARALLEL_HASHING {
            true => hasher.update(wasm),
            false => belljar_parallel::run(|| hasher.update_rayon(wasm)),
        };
        hasher.finalize().into()
    }

    /// Why code made with other settings cannot be used in place of this compiler's: the first setting that differs.
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
                        "it needs a processor with {}, which this one has not",
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

    /// What this machine's processor lacks of what code needs that was made with these settings.
    pub fn lacking(&self, settings: &str) -> Option<String> {
        let has = self.tier.host_features();
        let needed = value(PROCESSOR, settings).unwrap_or_default();
        let lacks: Vec<_> = needed.split_whitespace().filter(|feature| !has.contains(feature)).collect();
        (!lacks.is_empty()).then(|| {
            let lacks = lacks.join(", ");
            format!("it needs a processor with {lacks}, which this one has not")
        })
    }

    /// Validates a binary and compiles it: the module, and the image of its code. The observer is told how far it is, and
    /// has no say in what comes out.
    ///
    /// # Errors
    ///
    /// Where the binary is not valid, exceeds what the compiler can hold, or takes more than the budget.
    pub fn build(
        &self,
        wasm: Bytes,
        observer: &dyn BuildObserver,
        budget: &Budget,
    ) -> Result<(Module, Vec<u8>), BuildError> {
        observer.begin(CompileStage::Validation, 0);
        budget.check(CompileLimit::ModuleSize, wasm.len() as u64, None)?;
        let module = belljar_module::validate_until_stopped(wasm, self.features, budget);
        // What validation was ended for, it does not know.
        let module =
            module.map_err(|error| budget.end().map_or(BuildError::Module(error), BuildError::Compile))?;
        let image = self.code(&module, observer, budget)?;
        Ok((module, image))
    }

    /// Compiles a module that was valid with these features and whose code is there.
    ///
    /// # Errors
    ///
    /// Where it exceeds what the compiler can hold, or takes more than the budget.
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

/// Whether there may be so many functions, of such sizes.
fn check_sizes(module: &Module, budget: &Budget) -> Result<(), CompileError> {
    budget.check(CompileLimit::Functions, module.defined_funcs() as u64, None)?;
    let size = |func: DefinedFuncIndex| module.body(func).len() as u64;
    let largest = (0..module.defined_funcs()).map(DefinedFuncIndex::new).max_by_key(|func| size(*func));
    let Some(func) = largest else { return Ok(()) };
    let (index, bytes) = (module.func_index(func), size(func));
    let cost = FunctionCost { index, bytes, written_out: 0, cpu: Duration::ZERO };
    budget.check(CompileLimit::FunctionSize, bytes, Some(cost))
}

/// The value of a setting.
fn value<'a>(name: &str, settings: &'a str) -> Option<&'a str> {
    settings.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(" = "))
}

/// Bytes from which on several threads hash faster than one.
const PARALLEL_HASHING: usize = 1 << 20;
