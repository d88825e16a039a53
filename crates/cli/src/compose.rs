//! `belljar compose`: plugs components together. One component's exports become another one's imports.

use crate::byte_size::ByteSize;
use crate::contained::contained;
use crate::exit_code::ExitCode;
use crate::failure::{Failure, WithExitCode};
use crate::module_file::ModuleFile;
use crate::output::complain;
use crate::output_file::{Readers, cannot_write, check, check_other_than, write};
use belljar::error::Context;
use belljar::{Config, Engine, Error, OutsideText, Result, bail, format_err};
use clap::Args;
use std::path::{Path, PathBuf};
use wac_graph::types::{Package, are_semver_compatible};
use wac_graph::{CompositionGraph, EncodeOptions, PackageId, plug};

const EXAMPLES: &str = "\
Examples:
  belljar compose app.wasm logger.wasm -o whole.wasm       app's imports come from logger, where they fit
  belljar compose app.wasm logger.wasm store.wasm -o whole.wasm
  belljar run whole.wasm

What neither of them exports stays an import of the whole. `belljar wit` shows what a component imports and exports.

Exit codes: 0, or 65 if a file is no component or nothing fits, 66 if one cannot be read, 74 if the whole cannot be \
written.";

/// Plug components together: the exports of some become the imports of another
///
/// The result exports what FILE exports. Names match by the rules of semantic versioning. The components stay
/// separate: none can see the memory of another.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ComposeOptions {
    /// The component whose imports are looked for, in binary (.wasm) or text format (.wat)
    #[arg(value_hint = clap::ValueHint::FilePath)]
    file: PathBuf,

    /// The components that export them
    #[arg(required = true, value_hint = clap::ValueHint::FilePath)]
    plugs: Vec<PathBuf>,

    /// Write the whole to this file
    #[arg(short, long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    output: PathBuf,
}

impl ComposeOptions {
    /// Composes the files. Returns the exit code.
    ///
    /// # Errors
    ///
    /// Returns an error if a file is no component, if nothing fits, or if the output cannot be written.
    pub(crate) fn execute(&self) -> Result<u8, Failure> {
        let all = std::iter::once(&self.file).chain(&self.plugs);
        let files = all.map(|path| component(path)).collect::<Result<Vec<_>, _>>()?;
        for path in std::iter::once(&self.file).chain(&self.plugs) {
            check_other_than(&self.output, path)
                .with_context(|| cannot_write(&self.output))
                .with_exit_code(ExitCode::Unwritable)?;
        }
        check(&self.output)
            .with_context(|| cannot_write(&self.output))
            .with_exit_code(ExitCode::Unwritable)?;
        let whole = contained(|| compose(&files))
            .unwrap_or_else(|| Err(format_err!("the components use something that cannot be composed")));
        let whole = whole
            .with_context(|| format!("could not compose {}", OutsideText::new(&self.file)))
            .with_exit_code(ExitCode::BadModule)?;
        write(&self.output, Readers::Usual, |out| out.write_all(&whole))
            .with_context(|| cannot_write(&self.output))
            .with_exit_code(ExitCode::Unwritable)?;
        let size = ByteSize(whole.len() as u64);
        complain(&format!("wrote {} ({size})", OutsideText::new(&self.output)));
        Ok(ExitCode::Success as u8)
    }
}

fn component(path: &Path) -> Result<ModuleFile, Failure> {
    let file = ModuleFile::read(path)?.into_binary()?;
    if file.artifact().is_some() || file.is_compiled_component() {
        return Err(file.refuse(Error::msg("it is compiled already: give the component itself")));
    }
    if !file.is_component() {
        // The same message as in the other subcommands, if it is invalid.
        file.validate(&Engine::new(&Config::new()).with_exit_code(ExitCode::CannotStart)?)?;
        return Err(file.refuse(Error::msg("it is a core module, and not a component")));
    }
    Ok(file)
}

/// Plugs the other components into the first one.
fn compose(files: &[ModuleFile]) -> Result<Vec<u8>> {
    let mut graph = CompositionGraph::new();
    let mut packages = Vec::new();
    for (index, file) in files.iter().enumerate() {
        // The names of packages only tell them apart.
        let package =
            Package::from_bytes(&format!("belljar:part{index}"), None, file.bytes(), graph.types_mut());
        let cannot = || format!("{} cannot be composed", OutsideText::new(file.path()));
        let package = package.map_err(|error| escaped(&error)).with_context(cannot)?;
        packages.push(graph.register_package(package).map_err(|error| escaped(&error)).with_context(cannot)?);
    }
    let Some((socket, plugs)) = packages.split_first() else { bail!("there is nothing to compose") };
    for (plug, file) in plugs.iter().zip(&files[1..]) {
        if !has_match(&graph, *socket, *plug) {
            bail!(
                "{} exports nothing that it imports: it imports {}, and the other one exports {}",
                OutsideText::new(file.path()),
                names(graph.types()[graph[*socket].ty()].imports.keys()),
                names(graph.types()[graph[*plug].ty()].exports.keys())
            );
        }
    }
    plug(&mut graph, plugs.to_vec(), *socket)
        .map_err(|error| escaped(&error))
        .context("an export has the name of an import, and another type")?;
    graph.encode(EncodeOptions::default()).map_err(|error| escaped(&error))
}

/// Returns whether a component exports something with a name that another one imports.
fn has_match(graph: &CompositionGraph, socket: PackageId, plug: PackageId) -> bool {
    let imports = &graph.types()[graph[socket].ty()].imports;
    let exports = &graph.types()[graph[plug].ty()].exports;
    exports
        .keys()
        .any(|export| imports.keys().any(|import| export == import || are_semver_compatible(export, import)))
}

/// The most names to list.
const MAX_LISTED: usize = 10;

fn names<'a>(all: impl Iterator<Item = &'a String>) -> String {
    let all: Vec<String> = all.map(|name| OutsideText::new(name).to_string()).collect();
    match all.len() {
        0 => "nothing".into(),
        1..=MAX_LISTED => all.join(", "),
        count => format!("{} and {} more", all[..MAX_LISTED].join(", "), count - MAX_LISTED),
    }
}

/// Returns the error of a library, whose text can have names from the components.
fn escaped(error: &(impl std::fmt::Display + ?Sized)) -> Error {
    Error::msg(OutsideText::new(&format!("{error:#}")).to_string())
}
