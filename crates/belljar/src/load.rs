//! Making code executable, and telling profilers of it.

use crate::{Engine, Result};
use belljar_abi::{Image, Part};
use belljar_compile::Compiler;
use belljar_module::Module;
use belljar_vm::{CodeImage, LoadedModule, PrivateCopy};
use std::sync::Arc;

/// Code as an image, which is executable where the processor has all that it needs. Only an engine that compiles for another
/// processor has code of which that is not known.
pub(crate) fn load_code(engine: &Engine, compiler: &Compiler, copy: PrivateCopy) -> Result<Arc<CodeImage>> {
    let lacking = match engine.config().processor {
        None => None,
        Some(_) => compiler.lacking(&String::from_utf8_lossy(Image::new(&copy)?.part(Part::Settings))),
    };
    match lacking {
        None => CodeImage::new(copy),
        Some(why) => CodeImage::for_another_processor(copy, &why),
    }
}

/// Brings a module together with its code, and tells the profiler. `reserved`: as [`LoadedModule::new`] has it.
pub(crate) fn load_module(
    engine: &Engine,
    module: Arc<Module>,
    image: Arc<CodeImage>,
    reserved: bool,
) -> Result<Arc<LoadedModule>> {
    let loaded = LoadedModule::new(engine.runtime(), module, image, reserved)?;
    engine.profiler_feed().tell_module(&loaded);
    Ok(loaded)
}
