//! Checks whether debug information belongs to a module's code.
//!
//! In: the DWARF of a module, a position, the function of the module that contains it. Out: whether what DWARF has for
//! the position can be right. Never: the names and lines themselves.
//!
//! Tools that rewrite code may keep custom sections unchanged (npm's `wasm-opt`, which is built without support for
//! DWARF). Then every address refers to something else, and lines that look right belong to other functions. Two
//! properties reveal this: a DWARF subprogram is a wasm function, so it lies within one body; and both have the same
//! name.

use crate::printed_name::PrintedName;
use crate::section_reader::SectionReader;
use gimli::{AttributeValue, UnitRef};
use std::collections::HashMap;
use std::ops::Range;

/// The most subprograms that are checked for an address: well-formed information has one.
const MAX_CANDIDATES: usize = 64;

/// The most subprograms of a unit that are kept: more than any real unit has, and few enough to bound a malicious one.
const MAX_SUBPROGRAMS: usize = 1 << 20;

/// The longest length field before a body, which belongs to the function.
const MAX_LENGTH_PREFIX: u64 = 5;

/// Addresses below this are in no function: the code section begins with the number of functions and the length of the first.
const FIRST_FUNCTION: u64 = 2;

/// The most bytes before a body's first instruction that a subprogram may exclude: declarations of locals.
const MAX_LOCALS: u64 = 16;

/// How well a subprogram matches a function's body.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum SubprogramFit {
    /// No subprogram covers the address.
    Missing,
    /// No subprogram at the address begins where the function's body does and lies within it.
    Mismatch,
    /// A subprogram does. It may end earlier: compilers exclude what follows a call that does not return.
    SameStart,
    /// A subprogram begins and ends where the body does.
    Exact,
}

/// The address ranges of subprograms, for the units that were looked up so far.
pub(crate) struct Subprograms {
    units: HashMap<gimli::UnitSectionOffset, Vec<Range<u64>>>,
    /// The lowest address that a function can have.
    first: u64,
}

impl Subprograms {
    /// Creates an empty cache. `displacement` is how much smaller addresses are than positions in the code section.
    pub(crate) fn new(displacement: u32) -> Self {
        Self { units: HashMap::new(), first: FIRST_FUNCTION.saturating_sub(displacement.into()) }
    }

    /// Returns how well the subprogram of this unit that covers the address matches a function's body: the best, if
    /// there are several.
    pub(crate) fn fit(
        &mut self,
        unit: UnitRef<'_, SectionReader>,
        address: u64,
        body: &Range<u64>,
    ) -> SubprogramFit {
        let ranges = self.units.entry(unit.header.offset()).or_insert_with(|| ranges_of(unit, self.first));
        let ranges = &ranges[..ranges.partition_point(|range| range.start <= address)];
        let covering = ranges.iter().rev().take(MAX_CANDIDATES).filter(|range| address < range.end);
        let starts = body.start.saturating_sub(MAX_LENGTH_PREFIX)..=body.start + MAX_LOCALS;
        let fit = |range: &Range<u64>| match range.end {
            end if end > body.end || !starts.contains(&range.start) => SubprogramFit::Mismatch,
            // The last byte is the `end` of the body.
            end if end + 1 >= body.end => SubprogramFit::Exact,
            _ => SubprogramFit::SameStart,
        };
        covering.map(fit).max().unwrap_or(SubprogramFit::Missing)
    }
}

/// Returns the addresses of all subprograms of a unit, in ascending order. For a removed function, linkers write a tombstone, an
/// address that no function has: 2^32 - 1 or 0.
fn ranges_of(unit: UnitRef<'_, SectionReader>, first: u64) -> Vec<Range<u64>> {
    let mut ranges = Vec::new();
    // After an error, the ranges read so far are used.
    let _ = collect(unit, &mut ranges);
    let is_tombstone = |start| start < first || unit.header.is_tombstone_address(start);
    ranges.retain(|range| range.start < range.end && !is_tombstone(range.start));
    ranges.sort_unstable_by_key(|range| (range.start, range.end));
    ranges
}

fn collect(unit: UnitRef<'_, SectionReader>, found: &mut Vec<Range<u64>>) -> gimli::Result<()> {
    let mut entries = unit.entries_raw(None)?;
    while !entries.is_empty() && found.len() < MAX_SUBPROGRAMS {
        let Some(abbreviation) = entries.read_abbreviation()? else { continue };
        if abbreviation.tag() != gimli::DW_TAG_subprogram {
            entries.skip_attributes(abbreviation.attributes())?;
            continue;
        }
        let (mut low, mut high) = (None, None);
        for specification in abbreviation.attributes() {
            let attribute = entries.read_attribute(*specification)?;
            match (attribute.name(), attribute.value()) {
                (gimli::DW_AT_low_pc, value) => low = unit.attr_address(value)?,
                (gimli::DW_AT_high_pc, AttributeValue::Udata(size)) => high = Some(HighPc::Size(size)),
                (gimli::DW_AT_high_pc, value) => high = unit.attr_address(value)?.map(HighPc::Address),
                (gimli::DW_AT_ranges, value) => add_ranges(unit, value, found)?,
                _ => {}
            }
        }
        match (low, high) {
            (Some(low), Some(HighPc::Size(size))) => found.push(low..low.saturating_add(size)),
            (Some(low), Some(HighPc::Address(high))) => found.push(low..high),
            _ => {}
        }
    }
    Ok(())
}

/// How an entry encodes its end.
enum HighPc {
    Size(u64),
    Address(u64),
}

fn add_ranges(
    unit: UnitRef<'_, SectionReader>,
    value: AttributeValue<SectionReader>,
    found: &mut Vec<Range<u64>>,
) -> gimli::Result<()> {
    let Some(mut ranges) = unit.attr_ranges(value)? else { return Ok(()) };
    while let Some(range) = ranges.next()?.filter(|_| found.len() < MAX_SUBPROGRAMS) {
        found.push(range.begin..range.end);
    }
    Ok(())
}

/// Returns whether a name of the name section and one of DWARF can belong to one function. They need not be equal:
/// linkers demangle, compilers rename `main`, append `.llvm.123` to copies or use `strchrnul` and `__strchrnul` for one
/// function. So both are compared without these decorations.
pub(crate) fn names_agree(wasm: &str, dwarf: &str) -> bool {
    if wasm == dwarf {
        return true;
    }
    let (wasm, dwarf) = (FunctionName::of(wasm), FunctionName::of(dwarf));
    // An operator, or a name of symbols only, proves nothing.
    let is_empty = wasm.identifier.is_empty() || dwarf.identifier.is_empty();
    is_empty
        || wasm.stem() == dwarf.stem()
        || wasm.is_mangled_form_of(&dwarf)
        || dwarf.is_mangled_form_of(&wasm)
}

/// A name, and the function's own identifier in it.
struct FunctionName<'a> {
    whole: &'a str,
    identifier: String,
}

/// What compilers turn C's `main` into, without underscores.
const MAIN_NAMES: [&str; 4] = ["original_main", "main_void", "main_argc_argv", "main_argv_envp"];

/// Prefixes of mangled names, also of languages that are not demangled here.
const MANGLING_PREFIXES: [&str; 5] = ["_Z", "_R", "_T", "$s", "$S"];

/// Shorter identifiers occur in too many other names to prove anything.
const MIN_IDENTIFIER: usize = 4;

impl<'a> FunctionName<'a> {
    fn of(whole: &'a str) -> Self {
        Self { whole, identifier: own_identifier(&PrintedName(whole).to_string()) }
    }

    /// Returns the identifier without what distinguishes aliases and copies: leading underscores, and a trailing
    /// number, which Binaryen appends to a duplicate name (`pad_3886`).
    fn stem(&self) -> &str {
        let identifier = self.identifier.trim_start_matches('_');
        let without = identifier.trim_end_matches(|c: char| c.is_ascii_digit());
        match without.strip_suffix('_').unwrap_or(identifier) {
            "" => &self.identifier,
            main if MAIN_NAMES.contains(&main) => "main",
            stem => stem,
        }
    }

    /// Returns whether this is a mangled name that contains the other's identifier.
    fn is_mangled_form_of(&self, other: &Self) -> bool {
        let is_mangled = MANGLING_PREFIXES.iter().any(|start| self.whole.starts_with(start));
        is_mangled && other.identifier.len() >= MIN_IDENTIFIER && self.whole.contains(&other.identifier)
    }
}

/// What compilers append to the names of copies, before a number.
const SUFFIXES: [&str; 6] = ["llvm", "constprop", "part", "isra", "cold", "specialized"];

/// Returns the function's own identifier in a readable name: `checked` for `shapes::Square<int>::checked(int) const`, `main` for
/// `start.main`, `f` for `f.llvm.123`, and an empty string for an operator.
fn own_identifier(name: &str) -> String {
    // The only scope whose name has parentheses.
    let name = name.replace("(anonymous namespace)", "_");
    let mut parts = parts(&name);
    while parts.len() > 1 && parts.last().is_some_and(|part| is_suffix(part)) {
        parts.pop();
    }
    match parts.pop() {
        Some(own) if !own.starts_with("operator") && own != "decltype" => own,
        _ => String::new(),
    }
}

fn is_suffix(part: &str) -> bool {
    let is_hash =
        part.len() == 17 && part.starts_with('h') && part[1..].bytes().all(|b| b.is_ascii_hexdigit());
    part.is_empty() || SUFFIXES.contains(&part) || part.bytes().all(|b| b.is_ascii_digit()) || is_hash
}

/// Returns the identifiers of a name up to its parameters, without those in template arguments.
fn parts(name: &str) -> Vec<String> {
    let (mut parts, mut depth, mut is_new) = (Vec::<String>::new(), 0_usize, true);
    for c in name.chars() {
        match c {
            '<' | '{' | '[' => depth += 1,
            '>' | '}' | ']' => depth = depth.saturating_sub(1),
            '(' if depth == 0 && !parts.is_empty() => break,
            c if depth == 0 && (c.is_alphanumeric() || c == '_' || c == '$') => {
                if std::mem::take(&mut is_new) {
                    parts.push(String::new());
                }
                if let Some(part) = parts.last_mut() {
                    part.push(c);
                }
                continue;
            }
            _ => {}
        }
        is_new = true;
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_one_function_agree() {
        let same = [
            ("area_of", "area_of"),
            ("shapes::Square::checked() const", "_ZNK6shapes6Square7checkedEv"),
            ("_ZNK6shapes6Square7checkedEv", "checked"),
            ("core::panicking::panic::h0123456789abcdef", "_ZN4core9panicking5panic17h0123456789abcdefE"),
            ("__original_main", "main"),
            ("__main_argc_argv", "main"),
            ("f", "_Z1fi"),
            ("ns::(anonymous namespace)::f(int)", "_ZN2ns12_GLOBAL__N_11fEi"),
            ("sum.llvm.1234", "sum"),
            ("sum.constprop.0", "sum"),
            ("pad_3886", "pad"),
            ("_Z4sortPi_12", "sort"),
            ("debug.panic", "panic"),
            ("(*runtime.gcBlock).free", "free"),
            ("strchrnul", "__strchrnul"),
            ("$s4main5sheetV4sortyyF", "sort"),
            ("ns::T::operator<<(int)", "_ZN2ns1TlsEi"),
            ("operator new(unsigned long)", "_Znwm"),
            ("void show<int>(int)", "_Z4showIiEvT_"),
            ("ns::T::~T()", "_ZN2ns1TD2Ev"),
        ];
        for (wasm, dwarf) in same {
            assert!(names_agree(wasm, dwarf), "{wasm} {dwarf}");
            assert!(names_agree(dwarf, wasm), "{dwarf} {wasm}");
        }
    }

    #[test]
    fn names_of_two_functions_do_not() {
        let others = [
            ("f", "g"),
            ("f", "_Z1gi"),
            ("area_of", "_ZNK6shapes6Square7checkedEv"),
            ("main", "f"),
            ("f", "fold"),
            ("f_1", "g"),
            ("area_of", "area"),
            ("shapes::area(shapes::Square const&)", "area_of"),
            ("main", "domain"),
            ("core::panicking::panic", "_ZN4core3fmt5write17h0123456789abcdefE"),
            ("malloc", "free"),
            ("shapes::area(shapes::Square const&)", "_ZNK6shapes6Square7checkedEv"),
        ];
        for (wasm, dwarf) in others {
            assert!(!names_agree(wasm, dwarf), "{wasm} {dwarf}");
            assert!(!names_agree(dwarf, wasm), "{dwarf} {wasm}");
        }
    }

    #[test]
    fn odd_names_are_names() {
        for odd in ["", "(", "((", "<", ">", "::", "é", "_Z", "a<b<c", "operator", "{{closure}}"] {
            assert!(names_agree(odd, odd));
            let _ = names_agree(odd, "main") || names_agree("_ZN1a1bEv", odd);
        }
    }
}
