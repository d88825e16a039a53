//! Exceptions.

/// An exception that a guest or the host has made.
#[derive(Debug)]
pub enum ExnRef {}
