//! Guests that pass on what they get: a component of one guest or of several, each of which calls the next, and the last
//! one the host. They need not know the types: core values are passed on as they are, and so is memory by its address.

use super::types::{Flat, Signature};
use arbitrary::{Arbitrary, Result, Unstructured};
use std::fmt::Write;

/// A guest of the chain.
#[derive(Debug)]
pub struct Guest {
    /// The encoding of strings that it gets, and of those that it passes: nearly always the same one.
    lift: Encoding,
    lower: Encoding,
    /// What it changes.
    faults: Vec<Fault>,
    /// What its allocator adds to each address that it returns.
    misplaced: u32,
    /// The most pages of its memory.
    pages: u32,
    /// Whether its memory is so full that it grows while values are lowered.
    is_full: bool,
    has_post_return: bool,
}

#[derive(Clone, Copy, Arbitrary, Debug)]
enum Encoding {
    Utf8,
    Utf16,
    CompactUtf16,
}

impl Encoding {
    fn name(self) -> &'static str {
        match self {
            Self::Utf8 => "utf8",
            Self::Utf16 => "utf16",
            Self::CompactUtf16 => "latin1+utf16",
        }
    }
}

/// What a guest changes of the core values and the memory that it passes on.
#[derive(Debug)]
enum Fault {
    /// A parameter is another value.
    Param { index: usize, value: u64 },
    /// Memory at a parameter, or at what the last one points to, is changed.
    Memory { index: usize, is_indirect: bool, offset: u32, size: u32, value: u64 },
    /// The place of the result that the guest gets is somewhere else.
    Place { add: u32 },
    /// Borrowed handles are not dropped.
    Keep,
    /// A handle is dropped before the call.
    Drop { handle: u32 },
    /// The result is another value.
    Result { value: u64 },
    /// Memory at the result is changed.
    ResultMemory { is_indirect: bool, offset: u32, size: u32, value: u64 },
}

/// Numbers at the edges of what is valid: addresses, alignments, lengths, cases, characters.
const VALUES: [u64; 32] = [
    0,
    1,
    2,
    3,
    4,
    5,
    6,
    7,
    8,
    9,
    31,
    32,
    0x7f,
    0x80,
    0xc0,
    0xff,
    0x100,
    0xd800,
    0xdc00,
    0xdfff,
    0xe000,
    0xffff,
    0x1_0000,
    0x10_ffff,
    0x11_0000,
    0x7fff_ffff,
    0x8000_0000,
    0x8000_0002,
    0xffff_fff8,
    0xffff_ffff,
    0x1_0000_0000,
    u64::MAX,
];

fn value(u: &mut Unstructured<'_>) -> Result<u64> {
    Ok(if u.ratio(7, 8)? { *u.choose(&VALUES)? } else { u.arbitrary()? })
}

impl Fault {
    fn arbitrary(u: &mut Unstructured<'_>) -> Result<Self> {
        let index = u.int_in_range(0..=16)?;
        let size = *u.choose(&[1, 1, 2, 4, 8])?;
        let offset = u.int_in_range(0..=31)? * size;
        let value = value(u)?;
        Ok(match u.int_in_range(0..=9)? {
            0 | 1 => Self::Param { index, value },
            2 => Self::Memory { index, is_indirect: false, offset, size, value },
            3 => Self::Memory { index, is_indirect: true, offset, size, value },
            4 => Self::Place { add: value as u32 },
            5 => Self::Result { value },
            6 => Self::ResultMemory { is_indirect: false, offset, size, value },
            7 => Self::ResultMemory { is_indirect: true, offset, size, value },
            8 => Self::Keep,
            _ => Self::Drop { handle: value as u32 % 8 },
        })
    }
}

impl Guest {
    pub fn arbitrary(u: &mut Unstructured<'_>, is_faulty: bool) -> Result<Self> {
        let lift = u.arbitrary()?;
        let lower = if is_faulty && u.ratio(1, 8)? { u.arbitrary()? } else { lift };
        let count = if is_faulty { u.int_in_range(0..=3)? } else { 0 };
        Ok(Self {
            lift,
            lower,
            faults: (0..count).map(|_| Fault::arbitrary(u)).collect::<Result<_>>()?,
            misplaced: if is_faulty && u.ratio(1, 8)? { value(u)? as u32 } else { 0 },
            pages: 3,
            is_full: u.arbitrary()?,
            has_post_return: u.arbitrary()?,
        })
    }
}

impl Guest {
    /// Makes the allocator one that has much, and returns what it has allocated: with another, it matters how often text is
    /// moved.
    pub fn allocate_well(&mut self) {
        self.pages = 64;
        self.misplaced = 0;
    }
}

/// A module with a memory and an allocator that never frees. It counts up what it was asked for, to compare it.
///
/// When text that was written as UTF-16 turns out to be Latin-1 and is made smaller, the canonical ABI passes an alignment of 1,
/// and Wasmtime's adapters one of 2. Here it is always 2.
fn libc(guest: &Guest) -> String {
    let top = if guest.is_full { 65530 } else { 4096 };
    let is_compact =
        matches!(guest.lift, Encoding::CompactUtf16) || matches!(guest.lower, Encoding::CompactUtf16);
    let (least, misplaced) = if is_compact { (2, guest.misplaced & !1) } else { (1, guest.misplaced) };
    let pages = guest.pages;
    format!(
        r#"(core module $libc
            (memory (export "memory") 1 {pages})
            (global $top (mut i32) (i32.const {top}))
            (global $asked (export "asked") (mut i64) (i64.const 0))
            (func $ask (param i32)
                (global.set $asked (i64.mul
                    (i64.xor (global.get $asked) (i64.extend_i32_u (local.get 0)))
                    (i64.const 0x100000001b3))))
            (func (export "realloc") (param $old i32) (param $old_size i32) (param $align i32) (param $size i32)
                (result i32) (local $at i32) (local $keep i32)
                (local.set $align (select (local.get $align) (i32.const {least})
                    (i32.gt_u (local.get $align) (i32.const {least}))))
                (call $ask (local.get $old_size)) (call $ask (local.get $align)) (call $ask (local.get $size))
                (local.set $at (i32.and
                    (i32.add (global.get $top) (i32.sub (local.get $align) (i32.const 1)))
                    (i32.sub (i32.const 0) (local.get $align))))
                (global.set $top (i32.add (local.get $at) (local.get $size)))
                (if (i32.lt_u (global.get $top) (local.get $at)) (then (unreachable)))
                (loop $grow
                    (if (i32.gt_u (global.get $top) (i32.mul (memory.size) (i32.const 65536)))
                        (then
                            (if (i32.eq (memory.grow (i32.const 1)) (i32.const -1)) (then (unreachable)))
                            (br $grow))))
                (local.set $keep (select (local.get $old_size) (local.get $size)
                    (i32.lt_u (local.get $old_size) (local.get $size))))
                (memory.copy (local.get $at) (local.get $old) (local.get $keep))
                (i32.add (local.get $at) (i32.const {misplaced}))))
        (core instance $libc (instantiate $libc))
        (alias core export $libc "memory" (core memory $memory))
        (alias core export $libc "realloc" (core func $realloc))
        "#
    )
}

/// The most bytes of a result.
const PLACE: u32 = 8192;

/// The core function that passes its parameters on to the one that it imports, and what it needs.
fn forward(guest: &Guest, ty: &Signature) -> String {
    let params = ty.flat_params().unwrap_or_else(|| vec![Flat::I32]);
    let (result, has_place) = match ty.flat_result() {
        Some(flat) => (flat, false),
        None => (Some(Flat::I32), true),
    };
    let list = |flat: &[Flat]| flat.iter().map(|flat| format!(" {}", flat.name())).collect::<String>();
    let (passed, returned) = if has_place {
        (list(&params) + " i32", String::new())
    } else {
        (list(&params), list(result.as_slice()))
    };
    let result_local = params.len();
    let borrowed = ty.borrowed();
    let mut body = String::new();
    for (i, index) in borrowed.iter().enumerate() {
        let _ = writeln!(body, "(local.set {} (local.get {index}))", result_local + 1 + i);
    }
    for fault in &guest.faults {
        before(fault, &params, &mut body);
    }
    let gets: String = (0..params.len()).map(|i| format!("(local.get {i})")).collect();
    if has_place {
        let add = guest.faults.iter().find_map(|fault| match fault {
            Fault::Place { add } => Some(*add),
            _ => None,
        });
        let _ = write!(
            body,
            "(local.set {result_local} (i32.add (i32.const {}) \
                (call $realloc (i32.const 0) (i32.const 0) (i32.const 8) (i32.const {PLACE}))))\n\
            (call $f {gets} (local.get {result_local}))\n",
            add.unwrap_or(0)
        );
    } else if result.is_some() {
        let _ = writeln!(body, "(local.set {result_local} (call $f {gets}))");
    } else {
        let _ = writeln!(body, "(call $f {gets})");
    }
    if !guest.faults.iter().any(|fault| matches!(fault, Fault::Keep)) {
        for i in 0..borrowed.len() {
            let _ = writeln!(body, "(call $drop (local.get {}))", result_local + 1 + i);
        }
    }
    if let Some(result) = result {
        for fault in &guest.faults {
            after(fault, result, result_local, &mut body);
        }
        let _ = writeln!(body, "(global.set $returned (local.get {result_local})) (global.get $returned)");
    }
    let ty = result.map_or("i32", Flat::name);
    let result = list(result.as_slice());
    format!(
        r#"(core module $m
            (import "libc" "memory" (memory 1))
            (import "libc" "realloc" (func $realloc (param i32 i32 i32 i32) (result i32)))
            (import "libc" "asked" (global $asked (mut i64)))
            (import "next" "drop" (func $drop (param i32)))
            (import "next" "asked" (func $say (param i64)))
            (import "next" "f" (func $f (param{passed}) (result{returned})))
            (global $returned (mut {ty}) ({ty}.const 0))
            (func (export "f") (param{params}) (result{result}) (local {ty}{borrowed})
                (call $say (global.get $asked))
                {body})
            (func (export "after") (param{result})
                {check}))"#,
        params = list(&params),
        borrowed = " i32".repeat(borrowed.len()),
        check = if result.is_empty() {
            String::new()
        } else {
            // A float that is no number does not equal itself.
            format!(
                "(if (i32.and ({ty}.ne (local.get 0) (global.get $returned)) ({ty}.eq (local.get 0) (local.get 0)))
                    (then (unreachable)))"
            )
        },
    )
}

fn constant(ty: Flat, value: u64) -> String {
    match ty {
        Flat::I32 => format!("(i32.const {})", value as u32),
        Flat::I64 => format!("(i64.const {value})"),
        Flat::F32 => format!("(f32.reinterpret_i32 (i32.const {}))", value as u32),
        Flat::F64 => format!("(f64.reinterpret_i64 (i64.const {value}))"),
    }
}

/// Writes what changes memory at the address in a local, or at the one that is there.
fn store(local: usize, is_indirect: bool, [offset, size]: [u32; 2], value: u64, body: &mut String) {
    let address = format!("(local.get {local})");
    let address = if is_indirect { format!("(i32.load {address})") } else { address };
    let bits = if size == 8 { String::new() } else { (size * 8).to_string() };
    let _ = writeln!(body, "(i64.store{bits} offset={offset} {address} (i64.const {value}))");
}

/// Writes what a fault changes before the call.
fn before(fault: &Fault, params: &[Flat], body: &mut String) {
    match fault {
        Fault::Param { index, value } if !params.is_empty() => {
            let index = index % params.len();
            let _ = writeln!(body, "(local.set {index} {})", constant(params[index], *value));
        }
        Fault::Memory { index, is_indirect, offset, size, value } => {
            let pointers: Vec<usize> = (0..params.len()).filter(|i| params[*i] == Flat::I32).collect();
            let Some(index) = index.checked_rem(pointers.len()).map(|i| pointers[i]) else { return };
            store(index, *is_indirect, [*offset, *size], *value, body);
        }
        Fault::Drop { handle } => {
            let _ = writeln!(body, "(call $drop (i32.const {handle}))");
        }
        _ => {}
    }
}

/// Writes what a fault changes after the call.
fn after(fault: &Fault, result: Flat, local: usize, body: &mut String) {
    match fault {
        Fault::Result { value } => {
            let _ = writeln!(body, "(local.set {local} {})", constant(result, *value));
        }
        Fault::ResultMemory { is_indirect, offset, size, value } if result == Flat::I32 => {
            store(local, *is_indirect, [*offset, *size], *value, body);
        }
        _ => {}
    }
}

/// Writes what a guest's component has.
fn contents(guest: &Guest, ty: &Signature, func: &str) -> String {
    let options = |encoding: Encoding| {
        format!("(memory $memory) (realloc $realloc) string-encoding={}", encoding.name())
    };
    let after = if guest.has_post_return { r#"(post-return (core func $m "after"))"# } else { "" };
    format!(
        r#"{libc}
        (core func $f' (canon lower (func $f) {lower}))
        (core func $asked (canon lower (func $asked)))
        (core func $drop (canon resource.drop $r))
        {module}
        (core instance $m (instantiate $m
            (with "libc" (instance $libc))
            (with "next" (instance
                (export "f" (func $f')) (export "asked" (func $asked)) (export "drop" (func $drop))))))
        (func (export "f") {func} (canon lift (core func $m "f") {lift} {after}))"#,
        libc = libc(guest),
        lower = options(guest.lower),
        lift = options(guest.lift),
        module = forward(guest, ty),
    )
}

/// Writes the component: the host calls the first guest, and the last one the host.
pub fn write(ty: &Signature, guests: &[Guest]) -> String {
    let (named, func) = ty.write();
    let mut imports = String::from("(import \"r\" (type $r (sub resource)))\n");
    let mut with = String::from("(with \"r\" (type $r))");
    for (i, definition) in named.iter().enumerate() {
        let _ = writeln!(imports, r#"(type $d{i} {definition}) (import "t{i}" (type $t{i} (eq $d{i})))"#);
        let _ = write!(with, r#"(with "t{i}" (type $t{i}))"#);
    }
    let _ = write!(
        imports,
        r#"(import "f" (func $f {func}))
        (import "asked" (func $asked (param "sum" u64)))
        "#
    );
    if let [guest] = guests {
        return format!("(component\n{imports}{}\n)", contents(guest, ty, &func));
    }
    let mut text = format!("(component\n{imports}");
    let mut next = String::from("(func $f)");
    for (i, guest) in guests.iter().enumerate().rev() {
        let _ = write!(
            text,
            r#"(component $C{i}
                {imports}{})
            (instance $c{i} (instantiate $C{i} {with} (with "f" {next}) (with "asked" (func $asked))))
            "#,
            contents(guest, ty, &func)
        );
        next = format!(r#"(func $c{i} "f")"#);
    }
    text + "(export \"f\" (func $c0 \"f\")))\n"
}
