//! Finds the functions that instructions belong to, including inlined ones, and those that a signal handler must not
//! run.

use gimli::{EndianSlice, LittleEndian};
use object::{Object, ObjectSection};
use std::collections::BTreeMap;
use std::ffi::CStr;
use std::ops::Range;

/// What a signal handler must not do, and lower-case parts of the names of functions that do it.
const DENIED: &[(&str, &[&str])] = &[
    ("a thread-local is touched", &["thread_local", "thread::local", "localkey", "__tls_get_addr"]),
    ("memory is allocated or freed", &["alloc", "free"]),
    ("a lock is taken", &["mutex", "rwlock", "condvar", "reentrant", "pthread_", "futex_wait", "lll_"]),
    ("something is made when it is first used", &["::once", "oncelock", "oncecell", "lazy", "_dl_"]),
    ("a panic begins", &["panicking", "unwind"]),
    ("text is made", &["format", "fmt::"]),
];

/// Functions that match by name but do nothing of the kind, with what they do instead.
const EXCEPTIONS: &[(&str, &[&str])] = &[
    (
        "reads the pointer of an `Arc` that is kept meanwhile: a row's, or what it leads to",
        &["<alloc::sync::Arc as core::ops::deref::Deref>::deref", "alloc::sync::deref", "alloc::sync::inner"],
    ),
    (
        "reads the pointer and the length of a `Vec` that is kept meanwhile: of rows",
        &[
            "<alloc::vec::Vec as core::ops::deref::Deref>::deref",
            "alloc::vec::deref",
            "alloc::vec::as_slice",
            "alloc::vec::as_ptr",
            "alloc::vec::len",
            "alloc::raw_vec::ptr",
            "alloc::raw_vec::non_null",
        ],
    ),
    (
        "reads what is there already: `builtin_table`, which is called before the handler is installed. (To make it would be \
         `OnceLock::initialize`.)",
        &[
            "std::sync::once_lock::OnceLock::get_or_init",
            "std::sync::once_lock::OnceLock::get_or_try_init",
            "std::sync::once_lock::get_or_init",
            "std::sync::once_lock::get_or_try_init",
            "std::sync::once_lock::get",
            "std::sync::once_lock::get_unchecked",
            "std::sync::once_lock::initialized",
            "std::sync::once_lock::is_initialized",
            "std::sync::once::is_completed",
            "std::sys::sync::once::futex::is_completed",
        ],
    ),
    ("compares numbers, in builds with checks", &["core::ub_checks::is_valid_allocation_size"]),
];

/// Symbols and debug information of this process.
pub(crate) struct Symbols<'a> {
    base: usize,
    map: object::SymbolMap<object::SymbolMapName<'a>>,
    /// The program's jumps to functions of libraries (PLT), which have no names.
    jumps: Vec<Range<u64>>,
    context: addr2line::Context<EndianSlice<'a, LittleEndian>>,
}

/// Returns the object that an address lies in: its base, its file name, and its symbol at the address.
fn object_at(address: usize) -> Option<(usize, String, Option<String>)> {
    // SAFETY: a structure of pointers, for which zero is valid; the call fills it in if it does not return 0.
    unsafe {
        let mut info = std::mem::zeroed::<libc::Dl_info>();
        if libc::dladdr(std::ptr::without_provenance(address), &mut info) == 0 {
            return None;
        }
        let text = |text: *const libc::c_char| {
            (!text.is_null()).then(|| CStr::from_ptr(text).to_string_lossy().into_owned())
        };
        Some((info.dli_fbase.addr(), text(info.dli_fname)?, text(info.dli_sname)))
    }
}

impl<'a> Symbols<'a> {
    /// Reads the symbols of a file that this process runs.
    pub(crate) fn of(program: &'a [u8]) -> Self {
        let file = object::File::parse(program).unwrap();
        let section = |id: gimli::SectionId| -> Result<_, gimli::Error> {
            let data = file.section_by_name(id.name()).and_then(|section| section.data().ok());
            Ok(EndianSlice::new(data.unwrap_or_default(), LittleEndian))
        };
        let context = addr2line::Context::from_dwarf(gimli::Dwarf::load(section).unwrap()).unwrap();
        let (base, ..) = object_at(Self::of as *const () as usize).unwrap();
        let jumps =
            file.sections().filter(|section| section.name().is_ok_and(|name| name.starts_with(".plt")));
        let jumps = jumps.map(|section| section.address()..section.address() + section.size()).collect();
        Self { base, map: file.symbol_map(), jumps, context }
    }

    /// Returns whether an address is in the program itself, not in a library.
    pub(crate) fn is_program(&self, address: usize) -> bool {
        object_at(address).is_some_and(|(base, ..)| base == self.base)
    }

    /// Returns the names of the functions that an instruction belongs to, innermost first. Functions that a library
    /// does not export have none: an exported function has called them.
    fn names_at(&self, address: usize) -> Vec<String> {
        let Some((base, file, symbol)) = object_at(address) else { return vec!["?".into()] };
        if base != self.base {
            let file = file.rsplit('/').next().unwrap_or_default();
            return vec![format!("{file}: {}", symbol.as_deref().unwrap_or("?"))];
        }
        let at = (address - self.base) as u64;
        if self.jumps.iter().any(|jumps| jumps.contains(&at)) {
            return vec!["a jump to a library".into()];
        }
        let mut names = Vec::new();
        if let Ok(mut frames) = self.context.find_frames(at).skip_all_loads() {
            while let Ok(Some(frame)) = frames.next() {
                names.push(inlined(&frame));
            }
        }
        // The symbol table knows the outermost function in any case, and by its full name.
        names.pop();
        names.extend(self.map.before(at).map(|symbol| path(&demangled(symbol.name()))));
        names
    }

    /// Returns the functions that instructions belong to, by name, each with the address of one of the instructions.
    pub(crate) fn functions(&self, addresses: &[usize]) -> BTreeMap<String, usize> {
        let mut functions = BTreeMap::new();
        for &address in addresses {
            for name in self.names_at(address) {
                functions.entry(name).or_insert(address);
            }
        }
        functions
    }
}

fn demangled(name: &str) -> String {
    format!("{:#}", rustc_demangle::demangle(name))
}

/// Returns the name of an inlined function. Debug information for lines contains only the last part of it, and the
/// file: `lock` in `library/std/src/sys/sync/mutex/futex.rs` is `std::sys::sync::mutex::futex::lock`.
fn inlined(frame: &addr2line::Frame<'_, EndianSlice<'_, LittleEndian>>) -> String {
    let name = frame.function.as_ref().and_then(|function| function.raw_name().ok());
    let name = path(&name.map_or_else(|| "?".into(), |name| demangled(&name)));
    let Some(file) = frame.location.as_ref().and_then(|location| location.file) else { return name };
    let Some((package, file)) = file.rsplit_once("/src/") else { return name };
    let package = package.rsplit('/').next().unwrap_or_default();
    let module = file.trim_end_matches(".rs").trim_end_matches("/mod").replace('/', "::");
    format!("{package}::{module}::{name}")
}

/// Returns a function's name without its generic arguments: `<Published<Row>>::read::<()>` is `Published::read`.
fn path(name: &str) -> String {
    let mut path = String::new();
    let mut depth = 0;
    let mut before = ' ';
    for c in name.chars() {
        match c {
            '<' if depth > 0 || before.is_alphanumeric() || matches!(before, '_' | ':') => depth += 1,
            // Not that of an arrow.
            '>' if depth > 0 && before != '-' => depth -= 1,
            _ if depth == 0 => path.push(c),
            _ => {}
        }
        before = c;
    }
    let path = path.replace("::::", "::");
    let path = path.trim_end_matches("::");
    match path.strip_prefix('<').and_then(|path| path.split_once(">::")) {
        Some((ty, function)) if !ty.contains(" as ") => format!("{ty}::{function}"),
        _ => path.to_string(),
    }
}

/// Returns why a signal handler must not run a function; `None` if it may.
pub(crate) fn why_denied(name: &str) -> Option<&'static str> {
    if EXCEPTIONS.iter().any(|(_, functions)| functions.contains(&name)) {
        return None;
    }
    let name = name.to_lowercase();
    let (why, _) = DENIED.iter().find(|(_, parts)| parts.iter().any(|part| name.contains(part)))?;
    Some(why)
}

/// Returns whether an instruction accesses memory through the register that points to the thread's own data.
///
/// # Safety
///
/// An instruction lies at the address.
pub(crate) unsafe fn is_of_thread(address: usize) -> bool {
    const FS: u8 = 0x64;
    const PREFIXES: [u8; 11] = [0x26, 0x2e, 0x36, 0x3e, FS, 0x65, 0x66, 0x67, 0xf0, 0xf2, 0xf3];
    // SAFETY: the caller's promise: an instruction ends only after its prefixes.
    let byte = |i: usize| unsafe { std::ptr::with_exposed_provenance::<u8>(address + i).read() };
    (0..15).map(byte).take_while(|byte| PREFIXES.contains(byte)).any(|byte| byte == FS)
}
