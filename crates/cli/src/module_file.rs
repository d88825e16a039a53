//! A module as a file: the path in, a wasm binary out, whatever the file holds refused with a reason.

use crate::byte_size::ByteSize;
use crate::exit_code::ExitCode;
use crate::failure::{Failure, OrFail};
use anyhow::{Context, Error, anyhow};
use belljar::{DisabledFeatures, Engine, Module};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// The largest file that is read. The same limit as the web's.
const MAX_BYTES: u64 = 1 << 30;

/// How a wasm binary starts.
const MAGIC: &[u8] = b"\0asm";

/// The contents of a module's file.
pub(crate) struct ModuleFile {
    path: PathBuf,
    bytes: Vec<u8>,
}

impl ModuleFile {
    /// Reads a file.
    ///
    /// # Errors
    ///
    /// Where it cannot be read, is a directory, or is too large to be a module.
    pub(crate) fn read(path: &Path) -> Result<Self, Failure> {
        let bytes = read(path).or_fail(ExitCode::Unreadable)?;
        let too_large = bytes.is_none();
        let file = Self { path: path.into(), bytes: bytes.unwrap_or_default() };
        if too_large {
            let limit = ByteSize(MAX_BYTES);
            return Err(file.refuse(anyhow!("the file is too large: a module may have at most {limit}")));
        }
        Ok(file)
    }

    /// The file's name.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The contents, as they are.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The contents as a binary: text is translated, everything else is left to be refused by validation.
    ///
    /// # Errors
    ///
    /// Where text has a syntax error, which is shown with its line.
    pub(crate) fn into_binary(self) -> Result<Self, Failure> {
        self.translated(&mut wat::Parser::new())
    }

    /// As [`ModuleFile::into_binary`]; what was text knows its own lines, for backtraces.
    ///
    /// # Errors
    ///
    /// As there.
    pub(crate) fn into_binary_with_lines(self) -> Result<Self, Failure> {
        self.translated(wat::Parser::new().generate_dwarf(wat::GenerateDwarf::Lines))
    }

    fn translated(self, parser: &mut wat::Parser) -> Result<Self, Failure> {
        if !self.is_text() {
            return Ok(self);
        }
        let text = String::from_utf8_lossy(&self.bytes);
        let has_wat_name = self.path.extension().is_some_and(|e| e == "wat" || e == "wast");
        match parser.parse_str(Some(&self.path), &text) {
            Ok(bytes) => Ok(Self { bytes, ..self }),
            Err(mut error) => {
                error.set_path(&self.path);
                let mut error = Error::new(error);
                if !has_wat_name {
                    error = error.context("it does not start like a wasm binary, and is no text format");
                }
                Err(self.refuse(error))
            }
        }
    }

    /// Compiles a binary.
    ///
    /// # Errors
    ///
    /// Where it is no valid module.
    pub(crate) fn compile(&self, engine: &Engine) -> Result<Module, Failure> {
        Module::from_binary(engine, &self.bytes).map_err(|error| self.refuse_binary(error))
    }

    /// Checks a binary without compiling it.
    ///
    /// # Errors
    ///
    /// As [`ModuleFile::compile`].
    pub(crate) fn validate(&self, engine: &Engine) -> Result<(), Failure> {
        Module::validate(engine, &self.bytes).map_err(|error| self.refuse_binary(error))
    }

    fn is_text(&self) -> bool {
        // No text starts with a zero byte, and so do all binaries.
        !self.bytes.starts_with(&MAGIC[..1])
            && !self.bytes.is_empty()
            && std::str::from_utf8(&self.bytes).is_ok()
    }

    /// A binary's refusal, with a hint where the reason is a feature that is yet to come.
    fn refuse_binary(&self, mut error: Error) -> Failure {
        if error.to_string().contains("unexpected end") {
            let size = ByteSize(self.bytes.len() as u64);
            error = error.context(format!("the file seems to be cut off after {size}"));
        }
        if let Some(disabled) = error.downcast_ref::<DisabledFeatures>() {
            let switches: Vec<_> = disabled.names().map(|name| format!("--enable {name}")).collect();
            let advice = format!("the module needs {}", switches.join(" "));
            return self.refuse(Error::msg(format!("{advice}: {}", error.root_cause())));
        }
        match crate::inspect::reader::unsupported_features(&self.bytes) {
            features if features.is_empty() => self.refuse(error),
            features => self.refuse(error.context(crate::proposals::advice(&features))),
        }
    }

    fn refuse(&self, error: Error) -> Failure {
        Failure::new(ExitCode::BadModule, error.context(format!("could not load {}", self.path.display())))
    }
}

/// The contents; `None` where they are too large.
fn read(path: &Path) -> Result<Option<Vec<u8>>, Error> {
    let cannot = || format!("could not read {}", path.display());
    let file = File::open(path).with_context(cannot)?;
    let meta = file.metadata().with_context(cannot)?;
    if meta.is_dir() {
        return Err(anyhow!("it is a directory, and a .wasm or .wat file is needed").context(cannot()));
    }
    if meta.len() > MAX_BYTES {
        return Ok(None);
    }
    // One byte more than the size, so that the read that finds the end needs no more room.
    let mut bytes = Vec::with_capacity(usize::try_from(meta.len())? + 1);
    // Pipes and devices do not tell their size.
    file.take(MAX_BYTES + 1).read_to_end(&mut bytes).with_context(cannot)?;
    Ok((bytes.len() as u64 <= MAX_BYTES).then_some(bytes))
}
