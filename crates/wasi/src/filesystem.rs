//! Permissions of preopened directories, under Wasmtime's path.

pub use crate::perms::FsPerms;
