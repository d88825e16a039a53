//! The parts of the `belljar` program that tests use too.

pub mod wast;
