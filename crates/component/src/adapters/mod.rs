//! Adapters: core modules whose functions are what one component of a plan calls when it calls another. They copy values
//! from memory to memory, and are compiled as any other module.
//!
//! In: a plan, and what its memories are like. Out: modules, what they import, and steps of the plan that instantiate
//! them. Never: a module whose size the plan does not bound; what would be too large, or cannot be expressed, is left to
//! the runtime, which lifts values and lowers them again.
//!
//! Not expressed are calls of an instance by itself, whose memory could change between lifting and lowering; shared
//! memories, for the same reason; the asynchronous ABI; and types that belljar does not have.

mod body;
mod builder;
mod calls;
mod checks;
mod copies;
mod import;
mod runtime;
mod shape;
mod texts;
mod transcode;

pub use calls::{CLOSED, MAY_NOT_LEAVE, lowered_type};
pub use import::{AdapterImport, MemoryShape};
pub use runtime::{InPlace, RuntimeFunc, Transcode, TrapCode};
pub use transcode::Piece;

use crate::core_types::CoreExternType;
use crate::plan::*;
use crate::types::{AddressType, Type};
use belljar_core::Result;
use builder::{Builder, Built, Side, SideId};
use calls::Pair;
use shape::{AllFacts, Shape};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

/// The adapters of a plan.
#[derive(Clone, Debug, Default)]
pub struct Adapters {
    /// The binaries of the modules.
    pub modules: Vec<Vec<u8>>,
    /// The instances of these modules, in the order in which they are made.
    pub instances: Vec<AdapterInstance>,
}

/// An instance of a module of adapters.
#[derive(Clone, Debug)]
pub struct AdapterInstance {
    /// The module: its index in [`Adapters::modules`].
    pub module: usize,
    /// What it imports, in the order of the module's imports.
    pub imports: Vec<AdapterImport>,
    /// The types that its traps name.
    pub types: Arc<[Type]>,
    /// The builtins that it exports, under their places here as names.
    pub exports: Vec<BuiltinIndex>,
}

/// What adapters are made with.
pub struct AdapterOptions<'a> {
    /// Returns what a memory is like that a core module exports.
    pub memory: &'a dyn Fn(ModuleIndex, &str) -> Option<MemoryShape>,
    /// Whether core code can throw exceptions.
    pub exceptions: bool,
    /// The largest number of bytes of code.
    pub limit: usize,
}

impl std::fmt::Debug for AdapterOptions<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AdapterOptions").finish_non_exhaustive()
    }
}

/// When something is there: after so many steps of the plan, and so many modules of adapters after these.
type Ready = (usize, usize);

impl Component {
    /// Makes adapters for calls between components of the plan, which gets steps that instantiate them.
    pub fn add_adapters(&mut self, options: &AdapterOptions<'_>) -> Adapters {
        let mut groups: Vec<(Ready, Built)> = Vec::new();
        let mut left = options.limit;
        let pairs = Pairs::of(self, options);
        for (ready, group) in pairs.by_time() {
            // What cannot be built is left to the runtime.
            if let Ok((built, size)) = pairs.build(&group, options.exceptions, left) {
                left -= size;
                groups.push((ready, built));
            }
        }
        let mut adapters = Adapters::default();
        let mut known: HashMap<Vec<u8>, usize> = HashMap::new();
        let mut steps = std::mem::take(&mut self.steps).into_iter();
        let mut taken = 0;
        for ((time, _), built) in groups {
            self.steps.extend(steps.by_ref().take(time - taken));
            taken = time;
            // Parts that are instantiated again get the same module.
            let module = *known.entry(built.wasm).or_insert_with_key(|wasm| {
                adapters.modules.push(wasm.clone());
                adapters.modules.len() - 1
            });
            for builtin in &built.exports {
                self.builtins[builtin.index()].is_adapted = true;
            }
            self.steps.push(Step::Adapt(adapters.instances.len()));
            let Built { imports, types, exports, .. } = built;
            adapters.instances.push(AdapterInstance { module, imports, types: types.into(), exports });
        }
        self.steps.extend(steps);
        adapters
    }
}

/// The pairs of a plan for which there can be adapters.
struct Pairs<'p> {
    pairs: Vec<(Ready, Pair<'p>)>,
    /// The memories that they use.
    memories: HashMap<&'p CoreExport, MemoryShape>,
    /// The instances that can keep values with their calls.
    keeping: HashSet<InstanceIndex>,
}

impl<'p> Pairs<'p> {
    fn of(plan: &'p Component, options: &AdapterOptions<'_>) -> Self {
        let mut facts = AllFacts::default();
        let mut memories: HashMap<&CoreExport, Option<MemoryShape>> = HashMap::new();
        let made = plan.steps.iter().enumerate().filter_map(|(i, step)| match step {
            Step::Instantiate { module, .. } => Some((i + 1, module)),
            _ => None,
        });
        let made: Vec<(usize, &Module)> = made.collect();
        // When each builtin is there, in their order: each one needs only those before it.
        let mut ready: Vec<Ready> = Vec::with_capacity(plan.builtins.len());
        let mut pairs = Vec::new();
        for (index, builtin) in plan.builtins.iter().enumerate() {
            let (func, lower) = match &builtin.kind {
                BuiltinKind::Lower { func, options } => (func, options),
                _ => {
                    ready.push((0, 0));
                    continue;
                }
            };
            let pair = plan.pair(BuiltinIndex(index as u32), builtin, *func, lower).filter(|pair| {
                let mut is_usable = |export: &'p CoreExport| {
                    let shape = memories.entry(export).or_insert_with(|| {
                        let (_, module) = made.get(export.instance.index())?;
                        plan.memory(module, &export.name, options).filter(|shape| !shape.is_shared)
                    });
                    shape.is_some()
                };
                let is_expressible = facts.of(Shape::Fields(pair.ty.param_tuple())).is_expressible
                    && pair.ty.result().is_none_or(|ty| facts.of(Shape::Type(ty)).is_expressible);
                is_expressible
                    && pair.lower.memory.as_ref().is_none_or(&mut is_usable)
                    && pair.lift.memory.as_ref().is_none_or(&mut is_usable)
            });
            let mut time = needs(lower, &made, &ready);
            if let Some(pair) = pair {
                time = time.max(needs(pair.lift, &made, &ready)).max(ready_of(pair.func, &made, &ready));
                pairs.push((time, pair));
                time.1 += 1;
            }
            ready.push(time);
        }
        let memories = memories.into_iter().filter_map(|(export, shape)| Some((export, shape?))).collect();
        Self { pairs, memories, keeping: plan.keeping() }
    }

    /// Returns the pairs that can be in one module, in the order in which the modules can be instantiated.
    fn by_time(&self) -> BTreeMap<Ready, Vec<&Pair<'p>>> {
        let mut groups: BTreeMap<Ready, Vec<&Pair<'p>>> = BTreeMap::new();
        for (time, pair) in &self.pairs {
            groups.entry(*time).or_default().push(pair);
        }
        groups
    }

    /// Builds a module. Returns it with the size of its code.
    fn build(&self, pairs: &[&Pair<'p>], exceptions: bool, limit: usize) -> Result<(Built, usize)> {
        let mut builder = Builder::new(limit);
        for pair in pairs {
            let caller = self.side(&mut builder, pair.caller, pair.lower);
            let callee = self.side(&mut builder, pair.callee, pair.lift);
            builder.write_adapter(pair, caller, callee, exceptions)?;
            builder.write_helpers()?;
        }
        let size = builder.size();
        Ok((builder.finish()?, size))
    }

    fn side(&self, builder: &mut Builder<'_>, instance: InstanceIndex, options: &Options) -> SideId {
        let memory = options.memory.as_ref().and_then(|export| Some((export, *self.memories.get(export)?)));
        let is_64 = memory.is_some_and(|(_, shape)| shape.is_64);
        let address = if is_64 { AddressType::I64 } else { AddressType::I32 };
        let memory = memory.map(|(export, shape)| builder.import_memory(export, shape));
        let realloc = options.realloc.as_ref().map(|func| {
            let (params, results) = ([address.flat(); 4], [address.flat()]);
            builder.import_func(AdapterImport::Func(func.clone()), &params, &results)
        });
        let flags = builder.import_flags(instance);
        let keeps = self.keeping.contains(&instance);
        builder.enter_side(Side {
            memory,
            address,
            encoding: options.encoding,
            realloc,
            instance,
            flags,
            keeps,
        })
    }
}

fn ready_of(func: &CoreFunc, made: &[(usize, &Module)], ready: &[Ready]) -> Ready {
    match func {
        CoreFunc::Export(export) => {
            (made.get(export.instance.index()).map(|(time, _)| *time).unwrap_or_default(), 0)
        }
        CoreFunc::Builtin(index) => ready.get(index.index()).copied().unwrap_or_default(),
    }
}

/// Returns when everything is there that options name.
fn needs(options: &Options, made: &[(usize, &Module)], ready: &[Ready]) -> Ready {
    let memory = options.memory.as_ref().and_then(|export| made.get(export.instance.index()));
    let memory = memory.map(|(time, _)| (*time, 0)).unwrap_or_default();
    let funcs = [&options.realloc, &options.post_return].into_iter().flatten();
    funcs.map(|func| ready_of(func, made, ready)).fold(memory, Ready::max)
}

impl Component {
    /// Returns what a memory is like that a core module exports.
    fn memory(&self, module: &Module, name: &str, given: &AdapterOptions<'_>) -> Option<MemoryShape> {
        let path = match module {
            Module::Own(module) => return (given.memory)(*module, name),
            Module::Imported(path) => path,
        };
        let mut imports = &self.imports;
        let (last, way) = path.split_last()?;
        for name in way {
            match &imports.iter().find(|(import, _)| import == name)?.1 {
                Import::Instance(inner) => imports = inner,
                _ => return None,
            }
        }
        let Import::Module(ty) = &imports.iter().find(|(import, _)| import == last)?.1 else { return None };
        match &ty.exports.iter().find(|(export, _)| **export == *name)?.1 {
            CoreExternType::Memory { limits, shared, page_size } => Some(MemoryShape {
                is_64: limits.is_64,
                page_size_log2: page_size.trailing_zeros(),
                is_shared: *shared,
            }),
            _ => None,
        }
    }

    /// Returns a lowered function with the lifted one that it calls, if an adapter may connect them.
    fn pair<'p>(
        &'p self,
        index: BuiltinIndex,
        builtin: &Builtin,
        func: FuncIndex,
        lower: &'p Options,
    ) -> Option<Pair<'p>> {
        let Func { ty, origin, name } = &self.funcs[func.index()];
        let FuncOrigin::Lifted { func, options: lift, instance } = origin else { return None };
        if *instance == builtin.instance || lower.is_async || lift.is_async {
            return None;
        }
        let name = match (name, func) {
            (Some(name), _) => name,
            (None, CoreFunc::Export(export)) => &export.name,
            (None, CoreFunc::Builtin(_)) => "a builtin",
        };
        let (caller, callee) = (builtin.instance, *instance);
        Some(Pair { builtin: index, name, ty, lower, caller, lift, callee, func })
    }
}
