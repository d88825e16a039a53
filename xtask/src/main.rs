//! The project's own chores: `cargo xtask CHORE`.

mod bench;

use clap::Parser;
use std::process::ExitCode;

/// The project's own chores.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
enum Chore {
    /// Measures belljar beside its rivals, in the same minutes on the same machine.
    Bench(bench::Options),
}

fn main() -> ExitCode {
    let outcome = match Chore::parse() {
        Chore::Bench(options) => bench::run(&options),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
