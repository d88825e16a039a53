//! ModuleMetadata which sources this is built of.

fn main() -> std::io::Result<()> {
    belljar_fingerprint::write()
}
