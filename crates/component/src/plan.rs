//! What a component is once its nesting is gone: core modules, steps that instantiate and connect them, imports and
//! exports.
//!
//! In a plan, every instance that a component or one of its inner components makes is written out. A part that is
//! instantiated twice appears twice. So nothing of a component has to be evaluated when it is instantiated.

use crate::core_types::ModuleType;
use crate::types::{FlatType, FuncType, ResourceIndex, Type};
use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;

macro_rules! index {
    ($($(#[$doc:meta])* $name:ident)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub struct $name(pub u32);

        impl $name {
            /// Returns the index as a number for slices.
            pub const fn index(self) -> usize {
                self.0 as usize
            }
        }
    )*};
}

index! {
    /// A core module that the component contains: its index in [`Component::modules`].
    ModuleIndex
    /// A core instance: the number of [`Step::Instantiate`]s before its own.
    CoreInstanceIndex
    /// An instance of the component, or of one of its inner components: what has handles and flags of its own.
    InstanceIndex
    /// A function: its index in [`Component::funcs`].
    FuncIndex
    /// A core function that the runtime provides: its index in [`Component::builtins`].
    BuiltinIndex
}

/// A component without nesting.
#[derive(Clone, Debug, Default)]
pub struct Component {
    /// The bytes of each core module in the binary.
    pub modules: Vec<Range<usize>>,
    /// The imports, in order.
    pub imports: Vec<(Arc<str>, Import)>,
    /// The resource types, each time that an instance makes one.
    pub resources: Vec<Resource>,
    /// The functions that are imported or lifted.
    pub funcs: Vec<Func>,
    /// The core functions that the runtime provides.
    pub builtins: Vec<Builtin>,
    /// What happens when the component is instantiated, in order.
    pub steps: Vec<Step>,
    /// The exports, in order.
    pub exports: Vec<(Arc<str>, Export)>,
    /// The number of instances that have handles and flags of their own.
    pub instances: u32,
}

impl Component {
    /// Returns the instances that can keep values with their calls.
    pub fn keeping(&self) -> HashSet<InstanceIndex> {
        let keeps =
            |kind: &BuiltinKind| matches!(kind, BuiltinKind::ContextGet(_) | BuiltinKind::ContextSet(_));
        self.builtins.iter().filter(|builtin| keeps(&builtin.kind)).map(|builtin| builtin.instance).collect()
    }
}

/// What is imported.
#[derive(Clone, Debug)]
pub enum Import {
    /// A function.
    Func(Arc<FuncType>),
    /// An instance with these exports.
    Instance(Vec<(Arc<str>, Import)>),
    /// A resource type.
    Resource(ResourceIndex),
    /// Another name for a resource type. It need not be defined, but if it is, it is the same one.
    SameResource(ResourceIndex),
    /// A name for a type that is known.
    Type,
    /// A core module.
    Module(Arc<ModuleType>),
}

/// What is exported.
#[derive(Clone, Debug)]
pub enum Export {
    /// A function.
    Func(FuncIndex),
    /// An instance with these exports.
    Instance(Vec<(Arc<str>, Export)>),
    /// A type of values.
    Type(Type),
    /// A resource type.
    Resource(ResourceIndex),
    /// A core module.
    Module(Module),
    /// A type of functions, instances or components, or a component: nothing that exists at run time.
    Other,
}

/// Where an import lies: the name of the import, and names of exports within it.
pub type ImportPath = Arc<[Arc<str>]>;

/// A core module.
#[derive(Clone, Debug)]
pub enum Module {
    /// One that the component contains.
    Own(ModuleIndex),
    /// One that it imports.
    Imported(ImportPath),
}

/// A resource type.
#[derive(Clone, Debug)]
pub enum Resource {
    /// The host, or another component, defines it.
    Imported(ImportPath),
    /// An instance defines it.
    Defined {
        /// The instance.
        instance: InstanceIndex,
        /// The function that is called when an owned handle is dropped.
        destructor: Option<CoreFunc>,
    },
}

/// A function of a component.
#[derive(Clone, Debug)]
pub struct Func {
    /// Its type.
    pub ty: Arc<FuncType>,
    /// Where it comes from.
    pub origin: FuncOrigin,
    /// The name under which it is exported first, with that of the interface.
    pub name: Option<Arc<str>>,
}

/// Where a function comes from.
#[derive(Clone, Debug)]
pub enum FuncOrigin {
    /// It is imported.
    Imported(ImportPath),
    /// It is a core function, lifted by an instance.
    Lifted {
        /// The core function.
        func: CoreFunc,
        /// How it is lifted.
        options: Options,
        /// The instance.
        instance: InstanceIndex,
    },
}

/// An export of a core instance.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct CoreExport {
    /// The instance.
    pub instance: CoreInstanceIndex,
    /// The name.
    pub name: Arc<str>,
}

/// A core function.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum CoreFunc {
    /// An export of a core instance.
    Export(CoreExport),
    /// One that the runtime provides.
    Builtin(BuiltinIndex),
}

/// An item that core modules import.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum CoreItem {
    /// A function.
    Func(CoreFunc),
    /// A memory, table, global or tag.
    Export(CoreExport),
}

/// The encoding of strings in a memory.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum StringEncoding {
    /// UTF-8.
    #[default]
    Utf8,
    /// UTF-16, in little-endian order.
    Utf16,
    /// Latin-1, or UTF-16 if the string has other characters.
    CompactUtf16,
}

/// How a function is lifted or lowered.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Options {
    /// The encoding of strings.
    pub encoding: StringEncoding,
    /// The memory that values lie in.
    pub memory: Option<CoreExport>,
    /// The function that allocates in it.
    pub realloc: Option<CoreFunc>,
    /// The function that is called after the results were lifted.
    pub post_return: Option<CoreFunc>,
    /// Whether the asynchronous ABI is used.
    pub is_async: bool,
    /// The function that gets the events of an asynchronous call.
    pub callback: Option<CoreFunc>,
}

/// A core function that the runtime provides.
#[derive(Clone, Debug)]
pub struct Builtin {
    /// The instance that calls it.
    pub instance: InstanceIndex,
    /// What it does.
    pub kind: BuiltinKind,
    /// Whether a module of adapters provides it.
    pub is_adapted: bool,
}

/// What a core function of the runtime does.
#[derive(Clone, Debug)]
pub enum BuiltinKind {
    /// Calls a function.
    Lower {
        /// The function.
        func: FuncIndex,
        /// How values are passed.
        options: Options,
    },
    /// Makes an owned handle.
    ResourceNew(ResourceIndex),
    /// Returns what a handle stands for.
    ResourceRep(ResourceIndex),
    /// Drops a handle.
    ResourceDrop(ResourceIndex),
    /// Returns what the call that runs keeps at this place.
    ContextGet(u32),
    /// Sets what the call that runs keeps at this place.
    ContextSet(u32),
    /// Lets calls of the instance wait before they begin.
    BackpressureInc,
    /// Undoes the same.
    BackpressureDec,
    /// One of the asynchronous functions, which this version does not have.
    Unsupported {
        /// Its name.
        name: &'static str,
        /// The types of its parameters.
        params: Vec<FlatType>,
        /// The type of its result.
        result: Option<FlatType>,
    },
}

/// What a core module is instantiated with, under one module name.
#[derive(Clone, Debug)]
pub enum CoreArgument {
    /// The exports of an instance.
    Instance(CoreInstanceIndex),
    /// These items.
    Items(Arc<[(Arc<str>, CoreItem)]>),
}

/// A step of instantiation.
#[derive(Clone, Debug)]
pub enum Step {
    /// Instantiates a core module.
    Instantiate {
        /// The module.
        module: Module,
        /// Its imports by module name.
        arguments: Vec<(Arc<str>, CoreArgument)>,
        /// The instance that it belongs to.
        instance: InstanceIndex,
    },
    /// Instantiates a module of adapters: its index in [`Adapters::instances`](crate::adapters::Adapters::instances).
    Adapt(usize),
    /// Calls a function without parameters and results.
    Start(FuncIndex),
}
