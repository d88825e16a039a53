//! Finds the references to objects that lie outside the heap, and creates handles to objects.

use super::roots::{OwnedRoot, Root, RootScope};
use crate::code_table;
use crate::interrupt::{Interrupt, STRIDE};
use crate::store::{NOT_READY, StoreCore};
use crate::vm_ptr::VmPtr;
use crate::walk::{self, GuestFrame};
use std::ops::ControlFlow;

impl StoreCore {
    /// Keeps a reference for the host until the current scope ends.
    pub(crate) fn root(&mut self, reference: u32) -> Root {
        self.ready = NOT_READY;
        self.heap.roots.push(reference)
    }

    /// Returns a kept reference; `None` once its scope has ended.
    pub(crate) fn rooted(&self, root: Root) -> Option<u32> {
        self.heap.roots.get(root)
    }

    /// Keeps a reference while the handle lives.
    pub(crate) fn own_root(&mut self, reference: u32) -> OwnedRoot {
        self.heap.roots.own(reference)
    }

    /// Prepares for this many more handles of the current scope.
    pub fn reserve_roots(&mut self, additional: usize) {
        self.heap.roots.reserve(additional);
    }

    /// Begins a scope of handles.
    #[inline]
    pub fn enter_roots(&self) -> RootScope {
        self.heap.roots.scope()
    }

    /// Ends a scope of handles: those created since it began become invalid.
    #[inline]
    pub fn leave_roots(&mut self, scope: RootScope) {
        self.heap.roots.leave(scope);
    }

    /// Visits every reference to an object outside the heap, unless interrupted.
    pub(super) fn for_each_root(&mut self, interrupt: &Interrupt, visit: &mut dyn FnMut(&mut u32)) {
        let visit_all = |references: &mut [u32], visit: &mut dyn FnMut(&mut u32)| {
            for piece in references.chunks_mut(STRIDE / size_of::<u32>()) {
                if interrupt.after(STRIDE as u32) {
                    return;
                }
                piece.iter_mut().for_each(&mut *visit);
            }
        };
        self.heap.roots.for_each(visit);
        self.for_each_frame_root(visit);
        for global in self.entities.globals.iter().filter(|global| global.traced) {
            // SAFETY: a global's slot is aligned and lives as long as the store (STORE-PINNED), held exclusively.
            unsafe { visit(global.slot.cast().as_mut()) };
        }
        for table in 0..self.entities.tables.len() {
            if self.entities.tables[table].traced {
                visit_all(self.elements_mut(table), visit);
            }
        }
        for segment in
            self.entities.instances.iter_mut().flat_map(|instance| instance.segments.iter_mut().flatten())
        {
            visit_all(segment, visit);
        }
    }

    /// Visits the slots of guest frames that stack maps name. The guests wait in calls.
    fn for_each_frame_root(&self, visit: &mut dyn FnMut(&mut u32)) {
        walk::walk_with_suspended(self, |frame| {
            let (pc, fp) = match frame {
                GuestFrame::Native { pc, fp } => (pc, fp),
                GuestFrame::Interpreted(never) => match never {},
            };
            code_table::with_stack_map(pc, |slots| {
                for distance in slots.iter().flat_map(|slots| slots.distances()) {
                    let at = VmPtr::at(fp - distance as usize);
                    // SAFETY: GUEST-FRAMES, STACK-MAPS: the slot lies in the frame, which waits for a call to return,
                    // and holds a reference until then; nothing else refers to it.
                    unsafe { visit(at.as_mut()) };
                }
            });
            ControlFlow::Continue(())
        });
    }
}
