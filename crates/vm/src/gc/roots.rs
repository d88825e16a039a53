//! Where references to objects lie outside the heap.

use crate::code_table;
use crate::interrupt::{Interrupt, STRIDE};
use crate::store::{NOT_READY, StoreCore};
use crate::vm_ptr::VmPtr;
use crate::walk::{self, Start};
use std::ops::ControlFlow;
use std::sync::{Arc, Weak};

/// References that the host holds: handles name them by their place here.
///
/// Scoped ones end with the call into the host in which they were made; others are kept while a handle lives.
#[derive(Debug, Default)]
pub(crate) struct Roots {
    scoped: Vec<ScopedEntry>,
    /// How many of them were there when the innermost run of the guest began. Host functions that it calls end with no more.
    kept: usize,
    /// How many scopes have ended: so many that it never begins anew.
    generation: u64,
    owned: Vec<Option<OwnedEntry>>,
    free: Vec<u32>,
}

#[derive(Debug)]
struct ScopedEntry {
    reference: u32,
    /// Tells the entry from a later one in its place.
    generation: u64,
}

#[derive(Debug)]
struct OwnedEntry {
    reference: u32,
    alive: Weak<()>,
}

/// Names a reference until the scope ends in which it was made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ScopedRoot {
    index: u32,
    generation: u64,
}

/// Names a reference while it or a clone of it lives.
#[derive(Clone, Debug)]
pub struct OwnedRoot {
    index: u32,
    alive: Arc<()>,
}

/// How many references are kept of the run of the guest around the one that begins.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OuterRun(usize);

/// The start of a scope: what was rooted before it stays.
#[derive(Clone, Copy, Debug)]
pub struct RootScope(usize);

impl Roots {
    fn push(&mut self, reference: u32) -> ScopedRoot {
        let generation = self.generation;
        self.scoped.push(ScopedEntry { reference, generation });
        ScopedRoot { index: self.scoped.len() as u32 - 1, generation }
    }

    fn get(&self, root: ScopedRoot) -> Option<u32> {
        let entry = self.scoped.get(root.index as usize)?;
        (entry.generation == root.generation).then_some(entry.reference)
    }

    fn own(&mut self, reference: u32) -> OwnedRoot {
        let alive = Arc::new(());
        let entry = Some(OwnedEntry { reference, alive: Arc::downgrade(&alive) });
        let index = match self.free.pop() {
            Some(index) => {
                self.owned[index as usize] = entry;
                index
            }
            None => {
                self.owned.push(entry);
                self.owned.len() as u32 - 1
            }
        };
        OwnedRoot { index, alive }
    }

    fn get_owned(&self, root: &OwnedRoot) -> Option<u32> {
        let entry = self.owned.get(root.index as usize)?.as_ref()?;
        std::ptr::eq(entry.alive.as_ptr(), Arc::as_ptr(&root.alive)).then_some(entry.reference)
    }

    #[inline]
    pub(crate) fn scope(&self) -> RootScope {
        RootScope(self.scoped.len())
    }

    #[inline]
    pub(crate) fn leave(&mut self, scope: RootScope) {
        if self.scoped.len() > scope.0 {
            self.forget(scope);
        }
    }

    /// Notes that a run begins. What [`Roots::end_run`] is to be told.
    #[inline]
    pub(crate) fn begin_run(&mut self) -> OuterRun {
        OuterRun(std::mem::replace(&mut self.kept, self.scoped.len()))
    }

    /// Notes that the run has ended.
    #[inline]
    pub(crate) fn end_run(&mut self, outer: OuterRun) {
        self.kept = outer.0;
    }

    /// Whether [`Roots::leave_host`] has nothing to do.
    #[inline]
    pub(crate) fn is_left(&self) -> bool {
        self.scoped.len() == self.kept
    }

    /// Ends the scope of a host function that a guest called: its handles mean nothing any more.
    pub(crate) fn leave_host(&mut self) {
        if !self.is_left() {
            self.forget(RootScope(self.kept));
        }
    }

    /// Whether no scope is left.
    #[inline]
    pub(crate) fn is_bare(&self) -> bool {
        self.scoped.is_empty()
    }

    #[cold]
    fn forget(&mut self, scope: RootScope) {
        self.scoped.truncate(scope.0);
        self.generation += 1;
    }

    /// Ends all handles.
    pub(crate) fn end_all(&mut self) {
        self.forget(RootScope(0));
        self.owned.clear();
        self.free.clear();
    }

    fn for_each(&mut self, visit: &mut dyn FnMut(&mut u32)) {
        self.scoped.iter_mut().for_each(|entry| visit(&mut entry.reference));
        for (i, slot) in self.owned.iter_mut().enumerate() {
            match slot {
                Some(entry) if entry.alive.strong_count() > 0 => visit(&mut entry.reference),
                Some(_) => {
                    *slot = None;
                    self.free.push(i as u32);
                }
                None => {}
            }
        }
    }
}

impl StoreCore {
    /// Keeps a reference for the host until the current scope ends.
    pub(crate) fn root(&mut self, reference: u32) -> ScopedRoot {
        self.ready = NOT_READY;
        self.roots.push(reference)
    }

    /// A kept reference; `None` once its scope has ended.
    pub(crate) fn rooted(&self, root: ScopedRoot) -> Option<u32> {
        self.roots.get(root)
    }

    /// Keeps a reference while the handle lives.
    pub(crate) fn own_root(&mut self, reference: u32) -> OwnedRoot {
        self.roots.own(reference)
    }

    /// A kept reference; `None` if the handle is of another store.
    pub(crate) fn owned(&self, root: &OwnedRoot) -> Option<u32> {
        self.roots.get_owned(root)
    }

    /// Begins a scope of handles.
    #[inline]
    pub fn enter_roots(&self) -> RootScope {
        self.roots.scope()
    }

    /// Ends a scope of handles: those made since mean nothing any more.
    #[inline]
    pub fn leave_roots(&mut self, scope: RootScope) {
        self.roots.leave(scope);
    }

    /// Visits every reference to an object outside the heap; fewer where the collection is to be given up.
    pub(super) fn for_each_root(&mut self, interrupt: &Interrupt, visit: &mut dyn FnMut(&mut u32)) {
        let visit_all = |references: &mut [u32], visit: &mut dyn FnMut(&mut u32)| {
            for piece in references.chunks_mut(STRIDE / size_of::<u32>()) {
                if interrupt.after(STRIDE as u32) {
                    return;
                }
                piece.iter_mut().for_each(&mut *visit);
            }
        };
        self.roots.for_each(visit);
        self.for_each_frame_root(visit);
        for global in self.globals.iter().filter(|global| global.traced) {
            // SAFETY: a global's slot is aligned and lives as long as the store (STORE-PINNED), held exclusively.
            unsafe { visit(global.slot.cast().as_mut()) };
        }
        for table in 0..self.tables.len() {
            if self.tables[table].traced {
                visit_all(self.elements_mut(table), visit);
            }
        }
        for segment in self.instances.iter_mut().flat_map(|instance| instance.segments.iter_mut().flatten()) {
            visit_all(segment, visit);
        }
    }

    /// The slots of guest frames that compiled code has named. The guest waits in a call.
    fn for_each_frame_root(&self, visit: &mut dyn FnMut(&mut u32)) {
        walk::walk(self, Start::AtExit, |pc, fp| {
            code_table::with_stack_map(pc, |slots| {
                for distance in slots.iter().flat_map(|slots| slots.distances()) {
                    let at = VmPtr::at(fp - distance as usize);
                    // SAFETY: GUEST-FRAMES, STACK-MAPS: the slot lies in the frame, which waits for a call to
                    // return, and holds a reference until then; nothing else refers to it.
                    unsafe { visit(at.as_mut()) };
                }
            });
            ControlFlow::Continue(())
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handle_of_an_ended_scope_means_nothing_however_many_scopes_end() {
        let mut roots = Roots::default();
        let stale = roots.push(8);
        assert_eq!(roots.get(stale), Some(8));
        roots.forget(RootScope(0));
        for scopes in [0, (1 << 32) - 2, 1 << 32] {
            roots.generation += scopes;
            let root = roots.push(16);
            assert_eq!((roots.get(stale), roots.get(root)), (None, Some(16)));
            roots.forget(RootScope(0));
        }
    }
}
