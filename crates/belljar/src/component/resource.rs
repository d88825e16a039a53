//! Resources, as the host holds them.

use crate::Result;
use belljar_component::abi::{FlatSink, FlatValues, LiftContext, LowerContext};
use belljar_component::typed::{ComponentType, HostTypes, Lift, Lower};
use belljar_component::types::Type;
use belljar_component::{Passed, ResourceTypeId};
use belljar_core::{bail, ensure};
use belljar_vm::StoreId;
use std::any::{TypeId as RustType, type_name};
use std::fmt;
use std::marker::PhantomData;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// A type of resources: one that the host defines, or one that an instance of a component does.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ResourceType(pub(crate) Kind);

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    /// Defined by the host: each Rust type stands for one.
    Host(RustType, &'static str),
    /// Defined by the host, with a number.
    Dynamic(u32),
    /// Defined by an instance, in a store.
    Guest(StoreId, ResourceTypeId),
}

impl ResourceType {
    /// Returns the resource type of the host that a Rust type stands for.
    pub fn host<T: 'static>() -> Self {
        Self(Kind::Host(RustType::of::<T>(), type_name::<T>()))
    }

    /// Returns a resource type of the host that has a number instead of a Rust type.
    pub fn host_dynamic(payload: u32) -> Self {
        Self(Kind::Dynamic(payload))
    }
}

impl fmt::Debug for ResourceType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Kind::Host(_, name) => write!(f, "ResourceType({name})"),
            Kind::Dynamic(payload) => write!(f, "ResourceType({payload})"),
            Kind::Guest(_, ty) => write!(f, "ResourceType(of a guest, {})", ty.0),
        }
    }
}

/// A handle of any type to a resource.
///
/// It is a number that one store knows. Passing an owned handle to a guest gives the resource away: using it again is an
/// error. So is using a borrowed handle after its call has ended. An owned handle that is not passed on has to be dropped
/// by [`ResourceAny::resource_drop`]; otherwise its destructor never runs.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct ResourceAny {
    pub(crate) store: StoreId,
    pub(crate) number: u32,
    pub(crate) generation: u32,
    pub(crate) ty: ResourceType,
    pub(crate) owned: bool,
}

impl ResourceAny {
    /// Returns its type.
    pub fn ty(&self) -> ResourceType {
        self.ty
    }

    /// Returns whether it owns the resource; otherwise it is borrowed for a call.
    pub fn owned(&self) -> bool {
        self.owned
    }
}

/// A resource of the host's whose type the Rust type `T` stands for: a number that stands for it, owned or borrowed.
///
/// An owned one can be passed to one owner: passing it again is an error.
pub struct Resource<T> {
    rep: u32,
    owned: bool,
    /// Whether it was given to a guest.
    gone: AtomicBool,
    of: PhantomData<fn() -> T>,
}

impl<T> fmt::Debug for Resource<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resource").field("rep", &self.rep).field("owned", &self.owned).finish()
    }
}

impl<T: 'static> Resource<T> {
    pub(super) fn new(rep: u32, owned: bool) -> Self {
        Self { rep, owned, gone: AtomicBool::new(false), of: PhantomData }
    }

    /// Creates an owned resource that `rep` stands for.
    pub fn new_own(rep: u32) -> Self {
        Self::new(rep, true)
    }

    /// Creates a borrowed resource that `rep` stands for.
    pub fn new_borrow(rep: u32) -> Self {
        Self::new(rep, false)
    }

    /// Returns what stands for the resource.
    pub fn rep(&self) -> u32 {
        self.rep
    }

    /// Returns whether it is owned.
    pub fn owned(&self) -> bool {
        self.owned
    }
}

impl<T: 'static> ComponentType for Resource<T> {
    fn check(ty: &Type, types: &dyn HostTypes) -> Result<()> {
        match ty {
            Type::Own(resource) | Type::Borrow(resource) if types.is_host(*resource, RustType::of::<T>()) => {
                Ok(())
            }
            Type::Own(_) | Type::Borrow(_) => {
                bail!("expected a resource of the host's type {}", type_name::<T>())
            }
            _ => bail!("expected a resource, found {ty}"),
        }
    }
}

impl<T: 'static> Resource<T> {
    fn lift_handle(cx: &mut LiftContext<'_>, ty: &Type, handle: u32) -> Result<Self> {
        let passed = match ty {
            Type::Own(resource) => cx.lift_own(*resource, handle)?,
            Type::Borrow(resource) => cx.lift_borrow(*resource, handle)?,
            _ => bail!("expected a resource, found {ty}"),
        };
        Ok(Self::new(passed.rep, passed.owned))
    }

    fn lower_handle(&self, cx: &mut LowerContext<'_>, ty: &Type) -> Result<u32> {
        ensure!(!self.gone.load(Relaxed), "the resource was passed on before");
        match ty {
            Type::Own(resource) => {
                ensure!(self.owned, "a borrowed resource was passed to a function that takes an owned one");
                let ty = cx.resource_type(*resource)?;
                let handle = cx.lower_own(*resource, Passed { ty, rep: self.rep, owned: true })?;
                self.gone.store(true, Relaxed);
                Ok(handle)
            }
            Type::Borrow(resource) => {
                let ty = cx.resource_type(*resource)?;
                cx.lower_borrow(*resource, Passed { ty, rep: self.rep, owned: false })
            }
            _ => bail!("expected a resource, found {ty}"),
        }
    }
}

impl<T: 'static> Lift for Resource<T> {
    fn lift(cx: &mut LiftContext<'_>, ty: &Type, flat: &mut FlatValues<'_>) -> Result<Self> {
        Self::lift_handle(cx, ty, flat.next()? as u32)
    }

    fn load(cx: &mut LiftContext<'_>, ty: &Type, at: u64) -> Result<Self> {
        let handle = u32::load(cx, ty, at)?;
        Self::lift_handle(cx, ty, handle)
    }
}

impl<T: 'static> Lower for Resource<T> {
    fn lower(&self, cx: &mut LowerContext<'_>, ty: &Type, flat: &mut FlatSink) -> Result<()> {
        flat.push(u64::from(self.lower_handle(cx, ty)?))
    }

    fn store(&self, cx: &mut LowerContext<'_>, ty: &Type, at: u64) -> Result<()> {
        self.lower_handle(cx, ty)?.store(cx, ty, at)
    }
}
