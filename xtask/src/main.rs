//! The project's development tasks: `cargo xtask TASK`.

mod api;
mod artifact_host;
mod bench;
mod cargo;
mod packages;
mod real_components;
mod shipped;

use clap::Parser;
use std::path::PathBuf;
use std::process::ExitCode;

/// The project's development tasks.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
enum Task {
    /// Compares the public interface with those of Wasmtime and Wasmi.
    ApiCoverage(api::Options),
    /// Measures belljar and its rivals, in the same minutes on the same machine.
    Bench(bench::Options),
    /// Compiles and runs published modules, compared with Wasmtime.
    Shipped(shipped::Options),
    /// Builds the example host without the compiler, and checks its size and what it runs.
    ArtifactHost {
        /// The program to compile with [default: belljar in target/release]
        #[arg(long, value_name = "PROGRAM")]
        belljar: Option<PathBuf>,
    },
    /// Makes components of Python and JavaScript with public tools, and runs them.
    RealComponents {
        /// The program to run them with [default: belljar in target/release]
        #[arg(long, value_name = "PROGRAM")]
        belljar: Option<PathBuf>,
    },
    /// Makes the packages that would be published, and checks crates that depend on them.
    Packages,
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
        Task::ApiCoverage(options) => api::run(&options),
        Task::Bench(options) => bench::run(&options),
        Task::Shipped(options) => shipped::run(&options),
        Task::ArtifactHost { belljar } => artifact_host::run(belljar),
        Task::RealComponents { belljar } => real_components::run(belljar),
        Task::Packages => packages::run(),
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
