use belljar_compile::TierOrigin;

/// Identifies this build of the tier. A test compares the name with the release that is linked.
pub const ORIGIN: TierOrigin = TierOrigin {
    name: "optimize (cranelift 0.135.0)",
    fingerprint: include!(concat!(env!("OUT_DIR"), "/sources.rs")),
};
