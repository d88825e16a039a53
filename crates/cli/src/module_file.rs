//! Reads a module's file as a wasm binary, or refuses it with a reason.

use crate::byte_size::ByteSize;
use crate::exit_code::ExitCode;
use crate::failure::{Failure, WithExitCode};
use crate::file_kind;
use crate::output::complain;
use belljar::component::Component;
use belljar::error::Context;
use belljar::{
    ArtifactInfo, DisabledFeatures, Engine, Error, Module, OutsideText, Precompiled, StartProblem,
    UnsupportedProposals, format_err, similar_name,
};
use bytes::Bytes;
use std::borrow::Cow;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use wasmparser::{Chunk, Parser, Payload};

/// The largest file to read: the limit of the web platform.
pub(crate) const MAX_BYTES: u64 = 1 << 30;

/// The first bytes of a wasm binary.
const MAGIC: &[u8] = b"\0asm";

/// Converts a module's text to a binary with line information, if it is well-formed text. The parser's errors hold the
/// path as it is: [`belljar::to_binary`] reports them escaped.
fn binary_with_lines(bytes: &[u8], path: &Path) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(bytes).ok().filter(|text| !text.starts_with('\0') && !text.is_empty())?;
    wat::Parser::new().generate_dwarf(wat::GenerateDwarf::Lines).parse_str(Some(path), text).ok()
}

/// The contents of a module's file.
pub(crate) struct ModuleFile {
    path: PathBuf,
    /// A wasm binary or text; empty for an artifact.
    bytes: Bytes,
    /// The text that the binary was made from.
    text: Option<Bytes>,
    /// An artifact; it is read only when its private copy is made.
    artifact: Option<File>,
}

impl ModuleFile {
    /// Reads a file.
    ///
    /// # Errors
    ///
    /// Returns an error if it cannot be read, is a directory, or is too large to be a module.
    pub(crate) fn read(path: &Path) -> Result<Self, Failure> {
        match read(path).with_exit_code(ExitCode::Unreadable)? {
            Contents::Bytes(bytes) => Ok(Self { path: path.into(), bytes, text: None, artifact: None }),
            Contents::Artifact(file) => {
                Ok(Self { path: path.into(), bytes: Bytes::new(), text: None, artifact: Some(file) })
            }
            Contents::TooLarge => {
                let limit = ByteSize(MAX_BYTES);
                Err(refuse(path, format_err!("the file is too large: a module may have at most {limit}")))
            }
        }
    }

    /// Returns the path.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the artifact, if the file is one.
    pub(crate) fn artifact(&self) -> Option<&File> {
        self.artifact.as_ref()
    }

    /// Describes the work of compiling or loading it.
    pub(crate) fn describe_work(&self) -> String {
        let name = OutsideText::new(self.path.file_name().unwrap_or_default());
        match self.artifact {
            Some(_) => format!("loading {name}"),
            None if self.is_compiled_component() => format!("loading {name}"),
            None => format!("compiling {name} ({})", ByteSize(self.bytes.len() as u64)),
        }
    }

    /// Returns the contents; empty for an artifact.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Converts the contents to a binary, if they are text. Unknown contents are left for validation to refuse.
    ///
    /// # Errors
    ///
    /// Returns an error if the text has a syntax error, or if the file is of another kind.
    pub(crate) fn into_binary(self) -> Result<Self, Failure> {
        self.translated(false)
    }

    /// Converts like [`ModuleFile::into_binary`], and adds line information for backtraces.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`ModuleFile::into_binary`].
    pub(crate) fn into_binary_with_lines(self) -> Result<Self, Failure> {
        self.translated(true)
    }

    fn translated(self, lines: bool) -> Result<Self, Failure> {
        if self.is_compiled_component() {
            return Ok(self);
        }
        if let Some(what) = file_kind::describe(&self.bytes, &self.path) {
            return Err(self.refuse(Error::msg(what)));
        }
        if lines && let Some(binary) = binary_with_lines(&self.bytes, &self.path) {
            return Ok(Self { bytes: binary.into(), text: Some(self.bytes), ..self });
        }
        let binary = match belljar::to_binary(&self.bytes, Some(&self.path)) {
            Ok(Cow::Borrowed(_)) => return Ok(self),
            Ok(Cow::Owned(binary)) => binary,
            Err(error) => return Err(self.refuse(error)),
        };
        Ok(Self { bytes: binary.into(), text: Some(self.bytes), ..self })
    }

    /// Compiles a binary, or loads an artifact.
    ///
    /// # Errors
    ///
    /// Returns an error if it is not a valid module, or not an artifact that can be used here.
    pub(crate) fn compile(&self, engine: &Engine) -> Result<Module, Failure> {
        match &self.artifact {
            Some(file) => {
                Module::deserialize_open_file(engine, file).map_err(|error| self.refuse_artifact(error))
            }
            None => Module::from_bytes(engine, self.bytes.clone()).map_err(|error| self.refuse_binary(error)),
        }
    }

    /// Returns whether the contents are a component.
    pub(crate) fn is_component(&self) -> bool {
        Parser::is_component(&self.bytes)
    }

    /// Returns whether the contents are an artifact of a component.
    pub(crate) fn is_compiled_component(&self) -> bool {
        Engine::detect_precompiled(&self.bytes) == Some(Precompiled::Component)
    }

    /// Compiles a component, or loads an artifact of one.
    ///
    /// # Errors
    ///
    /// Returns an error if it is not a valid one.
    pub(crate) fn compile_component(&self, engine: &Engine) -> Result<Component, Failure> {
        match self.is_compiled_component() {
            true => Component::deserialize(engine, &self.bytes).map_err(|error| self.refuse(error)),
            false => Component::from_binary(engine, &self.bytes).map_err(|error| self.refuse_binary(error)),
        }
    }

    /// Validates a binary without compiling it. Returns the problems that make every start fail.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`ModuleFile::compile`].
    pub(crate) fn validate(&self, engine: &Engine) -> Result<Vec<StartProblem>, Failure> {
        if self.is_compiled_component() {
            return Err(self.refuse_compiled_component());
        }
        if let Some(file) = &self.artifact {
            let artifact = "it is a compiled module: `belljar inspect` describes it";
            return Err(self.refuse(Error::msg(describe_elf(file).unwrap_or(artifact))));
        }
        Module::validate_to_start(engine, &self.bytes).map_err(|error| self.refuse_binary(error))
    }

    /// Warns about problems that make every start of a valid module fail: shows the first and counts the others.
    pub(crate) fn report_start_problems(&self, problems: &[StartProblem]) {
        let [first, rest @ ..] = problems else { return };
        let more = match rest.len() {
            0 => String::new(),
            1 => "; and 1 more such problem".into(),
            n => format!("; and {n} more such problems"),
        };
        let path = OutsideText::new(&self.path);
        complain(&format!("note: {path} is valid, but cannot be started: {first}{more}"));
    }

    /// Returns the failure for a file that starts like an artifact.
    pub(crate) fn refuse_artifact(&self, error: Error) -> Failure {
        self.refuse(self.artifact.as_ref().and_then(describe_elf).map_or(error, Error::msg))
    }

    /// Returns the failure for a binary, with a hint if it uses a feature that is not supported yet.
    fn refuse_binary(&self, mut error: Error) -> Failure {
        if let Some(text) = &self.text {
            error = belljar::locate_in_text(error, text, Some(&self.path));
        } else if is_cut_off(&self.bytes) {
            let size = ByteSize(self.bytes.len() as u64);
            error = error.context(format!("the file seems to be truncated after {size}"));
        }
        if let Some(disabled) = error.downcast_ref::<DisabledFeatures>() {
            let switches: Vec<_> = disabled.names().map(|name| format!("--enable {name}")).collect();
            let advice = format!("the module needs {}", switches.join(" "));
            return self.refuse(Error::msg(format!("{advice}: {}", error.root_cause())));
        }
        if error.is::<UnsupportedProposals>() {
            return self.refuse(error);
        }
        // It may be invalid only because the validator implements another version of the proposal.
        match crate::binary::reader::unsupported_features(&self.bytes) {
            features if features.is_empty() => self.refuse(error),
            features => {
                let proposals = if features.len() == 1 { "proposal" } else { "proposals" };
                let features = features.join(", ");
                let what = format!(
                    "the module uses the {proposals} {features}, which this version does not support"
                );
                self.refuse(error.context(what))
            }
        }
    }

    /// Returns the failure for an artifact of a component, where a component itself is needed.
    pub(crate) fn refuse_compiled_component(&self) -> Failure {
        self.refuse(Error::msg(
            "it is a compiled component, which `belljar run` runs: give the component itself",
        ))
    }

    /// Returns the failure for what cannot be done with the file.
    pub(crate) fn refuse(&self, error: Error) -> Failure {
        refuse(&self.path, error)
    }
}

/// Describes an ELF file that is not an artifact.
fn describe_elf(file: &File) -> Option<&'static str> {
    let what = "it is an ELF file of native code that `belljar compile` did not make";
    ArtifactInfo::read(file).is_err().then_some(what)
}

/// Returns whether a binary ends in the middle of a section, or before a section that it needs.
fn is_cut_off(mut bytes: &[u8]) -> bool {
    if !bytes.starts_with(MAGIC) {
        return false;
    }
    let mut parser = Parser::new(0);
    loop {
        match parser.parse(bytes, false) {
            // Between two sections, the end is possible.
            Ok(Chunk::NeedMoreData(_)) => return parser.parse(bytes, true).is_err(),
            Ok(Chunk::Parsed { payload: Payload::End(_), .. }) | Err(_) => return false,
            Ok(Chunk::Parsed { consumed, .. }) => bytes = &bytes[consumed..],
        }
    }
}

fn refuse(path: &Path, error: Error) -> Failure {
    Failure::new(ExitCode::BadModule, error.context(format!("could not load {}", OutsideText::new(path))))
}

/// The contents of a file.
enum Contents {
    Bytes(Bytes),
    Artifact(File),
    TooLarge,
}

/// Returns the file that a path without one may be meant as: one with a similar name in the same directory.
fn similar_file(path: &Path) -> Option<PathBuf> {
    let wanted = path.file_name()?.to_str()?;
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let entries = std::fs::read_dir(directory.unwrap_or(Path::new("."))).ok()?;
    let mut names: Vec<String> = entries.flatten().filter_map(|e| e.file_name().into_string().ok()).collect();
    names.sort_unstable();
    similar_name(wanted, names.iter().map(|name| &**name)).map(|name| path.with_file_name(name))
}

fn read(path: &Path) -> Result<Contents, Error> {
    let cannot = || format!("could not read {}", OutsideText::new(path));
    let file = File::open(path).map_err(|error| {
        let similar = (error.kind() == ErrorKind::NotFound).then(|| similar_file(path)).flatten();
        let advice = similar.map(|name| format!(" (did you mean {}?)", OutsideText::new(&name)));
        Error::new(error).context(cannot() + &advice.unwrap_or_default())
    })?;
    let meta = file.metadata().with_context(cannot)?;
    if meta.is_dir() {
        return Err(format_err!("it is a directory, expected a .wasm or .wat file").context(cannot()));
    }
    if meta.len() > MAX_BYTES {
        return Ok(Contents::TooLarge);
    }
    if meta.is_file() {
        if ArtifactInfo::is_artifact(&file).with_context(cannot)? {
            return Ok(Contents::Artifact(file));
        }
        return Ok(Contents::Bytes(Module::read_file(&file).with_context(cannot)?));
    }
    // Pipes and devices do not report a size.
    let mut bytes = Vec::new();
    file.take(MAX_BYTES + 1).read_to_end(&mut bytes).with_context(cannot)?;
    Ok(if bytes.len() as u64 <= MAX_BYTES { Contents::Bytes(bytes.into()) } else { Contents::TooLarge })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Section ids.
    const FUNCTIONS: u8 = 3;
    const CODE: u8 = 10;

    #[test]
    fn a_file_is_cut_off_where_a_section_is_not_whole() {
        let wat =
            r#"(module (memory 1) (func (result i32) i32.const 1) (func) (data (i32.const 0) "hello"))"#;
        let whole = wat::parse_str(wat).unwrap();
        assert!(!is_cut_off(&whole));
        // A file that ends after the header or a section may be complete, unless it lacks the code of its functions.
        let (mut ends, mut code) = (vec![8], 0..0);
        for payload in Parser::new(0).parse_all(&whole) {
            match payload.unwrap().as_section() {
                Some((FUNCTIONS, range)) => code.start = range.end,
                Some((CODE, range)) => code.end = range.end,
                Some((_, range)) => ends.push(range.end),
                None => {}
            }
        }
        for length in MAGIC.len() as u64..=whole.len() as u64 {
            let may_be_whole = !code.contains(&length) && (ends.contains(&length) || length == code.end);
            assert_eq!(is_cut_off(&whole[..length as usize]), !may_be_whole, "{length} of {ends:?}");
        }
    }

    /// A body that ends too early, in a complete file.
    #[test]
    fn an_unexpected_end_inside_is_none_of_the_file() {
        let mut bytes = wat::parse_str("(module (func (block (nop))))").unwrap();
        let end = bytes.iter().rposition(|byte| *byte == 0x0b).unwrap();
        bytes[end] = 0x01;
        let error = Module::validate(&Engine::default(), &bytes).unwrap_err();
        assert!(error.to_string().contains("end"), "{error}");
        assert!(!is_cut_off(&bytes));
    }
}
