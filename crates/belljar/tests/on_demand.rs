//! Large artifacts, which are read and checked where they are first accessed: results are correct, or it is an error.

use belljar::{
    ArtifactError, ArtifactKind, Config, Engine, Error, Identity, Instance, Module, Origin, SealError, Store,
    Trap, Trust, TrustedBy, TypedFunc, UserKey, WasmBacktrace,
};
use std::fs;
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

const FUNCTIONS: i32 = 600;

/// Data, and different functions of some hundred bytes of code each, which are called by number.
fn wat() -> String {
    let steps = |i: i32| -> String {
        (0..40)
            .map(|k| {
                format!(
                    "(local.set 0 (i32.rotl (i32.mul (local.get 0) (i32.const {})) (i32.const {k})))\n",
                    2 * (i + k) + 1
                )
            })
            .collect()
    };
    let functions: String =
        (0..FUNCTIONS).map(|i| format!("(func $f{i} (type $t) {} (local.get 0))\n", steps(i))).collect();
    let names: String = (0..FUNCTIONS).map(|i| format!("$f{i} ")).collect();
    let data = "0123456789abcdef".repeat(20_000);
    format!(
        r#"(module (type $t (func (param i32) (result i32)))
            (memory (export "memory") 6) (data (i32.const 0) "{data}") (data $passive "{data}")
            (table {FUNCTIONS} funcref) (elem (i32.const 0) {names}) {functions}
            (func (export "call") (param i32 i32) (result i32)
                (call_indirect (type $t) (local.get 1) (local.get 0)))
            (func (export "init") (memory.init $passive (i32.const 16) (i32.const 0) (i32.const 320000)))
            (@custom "filling" "{}"))"#,
        "x".repeat(1 << 20)
    )
}

fn expected(i: i32, x: i32) -> i32 {
    (0..40).fold(x, |x, k| x.wrapping_mul(2 * (i + k) + 1).rotate_left(k as u32))
}

static ENGINE: LazyLock<Engine> = LazyLock::new(|| {
    let mut config = Config::new();
    config.trust(Trust { user: Some(UserKey::from_bytes([1; 32])), ..Trust::default() });
    Engine::new(&config).unwrap()
});

static ARTIFACT: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let wasm = wat::parse_str(wat()).unwrap();
    Module::new(&ENGINE, wasm).unwrap().serialize().unwrap()
});

fn file_of(artifact: &[u8]) -> tempfile::TempPath {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(artifact).unwrap();
    file.into_temp_path()
}

struct Running {
    store: Store<()>,
    instance: Instance,
    call: TypedFunc<(i32, i32), i32>,
}

fn start(module: &Module) -> Result<Running, Error> {
    let mut store = Store::new(&ENGINE, ());
    let instance = Instance::new(&mut store, module, &[])?;
    let call = instance.get_typed_func(&mut store, "call")?;
    Ok(Running { store, instance, call })
}

impl Running {
    fn call(&mut self, i: i32, x: i32) -> Result<i32, Error> {
        self.call.call(&mut self.store, (i, x))
    }

    /// Uses all functions.
    fn works(&mut self) -> Result<(), Error> {
        for i in (0..FUNCTIONS).rev() {
            assert_eq!(self.call(i, i + 77)?, expected(i, i + 77));
        }
        let memory = self.instance.get_memory(&mut self.store, "memory").unwrap();
        let data = |memory: &[u8]| memory[..320_000].chunks(16).all(|chunk| chunk == b"0123456789abcdef");
        assert!(data(memory.data(&self.store)));
        self.instance.get_typed_func::<(), ()>(&mut self.store, "init")?.call(&mut self.store, ())?;
        assert!(data(&memory.data(&self.store)[16..]));
        Ok(())
    }
}

#[test]
fn a_large_artifact_works() {
    let file = file_of(&ARTIFACT);
    let module = Module::deserialize_file(&ENGINE, &file).unwrap();
    assert_eq!(module.origin(), &Origin::Artifact(TrustedBy::User));
    start(&module).unwrap().works().unwrap();
    assert_eq!(module.custom_sections_named("filling").next().map(<[u8]>::len), Some(1 << 20));
    assert!(module.serialize().unwrap() == *ARTIFACT);
    // A second one at the same time, and on several threads.
    let again = Module::deserialize_file(&ENGINE, &file).unwrap();
    std::thread::scope(|scope| {
        for module in [&module, &again, &again] {
            scope.spawn(|| start(module).unwrap().works().unwrap());
        }
    });
}

/// Returns the range of a section of the artifact, according to its ELF header.
fn section(name: &str) -> std::ops::Range<usize> {
    use object::read::elf::ElfFile64;
    use object::{LittleEndian, Object, ObjectSection};
    let file = ElfFile64::<LittleEndian>::parse(ARTIFACT.as_slice()).unwrap();
    let (start, length) = file.section_by_name(name).unwrap().file_range().unwrap();
    start as usize..(start + length) as usize
}

fn with_change_at(at: usize) -> tempfile::TempPath {
    let mut changed = ARTIFACT.clone();
    changed[at] ^= 0x20;
    file_of(&changed)
}

#[test]
fn a_memory_that_is_damaged_is_not_used() {
    let memory = section(".belljar.memory");
    let file = with_change_at(memory.end - 100);
    let Ok(module) = Module::deserialize_file(&ENGINE, &file) else {
        println!("skipped: no lease on a file in the directory for temporary files");
        return;
    };
    for _instance in 0..3 {
        let error = start(&module).map(|_| ()).unwrap_err();
        assert_eq!(error.downcast_ref::<Trap>(), Some(&Trap::ArtifactDamaged));
    }
}

#[test]
fn code_that_is_damaged_is_not_run() {
    let text = section(".text");
    let file = with_change_at(text.start + text.len() / 2);
    let module = match Module::deserialize_file(&ENGINE, &file) {
        Ok(module) => module,
        Err(error) => {
            println!("skipped: no lease on a file in the directory for temporary files");
            assert!(error.downcast_ref::<ArtifactError>().is_some());
            return;
        }
    };
    let mut running = start(&module).unwrap();
    let mut refused = 0;
    for _ in 0..2 {
        for i in 0..FUNCTIONS {
            match running.call(i, 5) {
                Ok(result) => assert_eq!(result, expected(i, 5)),
                Err(error) => {
                    assert_eq!(error.downcast_ref::<Trap>(), Some(&Trap::ArtifactDamaged));
                    let frames = error.downcast_ref::<WasmBacktrace>().unwrap().frames();
                    let names: Vec<_> =
                        frames.iter().map(|frame| frame.func_name().map(String::from)).collect();
                    assert_eq!(names[0], Some(format!("f{i}")));
                    assert_eq!(frames.len(), 2);
                    refused += 1;
                }
            }
        }
    }
    // The functions of one damaged block, and of all blocks.
    assert!(refused > 20 && refused < FUNCTIONS, "{refused}");
    assert!(module.serialize().is_err());
    assert!(start(&module).unwrap().works().is_err());
}

#[test]
fn what_the_runtime_relies_on_is_checked_at_once() {
    for name in [".belljar.header", ".belljar.funcs", ".belljar.settings", ".belljar.metadata"] {
        let file = with_change_at(section(name).start + 1);
        let error = Module::deserialize_file(&ENGINE, &file).unwrap_err();
        assert!(error.downcast_ref::<ArtifactError>().is_some(), "{name}: {error}");
    }
    let seal = section(".belljar.seal");
    for at in [seal.start, seal.start + 33, seal.end - 256, seal.end - 200, seal.end - 1] {
        assert!(Module::deserialize_file(&ENGINE, with_change_at(at)).is_err(), "byte {at}");
    }
}

/// A change of any byte is an error, or is harmless.
#[test]
fn no_change_gives_another_result() {
    let mut at = 12_345;
    let (mut refused, mut trapped, mut unused) = (0, 0, 0);
    for _ in 0..60 {
        at = (at * 7919 + 104_729) % ARTIFACT.len();
        let file = with_change_at(at);
        match Module::deserialize_file(&ENGINE, &file).and_then(|module| start(&module)?.works()) {
            Ok(()) => unused += 1,
            Err(error) if error.downcast_ref::<Trap>() == Some(&Trap::ArtifactDamaged) => trapped += 1,
            Err(_) => refused += 1,
        }
        assert!(Module::deserialize(&ENGINE, fs::read(&file).unwrap()).is_err());
    }
    println!("{refused} refused, {trapped} trapped, {unused} of no consequence");
    assert!(refused + trapped > 0);
}

/// 100,000 changes with `BELLJAR_LONG_TESTS`.
#[test]
fn a_change_of_a_byte_is_refused() {
    let changes = if std::env::var_os("BELLJAR_LONG_TESTS").is_some() { 100_000 } else { 1_000 };
    let mut artifact = ARTIFACT.clone();
    let mut random = 99_u64;
    for _ in 0..changes {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let at = (random >> 33) as usize % artifact.len();
        let change = ((random >> 20) as u8).max(1);
        artifact[at] ^= change;
        let error = Module::deserialize(&ENGINE, &artifact).unwrap_err();
        assert!(error.downcast_ref::<ArtifactError>().is_some(), "byte {at} changed by {change:#x}: {error}");
        artifact[at] ^= change;
    }
    assert!(Module::deserialize(&ENGINE, &artifact).is_ok());
}

fn spoil(path: &Path, round: usize) {
    match round % 5 {
        0 => fs::write(path, vec![0xcc; ARTIFACT.len()]).unwrap(),
        1 => drop(fs::File::create(path).unwrap()),
        2 => {
            let mut file = fs::OpenOptions::new().write(true).open(path).unwrap();
            file.seek(SeekFrom::Start((round * 104_729 % ARTIFACT.len()) as u64)).unwrap();
            file.write_all(&[0xcc; 5000]).unwrap();
        }
        3 => fs::remove_file(path).unwrap(),
        _ => {
            let other = path.with_extension("other");
            fs::write(&other, &ARTIFACT[..ARTIFACT.len() / 2]).unwrap();
            fs::rename(other, path).unwrap();
        }
    }
}

#[test]
fn whatever_happens_to_the_file_later_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("module.elf");
    for round in 0..10 {
        fs::write(&path, &*ARTIFACT).unwrap();
        let module = Module::deserialize_file(&ENGINE, &path).unwrap();
        let mut running = start(&module).unwrap();
        assert_eq!(running.call(3, 9).unwrap(), expected(3, 9));
        spoil(&path, round);
        running.works().unwrap();
        start(&module).unwrap().works().unwrap();
    }
}

/// One thread damages and repairs the file repeatedly, while others load it: what they load works, or is refused. If the
/// file was damaged when it was opened, loading fails, or the start or a run traps when it needs the damaged part.
#[test]
fn a_file_that_is_written_to_meanwhile_works_or_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("module.elf");
    fs::write(&path, &*ARTIFACT).unwrap();
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let load = || {
            let (mut worked, mut refused) = (0, 0);
            while !is_over.load(Relaxed) {
                match Module::deserialize_file(&ENGINE, &path) {
                    Ok(module) => match start(&module).and_then(|mut running| running.works()) {
                        Ok(()) => worked += 1,
                        Err(error) if error.downcast_ref() == Some(&Trap::ArtifactDamaged) => refused += 1,
                        Err(error) => panic!("{error:?}"),
                    },
                    Err(_) => refused += 1,
                }
            }
            (worked, refused)
        };
        let loaders = [scope.spawn(load), scope.spawn(load)];
        for round in 0..60 {
            spoil(&path, round);
            fs::write(&path, &*ARTIFACT).unwrap();
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        is_over.store(true, Relaxed);
        let counts = loaders.map(|loader| loader.join().unwrap());
        println!("worked and refused: {counts:?}");
    });
}

#[test]
fn initial_contents_come_into_memories_that_others_have_settled_in() {
    let mut config = Config::new();
    config.trust(Trust { user: Some(UserKey::from_bytes([1; 32])), ..Trust::default() });
    // No other test's memories.
    let engine = Engine::new(&config).unwrap();
    let wat = r#"(module (memory 6) (func (export "f") (i32.store (i32.const 200000) (i32.const 1))))"#;
    let other = Module::new(&engine, wat).unwrap();
    for _ in 0..40 {
        let mut store = Store::new(&engine, ());
        let instance = Instance::new(&mut store, &other, &[]).unwrap();
        instance.get_typed_func::<(), ()>(&mut store, "f").unwrap().call(&mut store, ()).unwrap();
    }
    let file = file_of(&ARTIFACT);
    let module = Module::deserialize_file(&engine, &file).unwrap();
    let mut store = Store::new(&engine, ());
    let instance = Instance::new(&mut store, &module, &[]).unwrap();
    let memory = instance.get_memory(&mut store, "memory").unwrap();
    assert!(memory.data(&store).starts_with("0123456789abcdef".repeat(20_000).as_bytes()));
}

/// A file that is read on demand is also used only as what it was sealed as.
#[test]
fn what_was_sealed_as_something_else_is_refused() {
    let user = UserKey::from_bytes([1; 32]);
    let contents = belljar_cache::seal_of(&ARTIFACT).unwrap().identity;
    for kind in [ArtifactKind::CacheEntry, ArtifactKind::Snapshot] {
        let mut artifact = ARTIFACT.clone();
        belljar_cache::seal_native_code(&mut artifact, Identity { kind, ..contents }, Some(&user), None)
            .unwrap();
        let file = file_of(&artifact);
        let error = Module::deserialize_file(&ENGINE, &file).unwrap_err();
        let refused = error.downcast_ref::<ArtifactError>();
        assert!(matches!(refused, Some(ArtifactError::Seal(SealError::OtherIdentity { .. }))), "{error:#}");
    }
    Module::deserialize_file(&ENGINE, file_of(&ARTIFACT)).unwrap();
}
