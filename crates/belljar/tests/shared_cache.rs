//! Processes that share a cache, one of which manipulates its files in all possible ways.
//!
//! Zellij crashed at random because a native file that a process had mapped was overwritten, under the same name, by
//! another compiler's output. Here one process runs a module from the cache in a loop, and loads it again and again,
//! while another overwrites, truncates, replaces and removes the entry.

use belljar::{Cache, CacheConfig, Config, Engine, Instance, Module, Origin, Store, Trust, UserKey};
use std::fs::{self, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// Enough code for several pages, so that a change can hit running code.
fn wat() -> String {
    let steps: String =
        (1..400).map(|i| format!("local.get 0 i32.const {i} i32.xor local.set 0\n")).collect();
    format!("(module (func (export \"f\") (param i32) (result i32) {steps} local.get 0))")
}

fn expected(x: i32) -> i32 {
    (1..400).fold(x, |x, i| x ^ i)
}

fn engine(directory: &Path, fuel: bool) -> Engine {
    let mut config = Config::new();
    config.trust(Trust { user: Some(UserKey::from_bytes([5; 32])), ..Trust::default() });
    config.cache(Some(Cache::open(CacheConfig::at(directory)).unwrap())).consume_fuel(fuel);
    Engine::new(&config).unwrap()
}

fn call(module: &Module, x: i32) -> i32 {
    let mut store = Store::new(module.engine(), ());
    let _ = store.set_fuel(1_000_000);
    let instance = Instance::new(&mut store, module, &[]).unwrap();
    instance.get_typed_func::<i32, i32>(&mut store, "f").unwrap().call(&mut store, x).unwrap()
}

/// Passes the directory to a process that uses the cache.
const USER: &str = "BELLJAR_TEST_CACHE_USER";

/// A process that uses the cache: it runs what it loaded first, and loads it again, until its input ends. It prints how
/// often, and how often the code was found in the cache.
#[test]
fn a_user_of_the_cache() {
    let Some(directory) = std::env::var_os(USER) else { return };
    let directory = PathBuf::from(directory);
    let first = Module::new(&engine(&directory, false), wat()).unwrap();
    println!("ready");
    let stop = std::thread::spawn(|| std::io::stdin().read_to_end(&mut Vec::new()));
    let (mut rounds, mut found) = (0, 0);
    while !stop.is_finished() {
        let x = rounds * 7919;
        assert_eq!(call(&first, x), expected(x));
        let again = Module::new(&engine(&directory, rounds % 2 == 1), wat()).unwrap();
        assert_eq!(call(&again, x), expected(x));
        found += i32::from(*again.origin() == Origin::Cache);
        rounds += 1;
    }
    println!("\n{rounds} rounds, {found} found");
}

fn user(directory: &Path) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "a_user_of_the_cache", "--nocapture"]).env(USER, directory);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap()
}

/// Returns the files of cache entries.
fn entries(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap().flatten() {
        let path = entry.path();
        match path.is_dir() {
            true => found.extend(entries(&path)),
            false if path.file_name().is_some_and(|name| !name.to_string_lossy().starts_with('.')) => {
                found.push(path)
            }
            false => {}
        }
    }
    found
}

/// Damages an entry in one of several ways. Any of these may fail, because the other process uses the entry, too.
fn spoil(round: usize, entry: &Path, other: &[u8]) -> std::io::Result<()> {
    let open = || OpenOptions::new().write(true).open(entry);
    match round % 6 {
        0 => open()?.write_all(&vec![0xcc; other.len()]),
        1 => open()?.set_len(4096 + (round % 5000) as u64),
        2 => open()?.set_len(0),
        3 => fs::write(entry, other),
        4 => {
            let draft = entry.with_extension("other");
            fs::write(&draft, other)?;
            fs::rename(&draft, entry)
        }
        _ => fs::remove_file(entry),
    }
}

#[test]
fn whatever_happens_to_entries_results_are_right() {
    let scratch = tempfile::tempdir().unwrap();
    let directory = scratch.path();
    // The same module with other settings: valid code, but wrong under the other's name.
    Module::new(&engine(directory, true), wat()).unwrap();
    let other = fs::read(entries(directory).remove(0)).unwrap();
    let mut user = user(directory);
    let mut output = user.stdout.take().unwrap();
    let mut told = String::new();
    while !told.contains("ready") {
        let mut byte = [0];
        assert_eq!(output.read(&mut byte).unwrap(), 1, "the other process ended: {told}");
        told.push(char::from(byte[0]));
    }
    let mut spoiled = 0;
    for round in 0.. {
        for entry in entries(directory) {
            spoiled += usize::from(spoil(round + spoiled, &entry, &other).is_ok());
        }
        if spoiled >= 10_000 {
            break;
        }
    }
    drop(user.stdin.take());
    output.read_to_string(&mut told).unwrap();
    assert!(user.wait().unwrap().success(), "{told}");
    let rounds = told.lines().find_map(|line| line.split_once(" rounds, ")?.0.parse::<u32>().ok());
    assert!(rounds.is_some_and(|rounds| rounds > 0), "{told}");
    println!("{spoiled} times spoiled; {told}");
    // What is left is useless or valid; the next users neither fail nor wait.
    for fuel in [false, true, false] {
        assert_eq!(call(&Module::new(&engine(directory, fuel), wat()).unwrap(), 3), expected(3));
    }
    assert_eq!(Module::new(&engine(directory, true), wat()).unwrap().origin(), &Origin::Cache);
}
