//! The description of a module, in the shape in which it is printed as JSON.
//!
//! Offsets and sizes are in bytes of the file, addresses in bytes of a memory.

use belljar::UnsupportedProposals;
use serde::Serialize;
use std::collections::BTreeMap;

/// Everything that could be read from a module.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Description {
    pub(crate) file: String,
    pub(crate) size: u64,
    pub(crate) kind: Kind,
    /// The module's name in the name section.
    pub(crate) name: Option<String>,
    /// Why reading stopped, or what was skipped, if there was a problem.
    pub(crate) error: Option<Problem>,
    pub(crate) sections: Vec<Section>,
    pub(crate) imports: Vec<Import>,
    pub(crate) exports: Vec<Export>,
    /// A component's imports and exports as WIT, if they can be written so.
    pub(crate) wit: Option<String>,
    pub(crate) functions: Functions,
    pub(crate) memories: Vec<Memory>,
    pub(crate) layout: Option<Layout>,
    pub(crate) data: Vec<DataSegment>,
    pub(crate) tables: Vec<Table>,
    pub(crate) globals: usize,
    pub(crate) element_segments: usize,
    pub(crate) features: Vec<UsedFeature>,
    /// The producers by field: `language`, `processed-by`, `sdk`.
    pub(crate) producers: BTreeMap<String, Vec<Producer>>,
    /// The features in the `target_features` section.
    pub(crate) target_features: Vec<String>,
    pub(crate) debug: Debug,
}

impl Description {
    /// Adds proposals that the parser does not support.
    pub(crate) fn add_unsupported(&mut self, proposals: Option<&UnsupportedProposals>) {
        for name in proposals.into_iter().flat_map(UnsupportedProposals::names) {
            if self.features.iter().all(|feature| feature.name != *name) {
                self.features.push(UsedFeature { name, supported: false });
            }
        }
    }
}

/// The kind of binary.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    /// Not a wasm binary.
    #[default]
    Unknown,
    Module,
    Component,
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct Problem {
    pub(crate) offset: u64,
    pub(crate) message: String,
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct Section {
    pub(crate) name: String,
    pub(crate) offset: u64,
    pub(crate) size: u64,
    /// The number of entries, if it is a list.
    pub(crate) count: Option<u32>,
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct Import {
    pub(crate) module: String,
    pub(crate) name: String,
    #[serde(rename = "type")]
    pub(crate) ty: String,
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct Export {
    pub(crate) name: String,
    #[serde(rename = "type")]
    pub(crate) ty: String,
    pub(crate) index: u32,
}

#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Functions {
    pub(crate) imported: usize,
    pub(crate) defined: usize,
    /// The index of the start function.
    pub(crate) start: Option<u32>,
    pub(crate) largest_body: u64,
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct Memory {
    #[serde(rename = "type")]
    pub(crate) ty: String,
    pub(crate) minimum_bytes: u64,
    pub(crate) maximum_bytes: Option<u64>,
    /// `module::name`, if it is imported.
    pub(crate) imported: Option<String>,
    pub(crate) exported: Vec<String>,
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct Table {
    #[serde(rename = "type")]
    pub(crate) ty: String,
    pub(crate) imported: Option<String>,
    pub(crate) exported: Vec<String>,
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct DataSegment {
    /// The memory it is copied to; for a passive segment, if code copies all of it to one constant address.
    pub(crate) memory: Option<u32>,
    /// The address it is copied to, if it is constant.
    pub(crate) address: Option<u64>,
    pub(crate) passive: bool,
    pub(crate) size: u64,
}

/// How the first memory is divided, as far as the linker's traces show.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Layout {
    pub(crate) symbols: Vec<Symbol>,
    pub(crate) regions: Vec<Region>,
}

/// A linker-defined global that holds an address.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Symbol {
    pub(crate) name: String,
    pub(crate) address: u64,
    /// Whether it has no name, so that its meaning was guessed from its position and type.
    pub(crate) guessed: bool,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub(crate) struct Region {
    pub(crate) what: &'static str,
    pub(crate) start: u64,
    /// `None` for the rest of the memory.
    pub(crate) end: Option<u64>,
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct UsedFeature {
    pub(crate) name: &'static str,
    pub(crate) supported: bool,
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct Producer {
    pub(crate) name: String,
    pub(crate) version: String,
}

/// Debugging information.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Debug {
    /// The number of functions named in the name section; `None` without such a section.
    pub(crate) named_functions: Option<usize>,
    /// The sizes of the DWARF sections.
    pub(crate) dwarf: BTreeMap<String, u64>,
    /// Where external DWARF or a source map is stored.
    pub(crate) external: Option<String>,
}
