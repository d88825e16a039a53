//! What this crate keeps with a store, besides what the runtime does: parts, each of a type of its own.

use belljar_vm::{Quota, StoreCore, StoreId};
use std::any::Any;

/// A part of what is kept with a store.
pub(crate) trait StorePart: Any + Default + Send + Sync {
    /// Where it is found: each part has a slot of its own.
    const SLOT: Slot;

    /// Forgets what belongs to guests: the store was reset.
    fn reset(&mut self);

    /// The store has other limits.
    fn set_limits(&mut self, _quota: Option<&Quota>) {}
}

/// The slots of parts.
#[derive(Clone, Copy)]
pub(crate) enum Slot {
    GuestRanges,
    #[cfg(feature = "component-model")]
    Components,
}

/// The number of slots.
const SLOTS: usize = 2;

/// A part of any type, with what forgets what belongs to guests.
struct AnyPart {
    part: Box<dyn Any + Send + Sync>,
    reset: fn(&mut (dyn Any + Send + Sync)),
    set_limits: fn(&mut (dyn Any + Send + Sync), Option<&Quota>),
}

/// What a store keeps for this crate.
pub(crate) type Extension = Option<Box<dyn Any + Send + Sync>>;

struct Parts {
    store: StoreId,
    parts: [Option<AnyPart>; SLOTS],
}

/// Returns a part of what is kept with a store, if it ever was.
#[inline]
pub(crate) fn part<P: StorePart>(core: &StoreCore) -> Option<&P> {
    let parts: &Parts = core.extension()?.downcast_ref()?;
    parts.parts[P::SLOT as usize].as_ref()?.part.downcast_ref()
}

/// Returns a part of what is kept with a store.
#[inline]
pub(crate) fn part_mut<P: StorePart>(core: &mut StoreCore) -> &mut P {
    let store = core.id();
    part_in(core.extension_mut(), store)
}

/// Returns a part of the extension of a store with this id.
#[inline]
pub(crate) fn part_in<P: StorePart>(extension: &mut Extension, store: StoreId) -> &mut P {
    let extension =
        extension.get_or_insert_with(|| Box::new(Parts { store, parts: [const { None }; SLOTS] }));
    let all = extension.downcast_mut::<Parts>().expect("nothing else is kept");
    if all.store != store {
        all.forget(store);
    }
    let part = all.parts[P::SLOT as usize].get_or_insert_with(AnyPart::new::<P>);
    part.part.downcast_mut().expect("the part of this slot")
}

/// Returns a part of the extension of a store that was rewound and has the id `store` now, as it was when the store had the id
/// `before`. The other parts forget what belongs to guests.
#[cfg(feature = "component-model")]
pub(crate) fn part_since<P: StorePart>(
    extension: &mut Extension,
    store: StoreId,
    before: StoreId,
) -> Option<&mut P> {
    let parts: &mut Parts = extension.as_mut()?.downcast_mut()?;
    if parts.store != before {
        return None;
    }
    parts.store = store;
    for (slot, part) in parts.parts.iter_mut().enumerate() {
        if let Some(part) = part.as_mut().filter(|_| slot != P::SLOT as usize) {
            (part.reset)(&mut *part.part);
        }
    }
    parts.parts[P::SLOT as usize].as_mut()?.part.downcast_mut()
}

/// Tells all parts the limits of a store.
pub(crate) fn limits_changed(core: &mut StoreCore) {
    let mut extension = core.extension_mut().take();
    if let Some(parts) = extension.as_mut().and_then(|parts| parts.downcast_mut::<Parts>()) {
        let quota = core.quota();
        parts.parts.iter_mut().flatten().for_each(|part| (part.set_limits)(&mut *part.part, quota));
    }
    *core.extension_mut() = extension;
}

impl AnyPart {
    #[cold]
    fn new<P: StorePart>() -> Self {
        let reset = |part: &mut (dyn Any + Send + Sync)| {
            if let Some(part) = part.downcast_mut::<P>() {
                part.reset();
            }
        };
        let set_limits = |part: &mut (dyn Any + Send + Sync), quota: Option<&Quota>| {
            if let Some(part) = part.downcast_mut::<P>() {
                part.set_limits(quota);
            }
        };
        Self { part: Box::new(P::default()), reset, set_limits }
    }
}

impl Parts {
    /// Forgets what belongs to guests of a store that was reset, and has another id since.
    #[cold]
    fn forget(&mut self, store: StoreId) {
        self.store = store;
        self.parts.iter_mut().flatten().for_each(|part| (part.reset)(&mut *part.part));
    }
}
