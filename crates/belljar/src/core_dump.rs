//! Core dumps: the state of a guest when it stopped, in the format that debuggers read.
//!
//! In: a store, and the guest's stack. Out: a wasm module as described by `Coredump.md` of WebAssembly's tool
//! conventions:
//!
//! ```text
//! "core"           the program                        ┐
//! "coremodules"    names of modules                   │
//! "coreinstances"  module, memories, globals of each  │ custom sections
//! "corestack"      frames, innermost first            ┘
//! memories, globals, active data segments: the state of the whole store
//! ```
//!
//! Never: tables and objects of the garbage-collected heap, which the format does not support; values of locals and
//! operands, which compiled code does not keep.

mod contents;

use crate::context::check_store;
use crate::{AsContext, FrameInfo, Global, Instance, Memory, SharedMemory};
use belljar_core::{Counted, InstanceId, Mutability};
use belljar_module::Module;
use belljar_vm::{RawFrame, RawStack, StoreCore, StoreId, Value};
use contents::Contents;
use std::collections::HashMap;
use std::fmt;
use std::io::{self, Write};
use std::sync::Arc;
use wasm_encoder::{
    AbstractHeapType, ConstExpr, CoreDumpInstancesSection, CoreDumpModulesSection, CoreDumpSection,
    CoreDumpStackSection, GlobalSection, GlobalType, HeapType, MemorySection, MemoryType, RefType, ValType,
};

/// The state of a guest that stopped, to be written as a file for debuggers: its stack, and the contents of its store.
///
/// With [`crate::Config::coredump_on_trap`], the [`crate::Error`] of every run that did not return holds one. The stack
/// is captured then; memories and globals are read only when the dump is serialized, so holding a dump is cheap:
///
/// ```
/// # fn main() -> belljar::Result<()> {
/// use belljar::{Config, Engine, Instance, Module, Store, WasmCoreDump};
/// let engine = Engine::new(Config::new().coredump_on_trap(true))?;
/// let wat = r#"(module $jar
///     (memory 1)
///     (func (export "f") (i32.store (i32.const 8) (i32.const 42)) unreachable))"#;
/// let module = Module::new(&engine, wat)?;
/// let mut store = Store::new(&engine, ());
/// let instance = Instance::new(&mut store, &module, &[])?;
/// let error = instance.get_typed_func::<(), ()>(&mut store, "f")?.call(&mut store, ()).unwrap_err();
///
/// let dump = error.downcast_ref::<WasmCoreDump>().unwrap();
/// assert_eq!(dump.frames().len(), 1);
/// assert_eq!(dump.modules().collect::<Vec<_>>(), ["jar"]);
/// let file = dump.serialize(&mut store, "jar.wasm");
/// assert!(file.starts_with(b"\0asm") && file.len() < 5000);
/// # Ok(())
/// # }
/// ```
///
/// The file is a valid wasm module, not meant to be instantiated, as described by WebAssembly's [tool
/// conventions](https://github.com/WebAssembly/tool-conventions/blob/main/Coredump.md). It contains:
///
/// - the functions on the stack, including those that belljar inlined, each with its instance and the offset of its
///   instruction in the function's body (including the declarations of locals; 0 if unknown). Locals and operands are
///   not included, because compiled code does not keep them. For a stack of more than 65536 machine frames, only the
///   innermost are included.
/// - the contents of the store's memories, including shared ones, except zeros. Other threads may write to shared
///   memories meanwhile, so their bytes may be of different moments.
/// - the store's globals, including whether they are mutable. All references are written as null.
#[derive(Clone)]
pub struct WasmCoreDump {
    store: StoreId,
    frames: Vec<FrameInfo>,
    /// The instance of each frame.
    owners: Vec<Owner>,
    omitted: usize,
    modules: Vec<Arc<Module>>,
    instances: Vec<Instance>,
    /// For each instance, the index of its module in `modules`.
    modules_of_instances: Vec<u32>,
    memories: Vec<Memory>,
    shared_memories: Vec<SharedMemory>,
    globals: Vec<Global>,
}

/// The instance that a frame belongs to.
#[derive(Clone, Copy)]
struct Owner {
    instance: InstanceId,
    /// Whether the instance is the only one of its module.
    is_certain: bool,
}

impl WasmCoreDump {
    /// Captures the state of a store whose guest did not trap. In a host function, this includes the caller's stack;
    /// otherwise no guest is running, and there is no stack.
    ///
    /// ```
    /// # fn main() -> belljar::Result<()> {
    /// use belljar::{Caller, Engine, Func, Instance, Module, Store, WasmCoreDump};
    /// let engine = Engine::default();
    /// let module = Module::new(&engine, r#"(module (import "" "" (func $f)) (func (export "g") (call $f)))"#)?;
    /// let mut store = Store::new(&engine, Vec::new());
    /// let snap = Func::wrap(&mut store, |mut caller: Caller<'_, Vec<u8>>| {
    ///     let dump = WasmCoreDump::of(&caller);
    ///     assert_eq!(dump.frames().len(), 1);
    ///     *caller.data_mut() = dump.serialize(&mut caller, "snapshot");
    /// });
    /// let instance = Instance::new(&mut store, &module, &[snap.into()])?;
    /// instance.get_typed_func::<(), ()>(&mut store, "g")?.call(&mut store, ())?;
    /// assert!(store.data().starts_with(b"\0asm"));
    /// assert!(WasmCoreDump::of(&store).frames().is_empty());
    /// # Ok(())
    /// # }
    /// ```
    pub fn of(store: impl AsContext) -> Self {
        let core = store.as_context().0.core();
        Self::new(core, &core.guest_stack())
    }

    /// Captures the state of a store, with this stack.
    pub(crate) fn new(core: &StoreCore, stack: &RawStack) -> Self {
        let store = core.id();
        let ids = || (0..core.instance_count()).map(InstanceId::new);
        let mut dump = Self {
            store,
            frames: Vec::new(),
            owners: Vec::new(),
            omitted: stack.omitted(),
            modules: Vec::new(),
            instances: ids().map(|id| Instance::from_id(store, id)).collect(),
            modules_of_instances: Vec::new(),
            memories: Vec::new(),
            shared_memories: Vec::new(),
            globals: (0..core.global_count()).map(|id| Global::from_id(store, id)).collect(),
        };
        let mut places = HashMap::new();
        for id in ids() {
            let module = core.instance_module(id).module();
            let place = *places.entry(Arc::as_ptr(module)).or_insert_with(|| {
                dump.modules.push(module.clone());
                dump.modules.len() as u32 - 1
            });
            dump.modules_of_instances.push(place);
        }
        for id in 0..core.memory_count() {
            match core.shared_memory(id) {
                Some(memory) => dump.shared_memories.push(SharedMemory::from_vm(memory.clone())),
                None => dump.memories.push(Memory::from_id(store, id)),
            }
        }
        for frame in stack.frames() {
            if dump.push_frame(core, frame).is_none() {
                dump.omitted += 1;
            }
        }
        dump
    }

    /// Adds the functions of a frame; `None` if nothing is known of it. Inlined functions ran for the same instance.
    fn push_frame(&mut self, core: &StoreCore, frame: &RawFrame) -> Option<()> {
        let mut candidates = core.instances_of(frame);
        let instance = candidates.next()?;
        let owner = Owner { instance, is_certain: candidates.next().is_none() };
        self.frames.extend(FrameInfo::of_frame(frame)?);
        self.owners.resize(self.frames.len(), owner);
        Some(())
    }

    /// Returns the functions on the stack, innermost first.
    pub fn frames(&self) -> &[FrameInfo] {
        &self.frames
    }

    /// Returns how many functions of a deep stack were omitted, including those that belljar inlined: the outermost
    /// ones.
    pub fn omitted(&self) -> usize {
        self.omitted
    }

    /// Returns the instance of a frame, by its index in [`WasmCoreDump::frames`]. Returns `None` if there is no such
    /// frame, or if the store has several instances of the frame's module, because compiled code does not tell which of
    /// them it runs for. In that case the file names the first of them.
    pub fn instance_of_frame(&self, frame: usize) -> Option<Instance> {
        let owner = self.owners.get(frame).filter(|owner| owner.is_certain)?;
        self.instances.get(owner.instance.index()).copied()
    }

    /// Returns the names of the modules of the store's instances, or `<unknown>` for a module without a name.
    pub fn modules(&self) -> impl ExactSizeIterator<Item = &str> {
        self.modules.iter().map(|module| module.names().module().unwrap_or("<unknown>"))
    }

    /// Returns the store's instances.
    pub fn instances(&self) -> &[Instance] {
        &self.instances
    }

    /// Returns the store's memories, without shared ones.
    pub fn memories(&self) -> &[Memory] {
        &self.memories
    }

    /// Returns the shared memories that the store uses.
    pub fn shared_memories(&self) -> &[SharedMemory] {
        &self.shared_memories
    }

    /// Returns the store's globals, including those of the host.
    pub fn globals(&self) -> &[Global] {
        &self.globals
    }

    /// Returns the file, with the current contents of memories and globals. Instances, memories and globals that were
    /// created after the dump are not included. `name` is the name of the program. The whole file is in memory: see
    /// [`WasmCoreDump::write_to`] otherwise.
    ///
    /// # Panics
    ///
    /// Panics if `store` is not the store that the guest ran in.
    pub fn serialize(&self, store: impl AsContext, name: &str) -> Vec<u8> {
        let mut file = Vec::new();
        // Writing to a `Vec` cannot fail.
        let _ = self.write_to(store, name, &mut file);
        file
    }

    /// Writes the file to `out`, as [`WasmCoreDump::serialize`] does. Returns how many bytes of memories were omitted
    /// because a wasm module, which has at most 4 GiB, has no room for them.
    ///
    /// # Errors
    ///
    /// Returns an error if writing to `out` fails.
    ///
    /// # Panics
    ///
    /// Panics if `store` is not the store that the guest ran in.
    pub fn write_to(&self, store: impl AsContext, name: &str, out: &mut impl Write) -> io::Result<u64> {
        let core = store.as_context().0.core();
        check_store(self.store, core, "WasmCoreDump");
        let mut module = wasm_encoder::Module::new();
        module.section(&CoreDumpSection::new(name));
        module.section(&self.module_section());
        module.section(&self.instance_section(core));
        module.section(&self.stack_section());
        let count = self.memories.len() + self.shared_memories.len();
        // Some readers assume that a section has at least one entry.
        if count > 0 {
            module.section(&memory_section(core, count));
        }
        if !self.globals.is_empty() {
            module.section(&self.global_section(core));
        }
        out.write_all(module.as_slice())?;
        let contents = Contents::of(core, count);
        contents.write_to(core, out)?;
        Ok(contents.left_out())
    }

    fn module_section(&self) -> CoreDumpModulesSection {
        let mut section = CoreDumpModulesSection::new();
        for name in self.modules() {
            section.module(name);
        }
        section
    }

    fn instance_section(&self, core: &StoreCore) -> CoreDumpInstancesSection {
        let mut section = CoreDumpInstancesSection::new();
        for (id, module) in self.modules_of_instances.iter().enumerate() {
            let id = InstanceId::new(id);
            let (memories, globals) = (core.instance_memories(id), core.instance_globals(id));
            section.instance(*module, memories.iter().copied(), globals.iter().copied());
        }
        section
    }

    fn stack_section(&self) -> CoreDumpStackSection {
        let mut section = CoreDumpStackSection::new("main");
        for (frame, owner) in self.frames.iter().zip(&self.owners) {
            let offset = frame.func_offset().and_then(|offset| u32::try_from(offset).ok()).unwrap_or(0);
            // The format could mark each local as missing, but wasmgdb does not read that.
            section.frame(owner.instance.0, frame.func_index(), offset, [], []);
        }
        section
    }

    fn global_section(&self, core: &StoreCore) -> GlobalSection {
        let mut section = GlobalSection::new();
        for id in 0..self.globals.len() {
            let (val_type, value) = global(core.global_get(id));
            let mutable = core.global_type(id).mutability() == Mutability::Var;
            section.global(GlobalType { val_type, mutable, shared: false }, &value);
        }
        section
    }
}

/// Returns all memories, by their numbers in the store, with their sizes as minimum.
fn memory_section(core: &StoreCore, count: usize) -> MemorySection {
    let mut section = MemorySection::new();
    for id in 0..count {
        let ty = core.memory_type(id);
        let page_size_log2 = u32::from(ty.page_size_log2());
        section.memory(MemoryType {
            minimum: core.memory_size(id) as u64 >> page_size_log2,
            maximum: ty.maximum(),
            memory64: ty.is_64(),
            shared: ty.is_shared(),
            page_size_log2: (page_size_log2 != 16).then_some(page_size_log2),
        });
    }
    section
}

/// Returns the type and value of a global for the file.
fn global(value: Value) -> (ValType, ConstExpr) {
    let null = |ty| {
        let heap_type = HeapType::Abstract { shared: false, ty };
        (ValType::Ref(RefType { nullable: true, heap_type }), ConstExpr::ref_null(heap_type))
    };
    match value {
        Value::I32(v) => (ValType::I32, ConstExpr::i32_const(v)),
        Value::I64(v) => (ValType::I64, ConstExpr::i64_const(v)),
        Value::F32(v) => (ValType::F32, ConstExpr::f32_const(f32::from_bits(v).into())),
        Value::F64(v) => (ValType::F64, ConstExpr::f64_const(f64::from_bits(v).into())),
        Value::V128(v) => (ValType::V128, ConstExpr::v128_const(v.cast_signed())),
        Value::Func(_) => null(AbstractHeapType::Func),
        Value::Extern(_) => null(AbstractHeapType::Extern),
        Value::Any(_) => null(AbstractHeapType::Any),
        Value::Exn(_) => null(AbstractHeapType::Exn),
    }
}

/// Writes one line with the numbers of frames, instances, memories and globals.
impl fmt::Display for WasmCoreDump {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = [
            (self.frames.len() + self.omitted, "frame"),
            (self.instances.len(), "instance"),
            (self.memories.len() + self.shared_memories.len(), "memory"),
            (self.globals.len(), "global"),
        ];
        f.write_str("wasm core dump: ")?;
        for (i, (count, what)) in counts.into_iter().enumerate() {
            let comma = if i == 0 { "" } else { ", " };
            write!(f, "{comma}{}", Counted::of(count, what))?;
        }
        Ok(())
    }
}

impl fmt::Debug for WasmCoreDump {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WasmCoreDump")
            .field("frames", &self.frames)
            .field("omitted", &self.omitted)
            .field("modules", &self.modules().collect::<Vec<_>>())
            .field("instances", &self.instances)
            .field("memories", &self.memories)
            .field("shared_memories", &self.shared_memories)
            .field("globals", &self.globals)
            .finish()
    }
}
