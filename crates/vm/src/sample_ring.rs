//! The ring buffer that a thread's signal handler writes samples to: one writer, one reader, and neither waits.

use crate::machine::StackWord;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::*};

/// The number of words in a thread's ring: enough for some ten thousand samples. Unused pages take no memory.
const WORDS: usize = 1 << 19;
/// The largest number of frames in a sample. Only the innermost are kept.
const FRAMES: usize = 1024;
/// The number of words of a sample before its frames: how many frames are kept, how many were omitted, and the
/// arguments of [`SampleWriter::finish`].
const HEADER: usize = 2 + NOTED;
const NOTED: usize = 5;

/// Samples on their way from a thread's signal handler to the thread that drains them.
#[derive(Debug)]
pub(crate) struct Ring {
    words: Box<[AtomicU64]>,
    /// The numbers of words written and read since the beginning. Only the handler changes the first, only the draining
    /// thread the second.
    written: AtomicUsize,
    read: AtomicUsize,
    /// Samples that did not fit.
    pub(crate) lost: AtomicU64,
}

/// A sample as stored in a ring.
pub(crate) struct RingSample {
    pub(crate) time: u64,
    pub(crate) weight: u64,
    pub(crate) store: u64,
    pub(crate) engine: usize,
    pub(crate) in_guest: bool,
    pub(crate) found: Vec<StackWord>,
    pub(crate) omitted: usize,
}

/// A sample that is being written.
pub(crate) struct SampleWriter<'a> {
    ring: &'a Ring,
    start: usize,
    room: usize,
    kept: usize,
    omitted: usize,
}

impl Ring {
    pub(crate) fn new() -> Self {
        let words = Box::into_raw(vec![0_u64; WORDS].into_boxed_slice()) as *mut [AtomicU64];
        // SAFETY: it was a box of as many numbers of the same layout, and has no other owner. (Creating them one by one
        // would touch all pages.)
        let words = unsafe { Box::from_raw(words) };
        Self { words, written: AtomicUsize::new(0), read: AtomicUsize::new(0), lost: AtomicU64::new(0) }
    }

    fn word(&self, at: usize) -> &AtomicU64 {
        &self.words[at % WORDS]
    }

    pub(crate) fn begin(&self) -> SampleWriter<'_> {
        let start = self.written.load(Relaxed);
        let room = WORDS - (start - self.read.load(Acquire));
        SampleWriter { ring: self, start, room, kept: 0, omitted: 0 }
    }

    /// Returns how much has been written, as an argument for [`Ring::pop`].
    pub(crate) fn written(&self) -> usize {
        self.written.load(Acquire)
    }

    /// Returns the next sample, if it was written before `end`: the writer may be faster than the reader.
    pub(crate) fn pop(&self, end: usize) -> Option<RingSample> {
        let start = self.read.load(Relaxed);
        if start >= end {
            return None;
        }
        let word = |i: usize| self.word(start + i).load(Relaxed);
        let kept = word(0) as usize;
        let noted = RingSample {
            omitted: word(1) as usize,
            time: word(2),
            weight: word(3),
            store: word(4),
            engine: word(5) as usize,
            in_guest: word(6) != 0,
            found: (0..kept).map(|i| StackWord(word(HEADER + i))).collect(),
        };
        self.read.store(start + HEADER + kept, Release);
        Some(noted)
    }
}

impl SampleWriter<'_> {
    pub(crate) fn push(&mut self, found: StackWord) {
        if self.kept == FRAMES || HEADER + self.kept >= self.room {
            self.omitted += 1;
            return;
        }
        self.ring.word(self.start + HEADER + self.kept).store(found.0, Relaxed);
        self.kept += 1;
    }

    pub(crate) fn finish(self, noted: [u64; NOTED]) {
        let is_full = HEADER + self.kept >= self.room;
        if is_full {
            self.ring.lost.fetch_add(1, Relaxed);
            return;
        }
        let header = [self.kept as u64, self.omitted as u64].into_iter().chain(noted);
        for (i, value) in header.enumerate() {
            self.ring.word(self.start + i).store(value, Relaxed);
        }
        self.ring.written.store(self.start + HEADER + self.kept, Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ring_gives_back_what_was_put_in_and_counts_what_it_had_no_room_for() {
        let ring = Ring::new();
        let mut put = 0;
        let mut taken = 0;
        for round in 0..WORDS / 10 {
            let mut note = ring.begin();
            let frames = round % 90;
            (0..frames).for_each(|i| note.push(StackWord((round + i) as u64)));
            note.finish([round as u64, 1, 2, 3, 1]);
            put += 1;
            if round % 2 == 0 {
                let noted = ring.pop(ring.written()).unwrap();
                let frames = (0..noted.found.len()).map(|i| StackWord(noted.time + i as u64));
                assert_eq!(noted.found, frames.collect::<Vec<_>>());
                assert_eq!((noted.found.len(), noted.omitted), (noted.time as usize % 90, 0));
                taken += 1;
            }
        }
        while ring.pop(ring.written()).is_some() {
            taken += 1;
        }
        assert!(ring.lost.load(Relaxed) > 0);
        assert_eq!(put, taken + ring.lost.load(Relaxed));
    }

    #[test]
    fn of_a_deep_stack_the_innermost_frames_are_kept() {
        let ring = Ring::new();
        let mut note = ring.begin();
        (0..FRAMES + 5).for_each(|i| note.push(StackWord(i as u64)));
        note.finish([0; NOTED]);
        let noted = ring.pop(ring.written()).unwrap();
        assert_eq!(
            (noted.found.len(), noted.found[FRAMES - 1].0, noted.omitted),
            (FRAMES, FRAMES as u64 - 1, 5)
        );
    }
}
