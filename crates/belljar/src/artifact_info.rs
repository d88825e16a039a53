//! What an artifact says of itself, for people.

use crate::artifact::deserialize::LONGEST_UNTRUSTED;
use crate::artifact::{ArtifactError, identity_of};
use crate::{Engine, Result};
use belljar_abi::{Image, ImageError, Part};
use belljar_cache::{Identity, SealInfo, TrustedBy, seal_of};
use belljar_module::Binary;
use belljar_vm::PrivateCopy;
use bytes::Bytes;
use std::fs::File;
use std::os::unix::fs::FileExt;

/// What an artifact says of itself. Nothing of it is to be believed before [`ArtifactInfo::trusted_by`] is asked.
#[derive(Debug)]
pub struct ArtifactInfo {
    copy: PrivateCopy,
}

/// How much of its module's wasm an artifact holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HeldWasm {
    /// Nothing: it is an entry of a cache.
    Nothing,
    /// All that is not code.
    WithoutCode,
    /// All.
    All,
}

/// How artifacts begin: as ELF files.
const ELF_MAGIC: [u8; 4] = *b"\x7fELF";

impl ArtifactInfo {
    /// Whether a file begins as artifacts do. It stays at the position that it has; of pipes this cannot be told, and the
    /// answer is no.
    ///
    /// # Errors
    ///
    /// Where the file cannot be read.
    pub fn is_artifact(file: &File) -> std::io::Result<bool> {
        if !file.metadata()?.is_file() {
            return Ok(false);
        }
        let mut start = [0; ELF_MAGIC.len()];
        match file.read_exact_at(&mut start, 0) {
            Ok(()) => Ok(start == ELF_MAGIC),
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Reads an artifact from a file, whatever runtime it was made for.
    ///
    /// # Errors
    ///
    /// Where the file cannot be read, or is no artifact of this format; where it has more than 1 GiB, which nothing says is really
    /// there.
    pub fn read(file: &File) -> Result<Self> {
        let length = file.metadata()?.len();
        if length > LONGEST_UNTRUSTED {
            return Err(std::io::Error::from(std::io::ErrorKind::FileTooLarge).into());
        }
        let copy = PrivateCopy::read(file, length)?;
        Image::part_of_any(&copy, Part::Text).ok_or(ArtifactError::Image(ImageError::NotAnImage))?;
        Ok(Self { copy })
    }

    fn part(&self, part: Part) -> &[u8] {
        Image::part_of_any(&self.copy, part).unwrap_or_default()
    }

    /// Bytes of the file.
    pub fn size(&self) -> u64 {
        self.copy.len() as u64
    }

    /// Bytes of machine code, with the data that lies among it.
    pub fn code_size(&self) -> u64 {
        self.part(Part::Text).len() as u64
    }

    /// How many functions the module defines; `None` where the artifact is for another release, whose tables are not
    /// known.
    pub fn functions(&self) -> Option<usize> {
        Image::new(&self.copy).ok().map(|image| image.tables().funcs.len())
    }

    /// Names and sizes in bytes of its sections that belljar reads, without empty ones.
    pub fn sections(&self) -> Vec<(&'static str, u64)> {
        let all = Part::ALL.iter().map(|part| (part.section(), self.part(*part).len() as u64));
        all.filter(|(_, size)| *size > 0).collect()
    }

    /// The settings that its code was made with, as names and values.
    pub fn settings(&self) -> Vec<(String, String)> {
        let text = String::from_utf8_lossy(self.part(Part::Settings));
        text.lines().filter_map(|line| line.split_once(" = ")).map(|(n, v)| (n.into(), v.into())).collect()
    }

    /// How much of the module's wasm it holds.
    pub fn held_wasm(&self) -> HeldWasm {
        match Binary::from_bytes(&Bytes::copy_from_slice(self.part(Part::Binary))) {
            None => HeldWasm::Nothing,
            Some(binary) if binary.whole().is_some() => HeldWasm::All,
            Some(_) => HeldWasm::WithoutCode,
        }
    }

    /// Names the module and the settings that it is the code of.
    pub fn key(&self) -> Option<[u8; 32]> {
        Image::new(&self.copy).ok().map(|image| image.header().key)
    }

    /// What it is, going by its contents: of an artifact that is whole, its seal says the same ([`SealInfo::identity`]). `None`
    /// where it is for another release.
    pub fn identity(&self) -> Option<Identity> {
        Image::new(&self.copy).ok().map(identity_of)
    }

    /// What its seal says.
    ///
    /// # Errors
    ///
    /// Where it has none, or is not what was sealed.
    pub fn seal(&self) -> Result<SealInfo, ArtifactError> {
        Ok(seal_of(&self.copy)?)
    }

    /// Who vouches for its code to this engine, if the engine can use it.
    ///
    /// # Errors
    ///
    /// Where it cannot; the error says why.
    pub fn trusted_by(&self, engine: &Engine) -> Result<TrustedBy, ArtifactError> {
        crate::artifact::deserialize::accept(engine, engine.compiler(), &self.copy)
    }
}
