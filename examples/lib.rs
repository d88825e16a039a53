//! The programs of the documentation, as tests.

/// `docs/cookbook.md`.
#[cfg(doctest)]
#[doc = include_str!("../docs/cookbook.md")]
pub struct Cookbook;

/// `docs/components.md`.
#[cfg(doctest)]
#[doc = include_str!("../docs/components.md")]
pub struct Components;

/// `docs/tutorial.md`.
#[cfg(doctest)]
#[doc = include_str!("../docs/tutorial.md")]
pub struct Tutorial;

/// `README.md`.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
pub struct Readme;
