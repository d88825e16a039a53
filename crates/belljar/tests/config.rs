//! Each setting of a configuration: what an engine says it is, and what it does.

use belljar::{
    Collector, CompilationMode, Config, CustomFuelCosts, DisabledFeatures, EnforcedLimits,
    EnforcedLimitsError, Engine, Error, Inlining, Instance, InstanceAllocationStrategy, Memory, MemoryType,
    Module, ModuleVersionStrategy, OperatorCost, OptLevel, Origin, Precompiled, RegallocAlgorithm, Result,
    SharedMemory, Store, Strategy, Trap, Trust, UserKey, Val, VariableOperatorCost, WasmBacktrace,
    WasmBacktraceDetails, WasmFeatures,
};
use std::num::NonZeroUsize;

fn engine(change: impl FnOnce(&mut Config)) -> Engine {
    let mut config = Config::new();
    change(&mut config);
    Engine::new(&config).unwrap()
}

/// Whether engines say what was set: for each value, what sets it, and what the engine must say then.
macro_rules! settings {
    ($($set:ident, $get:ident: $($value:expr),+ => $said:expr;)*) => {
        #[test]
        fn engines_say_how_they_are_configured() {
            $(
                let said = $said;
                for value in [$($value),+] {
                    let engine = engine(|config| _ = config.$set(value));
                    assert_eq!(engine.$get(), said(value), "{}", stringify!($set));
                }
            )*
        }
    };
}

settings! {
    memory_may_move, get_memory_may_move: true, false => |value: bool| value;
    memory_reservation, get_memory_reservation: 0, 4 << 30, 7 << 30 => |value: u64| value;
    memory_reservation_for_growth, get_memory_reservation_for_growth: 0, 1 << 20 => |value: u64| value;
    memory_guard_size, get_memory_guard_size: 0, 1 << 20 => |value: u64| value;
    gc_heap_may_move, get_gc_heap_may_move: true, false => |value: bool| value;
    gc_heap_reservation, get_gc_heap_reservation: 0, 1 << 20 => |value: u64| value;
    gc_heap_initial_size, get_gc_heap_initial_size: 0, 1 << 20 => |value: u64| value;
    gc_heap_reservation_for_growth, get_gc_heap_reservation_for_growth: 0, 1 << 20 => |value: u64| value;
    gc_heap_guard_size, get_gc_heap_guard_size: 0, 1 << 20 => |value: u64| value;
    guard_before_linear_memory, get_guard_before_linear_memory: true, false => |value: bool| value;
    table_lazy_init, get_table_lazy_init: true, false => |value: bool| value;
    memory_init_cow, get_memory_init_cow: true, false => |value: bool| value;
    memory_guaranteed_dense_image_size, get_memory_guaranteed_dense_image_size: 0, 9 => |value: u64| value;
    shared_memory, get_shared_memory: true, false => |value: bool| value;
    signals_based_traps, get_signals_based_traps: true => |value: bool| value;
    cranelift_opt_level, get_cranelift_opt_level:
        OptLevel::None, OptLevel::Speed, OptLevel::SpeedAndSize => Some;
    cranelift_regalloc_algorithm, get_cranelift_regalloc_algorithm:
        RegallocAlgorithm::Backtracking, RegallocAlgorithm::SinglePass => Some;
    strategy, get_strategy: Strategy::Auto, Strategy::Cranelift => |_| Some(Strategy::Cranelift);
    collector, get_collector: Collector::Auto, Collector::Copying => Some;
    cranelift_debug_verifier, get_cranelift_debug_verifier: true, false => Some;
    cranelift_nan_canonicalization, get_cranelift_nan_canonicalization: true, false => Some;
    native_unwind_info, get_native_unwind_info: true, false => Some;
    compiler_inlining, get_compiler_inlining:
        Inlining::Yes, Inlining::InterModuleAndIntraGc, Inlining::InterModule, Inlining::Intrinsics, Inlining::No
        => |value: Inlining| value;
    parallel_compilation, get_parallel_compilation: true, false => |value: bool| value;
    generate_address_map, get_generate_address_map: true, false => |value: bool| value;
    debug_info, get_debug_info: true, false => |value: bool| value;
    debug_symbols, get_debug_symbols: true, false => |value: bool| value;
    wasm_backtrace_max_frames, get_wasm_backtrace_max_frames: None, NonZeroUsize::new(7)
        => |value: Option<NonZeroUsize>| value.map_or(0, NonZeroUsize::get);
    wasm_branch_hinting, get_wasm_branch_hinting: true, false => |value: bool| value;
    relaxed_simd_deterministic, get_relaxed_simd_deterministic: true, false => |value: bool| value;
    consume_fuel, get_consume_fuel: true, false => |value: bool| value;
    epoch_interruption, get_epoch_interruption: true, false => |value: bool| value;
    max_wasm_stack, get_max_wasm_stack: 1 << 16, 1 << 20 => |value: usize| value;
}

/// The settings that no engine tells can be made.
#[test]
fn settings_without_effect_are_accepted() -> Result<()> {
    let mut config = Config::new();
    config
        .allocation_strategy(InstanceAllocationStrategy::OnDemand)
        .compilation_mode(CompilationMode::Lazy)
        .force_memory_init_memfd(true);
    let engine = Engine::new(&config)?;
    // Everything is validated at once nevertheless.
    assert!(Module::new(&engine, b"\0asm\x01\0\0\0\x01").is_err());
    assert!(!engine.is_pulley());
    Engine::tls_eager_initialize();
    Ok(())
}

#[test]
fn defaults_are_those_that_the_docs_state() {
    let engine = Engine::default();
    assert_eq!(engine.get_memory_reservation(), 4 << 30);
    assert_eq!(engine.get_memory_reservation_for_growth(), 8 << 30);
    assert_eq!(engine.get_gc_heap_reservation(), 4 << 30);
    assert_eq!(engine.get_wasm_backtrace_max_frames(), usize::MAX);
    assert_eq!(engine.get_compiler_inlining(), Inlining::Yes);
    assert_eq!(engine.get_target().as_deref(), Some("x86_64-unknown-linux-gnu"));
    // A heap's settings are those of memories unless they are set.
    let engine = self::engine(|config| _ = config.memory_reservation(5 << 30).memory_may_move(false));
    assert_eq!((engine.get_gc_heap_reservation(), engine.get_gc_heap_may_move()), (5 << 30, false));
}

/// Calls the export `f` of a module.
fn run(engine: &Engine, wat: &str) -> Result<i32> {
    let mut store = Store::new(engine, ());
    let instance = Instance::new(&mut store, &Module::new(engine, wat)?, &[])?;
    instance.get_typed_func::<(), i32>(&mut store, "f")?.call(&mut store, ())
}

/// A loop, calls, memory and a table.
const PROGRAM: &str = r#"(module
    (memory 1) (table 2 funcref) (elem (i32.const 0) $add $square)
    (type $t (func (param i32 i32) (result i32)))
    (func $add (type $t) (i32.add (local.get 0) (local.get 1)))
    (func $square (type $t) (i32.mul (local.get 0) (local.get 0)))
    (func (export "f") (result i32) (local i32 i32)
        (loop
            (i32.store (i32.const 64) (call $add (local.get 0) (i32.load (i32.const 64))))
            (local.set 1 (call_indirect (type $t) (local.get 0) (local.get 1)
                (i32.rem_u (local.get 0) (i32.const 2))))
            (local.set 0 (i32.add (local.get 0) (i32.const 1)))
            (br_if 0 (i32.lt_u (local.get 0) (i32.const 100))))
        (i32.add (local.get 1) (i32.load (i32.const 64)))))"#;

#[test]
fn results_do_not_depend_on_how_code_is_generated() -> Result<()> {
    let expected = run(&Engine::default(), PROGRAM)?;
    let mut sizes = Vec::new();
    for level in [OptLevel::None, OptLevel::Speed, OptLevel::SpeedAndSize] {
        for algorithm in [RegallocAlgorithm::Backtracking, RegallocAlgorithm::SinglePass] {
            for verify in [true, false] {
                let engine = engine(|config| {
                    config.cranelift_opt_level(level).cranelift_regalloc_algorithm(algorithm);
                    config.cranelift_debug_verifier(verify).parallel_compilation(verify);
                });
                assert_eq!(run(&engine, PROGRAM)?, expected, "{level:?} {algorithm:?}");
                sizes.push(Module::new(&engine, PROGRAM)?.text().len());
            }
        }
    }
    // The verifier changes nothing; the other two do.
    assert!(sizes.chunks(2).all(|pair| pair[0] == pair[1]), "{sizes:?}");
    let [none, none_single, speed, speed_single] = [0, 2, 4, 6].map(|i| sizes[i]);
    assert!(none != speed && none != none_single && speed != speed_single, "{sizes:?}");
    Ok(())
}

#[test]
fn compiled_code_is_for_one_configuration_of_the_compiler() -> Result<()> {
    let trust = || Trust { user: Some(UserKey::from_bytes([9; 32])), ..Trust::default() };
    let engine = |change: &dyn Fn(&mut Config)| {
        engine(|config| {
            config.trust(trust());
            change(config);
        })
    };
    let artifact = engine(&|_| ()).precompile_module(PROGRAM.as_bytes())?;
    let loads = |change: &dyn Fn(&mut Config)| Module::deserialize(&engine(change), &artifact);
    assert!(matches!(loads(&|_| ())?.origin(), Origin::Artifact(_)));
    // What does not affect code.
    loads(&|config| _ = config.parallel_compilation(false).cranelift_debug_verifier(true))?;
    loads(&|config| _ = config.compiler_inlining(true).enable_compiler(false).memory_may_move(false))?;
    type Change<'a> = (&'a dyn Fn(&mut Config), &'a str);
    let changes: &[Change<'_>] = &[
        (&|config| _ = config.cranelift_opt_level(OptLevel::None), "optimization"),
        (
            &|config| _ = config.cranelift_regalloc_algorithm(RegallocAlgorithm::SinglePass),
            "register allocation",
        ),
        (&|config| _ = config.compiler_inlining(Inlining::InterModuleAndIntraGc), "inlining"),
        (&|config| _ = config.consume_fuel(true), "fuel"),
        (&|config| _ = config.floats(false), "wasm"),
        (&|config| _ = config.module_version(ModuleVersionStrategy::Custom("7".into())), "version"),
    ];
    for (change, setting) in changes {
        let error = loads(*change).unwrap_err().to_string();
        assert!(error.contains(&format!("made with `{setting} = ")), "{error}");
    }
    Ok(())
}

#[test]
fn versions_of_modules_are_compared() -> Result<()> {
    let engine = |version: ModuleVersionStrategy| -> Result<Engine> {
        let mut config = Config::new();
        config.trust(Trust { user: Some(UserKey::from_bytes([9; 32])), ..Trust::default() });
        Engine::new(config.module_version(version)?)
    };
    let custom = |text: &str| ModuleVersionStrategy::Custom(text.into());
    let one = engine(custom("one\nfuel = yes"))?.precompile_module(PROGRAM.as_bytes())?;
    let none = engine(ModuleVersionStrategy::None)?.precompile_module(PROGRAM.as_bytes())?;
    Module::deserialize(&engine(custom("one\nfuel = yes"))?, &one)?;
    for other in [custom("two"), custom("one"), ModuleVersionStrategy::WasmtimeVersion] {
        let error = Module::deserialize(&engine(other)?, &one).unwrap_err();
        assert!(error.to_string().contains(r#"`version = "one\nfuel = yes"`"#), "{error}");
    }
    // Without a version of its own, an engine loads all; others do not load what has none.
    Module::deserialize(&engine(ModuleVersionStrategy::None)?, &one)?;
    Module::deserialize(&engine(ModuleVersionStrategy::None)?, &none)?;
    assert!(Module::deserialize(&engine(custom("two"))?, &none).is_err());

    assert!(Config::new().module_version(custom(&"v".repeat(255))).is_ok());
    let error = Config::new().module_version(custom(&"v".repeat(256))).map(|_| ()).unwrap_err();
    assert_eq!(error.to_string(), "a version of modules may have at most 255 bytes, but this one has 256");
    assert_eq!(ModuleVersionStrategy::default().as_str(), env!("CARGO_PKG_VERSION"));
    assert_eq!((custom("x").as_str(), ModuleVersionStrategy::None.as_str()), ("x", ""));
    Ok(())
}

#[test]
fn a_target_is_this_machine_or_refused() -> Result<()> {
    let mut config = Config::new();
    for target in ["aarch64-unknown-linux-gnu", "x86_64-pc-windows-msvc", "", "\u{1b}[1m"] {
        let error = config.target(target).map(|_| ()).unwrap_err().to_string();
        assert!(error.starts_with("cannot compile for the target"), "{error}");
        assert!(!error.contains('\u{1b}'), "{error}");
    }
    let target = "x86_64-unknown-linux-musl";
    let engine = Engine::new(config.target(target)?)?;
    assert_eq!(engine.get_target().as_deref(), Some(target));
    assert_eq!(run(&engine, PROGRAM)?, run(&Engine::default(), PROGRAM)?);
    // It may use only what all such machines have.
    let wat = "(module (func (param i32) (result i32) (i32.ctz (local.get 0))))";
    config.trust(Trust { user: Some(UserKey::from_bytes([9; 32])), ..Trust::default() });
    let artifact = Engine::new(&config)?.precompile_module(wat.as_bytes())?;
    let text = String::from_utf8_lossy(&artifact);
    let processor = text.split("processor = ").nth(1).and_then(|rest| rest.lines().next());
    assert!(processor.is_some_and(|features| features.contains("sse41") && !features.contains("avx")));
    Ok(())
}

#[test]
fn an_engine_without_compiler_only_loads() -> Result<()> {
    let configure = |config: &mut Config| {
        config.trust(Trust { user: Some(UserKey::from_bytes([9; 32])), ..Trust::default() });
    };
    let artifact = engine(configure).precompile_module(PROGRAM.as_bytes())?;
    let engine = engine(|config| {
        configure(config);
        config.enable_compiler(false);
    });
    assert!(Module::new(&engine, PROGRAM).unwrap_err().to_string().starts_with("the engine has no compiler"));
    assert!(engine.precompile_module(b"(module)").is_err());
    let module = Module::deserialize(&engine, &artifact)?;
    let mut store = Store::new(&engine, ());
    let instance = Instance::new(&mut store, &module, &[])?;
    // A call without types needs an adapter.
    let mut results = [Val::I32(0)];
    let f = instance.get_func(&mut store, "f").unwrap();
    f.call(&mut store, &[], &mut results)?;
    assert_eq!(results[0].unwrap_i32(), run(&Engine::default(), PROGRAM)?);
    assert_eq!(
        (engine.get_cranelift_opt_level(), engine.get_target(), engine.get_strategy()),
        (None, None, None)
    );
    assert_eq!((engine.get_cranelift_debug_verifier(), engine.get_native_unwind_info()), (None, None));
    Ok(())
}

#[test]
fn clif_of_each_function_is_written() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let engine = engine(|config| _ = config.emit_clif(directory.path()));
    Module::new(&engine, "(module (import \"\" \"f\" (func)) (func nop) (func (result i32) i32.const 77))")?;
    let read = |n| std::fs::read_to_string(directory.path().join(format!("wasm-function-{n}.clif")));
    assert!(read(1)?.contains("return"), "{}", read(1)?);
    assert!(read(2)?.contains("77"), "{}", read(2)?);
    assert!(read(0).is_err() && read(3).is_err());
    assert!(engine.problems().is_empty());

    let engine = self::engine(|config| _ = config.emit_clif(&directory.path().join("missing")));
    Module::new(&engine, "(module (func))")?;
    assert!(engine.problems()[0].starts_with("could not write "));
    Ok(())
}

#[test]
fn calls_are_inlined_as_configured() -> Result<()> {
    let with_objects = r#"(module (type $s (struct (field i32)))
        (func $six (result i32) (struct.get $s 0 (struct.new $s (i32.const 6))))
        (func $trap (param i32) (result i32) (i32.div_u (i32.const 1) (local.get 0)))
        (func (export "f") (result i32) (i32.add (call $six) (call $trap (i32.const 1)))))"#;
    // The size of the last function: with calls, or with what they call.
    let size = |inlining: Inlining, wat: &str| -> Result<usize> {
        let engine = engine(|config| _ = config.compiler_inlining(inlining));
        assert!(run(&engine, wat)? > 0);
        Ok(Module::new(&engine, wat)?.functions().last().unwrap().len)
    };
    let (yes, no) = (size(Inlining::Yes, PROGRAM)?, size(Inlining::No, PROGRAM)?);
    assert_ne!(yes, no);
    assert_eq!(size(Inlining::InterModuleAndIntraGc, PROGRAM)?, no);
    for none in [Inlining::InterModule, Inlining::Intrinsics, Inlining::from(false)] {
        assert_eq!(size(none, PROGRAM)?, no, "{none:?}");
    }
    let (yes, no) = (size(true.into(), with_objects)?, size(Inlining::No, with_objects)?);
    assert_ne!(yes, no);
    assert_eq!(size(Inlining::InterModuleAndIntraGc, with_objects)?, yes);
    Ok(())
}

/// Three functions, the innermost of which traps.
const TRAP: &str = r#"(module
    (func $c (result i32) unreachable)
    (func $b (result i32) (call $c))
    (func (export "f") (result i32) (call $b)))"#;

#[test]
fn backtraces_are_limited_and_turned_off() -> Result<()> {
    let trap = |change: fn(&mut Config)| -> Error {
        let error = run(&engine(change), TRAP).unwrap_err();
        assert_eq!(error.downcast_ref(), Some(&Trap::UnreachableCodeReached));
        error
    };
    let shape = |error: &Error| {
        let backtrace = error.downcast_ref::<WasmBacktrace>()?;
        Some((backtrace.frames().len(), backtrace.omitted()))
    };
    assert_eq!(shape(&trap(|_| ())), Some((3, 0)));
    assert_eq!(shape(&trap(|c| _ = c.wasm_backtrace_max_frames(NonZeroUsize::new(2)))), Some((2, 1)));
    assert_eq!(shape(&trap(|c| _ = c.wasm_backtrace_max_frames(None))), None);
    assert_eq!(shape(&trap(|c| _ = c.wasm_backtrace(false))), None);
    assert_eq!(shape(&trap(|c| _ = c.wasm_backtrace(false).wasm_backtrace(true))), Some((3, 0)));
    assert_eq!(
        shape(&trap(|c| _ = c.wasm_backtrace_max_frames(NonZeroUsize::new(1)).wasm_backtrace(true))),
        Some((1, 2))
    );
    let text = format!("{:?}", trap(|c| _ = c.wasm_backtrace_max_frames(NonZeroUsize::new(1))));
    assert!(text.contains("… 2 more frames"), "{text}");
    Ok(())
}

#[test]
fn lines_are_shown_only_if_they_are_enabled() -> Result<()> {
    let binary = wat::Parser::new()
        .generate_dwarf(wat::GenerateDwarf::Lines)
        .parse_str(Some("trap.wat".as_ref()), TRAP)?;
    let shows_lines = |details: Option<WasmBacktraceDetails>| {
        let engine = engine(|config| details.into_iter().for_each(|d| _ = config.wasm_backtrace_details(d)));
        let mut store = Store::new(&engine, ());
        let instance = Instance::new(&mut store, &Module::new(&engine, &binary)?, &[])?;
        let error = instance.get_typed_func::<(), i32>(&mut store, "f")?.call(&mut store, ()).unwrap_err();
        let backtrace = error.downcast::<WasmBacktrace>()?;
        assert_eq!(backtrace.frames().len(), 3);
        let has_lines = backtrace.to_string().contains("trap.wat");
        assert_eq!(has_lines, !backtrace.frames()[0].symbols().is_empty());
        Ok::<_, Error>(has_lines)
    };
    assert!(shows_lines(None)? && shows_lines(Some(WasmBacktraceDetails::Enable))?);
    assert!(!shows_lines(Some(WasmBacktraceDetails::Disable))?);
    // Tests of this file share their environment, so it is not changed here.
    let enabled = std::env::var("WASMTIME_BACKTRACE_DETAILS").is_ok_and(|value| value == "1");
    assert_eq!(shows_lines(Some(WasmBacktraceDetails::Environment))?, enabled);
    Ok(())
}

/// Returns the fuel that a call of `f` of a module with this body uses.
fn fuel_used(configure: impl FnOnce(&mut Config), body: &str) -> Result<u64> {
    let engine = engine(|config| {
        config.consume_fuel(true);
        configure(config);
    });
    let wat = format!(
        r#"(module
            (type $a (array (mut i32)))
            (memory 1 9) (data $d "0123456789abcdef0123456789abcdef")
            (table $t 20 30 funcref) (elem $e funcref (ref.null func) (ref.null func))
            (global $n (mut i32) (i32.const 10))
            (func (export "f") {body}))"#
    );
    let mut store = Store::new(&engine, ());
    store.set_fuel(1 << 40)?;
    let instance = Instance::new(&mut store, &Module::new(&engine, &wat)?, &[])?;
    instance.get_typed_func::<(), ()>(&mut store, "f")?.call(&mut store, ())?;
    Ok((1 << 40) - store.get_fuel()?)
}

#[test]
fn each_instruction_pays_what_it_costs() -> Result<()> {
    let body = "(drop (i32.mul (i32.const 3) (i32.const 4))) (loop (nop))";
    assert_eq!(fuel_used(|_| (), body)?, 3);
    let with = |costs: OperatorCost| fuel_used(move |config| _ = config.operator_cost(costs), body);
    assert_eq!(with(OperatorCost::default())?, 3);
    assert_eq!(with(OperatorCost { I32Mul: 100, ..OperatorCost::new() })?, 102);
    assert_eq!(
        with(OperatorCost { I32Const: 0, Nop: 7, Loop: 20, Drop: 3, End: 1, ..OperatorCost::default() })?,
        33
    );
    // Costs matter only where fuel is counted.
    let engine =
        engine(|config| _ = config.operator_cost(OperatorCost { Call: 255, ..OperatorCost::default() }));
    assert!(run(&engine, PROGRAM).is_ok());
    Ok(())
}

#[test]
fn bulk_instructions_pay_for_their_size() -> Result<()> {
    // Each with a size that is known when it is compiled, and one that is not.
    let cases: &[(&str, u64)] = &[
        ("(memory.copy (i32.const 0) (i32.const 100) SIZE)", 10),
        ("(memory.fill (i32.const 0) (i32.const 100) SIZE)", 10),
        ("(memory.init $d (i32.const 0) (i32.const 0) SIZE)", 10),
        ("(table.copy (i32.const 10) (i32.const 0) SIZE)", 10),
        ("(table.fill (i32.const 0) (ref.null func) SIZE)", 10),
        ("(drop (table.grow (ref.null func) SIZE))", 10),
        ("(drop (memory.grow SIZE))", 0),
        ("(drop (array.new $a (i32.const 1) SIZE))", 10),
        ("(drop (array.new_default $a SIZE))", 10),
        ("(array.fill $a (array.new_fixed $a 10 {ten}) (i32.const 0) (i32.const 0) SIZE)", 10),
    ];
    let ten = "(i32.const 1)".repeat(10);
    for (instruction, expected) in cases {
        for size in ["(i32.const 10)", "(global.get $n)"] {
            let body = instruction.replace("SIZE", size).replace("{ten}", &ten);
            let without = fuel_used(|_| (), &body)?;
            let with = fuel_used(|config| _ = config.operator_cost(OperatorCost::default()), &body)?;
            assert_eq!(with - without, *expected, "{body}");
        }
    }
    // The costs of elements that segments hold.
    let body = "(table.init $e (i32.const 0) (i32.const 0) (i32.const 2))
        (drop (array.new_data $a $d (i32.const 0) (i32.const 4)))
        (array.init_data $a $d (array.new_fixed $a 3 (i32.const 1) (i32.const 1) (i32.const 1))
            (i32.const 0) (i32.const 0) (i32.const 3))
        (array.copy $a $a (array.new_fixed $a 1 (i32.const 1)) (i32.const 0)
            (array.new_fixed $a 1 (i32.const 1)) (i32.const 0) (i32.const 1))";
    let costs = |variable| OperatorCost { variable, ..OperatorCost::default() };
    let used = |variable| fuel_used(move |config| _ = config.operator_cost(costs(variable)), body);
    let free = VariableOperatorCost {
        table_init_per_element: 0,
        array_new_data_per_element: 0,
        array_init_data_per_element: 0,
        array_copy_per_element: 0,
        ..VariableOperatorCost::new()
    };
    let base = used(free.clone())?;
    assert_eq!(base, fuel_used(|_| (), body)?);
    assert_eq!(used(VariableOperatorCost { table_init_per_element: 9, ..free.clone() })? - base, 18);
    assert_eq!(
        used(VariableOperatorCost { array_new_data_per_element: 255, ..free.clone() })? - base,
        4 * 255
    );
    assert_eq!(used(VariableOperatorCost { array_init_data_per_element: 1, ..free.clone() })? - base, 3);
    assert_eq!(used(VariableOperatorCost { array_copy_per_element: 2, ..free })? - base, 2);
    Ok(())
}

#[test]
fn bytes_are_paid_as_configured() -> Result<()> {
    let used = |bytes_copied_per_fuel, body: &str| {
        let costs = CustomFuelCosts {
            bytes_copied_per_fuel,
            fuel_per_bytes_translated: 1000,
            fuel_per_bytes_validated: 1000,
        };
        Ok::<_, Error>(fuel_used(|config| _ = config.fuel_cost(costs), body)? - fuel_used(|_| (), body)?)
    };
    for size in ["(i32.const 1000)", "(i32.mul (global.get $n) (i32.const 100))"] {
        let fill = format!("(memory.fill (i32.const 0) (i32.const 1) {size})");
        assert_eq!((used(1, &fill)?, used(64, &fill)?, used(1001, &fill)?), (1000, 15, 0));
    }
    let grow = "(drop (memory.grow (i32.const 2)))";
    assert_eq!(used(64, grow)?, 2048);
    assert_eq!(used(64, "(table.fill (i32.const 0) (ref.null func) (i32.const 16))")?, 2);
    let error = used(0, grow).unwrap_err();
    assert_eq!(error.downcast_ref(), Some(&Trap::OutOfFuel));
    Ok(())
}

/// A guest must not make the count overflow, nor get anything done that it cannot pay for.
#[test]
fn sizes_beyond_all_fuel_are_not_affordable() -> Result<()> {
    let engine = engine(|config| {
        let all = VariableOperatorCost {
            memory_grow_per_page: 255,
            memory_fill_per_byte: 255,
            ..VariableOperatorCost::default()
        };
        let costs = OperatorCost { variable: all, ..OperatorCost::default() };
        config.consume_fuel(true).operator_cost(costs);
    });
    let grow = "(drop (memory.grow (local.get 0)))".repeat(100);
    let wat = format!(
        r#"(module (memory (export "m") i64 1)
            (func (export "f") (param i64) {grow})
            (func (export "fill") (param i64) (memory.fill (i64.const 0) (i32.const 1) (local.get 0))))"#
    );
    let module = Module::new(&engine, &wat)?;
    for size in [-1, i64::MAX, 1 << 40, 1 << 32] {
        for fuel in [1, 1 << 30, 1_000_000_000_000] {
            let mut store = Store::new(&engine, ());
            let instance = Instance::new(&mut store, &module, &[])?;
            store.set_fuel(fuel)?;
            let f = instance.get_typed_func::<i64, ()>(&mut store, "f")?;
            let error = f.call(&mut store, size).unwrap_err();
            assert_eq!(error.downcast_ref(), Some(&Trap::OutOfFuel), "{size} {fuel}");
            assert_eq!(store.get_fuel()?, 0);
        }
    }
    let mut store = Store::new(&engine, ());
    let instance = Instance::new(&mut store, &module, &[])?;
    store.set_fuel(1000)?;
    assert!(instance.get_typed_func::<i64, ()>(&mut store, "fill")?.call(&mut store, 10).is_err());
    let memory = instance.get_memory(&mut store, "m").unwrap();
    assert_eq!(memory.data(&store)[..10], [0; 10], "it was charged before it did anything");
    // With all the fuel there is, the guest goes on, and pays.
    store.set_fuel(u64::MAX)?;
    instance.get_typed_func::<i64, ()>(&mut store, "f")?.call(&mut store, 1 << 40)?;
    assert!(store.get_fuel()? < u64::MAX - (100 << 40) * 255);
    Ok(())
}

#[test]
fn growth_stays_within_the_address_space_if_memories_must_not_move() -> Result<()> {
    let grown = |change: &dyn Fn(&mut Config), to: u64| -> Result<bool> {
        let engine = engine(change);
        let mut store = Store::new(&engine, ());
        let memory = Memory::new(&mut store, MemoryType::new(1, None))?;
        memory.data_mut(&mut store)[7] = 9;
        let grew = memory.grow(&mut store, to - 1).is_ok();
        assert_eq!(memory.size(&store), if grew { to } else { 1 });
        assert_eq!(memory.data(&store)[7], 9);
        Ok(grew)
    };
    // It moves.
    assert!(grown(&|config| _ = config.memory_reservation(0), 1000)?);
    // It has no room and must not move.
    assert!(!grown(&|config| _ = config.memory_reservation(0).memory_may_move(false), 1000)?);
    // It has room in a reservation, or for growth.
    let reserved = |config: &mut Config| _ = config.memory_reservation(64 << 20).memory_may_move(false);
    assert!(grown(&reserved, 1024)?);
    assert!(!grown(&reserved, 1025 + 16)?);
    let for_growth = |config: &mut Config| {
        config.memory_reservation(0).memory_reservation_for_growth(64 << 20).memory_may_move(false);
    };
    assert!(grown(&for_growth, 1025)?);
    assert!(!grown(&for_growth, 1026 + 16)?);
    // All of it is reserved.
    assert!(grown(&|config| _ = config.memory_may_move(false), 1000)?);
    Ok(())
}

#[test]
fn initial_contents_are_shared_or_copied() -> Result<()> {
    let wat = r#"(module (memory 4) (data (i32.const 70000) "\2a") (data (i32.const 200000) "\01")
        (func (export "f") (result i32)
            (i32.store8 (i32.const 70001) (i32.add (i32.load8_u (i32.const 70001)) (i32.const 1)))
            (i32.add (i32.load16_u (i32.const 70000)) (i32.load8_u (i32.const 200000)))))"#;
    for shares in [true, false] {
        for early in [true, false] {
            let engine = engine(|config| _ = config.memory_init_cow(shares));
            let module = Module::new(&engine, wat)?;
            if early {
                module.initialize_copy_on_write_image()?;
            }
            for _ in 0..3 {
                let mut store = Store::new(&engine, ());
                let instance = Instance::new(&mut store, &module, &[])?;
                let f = instance.get_typed_func::<(), i32>(&mut store, "f")?;
                assert_eq!(f.call(&mut store, ())?, 0x12a + 1);
            }
        }
    }
    Ok(())
}

#[test]
fn shared_memories_can_be_turned_off() -> Result<()> {
    let wat = "(module (memory 1 2 shared))";
    let on = Engine::default();
    SharedMemory::new(&on, MemoryType::shared(1, 2))?;
    Instance::new(&mut Store::new(&on, ()), &Module::new(&on, wat)?, &[])?;
    let off = engine(|config| _ = config.shared_memory(false));
    let refused = "the engine does not allow shared memories: allow them with Config::shared_memory(true)";
    let error = SharedMemory::new(&off, MemoryType::shared(1, 2)).unwrap_err();
    assert_eq!(error.to_string(), refused);
    let module = Module::new(&off, wat)?;
    let error = Instance::new(&mut Store::new(&off, ()), &module, &[]).unwrap_err();
    assert!(format!("{error:#}").contains(refused), "{error:#}");
    Ok(())
}

#[test]
fn what_belljar_does_not_have_is_refused() {
    let refused = |config: &mut Config| Engine::new(config).map(|_| ()).unwrap_err().to_string();
    let mut config = Config::new();
    assert!(refused(config.signals_based_traps(false)).contains("signals"));
    let unknown = WasmFeatures::STACK_SWITCHING | WasmFeatures::MEMORY_CONTROL;
    assert_eq!(
        refused(Config::new().wasm_features(unknown | WasmFeatures::SIMD, true)),
        "this version does not have the features memory-control, stack-switching of WebAssembly"
    );
    assert!(Engine::new(Config::new().wasm_features(unknown, true).wasm_features(unknown, false)).is_ok());
}

#[test]
fn features_are_turned_off() {
    let accepts = |change: fn(&mut Config), wat: &str| Module::new(&engine(change), wat);
    type Change = fn(&mut Config);
    let off: &[(Change, &str)] = &[
        (|c| _ = c.floats(false), "(module (func (param f32)))"),
        (|c| _ = c.floats(false), "(module (func (drop (f64.const 1))))"),
        (|c| _ = c.wasm_mutable_global(false), "(module (global (export \"g\") (mut i32) (i32.const 1)))"),
        (
            |c| _ = c.wasm_saturating_float_to_int(false),
            "(module (func (drop (i32.trunc_sat_f32_s (f32.const 1)))))",
        ),
        (|c| _ = c.gc_support(false), "(module (func (param externref)))"),
        (|c| _ = c.gc_support(false), "(module (type (struct)) (func (param (ref 0))))"),
        (
            |c| _ = c.wasm_features(WasmFeatures::SIMD | WasmFeatures::RELAXED_SIMD, false),
            "(module (func (param v128)))",
        ),
    ];
    for (change, wat) in off {
        assert!(accepts(|_| (), wat).is_ok(), "{wat}");
        assert!(accepts(*change, wat).is_err(), "{wat}");
        assert!(accepts(*change, "(module (func (param i32)))").is_ok());
    }
    let engine = engine(|c| _ = c.floats(false).gc_support(false));
    assert!(!engine.get_wasm_features().intersects(WasmFeatures::FLOATS | WasmFeatures::GC_TYPES));
    let error = accepts(off[3].0, off[3].1).unwrap_err();
    let switches = error.downcast_ref::<DisabledFeatures>().map(|features| features.switches());
    assert_eq!(switches, Some(&["wasm_nontrapping_float_to_int"][..]));
}

#[test]
fn modules_are_refused_by_what_they_contain() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let cache = belljar::Cache::open(belljar::CacheConfig::at(directory.path()))?;
    let trust = || Trust { user: Some(UserKey::from_bytes([9; 32])), ..Trust::default() };
    let with = |change: &dyn Fn(&mut Config)| {
        engine(|config| {
            config.trust(trust()).cache(Some(cache.clone()));
            change(config);
        })
    };
    let wat = "(module (memory 1) (memory 1) (func $start) (start $start))";
    let artifact = with(&|_| ()).precompile_module(wat.as_bytes())?;
    let strict = with(&|config| _ = config.enforced_limits(EnforcedLimits::strict()));
    let no_start = with(&|config| _ = config.allow_start_fn(false));
    // It is in the cache by now.
    assert_eq!(Module::new(&with(&|_| ()), wat)?.origin(), &Origin::Cache);
    for result in [Module::new(&strict, wat), Module::deserialize(&strict, &artifact)] {
        let expected = EnforcedLimitsError::TooManyMemories { limit: 1 };
        assert_eq!(result.unwrap_err().downcast_ref(), Some(&expected));
    }
    for result in [Module::new(&no_start, wat), Module::deserialize(&no_start, &artifact)] {
        assert!(result.unwrap_err().to_string().starts_with("the module has a start function"));
    }
    assert!(Module::new(&no_start, "(module (func))").is_ok());
    Ok(())
}

#[test]
fn custom_sections_are_told_or_not() -> Result<()> {
    let wat = r#"(module $m (@custom "a" "one") (@custom "b" "two") (@custom "a" "three"))"#;
    let module = Module::new(&Engine::default(), wat)?;
    let sections: Vec<_> = module.custom_sections().map(|s| (s.name(), s.data())).collect();
    let ours: Vec<_> = sections.iter().filter(|(name, _)| *name != "name").copied().collect();
    assert_eq!(ours, [("a", &b"one"[..]), ("b", b"two"), ("a", b"three")]);
    assert!(module.custom_sections_named("a").eq([&b"one"[..], b"three"]));
    let ignoring = Module::new(&engine(|config| _ = config.ignore_custom_sections(true)), wat)?;
    assert_eq!((ignoring.custom_sections().count(), ignoring.custom_sections_named("a").count()), (0, 0));
    assert_eq!(ignoring.name(), Some("m"));
    Ok(())
}

#[test]
fn artifacts_have_symbols_or_not() -> Result<()> {
    let symbols = |enable: bool| -> Result<Vec<String>> {
        use object::{Object, ObjectSymbol};
        let engine = engine(|config| {
            config.trust(Trust { user: Some(UserKey::from_bytes([9; 32])), ..Trust::default() });
            config.debug_symbols(enable);
        });
        let artifact = engine.precompile_module(TRAP.as_bytes())?;
        let file = object::File::parse(&*artifact)?;
        assert!(matches!(Module::deserialize(&engine, &artifact)?.origin(), Origin::Artifact(_)));
        Ok(file.symbols().filter_map(|symbol| Some(symbol.name().ok()?.to_owned())).collect())
    };
    assert_eq!(symbols(true)?, ["c", "b", "f"]);
    assert!(symbols(false)?.is_empty());
    Ok(())
}

#[test]
fn artifacts_are_told_from_other_files() -> Result<()> {
    let engine = engine(|config| {
        config.trust(Trust { user: Some(UserKey::from_bytes([9; 32])), ..Trust::default() });
    });
    let artifact = engine.precompile_module(b"(module)")?;
    let wasm = wat::parse_str("(module)")?;
    let other_elf = std::fs::read("/proc/self/exe")?;
    let cases: [(&[u8], Option<Precompiled>); 7] = [
        (&artifact, Some(Precompiled::Module)),
        (&wasm, None),
        (b"(module)", None),
        (b"", None),
        (&[0xff; 200], None),
        (&artifact[..64], None),
        (&other_elf, None),
    ];
    let file = tempfile::NamedTempFile::new()?;
    for (bytes, expected) in cases {
        assert_eq!(Engine::detect_precompiled(bytes), expected);
        std::fs::write(file.path(), bytes)?;
        assert_eq!(Engine::detect_precompiled_file(file.path())?, expected);
    }
    assert_eq!(Engine::detect_precompiled_file("/dev/null")?, None);
    let missing = Engine::detect_precompiled_file(file.path().with_extension("missing")).unwrap_err();
    assert!(missing.to_string().starts_with("could not read "), "{missing}");
    Ok(())
}
