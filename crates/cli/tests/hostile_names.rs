//! Runs every subcommand on modules in which all names are hostile, from files with hostile names, with hostile
//! arguments, and on processes that report hostile texts. None of this may reach a terminal or a file unescaped.

#[path = "hostile_names/processes.rs"]
mod processes;
#[path = "hostile_names/scene.rs"]
mod scene;

use belljar_cli::CommandLine;
use clap::CommandFactory;
use scene::{
    EVIL, Scene, assert_harmless, assert_holds_no_name, assert_output, export, file, text_file, words,
};
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;

/// Returns command lines of a subcommand.
type Lines = fn(&Scene) -> Vec<Vec<OsString>>;

/// The subcommands, with their command lines. Each runs in a directory of its own.
const ROWS: [(&str, Lines); 23] = [
    ("run", run),
    ("compile", compile),
    ("snapshot", snapshot),
    ("inspect", inspect),
    ("wit", wit),
    ("compose", compose),
    ("validate", validate),
    ("wast", wast),
    ("ps", processes::ps),
    ("kill", processes::kill),
    ("stack", processes::stack),
    ("top", processes::top),
    ("profile", processes::profile),
    ("cache stats", |_| cache("stats")),
    ("cache clear", |_| cache("clear")),
    ("cache path", |_| cache("path")),
    ("cache verify", |_| cache("verify")),
    ("key new", |_| {
        vec![
            words([&"key", &"new", &EVIL]),
            words([&"key", &"new", &file("")]),
            words([&"key", &"new", &EVIL]),
        ]
    }),
    ("key list", |_| vec![words([&"key", &"list"]), words([&"key", &"list", &EVIL])]),
    ("key trust", |_| vec![words([&"key", &"trust", &file(".pub")]), words([&"key", &"trust", &EVIL])]),
    ("completion", |_| {
        vec![
            words([&"completion", &"fish"]),
            words([&"completion", &EVIL]),
            words([&"completion", &file("")]),
        ]
    }),
    ("man", |scene| {
        fs::create_dir(scene.path(file(".pages"))).unwrap();
        vec![words([&"man", &file(".pages")]), words([&"man", &EVIL]), words([&"man", &file("")])]
    }),
    ("help", |_| vec![words([&"help"]), words([&"help", &EVIL]), words([&"help", &file("")])]),
];

fn run(scene: &Scene) -> Vec<Vec<OsString>> {
    let (module, folder) = (file(".wat"), file(""));
    let mut lines = vec![
        words([&file("-lacking.wat")]),
        words([&file("-invalid.wat")]),
        words([&file("-syntax.wat")]),
        words([&file("-raw.wat")]),
        words([&folder]),
        words([&EVIL]),
        words([&format!("--{EVIL}")]),
        words([&"run", &module, &EVIL]),
        words([&"run", &module, &folder]),
        words([&"run", &"--preload", &EVIL, &module]),
        words([&"run", &"--preload", &format!("{EVIL}={EVIL}"), &module]),
        words([&"run", &"--preload", &format!("{EVIL}=lacking"), &module]),
        words([&"run", &"--threads", &file("-lacking.wat")]),
    ];
    fs::copy(scene.path(file("-lacking.wat")), scene.path("lacking")).unwrap();
    for what in ["trap", "throw", "fault", "param", "memory", "missing"] {
        for how in ["short", "full"] {
            lines.push(words([&"run", &"--backtrace", &how, &"--invoke", &export(what), &module, &EVIL]));
            lines.push(words([&"run", &"--backtrace", &how, &"--invoke", &export(what), &module]));
        }
    }
    for option in [
        "--dir",
        "--env",
        "--argv0",
        "--invoke",
        "--max-memory",
        "--max-stack",
        "--fuel",
        "--timeout",
        "--cpu-timeout",
        "--limits",
        "--max-threads",
        "--perf",
        "--profile",
        "--profile-frequency",
        "--backtrace",
        "--coredump",
        "--enable",
        "--disable",
        "--wasm",
    ] {
        lines.push(words([&"run", &option, &EVIL, &module]));
        lines.push(words([&"run", &option, &folder, &module]));
        lines.push(words([&"run", &format!("{option}={EVIL}/{EVIL}"), &module]));
    }
    let limits = ["memory", "wall", "descriptors", EVIL].map(|key| format!("{key}={EVIL}"));
    lines.extend(limits.map(|limit| words([&"run", &"--limits", &limit, &module])));
    for ending in [".svg", ".json", ".txt", ".collapsed", ".pb.gz"] {
        let profile = words([&"run", &"--profile-frequency", &"10000", &"--profile", &file(ending)]);
        lines.push([profile, words([&"--invoke", &export("work"), &module])].concat());
    }
    lines.push(words([&"run", &"--invoke", &export("trap"), &text_file()]));
    lines.push(words([&"run", &"--perf", &"jitdump", &"--invoke", &export("trap"), &text_file()]));
    for how in ["map", "jitdump"] {
        lines.push(words([&"run", &"--perf", &how, &"--invoke", &export("trap"), &module]));
    }
    lines.push(words([&"run", &"--coredump", &file(".core"), &"--invoke", &export("trap"), &module]));
    lines
}

fn compile(_: &Scene) -> Vec<Vec<OsString>> {
    let module = file(".wat");
    vec![
        words([&"compile", &module]),
        words([&"compile", &"--explain", &module, &"-o", &file("-explained.elf")]),
        words([&"compile", &module, &"-o", &file("")]),
        words([&"compile", &module, &"-o", &format!("{EVIL}/{EVIL}")]),
        words([&"compile", &file("-invalid.wat")]),
        words([&"compile", &"--target", &EVIL, &module]),
        words([&"compile", &"--sign", &EVIL, &module]),
        words([&"compile", &"--sign", &file(".pub"), &module]),
        words([&"compile", &file(".elf")]),
        words([&"compile", &EVIL]),
        words([&"run", &"--invoke", &export("trap"), &file(".elf")]),
        words([&"run", &"--fuel", &"1", &"--invoke", &export("trap"), &file(".elf")]),
    ]
}

fn snapshot(_: &Scene) -> Vec<Vec<OsString>> {
    let module = file(".wat");
    let invoke = |what: &str| words([&"snapshot", &"--invoke", &export(what), &module]);
    vec![
        words([&"snapshot", &file("-lacking.wat")]),
        words([&"snapshot", &file("-invalid.wat")]),
        invoke("missing"),
        invoke("memory"),
        invoke("param"),
        invoke("trap"),
        invoke("throw"),
        words([&"snapshot", &module, &"-o", &file("")]),
        words([&"snapshot", &"--dir", &EVIL, &module]),
        words([&"snapshot", &"--dir", &format!(".::{EVIL}"), &"--invoke", &export("init"), &module]),
        words([&"run", &"--invoke", &export("trap"), &file(".snapshot")]),
        words([&"run", &"--dir", &format!(".::{EVIL}"), &"--invoke", &export("trap"), &file(".snapshot")]),
        words([&"snapshot", &file(".snapshot")]),
        words([&"inspect", &file(".snapshot")]),
    ]
}

fn inspect(scene: &Scene) -> Vec<Vec<OsString>> {
    scene.command(&words([&"compile", &file(".wat")])).output().unwrap();
    // An artifact's settings are text, which is untrusted until the seal is checked.
    let mut artifact = fs::read(scene.path(file(".elf"))).unwrap();
    let settings =
        artifact.windows(12).position(|w| w == b"processor = ").expect("the settings name the processor")
            + 12;
    artifact[settings..settings + 4].copy_from_slice("\u{1b}\u{202e}".as_bytes());
    fs::write(scene.path(file("-forged.elf")), artifact).unwrap();
    let mut lines = Vec::new();
    for ending in
        [".wat", "-lacking.wat", "-invalid.wat", "-syntax.wat", "-raw.wat", "", ".elf", "-forged.elf", ".pub"]
    {
        lines.push(words([&"inspect", &file(ending)]));
        lines.push(words([&"inspect", &"--json", &file(ending)]));
    }
    lines.push(words([&"run", &file("-forged.elf")]));
    lines
}

fn wit(scene: &Scene) -> Vec<Vec<OsString>> {
    let component = format!("(component (import {:?} (func)))", scene::EVIL);
    fs::write(scene.path(file("-component.wat")), component).unwrap();
    let endings = ["-component.wat", ".wat", "-syntax.wat", "-raw.wat", "", ".elf", ".pub", "-missing.wat"];
    endings.map(|ending| words([&"wit", &file(ending)])).to_vec()
}

fn compose(scene: &Scene) -> Vec<Vec<OsString>> {
    let exported = format!("(component (import \"f\" (func $f)) (export {:?} (func $f)))", scene::EVIL);
    fs::write(scene.path(file("-exports.wat")), exported).unwrap();
    let needed = format!("(component (import {:?} (func)))", scene::EVIL);
    fs::write(scene.path(file("-component.wat")), needed).unwrap();
    let output = file("-whole.wasm");
    ["-exports.wat", "-component.wat", ".wat", "-syntax.wat", "-raw.wat", "", ".elf", "-missing.wat"]
        .map(|ending| words([&"compose", &file("-component.wat"), &file(ending), &"-o", &output]))
        .to_vec()
}

fn validate(_: &Scene) -> Vec<Vec<OsString>> {
    let files =
        ["-lacking.wat", "-invalid.wat", "-syntax.wat", "-raw.wat", ".wat", "", ".pub", "-missing.wat"];
    let all = files.map(file);
    vec![[words([&"validate"]), all.to_vec()].concat(), words([&"validate", &"--enable", &EVIL, &EVIL])]
}

fn wast(_: &Scene) -> Vec<Vec<OsString>> {
    [".wast", "-syntax.wast", "-raw.wat", "", "-missing.wast"]
        .map(|ending| words([&"wast", &file(ending)]))
        .to_vec()
}

fn cache(action: &str) -> Vec<Vec<OsString>> {
    vec![words([&"cache", &action]), words([&"cache", &action, &EVIL])]
}

/// Options that a subcommand does not have, some of them similar to one that it has, so that clap suggests that one.
fn unknown_options(subcommand: &str) -> Vec<Vec<OsString>> {
    let options = [format!("--{EVIL}"), format!("-{EVIL}"), format!("--hel{EVIL}"), format!("--help={EVIL}")];
    let line = |option: &String| subcommand.split(' ').chain([option.as_str()]).map(OsString::from).collect();
    options.iter().map(line).collect()
}

/// Returns all subcommands, including nested ones.
fn subcommands() -> BTreeSet<String> {
    let mut command = CommandLine::command();
    command.build();
    let mut all = BTreeSet::new();
    for subcommand in command.get_subcommands() {
        let name = subcommand.get_name();
        let own: Vec<_> =
            subcommand.get_subcommands().map(clap::Command::get_name).filter(|n| *n != "help").collect();
        match own.is_empty() || name == "help" {
            true => drop(all.insert(name.to_string())),
            false => all.extend(own.iter().map(|own| format!("{name} {own}"))),
        }
    }
    all
}

#[test]
fn every_subcommand_has_a_row() {
    let rows: BTreeSet<String> = ROWS.iter().map(|(name, _)| name.to_string()).collect();
    assert_eq!(rows, subcommands(), "a subcommand is missing from the table, or from the program");
}

/// Runs a command line, and checks what it prints and writes.
fn feed(scene: &Scene, words: &[OsString]) -> String {
    let what = format!("{words:?}");
    let mut command = scene.command(words);
    if words[0] == "cache" || words[0] == "key" {
        command
            .env("BELLJAR_CACHE", scene.path(format!("{EVIL}cache")))
            .env("XDG_CONFIG_HOME", scene.path(EVIL));
    }
    let child =
        command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().unwrap();
    let map = format!("/tmp/perf-{}.map", child.id());
    let output = child.wait_with_output().unwrap();
    if words[0] == "completion" && output.status.success() {
        // Shell scripts are not untrusted.
        return String::new();
    }
    assert_output(&what, &output);
    if let Ok(lines) = fs::read(&map) {
        fs::remove_file(&map).unwrap();
        assert_harmless(&format!("the map of {what}"), &lines);
    }
    [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap()).concat()
}

#[test]
fn nothing_hostile_is_printed() {
    for (name, lines) in ROWS {
        let scene = Scene::new();
        let lines = [lines(&scene), unknown_options(name)].concat();
        let printed: String = lines.iter().map(|words| feed(&scene, words)).collect();
        let is_escaped = printed.contains(r"\u{1b}[2J\u{7f}\u{9b}\u{85}\r\t\u{8}\u{202e}")
            || printed.contains(r"\u001b[2J\u007f");
        assert!(is_escaped, "`{name}` printed nothing of what it was fed:\n{printed}");
    }
}

#[test]
fn what_the_program_is_called_as_is_not_printed() {
    let scene = Scene::new();
    for line in [words([&"kill"]), words([&"cache"]), words([&"stack", &"--x"]), words([&"help", &"kill"])] {
        let output = scene.command(&line).arg0(EVIL).output().unwrap();
        assert_output(&format!("{line:?}"), &output);
        let printed = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert!(printed.contains("Usage: belljar "), "{printed}");
    }
}

/// Variables that name a file or directory.
const VARIABLES: [&str; 7] = [
    "BELLJAR_CACHE",
    "BELLJAR_RUNTIME_DIR",
    "HOME",
    "XDG_RUNTIME_DIR",
    "XDG_CACHE_HOME",
    "XDG_CONFIG_HOME",
    "XDG_STATE_HOME",
];

#[test]
fn nothing_hostile_is_printed_of_the_environment() {
    let scene = Scene::new();
    let module = file(".wat");
    let lines = [
        words([&"run", &"--invoke", &export("init"), &module]),
        words([&"compile", &module]),
        words([&"ps"]),
        words([&"cache", &"stats"]),
        words([&"key", &"list"]),
        words([&"key", &"trust", &"good.pub"]),
    ];
    feed(&scene, &words([&"key", &"new", &"good"]));
    let mut printed = String::new();
    let open_to_all = scene.path(format!("{EVIL}open"));
    fs::create_dir_all(open_to_all.join("belljar")).unwrap();
    for path in [&open_to_all, &open_to_all.join("belljar")] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o777)).unwrap();
    }
    // A file instead of a directory, a missing path, a directory that others can write, and a relative path.
    for value in [scene.path(file(".wat")), scene.path(EVIL).join(EVIL), open_to_all, EVIL.into()] {
        for line in &lines {
            let mut command = scene.command(line);
            for name in VARIABLES {
                command.env_remove(name);
            }
            for name in VARIABLES {
                let output = command.env(name, &value).output().unwrap();
                assert_output(&format!("{line:?} with {name}={value:?}"), &output);
                printed.push_str(&String::from_utf8(output.stderr).unwrap());
                command.env_remove(name);
            }
        }
    }
    assert!(printed.contains(r"\u{1b}[2J\u{7f}"), "{printed}");
}

/// What an output file may contain.
enum Holds {
    /// Text for people.
    Text,
    /// Text in which the lines of a source excerpt are indented with tabs.
    Picture,
    /// JSON, with names escaped as when printed.
    Json,
    /// Binary data for a program, without unescaped names.
    Bytes,
    /// The module or the guest's state, unchanged, for debuggers and engines.
    Module,
}

/// The endings of file names, and the contents of such files.
const FILES: [(&str, Holds); 11] = [
    (".svg", Holds::Picture),
    (".json", Holds::Json),
    (".txt", Holds::Text),
    (".collapsed", Holds::Text),
    (".pb.gz", Holds::Bytes),
    (".dump", Holds::Bytes),
    (".core", Holds::Module),
    (".elf", Holds::Module),
    (".snapshot", Holds::Module),
    (".wat", Holds::Module),
    (".wast", Holds::Module),
];

#[test]
fn nothing_hostile_is_written() {
    let scene = Scene::new();
    for words in run(&scene) {
        feed(&scene, &words);
    }
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(scene.home.path()).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let Some((ending, holds)) = FILES.iter().find(|(ending, _)| name.ends_with(ending)) else { continue };
        found.insert(*ending);
        let bytes = fs::read(&path).unwrap();
        match holds {
            Holds::Text => assert_harmless(&name, &bytes),
            Holds::Picture => {
                let tabs =
                    bytes.iter().map(|byte| if *byte == b'\t' { b' ' } else { *byte }).collect::<Vec<u8>>();
                assert_harmless(&name, &tabs);
            }
            Holds::Json => {
                assert_harmless(&name, &bytes);
                serde_json::from_slice::<serde_json::Value>(&bytes).unwrap();
            }
            Holds::Bytes => assert_holds_no_name(&name, &bytes),
            Holds::Module => {}
        }
    }
    for wanted in [".svg", ".json", ".txt", ".collapsed", ".pb.gz", ".dump", ".core"] {
        assert!(found.contains(wanted), "no file ends in {wanted}: {found:?}");
    }
}
