//! An artifact's description, as text or as JSON.

use crate::byte_size::ByteSize;
use belljar::{ArtifactInfo, Config, Engine, HeldWasm, OutsideText, TrustedBy};
use belljar_cache::ArtifactKind;
use serde::Serialize;
use std::fmt;

/// The description of an artifact.
#[derive(Serialize, Debug)]
pub(crate) struct ArtifactDescription {
    file: String,
    kind: &'static str,
    size: u64,
    functions: Option<usize>,
    wasm: &'static str,
    settings: Vec<(String, String)>,
    sections: Vec<(&'static str, u64)>,
    /// The fingerprint of the key that signed it.
    signed_by: Option<String>,
    /// Whether the seal is intact, whoever made it; otherwise what is wrong.
    seal: Result<(), String>,
    /// Who vouches for it here; otherwise why it cannot be used.
    usable: Result<String, String>,
}

impl ArtifactDescription {
    pub(crate) fn of(file: String, info: &ArtifactInfo) -> Self {
        let seal = info.seal();
        let usable = Engine::new(&Config::new()).map_err(|error| format!("{error:#}")).and_then(|engine| {
            info.trusted_by(&engine).map_err(|error| error.to_string()).map(|by| match by {
                TrustedBy::User => "made by this user".to_string(),
                TrustedBy::Key(key) => format!("signed with the trusted key {}", key.fingerprint()),
            })
        });
        Self {
            file,
            kind: match seal.as_ref().map(|seal| seal.identity.kind) {
                Ok(ArtifactKind::Snapshot) => "snapshot",
                Ok(ArtifactKind::CacheEntry) => "entry of a cache",
                _ => "compiled module",
            },
            size: info.size(),
            functions: info.functions(),
            wasm: match info.held_wasm() {
                HeldWasm::Nothing => "none",
                HeldWasm::WithoutCode => "all but the code",
                HeldWasm::All => "all",
            },
            settings: info.settings(),
            sections: info.sections(),
            signed_by: seal
                .as_ref()
                .ok()
                .and_then(|seal| seal.signer)
                .map(|key| key.fingerprint().to_string()),
            seal: seal.map(|_| ()).map_err(|error| error.to_string()),
            usable,
        }
    }

    /// Returns whether the seal is intact.
    pub(crate) fn is_whole(&self) -> bool {
        self.seal.is_ok()
    }
}

impl fmt::Display for ArtifactDescription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {}, {}", OutsideText::new(&self.file), self.kind, ByteSize(self.size))?;
        if let Some(functions) = self.functions {
            writeln!(f, "functions: {functions}")?;
        }
        writeln!(f, "wasm in it: {}", self.wasm)?;
        match &self.seal {
            Ok(()) => writeln!(f, "seal: whole")?,
            Err(why) => writeln!(f, "seal: {}", OutsideText::new(why))?,
        }
        if let Some(key) = &self.signed_by {
            writeln!(f, "signed by: {key}")?;
        }
        match &self.usable {
            Ok(by) => writeln!(f, "usable here: yes, {by}")?,
            Err(why) => writeln!(f, "usable here: no: {}", OutsideText::new(why))?,
        }
        writeln!(f, "\nmade with")?;
        for (name, value) in &self.settings {
            // The file may be untrusted.
            writeln!(f, "  {} = {}", OutsideText::new(name), OutsideText::new(value))?;
        }
        writeln!(f, "\nsections")?;
        for (name, size) in &self.sections {
            writeln!(f, "  {name:<24}{:>12}", ByteSize(*size).to_string())?;
        }
        Ok(())
    }
}
