//! The `belljar` program as a library, so that tests can use its parts. It holds nothing worth embedding: that
//! is the crate `belljar`.

mod binary;
mod byte_size;
mod cache;
mod command_line;
mod compile;
mod completion;
mod exit_code;
mod failure;
mod file_kind;
mod inspect;
mod key;
mod kill;
mod limit_list;
mod missing_imports;
mod module_file;
mod output;
mod output_file;
mod perf;
mod process;
mod process_table;
mod processes;
mod profile;
mod progress;
mod proposals;
mod ps;
mod run;
mod snapshot;
mod stack;
mod time_span;
mod top;
mod user_cache;
mod validate;
pub mod wast;

pub use command_line::CommandLine;
pub use exit_code::ExitCode;
pub use failure::Failure;
pub use process::main;
