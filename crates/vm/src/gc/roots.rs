//! Where references to objects lie outside the heap.

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
    pub(super) fn push(&mut self, reference: u32) -> ScopedRoot {
        let generation = self.generation;
        self.scoped.push(ScopedEntry { reference, generation });
        ScopedRoot { index: self.scoped.len() as u32 - 1, generation }
    }

    pub(super) fn get(&self, root: ScopedRoot) -> Option<u32> {
        let entry = self.scoped.get(root.index as usize)?;
        (entry.generation == root.generation).then_some(entry.reference)
    }

    pub(super) fn own(&mut self, reference: u32) -> OwnedRoot {
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

    pub(super) fn get_owned(&self, root: &OwnedRoot) -> Option<u32> {
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

    pub(super) fn for_each(&mut self, visit: &mut dyn FnMut(&mut u32)) {
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
