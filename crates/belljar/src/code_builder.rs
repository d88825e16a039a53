//! A module that is compiled with options of its own.

use crate::build::BuildOptions;
use crate::text::to_binary;
use crate::{CompileCancel, CompileLimits, Engine, Module, OutsideText, Result};
use anyhow::{Context, bail};
use std::borrow::Cow;
use std::fs::File;
use std::path::Path;

/// Compiles a module with limits of its own, and so that another thread can end it. [`Module::new`] and its like do the same with the
/// limits of the engine, [`Config::compile_limits`](crate::Config::compile_limits).
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
///     // Whoever sent it has five seconds; a clone of `cancel` ends it from elsewhere.
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
}

impl<'a> CodeBuilder<'a> {
    /// With the limits of the engine.
    pub fn new(engine: &'a Engine) -> Self {
        Self { engine, options: BuildOptions::of(engine), wasm: None }
    }

    /// A binary is to be compiled. `path` is for messages.
    ///
    /// # Errors
    ///
    /// Where something is to be compiled already.
    pub fn wasm_binary(&mut self, wasm: impl Into<Cow<'a, [u8]>>, path: Option<&Path>) -> Result<&mut Self> {
        if self.wasm.is_some() {
            let path = path.map(|path| format!(" {}", OutsideText::new(path))).unwrap_or_default();
            bail!("a builder compiles one module, and was given another one{path}");
        }
        self.wasm = Some(wasm.into());
        Ok(self)
    }

    /// A binary or a module in text format is to be compiled. `path` is for messages.
    ///
    /// # Errors
    ///
    /// As [`CodeBuilder::wasm_binary`], and where the text has a syntax error.
    pub fn wasm_binary_or_text(&mut self, wasm: &'a [u8], path: Option<&Path>) -> Result<&mut Self> {
        let binary = to_binary(wasm, path, false)?;
        self.wasm_binary(binary, path)
    }

    /// As [`CodeBuilder::wasm_binary`], from a file.
    ///
    /// # Errors
    ///
    /// As there, and where the file cannot be read.
    pub fn wasm_binary_file(&mut self, path: &Path) -> Result<&mut Self> {
        self.wasm_binary(read(path)?, Some(path))
    }

    /// As [`CodeBuilder::wasm_binary_or_text`], from a file.
    ///
    /// # Errors
    ///
    /// As there, and where the file cannot be read.
    pub fn wasm_binary_or_text_file(&mut self, path: &Path) -> Result<&mut Self> {
        let binary = to_binary(&read(path)?, Some(path), false)?.into_owned();
        self.wasm_binary(binary, Some(path))
    }

    /// What the compilation may take, in place of what the engine says.
    pub fn limits(&mut self, limits: CompileLimits) -> &mut Self {
        self.options.limits = limits;
        self
    }

    /// Who may end it. It has ended within some 20 ms of [`CompileCancel::cancel`]; functions that were being compiled are finished in
    /// the background, and thrown away.
    pub fn cancel(&mut self, cancel: &CompileCancel) -> &mut Self {
        self.options.cancel = Some(cancel.clone());
        self
    }

    /// Compiles the module, or finds it in the cache. What was ended leaves nothing there.
    ///
    /// # Errors
    ///
    /// As [`Module::new`]; a [`CompileLimitExceeded`](crate::CompileLimitExceeded) where a limit was reached, and an error that says so where
    /// it was cancelled.
    pub fn compile_module(&self) -> Result<Module> {
        let wasm =
            self.wasm.as_deref().context("there is nothing to compile: `wasm_binary` gives it a module")?;
        Module::of_binary(self.engine, bytes::Bytes::copy_from_slice(wasm), &self.options)
    }
}

fn read(path: &Path) -> Result<Vec<u8>> {
    let cannot_read = || format!("could not read {}", OutsideText::new(path));
    let file = File::open(path).with_context(cannot_read)?;
    Ok(Module::read_file(&file).with_context(cannot_read)?.into())
}
