//! Rows that signal handlers read without a lock: `published.rs`, on which the code table and the table of on-demand
//! memory are based.

use crate::model;
use crate::published::Published;
use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::thread;

const GONE: u32 = u32::MAX;

/// A row that records when it is dropped: the checker rejects reads of a row during or after its drop.
struct Row(UnsafeCell<u32>);

impl Row {
    fn new(number: u32) -> Self {
        Self(UnsafeCell::new(number))
    }

    fn number(&self) -> u32 {
        // SAFETY: the checker ensures that no thread writes meanwhile.
        let number = self.0.with(|number| unsafe { *number });
        assert_ne!(number, GONE, "a row was read that is gone");
        number
    }
}

impl Clone for Row {
    fn clone(&self) -> Self {
        Self::new(self.number())
    }
}

impl Drop for Row {
    fn drop(&mut self) {
        // SAFETY: as above.
        self.0.with_mut(|number| unsafe { *number = GONE });
    }
}

fn numbers(table: &Published<Row>) -> Vec<u32> {
    table.read(|rows| rows.iter().map(Row::number).collect())
}

#[test]
fn a_reader_sees_whole_tables_and_no_freed_rows() {
    model(|| {
        let table = Arc::new(Published::new());
        table.change(|rows| rows.push(Row::new(1)));
        let reader = {
            let table = table.clone();
            thread::spawn(move || {
                let seen = numbers(&table);
                assert!([vec![1], vec![1, 2], vec![2]].contains(&seen), "{seen:?}");
            })
        };
        table.change(|rows| rows.push(Row::new(2)));
        table.change(|rows| rows.retain(|row| row.number() != 1));
        reader.join().unwrap();
        assert_eq!(numbers(&table), [2]);
    });
}

#[test]
fn writers_lose_nothing_of_each_other() {
    model(|| {
        let table = Arc::new(Published::new());
        let writer = {
            let table = table.clone();
            thread::spawn(move || table.change(|rows| rows.push(Row::new(1))))
        };
        table.change(|rows| rows.push(Row::new(2)));
        writer.join().unwrap();
        let mut seen = numbers(&table);
        seen.sort_unstable();
        assert_eq!(seen, [1, 2]);
    });
}

/// A signal handler reads while the interrupted thread reads, or while the writer changes the table.
#[test]
fn two_readers_keep_each_others_rows() {
    model(|| {
        let table = Arc::new(Published::new());
        table.change(|rows| rows.push(Row::new(1)));
        let readers: Vec<_> = (0..2)
            .map(|_| {
                let table = table.clone();
                thread::spawn(move || table.read(|rows| assert!([1, 2].contains(&rows[0].number()))))
            })
            .collect();
        table.change(|rows| *rows = vec![Row::new(2)]);
        readers.into_iter().for_each(|reader| reader.join().unwrap());
        // Rows that were in use then are freed now.
        table.change(|_| ());
        assert_eq!(numbers(&table), [2]);
    });
}
