//! Tests the promise that safe code cannot break anything: every trait that users can implement is implemented
//! incorrectly, at every entry point that takes one. The attacks are a table: an entry point without a row fails the test.
//!
//! After each attack both stores of a [`store_pair::StorePair`] must work, and contain nothing of each other.

#![forbid(unsafe_code)]

mod components;
mod contexts;
mod entry_points;
mod others;
#[path = "../../../crates/belljar/tests/sources/mod.rs"]
mod sources;
mod store_pair;
mod wasi;

use std::collections::BTreeSet;
use store_pair::{Shifty, StorePair, Things};

/// The attack on an entry point.
#[derive(Clone, Copy)]
pub(crate) enum Row {
    /// With a context that alternates between the two stores.
    Context(fn(&Things, &mut Shifty<'_>)),
    /// With any other type.
    Stores(fn(&mut StorePair)),
    /// No attack, for this reason.
    Harmless(&'static str),
}

fn rows() -> impl Iterator<Item = (&'static str, Row)> {
    [components::ROWS, contexts::ROWS, others::ROWS, wasi::ROWS].into_iter().flatten().copied()
}

#[test]
fn every_entry_point_has_a_row() {
    let found = entry_points::all();
    let known: BTreeSet<String> = rows().map(|(name, _)| name.to_string()).collect();
    assert_eq!(known.len(), rows().count(), "an entry point has two rows");
    let missing: Vec<_> = found.difference(&known).collect();
    assert!(missing.is_empty(), "entry points that nobody attacks: {missing:#?}");
    let gone: Vec<_> = known.difference(&found).filter(|name| !name.starts_with("also: ")).collect();
    assert!(gone.is_empty(), "there are no such entry points: {gone:#?}");
}

#[test]
fn nothing_that_is_tried_breaks_anything() {
    // The panic messages are asserted; their backtraces would fill pages.
    std::panic::set_hook(Box::new(|panic| {
        let text = panic.to_string();
        let message = text.lines().nth(1).unwrap_or_default();
        let is_expected = message.starts_with("the adversary's")
            || message.starts_with("a context of the adversary's")
            || message.ends_with("with a store that it does not belong to");
        if !is_expected {
            eprintln!("{text}");
        }
    }));
    for (name, row) in rows() {
        let mut stores = StorePair::default();
        match row {
            Row::Context(attack) => stores.with_contexts(name, attack),
            Row::Stores(attack) => attack(&mut stores),
            Row::Harmless(why) => assert!(!why.is_empty()),
        }
        stores.check(name);
        println!("{name}: holds");
    }
}
