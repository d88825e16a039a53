//! Turns an image of code into an ELF file that holds a whole module and that objdump, perf, gdb and readelf
//! understand.
//!
//! The image's bytes stay where they are. The parts that only files have follow them: initial contents of memories,
//! metadata, the binary (or the needed parts of it), symbols, section headers, and at the very end space for a seal.

use crate::StoredTrampolines;
use belljar_abi::{IMAGE_HEADER_START, Image, ImageHeader, ImageWriter, Part, PartRange};
use belljar_core::{DefinedFuncIndex, OutsideText};
use belljar_module::{Module, ModuleMetadata};
use object::elf;
use object::endian::{LittleEndian as LE, U16, U32, U64};
use object::pod::{bytes_of, bytes_of_slice};
use std::borrow::Cow;

/// How much of the module's binary a file keeps.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Keep {
    /// Nothing: the program that loads the file has the binary.
    Nothing,
    /// Everything except the code and the data that images of memories hold.
    WithoutCode,
    /// Everything, so that the module can be compiled again.
    All,
}

/// What a file contains besides a module's code.
pub struct FileContents<'a> {
    /// How much of the binary.
    pub keep: Keep,
    /// The saved state to start instances from; may be empty.
    pub snapshot: &'a [u8],
    /// The trampolines of the module's function types; may be empty.
    pub trampolines: &'a StoredTrampolines,
    /// Whether there is a symbol for each function.
    pub symbols: bool,
}

/// Creates a file from a module and the image of its code. The file ends with zeros as space for a seal, whose size
/// `seal` computes from the number of bytes before it.
pub fn object_file(
    image: Image<'_>,
    module: &Module,
    key: [u8; 32],
    contents: FileContents<'_>,
    seal: impl Fn(usize) -> usize,
) -> Vec<u8> {
    let FileContents { keep, snapshot, trampolines, symbols } = contents;
    let mut writer = ImageWriter::of(image);
    writer.set_key(key);
    let images = module.memory_images();
    writer.add(Part::Memory, images.bytes());
    writer.add(Part::Metadata, ModuleMetadata::of(module, &images).as_bytes());
    match keep {
        Keep::Nothing => {}
        Keep::WithoutCode => writer.add(Part::Binary, &module.lean_binary(&images).to_bytes()),
        Keep::All => writer.add(Part::Binary, &module.binary().to_bytes()),
    }
    writer.add(Part::Snapshot, snapshot);
    trampolines.add_to(&mut writer);
    let (bytes, header) = writer.finish_with_header();
    File { bytes, sections: Vec::new(), names: vec![0] }.finish(
        &header,
        image,
        symbols.then_some(module),
        seal,
    )
}

/// A file under construction.
struct File {
    bytes: Vec<u8>,
    sections: Vec<elf::SectionHeader64<LE>>,
    /// Names of sections.
    names: Vec<u8>,
}

/// Index of the text section: the first after the null section.
const TEXT: u16 = 1;

impl File {
    fn finish(
        mut self,
        header: &ImageHeader,
        image: Image<'_>,
        symbols_of: Option<&Module>,
        seal: impl Fn(usize) -> usize,
    ) -> Vec<u8> {
        self.sections.push(section(0, elf::SHT_NULL, PartRange::default()));
        for part in Part::ALL {
            self.part(*part, header.parts[*part as usize]);
        }
        let whole = PartRange { start: IMAGE_HEADER_START as u64, length: size_of::<ImageHeader>() as u64 };
        self.named(".belljar.header", elf::SHT_PROGBITS, whole);
        if let Some(module) = symbols_of {
            self.symbols(header.parts[Part::Text as usize].start, image, module);
        }
        let programs = self.append(8, bytes_of_slice(&load_segments(header, image)));
        // The last two sections, whose names must be in the section with the names.
        let name = self.name(".shstrtab");
        let seal_name = self.name(".belljar.seal");
        let names = std::mem::take(&mut self.names);
        let place = self.append(1, &names);
        self.sections.push(section(name, elf::SHT_STRTAB, place));
        let count = self.sections.len() + 1;
        let sections = self.bytes.len().next_multiple_of(8);
        let end = sections + count * size_of::<elf::SectionHeader64<LE>>();
        let seal = seal(end);
        let place = PartRange { start: end as u64, length: seal as u64 };
        self.sections.push(section(seal_name, elf::SHT_PROGBITS, place));
        let headers = std::mem::take(&mut self.sections);
        self.append(8, bytes_of_slice(&headers));
        self.bytes.resize(end + seal, 0);
        let file = file_header(programs.start, sections as u64, count as u16);
        self.bytes[..IMAGE_HEADER_START].copy_from_slice(bytes_of(&file));
        self.bytes
    }

    fn part(&mut self, part: Part, place: PartRange) {
        let name = self.name(part.section());
        let mut header = section(name, elf::SHT_PROGBITS, place);
        if part == Part::Text {
            header.sh_flags = U64::new(LE, u64::from(elf::SHF_ALLOC | elf::SHF_EXECINSTR));
            header.sh_addr = U64::new(LE, place.start);
        }
        if matches!(part, Part::Text | Part::Memory) {
            header.sh_addralign = U64::new(LE, belljar_abi::IMAGE_PAGE as u64);
        }
        self.sections.push(header);
    }

    fn named(&mut self, name: &str, ty: u32, place: PartRange) {
        let name = self.name(name);
        self.sections.push(section(name, ty, place));
    }

    fn name(&mut self, name: &str) -> u32 {
        let at = self.names.len() as u32;
        self.names.extend_from_slice(name.as_bytes());
        self.names.push(0);
        at
    }

    fn append(&mut self, align: usize, bytes: &[u8]) -> PartRange {
        self.bytes.resize(self.bytes.len().next_multiple_of(align), 0);
        let start = self.bytes.len() as u64;
        self.bytes.extend_from_slice(bytes);
        PartRange { start, length: bytes.len() as u64 }
    }

    /// Adds a symbol for each function.
    fn symbols(&mut self, text: u64, image: Image<'_>, module: &Module) {
        let mut strings = vec![0];
        let mut symbols = vec![symbol(0, 0, 0, 0)];
        for (i, func) in image.tables().funcs.iter().enumerate() {
            let at = strings.len() as u32;
            strings.extend(printed_name(module, DefinedFuncIndex::new(i)).bytes().filter(|&b| b != 0));
            strings.push(0);
            symbols.push(symbol(at, text + u64::from(func.start.0), u64::from(func.length), TEXT));
        }
        let strings_index = self.sections.len() as u32 + 1;
        let place = self.append(8, bytes_of_slice(&symbols));
        self.named(".symtab", elf::SHT_SYMTAB, place);
        let table = self.sections.last_mut().expect("it was just added");
        table.sh_link = U32::new(LE, strings_index);
        // Symbols from this index on are not local.
        table.sh_info = U32::new(LE, symbols.len() as u32);
        table.sh_entsize = U64::new(LE, size_of::<elf::Sym64<LE>>() as u64);
        let place = self.append(1, &strings);
        self.named(".strtab", elf::SHT_STRTAB, place);
    }
}

/// Returns a function's name, escaped: tools that list symbols print it, and terminals must not
/// interpret it.
fn printed_name(module: &Module, func: DefinedFuncIndex) -> Cow<'_, str> {
    let func = module.func_index(func);
    let name = module.names().func(func).map(|name| OutsideText::new(name).to_cow());
    name.unwrap_or_else(|| format!("wasm[{}]", func.0).into())
}

fn section(name: u32, ty: u32, place: PartRange) -> elf::SectionHeader64<LE> {
    elf::SectionHeader64 {
        sh_name: U32::new(LE, name),
        sh_type: U32::new(LE, ty),
        sh_flags: U64::new(LE, 0),
        sh_addr: U64::new(LE, 0),
        sh_offset: U64::new(LE, place.start),
        sh_size: U64::new(LE, place.length),
        sh_link: U32::new(LE, 0),
        sh_info: U32::new(LE, 0),
        sh_addralign: U64::new(LE, 1),
        sh_entsize: U64::new(LE, 0),
    }
}

fn symbol(name: u32, value: u64, size: u64, section: u16) -> elf::Sym64<LE> {
    let is_null = section == elf::SHN_UNDEF;
    elf::Sym64 {
        st_name: U32::new(LE, name),
        st_info: if is_null { 0 } else { (elf::STB_LOCAL << 4) | elf::STT_FUNC },
        st_other: 0,
        st_shndx: U16::new(LE, section),
        st_value: U64::new(LE, value),
        st_size: U64::new(LE, size),
    }
}

/// Returns the segments that a loader would map: everything before the text as readable, and the text as executable.
fn load_segments(header: &ImageHeader, image: Image<'_>) -> [elf::ProgramHeader64<LE>; 2] {
    let text = header.parts[Part::Text as usize].start;
    let segment = |flags: u32, start: u64, length: u64| elf::ProgramHeader64 {
        p_type: U32::new(LE, elf::PT_LOAD),
        p_flags: U32::new(LE, flags),
        p_offset: U64::new(LE, start),
        p_vaddr: U64::new(LE, start),
        p_paddr: U64::new(LE, start),
        p_filesz: U64::new(LE, length),
        p_memsz: U64::new(LE, length),
        p_align: U64::new(LE, belljar_abi::IMAGE_PAGE as u64),
    };
    [segment(elf::PF_R, 0, text), segment(elf::PF_R | elf::PF_X, text, image.text_pages().len() as u64)]
}

fn file_header(programs: u64, sections: u64, count: u16) -> elf::FileHeader64<LE> {
    elf::FileHeader64 {
        e_ident: elf::Ident {
            magic: elf::ELFMAG,
            class: elf::ELFCLASS64,
            data: elf::ELFDATA2LSB,
            version: elf::EV_CURRENT,
            os_abi: elf::ELFOSABI_NONE,
            abi_version: 0,
            padding: [0; 7],
        },
        e_type: U16::new(LE, elf::ET_DYN),
        e_machine: U16::new(LE, elf::EM_X86_64),
        e_version: U32::new(LE, elf::EV_CURRENT.into()),
        e_entry: U64::new(LE, 0),
        e_phoff: U64::new(LE, programs),
        e_shoff: U64::new(LE, sections),
        e_flags: U32::new(LE, 0),
        e_ehsize: U16::new(LE, IMAGE_HEADER_START as u16),
        e_phentsize: U16::new(LE, size_of::<elf::ProgramHeader64<LE>>() as u16),
        e_phnum: U16::new(LE, 2),
        e_shentsize: U16::new(LE, size_of::<elf::SectionHeader64<LE>>() as u16),
        e_shnum: U16::new(LE, count),
        // The seal follows the section with the names.
        e_shstrndx: U16::new(LE, count - 2),
    }
}
