//! How a linker divided a memory into stack, data and heap, inferred from the module's globals and segments.
//!
//! ```text
//!   stack first (the newer default)          data first
//!   0 ┌────────┐                             0 ┌────────┐
//!     │ stack ↑│                               │ data   │
//!     ├────────┤ __stack_pointer               ├────────┤ __data_end
//!     │ data   │                               │ stack ↑│
//!     ├────────┤ __data_end                    ├────────┤ __stack_pointer = __heap_base
//!     │ heap  ↓│ __heap_base                   │ heap  ↓│
//! ```

use super::description::{DataSegment, Layout, Region, Symbol};
use super::passive::Zeroed;
use std::collections::BTreeMap;
use wasmparser::{GlobalType, ValType};

/// Linker-defined globals that hold addresses.
const SYMBOLS: &[&str] = &[
    "__stack_pointer",
    "__stack_low",
    "__stack_high",
    "__global_base",
    "__data_end",
    "__heap_base",
    "__heap_end",
    "__tls_base",
];

/// A global that the module defines.
pub(super) struct DefinedGlobal {
    pub(super) index: u32,
    pub(super) ty: GlobalType,
    /// Its initial value, if it is an integer constant.
    pub(super) value: Option<u64>,
}

/// Returns the layout; `None` if nothing is known. `names` are those of exports and of the name section; `zeroed`
/// ranges count as data.
pub(super) fn of(
    globals: &[DefinedGlobal],
    names: &BTreeMap<u32, Vec<String>>,
    data: &[DataSegment],
    zeroed: &[Zeroed],
) -> Option<Layout> {
    let symbols = symbols(globals, names);
    let regions = regions(&symbols, data, zeroed);
    (!symbols.is_empty() || !regions.is_empty()).then_some(Layout { symbols, regions })
}

fn symbols(globals: &[DefinedGlobal], names: &BTreeMap<u32, Vec<String>>) -> Vec<Symbol> {
    let mut symbols = Vec::new();
    for known in SYMBOLS {
        let is_it = |g: &&DefinedGlobal| names.get(&g.index).is_some_and(|n| n.iter().any(|n| n == known));
        if let Some(address) = globals.iter().find(is_it).and_then(|g| g.value) {
            symbols.push(Symbol { name: (*known).into(), address, guessed: false });
        }
    }
    // Linkers define the stack pointer as the first global, and no other mutable global starts with an address.
    let unnamed = symbols.iter().all(|s| s.name != SYMBOLS[0]);
    if unnamed
        && let Some(first) = globals.first()
        && first.ty.mutable
        && matches!(first.ty.content_type, ValType::I32 | ValType::I64)
        && let Some(address) = first.value
        && address >= 1024
        && address % 16 == 0
    {
        symbols.insert(0, Symbol { name: SYMBOLS[0].into(), address, guessed: true });
    }
    symbols
}

fn regions(symbols: &[Symbol], data: &[DataSegment], zeroed: &[Zeroed]) -> Vec<Region> {
    let symbol = |name: &str| symbols.iter().find(|s| s.name == name).map(|s| s.address);
    let placed = || data.iter().filter(|d| d.memory == Some(0)).filter_map(|d| Some((d.address?, d.size)));
    let data_start = symbol("__global_base").or(placed().map(|(start, _)| start).min());
    // Zeroed data has no segment, but `__data_end` includes it.
    let ends = placed().chain(zeroed.iter().filter(|z| z.memory == 0).map(|z| (z.address, z.size)));
    let data_end =
        symbol("__data_end").into_iter().chain(ends.map(|(start, size)| start.saturating_add(size))).max();
    let is_placed = data.iter().all(|d| d.address.is_some() || d.size == 0);
    let stack_top = symbol("__stack_high").or(symbol("__stack_pointer"));
    let stack_low = symbol("__stack_low").or(match (stack_top, data_start, data_end) {
        (Some(top), Some(start), _) if top <= start => Some(0),
        (Some(top), _, Some(end)) if end <= top => Some(end),
        (Some(_), None, None) if is_placed => Some(0),
        _ => None,
    });
    let mut regions = Vec::new();
    if let (Some(start), Some(end)) = (data_start, data_end) {
        regions.push(Region { what: "data", start, end: Some(end) });
    }
    if let (Some(start), Some(end)) = (stack_low, stack_top) {
        regions.push(Region { what: "stack", start, end: Some(end) });
    }
    if let Some(start) = symbol("__heap_base") {
        regions.push(Region { what: "heap", start, end: symbol("__heap_end") });
    }
    regions.sort_by_key(|r| r.start);
    regions
}

#[cfg(test)]
mod tests {
    use super::*;

    fn symbol(name: &str, address: u64) -> Symbol {
        Symbol { name: name.into(), address, guessed: false }
    }

    fn segment(address: u64, size: u64) -> DataSegment {
        DataSegment { memory: Some(0), address: Some(address), passive: false, size }
    }

    #[test]
    fn the_stack_lies_below_data_that_starts_above_it() {
        let found = regions(
            &[symbol("__stack_pointer", 65536), symbol("__heap_base", 70016)],
            &[segment(65536, 100), segment(65700, 300)],
            &[],
        );
        let expected = [
            Region { what: "stack", start: 0, end: Some(65536) },
            Region { what: "data", start: 65536, end: Some(66000) },
            Region { what: "heap", start: 70016, end: None },
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn the_stack_lies_above_data_that_ends_below_it() {
        let found = regions(&[symbol("__stack_pointer", 66560)], &[segment(1024, 16)], &[]);
        let expected = [
            Region { what: "data", start: 1024, end: Some(1040) },
            Region { what: "stack", start: 1040, end: Some(66560) },
        ];
        assert_eq!(found, expected);
    }
}
