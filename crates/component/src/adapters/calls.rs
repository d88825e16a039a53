//! The adapters themselves: what happens when one component calls another.
//!
//! ```text
//! may the caller leave? ─ lift parameters ─ lower them ─ call ─ lift the result ─ lower it ─ post-return
//! ```

use super::body::{Body, Callee, Place, Size, val_type};
use super::builder::{Builder, Flow, Helper, Side, SideId};
use super::checks::operands;
use super::import::AdapterImport;
use super::runtime::{RuntimeFunc, TrapCode};
use super::shape::Shape;
use crate::plan::{BuiltinIndex, CoreFunc, InstanceIndex, Options};
use crate::types::{AddressType, FlatType, FuncType};
use belljar_core::{Context, Result};
use wasm_encoder::{BlockType, Catch};

/// The flag of an instance that may not call the runtime: it allocates, or cleans up.
pub const MAY_NOT_LEAVE: i32 = 1;
/// The flag of an instance that is closed.
pub const CLOSED: i32 = 2;

/// A lowered function, and the lifted one that it calls.
pub(super) struct Pair<'p> {
    pub(super) builtin: BuiltinIndex,
    pub(super) name: &'p str,
    pub(super) ty: &'p FuncType,
    pub(super) lower: &'p Options,
    pub(super) caller: InstanceIndex,
    pub(super) lift: &'p Options,
    pub(super) callee: InstanceIndex,
    pub(super) func: &'p CoreFunc,
}

/// Returns the types of the parameters and results of a lowered function.
pub fn lowered_type(ty: &FuncType, address: AddressType) -> (Vec<FlatType>, Vec<FlatType>) {
    let mut params = ty.flat_params(address).map_or_else(|| vec![address.flat()], <[_]>::to_vec);
    match ty.flat_results(address) {
        Some(results) => (params, results.into_owned()),
        None => {
            params.push(address.flat());
            (params, Vec::new())
        }
    }
}

/// Returns the types of the parameters and results of a function that is lifted.
fn lifted_type(ty: &FuncType, address: AddressType) -> (Vec<FlatType>, Vec<FlatType>) {
    let params = ty.flat_params(address).map_or_else(|| vec![address.flat()], <[_]>::to_vec);
    let results = ty.flat_results(address).map_or_else(|| vec![address.flat()], |flat| flat.into_owned());
    (params, results)
}

impl<'p> Builder<'p> {
    /// Writes an adapter. `exceptions` tells whether core code can throw any.
    pub(super) fn write_adapter(
        &mut self,
        pair: &Pair<'p>,
        caller: SideId,
        callee: SideId,
        exceptions: bool,
    ) -> Result<()> {
        let (params, results) = lowered_type(pair.ty, self.side(caller).address);
        let index = self.adapter(pair.builtin, pair.name, &params, &results);
        let mut b = Body::new(params.len());
        if exceptions {
            let ty = match results.first() {
                Some(result) => BlockType::Result(val_type(*result)),
                None => BlockType::Empty,
            };
            b.ins().block(BlockType::Empty).try_table(ty, [Catch::All { label: 0 }]);
            self.write_call(&mut b, pair, caller, callee)?;
            b.ins().end().return_().end();
            self.trap(&mut b, TrapCode::Exception, |b| {
                b.ins().i64_const(0).i64_const(0).i64_const(0);
            });
        } else {
            self.write_call(&mut b, pair, caller, callee)?;
        }
        self.set_body(index, b)
    }

    fn write_call(&mut self, b: &mut Body, pair: &Pair<'p>, caller: SideId, callee: SideId) -> Result<()> {
        let (source, target) = (self.side(caller), self.side(callee));
        let refuse = self.runtime(RuntimeFunc::Refuse(source.instance));
        b.ins().global_get(source.flags).if_(BlockType::Empty);
        b.call(refuse);
        b.ins().unreachable().end();
        let lends = self.facts(Shape::Fields(pair.ty.param_tuple())).has_borrow;
        let begins = lends || target.keeps;
        if begins {
            let begin = self.runtime(RuntimeFunc::BeginCall);
            b.call(begin);
        }
        self.pass_params(b, pair, caller, callee)?;
        let (params, results) = lifted_type(pair.ty, target.address);
        let func = self.import_func(AdapterImport::Func(pair.func.clone()), &params, &results);
        b.call(Callee::Imported(func));
        let returned = results.first().map(|ty| b.keep(*ty));
        let result = self.pass_result(b, pair, caller, callee, returned, lends)?;
        if let Some(post_return) = &pair.lift.post_return {
            let func = self.import_func(AdapterImport::Func(post_return.clone()), &results, &[]);
            self.confined(b, target, |_, b| {
                if let Some(returned) = returned {
                    b.ins().local_get(returned);
                }
                b.call(Callee::Imported(func));
                Ok(())
            })?;
        }
        if begins {
            let end = self.runtime(RuntimeFunc::EndCall);
            b.call(end);
        }
        if let Some(result) = result {
            b.ins().local_get(result);
        }
        Ok(())
    }

    /// Writes code during which an instance must not call the runtime.
    fn confined(
        &mut self,
        b: &mut Body,
        side: Side,
        code: impl FnOnce(&mut Self, &mut Body) -> Result<()>,
    ) -> Result<()> {
        let before = b.local(FlatType::I32);
        b.ins().global_get(side.flags).local_set(before);
        b.ins().i32_const(MAY_NOT_LEAVE).global_set(side.flags);
        code(self, b)?;
        b.ins().local_get(before).global_set(side.flags);
        Ok(())
    }

    /// Writes code that lowers values into an instance. Its allocator is confined, and nothing else of it runs meanwhile.
    fn lowering(
        &mut self,
        b: &mut Body,
        to: SideId,
        allocates: bool,
        code: impl FnOnce(&mut Self, &mut Body) -> Result<()>,
    ) -> Result<()> {
        match allocates {
            true => self.confined(b, self.side(to), code),
            false => code(self, b),
        }
    }

    /// Lifts and lowers the parameters. Pushes those of the callee.
    fn pass_params(&mut self, b: &mut Body, pair: &Pair<'p>, caller: SideId, callee: SideId) -> Result<()> {
        let flow = Flow { from: caller, to: callee };
        let (source, target) = (self.side(caller).address, self.side(callee).address);
        let shape = Shape::Fields(pair.ty.param_tuple());
        match (pair.ty.flat_params(source), pair.ty.flat_params(target)) {
            (Some(from), Some(to)) => {
                let from = operands(0, from);
                let first = to.iter().map(|ty| b.local(*ty)).collect::<Vec<_>>();
                let to = operands(first.first().copied().unwrap_or_default(), to);
                self.check_flat(b, caller, shape, &from)?;
                let allocates = self.facts(shape).allocates;
                self.lowering(b, callee, allocates, |this, b| this.copy_flat(b, flow, shape, &from, &to))?;
                for operand in to {
                    b.ins().local_get(operand.local);
                }
            }
            _ => {
                let from = self.place(caller, 0)?;
                self.check_place(b, caller, shape, 0)?;
                self.check_memory(b, caller, shape, from)?;
                let layout = shape.layout(target);
                let at = b.local(target.flat());
                let to = self.place(callee, at)?;
                self.lowering(b, callee, true, |this, b| {
                    for number in [0, 0, layout.align, layout.size] {
                        b.address(target, u64::from(number));
                    }
                    let realloc = this.helper(Helper::Realloc(callee));
                    b.call(realloc);
                    b.ins().local_set(at);
                    this.copy_memory(b, flow, shape, from, to)
                })?;
                b.ins().local_get(at);
            }
        }
        Ok(())
    }

    /// Lifts and lowers the result, which the callee has returned in a local, or at the address there. Returns the local
    /// with what the caller gets.
    fn pass_result(
        &mut self,
        b: &mut Body,
        pair: &Pair<'p>,
        caller: SideId,
        callee: SideId,
        returned: Option<u32>,
        lends: bool,
    ) -> Result<Option<u32>> {
        let flow = Flow { from: callee, to: caller };
        let (source, target) = (self.side(callee).address, self.side(caller).address);
        let shape = pair.ty.result().map(Shape::Type);
        let flat = pair.ty.flat_results(source).zip(pair.ty.flat_results(target));
        let from = match (shape, &flat, returned) {
            (Some(shape), Some((from, _)), _) => {
                let from = operands(returned.unwrap_or_default(), from);
                self.check_flat(b, callee, shape, &from)?;
                Some((from, None::<Place>))
            }
            (Some(shape), None, Some(at)) => {
                let from = self.place(callee, at)?;
                self.check_place(b, callee, shape, at)?;
                self.check_memory(b, callee, shape, from)?;
                Some((Vec::new(), Some(from)))
            }
            _ => None,
        };
        if lends {
            let check = self.runtime(RuntimeFunc::CheckBorrows);
            b.call(check);
        }
        let (Some(shape), Some((values, place))) = (shape, from) else { return Ok(None) };
        let allocates = self.facts(shape).allocates;
        match (flat, place) {
            (Some((_, to)), _) => {
                let Some(ty) = to.first() else { return Ok(None) };
                let local = b.local(*ty);
                let to = operands(local, &to);
                self.lowering(b, caller, allocates, |this, b| this.copy_flat(b, flow, shape, &values, &to))?;
                Ok(Some(local))
            }
            (None, Some(from)) => {
                let at = lowered_type(pair.ty, target).0.len() as u32 - 1;
                self.check_place(b, caller, shape, at)?;
                let to = self.place(caller, at)?;
                self.lowering(b, caller, allocates, |this, b| this.copy_memory(b, flow, shape, from, to))?;
                Ok(None)
            }
            (None, None) => Ok(None),
        }
    }

    fn realloc_body(&mut self, b: &mut Body, id: SideId) -> Result<()> {
        let side = self.side(id);
        let realloc = side.realloc.context("belljar bug: a value needs an allocator, and there is none")?;
        let at = b.local(side.address.flat());
        // The allocator does not see what the call keeps.
        let call =
            side.keeps.then(|| [self.runtime(RuntimeFunc::BeginCall), self.runtime(RuntimeFunc::EndCall)]);
        if let Some([begin, _]) = call {
            b.call(begin);
        }
        b.ins().local_get(0).local_get(1).local_get(2).local_get(3);
        b.call(Callee::Imported(realloc));
        b.ins().local_set(at);
        if let Some([_, end]) = call {
            b.call(end);
        }
        // The code is short enough to be inlined in loops: what traps is elsewhere.
        self.is_outside(b, id, at, Size::Local(3))?;
        b.is_unaligned(side.address, at, Size::Local(2));
        b.ins().i32_or().if_(BlockType::Empty);
        b.ins().local_get(at).local_get(2).local_get(3);
        let bad = self.helper(Helper::BadRealloc(id));
        b.call(bad);
        b.ins().unreachable().end();
        b.ins().local_get(at);
        Ok(())
    }

    fn bad_realloc_body(&mut self, b: &mut Body, id: SideId) -> Result<()> {
        self.check_range(b, id, 0, Size::Local(2), TrapCode::AllocatedOutOfBounds)?;
        self.check_aligned(b, self.side(id).address, 0, Size::Local(1), TrapCode::AllocatedUnaligned);
        b.ins().unreachable();
        Ok(())
    }

    /// Writes the helpers that were asked for, and those that they ask for.
    pub(super) fn write_helpers(&mut self) -> Result<()> {
        while let Some((index, helper)) = self.wanted.pop() {
            let mut b = Body::new(self.type_of(helper).0.len());
            match helper {
                Helper::CheckText(side) => self.check_text_body(&mut b, side)?,
                Helper::CheckList { side, element, is_map } => {
                    self.check_list_body(&mut b, side, element, is_map)?;
                }
                Helper::CheckMemory(side, shape) => self.check_memory_body(&mut b, side, shape)?,
                Helper::CheckFlat(side, shape) => self.check_flat_body(&mut b, side, shape)?,
                Helper::CopyText(flow) => self.copy_text_body(&mut b, flow)?,
                Helper::CopyList(flow, element) => self.copy_list_body(&mut b, flow, element)?,
                Helper::CopyMemory(flow, shape) => self.copy_memory_body(&mut b, flow, shape)?,
                Helper::CopyFlat(flow, shape) => self.copy_flat_body(&mut b, flow, shape)?,
                Helper::Realloc(side) => self.realloc_body(&mut b, side)?,
                Helper::BadRealloc(side) => self.bad_realloc_body(&mut b, side)?,
                Helper::IsShortAscii(side) => self.is_short_ascii_body(&mut b, side)?,
            }
            self.set_body(index, b)?;
        }
        Ok(())
    }
}
