//! The component for measuring calls with the values of the component model.

use crate::Figure;

/// What is measured. Each is a call: an export of [`component`], or a call that such an export makes so many times.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ComponentCall {
    /// The host calls `add`: two `u32`, one back.
    Add,
    /// The guest calls the host's `add` (`REPEAT_ADD`).
    HostAdd,
    /// The host passes a string of 1 KiB (`take-text`).
    TakeText,
    /// The host gets a string of 1 KiB (`give-text`).
    GiveText,
    /// The guest passes the host a string of 1 KiB (`REPEAT_TEXT`).
    HostText,
    /// The host passes 1 MiB as `list<u8>` (`take-bytes`).
    TakeBytes,
    /// The host gets 1 MiB as `list<u8>` (`give-bytes`).
    GiveBytes,
    /// The host passes 10,000 pairs of a number and a string of 16 bytes (`take-pairs`).
    TakePairs,
    /// The host gets as many (`give-pairs`).
    GivePairs,
    /// One component calls another, without values.
    Nop,
    /// One component passes another a string of 16 bytes.
    Text,
    /// One component passes another 1 MiB as `list<u8>`.
    Bytes,
    /// One component passes another 10,000 pairs of a number and a string of 16 bytes.
    Pairs,
    /// A program of WASI 0.2 ([`COMMAND`]) in a new store: instantiated, run, dropped.
    Command,
    /// The same in a clean instance: the engine's best way to get one, from a pool.
    CleanCommand,
}

impl ComponentCall {
    /// All of them, with what they are called and their figures.
    pub const ALL: [(Self, &'static str, Figure); 15] = [
        (Self::Add, "host to guest", Figure::ComponentAdd),
        (Self::HostAdd, "guest to host", Figure::ComponentHostAdd),
        (Self::TakeText, "string 1 KiB to guest", Figure::ComponentTakeText),
        (Self::GiveText, "string 1 KiB from guest", Figure::ComponentGiveText),
        (Self::HostText, "string 1 KiB to host", Figure::ComponentHostText),
        (Self::TakeBytes, "list<u8> 1 MiB to guest", Figure::ComponentTakeBytes),
        (Self::GiveBytes, "list<u8> 1 MiB from guest", Figure::ComponentGiveBytes),
        (Self::TakePairs, "10,000 pairs to guest", Figure::ComponentTakePairs),
        (Self::GivePairs, "10,000 pairs from guest", Figure::ComponentGivePairs),
        (Self::Nop, "between components", Figure::ComponentNop),
        (Self::Text, "between: string 16 B", Figure::ComponentText),
        (Self::Bytes, "between: list<u8> 1 MiB", Figure::ComponentBytes),
        (Self::Pairs, "between: 10,000 pairs", Figure::ComponentPairs),
        (Self::Command, "WASI 0.2 program, new store", Figure::ComponentCommand),
        (Self::CleanCommand, "WASI 0.2 program, from a pool", Figure::ComponentCleanCommand),
    ];

    /// Returns the export that makes the call as often as its parameter says; `None` if the host makes it.
    pub fn repeated(self) -> Option<&'static str> {
        Some(match self {
            Self::HostAdd => "repeat-add",
            Self::HostText => "repeat-text",
            Self::Nop => "repeat-nop",
            Self::Text => "repeat-short",
            Self::Bytes => "repeat-bytes",
            Self::Pairs => "repeat-pairs",
            _ => return None,
        })
    }
}

/// A program of WASI 0.2, made by Rust, which imports all interfaces of `wasi:cli/imports`. With the arguments [`COMMAND_ARGS`] it
/// prints a few lines.
pub const COMMAND: &[u8] = include_bytes!("../../../crates/wasi/tests/p2/guest.wasm");
/// See [`COMMAND`].
pub const COMMAND_ARGS: [&str; 2] = ["guest", "environment"];
/// The interface of programs, and its function.
pub const COMMAND_RUN: [&str; 2] = ["wasi:cli/run@0.2.0", "run"];

/// The bytes of the long strings.
pub const TEXT: usize = 1 << 10;
/// The bytes of the lists.
pub const BYTES: usize = 1 << 20;
/// The number of pairs.
pub const PAIRS: usize = 10_000;

/// The names of the functions of the host: `(u32, u32) -> u32`, and `(string) -> u32`.
pub const HOST_ADD: &str = "host-add";
/// Takes a string and returns its length.
pub const HOST_TEXT: &str = "host-text";

const COMPONENT: &str = r#"(component
    (import "host-add" (func $host-add (param "a" u32) (param "b" u32) (result u32)))
    (import "host-text" (func $host-text (param "s" string) (result u32)))
    (component $callee
        (core module $m
            (memory (export "memory") 64)
            (global $top (mut i32) (i32.const 1024))
            (func (export "realloc") (param i32 i32 i32 i32) (result i32) (local $at i32)
                (local.set $at (i32.and (i32.add (global.get $top) (i32.sub (local.get 2) (i32.const 1)))
                    (i32.sub (i32.const 0) (local.get 2))))
                (global.set $top (i32.add (local.get $at) (local.get 3)))
                (local.get $at))
            (func (export "nop"))
            (func (export "take") (param i32 i32) (result i32)
                (global.set $top (i32.const 1024))
                (local.get 1)))
        (core instance $m (instantiate $m))
        (alias core export $m "memory" (core memory $memory))
        (alias core export $m "realloc" (core func $realloc))
        (func (export "nop") (canon lift (core func $m "nop")))
        (func (export "text") (param "s" string) (result u32)
            (canon lift (core func $m "take") (memory $memory) (realloc $realloc)))
        (func (export "bytes") (param "s" (list u8)) (result u32)
            (canon lift (core func $m "take") (memory $memory) (realloc $realloc)))
        (func (export "pairs") (param "s" (list (tuple u32 string))) (result u32)
            (canon lift (core func $m "take") (memory $memory) (realloc $realloc))))
    (component $caller
        (import "host-add" (func $host-add (param "a" u32) (param "b" u32) (result u32)))
        (import "host-text" (func $host-text (param "s" string) (result u32)))
        (import "nop" (func $nop))
        (import "text" (func $text (param "s" string) (result u32)))
        (import "bytes" (func $bytes (param "s" (list u8)) (result u32)))
        (import "pairs" (func $pairs (param "s" (list (tuple u32 string))) (result u32)))
        (core module $libc
            (memory (export "memory") 64)
            (global $top (export "top") (mut i32) (i32.const 2097152))
            (func (export "realloc") (param i32 i32 i32 i32) (result i32) (local $at i32)
                (local.set $at (i32.and (i32.add (global.get $top) (i32.sub (local.get 2) (i32.const 1)))
                    (i32.sub (i32.const 0) (local.get 2))))
                (global.set $top (i32.add (local.get $at) (local.get 3)))
                (local.get $at)))
        (core instance $libc (instantiate $libc))
        (alias core export $libc "memory" (core memory $memory))
        (alias core export $libc "realloc" (core func $realloc))
        (core func $host-add (canon lower (func $host-add)))
        (core func $host-text (canon lower (func $host-text) (memory $memory)))
        (core func $nop (canon lower (func $nop)))
        (core func $text (canon lower (func $text) (memory $memory)))
        (core func $bytes (canon lower (func $bytes) (memory $memory)))
        (core func $pairs (canon lower (func $pairs) (memory $memory)))
        (core module $m
            (import "libc" "memory" (memory 64))
            (import "libc" "top" (global $top (mut i32)))
            (import "" "host-add" (func $host-add (param i32 i32) (result i32)))
            (import "" "host-text" (func $host-text (param i32 i32) (result i32)))
            (import "" "nop" (func $nop))
            (import "" "text" (func $text (param i32 i32) (result i32)))
            (import "" "bytes" (func $bytes (param i32 i32) (result i32)))
            (import "" "pairs" (func $pairs (param i32 i32) (result i32)))
            ;; The text and the bytes lie at 64 KiB, the pairs at 1.5 MiB, each with sixteen bytes of the text.
            (func $init (local $at i32) (local $i i32)
                (local.set $at (i32.const 65536))
                (loop $bytes
                    (i32.store8 (local.get $at) (i32.add (i32.const 97) (i32.rem_u (local.get $at) (i32.const 26))))
                    (br_if $bytes (i32.lt_u (local.tee $at (i32.add (local.get $at) (i32.const 1))) (i32.const 1114112))))
                (local.set $at (i32.const 1572864))
                (loop $pairs
                    (i32.store (local.get $at) (local.get $i))
                    (i32.store offset=4 (local.get $at) (i32.add (i32.const 65536) (i32.mul (local.get $i) (i32.const 16))))
                    (i32.store offset=8 (local.get $at) (i32.const 16))
                    (local.set $at (i32.add (local.get $at) (i32.const 12)))
                    (br_if $pairs (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 10000)))))
            (start $init)
            (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1)))
            (func (export "take") (param i32 i32) (result i32)
                (global.set $top (i32.const 2097152))
                (local.get 1))
            (func $give (param $at i32) (param $length i32) (result i32)
                (i32.store (i32.const 0) (local.get $at))
                (i32.store (i32.const 4) (local.get $length))
                (i32.const 0))
            (func (export "give-text") (result i32) (call $give (i32.const 65536) (i32.const 1024)))
            (func (export "give-bytes") (result i32) (call $give (i32.const 65536) (i32.const 1048576)))
            (func (export "give-pairs") (result i32) (call $give (i32.const 1572864) (i32.const 10000)))
            REPEATED)
        (core instance $m (instantiate $m (with "libc" (instance $libc)) (with "" (instance
            (export "host-add" (func $host-add)) (export "host-text" (func $host-text)) (export "nop" (func $nop))
            (export "text" (func $text)) (export "bytes" (func $bytes)) (export "pairs" (func $pairs))))))
        (func (export "add") (param "a" u32) (param "b" u32) (result u32) (canon lift (core func $m "add")))
        (func (export "take-text") (param "s" string) (result u32)
            (canon lift (core func $m "take") (memory $memory) (realloc $realloc)))
        (func (export "take-bytes") (param "s" (list u8)) (result u32)
            (canon lift (core func $m "take") (memory $memory) (realloc $realloc)))
        (func (export "take-pairs") (param "s" (list (tuple u32 string))) (result u32)
            (canon lift (core func $m "take") (memory $memory) (realloc $realloc)))
        (func (export "give-text") (result string) (canon lift (core func $m "give-text") (memory $memory)))
        (func (export "give-bytes") (result (list u8)) (canon lift (core func $m "give-bytes") (memory $memory)))
        (func (export "give-pairs") (result (list (tuple u32 string)))
            (canon lift (core func $m "give-pairs") (memory $memory)))
        LIFTED)
    (instance $callee (instantiate $callee))
    (instance $caller (instantiate $caller
        (with "host-add" (func $host-add)) (with "host-text" (func $host-text)) (with "nop" (func $callee "nop"))
        (with "text" (func $callee "text")) (with "bytes" (func $callee "bytes")) (with "pairs" (func $callee "pairs"))))
    EXPORTED)"#;

/// The component. The exports that make calls take how many, and return the sum of what the calls return.
///
/// # Panics
///
/// Never panics: its text is valid.
pub fn component() -> Vec<u8> {
    let mut names =
        vec!["add", "take-text", "take-bytes", "take-pairs", "give-text", "give-bytes", "give-pairs"];
    let (mut repeated, mut lifted) = (String::new(), String::new());
    for (name, call) in [
        ("repeat-add", "(call $host-add (local.get $sum) (local.get $left))"),
        ("repeat-text", "(call $host-text (i32.const 65536) (i32.const 1024))"),
        ("repeat-nop", "(call $nop) (i32.const 1)"),
        ("repeat-short", "(call $text (i32.const 65536) (i32.const 16))"),
        ("repeat-bytes", "(call $bytes (i32.const 65536) (i32.const 1048576))"),
        ("repeat-pairs", "(call $pairs (i32.const 1572864) (i32.const 10000))"),
    ] {
        names.push(name);
        repeated += &format!(
            r#"(func (export "{name}") (param $left i32) (result i32) (local $sum i32)
                (loop $again
                    (local.set $sum (i32.add (local.get $sum) {call}))
                    (br_if $again (local.tee $left (i32.sub (local.get $left) (i32.const 1)))))
                (local.get $sum))"#
        )
        .replace("(call $nop) (i32.const 1)", "(block (result i32) (call $nop) (i32.const 1))");
        lifted += &format!(
            r#"(func (export "{name}") (param "count" u32) (result u32) (canon lift (core func $m "{name}")))"#
        );
    }
    let exported: String =
        names.iter().map(|name| format!(r#"(export "{name}" (func $caller "{name}"))"#)).collect();
    let text =
        COMPONENT.replace("REPEATED", &repeated).replace("LIFTED", &lifted).replace("EXPORTED", &exported);
    wat::parse_str(text).expect("the component is right")
}
