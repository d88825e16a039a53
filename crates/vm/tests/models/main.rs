//! Model checks of the crate's own protocols between threads, in every interleaving that the memory model allows.
//!
//! The protocols' source files are compiled here a second time, against loom's atomics and locks ([`sync`]), so the
//! checked code is the code that runs. loom runs each model once for every possible order of its threads.

// Each model uses only a part of each file.
#![allow(dead_code)]

mod blocks;
mod published_tables;
mod requests;
mod sync;
mod write_watches;

#[path = "../../src/on_demand/block_states.rs"]
mod block_states;
#[path = "../../src/published.rs"]
mod published;
#[path = "../../src/machine/slot_state.rs"]
mod slot_state;
#[path = "../../src/sys/watch_slots.rs"]
mod watch_slots;

/// Runs a model in every interleaving.
fn model(f: impl Fn() + Send + Sync + 'static) {
    loom::model::Builder::new().check(f);
}

/// Runs a model in every interleaving with at most this many preemptions. If threads spin, there are too many
/// interleavings to run all of them.
fn model_with_preemptions(most: usize, f: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(most);
    builder.check(f);
}
