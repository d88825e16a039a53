//! Reporting of guests to profilers.

use belljar::{
    Cache, CacheConfig, Config, Engine, Instance, Module, Origin, ProfilingStrategy, Store, Trust, UserKey,
    Val,
};
use std::fs;
use std::ops::Range;

const WAT: &str = r#"(module $mod
    (import "host" "log" (func))
    (func $plain (export "six") (result i32) (i32.mul (i32.const 2) (call 2)))
    (func (result i32) (i32.const 3))
    (func $_ZN4core9panicking5panic17h0123456789abcdefE unreachable))"#;

/// The names in the lines for [`WAT`].
const NAMES: [&str; 3] = ["mod!plain", "mod!<wasm function 2>", "mod!core::panicking::panic"];

fn number(text: &str) -> usize {
    usize::from_str_radix(text, 16).unwrap()
}

/// Returns the lines of a map: addresses and names.
fn lines(map: &str) -> Vec<(Range<usize>, &str)> {
    map.lines()
        .map(|line| {
            let mut words = line.splitn(3, ' ');
            let [start, size, name] = [(); 3].map(|()| words.next().unwrap());
            (number(start)..number(start) + number(size), name)
        })
        .collect()
}

/// Returns the executable addresses of this process.
fn executable() -> Vec<Range<usize>> {
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    let executable = maps.lines().filter(|line| line.split(' ').nth(1).unwrap().contains('x'));
    executable
        .map(|line| {
            let (start, end) = line.split(' ').next().unwrap().split_once('-').unwrap();
            number(start)..number(end)
        })
        .collect()
}

/// Removes the map of this process when it is dropped.
struct Map(String);

impl Drop for Map {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// One test, because a process has only one map.
#[test]
fn perf_is_told_the_functions_of_each_module_that_is_loaded() {
    let map = Map(format!("/tmp/perf-{}.map", std::process::id()));
    let dir = tempfile::tempdir().unwrap();
    let mut config = Config::new();
    config.trust(Trust { user: Some(UserKey::from_bytes([1; 32])), ..Trust::default() });
    config.cache(Some(Cache::open(CacheConfig::at(dir.path().join("cache"))).unwrap()));
    Module::new(&Engine::new(&config).unwrap(), "(module (func))").unwrap();
    assert!(!fs::exists(&map.0).unwrap(), "nobody asked for a map");

    config.profiler(ProfilingStrategy::PerfMap);
    let engine = Engine::new(&config).unwrap();
    let compiled = Module::new(&engine, WAT).unwrap();
    let cached = Module::new(&engine, WAT).unwrap();
    let deserialized = Module::deserialize(&engine, compiled.serialize().unwrap()).unwrap();
    assert_eq!((compiled.origin(), cached.origin()), (&Origin::Compiled, &Origin::Cache));
    assert!(matches!(deserialized.origin(), Origin::Artifact(_)));
    assert_eq!(engine.problems(), [""; 0]);

    let text = fs::read_to_string(&map.0).unwrap();
    let lines = lines(&text);
    let names: Vec<_> = lines.iter().map(|(_, name)| *name).collect();
    assert_eq!(names, [NAMES; 3].concat());
    let executable = executable();
    let lies_in_code = |at: &Range<usize>| executable.iter().any(|e| e.start <= at.start && at.end <= e.end);
    assert!(lines.iter().all(|(at, _)| !at.is_empty() && lies_in_code(at)), "{lines:x?} in {executable:x?}");
    let mut places: Vec<_> = lines.iter().map(|(at, _)| at.clone()).collect();
    places.sort_by_key(|at| at.start);
    assert!(places.windows(2).all(|two| two[0].end <= two[1].start), "functions overlap: {places:x?}");

    trampolines_have_names(&engine, &map);
    a_problem_keeps_nothing_from_running(&engine, &map);
}

fn trampolines_have_names(engine: &Engine, map: &Map) {
    let module =
        Module::new(engine, "(module (func (export \"f\") (param i64 f32) (result f32) local.get 1))");
    let mut store = Store::new(engine, ());
    let instance = Instance::new(&mut store, &module.unwrap(), &[]).unwrap();
    let mut results = [Val::I32(0)];
    let func = instance.get_func(&mut store, "f").unwrap();
    func.call(&mut store, &[Val::I64(1), Val::F32(1.5_f32.to_bits())], &mut results).unwrap();
    let text = fs::read_to_string(&map.0).unwrap();
    let (place, name) = lines(&text).pop().unwrap();
    assert_eq!(name, "belljar trampoline [entry] (i64, f32) -> f32");
    assert!(!place.is_empty() && executable().iter().any(|e| e.start <= place.start && place.end <= e.end));
}

fn a_problem_keeps_nothing_from_running(engine: &Engine, map: &Map) {
    fs::remove_file(&map.0).unwrap();
    std::os::unix::fs::symlink("/dev/null", &map.0).unwrap();
    let module = Module::new(engine, r#"(module (func (export "six") (result i32) i32.const 6))"#).unwrap();
    let problems = engine.problems();
    assert!(problems[0].starts_with("could not report function names to perf: "), "{problems:?}");
    assert!(problems[0].contains("found a symbolic link: remove it"), "{problems:?}");
    let mut store = Store::new(engine, ());
    let six = Instance::new(&mut store, &module, &[]).unwrap();
    let six = six.get_typed_func::<(), i32>(&mut store, "six").unwrap();
    assert_eq!(six.call(&mut store, ()).unwrap(), 6);
}
