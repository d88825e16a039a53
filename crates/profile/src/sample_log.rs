//! Packed samples: four numbers each in a variable-length encoding (LEB128), times as differences.

use crate::stacks::StackId;
use serde::de::{Deserializer, SeqAccess, Visitor};
use serde::{Deserialize, Serialize, Serializer};
use std::fmt;
use std::time::Duration;

/// A sample as it is recorded.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Entry {
    /// Nanoseconds from the start.
    pub(crate) time: u64,
    /// Nanoseconds.
    pub(crate) weight: u64,
    /// An index among the profile's threads.
    pub(crate) thread: u32,
    pub(crate) stack: StackId,
}

/// Samples in the order in which they were recorded.
#[derive(Clone, Default, Debug)]
pub(crate) struct SampleLog {
    bytes: Vec<u8>,
    length: usize,
    /// Nanoseconds, of the last sample.
    time: u64,
}

impl SampleLog {
    pub(crate) fn push(&mut self, entry: Entry) {
        let distance = entry.time.wrapping_sub(self.time) as i64;
        self.time = entry.time;
        self.length += 1;
        // Samples of several threads may be slightly out of order: small negative numbers are short, too.
        self.put(((distance << 1) ^ (distance >> 63)) as u64);
        self.put(u64::from(entry.thread));
        self.put(entry.weight);
        self.put(u64::from(entry.stack.number()));
    }

    fn put(&mut self, mut n: u64) {
        while n >= 0x80 {
            self.bytes.push(n as u8 | 0x80);
            n >>= 7;
        }
        self.bytes.push(n as u8);
    }

    /// Returns how many samples there are.
    pub(crate) fn len(&self) -> usize {
        self.length
    }

    pub(crate) fn iter(&self) -> Iter<'_> {
        Iter { bytes: self.bytes.iter(), left: self.length, time: 0 }
    }
}

/// Returns the duration in nanoseconds, at most 584 years.
pub(crate) fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

pub(crate) struct Iter<'a> {
    bytes: std::slice::Iter<'a, u8>,
    left: usize,
    time: u64,
}

impl Iter<'_> {
    fn get(&mut self) -> u64 {
        let mut n = 0;
        for (i, &byte) in self.bytes.by_ref().enumerate() {
            n |= u64::from(byte & 0x7f) << (7 * i);
            if byte < 0x80 {
                break;
            }
        }
        n
    }
}

impl Iterator for Iter<'_> {
    type Item = Entry;

    fn next(&mut self) -> Option<Entry> {
        self.left = self.left.checked_sub(1)?;
        let distance = self.get();
        self.time = self.time.wrapping_add((distance >> 1) ^ (distance & 1).wrapping_neg());
        let (time, thread, weight) = (self.time, self.get() as u32, self.get());
        Some(Entry { time, weight, thread, stack: StackId::of_number(self.get() as u32) })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

/// A serialized sample of a [`SampleLog`]: time, weight, thread, and the stack's number from 1, or 0 for the empty stack.
type Row = (u64, u64, u32, u32);

impl Serialize for SampleLog {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter().map(|e| -> Row { (e.time, e.weight, e.thread, e.stack.number()) }))
    }
}

/// Packs samples as they are read. Their threads and stacks are checked later.
impl<'de> Deserialize<'de> for SampleLog {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Rows;

        impl<'de> Visitor<'de> for Rows {
            type Value = SampleLog;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("samples: lists of time, weight, thread and stack")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut rows: A) -> Result<SampleLog, A::Error> {
                let mut log = SampleLog::default();
                while let Some((time, weight, thread, stack)) = rows.next_element::<Row>()? {
                    log.push(Entry { time, weight, thread, stack: StackId::of_number(stack) });
                }
                Ok(log)
            }
        }

        deserializer.deserialize_seq(Rows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_gives_back_what_it_was_given() {
        let entry = |time, thread, weight, stack| Entry { time, weight, thread, stack: StackId(stack) };
        let entries = [
            entry(0, 0, 0, u32::MAX),
            entry(u64::MAX, u32::MAX, u64::MAX, u32::MAX - 1),
            entry(1_000_000, 1, 999_999, 0),
            entry(999_999, 2, 1 << 63, 127),
            entry(1_000_007, 0, 128, 128),
        ];
        let mut log = SampleLog::default();
        entries.into_iter().for_each(|e| log.push(e));
        assert_eq!(log.len(), 5);
        assert_eq!(log.iter().collect::<Vec<_>>(), entries);
    }

    #[test]
    fn an_ordinary_sample_takes_nine_bytes() {
        let mut log = SampleLog::default();
        for i in 0..10_000 {
            let (time, weight) = (i * 1_000_000 + i % 777, 1_000_000 - i % 100);
            log.push(Entry { time, weight, thread: 3, stack: StackId(i as u32) });
        }
        assert!(log.bytes.len() <= 9 * 10_000, "{}", log.bytes.len());
    }
}
