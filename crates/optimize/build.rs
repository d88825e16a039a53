//! Records which sources this crate is built from, and for which target.

use std::{env, io};

fn main() -> io::Result<()> {
    let target = env::var("TARGET").map_err(|_| io::ErrorKind::NotFound)?;
    println!("cargo::rustc-env=BELLJAR_TARGET={target}");
    belljar_fingerprint::write()
}
