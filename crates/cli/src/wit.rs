//! `belljar wit`: shows the world of a component, or of a core module made for one, as WIT.

use crate::binary::description::Description;
use crate::binary::reader;
use crate::contained::contained;
use crate::exit_code::ExitCode;
use crate::failure::{Failure, WithExitCode};
use crate::module_file::ModuleFile;
use crate::output::{complain, print};
use belljar::error::Context;
use belljar::{Config, Engine, Error, OutsideText, Result, bail, ensure};
use clap::Args;
use std::fmt::Display;
use std::path::PathBuf;
use wasmparser::{Parser, Payload, Validator, WasmFeatures};
use wit_component::WitPrinter;
use wit_component::metadata::Bindgen;
use wit_parser::decoding::decode;
use wit_parser::{PackageId, Resolve};

const EXAMPLES: &str = "\
Examples:
  belljar wit tool.wasm
  belljar wit tool.wasm > tool.wit       to generate bindings from

Exit codes: 0, or 65 if the file is no component, 66 if it cannot be read.";

const INEXPRESSIBLE: &str = "what it imports and exports cannot be written as WIT";

/// What imports and exports can be in WIT.
const IN_WIT: [&str; 3] = ["func", "instance", "type"];

/// The custom sections in which tools keep the world of a core module begin so.
const WORLD_SECTION: &str = "component-type";

/// Show the imports and exports of a component as WIT
///
/// The file can also be a package of WIT in binary format, or a core module of which a component is to be made. All
/// packages are shown that the world refers to.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct WitOptions {
    /// The component, in binary (.wasm) or text format (.wat)
    #[arg(value_hint = clap::ValueHint::FilePath)]
    file: PathBuf,
}

impl WitOptions {
    /// Prints the WIT. Returns the exit code.
    ///
    /// # Errors
    ///
    /// Returns an error if the file cannot be read, or has no WIT.
    pub(crate) fn execute(&self) -> Result<u8, Failure> {
        let file = ModuleFile::read(&self.file)?.into_binary()?;
        if file.artifact().is_some() {
            return Err(file.refuse_artifact(Error::msg("a compiled module has no WIT: give the component")));
        }
        let bytes = file.bytes();
        if !Parser::is_component(bytes) && !Parser::is_core_wasm(bytes) {
            // The same message as in the other subcommands.
            file.validate(&Engine::new(&Config::new()).with_exit_code(ExitCode::CannotStart)?)?;
        }
        let wit = Wit::read(bytes).map_err(|error| file.refuse(error))?;
        print(&wit.with_packages().map_err(|error| file.refuse(error))?)?;
        let Description { imports, exports, .. } = reader::describe(bytes);
        let items = imports.iter().map(|import| ("import", &import.name, &import.ty));
        for (what, name, ty) in items.chain(exports.iter().map(|export| ("export", &export.name, &export.ty)))
        {
            if Parser::is_component(bytes) && !IN_WIT.contains(&&**ty) {
                complain(&format!(
                    "note: WIT cannot say that the {what} {} is a {ty}",
                    OutsideText::new(name)
                ));
            }
        }
        Ok(ExitCode::Success as u8)
    }
}

/// What a file says in WIT.
pub(crate) struct Wit {
    resolve: Resolve,
    package: PackageId,
}

impl Wit {
    /// Reads it from a component, a binary package of WIT, or a core module with a section for its world.
    ///
    /// # Errors
    ///
    /// Returns an error if the file is invalid or none of these, or has a world that WIT has no words for.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self> {
        // wit-parser 0.263.0 panics on some valid components whose names WIT cannot express.
        contained(|| Self::decode(bytes)).unwrap_or_else(|| bail!("{INEXPRESSIBLE}"))
    }

    fn decode(bytes: &[u8]) -> Result<Self> {
        if Parser::is_component(bytes) {
            let valid = Validator::new_with_features(WasmFeatures::all()).validate_all(bytes);
            valid.map_err(escaped).context("it is not a valid component")?;
            let decoded = decode(bytes).map_err(escaped).context(INEXPRESSIBLE)?;
            let package = decoded.package();
            return Ok(Self { resolve: decoded.resolve().clone(), package });
        }
        ensure!(
            has_world(bytes),
            "it is a core module without WIT, which components have: `belljar inspect` shows its imports and exports"
        );
        let metadata = wit_component::metadata::decode(bytes).map_err(escaped);
        let (_, Bindgen { resolve, world, .. }) = metadata.context("its WIT cannot be read")?;
        let package = resolve.worlds[world].package.context("its world belongs to no package")?;
        Ok(Self { resolve, package })
    }

    /// Returns the package of the world as text.
    ///
    /// # Errors
    ///
    /// Returns an error if WIT has no words for something.
    pub(crate) fn text(&self) -> Result<String> {
        self.print(&[])
    }

    /// Returns all packages as text.
    ///
    /// # Errors
    ///
    /// Returns an error if WIT has no words for something.
    fn with_packages(&self) -> Result<String> {
        let others = self.resolve.packages.iter().map(|(id, _)| id).filter(|id| *id != self.package);
        self.print(&others.collect::<Vec<_>>())
    }

    fn print(&self, packages: &[PackageId]) -> Result<String> {
        let printed = contained(|| {
            let mut printer = WitPrinter::default();
            let result = printer.print(&self.resolve, self.package, packages);
            result.map(|()| printer.output.to_string()).map_err(escaped).context(INEXPRESSIBLE)
        });
        // Names are letters and digits, but comments can be anything.
        let text = printed.unwrap_or_else(|| bail!("{INEXPRESSIBLE}"))?;
        Ok(text.lines().flat_map(|line| [OutsideText::new(line).to_string(), "\n".into()]).collect())
    }
}

/// Returns an error without the control characters that the names in it can have.
fn escaped(error: impl Display) -> Error {
    Error::msg(OutsideText::new(&format!("{error:#}")).to_string())
}

/// Returns whether a core module has a section for its world.
fn has_world(bytes: &[u8]) -> bool {
    let payloads = Parser::new(0).parse_all(bytes).map_while(Result::ok);
    payloads.into_iter().any(
        |payload| matches!(payload, Payload::CustomSection(section) if section.name().starts_with(WORLD_SECTION)),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use wit_component::{StringEncoding, embed_component_metadata, encode};

    const WIT: &str = "package my:pkg@1.0.0;

/// Numbers.
interface store {
  resource entry {
    constructor(name: string);
    value: func() -> option<u32>;
  }
  flags access { read, write-all }
}

world tool {
  import store;
  export run: func(args: list<string>) -> result<_, string>;
}
";

    fn resolved() -> (Resolve, PackageId) {
        let mut resolve = Resolve::default();
        let package = resolve.push_str("a.wit", WIT).unwrap();
        (resolve, package)
    }

    #[test]
    fn a_binary_package_is_shown_with_its_comments_escaped() {
        let (mut resolve, package) = resolved();
        let (_, interface) = resolve.interfaces.iter_mut().next().unwrap();
        interface.docs.contents = Some("Numbers\u{1b}[2J.".into());
        let text = Wit::read(&encode(&resolve, package, false).unwrap()).unwrap().with_packages().unwrap();
        assert!(
            text.starts_with("package my:pkg@1.0.0;\n\n/// Numbers\\u{1b}[2J.\ninterface store {\n"),
            "{text}"
        );
        assert!(text.contains("    constructor(name: string);\n"), "{text}");
        assert!(text.contains("  export run: func(args: list<string>) -> result<_, string>;\n"), "{text}");
    }

    #[test]
    fn a_core_module_that_was_made_for_a_world_shows_it() {
        let (resolve, package) = resolved();
        let world = resolve.select_world(&[package], Some("tool")).unwrap();
        let mut module = b"\0asm\x01\0\0\0".to_vec();
        embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8, false).unwrap();
        let text = Wit::read(&module).unwrap().with_packages().unwrap();
        assert!(text.contains("  import my:pkg/store@1.0.0;\n"), "{text}");
        assert!(text.contains("  export run: func(args: list<string>) -> result<_, string>;\n"), "{text}");
        assert!(text.contains("    flags access {\n"), "{text}");
        module.truncate(module.len() - 1);
        assert!(Wit::read(&module).is_err());
    }
}
