//! What there is to tell about a module, in the shape in which it is printed as JSON.
//!
//! Offsets and sizes are bytes of the file; addresses are bytes of a memory.

use belljar::UnsupportedProposals;
use serde::Serialize;
use std::collections::BTreeMap;

/// Everything that could be read.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Description {
    pub(super) file: String,
    pub(super) size: u64,
    pub(super) kind: Kind,
    /// The name that the name section gives it.
    pub(super) name: Option<String>,
    /// Why reading stopped, or what was skipped, if not all is well.
    pub(super) error: Option<Problem>,
    pub(super) sections: Vec<Section>,
    pub(super) imports: Vec<Import>,
    pub(super) exports: Vec<Export>,
    pub(super) functions: Functions,
    pub(super) memories: Vec<Memory>,
    pub(super) layout: Option<Layout>,
    pub(super) data: Vec<DataSegment>,
    pub(super) tables: Vec<Table>,
    pub(super) globals: usize,
    pub(super) element_segments: usize,
    pub(super) features: Vec<UsedFeature>,
    /// By field: `language`, `processed-by`, `sdk`; each with its names and versions.
    pub(super) producers: BTreeMap<String, Vec<Producer>>,
    /// What the compiler wrote into `target_features`.
    pub(super) target_features: Vec<String>,
    pub(super) debug: Debug,
}

impl Description {
    /// Adds proposals that could not be read.
    pub(super) fn add_unsupported(&mut self, proposals: Option<&UnsupportedProposals>) {
        for name in proposals.into_iter().flat_map(UnsupportedProposals::names) {
            if self.features.iter().all(|feature| feature.name != *name) {
                self.features.push(UsedFeature { name, supported: false });
            }
        }
    }
}

/// What the bytes are.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Kind {
    /// Nothing that starts like wasm.
    #[default]
    Unknown,
    Module,
    Component,
}

#[derive(Clone, Debug, Serialize)]
pub(super) struct Problem {
    pub(super) offset: u64,
    pub(super) message: String,
}

#[derive(Clone, Debug, Serialize)]
pub(super) struct Section {
    pub(super) name: String,
    pub(super) offset: u64,
    pub(super) size: u64,
    /// Entries, where it is a list.
    pub(super) count: Option<u32>,
}

#[derive(Clone, Debug, Serialize)]
pub(super) struct Import {
    pub(super) module: String,
    pub(super) name: String,
    #[serde(rename = "type")]
    pub(super) ty: String,
}

#[derive(Clone, Debug, Serialize)]
pub(super) struct Export {
    pub(super) name: String,
    #[serde(rename = "type")]
    pub(super) ty: String,
    pub(super) index: u32,
}

#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Functions {
    pub(super) imported: usize,
    pub(super) defined: usize,
    /// Index of the start function.
    pub(super) start: Option<u32>,
    pub(super) largest_body: u64,
}

#[derive(Clone, Debug, Serialize)]
pub(super) struct Memory {
    #[serde(rename = "type")]
    pub(super) ty: String,
    pub(super) minimum_bytes: u64,
    pub(super) maximum_bytes: Option<u64>,
    /// `module::name`, if it is imported.
    pub(super) imported: Option<String>,
    pub(super) exported: Vec<String>,
}

#[derive(Clone, Debug, Serialize)]
pub(super) struct Table {
    #[serde(rename = "type")]
    pub(super) ty: String,
    pub(super) imported: Option<String>,
    pub(super) exported: Vec<String>,
}

#[derive(Clone, Debug, Serialize)]
pub(super) struct DataSegment {
    /// The memory that it goes to; of a passive one, where code copies all of it to one constant address.
    pub(super) memory: Option<u32>,
    /// Where it goes, if that is one constant.
    pub(super) address: Option<u64>,
    pub(super) passive: bool,
    pub(super) size: u64,
}

/// How the first memory is divided, as far as the linker left traces of it.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Layout {
    pub(super) symbols: Vec<Symbol>,
    pub(super) regions: Vec<Region>,
}

/// A global of the linker's that holds an address.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Symbol {
    pub(super) name: String,
    pub(super) address: u64,
    /// Whether nothing names it and only its place and type suggest what it is.
    pub(super) guessed: bool,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub(super) struct Region {
    pub(super) what: &'static str,
    pub(super) start: u64,
    /// `None` for the rest of the memory.
    pub(super) end: Option<u64>,
}

#[derive(Clone, Debug, Serialize)]
pub(super) struct UsedFeature {
    pub(super) name: &'static str,
    pub(super) supported: bool,
}

#[derive(Clone, Debug, Serialize)]
pub(super) struct Producer {
    pub(super) name: String,
    pub(super) version: String,
}

/// What is there for backtraces and debuggers.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Debug {
    /// Functions that the name section names; `None` without such a section.
    pub(super) named_functions: Option<usize>,
    /// Sizes of the DWARF sections.
    pub(super) dwarf: BTreeMap<String, u64>,
    /// Where DWARF or a source map is kept instead.
    pub(super) external: Option<String>,
}
