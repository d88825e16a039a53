//! The image of a module's code: text and tables in one run of bytes, which a process maps exactly as it lies in a
//! file.
//!
//! ```text
//!   0        64            │ pages                 │ pages
//!   │ ELF    │ ImageHeader │ tables, other parts … │ text │ parts that only files have │ section headers │ seal
//! ```
//!
//! The first 64 bytes are for an ELF file's header and zero until a file is made of the image. The header behind it
//! says where each [`Part`] lies and for which runtime the code was made; it is checked before anything else is read.
//! An image contains no addresses, and every table is an array of rows that are used in place.

use crate::{CodeTables, LinkedCode, TrampolineRow};
use std::fmt;
use std::ops::Range;
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout};

/// Bytes before the [`ImageHeader`]: an ELF file's header.
pub const IMAGE_HEADER_START: usize = 64;

/// The first bytes of an [`ImageHeader`].
pub const IMAGE_MAGIC: [u8; 8] = *b"belljar\n";

/// The version of this format. Changes whenever the format of images changes.
pub const IMAGE_FORMAT: u32 = 7;

/// Alignment of the text, of the parts behind it, and of initial contents of memories: a page of the target machines.
pub const IMAGE_PAGE: usize = 4096;

/// Alignment of the other parts.
const ALIGN: usize = 16;

macro_rules! parts {
    ($($(#[$doc:meta])* $name:ident = $section:literal;)*) => {
        /// A part of an image.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        #[repr(usize)]
        pub enum Part {
            $($(#[$doc])* $name,)*
        }

        impl Part {
            /// All parts, in the order of their ranges in the header.
            pub const ALL: &'static [Part] = &[$(Part::$name,)*];

            /// Returns the name of the ELF section that holds the part.
            pub const fn section(self) -> &'static str {
                match self {
                    $(Part::$name => $section,)*
                }
            }
        }
    };
}

parts! {
    /// Machine code, then read-only data.
    Text = ".text";
    /// [`CodeTables::funcs`].
    Funcs = ".belljar.funcs";
    /// [`CodeTables::accesses`].
    Accesses = ".belljar.accesses";
    /// [`CodeTables::traps`].
    Traps = ".belljar.traps";
    /// [`CodeTables::positions`].
    Positions = ".belljar.positions";
    /// [`CodeTables::inlined`].
    Inlined = ".belljar.inlined";
    /// [`CodeTables::stack_maps`].
    StackMaps = ".belljar.stack_maps";
    /// [`CodeTables::stack_slots`].
    StackSlots = ".belljar.stack_slots";
    /// [`CodeTables::handlers`].
    Handlers = ".belljar.handlers";
    /// Settings that the code was compiled with, as lines of text.
    Settings = ".belljar.settings";
    /// The results of validation.
    Metadata = ".belljar.metadata";
    /// The module's binary, or the parts of it that are needed after compilation.
    Binary = ".belljar.wasm";
    /// Initial contents of the module's memories, in whole pages. The metadata says where they belong.
    Memory = ".belljar.memory";
    /// The saved state of an instance, if instances are to start from a snapshot.
    Snapshot = ".belljar.snapshot";
    /// The trampolines of the module's function types: [`TrampolineRow`]s.
    Trampolines = ".belljar.trampolines";
    /// The code of the trampolines. It is copied to where it runs.
    TrampolineCode = ".belljar.trampoline_code";
}

/// The range of a part, relative to the start of the image.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct PartRange {
    /// Its first byte.
    pub start: u64,
    /// Its size in bytes.
    pub length: u64,
}

/// Where the parts of a module lie in an image, in the order of [`Part::ALL`].
pub type PartDirectory = [PartRange; Part::ALL.len()];

/// The header of an image. If the image holds several modules, the directories of all modules but the first follow it.
#[derive(Clone, PartialEq, Eq, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct ImageHeader {
    /// [`IMAGE_MAGIC`].
    pub magic: [u8; 8],
    /// [`IMAGE_FORMAT`].
    pub format: u32,
    /// Bytes of this header.
    pub size: u32,
    /// The version of the agreement between code and runtime: [`crate::FINGERPRINT`].
    pub abi: [[u8; 32]; 2],
    /// The key of the settings and the module that the code was compiled from.
    pub key: [u8; 32],
    /// How many modules the image holds.
    pub modules: u32,
    /// Zero.
    pub reserved: u32,
    /// The directory of the first module.
    pub parts: PartDirectory,
}

/// The reason why bytes are not an image for this runtime.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ImageError {
    /// The bytes do not start like an image.
    NotAnImage,
    /// The format belongs to another release.
    Format(u32),
    /// The agreement between code and runtime belongs to another release.
    Abi,
    /// The image holds this many modules, which is not what the caller expects, or more than the bytes have directories for.
    Modules(u32),
    /// A part lies outside the bytes, or is not a whole number of rows.
    Part(Part),
}

impl fmt::Display for ImageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAnImage => f.write_str("this is not a compiled module of belljar"),
            Self::Format(found) => {
                write!(
                    f,
                    "the compiled module has format {found}, but this release reads format {IMAGE_FORMAT}"
                )
            }
            Self::Abi => f.write_str(
                "the compiled module was made by another release, whose code cannot run in this one",
            ),
            Self::Modules(found) => {
                write!(f, "the compiled module holds {found} modules, but one whole module was expected")
            }
            Self::Part(part) => {
                write!(
                    f,
                    "the section {} of the compiled module has a wrong position or size",
                    part.section()
                )
            }
        }
    }
}

impl std::error::Error for ImageError {}

/// A view of a module in an image whose header has been checked.
#[derive(Clone, Copy, Debug)]
pub struct Image<'a> {
    bytes: &'a [u8],
    header: &'a ImageHeader,
    directory: &'a PartDirectory,
    tables: CodeTables<'a>,
}

impl<'a> Image<'a> {
    /// Checks the header of an image of one module and locates the tables. The bytes must start at a multiple of 16.
    ///
    /// # Errors
    ///
    /// Returns an error if the bytes are not an image of one module for this runtime. This does not detect tampering: a header
    /// cannot prove that the rest is unchanged.
    pub fn new(bytes: &'a [u8]) -> Result<Self, ImageError> {
        let header = header_for_this_runtime(bytes)?;
        match header.modules {
            1 => Self::of_module(bytes, header, &header.parts),
            count => Err(ImageError::Modules(count)),
        }
    }

    /// Checks the header of an image of any number of modules, and returns a view of each module. As [`Image::new`] otherwise.
    ///
    /// # Errors
    ///
    /// Returns an error if the bytes are not an image for this runtime.
    pub fn modules(bytes: &'a [u8]) -> Result<Vec<Self>, ImageError> {
        let header = header_for_this_runtime(bytes)?;
        let (first, others) = (std::slice::from_ref(&header.parts), other_directories(bytes, header)?);
        first.iter().chain(others).map(|directory| Self::of_module(bytes, header, directory)).collect()
    }

    fn of_module(
        bytes: &'a [u8],
        header: &'a ImageHeader,
        directory: &'a PartDirectory,
    ) -> Result<Self, ImageError> {
        for part in Part::ALL {
            slice(bytes, directory, *part)?;
        }
        let text = directory[Part::Text as usize];
        if !text.start.is_multiple_of(IMAGE_PAGE as u64) {
            return Err(ImageError::Part(Part::Text));
        }
        let tables = CodeTables {
            funcs: rows(bytes, directory, Part::Funcs)?,
            accesses: slice(bytes, directory, Part::Accesses)?,
            traps: rows(bytes, directory, Part::Traps)?,
            positions: slice(bytes, directory, Part::Positions)?,
            inlined: rows(bytes, directory, Part::Inlined)?,
            stack_maps: rows(bytes, directory, Part::StackMaps)?,
            stack_slots: rows(bytes, directory, Part::StackSlots)?,
            handlers: rows(bytes, directory, Part::Handlers)?,
        };
        Ok(Self { bytes, header, directory, tables })
    }

    /// Returns a part of an image of this format, whatever runtime it was made for.
    pub fn part_of_any(bytes: &'a [u8], part: Part) -> Option<&'a [u8]> {
        let header = header(bytes).ok()?;
        slice(bytes, &header.parts, part).ok()
    }

    /// Its header.
    pub fn header(&self) -> &'a ImageHeader {
        self.header
    }

    /// Its tables.
    pub fn tables(&self) -> CodeTables<'a> {
        self.tables
    }

    /// Returns the bytes of a part.
    pub fn part(&self, part: Part) -> &'a [u8] {
        slice(self.bytes, self.directory, part).expect("the header was checked")
    }

    /// Returns the range of a part.
    pub fn range(&self, part: Part) -> Range<usize> {
        range(self.directory, part)
    }

    /// Returns the trampolines, and the bytes that hold their code.
    ///
    /// # Errors
    ///
    /// Returns an error if the part is not a whole number of rows.
    pub fn trampolines(&self) -> Result<(&'a [TrampolineRow], &'a [u8]), ImageError> {
        let rows = rows(self.bytes, self.directory, Part::Trampolines)?;
        Ok((rows, self.part(Part::TrampolineCode)))
    }

    /// Returns the range of the pages that hold the text.
    pub fn text_pages(&self) -> Range<usize> {
        let text = self.range(Part::Text);
        text.start..text.end.next_multiple_of(IMAGE_PAGE).min(self.bytes.len())
    }
}

/// Returns the header of an image of this format that was made for this runtime.
fn header_for_this_runtime(bytes: &[u8]) -> Result<&ImageHeader, ImageError> {
    let header = header(bytes)?;
    match header.abi == crate::FINGERPRINT {
        true => Ok(header),
        false => Err(ImageError::Abi),
    }
}

/// Returns the directories of all modules of an image but the first.
fn other_directories<'a>(bytes: &'a [u8], header: &ImageHeader) -> Result<&'a [PartDirectory], ImageError> {
    let wrong = ImageError::Modules(header.modules);
    let count = (header.modules as usize).checked_sub(1).ok_or(wrong.clone())?;
    let rest = &bytes[IMAGE_HEADER_START + size_of::<ImageHeader>()..];
    let length = count.checked_mul(size_of::<PartDirectory>()).ok_or(wrong.clone())?;
    let directories = rest.get(..length).ok_or(wrong.clone())?;
    <[PartDirectory]>::ref_from_bytes(directories).map_err(|_| wrong)
}

/// Returns the header of an image of this format.
fn header(bytes: &[u8]) -> Result<&ImageHeader, ImageError> {
    let (header, _) = bytes
        .get(IMAGE_HEADER_START..)
        .and_then(|rest| ImageHeader::ref_from_prefix(rest).ok())
        .filter(|(header, _)| header.magic == IMAGE_MAGIC)
        .ok_or(ImageError::NotAnImage)?;
    if header.format != IMAGE_FORMAT {
        return Err(ImageError::Format(header.format));
    }
    // Between two releases the format may have changed without a new version number.
    if header.size as usize != size_of::<ImageHeader>() {
        return Err(ImageError::Abi);
    }
    Ok(header)
}

fn range(directory: &PartDirectory, part: Part) -> Range<usize> {
    let PartRange { start, length } = directory[part as usize];
    start as usize..start.saturating_add(length) as usize
}

fn slice<'a>(bytes: &'a [u8], directory: &PartDirectory, part: Part) -> Result<&'a [u8], ImageError> {
    bytes.get(range(directory, part)).ok_or(ImageError::Part(part))
}

fn rows<'a, T: FromBytes + Immutable + KnownLayout>(
    bytes: &'a [u8],
    directory: &PartDirectory,
    part: Part,
) -> Result<&'a [T], ImageError> {
    <[T]>::ref_from_bytes(slice(bytes, directory, part)?).map_err(|_| ImageError::Part(part))
}

/// Writes an image.
#[derive(Debug)]
pub struct ImageWriter {
    bytes: Vec<u8>,
    header: ImageHeader,
    /// The directories of all modules but the first.
    others: Vec<PartDirectory>,
}

impl ImageWriter {
    /// Starts the image of one module with its linked code and tables, and the settings that it was compiled with.
    pub fn new(code: &LinkedCode, settings: &str) -> Self {
        Self::of_modules(&[code], settings)
    }

    /// Starts the image of several modules, which were compiled with the same settings.
    ///
    /// # Panics
    ///
    /// Panics if there is no module.
    pub fn of_modules(modules: &[&LinkedCode], settings: &str) -> Self {
        let mut header = ImageHeader::new_zeroed();
        header.magic = IMAGE_MAGIC;
        header.format = IMAGE_FORMAT;
        header.size = size_of::<ImageHeader>() as u32;
        header.abi = crate::FINGERPRINT;
        header.modules = modules.len() as u32;
        let others =
            vec![PartDirectory::new_zeroed(); modules.len().checked_sub(1).expect("at least one module")];
        let mut writer = Self { bytes: Vec::new(), header, others };
        let parts =
            |code: &LinkedCode| writer_parts(code.tables(), settings).map(|(_, part)| part.len() + ALIGN);
        let size = |code: &LinkedCode| parts(code).iter().sum::<usize>() + code.text.len() + IMAGE_PAGE;
        let directories = writer.others.len() * size_of::<PartDirectory>();
        let start = IMAGE_HEADER_START + size_of::<ImageHeader>() + directories;
        writer.bytes.reserve(start + modules.iter().map(|code| size(code)).sum::<usize>() + 3 * IMAGE_PAGE);
        writer.bytes.resize(start, 0);
        for (module, code) in modules.iter().enumerate() {
            for (part, bytes) in writer_parts(code.tables(), settings) {
                writer.put(module, part, bytes, ALIGN);
            }
        }
        for (module, code) in modules.iter().enumerate() {
            writer.put(module, Part::Text, &code.text, IMAGE_PAGE);
        }
        writer.pad(IMAGE_PAGE);
        writer
    }

    /// Starts an image with the text of another image of one module and everything before it.
    pub fn of(image: Image<'_>) -> Self {
        let end = image.text_pages().end;
        let mut writer =
            Self { bytes: image.bytes[..end].to_vec(), header: image.header.clone(), others: Vec::new() };
        writer.header.parts.iter_mut().filter(|part| part.start >= end as u64).for_each(PartRange::zero);
        writer.pad(IMAGE_PAGE);
        writer
    }

    /// Sets the key of the settings and the module that the code was compiled from.
    pub fn set_key(&mut self, key: [u8; 32]) {
        self.header.key = key;
    }

    /// Adds a part to the first module.
    pub fn add(&mut self, part: Part, bytes: &[u8]) {
        self.add_to(0, part, bytes);
    }

    /// Adds a part to a module.
    ///
    /// # Panics
    ///
    /// Panics if there is no such module.
    pub fn add_to(&mut self, module: usize, part: Part, bytes: &[u8]) {
        let align = if part == Part::Memory && !bytes.is_empty() { IMAGE_PAGE } else { ALIGN };
        self.put(module, part, bytes, align);
    }

    /// Returns the image.
    pub fn finish(self) -> Vec<u8> {
        self.finish_with_header().0
    }

    /// Returns the image and a copy of its header.
    pub fn finish_with_header(mut self) -> (Vec<u8>, ImageHeader) {
        self.header
            .write_to_prefix(&mut self.bytes[IMAGE_HEADER_START..])
            .expect("the image starts with space for its header");
        self.others
            .write_to_prefix(&mut self.bytes[IMAGE_HEADER_START + size_of::<ImageHeader>()..])
            .expect("the image starts with space for its directories");
        (self.bytes, self.header)
    }

    fn put(&mut self, module: usize, part: Part, bytes: &[u8], align: usize) {
        self.pad(align);
        let start = self.bytes.len() as u64;
        let directory = match module.checked_sub(1) {
            None => &mut self.header.parts,
            Some(other) => &mut self.others[other],
        };
        directory[part as usize] = PartRange { start, length: bytes.len() as u64 };
        self.bytes.extend_from_slice(bytes);
    }

    fn pad(&mut self, align: usize) {
        self.bytes.resize(self.bytes.len().next_multiple_of(align), 0);
    }
}

/// The parts of a module that lie before the text.
fn writer_parts<'a>(tables: CodeTables<'a>, settings: &'a str) -> [(Part, &'a [u8]); 9] {
    [
        (Part::Funcs, tables.funcs.as_bytes()),
        (Part::Accesses, tables.accesses),
        (Part::Traps, tables.traps.as_bytes()),
        (Part::Positions, tables.positions),
        (Part::Inlined, tables.inlined.as_bytes()),
        (Part::StackMaps, tables.stack_maps.as_bytes()),
        (Part::StackSlots, tables.stack_slots.as_bytes()),
        (Part::Handlers, tables.handlers.as_bytes()),
        (Part::Settings, settings.as_bytes()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{FuncRange, TrapSite};
    use belljar_core::{CodeOffset, Trap};

    fn artifact() -> LinkedCode {
        LinkedCode {
            text: vec![0x90; 5000],
            funcs: vec![FuncRange { start: CodeOffset(0), length: 10, inlined: 0, positions: 0 }],
            traps: vec![TrapSite::new(CodeOffset(3), Trap::IntegerOverflow)],
            ..LinkedCode::default()
        }
    }

    /// Bytes at an aligned address, like a mapping.
    #[repr(align(16))]
    struct Aligned<const N: usize>([u8; N]);

    fn aligned(bytes: &[u8]) -> Box<Aligned<{ 8 * IMAGE_PAGE }>> {
        let mut aligned = Box::new(Aligned([0; 8 * IMAGE_PAGE]));
        aligned.0[..bytes.len()].copy_from_slice(bytes);
        aligned
    }

    #[test]
    fn an_image_holds_what_was_put_in() {
        let artifact = artifact();
        let mut writer = ImageWriter::new(&artifact, "a = b\n");
        writer.add(Part::Binary, b"wasm");
        writer.add(Part::Memory, b"data");
        writer.set_key([7; 32]);
        let bytes = aligned(&writer.finish());
        let image = Image::new(&bytes.0).unwrap();
        assert_eq!(image.part(Part::Text), artifact.text);
        assert_eq!(image.part(Part::Binary), b"wasm");
        assert_eq!(image.part(Part::Memory), b"data");
        assert!(image.range(Part::Memory).start.is_multiple_of(IMAGE_PAGE));
        assert_eq!(image.part(Part::Settings), b"a = b\n");
        assert_eq!(image.tables().funcs, artifact.funcs);
        assert_eq!(image.tables().trap_at(CodeOffset(3)), Some(Trap::IntegerOverflow));
        assert_eq!(image.header().key, [7; 32]);
        assert!(image.text_pages().len() == 2 * IMAGE_PAGE);
        let again = ImageWriter::of(image).finish();
        let again = aligned(&again);
        assert!(Image::new(&again.0).unwrap().part(Part::Binary).is_empty());
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let bytes = ImageWriter::new(&artifact(), "").finish();
        let change = |at: usize, to: &[u8]| {
            let mut bytes = bytes.clone();
            bytes[at..at + to.len()].copy_from_slice(to);
            Image::new(&aligned(&bytes).0).map(|_| ()).unwrap_err()
        };
        assert_eq!(Image::new(&[0; 10]).unwrap_err(), ImageError::NotAnImage);
        assert_eq!(change(64, b"x"), ImageError::NotAnImage);
        assert_eq!(change(72, &[9]), ImageError::Format(9));
        assert_eq!(change(76, &[1]), ImageError::Abi);
        assert_eq!(change(80, &[!bytes[80]]), ImageError::Abi);
        let part = |part: Part| 64 + std::mem::offset_of!(ImageHeader, parts) + part as usize * 16;
        assert_eq!(change(part(Part::Traps), &[255; 8]), ImageError::Part(Part::Traps));
        assert_eq!(change(part(Part::Funcs) + 8, &[13]), ImageError::Part(Part::Funcs));
        assert_eq!(change(part(Part::Text), &[1]), ImageError::Part(Part::Text));
    }

    #[test]
    fn several_modules_lie_in_one_image() {
        let (first, mut second) = (artifact(), artifact());
        second.text.push(0x90);
        let mut writer = ImageWriter::of_modules(&[&first, &second], "a = b\n");
        writer.add(Part::Binary, b"first");
        writer.add_to(1, Part::Binary, b"second");
        let bytes = aligned(&writer.finish());
        assert_eq!(Image::new(&bytes.0).unwrap_err(), ImageError::Modules(2));
        let modules = Image::modules(&bytes.0).unwrap();
        let of = |part: Part| modules.iter().map(|module| module.part(part)).collect::<Vec<_>>();
        assert_eq!(of(Part::Text), [&first.text[..], &second.text]);
        assert_eq!(of(Part::Binary), [&b"first"[..], b"second"]);
        assert_eq!(of(Part::Settings), [b"a = b\n"; 2]);
        assert!(modules[0].text_pages().end <= modules[1].text_pages().start);
        assert_eq!(modules[1].tables().funcs, second.funcs);
        // An image of one module is one of several, too.
        let bytes = aligned(&ImageWriter::new(&first, "").finish());
        assert_eq!(Image::modules(&bytes.0).unwrap().len(), 1);
        for count in [0_u32, u32::MAX] {
            let mut changed = aligned(&bytes.0);
            let at = IMAGE_HEADER_START + std::mem::offset_of!(ImageHeader, modules);
            changed.0[at..at + 4].copy_from_slice(&count.to_le_bytes());
            assert_eq!(Image::new(&changed.0).unwrap_err(), ImageError::Modules(count));
            assert_eq!(Image::modules(&changed.0).unwrap_err(), ImageError::Modules(count));
        }
    }
}
