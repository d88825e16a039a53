//! `belljar run`: a program's file in, its exit code out.

mod argument;
mod background;
mod backtrace;
mod component_program;
mod core_dump;
mod dir_grant;
mod end;
mod entry;
mod env_var;
mod execute;
mod guest;
mod http_grant;
mod invoke;
mod limits;
mod memory_budget;
mod network_grant;
mod options;
mod outcome;
mod preload;
mod prepared;
mod profile;
mod program;
mod shared_memory;
mod start;
mod stop;
mod threads;

pub(crate) use component_program::OFFERED;
pub(crate) use dir_grant::DirGrant;
pub(crate) use env_var::EnvVar;
pub(crate) use invoke::Call;
pub(crate) use memory_budget::MemoryBudget;
pub(crate) use options::RunOptions;
pub(crate) use outcome::of_guest_error as outcome_of;
