//! Everything besides the module that affects code: what tells whose code it is, and where it can run.
//!
//! In: settings, as values or as the text that files contain. Out: that text, keys, and reasons why code cannot be used.
//! Never: a compiler. A program that only runs code has settings as well.

use crate::{FuelCosts, MemoryAccess, Tunables};
use belljar_core::OutsideText;
use belljar_module::WasmFeatures;
use std::fmt::Write;
use std::sync::Arc;

/// Identifies a build of a tier.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TierOrigin {
    /// The tier's name and version.
    pub name: &'static str,
    /// A digest of the tier's sources, which tells its builds apart.
    pub fingerprint: [u8; 32],
}

/// The machine that code is for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Target {
    /// Its triple.
    pub triple: String,
    /// The processor features that the code needs.
    pub features: Vec<&'static str>,
}

/// Everything besides the module that affects code.
#[derive(Clone, Debug)]
pub struct CodeSettings {
    /// The features that modules may use.
    pub features: WasmFeatures,
    /// Options that affect the code.
    pub tunables: Tunables,
    /// What the code pays in fuel, if it counts fuel.
    pub fuel_costs: FuelCosts,
    /// The version that code must have been made for to be used; `None` to accept any.
    pub version: Option<Arc<str>>,
    /// The tier that generates the code.
    pub origin: TierOrigin,
    /// The machine that the code is for.
    pub target: Target,
    /// The features of this machine's processor that code may need.
    pub host_features: Vec<&'static str>,
}

/// The setting whose value is a set: code for fewer processor features runs where more are available.
const PROCESSOR: &str = "processor";

/// The setting that may be ignored.
const VERSION: &str = "version";

impl CodeSettings {
    /// Returns everything besides the module that affects code, as lines `name = value`.
    pub fn to_text(&self) -> String {
        let Self { features, tunables, fuel_costs, version, origin, target, host_features: _ } = self;
        let Tunables {
            memory_access,
            consume_fuel,
            epoch_interruption,
            inlining,
            opt_level,
            regalloc,
            canonical_nans,
            deterministic_relaxed_simd,
            branch_hints,
            huge_functions,
        } = *tunables;
        let sources = [belljar_module::FINGERPRINT, crate::FINGERPRINT, origin.fingerprint];
        let features: Vec<_> = features.iter_names().map(|(name, _)| name.to_lowercase()).collect();
        let bit = |on| String::from(if on { "yes" } else { "no" });
        // A version is the embedder's text, and must stay one line.
        let version = version.as_deref().map_or_else(|| "none".into(), |version| format!("{version:?}"));
        let lines = [
            (VERSION, version),
            ("compiler", origin.name.into()),
            ("sources", sources.map(|digest| blake3::Hash::from(digest).to_hex()[..16].to_owned()).join(" ")),
            ("target", target.triple.clone()),
            (PROCESSOR, target.features.join(" ")),
            ("wasm", features.join(" ")),
            (
                "memory",
                String::from(match memory_access {
                    MemoryAccess::Reserved => "reserved",
                    MemoryAccess::Checked => "checked",
                }),
            ),
            ("fuel", if consume_fuel { fuel_costs.describe() } else { bit(false) }),
            ("epochs", bit(epoch_interruption)),
            ("inlining", inlining.name().into()),
            ("optimization", opt_level.name().into()),
            ("register allocation", regalloc.name().into()),
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
        let settings = self.to_text();
        hasher.update(&(settings.len() as u64).to_le_bytes()).update(settings.as_bytes());
        // For a small module, starting threads takes longer than they save.
        match wasm.len() < PARALLEL_HASHING {
            true => hasher.update(wasm),
            false => belljar_parallel::run(|| hasher.update_rayon(wasm)),
        };
        hasher.finalize().into()
    }

    /// Returns the first setting that differs, as the reason why code compiled with other settings cannot replace code
    /// with these.
    pub fn refuses(&self, settings: &str) -> Option<String> {
        let ours = self.to_text();
        for line in ours.lines() {
            let (name, here) = line.split_once(" = ")?;
            let there = value(name, settings).unwrap_or_default();
            if name == VERSION && self.version.is_none() {
                continue;
            }
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
        let has = &self.host_features;
        let needed = value(PROCESSOR, settings).unwrap_or_default();
        let lacks: Vec<_> = needed.split_whitespace().filter(|feature| !has.contains(feature)).collect();
        (!lacks.is_empty()).then(|| {
            let lacks = lacks.join(", ");
            format!("it needs a processor with {lacks}, which this one lacks")
        })
    }
}

/// Returns the value of a setting.
fn value<'a>(name: &str, settings: &'a str) -> Option<&'a str> {
    settings.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(" = "))
}

/// From this size on, hashing on several threads is faster.
const PARALLEL_HASHING: usize = 1 << 20;
