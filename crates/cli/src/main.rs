//! The `belljar` program.

use belljar_cli::wast::{Report, find_scripts, run_script};

fn main() {
    let engine = belljar::Engine::default();
    let mut total = Report::default();
    for path in std::env::args_os().skip(2) {
        for file in find_scripts(path.as_ref()).unwrap() {
            let text = std::fs::read(&file).unwrap();
            let report = run_script(&engine, &file, &String::from_utf8_lossy(&text));
            for f in &report.failures {
                println!("{f}");
            }
            total.merge(report);
        }
    }
    println!("{total}");
}
