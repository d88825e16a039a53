//! A guest that is only memory: what is lowered into it can be lifted from it again. So values of one representation become
//! values of another one.

use crate::abi::{FlatSink, LiftContext, LiftHandles, LowerContext, LowerTarget};
use crate::plan::StringEncoding;
use crate::resource::{Passed, ResourceTypeId};
use crate::types::{AddressType, FuncType, ResourceIndex};
use belljar_core::{Context, Result};
use std::any::Any;

/// A guest that is only memory. Its handles are places in a list.
#[derive(Debug, Default)]
pub struct Scratch {
    memory: Vec<u8>,
    handles: ScratchHandles,
    /// The store's resource type of each of a component's.
    types: Vec<ResourceTypeId>,
}

/// The resources that were lowered and not lifted yet.
#[derive(Debug, Default)]
struct ScratchHandles(Vec<Option<Passed>>);

impl Scratch {
    /// Creates an empty one for values of a component whose resource types are these of the store.
    pub fn new(types: &[ResourceTypeId]) -> Self {
        Self { types: types.to_vec(), ..Self::default() }
    }

    /// Lifts values from it. `host` is what the host keeps of its handles.
    pub fn lifting<R>(&mut self, host: &mut dyn Any, lift: impl FnOnce(&mut LiftContext<'_>) -> R) -> R {
        let Self { memory, handles, .. } = self;
        let mut handles = OfHost { host, of: handles };
        let encoding = StringEncoding::Utf8;
        lift(&mut LiftContext::new(AddressType::I64, encoding, Some(memory), u64::MAX, &mut handles))
    }

    /// Lowers values into it. `host` is what the host keeps of its handles.
    pub fn lowering<R>(&mut self, host: &mut dyn Any, lower: impl FnOnce(&mut LowerContext<'_>) -> R) -> R {
        let mut target = OfHost { host, of: self };
        lower(&mut LowerContext::new(AddressType::I64, StringEncoding::Utf8, &mut target))
    }

    /// Lowers a result by `lower`, which gets the core values that say where the result belongs. Returns core values from
    /// which the result can be lifted.
    ///
    /// # Errors
    ///
    /// Returns the error of `lower`.
    pub fn with_result(
        &mut self,
        host: &mut dyn Any,
        ty: &FuncType,
        lower: impl FnOnce(&mut LowerContext<'_>, &[u64], &mut FlatSink) -> Result<()>,
    ) -> Result<FlatSink> {
        let place = match ty.result() {
            Some(result) if !ty.returns_flat(AddressType::I64) => {
                let layout = result.layout(AddressType::I64);
                Some(self.realloc(0, 0, layout.align, u64::from(layout.size))?)
            }
            _ => None,
        };
        let mut flat = FlatSink::default();
        self.lowering(host, |cx| lower(cx, place.as_slice(), &mut flat))?;
        if let Some(place) = place {
            flat = FlatSink::default();
            flat.push(place)?;
        }
        Ok(flat)
    }

    fn add(&mut self, passed: Passed) -> u32 {
        self.handles.0.push(Some(passed));
        self.handles.0.len() as u32
    }
}

impl ScratchHandles {
    fn get(&mut self, handle: u32) -> Result<Passed> {
        let place = (handle as usize).checked_sub(1).and_then(|at| self.0.get_mut(at));
        place.and_then(Option::take).context("belljar bug: a handle that was not entered")
    }
}

/// A part of a scratch guest, with what the host keeps of its handles.
struct OfHost<'a, T> {
    host: &'a mut dyn Any,
    of: &'a mut T,
}

impl LiftHandles for OfHost<'_, ScratchHandles> {
    fn lift_own(&mut self, _resource: ResourceIndex, handle: u32) -> Result<Passed> {
        self.of.get(handle)
    }

    fn lift_borrow(&mut self, _resource: ResourceIndex, handle: u32) -> Result<Passed> {
        self.of.get(handle)
    }

    fn host(&mut self) -> &mut dyn Any {
        self.host
    }
}

impl Scratch {
    fn realloc(&mut self, old: u64, old_size: u64, align: u32, size: u64) -> Result<u64> {
        let at = self.memory.len().next_multiple_of(align as usize);
        self.memory.resize(at + size as usize, 0);
        let (old, old_size) = (old as usize, old_size as usize);
        self.memory.copy_within(old..old + old_size.min(size as usize), at);
        Ok(at as u64)
    }
}

impl LowerTarget for OfHost<'_, Scratch> {
    fn memory(&mut self) -> Option<&mut [u8]> {
        Some(&mut self.of.memory)
    }

    fn realloc(&mut self, old: u64, old_size: u64, align: u32, size: u64) -> Result<u64> {
        self.of.realloc(old, old_size, align, size)
    }

    fn resource_type(&mut self, resource: ResourceIndex) -> Result<ResourceTypeId> {
        let ty = self.of.types.get(resource.0 as usize).copied();
        ty.context("belljar bug: a resource type that is not there")
    }

    fn lower_own(&mut self, _resource: ResourceIndex, passed: Passed) -> Result<u32> {
        Ok(self.of.add(passed))
    }

    fn lower_borrow(&mut self, _resource: ResourceIndex, passed: Passed) -> Result<u32> {
        Ok(self.of.add(passed))
    }

    fn host(&mut self) -> &mut dyn Any {
        self.host
    }
}
