//! The linker's layout of a guest's memory: stack, static data and heap, as far as the module reveals it.
//!
//! In: an instance and one of its memories. Out: a [`GuestLayout`], derived from the globals that linkers emit (by the
//! names of exports and of the name section) and from data segments. Never: what the guest's allocator does with the
//! heap.
//!
//! ```text
//!   stack first                              data first
//!   0 ┌────────┐                             0 ┌────────┐
//!     │ stack ↑│                               │ data   │
//!     ├────────┤ __stack_pointer               ├────────┤ __data_end
//!     │ data   │                               │ stack ↑│
//!     ├────────┤ __data_end                    ├────────┤ __stack_pointer = __heap_base
//!     │ heap  ↓│ __heap_base                   │ heap  ↓│
//! ```

use belljar_core::{GlobalIndex, InstanceId, MemoryIndex, Mutability, ValType};
use belljar_module::{ConstExpr, ConstOp, EntityIndex, Module};
use belljar_vm::{StoreCore, Value};
use std::fmt;
use std::ops::Range;

/// The layout of a memory.
#[derive(Debug, Default)]
pub(crate) struct GuestLayout {
    pub(crate) stack: Option<GuestStack>,
    /// By ascending start.
    data: Vec<Segment>,
    /// The end of static data, including zeroed data, and the source of this information.
    data_end: Option<(u64, &'static str)>,
    heap_base: Option<u64>,
}

/// A guest's stack in its memory. It grows downwards.
#[derive(Clone, Debug)]
pub(crate) struct GuestStack {
    /// Its addresses.
    pub(crate) range: Range<u64>,
    /// Whether the start of the range is certain: zeroed data may lie below a stack that follows the data.
    is_start_certain: bool,
    /// Whether the global is named `__stack_pointer`, or only looks like it.
    is_named: bool,
    /// The stack pointer's number in the store.
    pointer: usize,
}

#[derive(Clone, Copy, Debug)]
struct Segment {
    start: u64,
    end: u64,
    /// `None` for contents of which only the pages are known.
    index: Option<u32>,
}

/// What the linker put at an address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum LayoutRegion {
    /// The guest's stack.
    Stack { start: u64, end: u64, is_start_certain: bool, is_named: bool },
    /// A data segment.
    Data { start: u64, end: u64, segment: Option<u32> },
    /// Static data that is zeroed, and has no contents in the module.
    Zeroed { end: u64, why: &'static str },
    /// The heap.
    Heap { base: u64 },
    /// Unknown.
    Unknown,
}

impl fmt::Display for LayoutRegion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Stack { start, end, is_start_certain, is_named } => {
                let what = if is_named { "the guest's stack" } else { "what seems to be the guest's stack" };
                let also = if is_start_certain { "" } else { ", or zeroed data below it" };
                let global = if is_named { "__stack_pointer" } else { "its first global" };
                write!(f, "{what}{also}: {start:#x}..{end:#x}, because {global} starts at {end:#x}")
            }
            Self::Data { start, end, segment: Some(segment) } => {
                write!(f, "the guest's static data: data segment {segment}, {start:#x}..{end:#x}")
            }
            Self::Data { start, end, segment: None } => {
                write!(f, "the guest's static data: data segments within {start:#x}..{end:#x}")
            }
            Self::Zeroed { end, why } => {
                write!(f, "the guest's static data, initially zero: it ends at {end:#x}, according to {why}")
            }
            Self::Heap { base } => {
                write!(
                    f,
                    "the guest's heap, which begins at {base:#x}, and not memory that was allocated for the host"
                )
            }
            Self::Unknown => f.write_str("memory of the guest that it has not handed out"),
        }
    }
}

/// Bounds for guessing a stack: the lowest address of its top that linkers choose, and its alignment.
const LOWEST_STACK: u64 = 1024;
const STACK_ALIGNMENT: u64 = 16;

impl GuestLayout {
    /// Returns the layouts of a memory according to the modules of the store's instances.
    pub(crate) fn of_memory(core: &StoreCore, memory: usize) -> Vec<Self> {
        let mut layouts = Vec::new();
        for id in (0..core.instance_count()).map(InstanceId::new) {
            let mut indices = core.instance_memories(id).iter().enumerate();
            if let Some((index, _)) = indices.find(|(_, number)| **number as usize == memory) {
                layouts.push(Self::of(core, id, MemoryIndex::new(index)));
            }
        }
        layouts
    }

    fn of(core: &StoreCore, id: InstanceId, memory: MemoryIndex) -> Self {
        let module = core.instance_module(id).module();
        let data = segments(core, id, memory);
        // Linkers lay out only the first memory.
        if memory != MemoryIndex::new(0) {
            return Self { data, ..Self::default() };
        }
        let symbol = |name| symbol(core, id, module, name).map(|(_, address)| address);
        let mut layout = Self { data, heap_base: symbol("__heap_base"), ..Self::default() };
        layout.data_end = match (symbol("__data_end"), layout.heap_base) {
            (Some(end), _) => Some((end, "__data_end")),
            (None, Some(base)) => Some((base, "__heap_base")),
            (None, None) => None,
        };
        layout.stack = layout.find_stack(core, id, symbol("__stack_low"));
        layout
    }

    fn find_stack(&self, core: &StoreCore, id: InstanceId, low: Option<u64>) -> Option<GuestStack> {
        let (global, end, is_named) = stack_pointer(core, id)?;
        let data_start = self.data.first().map(|segment| segment.start);
        let segments_end = self.data.iter().map(|segment| segment.end).max();
        let data_end = self.data_end.filter(|(_, who)| *who == "__data_end").map(|(at, _)| at);
        let (start, is_start_certain) = match (low, data_start) {
            (Some(low), _) => (low, true),
            (None, Some(data)) if end <= data => (0, true),
            (None, _) => match (data_end, segments_end) {
                (Some(data), _) if data <= end => (data, true),
                (_, Some(data)) if data <= end => (data, false),
                (None, None) => (0, false),
                _ => return None,
            },
        };
        let pointer = core.instance_globals(id)[global.index()] as usize;
        (start < end).then_some(GuestStack { range: start..end, is_start_certain, is_named, pointer })
    }

    /// Returns what lies at an address.
    pub(crate) fn region_at(&self, address: u64) -> LayoutRegion {
        if let Some(segment) = self.data.iter().find(|s| (s.start..s.end).contains(&address)) {
            return LayoutRegion::Data { start: segment.start, end: segment.end, segment: segment.index };
        }
        if let Some(stack) = self.stack.as_ref().filter(|stack| stack.range.contains(&address)) {
            let GuestStack { range: Range { start, end }, is_start_certain, is_named, .. } = *stack;
            return LayoutRegion::Stack { start, end, is_start_certain, is_named };
        }
        match (self.data_end, self.heap_base) {
            (_, Some(base)) if address >= base => LayoutRegion::Heap { base },
            (Some((end, why)), _) if address < end => LayoutRegion::Zeroed { end, why },
            _ => LayoutRegion::Unknown,
        }
    }
}

impl GuestStack {
    /// Returns the unused part of the stack, below the stack pointer; `None` if it is not certain. Guests that switch
    /// stacks may have their stack pointer elsewhere.
    pub(crate) fn dead_part(&self, core: &StoreCore) -> Option<Range<u64>> {
        let pointer = number(core.global_get(self.pointer))?;
        let is_certain = self.is_named && self.is_start_certain;
        let is_inside = (self.range.start..=self.range.end).contains(&pointer);
        (is_certain && is_inside).then_some(self.range.start..pointer)
    }
}

/// Returns the initial and the current stack pointer of an instance of a linked module.
pub(crate) fn stack_pointer_now(core: &StoreCore, id: InstanceId) -> Option<(u64, u64)> {
    let (global, start, _) = stack_pointer(core, id)?;
    Some((start, number(core.global_get(core.instance_globals(id)[global.index()] as usize))?))
}

/// Returns the stack pointer of a module: its index, its initial value, and whether it has the usual name. Linkers make
/// it the first global of the module, and no other mutable global starts with such an address.
fn stack_pointer(core: &StoreCore, id: InstanceId) -> Option<(GlobalIndex, u64, bool)> {
    let module = core.instance_module(id).module();
    if let Some((global, address)) = symbol(core, id, module, "__stack_pointer") {
        return Some((global, address, true));
    }
    let first = GlobalIndex::new(module.imported_globals());
    let ty = module.globals().get(first.index())?;
    let is_pointer =
        ty.mutability() == Mutability::Var && matches!(ty.content(), ValType::I32 | ValType::I64);
    let address = is_pointer.then(|| module.global_init(first).as_number())??;
    let looks_like_it = address >= LOWEST_STACK && address.is_multiple_of(STACK_ALIGNMENT);
    looks_like_it.then_some((first, address, false))
}

/// Returns a global that the linker emitted, and its initial value.
fn symbol(core: &StoreCore, id: InstanceId, module: &Module, name: &str) -> Option<(GlobalIndex, u64)> {
    let exported = module.export(name).and_then(|export| match export.entity {
        EntityIndex::Global(global) => Some(global),
        _ => None,
    });
    let named = || {
        let defined = (module.imported_globals()..module.globals().len()).map(GlobalIndex::new);
        defined.into_iter().find(|global| module.names().global(*global) == Some(name))
    };
    let global = exported.or_else(named).filter(|global| global.index() >= module.imported_globals())?;
    Some((global, evaluate(core, id, module.global_init(global))?))
}

/// Returns the contents that a module's active segments give a memory.
fn segments(core: &StoreCore, id: InstanceId, memory: MemoryIndex) -> Vec<Segment> {
    let module = core.instance_module(id).module();
    let mut segments: Vec<Segment> = Vec::new();
    for data in module.active_data().iter().filter(|data| data.memory == memory && !data.bytes.is_empty()) {
        if let Some(start) = evaluate(core, id, &data.offset) {
            let end = start.saturating_add(data.bytes.len() as u64);
            segments.push(Segment { start, end, index: Some(data.index.0) });
        }
    }
    // For a module that was compiled earlier, only the pages that its segments produce are known.
    if segments.is_empty()
        && let Some(images) = module.known_images()
    {
        segments.extend(images.of_memory(memory).iter().filter_map(|piece| {
            let bytes = images.piece(piece);
            let first = bytes.iter().position(|byte| *byte != 0)? as u64;
            let last = bytes.iter().rposition(|byte| *byte != 0)? as u64;
            Some(Segment { start: piece.offset + first, end: piece.offset + last + 1, index: None })
        }));
    }
    segments.sort_unstable_by_key(|segment| segment.start);
    segments
}

/// Returns the value of a constant expression over integers.
fn evaluate(core: &StoreCore, id: InstanceId, expr: &ConstExpr) -> Option<u64> {
    if let Some(value) = expr.as_number() {
        return Some(value);
    }
    // Position-independent code adds a constant to `__memory_base`; other operations do not matter.
    let mut stack: Vec<u64> = Vec::new();
    for op in expr.ops() {
        let value = match *op {
            ConstOp::Value(value) => value.u64(),
            ConstOp::GlobalGet(global) => {
                number(core.global_get(core.instance_globals(id)[global.index()] as usize))?
            }
            ConstOp::I32(arithmetic) => {
                let (b, a) = (stack.pop()?, stack.pop()?);
                u64::from(arithmetic.apply(a, b) as u32)
            }
            ConstOp::I64(arithmetic) => {
                let (b, a) = (stack.pop()?, stack.pop()?);
                arithmetic.apply(a, b)
            }
            _ => return None,
        };
        stack.push(value);
    }
    stack.pop()
}

/// Returns the address in a global.
fn number(value: Value) -> Option<u64> {
    match value {
        Value::I32(value) => Some(u64::from(value.cast_unsigned())),
        Value::I64(value) => Some(value.cast_unsigned()),
        _ => None,
    }
}
