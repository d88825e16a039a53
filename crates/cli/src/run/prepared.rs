//! What a run starts: a module or a component.

use super::component_program::ComponentProgram;
use super::options::RunOptions;
use super::program::Program;
use crate::failure::Failure;
use crate::module_file::ModuleFile;
use belljar::Engine;
use std::sync::Arc;

/// What is ready to be started.
pub(super) enum Prepared {
    Module(Arc<Program>),
    Component(ComponentProgram),
}

impl Prepared {
    pub(super) fn engine(&self) -> &Engine {
        match self {
            Self::Module(program) => &program.engine,
            Self::Component(program) => &program.engine,
        }
    }
}

impl RunOptions {
    /// Reads the file and prepares what it contains.
    ///
    /// # Errors
    ///
    /// Returns an error if it cannot be started.
    pub(super) fn prepare(&self) -> Result<Prepared, Failure> {
        let (engine, meter) = self.engine()?;
        let file = ModuleFile::read(self.file())?.into_binary_with_lines()?;
        if file.is_component() || file.is_compiled_component() {
            return self.prepare_component(engine, &file, &meter).map(Prepared::Component);
        }
        self.prepare_module(engine, &file, &meter).map(|program| Prepared::Module(Arc::new(program)))
    }
}
