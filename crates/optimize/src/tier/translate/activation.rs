//! Activations: the bodies being translated, which are the function's own and those of inlined callees.

use super::state::{Activation, CallPosition, Frame, RefInfo};
use super::translator::Translator;
use crate::tier::failure::Failure;
use crate::tier::signature::{parsed_type, value_type};
use belljar_abi::SourcePos;
use belljar_core::{DefinedFuncIndex, ValType};
use cranelift_codegen::ir::{SourceLoc, Type, types};
use cranelift_frontend::Variable;
use wasmparser::OperatorsReader;

/// The class of variables that the collector must trace.
const TRACED: u8 = 5;

fn class(ty: Type, traced: bool) -> u8 {
    match ty {
        _ if traced => TRACED,
        types::I32 => 0,
        types::I64 => 1,
        types::F32 => 2,
        types::F64 => 3,
        _ => 4,
    }
}

fn known(ty: ValType) -> RefInfo {
    match ty {
        ValType::Ref(ty) => RefInfo::of(ty),
        _ => RefInfo::UNKNOWN,
    }
}

impl<'a> Translator<'a> {
    pub(super) fn local(&self, index: u32) -> Variable {
        let first = self.activations[self.activations.len() - 1].first_local;
        self.s.locals[first + index as usize]
    }

    /// Returns the position of the call that the innermost body returns to.
    pub(super) fn returns_to(&self) -> SourcePos {
        match self.activations.as_slice() {
            [] | [_] => SourcePos::NONE,
            [.., innermost] => innermost.call,
        }
    }

    /// Starts translating a function's body. Its arguments are the topmost values of the stack.
    pub(super) fn enter(
        &mut self,
        func: DefinedFuncIndex,
        call_position: CallPosition,
    ) -> Result<(), Failure> {
        let index = self.module.func_index(func);
        let first_local = self.s.locals.len();
        let params = self.module.func_type(index).params();
        let height = self.s.stack.len() - params.len();
        for (i, ty) in params.iter().enumerate() {
            let value = self.s.stack[height + i];
            let value = self.canonical(value);
            self.s.local_infos.push(known(*ty));
            if self.frame_locals.is_some() {
                self.store_local(i, value);
                continue;
            }
            let traced = self.is_traced(*ty);
            let variable = self.declare_local(value_type(*ty), traced);
            self.b.def_var(variable, value);
        }
        self.s.stack.truncate(height);
        let header = self.module.facts(func).tail_calls_itself.then(|| self.start_tail_loop());
        let reader = self.read_locals(func, params.len())?;
        let results = self.module.type_of_func(index);
        let handler = match call_position {
            CallPosition::NonTail => self.handler(),
            // A tail call leaves the caller's handlers.
            CallPosition::Tail | CallPosition::TailOfInlined => self.body_handler(),
        };
        self.s.control.push(Frame::body(results, height, handler));
        let frame = self.s.control.len() - 1;
        let call = match call_position {
            CallPosition::NonTail => self.position,
            CallPosition::Tail | CallPosition::TailOfInlined => self.returns_to(),
        };
        self.activations.push(Activation { reader, func, call, first_local, frame, header, call_position });
        if header.is_some() || self.activations.len() == 1 {
            self.check_limits();
        }
        Ok(())
    }

    fn read_locals(&mut self, func: DefinedFuncIndex, params: usize) -> Result<OperatorsReader<'a>, Failure> {
        let mut locals = self.plan.body(func).get_locals_reader()?;
        self.clear_frame_locals(params);
        for _ in 0..locals.get_count() {
            let (count, ty) = locals.read()?;
            let traced = self.is_parsed_traced(ty);
            let known = belljar_module::val_type(ty).map_or(RefInfo::UNKNOWN, known);
            self.s.local_infos.extend(std::iter::repeat_n(known, count as usize));
            if self.frame_locals.is_some() {
                continue;
            }
            let ty = parsed_type(ty);
            let zero = self.zero(ty);
            for _ in 0..count {
                let variable = self.declare_local(ty, traced);
                self.b.def_var(variable, zero);
            }
        }
        let memory = self.s.parsers.pop().unwrap_or_default();
        Ok(OperatorsReader::new_with_allocs(locals.get_binary_reader(), memory))
    }

    /// Returns the number of parameters and locals of a function.
    pub(super) fn local_count(&self, func: DefinedFuncIndex) -> Result<usize, Failure> {
        let mut count = self.module.func_type(self.module.func_index(func)).params().len();
        for declared in self.plan.body(func).get_locals_reader()? {
            count += declared?.0 as usize;
        }
        Ok(count)
    }

    fn declare_local(&mut self, ty: Type, traced: bool) -> Variable {
        let class = class(ty, traced);
        let free = self.s.pool.free[class as usize].pop();
        let variable = free.unwrap_or_else(|| {
            let variable = self.b.declare_var(ty);
            if traced {
                self.b.declare_var_needs_stack_map(variable);
            }
            variable
        });
        self.s.locals.push(variable);
        self.s.pool.types.push(class);
        variable
    }

    /// Ends the innermost body. Returns the position of the call that it replaced.
    pub(super) fn leave(&mut self) -> CallPosition {
        let Some(activation) = self.activations.pop() else { return CallPosition::Tail };
        if let Some(header) = activation.header {
            self.end_tail_loop(header);
        }
        self.s.local_infos.truncate(activation.first_local);
        let pool = &mut self.s.pool;
        for (variable, class) in
            self.s.locals.drain(activation.first_local..).zip(pool.types.drain(activation.first_local..))
        {
            pool.free[class as usize].push(variable);
        }
        self.s.parsers.push(activation.reader.into_allocations());
        self.position = activation.call;
        self.b.set_srcloc(SourceLoc::new(self.position.0));
        activation.call_position
    }

    /// Returns whether the innermost body is an inlined callee's.
    pub(super) fn is_inlined(&self) -> bool {
        self.activations.len() > 1
    }
}
