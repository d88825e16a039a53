//! A module's functions as `perf` wants to be told of them.

use crate::frame_info::FrameInfo;
use belljar_core::DefinedFuncIndex;
use belljar_vm::LoadedModule;
use std::fmt::Write;

/// Where the functions of a module lie and what they are called, a line `START SIZE NAME` each, the numbers in
/// hexadecimal: the format of `/tmp/perf-PID.map` (`tools/perf/Documentation/jit-interface.txt` of the Linux kernel).
///
/// Names are those of backtraces, `module!function`, and none of them has a line break. Debug information is not read: of
/// thousands of functions that would take long.
pub fn perf_map(loaded: &LoadedModule) -> String {
    let (module, code) = (loaded.module(), loaded.code_image());
    let text = code.addresses().start;
    let mut lines = String::new();
    for (i, func) in code.tables().funcs.iter().enumerate().filter(|(_, func)| func.length > 0) {
        let name = FrameInfo::somewhere_in(module, module.func_index(DefinedFuncIndex::new(i)));
        let start = text + func.start.0 as usize;
        writeln!(lines, "{start:x} {:x} {name}", func.length).expect("strings take everything");
    }
    lines
}
