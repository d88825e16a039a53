//! Host functions as stores keep them, and how stacks name them.

use crate::types::TypeSet;
use crate::vm_ptr::VmPtr;
use belljar_abi::{Builtin, FuncObject};
use belljar_core::{FuncType, TypeId};
use std::any::Any;
use std::sync::{Arc, OnceLock};

/// The name under which a host function is imported.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct HostName {
    /// The module that it is imported from.
    pub module: Arc<str>,
    /// Its name in that module.
    pub name: Arc<str>,
}

/// What a guest called outside of guest code.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum HostCallee {
    /// A function of the embedder, with its name if it has one.
    Function(Option<HostName>),
    /// A function of the runtime.
    Builtin(Builtin),
}

impl HostCallee {
    /// Decodes the callee that a stub noted ([`belljar_abi::StoreContext::exit_callee`]).
    ///
    /// # Safety
    ///
    /// A stub of a live store noted it, or it is odd.
    pub(crate) unsafe fn decode(callee: usize) -> Option<Self> {
        if callee == 0 {
            return None;
        }
        if callee % 2 == 1 {
            return Builtin::of_exit_callee(callee).map(Self::Builtin);
        }
        // SAFETY: the caller's promise: it is the address of a host function's object, which its store never changes,
        // and the store keeps the host function (HOST-DATA).
        let host = unsafe {
            let object = VmPtr::<FuncObject>::at(callee).as_ref();
            VmPtr::<HostFunc>::at(object.host_func).as_ref()
        };
        Some(Self::Function(host.name.get().cloned()))
    }
}

/// A host function that is not tied to a store. Any number of stores with data of its type may use it.
pub struct HostFunc {
    ty: FuncType,
    types: TypeSet,
    /// The number of its engine.
    engine: u32,
    /// The address of the native function that the exit stub calls.
    pub(crate) native: usize,
    /// Whether it takes its arguments in a buffer.
    pub(crate) buffered: bool,
    /// The `std::any::TypeId` of the data of the stores that it is for.
    pub(crate) store_type: std::any::TypeId,
    /// The name under which it is imported.
    pub(crate) name: OnceLock<HostName>,
    /// The address of the closure, inside `_closure`.
    pub(crate) data: usize,
    // Not a `Box`: moving one would invalidate the address of its contents that guest code holds ([`crate::vm_ptr`]).
    _closure: Arc<dyn Any + Send + Sync>,
}

impl std::fmt::Debug for HostFunc {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HostFunc").field("ty", &self.ty).finish_non_exhaustive()
    }
}

impl HostFunc {
    /// Creates a host function whose closure is called by the native function at the address `native`.
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

    /// Sets the name under which it is imported, if it has none yet.
    pub fn set_name(&self, module: &str, name: &str) {
        self.name.get_or_init(|| HostName { module: module.into(), name: name.into() });
    }

    /// Returns its type.
    pub fn ty(&self) -> &FuncType {
        &self.ty
    }

    /// Returns the canonical id of its type.
    pub(crate) fn sig(&self) -> TypeId {
        self.types.ids()[0]
    }

    /// Returns the number of the engine that it belongs to.
    pub(crate) fn engine(&self) -> u32 {
        self.engine
    }
}
