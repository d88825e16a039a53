//! The project's development tasks: `cargo xtask TASK`.

mod bench;
mod shipped;

use clap::Parser;
use std::process::ExitCode;

/// The project's development tasks.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
enum Task {
    /// Measures belljar and its rivals, in the same minutes on the same machine.
    Bench(bench::Options),
    /// Compiles and runs published modules, compared with Wasmtime.
    Shipped(shipped::Options),
    /// Runs a program and reports what it used: a part of `shipped`.
    #[command(hide = true, name = shipped::usage::SUBCOMMAND)]
    UsageOf {
        /// Milliseconds, the program, its arguments.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        words: Vec<String>,
    },
}

fn main() -> ExitCode {
    let outcome = match Task::parse() {
        Task::Bench(options) => bench::run(&options),
        Task::Shipped(options) => shipped::run(&options),
        Task::UsageOf { words } => match shipped::usage::tell(&words) {
            Ok(code) => std::process::exit(code),
            Err(error) => Err(error),
        },
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
