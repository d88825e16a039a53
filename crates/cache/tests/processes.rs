//! Many processes that share one cache, some of which are killed in the middle of an operation.
//!
//! The test binary starts itself again, with the test named below and a task in the environment. `BELLJAR_LONG_TESTS=1`
//! kills a thousand processes instead of sixty.

use std::collections::HashSet;
use std::env;
use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime};

use belljar_cache::{ArtifactKind, Cache, CacheConfig, Identity, Key, USER_KEY_FILE, UserKey};

const TASK: &str = "BELLJAR_CACHE_TEST_TASK";
const DIRECTORY: &str = "BELLJAR_CACHE_TEST_DIRECTORY";
const SEED: &str = "BELLJAR_CACHE_TEST_SEED";

/// Small enough that entries are evicted all the time.
const SIZE_LIMIT: u64 = 4 << 20;
const LONGEST: u64 = 256 << 10;
/// Few enough that entries are replaced all the time.
const KEYS: u64 = 40;

fn open(directory: &Path) -> Cache {
    Cache::open(CacheConfig::at(directory).with_size_limit(SIZE_LIMIT).clone()).unwrap()
}

/// Returns a generator of pseudorandom numbers, determined by the seed.
fn numbers(seed: u64) -> impl FnMut() -> u64 {
    let mut reader = blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof();
    move || {
        let mut bytes = [0; 8];
        reader.fill(&mut bytes);
        u64::from_le_bytes(bytes)
    }
}

fn key(n: u64) -> Key {
    Key(*blake3::hash(&n.to_le_bytes()).as_bytes())
}

/// Returns the contents that a writer stores under a key: the first eight bytes are the variant, which determines all
/// others.
fn contents(key: Key, variant: u64) -> Vec<u8> {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&key.0).update(&variant.to_le_bytes());
    let length = 8 + variant % LONGEST;
    let mut bytes = vec![0; length as usize];
    hasher.finalize_xof().fill(&mut bytes);
    bytes[..8].copy_from_slice(&variant.to_le_bytes());
    bytes
}

/// Reads the entry of a key, if there is one, and checks every byte of it.
fn look(cache: &Cache, key: Key) -> bool {
    let Some(mut entry) = cache.find(&key) else { return false };
    let mut found = Vec::new();
    entry.file.read_to_end(&mut found).unwrap();
    assert_eq!(found.len() as u64, entry.length);
    let variant = u64::from_le_bytes(*found.first_chunk().expect("a variant"));
    assert!(found == contents(key, variant), "the entry of {key} is damaged");
    true
}

fn start(task: &str, directory: &Path, seed: u64) -> Child {
    Command::new(env::current_exe().unwrap())
        .args(["--exact", "a_child_does_its_task", "--nocapture", "--test-threads=1"])
        .env(TASK, task)
        .env(DIRECTORY, directory)
        .env(SEED, seed.to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// The child's task. Without one in the environment the test does nothing.
#[test]
fn a_child_does_its_task() {
    let Ok(task) = env::var(TASK) else { return };
    let directory = env::var_os(DIRECTORY).unwrap();
    let directory = Path::new(&directory);
    let mut next = numbers(env::var(SEED).unwrap().parse().unwrap());
    match task.as_str() {
        "insert until killed" => {
            let cache = open(directory);
            loop {
                let key = key(next() % KEYS);
                cache.insert(&key, &contents(key, next())).unwrap();
            }
        }
        "insert one key" => {
            let cache = open(directory);
            for _ in 0..100 {
                cache.insert(&key(0), &contents(key(0), next())).unwrap();
                assert!(look(&cache, key(0)), "a key that everybody inserts is there");
            }
        }
        "insert, find, remove and clear" => {
            let cache = open(directory);
            for _ in 0..150 {
                let key = key(next() % KEYS);
                match next() % 20 {
                    0 => _ = cache.clear().unwrap(),
                    1 => _ = cache.remove(&key).unwrap(),
                    2 => assert!(cache.stats().unwrap().bytes <= 2 * SIZE_LIMIT),
                    3..10 => _ = look(&cache, key),
                    _ => cache.insert(&key, &contents(key, next())).unwrap(),
                }
            }
        }
        "make a key" => {
            let key = UserKey::of(directory).unwrap();
            let mut artifact = [0; belljar_cache::SEAL_BYTES];
            let module = Identity { kind: ArtifactKind::Module, key: Key([0; 32]) };
            belljar_cache::seal_native_code(&mut artifact, module, Some(&key), None).unwrap();
            // Only the same key makes the same seal.
            std::io::stdout().write_all(format!("\nseal {:?}\n", artifact).as_bytes()).unwrap();
        }
        other => panic!("unknown task {other}"),
    }
}

fn killed_processes() -> u64 {
    if env::var_os("BELLJAR_LONG_TESTS").is_some() { 1000 } else { 60 }
}

#[test]
fn whoever_is_killed_leaves_whole_entries() {
    let dir = tempfile::tempdir().unwrap();
    let cache = open(dir.path());
    let mut next = numbers(2024);
    let (mut hits, mut left) = (0_u64, 0);
    for seed in 0..killed_processes() {
        let mut child = start("insert until killed", dir.path(), seed);
        std::thread::sleep(Duration::from_micros(5_000 + next() % 40_000));
        // This sends SIGKILL.
        child.kill().unwrap();
        child.wait().unwrap();
        for n in 0..KEYS {
            hits += u64::from(look(&cache, key(n)));
        }
        // A process killed before it evicted leaves the cache over its limit; the next insertion evicts.
        let key = key(next() % KEYS);
        cache.insert(&key, &contents(key, next())).unwrap();
        let stats = cache.stats().unwrap();
        assert!(stats.bytes <= SIZE_LIMIT, "{stats:?}");
        left = stats.temporary_files;
    }
    assert!(hits > 0, "no entry was ever found");
    eprintln!("{hits} entries looked at, {left} temporary files left");
    // Once they are old, the next insertion removes the files that were left.
    let entries = dir.path().join("v1");
    let names = || std::fs::read_dir(&entries).unwrap().map(|entry| entry.unwrap().path());
    for path in names() {
        File::open(path).unwrap().set_modified(SystemTime::UNIX_EPOCH).unwrap();
    }
    cache.insert(&key(0), &contents(key(0), 0)).unwrap();
    assert_eq!(cache.stats().unwrap().temporary_files, 0);
    assert!(names().all(|path| path.extension().is_some()));
}

fn run_at_once(task: &str, directory: &Path, count: u64) -> Vec<String> {
    let children: Vec<Child> = (0..count).map(|seed| start(task, directory, seed)).collect();
    let outputs = children.into_iter().map(|child| child.wait_with_output().unwrap());
    outputs
        .map(|output| {
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            assert!(output.status.success(), "{text}");
            text
        })
        .collect()
}

#[test]
fn two_that_insert_one_key_both_succeed() {
    let dir = tempfile::tempdir().unwrap();
    run_at_once("insert one key", dir.path(), 2);
    let cache = open(dir.path());
    assert!(look(&cache, key(0)));
    let stats = cache.stats().unwrap();
    assert_eq!((stats.entries, stats.temporary_files), (1, 0));
}

#[test]
fn many_at_once_do_not_disturb_each_other() {
    let dir = tempfile::tempdir().unwrap();
    run_at_once("insert, find, remove and clear", dir.path(), 4);
    let cache = open(dir.path());
    for n in 0..KEYS {
        look(&cache, key(n));
    }
    assert_eq!(cache.stats().unwrap().temporary_files, 0);
}

#[test]
fn processes_that_start_together_get_one_key() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("state");
    let outputs = run_at_once("make a key", &state, 6);
    let seals: HashSet<&str> =
        outputs.iter().map(|text| text.lines().find(|line| line.starts_with("seal ")).unwrap()).collect();
    assert_eq!(seals.len(), 1);
    assert!(state.join(USER_KEY_FILE).is_file());
    assert_eq!(std::fs::read_dir(&state).unwrap().count(), 1);
}
