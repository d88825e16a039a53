//! Making code executable, and reporting it to profilers.

use crate::{Engine, Result};
use belljar_abi::{Image, Part};
use belljar_compile::CodeSettings;
use belljar_module::Module;
use belljar_vm::{CodeImage, LoadedModule, PrivateCopy};
use std::sync::Arc;

/// Loads an image of code, which becomes executable if the processor has all features that it needs. Only an engine
/// that compiles for another processor has code for which this is not known.
pub(crate) fn load_code(
    engine: &Engine,
    settings: &CodeSettings,
    copy: PrivateCopy,
) -> Result<Arc<CodeImage>> {
    let lacking = match engine.code().may_be_foreign() {
        false => None,
        true => settings.lacking(&String::from_utf8_lossy(Image::new(&copy)?.part(Part::Settings))),
    };
    match lacking {
        None => CodeImage::new(copy),
        Some(why) => CodeImage::for_another_processor(copy, &why),
    }
}

/// Combines a module with its code, and reports it to the profiler. For `reserved`, see [`LoadedModule::new`].
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
