//! The file that `perf inject --jit` reads, read back record by record.

use belljar::{
    Config, Engine, Func, Instance, Linker, Module, Origin, ProfilingStrategy, Store, Trap, Trust, UserKey,
    Val,
};
use std::fs::{self, File};
use std::os::unix::fs::{FileExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

/// C++ with debug information; its source is in the same folder.
const SHAPES: &[u8] = include_bytes!("dwarf/shapes.wasm");
const MOVED: &[u8] = include_bytes!("dwarf/moved.wasm");
const MOVED_AGAIN: &[u8] = include_bytes!("dwarf/moved.opt.wasm");
const SHAPES_SOURCE: &str = include_str!("dwarf/shapes.cpp");

#[derive(Debug)]
struct Header {
    magic: u32,
    version: u32,
    size: u32,
    machine: u32,
    process: u32,
    time: u64,
    flags: u64,
}

#[derive(PartialEq, Debug)]
struct Line {
    address: u64,
    line: u32,
    column: u32,
    file: String,
}

#[derive(Debug)]
struct Load {
    time: u64,
    process: u32,
    thread: u32,
    runs_at: u64,
    lies_at: u64,
    number: u64,
    name: String,
    code: Vec<u8>,
    /// The lines of a preceding record for the same code.
    lines: Vec<Line>,
}

/// Reads numbers and texts from the front of bytes.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn bytes(&mut self, count: usize) -> &'a [u8] {
        let (bytes, rest) = self.0.split_at(count);
        self.0 = rest;
        bytes
    }

    fn u32(&mut self) -> u32 {
        u32::from_ne_bytes(self.bytes(4).try_into().unwrap())
    }

    fn u64(&mut self) -> u64 {
        u64::from_ne_bytes(self.bytes(8).try_into().unwrap())
    }

    fn text(&mut self) -> String {
        let length = self.0.iter().position(|&byte| byte == 0).unwrap();
        String::from_utf8(self.bytes(length + 1)[..length].to_vec()).unwrap()
    }
}

/// Reads a dump, which must consist of complete records of known kinds.
fn read(path: &Path) -> (Header, Vec<Load>) {
    let bytes = fs::read(path).unwrap();
    let mut dump = Reader(&bytes);
    let [magic, version, size, machine, padding, process] = [(); 6].map(|()| dump.u32());
    assert_eq!(padding, 0);
    let header = Header { magic, version, size, machine, process, time: dump.u64(), flags: dump.u64() };
    assert_eq!(bytes.len() - dump.0.len(), header.size as usize);
    let (mut loads, mut lines) = (Vec::new(), Vec::new());
    while !dump.0.is_empty() {
        let (kind, size, time) = (dump.u32(), dump.u32(), dump.u64());
        let mut record = Reader(dump.bytes(size as usize - 16));
        match kind {
            0 => loads.push(read_load(&mut record, time, std::mem::take(&mut lines))),
            2 => lines = read_lines(&mut record),
            other => panic!("a record of kind {other}"),
        }
        assert_eq!(record.0, b"");
    }
    assert!(lines.is_empty(), "lines of nothing");
    (header, loads)
}

fn read_load(record: &mut Reader<'_>, time: u64, lines: Vec<Line>) -> Load {
    let (process, thread, runs_at) = (record.u32(), record.u32(), record.u64());
    let (lies_at, length, number, name) = (record.u64(), record.u64(), record.u64(), record.text());
    let code = record.bytes(length as usize).to_vec();
    Load { time, process, thread, runs_at, lies_at, number, name, code, lines }
}

fn read_lines(record: &mut Reader<'_>) -> Vec<Line> {
    let (_address, count) = (record.u64(), record.u64());
    let line = |_| {
        let (address, line, column) = (record.u64(), record.u32(), record.u32());
        Line { address, line, column, file: record.text() }
    };
    (0..count).map(line).collect()
}

/// Returns the memory at the addresses where the code is said to run. The kernel cannot read a page that is not loaded
/// yet.
fn in_memory(load: &Load) -> Vec<u8> {
    let mut bytes = vec![0; load.code.len()];
    File::open("/proc/self/mem").unwrap().read_exact_at(&mut bytes, load.runs_at).unwrap();
    bytes
}

fn names(loads: &[Load]) -> Vec<&str> {
    loads.iter().map(|load| &*load.name).collect()
}

/// One test, because a process has only one dump and one current directory.
#[test]
fn a_dump_holds_the_code_that_is_loaded() {
    let dir = tempfile::tempdir().unwrap();
    std::env::set_current_dir(&dir).unwrap();
    let path = PathBuf::from(format!("jit-{}.dump", std::process::id()));
    let mut config = Config::new();
    config.trust(Trust { user: Some(UserKey::from_bytes([1; 32])), ..Trust::default() });
    config.profiler(ProfilingStrategy::JitDump);
    let engine = Engine::new(&config).unwrap();
    a_problem_keeps_nothing_from_running(&engine, &path);
    // A dump of an earlier process with this id.
    fs::write(&path, "old".repeat(10_000)).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();

    let module = Module::new(
        &engine,
        r#"(module $mod
        (import "host" "log" (func))
        (func $plain (export "six") (result i32) (i32.mul (i32.const 2) (call 2)))
        (func (result i32) (i32.const 3))
        (func $_ZN4core9panicking5panic17h0123456789abcdefE unreachable))"#,
    );
    let module = module.unwrap();
    let (header, loads) = read(&path);
    assert_eq!((header.magic, header.version, header.flags), (0x4A69_5444, 1, 0), "{header:?}");
    assert_eq!(
        (header.machine, header.process),
        (if cfg!(target_arch = "x86_64") { 62 } else { 183 }, std::process::id())
    );
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(names(&loads), ["mod!plain", "mod!<wasm function 2>", "mod!core::panicking::panic"]);
    let mut time = header.time;
    for (number, load) in loads.iter().enumerate() {
        assert_eq!(
            (load.process, load.thread),
            (std::process::id(), rustix::thread::gettid().as_raw_nonzero().get() as u32)
        );
        assert_eq!((load.number, load.lies_at, &load.lines[..]), (number as u64, load.runs_at, &[][..]));
        assert!(!load.code.is_empty() && load.code == in_memory(load), "{load:x?}");
        assert!(std::mem::replace(&mut time, load.time) <= load.time);
    }
    perf_can_find_it(&path);

    lines_come_before_their_code(&engine, &path);
    lines_of_other_code_are_left_out(&engine, &path);
    trampolines_have_names(&engine, &module, &path);
    code_that_is_loaded_on_demand_is_there_as_a_whole(&engine, &path);
    records_of_several_threads_do_not_mix(&engine, &path);
    assert_eq!(engine.problems(), [""; 0]);
}

fn a_problem_keeps_nothing_from_running(engine: &Engine, path: &Path) {
    fs::write("precious", "precious").unwrap();
    symlink("precious", path).unwrap();
    let module = Module::new(engine, r#"(module (func (export "six") (result i32) i32.const 6))"#).unwrap();
    let expected = format!(
        "could not report function names to perf: could not create {}: expected a regular file, found a symbolic link: remove it",
        path.display()
    );
    assert_eq!(engine.problems(), [expected]);
    let mut store = Store::new(engine, ());
    let six = Instance::new(&mut store, &module, &[]).unwrap();
    let six = six.get_typed_func::<(), i32>(&mut store, "six").unwrap();
    assert_eq!(six.call(&mut store, ()).unwrap(), 6);
    assert_eq!(fs::read_to_string("precious").unwrap(), "precious");
    fs::remove_file(path).unwrap();
}

/// `perf record` records executable mappings.
fn perf_can_find_it(path: &Path) {
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    let path = fs::canonicalize(path).unwrap();
    let line = maps.lines().find(|line| line.ends_with(path.to_str().unwrap())).unwrap();
    assert_eq!((line.split(' ').nth(1), line.split(' ').nth(2)), (Some("r-xp"), Some("00000000")), "{line}");
}

fn lines_come_before_their_code(engine: &Engine, path: &Path) {
    let before = read(path).1.len();
    let _module = Module::new(engine, SHAPES).unwrap();
    let loads = &read(path).1[before..];
    assert_eq!(names(loads), ["shapes.wasm!shapes::area(shapes::Square const&)", "shapes.wasm!area_of"]);
    let marked = |mark: &str| {
        1 + SHAPES_SOURCE.lines().position(|l| l.ends_with(&format!("// {mark}"))).unwrap() as u32
    };
    for (load, marks) in loads.iter().zip([&["call checked"][..], &["call checked", "call area"]]) {
        let (first, last) = (load.lines.first().unwrap(), load.lines.last().unwrap());
        assert_eq!((first.address, last.address), (load.runs_at, load.runs_at + load.code.len() as u64));
        assert!(load.lines.is_sorted_by_key(|line| line.address), "{load:x?}");
        assert!(load.lines.iter().all(|line| line.file == "./shapes.cpp" && line.line > 0), "{load:x?}");
        for mark in marks {
            let column = load.lines.iter().find(|line| line.line == marked(mark)).map(|line| line.column);
            assert!(column.is_some_and(|column| column > 0), "{mark}: {load:x?}");
        }
    }
}

/// `wasm-opt` of npm moves code, but copies DWARF unchanged.
fn lines_of_other_code_are_left_out(engine: &Engine, path: &Path) {
    for (wasm, has_lines) in [(MOVED, true), (MOVED_AGAIN, false)] {
        let before = read(path).1.len();
        let _module = Module::new(engine, wasm).unwrap();
        let loads = &read(path).1[before..];
        let functions = ["wasteful", "fails", "first", "last"].map(|name| format!("moved.wasm!{name}"));
        assert_eq!(names(loads), functions);
        assert!(loads.iter().all(|load| load.lines.is_empty() != has_lines), "{loads:x?}");
    }
}

fn trampolines_have_names(engine: &Engine, module: &Module, path: &Path) {
    let before = read(path).1.len();
    let mut store = Store::new(engine, ());
    let log = Func::wrap(&mut store, || ());
    let instance = Instance::new(&mut store, module, &[log.into()]).unwrap();
    let mut results = [Val::I32(0)];
    instance.get_func(&mut store, "six").unwrap().call(&mut store, &[], &mut results).unwrap();
    assert_eq!(results[0].i32(), Some(6));

    let caller = r#"(module
        (import "host" "f" (func $f (param i32 i64) (result f64 f64)))
        (func (export "call") (param i32 i64) (result f64 f64) (call $f (local.get 0) (local.get 1))))"#;
    let caller = Module::new(engine, caller).unwrap();
    let mut linker = Linker::new(engine);
    linker.func_wrap("host", "f", |a: i32, b: i64| (f64::from(a), b as f64)).unwrap();
    let instance = linker.instantiate(&mut store, &caller).unwrap();
    let mut results = [Val::I32(0), Val::I32(0)];
    let call = instance.get_func(&mut store, "call").unwrap();
    call.call(&mut store, &[Val::I32(1), Val::I64(2)], &mut results).unwrap();
    assert_eq!(results.map(|val| val.f64()), [Some(1.0), Some(2.0)]);

    let loads = &read(path).1[before..];
    for (direction, ty) in
        [("entry", "() -> i32"), ("entry", "(i32, i64) -> (f64, f64)"), ("exit", "(i32, i64) -> (f64, f64)")]
    {
        let name = format!("belljar trampoline [{direction}] {ty}");
        let named: Vec<_> = loads.iter().filter(|load| load.name == name).collect();
        let [load] = named[..] else { panic!("{name}: {:?}", names(loads)) };
        assert!(load.code == in_memory(load) && load.lines.is_empty());
    }
}

fn code_that_is_loaded_on_demand_is_there_as_a_whole(engine: &Engine, path: &Path) {
    let body = |i| {
        format!("(i32.rotl (i32.mul (local.get 0) (i32.const {i})) (i32.const 3)) local.set 0 ").repeat(100)
    };
    let funcs: String = (0..600)
        .map(|i| format!("(func $f{i} (param i32) (result i32) {} local.get 0)", body(2 * i + 1)))
        .collect();
    let wat = format!(
        r#"(module $large {funcs} (memory 16) (data (i32.const 0) "{}"))"#,
        "0123456789abcdef".repeat(60_000)
    );
    let artifact = Module::new(engine, wat).unwrap().serialize().unwrap();
    fs::write("artifact", &artifact).unwrap();
    let before = read(path).1.len();
    let module = Module::deserialize_file(engine, "artifact").unwrap();
    assert!(matches!(module.origin(), Origin::Artifact(_)));
    let loads = &read(path).1[before..];
    assert_eq!(loads.len(), 600);
    for (i, load) in loads.iter().enumerate() {
        assert_eq!(load.name, format!("large!f{i}"));
        assert!(load.code.iter().any(|&byte| byte != 0) && load.code == in_memory(load), "{load:x?}");
    }
    // No record is written for code that does not match its seal.
    let (mut damaged, code) = (artifact, &*loads[300].code);
    let at = damaged.windows(code.len()).position(|bytes| bytes == code).unwrap();
    damaged[at + code.len() / 2] ^= 0x20;
    fs::write("damaged", &damaged).unwrap();
    Module::deserialize_file(engine, "damaged").unwrap();
    let [problem] = &engine.problems()[..] else { panic!("one problem") };
    let expected = format!("could not report function names to perf: {}", Trap::ArtifactDamaged);
    assert_eq!(*problem, expected);
    assert_eq!(read(path).1.len(), before + 600);
}

fn records_of_several_threads_do_not_mix(engine: &Engine, path: &Path) {
    let before = read(path).1.len();
    std::thread::scope(|scope| {
        for i in 0..4 {
            let wat = format!("(module $m{i} {})", "(func nop)".repeat(500));
            scope.spawn(move || Module::new(engine, wat).unwrap());
        }
    });
    let loads = read(path).1;
    let mut numbers: Vec<_> = loads.iter().map(|load| load.number).collect();
    numbers.sort_unstable();
    assert!(numbers.windows(2).all(|two| two[0] < two[1]), "each piece of code has its own number");
    for i in 0..4 {
        let of_module = loads[before..].iter().filter(|load| load.name.starts_with(&format!("m{i}!")));
        assert_eq!(of_module.count(), 500);
    }
}
