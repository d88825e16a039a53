//! The definitions of a component in the order of the binary, as a tree: a component contains components.
//!
//! In: a binary. Out: a valid [`Definitions`] tree. Never: bodies of core functions, which are validated when their module
//! is compiled; everything else has been validated.

use belljar_core::{Context, Result, bail};
use std::ops::Range;
use std::rc::Rc;
use wasmparser::{
    CanonicalFunction, ComponentAlias, ComponentExport, ComponentImport, ComponentInstance,
    ComponentStartFunction, ComponentType, CoreType, Encoding, Instance, Parser, Payload, Validator,
    WasmFeatures,
};

/// A definition, which adds an item to one of the component's index spaces.
pub(crate) enum Definition<'a> {
    /// A core module: its bytes.
    CoreModule(Range<usize>),
    CoreInstance(Instance<'a>),
    CoreType(Box<CoreType<'a>>),
    Component(Rc<Definitions<'a>>),
    Instance(ComponentInstance<'a>),
    Alias(ComponentAlias<'a>),
    Type(Rc<ComponentType<'a>>),
    Canonical(CanonicalFunction),
    Start(ComponentStartFunction),
    Import(ComponentImport<'a>),
    Export(ComponentExport<'a>),
}

/// The definitions of a component.
#[derive(Default)]
pub(crate) struct Definitions<'a>(pub(crate) Vec<Definition<'a>>);

/// What the parser is in.
enum Level<'a> {
    Component(Definitions<'a>),
    /// A core module, which the parser goes through too.
    Module,
}

/// Validates a component and returns its definitions.
///
/// # Errors
///
/// Returns an error with a position if the binary is not a valid component.
pub(crate) fn parse(wasm: &[u8], features: WasmFeatures) -> Result<Definitions<'_>> {
    let mut validator = Validator::new_with_features(features);
    let mut levels: Vec<Level<'_>> = Vec::new();
    for payload in Parser::new(0).parse_all(wasm) {
        let payload = payload.context("invalid component")?;
        validator.payload(&payload).context("invalid component")?;
        if let Payload::Version { encoding, .. } = payload {
            levels.push(match encoding {
                Encoding::Component => Level::Component(Definitions::default()),
                Encoding::Module if levels.is_empty() => bail!("this is a core module, and not a component"),
                Encoding::Module => Level::Module,
            });
            continue;
        }
        if let Payload::End(_) = payload {
            let ended = levels.pop();
            match (ended, levels.last_mut()) {
                (Some(Level::Component(root)), None) => return Ok(root),
                (Some(Level::Component(inner)), Some(Level::Component(outer))) => {
                    outer.0.push(Definition::Component(Rc::new(inner)));
                }
                _ => {}
            }
            continue;
        }
        if let Some(Level::Component(component)) = levels.last_mut() {
            component.add(payload).context("invalid component")?;
        }
    }
    bail!("invalid component: it has no end")
}

impl<'a> Definitions<'a> {
    fn add(&mut self, payload: Payload<'a>) -> Result<()> {
        macro_rules! all {
            ($section:expr, $definition:expr) => {
                for item in $section {
                    self.0.push($definition(item?));
                }
            };
        }
        match payload {
            Payload::ModuleSection { unchecked_range: Range { start, end }, .. } => {
                self.0.push(Definition::CoreModule(start as usize..end as usize));
            }
            Payload::InstanceSection(section) => all!(section, Definition::CoreInstance),
            Payload::CoreTypeSection(section) => all!(section, |ty| Definition::CoreType(Box::new(ty))),
            Payload::ComponentInstanceSection(section) => all!(section, Definition::Instance),
            Payload::ComponentAliasSection(section) => all!(section, Definition::Alias),
            Payload::ComponentTypeSection(section) => all!(section, |ty| Definition::Type(Rc::new(ty))),
            Payload::ComponentCanonicalSection(section) => all!(section, Definition::Canonical),
            Payload::ComponentStartSection { start, .. } => self.0.push(Definition::Start(start)),
            Payload::ComponentImportSection(section) => all!(section, Definition::Import),
            Payload::ComponentExportSection(section) => all!(section, Definition::Export),
            _ => {}
        }
        Ok(())
    }
}
