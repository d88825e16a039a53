use belljar_core::FuncIndex;

/// Receives the CLIF of each function after the optimizations, with the function's index. Several threads call it.
pub type ClifSink = dyn Fn(FuncIndex, &str) + Send + Sync;
