//! Finds the item of a binary that a position lies in, for errors in modules that were written as text.

use wasmparser::{FromReader, OperatorsReader, Parser, Payload, SectionLimited};

/// An item of a module's binary. The numbers count the items of one kind, in the order of their sections.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Item {
    /// A type, or a group of recursive types.
    TypeGroup(usize),
    /// An entry of the import section: an import, or several that share their module's name.
    Import(usize),
    /// A function that the module defines.
    Func(usize),
    /// A table that the module defines.
    Table(usize),
    /// A memory that the module defines.
    Memory(usize),
    /// A tag that the module defines.
    Tag(usize),
    /// A global that the module defines.
    Global(usize),
    /// An export.
    Export(usize),
    /// The start function.
    Start,
    /// An element segment.
    Elem(usize),
    /// A data segment.
    Data(usize),
    /// An instruction in the body of a function that the module defines.
    Instruction {
        /// The function.
        func: usize,
        /// The number of instructions before it. The final `end` is one.
        index: usize,
    },
}

/// Returns the item that a byte position lies in. Returns `None` if it lies in none, or if the binary is malformed
/// before it.
///
/// ```
/// use belljar_module::{Item, item_at};
/// let binary = wat::parse_str("(module (func) (func nop i32.const 1))").unwrap();
/// let at = binary.iter().position(|byte| *byte == 0x41).unwrap();
/// assert_eq!(item_at(&binary, at as u64), Some(Item::Instruction { func: 1, index: 1 }));
/// ```
pub fn item_at(binary: &[u8], position: u64) -> Option<Item> {
    let mut bodies = 0;
    for payload in Parser::new(0).parse_all(binary) {
        let found = match payload.ok()? {
            Payload::TypeSection(section) => entry_at(section, position, Item::TypeGroup),
            Payload::ImportSection(section) => entry_at(section, position, Item::Import),
            Payload::FunctionSection(section) => entry_at(section, position, Item::Func),
            Payload::TableSection(section) => entry_at(section, position, Item::Table),
            Payload::MemorySection(section) => entry_at(section, position, Item::Memory),
            Payload::TagSection(section) => entry_at(section, position, Item::Tag),
            Payload::GlobalSection(section) => entry_at(section, position, Item::Global),
            Payload::ExportSection(section) => entry_at(section, position, Item::Export),
            Payload::StartSection { range, .. } => range.contains(&position).then_some(Item::Start),
            Payload::ElementSection(section) => entry_at(section, position, Item::Elem),
            Payload::DataSection(section) => entry_at(section, position, Item::Data),
            Payload::CodeSectionEntry(body) => {
                let func = bodies;
                bodies += 1;
                match body.range().contains(&position) {
                    true => body.get_operators_reader().ok().map(|ops| instruction_at(ops, func, position)),
                    false => None,
                }
            }
            _ => None,
        };
        if found.is_some() {
            return found;
        }
    }
    None
}

/// Returns the entry of a section that a position lies in.
fn entry_at<'a, T: FromReader<'a>>(
    section: SectionLimited<'a, T>,
    position: u64,
    item: fn(usize) -> Item,
) -> Option<Item> {
    if !section.range().contains(&position) {
        return None;
    }
    if section.count() == 0 {
        return None;
    }
    let starts = section.into_iter_with_offsets().map_while(Result::ok).map(|(start, _)| start);
    let begun = starts.take_while(|start| *start <= position).count();
    // A position before all entries, at their number, stands for the first.
    Some(item(begun.saturating_sub(1)))
}

/// Returns the last instruction of a body that begins at or before a position; the function if none does.
fn instruction_at(mut instructions: OperatorsReader<'_>, func: usize, position: u64) -> Item {
    let mut before = 0;
    while !instructions.eof() && instructions.original_position() <= position {
        before += 1;
        if instructions.read().is_err() {
            break;
        }
    }
    match before {
        0 => Item::Func(func),
        number => Item::Instruction { func, index: number - 1 },
    }
}
