//! Host functions as stores keep them, and how stacks name them.

use crate::types::TypeSet;
use crate::vm_ptr::VmPtr;
use belljar_abi::{Builtin, FuncObject};
use belljar_core::{FuncType, TypeId};
use std::any::Any;
use std::sync::{Arc, OnceLock};

/// What a host function is called by those who import it.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct HostName {
    /// The name of the module that it is imported from.
    pub module: Arc<str>,
    /// The name that it has there.
    pub name: Arc<str>,
}

/// What a guest called that is no guest code.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum HostCallee {
    /// A function of the embedder's, and its name if it has one.
    Function(Option<HostName>),
    /// A function of the runtime.
    Builtin(Builtin),
}

impl HostCallee {
    /// The callee that a stub noted ([`belljar_abi::StoreContext::exit_callee`]).
    ///
    /// # Safety
    ///
    /// A stub of a store that is alive noted it, or it is odd.
    pub(crate) unsafe fn noted(callee: usize) -> Option<Self> {
        if callee == 0 {
            return None;
        }
        if callee % 2 == 1 {
            return Builtin::of_exit_callee(callee).map(Self::Builtin);
        }
        // SAFETY: the caller's promise: it is the address of a host function's object, which its store never changes, and the
        // store keeps the host function (HOST-DATA).
        let host = unsafe {
            let object = VmPtr::<FuncObject>::at(callee).as_ref();
            VmPtr::<HostFunc>::at(object.host_func).as_ref()
        };
        Some(Self::Function(host.name.get().cloned()))
    }
}

/// A host function, not yet in a store. Any number of stores with data of its type may use it.
pub struct HostFunc {
    ty: FuncType,
    types: TypeSet,
    /// The number of its engine.
    engine: u32,
    /// Address of the native function that the exit stub calls.
    pub(crate) native: usize,
    /// Whether it takes its arguments in a buffer.
    pub(crate) buffered: bool,
    /// `std::any::TypeId` of the data of the stores that it is for.
    pub(crate) store_type: std::any::TypeId,
    /// What it is called by those who import it.
    pub(crate) name: OnceLock<HostName>,
    /// Address of the closure, inside `_closure`.
    pub(crate) data: usize,
    // Not a `Box`: moving one would invalidate the address that guest code has of its contents ([`crate::vm_ptr`]).
    _closure: Arc<dyn Any + Send + Sync>,
}

impl std::fmt::Debug for HostFunc {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HostFunc").field("ty", &self.ty).finish_non_exhaustive()
    }
}

impl HostFunc {
    /// A host function whose closure the native function at the address `native` calls.
    pub(crate) fn new<D: Send + Sync + 'static>(
        engine: u32,
        types: TypeSet,
        ty: FuncType,
        native: usize,
        buffered: bool,
        store_type: std::any::TypeId,
        closure: D,
    ) -> Arc<Self> {
        let closure = Arc::new(closure);
        let data = VmPtr::expose(Arc::as_ptr(&closure)).address();
        Arc::new(Self {
            ty,
            types,
            engine,
            native,
            buffered,
            store_type,
            name: OnceLock::new(),
            data,
            _closure: closure,
        })
    }

    /// Says what it is called by those who import it, if nobody has yet.
    pub fn set_name(&self, module: &str, name: &str) {
        self.name.get_or_init(|| HostName { module: module.into(), name: name.into() });
    }

    /// Its type.
    pub fn ty(&self) -> &FuncType {
        &self.ty
    }

    /// The canonical id of its type.
    pub(crate) fn sig(&self) -> TypeId {
        self.types.ids()[0]
    }

    /// The number of the engine that it belongs to.
    pub(crate) fn engine(&self) -> u32 {
        self.engine
    }
}
