//! The custom section `metadata.code.branch_hint`: which branches are likely to be taken.

use belljar_core::FuncIndex;
use std::collections::HashMap;
use wasmparser::{BinaryReader, BranchHintSectionReader};

/// The name of the section.
pub(crate) const SECTION: &str = "metadata.code.branch_hint";

/// Branch hints of a module. Reading stops at the first malformed hint.
#[derive(Clone, Debug, Default)]
pub struct BranchHints {
    /// For each function, the offsets in its body that have hints, ascending.
    funcs: HashMap<FuncIndex, Vec<(u32, bool)>>,
}

impl BranchHints {
    pub(crate) fn read(section: &[u8]) -> Self {
        let mut hints = Self::default();
        let Ok(reader) = BranchHintSectionReader::new(BinaryReader::new(section, 0)) else { return hints };
        for func in reader.into_iter().map_while(Result::ok) {
            let read = func.hints.into_iter().map_while(Result::ok).map(|h| (h.func_offset, h.taken));
            let mut positions: Vec<_> = read.collect();
            positions.sort_unstable();
            hints.funcs.insert(FuncIndex(func.func), positions);
        }
        hints
    }

    /// Returns whether there are no hints.
    pub fn is_empty(&self) -> bool {
        self.funcs.is_empty()
    }

    /// Returns the hint for the `if` or `br_if` at an offset in a function's body, if there is one.
    pub fn likely(&self, func: FuncIndex, offset: u32) -> Option<bool> {
        let positions = self.funcs.get(&func)?;
        let found = positions.binary_search_by_key(&offset, |(at, _)| *at).ok()?;
        Some(positions[found].1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hints_are_read_up_to_the_first_that_is_malformed() {
        // Function 3: unlikely at 5, likely at 9; function 4: a hint of two bytes.
        let section = [2, 3, 2, 5, 1, 0, 9, 1, 1, 4, 1, 7, 2, 0];
        let hints = BranchHints::read(&section);
        assert_eq!(hints.likely(FuncIndex(3), 5), Some(false));
        assert_eq!(hints.likely(FuncIndex(3), 9), Some(true));
        assert_eq!(hints.likely(FuncIndex(3), 6), None);
        assert_eq!(hints.likely(FuncIndex(4), 7), None);
        for end in 0..section.len() {
            BranchHints::read(&section[..end]);
        }
        assert!(BranchHints::read(&[0xff; 9]).is_empty());
    }
}
