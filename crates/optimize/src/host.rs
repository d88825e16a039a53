//! The machine that this program runs on.

use std::arch::is_x86_feature_detected;

/// The target triple of this program, and so of code for this machine.
pub const HOST_TARGET: &str = env!("BELLJAR_TARGET");

macro_rules! features {
    ($($name:literal $detected:tt)*) => {
        /// Returns the features of this machine's processor that code may need, by Cranelift's names.
        pub fn host_features() -> Vec<&'static str> {
            [$(($name, is_x86_feature_detected!($detected)),)*]
                .into_iter()
                .filter_map(|(name, is_present)| is_present.then_some(name))
                .collect()
        }
    };
}

// Cranelift's name, and the standard library's.
features! {
    "cmpxchg16b" "cmpxchg16b"
    "sse3" "sse3"
    "ssse3" "ssse3"
    "sse41" "sse4.1"
    "sse42" "sse4.2"
    "popcnt" "popcnt"
    "avx" "avx"
    "avx2" "avx2"
    "fma" "fma"
    "avx_vnni" "avxvnni"
    "avx512vnni" "avx512vnni"
    "bmi1" "bmi1"
    "bmi2" "bmi2"
    "avx512bitalg" "avx512bitalg"
    "avx512dq" "avx512dq"
    "avx512f" "avx512f"
    "avx512vl" "avx512vl"
    "avx512vbmi" "avx512vbmi"
    "lzcnt" "lzcnt"
}
