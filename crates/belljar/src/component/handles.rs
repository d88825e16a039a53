//! The tables of handles: one for each instance of a component, and one for the host.
//!
//! In: resources that are passed. Out: their handles, which are small numbers that are meaningless elsewhere, and what
//! they stand for. Never: a handle that outlives what it lends. What is wrong is an error that says so.

use crate::{Limit, LimitExceeded};
use belljar_component::{Passed, ResourceTypeId};
use belljar_core::{Result, ensure, format_err};

/// A handle of a table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Handle {
    ty: ResourceTypeId,
    rep: u32,
    /// The call that it is borrowed for; `None` if it is owned.
    borrowed_for: Option<u64>,
    /// How often it is lent to calls that have not ended.
    lends: u32,
}

/// The largest number of handles of a table.
const MAX_HANDLES: usize = (1 << 28) - 1;

/// The slots for which memory is kept when a table is rewound.
const KEPT_SLOTS: usize = 256;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Slot {
    handle: Option<Handle>,
    /// How often the slot was reused.
    generation: u32,
}

/// The slots of all tables of a store together. A slot stays when its handle goes, so a table never has more than its handles
/// needed at once.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Room {
    used: u64,
    pub(super) limit: Option<u64>,
}

impl Room {
    /// Returns the room without a table.
    pub(super) fn without(&self, table: &Handles) -> Self {
        Self { used: self.used - table.slots.len() as u64, limit: self.limit }
    }

    /// Returns the room of a store that has so many slots.
    pub(super) fn of(used: u64) -> Self {
        Self { used, limit: None }
    }

    pub(super) fn used(&self) -> u64 {
        self.used
    }

    /// Uses as much as another one.
    pub(super) fn use_like(&mut self, other: &Self) {
        self.used = other.used;
    }

    /// Takes room for one more.
    ///
    /// # Errors
    ///
    /// Returns an error if the store's limit is reached.
    fn take(&mut self) -> Result<()> {
        let wanted = self.used + 1;
        if let Some(limit) = self.limit.filter(|limit| wanted > *limit) {
            return Err(LimitExceeded::new(Limit::Handles, Some(wanted), limit).into());
        }
        self.used = wanted;
        Ok(())
    }
}

/// A table of handles.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Handles {
    /// The handle with number 1 comes first: 0 is no handle.
    slots: Vec<Slot>,
    /// Free slots. The one that was freed last is used next.
    free: Vec<u32>,
}

impl Handles {
    /// Adds a handle, borrowed for a call or owned. Returns its number. `room` is what the store has room for.
    ///
    /// # Errors
    ///
    /// Returns an error if there are too many.
    pub(crate) fn add(&mut self, passed: Passed, borrowed_for: Option<u64>, room: &mut Room) -> Result<u32> {
        let handle = Handle { ty: passed.ty, rep: passed.rep, borrowed_for, lends: 0 };
        if let Some(number) = self.free.pop() {
            let slot = &mut self.slots[number as usize - 1];
            slot.handle = Some(handle);
            slot.generation = slot.generation.wrapping_add(1);
            return Ok(number);
        }
        ensure!(self.slots.len() < MAX_HANDLES, "the table of handles is full: it has {MAX_HANDLES}");
        room.take()?;
        self.slots.push(Slot { handle: Some(handle), generation: 0 });
        Ok(self.slots.len() as u32)
    }

    /// Returns the table to the state of an earlier copy of it.
    pub(super) fn rewind(&mut self, to: &Self) {
        let Self { slots, free } = self;
        slots.clear();
        free.clear();
        // A guest that had many leaves no memory behind.
        slots.shrink_to(KEPT_SLOTS.max(to.slots.len()));
        free.shrink_to(KEPT_SLOTS.max(to.free.len()));
        slots.extend_from_slice(&to.slots);
        free.extend_from_slice(&to.free);
    }

    /// Writes a table of owned handles, none of which is lent, as numbers.
    pub(super) fn write(&self, words: &mut Vec<u64>) {
        words.push(self.slots.len() as u64);
        for Slot { handle, generation } in &self.slots {
            words.push(u64::from(*generation));
            words.extend(match handle {
                Some(handle) => [u64::from(handle.ty.0) + 1, u64::from(handle.rep)],
                None => [0, 0],
            });
        }
        words.extend(self.free.iter().map(|number| u64::from(*number)));
    }

    /// Reads the numbers of [`Handles::write`], with types below `types`; `None` if they are others.
    pub(super) fn read(words: &mut impl Iterator<Item = u64>, types: usize) -> Option<Self> {
        let mut slots = Vec::new();
        for _ in 0..words.next()? {
            let generation = u32::try_from(words.next()?).ok()?;
            let (ty, rep) = (words.next()?, u32::try_from(words.next()?).ok()?);
            let handle = match ty.checked_sub(1) {
                Some(ty) if ty < types as u64 => {
                    Some(Handle { ty: ResourceTypeId(ty as u32), rep, borrowed_for: None, lends: 0 })
                }
                Some(_) => return None,
                None => None,
            };
            slots.push(Slot { handle, generation });
        }
        // Each vacant slot is free once.
        let mut is_vacant = slots.iter().map(|slot| slot.handle.is_none()).collect::<Vec<_>>();
        let vacant = is_vacant.iter().filter(|is_vacant| **is_vacant).count();
        let mut free = Vec::with_capacity(vacant);
        for _ in 0..vacant {
            let number = u32::try_from(words.next()?).ok()?;
            let place = is_vacant.get_mut((number as usize).checked_sub(1)?)?;
            if !std::mem::take(place) {
                return None;
            }
            free.push(number);
        }
        Some(Self { slots, free })
    }

    /// Returns the types of the handles.
    pub(super) fn types(&self) -> impl Iterator<Item = ResourceTypeId> {
        self.slots.iter().filter_map(|slot| slot.handle.map(|handle| handle.ty))
    }

    fn get(&mut self, number: u32, ty: ResourceTypeId) -> Result<&mut Handle> {
        let handle = self.any(number)?;
        ensure!(handle.ty == ty, "handle index {number} used with the wrong type");
        Ok(handle)
    }

    fn any(&mut self, number: u32) -> Result<&mut Handle> {
        let slot = (number as usize).checked_sub(1).and_then(|at| self.slots.get_mut(at));
        slot.and_then(|slot| slot.handle.as_mut()).ok_or_else(|| format_err!("unknown handle index {number}"))
    }

    /// Returns the generation of a handle, which tells it from others with the same number.
    pub(crate) fn generation(&self, number: u32) -> Option<u32> {
        let slot = self.slots.get((number as usize).checked_sub(1)?)?;
        slot.handle.map(|_| slot.generation)
    }

    fn remove(&mut self, number: u32) {
        self.slots[number as usize - 1].handle = None;
        self.free.push(number);
    }

    /// Returns what a handle stands for.
    ///
    /// # Errors
    ///
    /// Returns an error if there is no such handle of this type.
    pub(crate) fn rep(&mut self, number: u32, ty: ResourceTypeId) -> Result<u32> {
        self.get(number, ty).map(|handle| handle.rep)
    }

    /// Returns the type of a handle, and whether it is owned.
    ///
    /// # Errors
    ///
    /// Returns an error if there is no such handle.
    pub(crate) fn type_of(&mut self, number: u32) -> Result<(ResourceTypeId, bool)> {
        self.any(number).map(|handle| (handle.ty, handle.borrowed_for.is_none()))
    }

    /// Takes an owned handle out.
    ///
    /// # Errors
    ///
    /// Returns an error if there is no such handle of this type, or it is borrowed or lent.
    pub(crate) fn take_own(&mut self, number: u32, ty: ResourceTypeId) -> Result<Passed> {
        let handle = *self.get(number, ty)?;
        ensure!(handle.lends == 0, "cannot remove owned resource while borrowed");
        ensure!(handle.borrowed_for.is_none(), "cannot lift own resource from a borrow");
        self.remove(number);
        Ok(Passed { ty, rep: handle.rep, owned: true })
    }

    /// Lends a handle to a call, which gives it back by [`Handles::give_back`].
    ///
    /// # Errors
    ///
    /// Returns an error if there is no such handle of this type.
    pub(crate) fn lend(&mut self, number: u32, ty: ResourceTypeId) -> Result<Passed> {
        let handle = self.get(number, ty)?;
        handle.lends += 1;
        Ok(Passed { ty, rep: handle.rep, owned: false })
    }

    /// Records that a call to which a handle was lent has ended.
    pub(crate) fn give_back(&mut self, number: u32) {
        if let Ok(handle) = self.any(number) {
            handle.lends = handle.lends.saturating_sub(1);
        }
    }

    /// Removes a handle, if it is still there, without an end of its resource.
    pub(crate) fn forget(&mut self, number: u32, generation: u32) {
        if self.generation(number) == Some(generation) {
            self.remove(number);
        }
    }

    /// Removes a handle. Returns the resource, and the call that it was borrowed for, if it was.
    ///
    /// # Errors
    ///
    /// Returns an error if there is no such handle of this type, or it is lent.
    pub(crate) fn drop_handle(&mut self, number: u32, ty: ResourceTypeId) -> Result<(Passed, Option<u64>)> {
        let handle = *self.get(number, ty)?;
        ensure!(handle.lends == 0, "cannot remove owned resource while borrowed");
        self.remove(number);
        let owned = handle.borrowed_for.is_none();
        Ok((Passed { ty, rep: handle.rep, owned }, handle.borrowed_for))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn handles_are_numbered_lent_and_reused() {
        let (ty, other) = (ResourceTypeId(1), ResourceTypeId(2));
        let own = |rep| Passed { ty, rep, owned: true };
        let mut handles = Handles::default();
        let room = &mut Room { used: 0, limit: Some(3) };
        assert_eq!(handles.add(own(10), None, room).unwrap(), 1);
        assert_eq!(handles.add(own(20), None, room).unwrap(), 2);
        assert_eq!(handles.rep(2, ty).unwrap(), 20);
        let fails = |result: Result<u32>, text: &str| assert_eq!(result.unwrap_err().to_string(), text);
        fails(handles.rep(0, ty), "unknown handle index 0");
        fails(handles.rep(3, ty), "unknown handle index 3");
        fails(handles.rep(1, other), "handle index 1 used with the wrong type");
        handles.lend(1, ty).unwrap();
        fails(handles.take_own(1, ty).map(|taken| taken.rep), "cannot remove owned resource while borrowed");
        handles.give_back(1);
        assert_eq!(handles.take_own(1, ty).unwrap(), own(10));
        let generation = handles.generation(2);
        handles.drop_handle(2, ty).unwrap();
        // The one that was freed last comes first.
        let borrowed = Passed { ty, rep: 30, owned: false };
        assert_eq!(handles.add(borrowed, Some(7), room).unwrap(), 2);
        assert_ne!(handles.generation(2), generation);
        assert_eq!(handles.generation(1), None);
        fails(handles.take_own(2, ty).map(|taken| taken.rep), "cannot lift own resource from a borrow");
        assert_eq!(handles.drop_handle(2, ty).unwrap(), (borrowed, Some(7)));
        let mut words = Vec::new();
        handles.write(&mut words);
        assert_eq!(Handles::read(&mut words.iter().copied(), 2).as_ref(), Some(&handles));
        let read = |words: &[u64]| Handles::read(&mut words.iter().copied(), 2);
        // Cut off; a slot that is free twice; one that is not free; a type that there is not.
        assert_eq!(read(&words[..words.len() - 1]), None);
        assert_eq!(read(&[2, 0, 0, 0, 0, 0, 0, 1, 1]), None);
        assert_eq!(read(&[2, 0, 2, 5, 0, 0, 0, 1]), None);
        assert_eq!(read(&[1, 0, 3, 5]), None);
        // Slots are used again before there are more.
        assert!((0..3).all(|rep| handles.add(own(rep), None, room).is_ok()));
        fails(
            handles.add(own(3), None, room),
            "handles: the guest wanted 4, and its limit is 3 (Limits::handles)",
        );
    }
}
