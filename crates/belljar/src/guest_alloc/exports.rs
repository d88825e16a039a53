//! Finding a guest's allocator among the exports of an instance.
//!
//! In: an instance, optionally names. Out: [`Exports`], whose signatures are checked. Never: a call.

use crate::guest_ranges::AllocatorKey;
use crate::missing_export::{exported_functions, no_function};
use crate::{Func, Instance, Result};
use belljar_core::{Context, FuncRefId, FuncType, OutsideText, ValType, bail, ensure};
use belljar_vm::{Entity, StoreCore};

/// A guest's allocator: functions with known signatures, and the memory that they manage.
#[derive(Debug)]
pub(super) struct Exports {
    pub(super) memory: usize,
    /// Whether addresses have 64 bits.
    pub(super) is_64: bool,
    pub(super) alloc: AllocFunc,
    pub(super) free: Option<FreeFunc>,
}

/// The allocating function.
#[derive(Debug)]
pub(super) struct AllocFunc {
    pub(super) name: Box<str>,
    pub(super) func: Func,
    pub(super) takes: AllocTakes,
}

/// The freeing function. It takes the first `params` of: address, size, alignment.
#[derive(Debug)]
pub(super) struct FreeFunc {
    pub(super) name: Box<str>,
    pub(super) func: Func,
    pub(super) params: usize,
    /// The number of its results, which are ignored.
    pub(super) results: usize,
}

/// The parameters of the allocating function.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum AllocTakes {
    /// `malloc(size)`.
    Size,
    /// `alloc(size, align)`.
    SizeAlign,
    /// `cabi_realloc(old, old_size, align, size)`.
    Realloc,
}

/// The names of usual allocators, the best known first, and of the freeing functions. Freeing is unspecified for those
/// without one: `cabi_realloc` with a size of 0 frees in no toolchain.
const KNOWN: &[(&str, Option<&str>)] = &[
    ("malloc", Some("free")),
    ("__wbindgen_malloc", Some("__wbindgen_free")),
    ("allocate", Some("deallocate")),
    ("cabi_realloc", None),
];

/// An export of CosmWasm's contracts, whose `allocate` returns the address of a descriptor of the allocation.
const COSMWASM: &str = "interface_version_";

impl Exports {
    /// Returns a key that identifies the functions.
    pub(super) fn key(&self) -> AllocatorKey {
        (self.alloc.func.id(), self.free.as_ref().map(|free| free.func.id()))
    }

    /// Finds the allocator that has one of the usual names.
    pub(super) fn find(core: &StoreCore, instance: Instance) -> Result<Self> {
        let (memory, is_64) = memory_of(core, instance)?;
        let mut found = Vec::new();
        for (alloc, free) in KNOWN {
            match Self::find_pair(core, instance, (memory, is_64), alloc, *free) {
                Ok(Some(exports)) => return Ok(exports),
                Ok(None) => {}
                Err(error) => found.push(format!("{error:#}")),
            }
        }
        let names: Vec<String> = KNOWN
            .iter()
            .map(|(alloc, free)| match free {
                Some(free) => format!("`{alloc}` with `{free}`"),
                None => format!("`{alloc}`"),
            })
            .collect();
        if found.is_empty() {
            found.push(exported_functions(core, instance));
        }
        bail!(
            "the guest exports no allocator: looked for {}; found {}. Export one: from C with `-Wl,--export=malloc \
             -Wl,--export=free`; from Rust with `#[unsafe(no_mangle)] extern \"C\" fn allocate(size: usize, align: usize) -> \
             *mut u8` over `std::alloc::alloc`, and a `deallocate(address, size, align)`; or name the guest's own functions: \
             GuestAlloc::named",
            names.join(", "),
            found.join("; ")
        )
    }

    /// Returns one of the usual allocators, if it is exported. An error says what was found instead of a usable
    /// allocator.
    fn find_pair(
        core: &StoreCore,
        instance: Instance,
        memory: (usize, bool),
        alloc: &str,
        free: Option<&str>,
    ) -> Result<Option<Self>> {
        let is_there = |name: &str| core.instance_export(instance.id(), name).is_some();
        if !is_there(alloc) {
            return Ok(None);
        }
        if let Some(free) = free.filter(|free| !is_there(free)) {
            bail!("`{alloc}` without `{free}` (export it too, or use it without: GuestAlloc::named)");
        }
        let module = core.instance_module(instance.id()).module();
        let is_contract =
            alloc == "allocate" && module.exports().iter().any(|e| e.name.starts_with(COSMWASM));
        ensure!(
            !is_contract,
            "`allocate` of a CosmWasm contract, which does not return memory but a descriptor of it"
        );
        Self::with_names(core, instance, memory, alloc, free).map(Some)
    }

    /// Returns the allocator that has these names.
    pub(super) fn named(
        core: &StoreCore,
        instance: Instance,
        alloc: &str,
        free: Option<&str>,
    ) -> Result<Self> {
        let exports = Self::with_names(core, instance, memory_of(core, instance)?, alloc, free);
        exports.context("this cannot be the guest's allocator")
    }

    fn with_names(
        core: &StoreCore,
        instance: Instance,
        (memory, is_64): (usize, bool),
        alloc: &str,
        free: Option<&str>,
    ) -> Result<Self> {
        let address = if is_64 { ValType::I64 } else { ValType::I32 };
        let func = exported(core, instance, alloc)?;
        let takes = alloc_takes(&core.func_type(func), address).with_context(|| {
            let ty = core.func_type(func);
            let alloc = OutsideText::new(alloc);
            format!(
                "`{alloc}` is a function of type {ty}, but an allocator has type ({address}) -> {address} for a size, \
                 ({address}, {address}) -> {address} for size and alignment, or that of cabi_realloc, with four parameters"
            )
        })?;
        let free = match free {
            Some(name) => Some(free_func(core, instance, name, address)?),
            None => None,
        };
        let alloc = AllocFunc { name: alloc.into(), func: Func::from_id(core.id(), func), takes };
        Ok(Self { memory, is_64, alloc, free })
    }
}

fn alloc_takes(ty: &FuncType, address: ValType) -> Option<AllocTakes> {
    let is_address = |ty: &ValType| *ty == address;
    if !(ty.results().len() == 1 && ty.results().iter().chain(ty.params()).all(is_address)) {
        return None;
    }
    match ty.params().len() {
        1 => Some(AllocTakes::Size),
        2 => Some(AllocTakes::SizeAlign),
        4 => Some(AllocTakes::Realloc),
        _ => None,
    }
}

fn free_func(core: &StoreCore, instance: Instance, name: &str, address: ValType) -> Result<FreeFunc> {
    let func = exported(core, instance, name)?;
    let ty = core.func_type(func);
    let params = ty.params().len();
    let shown = OutsideText::new(name);
    ensure!(
        (1..=3).contains(&params) && ty.params().iter().all(|ty| *ty == address),
        "`{shown}` is a function of type {ty}, but a freeing function takes an address, and optionally a size and an \
         alignment, each of type {address}"
    );
    Ok(FreeFunc {
        name: name.into(),
        func: Func::from_id(core.id(), func),
        params,
        results: ty.results().len(),
    })
}

fn exported(core: &StoreCore, instance: Instance, name: &str) -> Result<FuncRefId> {
    match core.instance_export(instance.id(), name) {
        Some(Entity::Func(func)) => Ok(func),
        Some(_) => bail!("the export `{}` is not a function", OutsideText::new(name)),
        None => bail!(no_function(core, instance, name)),
    }
}

/// Returns the memory that an instance's allocator manages, and whether its addresses have 64 bits.
fn memory_of(core: &StoreCore, instance: Instance) -> Result<(usize, bool)> {
    let memory = match (core.instance_export(instance.id(), "memory"), core.instance_memories(instance.id()))
    {
        (Some(Entity::Memory(memory)), _) => memory,
        (_, [only]) => *only as usize,
        (_, []) => bail!("the guest has no memory"),
        (_, many) => bail!("the guest has {} memories, but exports none of them as `memory`", many.len()),
    };
    ensure!(
        core.shared_memory(memory).is_none(),
        "the guest's memory is shared with other threads, so the host cannot own a part of it: call the guest's \
         allocator yourself, and use SharedMemory::write"
    );
    Ok((memory, core.memory_type(memory).is_64()))
}
