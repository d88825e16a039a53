//! Conditions of conditional compilation in the sources that are read, and whether they hold.
//!
//! The interface that counts is the one on 64-bit Linux and x86-64, with all features except those that replace a part
//! of the engine (`custom-…`).

use syn::punctuated::Punctuated;
use syn::{Attribute, Expr, Lit, Meta, Token};

/// A condition of conditional compilation.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Cfg {
    All(Vec<Cfg>),
    Any(Vec<Cfg>),
    Not(Box<Cfg>),
    /// `unix`, `test`
    Flag(String),
    /// `feature = "gc"`
    Pair(String, String),
}

/// Flags that hold. Wasmtime's build script sets `has_…` according to the target.
const FLAGS: &[&str] =
    &["unix", "debug_assertions", "has_virtual_memory", "has_native_signals", "has_host_compiler_backend"];

/// Pairs that hold.
const PAIRS: &[(&str, &str)] = &[
    ("target_os", "linux"),
    ("target_family", "unix"),
    ("target_arch", "x86_64"),
    ("target_pointer_width", "64"),
    ("target_endian", "little"),
    ("panic", "unwind"),
];

impl Cfg {
    /// Reads a condition. One that is not understood does not hold.
    pub(crate) fn new(meta: &Meta) -> Self {
        let name = meta.path().get_ident().map(ToString::to_string).unwrap_or_default();
        let unknown = || Self::Flag(String::new());
        match meta {
            Meta::Path(_) => Self::Flag(name),
            Meta::NameValue(pair) => match &pair.value {
                Expr::Lit(syn::ExprLit { lit: Lit::Str(value), .. }) => Self::Pair(name, value.value()),
                _ => unknown(),
            },
            Meta::List(list) => {
                let parts = list.parse_args_with(Punctuated::<Meta, Token![,]>::parse_terminated);
                let mut parts: Vec<Self> = parts.unwrap_or_default().iter().map(Self::new).collect();
                match name.as_str() {
                    "all" => Self::All(parts),
                    "any" => Self::Any(parts),
                    "not" if parts.len() == 1 => Self::Not(Box::new(parts.remove(0))),
                    _ => unknown(),
                }
            }
        }
    }

    /// Returns the conditions of an item's attributes.
    pub(crate) fn of(attributes: &[Attribute]) -> Vec<Self> {
        let cfgs = attributes.iter().filter(|attribute| attribute.path().is_ident("cfg"));
        cfgs.filter_map(|attribute| attribute.parse_args::<Meta>().ok())
            .map(|meta| Self::new(&meta))
            .collect()
    }

    /// Returns whether the condition holds when the features `without` are disabled.
    fn holds(&self, without: &[&str]) -> bool {
        match self {
            Self::All(parts) => parts.iter().all(|part| part.holds(without)),
            Self::Any(parts) => parts.iter().any(|part| part.holds(without)),
            Self::Not(part) => !part.holds(without),
            Self::Flag(name) => FLAGS.contains(&name.as_str()),
            Self::Pair(name, value) => match name.as_str() {
                "feature" => !value.starts_with("custom-") && !without.contains(&value.as_str()),
                "target_has_atomic" => true,
                _ => PAIRS.contains(&(name, value)),
            },
        }
    }
}

/// Returns whether all conditions hold when the features `without` are disabled.
pub(crate) fn hold(cfgs: &[Cfg], without: &[&str]) -> bool {
    cfgs.iter().all(|cfg| cfg.holds(without))
}
