//! The tables of handles: one for each instance of a component, and one for the host.
//!
//! In: resources that are passed. Out: their handles, which are small numbers that are meaningless elsewhere, and what
//! they stand for. Never: a handle that outlives what it lends. What is wrong is an error that says so.

use belljar_component::{Passed, ResourceTypeId};
use belljar_core::{Result, ensure, format_err};

/// A handle of a table.
#[derive(Clone, Copy, Debug)]
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

#[derive(Clone, Debug)]
struct Slot {
    handle: Option<Handle>,
    /// How often the slot was reused.
    generation: u32,
}

/// A table of handles.
#[derive(Clone, Debug, Default)]
pub(crate) struct Handles {
    /// The handle with number 1 comes first: 0 is no handle.
    slots: Vec<Slot>,
    /// Free slots. The one that was freed last is used next.
    free: Vec<u32>,
}

impl Handles {
    /// Adds a handle, borrowed for a call or owned. Returns its number.
    ///
    /// # Errors
    ///
    /// Returns an error if there are too many.
    pub(crate) fn add(&mut self, passed: Passed, borrowed_for: Option<u64>) -> Result<u32> {
        let handle = Handle { ty: passed.ty, rep: passed.rep, borrowed_for, lends: 0 };
        if let Some(number) = self.free.pop() {
            let slot = &mut self.slots[number as usize - 1];
            slot.handle = Some(handle);
            slot.generation = slot.generation.wrapping_add(1);
            return Ok(number);
        }
        ensure!(self.slots.len() < MAX_HANDLES, "the table of handles is full: it has {MAX_HANDLES}");
        self.slots.push(Slot { handle: Some(handle), generation: 0 });
        Ok(self.slots.len() as u32)
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
        assert_eq!(handles.add(own(10), None).unwrap(), 1);
        assert_eq!(handles.add(own(20), None).unwrap(), 2);
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
        assert_eq!(handles.add(borrowed, Some(7)).unwrap(), 2);
        assert_ne!(handles.generation(2), generation);
        assert_eq!(handles.generation(1), None);
        fails(handles.take_own(2, ty).map(|taken| taken.rep), "cannot lift own resource from a borrow");
        assert_eq!(handles.drop_handle(2, ty).unwrap(), (borrowed, Some(7)));
    }
}
