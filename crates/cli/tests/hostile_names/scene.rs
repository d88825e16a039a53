//! A directory with files that have hostile names and contain hostile names, and checks of what is printed about them.

use belljar::OutsideText;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use tempfile::TempDir;

/// Characters that control a terminal, reorder or hide text, and a line that looks like a message of belljar.
pub(crate) const EVIL: &str = "\u{1b}[2J\u{7f}\u{9b}\u{85}\r\t\u{8}\u{202e}\u{2066}\u{61c}\u{200f}\u{200b}\u{2060}\u{feff}\u{ad}\u{fe0f}\
    \u{2028}\u{e0041}\nFORGED";

/// The kind of a test module.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It can be started.
    Sound,
    /// Imports are missing.
    Lacking,
    /// It is invalid.
    Invalid,
}

/// Quotes a string for the text format.
pub(crate) fn quoted(text: &str) -> String {
    let escaped: String = text.chars().map(|c| format!("\\u{{{:x}}}", c as u32)).collect();
    format!("\"{escaped}\"")
}

/// Encodes parts of a binary as a string of the text format; each part is preceded by its length.
fn binary(parts: &[&[u8]]) -> String {
    let bytes: Vec<u8> = parts.concat();
    format!("\"{}\"", bytes.iter().map(|byte| format!("\\{byte:02x}")).collect::<String>())
}

fn counted(text: &str) -> Vec<u8> {
    let length = u8::try_from(text.len()).unwrap();
    assert!(length < 0x80, "one byte of LEB128");
    [&[length], text.as_bytes()].concat()
}

/// Returns the name of an exported function.
pub(crate) fn export(what: &str) -> String {
    format!("{EVIL}{what}")
}

/// Returns a module in which everything that can have a name has a hostile one.
pub(crate) fn module(kind: Kind) -> String {
    let id = |what: &str| format!("${}", quoted(&export(what)));
    let name = |what: &str| quoted(&export(what));
    let imports = match kind {
        Kind::Lacking => {
            let two = format!("{} {}", quoted(EVIL), quoted(EVIL));
            format!("(import {two} (func {})) (import {two} (memory {} 1))", id("import"), id("imported"))
        }
        Kind::Sound | Kind::Invalid => String::new(),
    };
    let again = if kind == Kind::Invalid { format!("(export {})", name("trap")) } else { String::new() };
    let producer = counted(EVIL);
    let producers = binary(&[&[1], &producer, &[1], &producer, &producer]);
    let features = binary(&[&[1, b'+'], &producer]);
    format!(
        "(module {module}
  {imports}
  (type {ty} (func (param i32)))
  (memory {memory} (export {memory_name}) 1)
  (table {table} (export {table_name}) 1 funcref)
  (global {global} (export {global_name}) (mut i32) (i32.const 0))
  (tag {tag} (export {tag_name}) (param i32))
  (elem {elem} (i32.const 0) func {inner})
  (data {data} (i32.const 0) {evil})
  (func {inner} (param {param} i32) (local {local} i32) unreachable)
  (func {trap} (export {trap_name}) {again} (call_indirect (type {ty}) (i32.const 1) (i32.const 0)))
  (func (export {throw}) (throw {tag} (i32.const 7)))
  (func (export {fault}) (i32.store (i32.const 65536) (i32.const 1)))
  (func (export {param_name}) (param i32))
  (func (export {init}) (nop))
  (func {spin} (export {spin_name}) (loop (br 0)))
  (func {work} (export {work_name}) (local i32)
    (loop (br_if 0 (i32.lt_u (local.tee 0 (i32.add (local.get 0) (i32.const 1))) (i32.const 50000000)))))
  (@custom {custom} {evil})
  (@custom \"producers\" {producers})
  (@custom \"target_features\" {features})
  (@custom \"external_debug_info\" {external}))",
        module = id("module"),
        ty = id("type"),
        memory = id("memory"),
        memory_name = name("memory"),
        table = id("table"),
        table_name = name("table"),
        global = id("global"),
        global_name = name("global"),
        tag = id("tag"),
        tag_name = name("tag"),
        elem = id("elem"),
        data = id("data"),
        inner = id("inner"),
        param = id("p"),
        local = id("l"),
        trap = id("trap"),
        trap_name = name("trap"),
        throw = name("throw"),
        fault = name("fault"),
        param_name = name("param"),
        init = name("init"),
        spin = id("spin"),
        spin_name = name("spin"),
        work = id("work"),
        work_name = name("work"),
        custom = name("custom"),
        evil = quoted(EVIL),
        external = binary(&[&counted(EVIL)]),
    )
}

/// A directory with the modules.
pub(crate) struct Scene {
    pub(crate) home: TempDir,
}

/// Returns a file name that is not UTF-8.
pub(crate) fn file(ending: &str) -> OsString {
    let mut name = OsString::from(EVIL);
    name.push(OsStr::from_bytes(b"\xff"));
    name.push(ending);
    name
}

/// Returns a file name that is UTF-8.
pub(crate) fn text_file() -> OsString {
    format!("{EVIL}-text.wat").into()
}

impl Scene {
    pub(crate) fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let write = |ending: &str, text: String| fs::write(home.path().join(file(ending)), text).unwrap();
        write(".wat", module(Kind::Sound));
        // Debug information contains the name of the text file, if that is UTF-8.
        fs::write(home.path().join(text_file()), module(Kind::Sound)).unwrap();
        write("-lacking.wat", module(Kind::Lacking));
        write("-invalid.wat", module(Kind::Invalid));
        write("-syntax.wat", format!("(module (func (call ${}))", quoted(EVIL)));
        write("-raw.wat", format!("(module (func (export \"{EVIL}\")) {EVIL})"));
        let mut script = module(Kind::Sound);
        for what in ["trap", "throw", "missing"] {
            script.push_str(&format!("\n(assert_return (invoke {}) (i32.const 1))", quoted(&export(what))));
        }
        script.push_str(&format!("\n(assert_trap (invoke {}) {})", quoted(&export("init")), quoted(EVIL)));
        script.push_str(&format!(
            "\n(assert_invalid (module) {})\n(invoke ${} \"x\")",
            quoted(EVIL),
            quoted(EVIL)
        ));
        script.push_str(&format!("\n{}", module(Kind::Lacking)));
        write(".wast", script);
        write("-syntax.wast", format!("(module) (assert_trap ${})", quoted(EVIL)));
        fs::create_dir(home.path().join(file(""))).unwrap();
        fs::write(home.path().join(file(".pub")), format!("belljar-public-key v1 {EVIL}")).unwrap();
        Self { home }
    }

    pub(crate) fn path(&self, name: impl AsRef<OsStr>) -> PathBuf {
        self.home.path().join(name.as_ref())
    }

    pub(crate) fn command(&self, words: &[OsString]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_belljar"));
        command.current_dir(self.home.path()).stdin(Stdio::null()).args(words);
        command.env("BELLJAR_CACHE", "off").env("HOME", self.home.path());
        command.env("XDG_STATE_HOME", self.path("state")).env("XDG_CONFIG_HOME", self.path("config"));
        command.env("BELLJAR_RUNTIME_DIR", self.path("runtime")).env("JITDUMPDIR", self.home.path());
        command
    }
}

/// Checks the output of a command.
pub(crate) fn assert_output(what: &str, output: &Output) {
    assert_harmless(&format!("standard output of {what}"), &output.stdout);
    assert_harmless(&format!("standard error of {what}"), &output.stderr);
    let panicked = String::from_utf8_lossy(&output.stderr).contains("panicked");
    assert!(output.status.code().is_some_and(|code| code != 70) && !panicked, "{what}: {output:?}");
}

/// Checks that nothing in a text is unescaped, and that no name makes up a line.
pub(crate) fn assert_harmless(what: &str, bytes: &[u8]) {
    let text = std::str::from_utf8(bytes).unwrap_or_else(|_| panic!("{what} is not UTF-8: {bytes:?}"));
    let is_odd =
        |c: char| !OutsideText::prints_as_itself(c) || c.is_control() || !c.is_ascii() && EVIL.contains(c);
    let odd = text.chars().find(|c| *c != '\n' && is_odd(*c));
    assert_eq!(odd, None, "{what}:\n{text:?}");
    let forged = text.lines().find(|line| line.trim_start_matches(['!', ' ']).starts_with("FORGED"));
    assert_eq!(forged, None, "{what}:\n{text}");
}

/// Checks that no name is unescaped in a binary file.
pub(crate) fn assert_holds_no_name(what: &str, bytes: &[u8]) {
    let start = &EVIL.as_bytes()[..4];
    assert!(!bytes.windows(start.len()).any(|window| window == start), "{what}");
}

/// Collects the words of a command line.
pub(crate) fn words<const N: usize>(words: [&dyn AsRef<OsStr>; N]) -> Vec<OsString> {
    words.iter().map(|word| OsString::from_vec(word.as_ref().as_bytes().to_vec())).collect()
}
