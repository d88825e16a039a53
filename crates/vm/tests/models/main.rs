//! The protocols between threads that this crate has made itself, in all interleavings that the memory model allows.
//!
//! The source files that hold them are compiled here a second time, against loom's atomics and locks ([`sync`]): what is checked is
//! what runs. Each model says what must hold however its threads meet; loom runs it for every order in which they may.

// Each model uses a part of each file.
#![allow(dead_code)]

mod blocks;
mod published_tables;
mod questions;
mod sync;
mod write_watches;

#[path = "../../src/on_demand/block_states.rs"]
mod block_states;
#[path = "../../src/published.rs"]
mod published;
#[path = "../../src/sys/question.rs"]
mod question;
#[path = "../../src/sys/watch_slots.rs"]
mod watch_slots;

/// Runs a model in every interleaving.
fn model(f: impl Fn() + Send + Sync + 'static) {
    loom::model::Builder::new().check(f);
}

/// Runs a model in every interleaving in which threads are interrupted so often at most. Where threads wait for each other in
/// loops, there are too many of all.
fn model_with_preemptions(most: usize, f: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(most);
    builder.check(f);
}
