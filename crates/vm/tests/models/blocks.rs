//! Blocks of a file that is loaded on demand: `on_demand/block_states.rs`.

use crate::block_states::{BlockState, BlockStates};
use crate::{model, model_with_preemptions};
use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::thread;
use std::ops::Range;

/// A file of two blocks and the memory that they are loaded into. The checker rejects unordered accesses to a cell.
struct File {
    states: BlockStates,
    is_open: UnsafeCell<bool>,
    place: [UnsafeCell<u8>; 2],
    /// The damaged block, if there is one.
    damaged: Option<usize>,
    /// Whether the text was announced, and which blocks were made executable.
    text_known: AtomicUsize,
    executable: [AtomicUsize; 2],
}

const RIGHT: u8 = 42;

impl File {
    fn new(damaged: Option<usize>) -> Arc<Self> {
        Arc::new(Self {
            states: BlockStates::new(2),
            is_open: UnsafeCell::new(true),
            place: [UnsafeCell::new(0), UnsafeCell::new(0)],
            damaged,
            text_known: AtomicUsize::new(0),
            executable: [AtomicUsize::new(0), AtomicUsize::new(0)],
        })
    }

    /// Returns whether a block that was read from the file is correct.
    fn read(&self, i: usize) -> bool {
        // SAFETY: the checker ensures that no thread writes meanwhile.
        self.is_open.with(|open| assert!(unsafe { *open }, "block {i} is read from a closed file"));
        self.damaged != Some(i)
    }

    fn bring(&self, blocks: Range<usize>) {
        for i in blocks {
            let is_right = self.read(i);
            if is_right {
                // SAFETY: as above.
                self.place[i].with_mut(|byte| unsafe { *byte = RIGHT });
                if self.text_known.load(Ordering::Acquire) == 1 {
                    self.executable[i].store(1, Ordering::Relaxed);
                }
            }
            let end = if is_right { BlockState::Loaded } else { BlockState::Refused };
            self.states.finish(i..i + 1, end);
        }
    }

    fn load(&self, blocks: Range<usize>) -> bool {
        let all = self.states.load(blocks.clone(), 2, |taken| self.bring(taken));
        for i in blocks.filter(|i| self.damaged != Some(*i)) {
            // SAFETY: as above.
            self.place[i].with(|byte| assert_eq!(unsafe { *byte }, RIGHT, "block {i} is not there"));
        }
        all
    }

    fn complete(&self) {
        self.load(0..2);
        // SAFETY: as above.
        self.is_open.with_mut(|open| unsafe { *open = false });
    }
}

/// What other threads do while one completes the file.
type Meanwhile = fn(&File);

fn copy(file: &File) {
    let wrong = if file.damaged == Some(0) { Some(true) } else { Some(false) };
    assert_ne!(file.states.copy(0, || file.read(0)), wrong);
}

fn load(file: &File) {
    assert_eq!(file.load(0..2), file.damaged.is_none());
}

/// Completes a file, which closes it, while other threads use it. Each block must reach its correct final state.
fn completed(damaged: Option<usize>, meanwhile: &[Meanwhile]) {
    let file = File::new(damaged);
    let spawn = |use_it: &Meanwhile| {
        let (file, use_it) = (file.clone(), *use_it);
        thread::spawn(move || use_it(&file))
    };
    let users: Vec<_> = meanwhile.iter().map(spawn).collect();
    file.complete();
    users.into_iter().for_each(|user| user.join().unwrap());
    for i in 0..2 {
        let end = if damaged == Some(i) { BlockState::Refused } else { BlockState::Loaded };
        assert_eq!(file.states.get(i), end);
    }
}

#[test]
fn a_file_is_closed_when_nobody_copies_from_it_any_more() {
    model(|| completed(None, &[copy]));
}

#[test]
fn a_file_is_closed_when_nobody_loads_from_it_any_more() {
    model(|| completed(None, &[load]));
}

#[test]
fn a_damaged_block_is_refused_by_whoever_finds_it() {
    model(|| completed(Some(0), &[copy]));
    model(|| completed(Some(0), &[load]));
}

#[test]
fn three_threads_use_a_file() {
    model_with_preemptions(2, || completed(None, &[copy, load]));
    model_with_preemptions(2, || completed(Some(0), &[copy, copy]));
}

/// A thread that loads a block checks whether the text was announced meanwhile, and the announcing thread checks which
/// blocks are loaded.
#[test]
fn a_loaded_block_of_code_becomes_executable_whoever_comes_first() {
    model(|| {
        let file = File::new(None);
        let loader = {
            let file = file.clone();
            thread::spawn(move || assert!(file.load(0..1)))
        };
        file.text_known.store(1, Ordering::Release);
        file.states.after_announcement(0..1, |i| file.executable[i].store(1, Ordering::Relaxed));
        loader.join().unwrap();
        assert_eq!(file.executable[0].load(Ordering::Relaxed), 1);
    });
}
