//! The `belljar` program.

fn main() -> std::process::ExitCode {
    belljar_cli::main()
}
