//! Compiling a module with its own options.

use crate::build::BuildOptions;
use crate::text::{locate_in_text, to_binary};
use crate::{CompileCancel, CompileLimits, Engine, Module, OutsideText, Result};
use belljar_core::{Context, bail};
use std::borrow::Cow;
use std::fs::File;
use std::path::{Path, PathBuf};

/// Compiles a module with its own limits, and so that another thread can cancel the compilation. [`Module::new`] and
/// similar functions use the limits of the engine, [`Config::compile_limits`](crate::Config::compile_limits).
///
/// ```
/// use belljar::{CodeBuilder, CompileCancel, CompileLimitExceeded, CompileLimits, Engine};
/// use std::time::Duration;
///
/// let engine = Engine::default();
/// let cancel = CompileCancel::new();
/// let text = r#"(module (func (export "six") (result i32) i32.const 6))"#;
/// let module = CodeBuilder::new(&engine)
///     .wasm_binary_or_text(text.as_bytes(), None)?
///     // The module may take five seconds; a clone of `cancel` stops the compilation from elsewhere.
///     .limits(CompileLimits::default().wall(Duration::from_secs(5)))
///     .cancel(&cancel)
///     .compile_module()?;
/// assert_eq!(module.exports().count(), 1);
///
/// let error = CodeBuilder::new(&engine)
///     .wasm_binary_or_text(text.as_bytes(), None)?
///     .limits(CompileLimits::default().functions(0))
///     .compile_module()
///     .unwrap_err();
/// assert!(error.is::<CompileLimitExceeded>());
/// # Ok::<(), belljar::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct CodeBuilder<'a> {
    engine: &'a Engine,
    options: BuildOptions,
    wasm: Option<Cow<'a, [u8]>>,
    /// What the binary was made from, and the file that errors name.
    text: Option<(Cow<'a, [u8]>, Option<PathBuf>)>,
}

impl<'a> CodeBuilder<'a> {
    /// Creates a builder with the limits of the engine.
    pub fn new(engine: &'a Engine) -> Self {
        Self { engine, options: BuildOptions::of(engine), wasm: None, text: None }
    }

    /// Sets the binary to compile. `path` is used in messages.
    ///
    /// # Errors
    ///
    /// Returns an error if the builder already has a module.
    pub fn wasm_binary(&mut self, wasm: impl Into<Cow<'a, [u8]>>, path: Option<&Path>) -> Result<&mut Self> {
        if self.wasm.is_some() {
            let path = path.map(|path| format!(" {}", OutsideText::new(path))).unwrap_or_default();
            bail!("a builder compiles only one module, but got a second one{path}");
        }
        self.wasm = Some(wasm.into());
        Ok(self)
    }

    /// Sets the binary, or the module in text format, to compile. `path` is used in messages.
    ///
    /// # Errors
    ///
    /// Returns an error as [`CodeBuilder::wasm_binary`] does, or if the text has a syntax error.
    pub fn wasm_binary_or_text(&mut self, wasm: &'a [u8], path: Option<&Path>) -> Result<&mut Self> {
        self.binary_or_text(wasm.into(), path)
    }

    /// Reads the binary to compile from a file.
    ///
    /// # Errors
    ///
    /// Returns an error as [`CodeBuilder::wasm_binary`] does, or if the file cannot be read.
    pub fn wasm_binary_file(&mut self, path: &Path) -> Result<&mut Self> {
        self.wasm_binary(read(path)?, Some(path))
    }

    /// Reads the binary or text to compile from a file.
    ///
    /// # Errors
    ///
    /// Returns an error as [`CodeBuilder::wasm_binary_or_text`] does, or if the file cannot be read.
    pub fn wasm_binary_or_text_file(&mut self, path: &Path) -> Result<&mut Self> {
        self.binary_or_text(read(path)?.into(), Some(path))
    }

    fn binary_or_text(&mut self, wasm: Cow<'a, [u8]>, path: Option<&Path>) -> Result<&mut Self> {
        match to_binary(&wasm, path)? {
            Cow::Borrowed(_) => self.wasm_binary(wasm, path),
            Cow::Owned(binary) => {
                self.wasm_binary(binary, path)?;
                self.text = Some((wasm, path.map(Path::to_path_buf)));
                Ok(self)
            }
        }
    }

    /// Sets the limits of the compilation, instead of the engine's.
    pub fn limits(&mut self, limits: CompileLimits) -> &mut Self {
        self.options.limits = limits;
        self
    }

    /// Sets how to cancel the compilation. It stops within about 20 ms of [`CompileCancel::cancel`]; functions that are
    /// being compiled then are finished in the background and discarded.
    pub fn cancel(&mut self, cancel: &CompileCancel) -> &mut Self {
        self.options.cancel = Some(cancel.clone());
        self
    }

    /// Compiles the module, or loads it from the cache. A cancelled compilation leaves nothing in the cache.
    ///
    /// # Errors
    ///
    /// Returns an error as [`Module::new`] does, a [`CompileLimitExceeded`](crate::CompileLimitExceeded) if a limit was
    /// reached, and an error that says so if the compilation was cancelled.
    pub fn compile_module(&self) -> Result<Module> {
        let wasm =
            self.wasm.as_deref().context("there is no module to compile: set one with `wasm_binary`")?;
        let compiled = Module::of_binary(self.engine, bytes::Bytes::copy_from_slice(wasm), &self.options);
        compiled.map_err(|error| match &self.text {
            Some((text, path)) => locate_in_text(error, text, path.as_deref()),
            None => error,
        })
    }

    /// Compiles the module to an artifact for [`Module::deserialize`].
    ///
    /// # Errors
    ///
    /// Returns an error as [`CodeBuilder::compile_module`] and [`Module::serialize`] do.
    pub fn compile_module_serialized(&self) -> Result<Vec<u8>> {
        self.compile_module()?.serialize()
    }

    /// Returns what there is to compile; `None` if nothing was set, or if it does not begin like a module.
    pub fn hint(&self) -> Option<CodeHint> {
        self.wasm.as_ref()?.starts_with(MODULE_START).then_some(CodeHint::Module)
    }
}

/// What a [`CodeBuilder`] has to compile.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum CodeHint {
    /// A module in binary format.
    Module,
}

/// The first bytes of a module in binary format: the magic number and version 1.
const MODULE_START: &[u8] = b"\0asm\x01\0\0\0";

fn read(path: &Path) -> Result<Vec<u8>> {
    let cannot_read = || format!("could not read {}", OutsideText::new(path));
    let file = File::open(path).with_context(cannot_read)?;
    Ok(Module::read_file(&file).with_context(cannot_read)?.into())
}
