//! Large functions of any shape: compiling them takes time and memory in proportion to their size when written out,
//! whatever their shape. Useful without coverage: the input is a list of shapes and numbers.
#![no_main]

use arbitrary::{Arbitrary, Unstructured};
use belljar::{CodeBuilder, CompileLimits, Engine};
use peak_alloc::PeakAlloc;
use std::time::Duration;
use wasm_encoder::{
    BlockType, CodeSection, EntityType, ExportKind, ExportSection, Function, FunctionSection, ImportSection,
    Instruction, MemArg, MemArgTarget, MemorySection, MemoryType, Module, TypeSection, ValType,
};

#[global_allocator]
static PEAK: PeakAlloc = PeakAlloc;

/// The most instructions and values of a function when written out.
const MOST: u64 = 150_000;

/// Cost that is allowed in addition to that for the size, and for each instruction and value: several times what an instrumented
/// build takes.
const TIME: (Duration, Duration) = (Duration::from_millis(300), Duration::from_micros(30));
const MEMORY: (usize, usize) = (64 << 20, 3000);

/// A kind of largeness. There are `count` of each; the values of the wide type are on the stack before and after.
#[derive(Arbitrary, Clone, Copy, Debug)]
enum Shape {
    Calls,
    Loops,
    Ifs,
    Branches,
    Tables,
    Grows,
    Locals,
    Loads,
    Nested,
    Stores,
}

#[derive(Debug)]
struct Sizes {
    width: u16,
    locals: u16,
    shapes: Vec<(Shape, u16)>,
}

impl<'a> Arbitrary<'a> for Sizes {
    fn arbitrary(u: &mut Unstructured<'a>) -> arbitrary::Result<Self> {
        let width = u.int_in_range(0..=1000)?;
        let locals = u.int_in_range(1..=5000)?;
        let mut shapes = Vec::new();
        for _ in 0..u.int_in_range(1..=6)? {
            shapes.push((u.arbitrary()?, u.int_in_range(1..=20_000)?));
        }
        Ok(Self { width, locals, shapes })
    }
}

/// The module of a function, and its size when written out.
struct Writer {
    function: Function,
    width: u64,
    written_out: u64,
}

impl Writer {
    /// Writes an instruction that moves the given number of values. Returns `false` if the function is large enough.
    fn put(&mut self, instruction: &Instruction<'_>, values: u64) -> bool {
        self.function.instruction(instruction);
        self.written_out += 2 + values;
        self.written_out < MOST
    }

    fn shape(&mut self, shape: Shape, count: u32, locals: u32) {
        use Instruction as I;
        let (width, wide) = (self.width, BlockType::FunctionType(0));
        let at = |offset: u32| MemArg {
            offset: u64::from(offset),
            align: 2,
            target: MemArgTarget::Memory(0),
            ordering: None,
        };
        match shape {
            Shape::Calls => self.repeat(count, |w, _| w.all(&[I::Call(0)], 2 * width)),
            Shape::Loops => self.repeat(count, |w, _| w.all(&[I::Loop(wide), I::End], width)),
            Shape::Ifs => self.repeat(count, |w, _| w.all(&[I::LocalGet(0), I::If(wide), I::End], width)),
            Shape::Branches => {
                self.repeat(count, |w, _| {
                    w.all(&[I::Block(wide), I::LocalGet(0), I::BrIf(0), I::End], width)
                });
            }
            Shape::Tables => {
                let depth = count.min(500);
                (0..depth).for_each(|_| whole(self, &[I::Block(wide)], width));
                whole(self, &[I::LocalGet(0)], 1);
                let targets: Vec<_> = (0..depth).collect();
                whole(self, &[I::BrTable(targets.into(), 0)], u64::from(depth) * (width + 1));
                (0..depth).for_each(|_| whole(self, &[I::End], width));
            }
            Shape::Grows => {
                self.repeat(count, |w, _| w.all(&[I::LocalGet(0), I::MemoryGrow(0), I::LocalSet(0)], 4));
            }
            Shape::Locals => {
                let count = count.min(locals);
                let set = |local: u32| [I::I32Const(local as i32 * 7919), I::LocalSet(local)];
                (0..count).for_each(|local| whole(self, &set(local), 1));
                let add = |local| [I::LocalGet(0), I::LocalGet(local), I::I32Add, I::LocalSet(0)];
                (0..count).for_each(|local| whole(self, &add(local), 1));
            }
            Shape::Loads => {
                (0..count).for_each(|i| whole(self, &[I::LocalGet(0), I::I32Load(at(i * 4))], 2));
                (1..count).for_each(|_| whole(self, &[I::I32Add], 1));
                whole(self, &[I::LocalSet(0)], 1);
            }
            Shape::Nested => {
                let depth = count.min(1000);
                (0..depth).for_each(|_| whole(self, &[I::Loop(BlockType::Empty)], 2));
                let step = [I::LocalGet(0), I::I32Const(1), I::I32Sub, I::LocalTee(0), I::BrIf(0), I::End];
                (0..depth).for_each(|_| whole(self, &step, 2));
            }
            Shape::Stores => self.repeat(count, |w, i| {
                w.all(&[I::LocalGet(i % locals), I::LocalGet((i * 7) % locals), I::I32Store(at(i))], 1)
            }),
        }
    }

    /// Repeats this the given number of times, or until the function is large enough.
    fn repeat(&mut self, count: u32, mut step: impl FnMut(&mut Self, u32) -> bool) {
        for i in 0..count {
            if !step(self, i) {
                break;
            }
        }
    }

    /// Writes instructions that belong together, whatever size results.
    fn all(&mut self, instructions: &[Instruction<'_>], values: u64) -> bool {
        instructions.iter().fold(true, |_, instruction| self.put(instruction, values))
    }
}

/// Like [`Writer::all`], for instructions that the rest depends on.
fn whole(writer: &mut Writer, instructions: &[Instruction<'_>], values: u64) {
    writer.all(instructions, values);
}

fn module(sizes: &Sizes) -> (Vec<u8>, u64) {
    let (width, locals) = (usize::from(sizes.width), u32::from(sizes.locals));
    let wide = || std::iter::repeat_n(ValType::I32, width);
    let mut types = TypeSection::new();
    types.ty().function(wide(), wide());
    types.ty().function([], []);
    let mut imports = ImportSection::new();
    imports.import("m", "f", EntityType::Function(0));
    let mut functions = FunctionSection::new();
    functions.function(1);
    let mut memories = MemorySection::new();
    memories.memory(MemoryType {
        minimum: 1,
        maximum: None,
        memory64: false,
        shared: false,
        page_size_log2: None,
    });
    let mut exports = ExportSection::new();
    exports.export("f", ExportKind::Func, 1);
    let function = Function::new([(locals, ValType::I32)]);
    let mut writer = Writer { function, width: width as u64, written_out: u64::from(locals) };
    (0..width as u32).for_each(|i| whole(&mut writer, &[Instruction::LocalGet(i % locals)], 1));
    for (shape, count) in &sizes.shapes {
        if writer.written_out < MOST {
            writer.shape(*shape, u32::from(*count), locals);
        }
    }
    (0..width).for_each(|_| whole(&mut writer, &[Instruction::Drop], 1));
    whole(&mut writer, &[Instruction::End], 0);
    let mut code = CodeSection::new();
    code.function(&writer.function);
    let mut module = Module::new();
    module.section(&types).section(&imports).section(&functions).section(&memories);
    module.section(&exports).section(&code);
    (module.finish(), writer.written_out)
}

libfuzzer_sys::fuzz_target!(|sizes: Sizes| {
    let (wasm, written_out) = module(&sizes);
    let engine = Engine::default();
    let units = u32::try_from(written_out).expect("there is a most");
    let (base, each) = TIME;
    PEAK.reset_peak_usage();
    let before = PEAK.current_usage();
    let mut builder = CodeBuilder::new(&engine);
    builder.wasm_binary(wasm, None).expect("the first");
    // A longer compilation ends with an error that names the function.
    builder.limits(CompileLimits::unlimited().cpu(base + each * units));
    if let Err(error) = builder.compile_module() {
        panic!("{error:#}, which is {written_out} written out");
    }
    let used = PEAK.peak_usage().saturating_sub(before);
    let allowed = MEMORY.0 + MEMORY.1 * units as usize;
    assert!(used <= allowed, "{used} bytes for {written_out} instructions and values");
});
