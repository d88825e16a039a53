//! Components of Python and JavaScript, which are too large for the repository: made with public tools, and run by the program.
//!
//! In: pinned versions of componentize-py (PyPI) and ComponentizeJS (npm), and the program `belljar`. Out: an error unless each
//! component answers as it should. Without Python or npm it says what it skips.

use crate::cargo::{output, target};
use anyhow::{Context, Result, ensure};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const WORLD: &str = include_str!("real_components/world.wit");
const PYTHON: &str = include_str!("real_components/app.py");
const JAVASCRIPT: &str = include_str!("real_components/app.js");
const MAKE_JAVASCRIPT: &str = include_str!("real_components/make.mjs");

const COMPONENTIZE_PY: &str = "componentize-py==0.25.1";
const COMPONENTIZE_JS: &str = "@bytecodealliance/componentize-js@0.23.0";

/// Calls in WAVE, and what the program prints; `Err` is part of an error.
const CALLS: [(&str, Result<&str, &str>); 5] = [
    (r#"greet("Ada")"#, Ok("\"Hello, Ada!\"\n")),
    (r#"greet("\u{1d11e} é")"#, Ok("\"Hello, \u{1d11e} é!\"\n")),
    (
        r#"count([("a", dot), ("b", circle(1.5)), ("c", polygon([{x: 1, y: -2}, {x: 3, y: 4}]))])"#,
        Ok("ok(4)\n"),
    ),
    ("count([])", Ok("err(\"no shapes\")\n")),
    (r#"count([("a", square)])"#, Err("no parameters of func(shapes: ")),
];

/// Makes the components, unless they are there, and runs them.
pub(crate) fn run(belljar: Option<PathBuf>) -> Result<()> {
    let belljar = belljar.unwrap_or_else(|| target().join("release/belljar"));
    let directory = target().join("real-components");
    fs::create_dir_all(&directory)?;
    for (name, make) in [("python", python as fn(&Path, &Path) -> Result<()>), ("javascript", javascript)] {
        let component = directory.join(name).with_extension("wasm");
        if !component.exists() {
            let scratch = tempfile::tempdir()?;
            if let Err(error) = make(scratch.path(), &component) {
                println!("skipped: the component of {name} could not be made: {error:#}");
                continue;
            }
        }
        for (call, expected) in CALLS {
            let ran = Command::new(&belljar).args(["run", "--invoke", call]).arg(&component).output();
            let ran = ran.with_context(|| format!("could not run {}", belljar.display()))?;
            let (printed, errors) =
                (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
            let is_right = match expected {
                Ok(text) => ran.status.success() && printed == text,
                Err(part) => !ran.status.success() && errors.contains(part),
            };
            ensure!(is_right, "{name}, {call}: expected {expected:?}, found {printed:?}, {errors}");
        }
        println!("{name}: {} calls are right", CALLS.len());
    }
    Ok(())
}

fn write(directory: &Path, files: &[(&str, &str)]) -> Result<()> {
    for (name, text) in files {
        let path = directory.join(name);
        fs::create_dir_all(path.parent().context("a path in the directory")?)?;
        fs::write(path, text)?;
    }
    Ok(())
}

fn python(directory: &Path, component: &Path) -> Result<()> {
    write(directory, &[("wit/world.wit", WORLD), ("app.py", PYTHON)])?;
    let run =
        |program: &Path, words: &[&str]| output(Command::new(program).args(words).current_dir(directory));
    run(Path::new("python3"), &["-m", "venv", "tools"])?;
    run(&directory.join("tools/bin/pip"), &["install", "--quiet", COMPONENTIZE_PY])?;
    let words = ["-d", "wit", "-w", "app", "componentize", "app", "-o", "app.wasm"];
    run(&directory.join("tools/bin/componentize-py"), &words)?;
    fs::copy(directory.join("app.wasm"), component)?;
    Ok(())
}

fn javascript(directory: &Path, component: &Path) -> Result<()> {
    let files = [
        ("wit/world.wit", WORLD),
        ("app.js", JAVASCRIPT),
        ("make.mjs", MAKE_JAVASCRIPT),
        ("package.json", r#"{ "name": "app", "private": true }"#),
    ];
    write(directory, &files)?;
    let run =
        |program: &str, words: &[&str]| output(Command::new(program).args(words).current_dir(directory));
    run("npm", &["install", "--silent", COMPONENTIZE_JS])?;
    run("node", &["make.mjs", "app.js", "wit", "app.wasm"])?;
    fs::copy(directory.join("app.wasm"), component)?;
    Ok(())
}
