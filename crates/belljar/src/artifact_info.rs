//! Information about an artifact, for tools.

use crate::artifact::deserialize::LONGEST_UNTRUSTED;
use crate::artifact::{ArtifactError, identity_of};
use crate::{Engine, Result};
use belljar_abi::{IMAGE_HEADER_START, IMAGE_MAGIC, Image, ImageError, Part};
use belljar_cache::{Identity, SealInfo, TrustedBy, seal_of};
use belljar_module::Binary;
use belljar_vm::PrivateCopy;
use bytes::Bytes;
use std::fs::File;
use std::os::unix::fs::FileExt;

/// Information about an artifact, as it describes itself. It is untrusted until [`ArtifactInfo::trusted_by`] succeeds.
#[derive(Debug)]
pub struct ArtifactInfo {
    copy: PrivateCopy,
}

/// How much of its module's wasm an artifact contains.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HeldWasm {
    /// Nothing: it is an entry of a cache.
    Nothing,
    /// Everything but the code.
    WithoutCode,
    /// Everything.
    All,
}

/// The first bytes of artifacts, which are ELF files.
const ELF_MAGIC: [u8; 4] = *b"\x7fELF";

impl ArtifactInfo {
    /// Returns whether bytes begin as the artifacts of all releases of this format do.
    pub(crate) fn begins(bytes: &[u8]) -> bool {
        bytes.starts_with(&ELF_MAGIC)
            && bytes.get(IMAGE_HEADER_START..).is_some_and(|header| header.starts_with(&IMAGE_MAGIC))
    }

    /// Reads as much from a file as [`ArtifactInfo::begins`] needs; less if the file is shorter, or cannot be read at a
    /// position.
    pub(crate) fn read_start(file: &File) -> std::io::Result<Vec<u8>> {
        let mut start = vec![0; IMAGE_HEADER_START + IMAGE_MAGIC.len()];
        if !file.metadata()?.is_file() {
            return Ok(Vec::new());
        }
        match file.read_exact_at(&mut start, 0) {
            Ok(()) => Ok(start),
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    /// Returns whether a file begins as artifacts do. The file's position does not change. For pipes, which cannot be
    /// read at a position, the result is `false`.
    ///
    /// # Errors
    ///
    /// Returns an error if the file cannot be read.
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

    /// Reads an artifact from a file, for whichever runtime it was made.
    ///
    /// # Errors
    ///
    /// Returns an error if the file cannot be read, is not an artifact of this format, or has more than 1 GiB, which is
    /// a length that a small file can claim.
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

    /// Returns the size of the file in bytes.
    pub fn size(&self) -> u64 {
        self.copy.len() as u64
    }

    /// Returns the bytes of machine code, including data in between.
    pub fn code_size(&self) -> u64 {
        self.part(Part::Text).len() as u64
    }

    /// Returns the number of functions that the module defines, or `None` for an artifact of another release, whose
    /// tables are unknown.
    pub fn functions(&self) -> Option<usize> {
        Image::new(&self.copy).ok().map(|image| image.tables().funcs.len())
    }

    /// Returns the names and sizes in bytes of the sections that belljar reads, without empty ones.
    pub fn sections(&self) -> Vec<(&'static str, u64)> {
        let all = Part::ALL.iter().map(|part| (part.section(), self.part(*part).len() as u64));
        all.filter(|(_, size)| *size > 0).collect()
    }

    /// Returns the settings that the code was compiled with, as names and values.
    pub fn settings(&self) -> Vec<(String, String)> {
        let text = String::from_utf8_lossy(self.part(Part::Settings));
        text.lines().filter_map(|line| line.split_once(" = ")).map(|(n, v)| (n.into(), v.into())).collect()
    }

    /// Returns how much of the module's wasm it contains.
    pub fn held_wasm(&self) -> HeldWasm {
        match Binary::from_bytes(&Bytes::copy_from_slice(self.part(Part::Binary))) {
            None => HeldWasm::Nothing,
            Some(binary) if binary.whole().is_some() => HeldWasm::All,
            Some(_) => HeldWasm::WithoutCode,
        }
    }

    /// Returns the key, which identifies the module and the settings of the code.
    pub fn key(&self) -> Option<[u8; 32]> {
        Image::new(&self.copy).ok().map(|image| image.header().key)
    }

    /// Returns the artifact's identity according to its contents. If the artifact is intact, its seal has the same
    /// identity ([`SealInfo::identity`]). Returns `None` for an artifact of another release.
    pub fn identity(&self) -> Option<Identity> {
        Image::new(&self.copy).ok().map(identity_of)
    }

    /// Returns the contents of the seal.
    ///
    /// # Errors
    ///
    /// Returns an error if there is no seal, or if the artifact is not what was sealed.
    pub fn seal(&self) -> Result<SealInfo, ArtifactError> {
        Ok(seal_of(&self.copy)?)
    }

    /// Returns why this engine trusts the artifact's code, if the engine can use it.
    ///
    /// # Errors
    ///
    /// Returns an error that tells why the engine cannot use it.
    pub fn trusted_by(&self, engine: &Engine) -> Result<TrustedBy, ArtifactError> {
        crate::artifact::deserialize::accept(engine, engine.settings(), &self.copy)
    }
}
