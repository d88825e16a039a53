//! References to objects that the host holds.

use std::sync::{Arc, Weak};

/// References that the host holds. Handles are indices into this.
///
/// Scoped references end with the call into the host in which they were created; owned ones are kept while a handle
/// lives.
#[derive(Debug, Default)]
pub(crate) struct Roots {
    scoped: Vec<ScopedEntry>,
    /// The number of scoped references when the innermost run of the guest began. When a host function that the guest
    /// calls ends, no more are left.
    kept: usize,
    /// The number of scopes that have ended. It never wraps around.
    generation: u64,
    owned: Vec<Option<OwnedEntry>>,
    free: Vec<u32>,
    /// The number of owned references there ever were.
    owned_so_far: u64,
}

#[derive(Debug)]
struct ScopedEntry {
    reference: u32,
    /// Distinguishes the entry from a later one at the same index.
    generation: u64,
}

#[derive(Debug)]
struct OwnedEntry {
    reference: u32,
    /// As in [`ScopedEntry`].
    generation: u64,
    alive: Weak<()>,
}

/// A handle to a reference. A scoped one is valid until the scope in which it was created ends, and one of an
/// [`OwnedRoot`] at least as long as that lives.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Root {
    index: u32,
    is_owned: bool,
    generation: u64,
}

/// A handle to a reference that is valid while the handle or a clone of it lives.
#[derive(Clone, Debug)]
pub struct OwnedRoot {
    root: Root,
    _alive: Arc<()>,
}

impl OwnedRoot {
    /// Returns the handle.
    pub fn root(&self) -> Root {
        self.root
    }
}

/// The number of references kept by the run of the guest around the one that begins.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OuterRun(usize);

/// The start of a scope: references rooted before it are kept.
#[derive(Clone, Copy, Debug)]
pub struct RootScope(usize);

impl Roots {
    pub(super) fn push(&mut self, reference: u32) -> Root {
        let generation = self.generation;
        self.scoped.push(ScopedEntry { reference, generation });
        Root { index: self.scoped.len() as u32 - 1, is_owned: false, generation }
    }

    pub(super) fn get(&self, root: Root) -> Option<u32> {
        let index = root.index as usize;
        let (reference, generation) = match root.is_owned {
            false => self.scoped.get(index).map(|entry| (entry.reference, entry.generation))?,
            true => self.owned.get(index)?.as_ref().map(|entry| (entry.reference, entry.generation))?,
        };
        (generation == root.generation).then_some(reference)
    }

    pub(super) fn own(&mut self, reference: u32) -> OwnedRoot {
        let alive = Arc::new(());
        self.owned_so_far += 1;
        let generation = self.owned_so_far;
        let entry = Some(OwnedEntry { reference, generation, alive: Arc::downgrade(&alive) });
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
        OwnedRoot { root: Root { index, is_owned: true, generation }, _alive: alive }
    }

    /// Prepares for this many more scoped references.
    pub(super) fn reserve(&mut self, additional: usize) {
        self.scoped.reserve(additional);
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

    /// Records that a run begins. Returns the argument for [`Roots::end_run`].
    #[inline]
    pub(crate) fn begin_run(&mut self) -> OuterRun {
        OuterRun(std::mem::replace(&mut self.kept, self.scoped.len()))
    }

    /// Records that the run has ended.
    #[inline]
    pub(crate) fn end_run(&mut self, outer: OuterRun) {
        self.kept = outer.0;
    }

    /// Returns whether [`Roots::leave_host`] has nothing to do.
    #[inline]
    pub(crate) fn is_left(&self) -> bool {
        self.scoped.len() == self.kept
    }

    /// Ends the scope of a host function that a guest called: its handles become invalid.
    pub(crate) fn leave_host(&mut self) {
        if !self.is_left() {
            self.forget(RootScope(self.kept));
        }
    }

    /// Returns whether there are no scoped references.
    #[inline]
    pub(crate) fn has_no_scoped_roots(&self) -> bool {
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
