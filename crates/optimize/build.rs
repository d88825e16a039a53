//! Records which sources this crate is built from.

fn main() -> std::io::Result<()> {
    belljar_fingerprint::write()
}
