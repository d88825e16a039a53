//! Tests of the program as a process that cannot be written as transcripts.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

fn belljar() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_belljar"));
    command.stdin(Stdio::null()).env("BELLJAR_CACHE", "off");
    command
}

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Runs a module of this text with options before it.
fn run(text: &str, options: &[&str]) -> Output {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("guest.wat");
    std::fs::write(&file, text).unwrap();
    belljar().args(options).arg(&file).output().unwrap()
}

#[test]
fn a_real_program_gives_what_it_should() {
    let dir = workspace().join("programs/markdown");
    let run = |args: &[&str]| belljar().current_dir(&dir).args(args).output().unwrap();
    let expected = std::fs::read_to_string(dir.join("sample.html")).unwrap();

    let output = run(&["--dir", ".", "markdown.wasm", "sample.md"]);
    assert_eq!(String::from_utf8_lossy(&output.stdout), expected);
    assert_eq!(output.status.code(), Some(0));

    let output = run(&["markdown.wasm", "sample.md"]);
    assert_eq!(output.status.code(), Some(1), "without --dir there is no file");
    assert!(String::from_utf8_lossy(&output.stderr).starts_with("markdown: sample.md: "));
}

#[test]
fn standard_input_is_the_guests() {
    let dir = workspace().join("programs/markdown");
    let input = std::fs::File::open(dir.join("sample.md")).unwrap();
    let output = belljar().arg(dir.join("markdown.wasm")).stdin(input).output().unwrap();
    assert_eq!(output.stdout, std::fs::read(dir.join("sample.html")).unwrap());
}

/// The main thread has the stack of `ulimit -s`, which is less than the compiler needs.
#[test]
fn a_small_stack_of_the_process_is_enough() {
    let program = workspace().join("programs/markdown/markdown.wasm");
    for kib in ["64", "256", "1024"] {
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("ulimit -s {kib}; exec \"$@\""), "sh", env!("CARGO_BIN_EXE_belljar")]);
        let output = shell.arg(&program).env("BELLJAR_CACHE", "off").stdin(Stdio::null()).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{kib}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn frames_of_a_very_deep_stack_are_not_all_counted() {
    let text = "(module (func $down (export \"_start\") (call $down)))";
    let message = |stack: &str| {
        let output = run(text, &["--max-stack", stack]);
        assert_eq!(output.status.code(), Some(134));
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let deep = message("64M");
    let count =
        deep.lines().last().and_then(|line| line.strip_prefix("  … over ")?.strip_suffix(" more frames"));
    assert!(count.and_then(|count| count.parse::<u32>().ok()) > Some(130_000), "{deep}");
    let shallow = message("64K");
    let last = shallow.lines().last().unwrap();
    assert!(
        last.starts_with("  … ") && last.ends_with(" more frames") && !last.contains("over"),
        "{shallow}"
    );
}

/// A compiler's output is shown with lines; the output of npm's `wasm-opt` for it is shown without, and with the
/// reason.
#[test]
fn lines_of_other_code_are_not_told() {
    let dir = workspace().join("crates/belljar/tests/dwarf");
    let message = |options: &[&str], file: &str| {
        let words = ["run", "--invoke", "first"];
        let output =
            belljar().current_dir(&dir).args(words).args(options).args([file, "1000"]).output().unwrap();
        assert_eq!(output.status.code(), Some(134));
        String::from_utf8(output.stderr).unwrap()
    };
    for options in [&["--backtrace", "short"], &["--backtrace", "full"]] {
        let (right, other) = (message(options, "moved.wasm"), message(options, "moved.opt.wasm"));
        assert!(right.contains("moved.wasm!fails\n                    at ./moved.cpp:"), "{right}");
        assert!(!right.contains("note: "), "{right}");
        assert!(
            other.contains("moved.wasm!fails\n    1: ") && other.contains("moved.wasm!first\n"),
            "{other}"
        );
        assert!(!other.contains("moved.cpp"), "{other}");
        assert_eq!(other.matches("\nnote: lines of moved.wasm are left out where").count(), 1, "{other}");
    }
    assert!(!message(&["--backtrace", "off"], "moved.opt.wasm").contains("note: "));
}

#[test]
fn endless_recursion_is_a_trap_and_its_backtrace_is_short() {
    let text = "(module (func $down (export \"_start\") (call $down)))";
    for options in [&[][..], &["--max-stack", "64M"], &["--max-stack", "64K"]] {
        let output = run(text, options);
        let message = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(134), "{message}");
        let limit = match options {
            [option, "64M"] => format!(": {option} allows 64 MiB"),
            [option, _] => format!(": {option} allows 64 KiB"),
            _ => String::new(),
        };
        let first = format!("error: the guest trapped: call stack exhausted{limit}\n");
        assert!(message.starts_with(&first), "{message}");
        assert!(message.contains("times the same") && message.lines().count() < 20, "{message}");
    }
}

/// Replaces `{mark}` with the line of the source that ends in `// mark`.
fn with_lines_of(source: &str, text: &str) -> String {
    let marks = source.lines().enumerate().filter_map(|(i, line)| Some((i + 1, line.split_once("// ")?.1)));
    marks.fold(text.into(), |text, (line, mark)| text.replace(&format!("{{{mark}}}"), &line.to_string()))
}

#[test]
fn frames_have_the_names_and_lines_of_their_language() {
    let dir = workspace().join("crates/belljar/tests/dwarf");
    let cpp = "error: the guest trapped: wasm `unreachable` instruction executed
wasm backtrace:
    0: 0x004e - shapes.wasm!shapes::Square::checked() const
                    at ./shapes.cpp:{trap}:13
              - shapes::area(shapes::Square const&)
                    at ./shapes.cpp:{call checked}:19
    1: 0x007a - shapes.wasm!area_of
                    at ./shapes.cpp:{call area}:12
";
    let rust = "error: the guest trapped: wasm `unreachable` instruction executed
wasm backtrace:
    0: 0x0094 - stairs.wasm!stairs::house::ground
                    at ./stairs.rs:{trap}:19
              - <stairs::house::Stair>::down
                    at ./stairs.rs:{call ground}:22
    1: 0x0086 - stairs.wasm!<stairs::house::Stair>::landing
                    at ./stairs.rs:{call down}:48
              - <stairs::house::Stair>::down
                    at ./stairs.rs:{call landing}:31
    2: 0x009c - stairs.wasm!descend
                    at ./stairs.rs:{call from outside}:35
";
    let cases = [
        ("shapes.cpp", &["--invoke", "area_of", "shapes.wasm", "-1"][..], cpp),
        ("stairs.rs", &["--invoke", "descend", "stairs.wasm", "1", "13"], rust),
    ];
    for (source, arguments, expected) in cases {
        let source = std::fs::read_to_string(dir.join(source)).unwrap();
        let output = belljar().current_dir(&dir).args(arguments).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stderr), with_lines_of(&source, expected));
        assert_eq!(output.status.code(), Some(134));
    }
}

#[test]
fn lines_of_a_text_are_exact_in_large_modules_too() {
    let others = "(func)\n".repeat(20_000);
    let text = format!(
        "(module {others}
  (func $divide (param i32)
    (block (br_if 0 (local.get 0))
      (drop (i32.div_s (i32.const 1)
                       (i32.const 0)))))
  (func (export \"_start\")
    (call $divide (i32.const 0))
    (call $divide (i32.const 1))))"
    );
    let output = run(&text, &[]);
    let message = String::from_utf8_lossy(&output.stderr);
    let places: Vec<_> =
        message.lines().filter_map(|line| line.split_once("guest.wat:")).map(|(_, at)| at).collect();
    assert_eq!(places, ["20004:14", "20007:6"], "{message}");
}

/// belljar inlines every other call, so that a machine frame has two functions.
const DEEP: &str = "(module $deep
(memory 0)
(func $down (export \"down\") (param i32)
(if (i32.eqz (local.get 0)) (then
(unreachable)))
(call $down (i32.sub (local.get 0) (i32.const 1)))
(drop (memory.grow (i32.const 0)))))";

#[test]
fn a_full_backtrace_has_every_frame_that_was_kept() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("deep.wat"), DEEP).unwrap();
    let run = |depth: usize| {
        let options = ["--backtrace", "full", "--invoke", "down", "deep.wat"];
        let output = belljar().current_dir(dir.path()).args(options).arg(depth.to_string()).output().unwrap();
        assert_eq!(output.status.code(), Some(134));
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let expected = |frames: usize| {
        let mut text = "error: the guest trapped: wasm `unreachable` instruction executed\n".to_string();
        text.push_str("wasm backtrace:\n    0: 0x002c - deep!down\n                    at ./deep.wat:5:2\n");
        for i in 1..frames {
            text.push_str(&format!("  {i:>3}: 0x0033 - deep!down\n                    at ./deep.wat:6:2\n"));
        }
        text
    };
    assert_eq!(run(299), expected(300));
    // 256 machine frames are recorded; the rest is counted by functions as well.
    let message = run(999);
    let kept = message.matches("deep!down").count();
    assert!((256..=512).contains(&kept), "{message}");
    assert_eq!(message, expected(kept) + &format!("  … {} more frames\n", 1000 - kept));
}

#[test]
fn a_larger_stack_lets_a_guest_go_deeper() {
    // Each level keeps a value across the call, so that there is a frame.
    let text = "(module
        (func $down (param i32) (result i32)
            (if (result i32) (local.get 0)
                (then (i32.add (local.get 0) (call $down (i32.sub (local.get 0) (i32.const 1)))))
                (else (i32.const 0))))
        (func (export \"_start\") (drop (call $down (i32.const 300000)))))";
    assert_eq!(run(text, &[]).status.code(), Some(134));
    assert_eq!(run(text, &["--max-stack", "256M"]).status.code(), Some(0));
}

#[test]
fn phases_of_a_compilation_make_up_its_time() {
    let dir = tempfile::tempdir().unwrap();
    let mut command = belljar();
    command.env("XDG_STATE_HOME", dir.path()).arg("compile").arg("--explain").arg("-o");
    let program = workspace().join("programs/markdown/markdown.wasm");
    let output = command.arg(dir.path().join("out.elf")).arg(program).output().unwrap();
    let message = String::from_utf8_lossy(&output.stdout);
    assert_eq!((output.status.code(), &*String::from_utf8_lossy(&output.stderr)), (Some(0), ""), "{message}");
    let phases: Vec<(&str, f64)> = message
        .lines()
        .filter_map(|line| line.strip_suffix(" ms")?.rsplit_once("  "))
        .map(|(name, time)| (name.trim_end(), time.trim().parse().unwrap()))
        .collect();
    let names: Vec<&str> = phases.iter().map(|(name, _)| *name).collect();
    let expected = [
        "preparation",
        "reading",
        "validation",
        "compilation",
        "  translation, all threads",
        "  optimization, all threads",
        "  generation, all threads",
        "linking",
        "loading",
        "assembly and sealing",
        "writing",
        "total",
    ];
    assert_eq!(names, expected, "{message}");
    let sum: f64 = phases.iter().filter(|(name, _)| !name.starts_with(' ')).map(|(_, time)| time).sum();
    let total = phases.last().unwrap().1;
    // Each number is rounded to a tenth.
    assert!((sum - 2.0 * total).abs() < 0.05 * phases.len() as f64, "{message}");
}

#[test]
fn perf_finds_the_names_of_a_guests_functions() {
    let program = workspace().join("programs/markdown/markdown.wasm");
    let mut command = belljar();
    command.args(["--perf", "map"]).arg(&program).stdout(Stdio::null()).stderr(Stdio::piped());
    let guest = command.spawn().unwrap();
    let map = format!("/tmp/perf-{}.map", guest.id());
    let output = guest.wait_with_output().unwrap();
    assert_eq!((output.status.code(), &*String::from_utf8_lossy(&output.stderr)), (Some(0), ""));
    let lines = std::fs::read_to_string(&map).unwrap();
    std::fs::remove_file(&map).unwrap();
    assert!(lines.lines().any(|line| line.ends_with(" markdown.wasm!put_escaped")), "{lines}");
}

#[test]
fn perf_gets_code_and_names_from_a_dump() {
    let dir = tempfile::tempdir().unwrap();
    let program = workspace().join("programs/markdown/markdown.wasm");
    for (variable, place) in [("", dir.path().join("here")), ("../there", dir.path().join("there"))] {
        std::fs::create_dir(&place).unwrap();
        let mut command = belljar();
        command.current_dir(dir.path().join("here")).env("JITDUMPDIR", variable);
        command.args(["--perf", "jitdump"]).arg(&program).stdout(Stdio::null()).stderr(Stdio::piped());
        let guest = command.spawn().unwrap();
        let dump = place.join(format!("jit-{}.dump", guest.id()));
        let output = guest.wait_with_output().unwrap();
        assert_eq!((output.status.code(), &*String::from_utf8_lossy(&output.stderr)), (Some(0), ""));
        let dump = std::fs::read(dump).unwrap();
        let number = |at: usize| u32::from_ne_bytes(dump[at..at + 4].try_into().unwrap());
        assert_eq!(number(0), 0x4A69_5444);
        // The kind and size of each record, from the header to the end of the file.
        let mut at = number(8) as usize;
        let mut kinds = Vec::new();
        while at < dump.len() {
            kinds.push(number(at));
            at += number(at + 4) as usize;
        }
        assert_eq!((at, kinds.pop()), (dump.len(), Some(3)), "the last record says that it is the last");
        assert!(kinds.len() > 20 && kinds.iter().all(|kind| *kind == 0), "{kinds:?}");
        let name = b"markdown.wasm!put_escaped\0";
        assert!(dump.windows(name.len()).any(|bytes| bytes == name));
    }
}

#[test]
fn a_map_that_cannot_be_written_is_a_note() {
    let dir = tempfile::tempdir().unwrap();
    let precious = dir.path().join("precious");
    std::fs::write(&precious, "precious").unwrap();
    let program = workspace().join("programs/markdown/markdown.wasm");
    let mut command = Command::new("sh");
    command.stdin(Stdio::null()).env("BELLJAR_CACHE", "off");
    // The program gets the shell's process id.
    command.args(["-c", "ln -s \"$0\" /tmp/perf-$$.map && exec \"$1\" --perf map \"$2\""]);
    let guest = command.arg(&precious).arg(env!("CARGO_BIN_EXE_belljar")).arg(program);
    let guest = guest.stderr(Stdio::piped()).spawn().unwrap();
    let map = format!("/tmp/perf-{}.map", guest.id());
    let output = guest.wait_with_output().unwrap();
    std::fs::remove_file(&map).unwrap();
    let expected = format!(
        "note: could not report function names to perf: could not write {map}: expected a regular file, found a \
         symbolic link: remove it\n"
    );
    assert_eq!((output.status.code(), &*String::from_utf8_lossy(&output.stderr)), (Some(0), &*expected));
    assert_eq!(std::fs::read_to_string(precious).unwrap(), "precious");
}

#[test]
fn a_reader_that_goes_away_is_no_panic() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = belljar();
    let output = command.args(["completion", "bash"]).stdout(writer).stderr(Stdio::piped()).output().unwrap();
    assert_eq!(output.status.code(), Some(141));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}

#[test]
fn a_file_too_large_for_a_module_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("huge.wasm");
    // A sparse file takes no space on disk.
    std::fs::File::create(&path).unwrap().set_len(3 << 30).unwrap();
    for subcommand in ["run", "inspect", "validate"] {
        let output = belljar().arg(subcommand).arg(&path).output().unwrap();
        let message = String::from_utf8_lossy(&output.stderr);
        assert!(message.contains("too large: a module may have at most 1 GiB"), "{message}");
        assert_eq!(output.status.code(), Some(65));
    }
}

#[test]
fn every_subcommand_has_examples_in_its_help() {
    for subcommand in ["run", "inspect", "validate", "wast", "completion", "man", "kill"] {
        let output = belljar().args(["help", subcommand]).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(text.contains("\nExamples:\n  belljar "), "{text}");
        assert_eq!(output.status.code(), Some(0));
    }
}

#[test]
fn the_version_says_what_was_built() {
    let message = |arg: &str| String::from_utf8(belljar().arg(arg).output().unwrap().stdout).unwrap();
    let short = format!("belljar {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(message("-V"), short);
    let long = message("--version");
    assert!(long.starts_with(&short), "{long}");
    let value = |name: &str| {
        let line = long.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        line.unwrap_or_else(|| panic!("no {name} in {long}"))
    };
    assert!(value("compiler").starts_with("Cranelift 0."), "{long}");
    assert!(value("target").starts_with("x86_64-"), "{long}");
    assert!(value("cargo features").contains("flamegraph"), "{long}");
    assert!(value("WebAssembly features").contains("simd, ") && value("profile").len() > 2, "{long}");
    let commit = value("commit");
    let is_hex = commit.len() == 40 && commit.bytes().all(|byte| byte.is_ascii_hexdigit());
    assert!(commit == "unknown" || is_hex, "{long}");
    let head = Command::new("git").args(["rev-parse", "HEAD"]).current_dir(workspace()).output();
    if head.is_ok_and(|head| head.status.success()) {
        assert_ne!(commit, "unknown");
    }
}

#[test]
fn messages_are_colored_only_where_that_is_wanted() {
    let message = |vars: &[(&str, &str)], args: &[&str]| {
        let output = belljar().envs(vars.iter().copied()).args(args).output().unwrap();
        String::from_utf8(output.stderr).unwrap()
    };
    let red = "\u{1b}[1m\u{1b}[31merror:\u{1b}[0m ";
    let all: [&[&str]; 4] = [&["nothing.wasm"], &["--nonsense"], &["run"], &["--timeout", "soon", "a.wasm"]];
    for args in all {
        // Standard error is a pipe.
        assert!(message(&[], args).starts_with("error: "), "{args:?}");
        let forced = message(&[("CLICOLOR_FORCE", "1")], args);
        assert!(forced.starts_with(red), "{args:?}: {forced:?}");
        let plain = message(&[("CLICOLOR_FORCE", "0"), ("NO_COLOR", "1")], args);
        assert!(!plain.contains('\u{1b}'), "{args:?}: {plain:?}");
    }
}

#[test]
fn manual_pages_are_written_for_every_subcommand() {
    let dir = tempfile::tempdir().unwrap();
    let output = belljar().arg("man").arg(dir.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    let names: Vec<String> = std::fs::read_dir(dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(message.starts_with(&format!("note: wrote {} manual pages to ", names.len())), "{message}");
    for name in ["belljar.1", "belljar-run.1", "belljar-key-new.1"] {
        assert!(names.iter().any(|found| found == name), "{names:?}");
    }
    let output = belljar().arg("man").arg(dir.path().join("nowhere")).output().unwrap();
    assert_eq!(output.status.code(), Some(74));
}

#[test]
fn every_shell_gets_a_completion_script() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let output = belljar().args(["completion", shell]).output().unwrap();
        assert!(String::from_utf8_lossy(&output.stdout).contains("max-memory"), "{shell}");
    }
}

#[test]
fn exit_codes_are_documented() {
    let manual = std::fs::read_to_string(workspace().join("docs/cli.md")).unwrap();
    for code in [0, 1, 2, 65, 66, 69, 70, 74, 124, 134, 141] {
        assert!(manual.contains(&format!("| {code} |")), "exit code {code} is missing from docs/cli.md");
    }
}

const STORES_AND_TRAPS: &str = r#"(module $dumped
    (memory 65536)
    (func $fail (i32.store (i32.const 0x7000_0000) (i32.const 0x01020304)) unreachable)
    (func (export "_start") (call $fail)))"#;

#[test]
fn a_core_dump_has_the_process_number_and_is_its_users_alone() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("guest.wat"), STORES_AND_TRAPS).unwrap();
    let mut command = belljar();
    command.current_dir(dir.path()).args(["run", "--coredump", "core.%p", "guest.wat"]);
    let guest = command.stderr(Stdio::piped()).spawn().unwrap();
    let name = format!("core.{}", guest.id());
    let output = guest.wait_with_output().unwrap();
    let message = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(134), "{message}");
    let dump = std::fs::read(dir.path().join(&name)).unwrap();
    let last = format!("note: core dump in {name} ({} bytes)", dump.len());
    assert_eq!(message.lines().last(), Some(&*last), "{message}");
    wasmparser::validate(&dump).unwrap();
    assert!(dump.len() < 200 && dump.windows(4).any(|bytes| bytes == [4, 3, 2, 1]));
    let mode = std::fs::metadata(dir.path().join(&name)).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2, "a draft was left");
}

#[test]
fn a_thread_that_traps_leaves_a_core_dump() {
    let dir = tempfile::tempdir().unwrap();
    let text = r#"(module
        (import "wasi" "thread-spawn" (func $spawn (param i32) (result i32)))
        (import "env" "memory" (memory 1 1 shared)) (export "memory" (memory 0))
        (func (export "wasi_thread_start") (param i32 i32)
            (i32.store (i32.const 100) (i32.const 0x01020304))
            unreachable)
        (func (export "_start")
            (drop (call $spawn (i32.const 0)))
            (drop (memory.atomic.wait32 (i32.const 0) (i32.const 0) (i64.const -1)))))"#;
    std::fs::write(dir.path().join("guest.wat"), text).unwrap();
    let core = dir.path().join("core");
    let mut command = belljar();
    command.args(["run", "--threads", "--coredump"]).arg(&core).arg(dir.path().join("guest.wat"));
    let output = command.output().unwrap();
    let message = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(134), "{message}");
    assert_eq!(message.matches("note: core dump in").count(), 1, "{message}");
    let dump = std::fs::read(core).unwrap();
    wasmparser::validate(&dump).unwrap();
    assert!(dump.windows(4).any(|bytes| bytes == [4, 3, 2, 1]));
}
