//! Reports of the progress of compilations.

use belljar::{Cache, CacheConfig, CompileStage, Config, Engine, Module, Origin, Progress, Trust, UserKey};
use std::fmt::Write;
use std::path::Path;
use std::sync::{Arc, Mutex};

/// Enough code for several threads.
fn wat(functions: usize) -> String {
    let mut wat = String::from("(module (func $f (export \"f\") (param i32) (result i32) (local.get 0))");
    for i in 0..functions {
        write!(wat, "(func (result i32) (call $f (i32.const {i}))").unwrap();
        wat.push_str(&"(i32.mul (i32.const 3))".repeat(20 + i % 7));
        wat.push(')');
    }
    wat + ")"
}

fn trust() -> Trust {
    Trust { user: Some(UserKey::from_bytes([1; 32])), ..Trust::default() }
}

/// Returns a configuration, and the reports of engines that use it.
fn watched(cache: Option<&Path>) -> (Config, Arc<Mutex<Vec<Progress>>>) {
    let told = Arc::new(Mutex::new(Vec::new()));
    let mut config = Config::new();
    config.trust(trust());
    config.cache(cache.map(|at| Cache::open(CacheConfig::at(at)).unwrap()));
    let all = told.clone();
    config.compile_progress(move |progress| all.lock().unwrap().push(progress));
    (config, told)
}

#[test]
fn it_goes_from_nothing_to_all() {
    let (config, told) = watched(None);
    Module::new(&Engine::new(&config).unwrap(), wat(300)).unwrap();
    let told = told.lock().unwrap();
    assert!(told.is_sorted_by_key(|p| p.stage) && told.is_sorted_by_key(|p| p.done), "{told:?}");
    assert!(told.iter().all(|p| p.compilation == told[0].compilation && p.done <= p.total));
    let stages = [CompileStage::Validation, CompileStage::Compilation, CompileStage::Linking];
    for stage in stages.into_iter().chain([CompileStage::Finished]) {
        assert!(told.iter().any(|p| p.stage == stage), "{stage:?} is missing");
    }
    assert_eq!((told[0].done, told[0].total, told[0].fraction()), (0, 0, 0.0));
    let last = told.last().unwrap();
    assert_eq!((last.stage, last.fraction()), (CompileStage::Finished, 1.0));
    assert!(last.total > 300 * 20 && last.done == last.total, "{last:?}");
    assert!(last.times.translation.as_nanos() > 0 && last.times.generation.as_nanos() > 0, "{last:?}");
}

#[test]
fn a_module_without_code_is_finished_too() {
    let (config, told) = watched(None);
    Module::new(&Engine::new(&config).unwrap(), "(module)").unwrap();
    assert_eq!(told.lock().unwrap().last().unwrap().fraction(), 1.0);
}

#[test]
fn what_is_not_valid_is_never_finished() {
    let (config, told) = watched(None);
    Module::new(&Engine::new(&config).unwrap(), "(module (func (result i32)))").unwrap_err();
    let stages: Vec<_> = told.lock().unwrap().iter().map(|p| p.stage).collect();
    assert_eq!(stages, [CompileStage::Validation]);
}

#[test]
fn nothing_is_told_of_what_is_not_compiled() {
    let dir = tempfile::tempdir().unwrap();
    let (config, told) = watched(Some(&dir.path().join("cache")));
    let engine = Engine::new(&config).unwrap();
    let module = Module::new(&engine, wat(3)).unwrap();
    assert!(!std::mem::take(&mut *told.lock().unwrap()).is_empty());

    assert_eq!(Module::new(&engine, wat(3)).unwrap().origin(), &Origin::Cache);
    let artifact = module.serialize().unwrap();
    assert!(matches!(Module::deserialize(&engine, &artifact).unwrap().origin(), Origin::Artifact(_)));
    assert_eq!(*told.lock().unwrap(), []);
}

#[test]
fn whoever_watches_changes_nothing() {
    let (config, told) = watched(None);
    let mut alone = Config::new();
    alone.trust(trust());
    let artifact = |config| Module::new(&Engine::new(config).unwrap(), wat(50)).unwrap().serialize().unwrap();
    assert!(artifact(&config) == artifact(&alone), "the artifact depends on who watches");
    assert!(!told.lock().unwrap().is_empty());
}

#[test]
fn compilations_at_the_same_time_are_told_apart() {
    let (config, told) = watched(None);
    let engine = Engine::new(&config).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| Module::new(&engine, wat(100)).unwrap());
        }
    });
    let told = told.lock().unwrap();
    let mut numbers: Vec<_> = told.iter().map(|p| p.compilation).collect();
    numbers.sort();
    numbers.dedup();
    assert_eq!(numbers.len(), 3);
    for number in numbers {
        let one: Vec<_> = told.iter().filter(|p| p.compilation == number).collect();
        assert!(one.is_sorted_by_key(|p| (p.stage, p.done)));
        assert_eq!(one.last().unwrap().stage, CompileStage::Finished);
    }
}
