//! How code is generated.

use super::Config;
use super::choices::{CompilationMode, ModuleVersionStrategy, Strategy};
use crate::Result;
use belljar_compile::{Inlining, OptLevel, RegallocAlgorithm};
use belljar_core::{OutsideText, bail, ensure};
use std::path::Path;

/// The triples that code can be generated for: those of the host, with the C libraries that do not affect guests.
const TARGETS: &[&str] = &["x86_64-unknown-linux-gnu", "x86_64-unknown-linux-musl"];

#[cfg(feature = "compiler")]
/// The processor whose features a target has if no processor is set: the oldest that the compiler supports.
const OLDEST_PROCESSOR: &str = "x86-64-v2";

/// How code is generated.
impl Config {
    /// Sets whether the engine compiles modules. Without a compiler, modules can come only from artifacts
    /// ([`crate::Module::deserialize`]) and from the cache; otherwise creating a module fails. The small adapters through
    /// which guests call host functions are generated nevertheless. Default: yes.
    pub fn enable_compiler(&mut self, enable: bool) -> &mut Self {
        self.compiler.enabled = enable;
        self
    }

    /// Sets the compiler. It has no effect, because there is only one. Default: [`Strategy::Auto`].
    pub fn strategy(&mut self, strategy: Strategy) -> &mut Self {
        self.compiler.strategy = strategy;
        self
    }

    /// Sets how much functions are optimized. Results are the same. Default: [`OptLevel::Speed`].
    pub fn cranelift_opt_level(&mut self, level: OptLevel) -> &mut Self {
        self.tunables.opt_level = level;
        self
    }

    /// Sets how registers are allocated. Results are the same. Huge functions get [`RegallocAlgorithm::SinglePass`]
    /// whatever the setting is. Default: [`RegallocAlgorithm::Backtracking`].
    pub fn cranelift_regalloc_algorithm(&mut self, algorithm: RegallocAlgorithm) -> &mut Self {
        self.tunables.regalloc = algorithm;
        self
    }

    /// Sets whether Cranelift checks its own work, which takes time. Code that fails a check is not run: compiling it
    /// returns an error. Default: only in debug builds of belljar.
    pub fn cranelift_debug_verifier(&mut self, enable: bool) -> &mut Self {
        self.compiler.verifier = enable;
        self
    }

    /// Sets whether several threads compile a module at once. Results are the same. Default: yes.
    pub fn parallel_compilation(&mut self, parallel: bool) -> &mut Self {
        self.compiler.parallel = parallel;
        self
    }

    /// Sets when modules are compiled. It has no effect: see [`CompilationMode`].
    pub fn compilation_mode(&mut self, mode: CompilationMode) -> &mut Self {
        let _ = mode;
        self
    }

    /// Sets which calls are inlined. Accepts a `bool`, too: `true` is [`Inlining::Yes`], and `false` is [`Inlining::No`].
    /// Default: [`Inlining::Yes`].
    pub fn compiler_inlining(&mut self, inlining: impl Into<Inlining>) -> &mut Self {
        self.tunables.inlining = inlining.into();
        self
    }

    /// Sets whether code is laid out as the custom section `metadata.code.branch_hint` advises. Hints do not change
    /// results, and malformed hints are ignored. Default: yes.
    pub fn wasm_branch_hinting(&mut self, enable: bool) -> &mut Self {
        self.tunables.branch_hints = enable;
        self
    }

    /// Sets whether all functions are compiled with the settings for huge functions. For tests: results are the same.
    /// Default: no.
    pub fn compile_as_huge(&mut self, enable: bool) -> &mut Self {
        self.tunables.huge_functions = enable;
        self
    }

    /// Sets the version that compiled code is marked with: see [`ModuleVersionStrategy`]. Default:
    /// [`ModuleVersionStrategy::WasmtimeVersion`], which is belljar's version.
    ///
    /// # Errors
    ///
    /// Returns an error if the version has more than 255 bytes.
    pub fn module_version(&mut self, strategy: ModuleVersionStrategy) -> Result<&mut Self> {
        let bytes = strategy.as_str().len();
        ensure!(bytes <= 255, "a version of modules may have at most 255 bytes, but this one has {bytes}");
        self.compiler.version = strategy;
        Ok(self)
    }

    /// Sets the machine to compile for, by its triple: `x86_64-unknown-linux-gnu` or `x86_64-unknown-linux-musl`.
    ///
    /// Code then uses only what all such machines have, and not all features of this machine's processor, unless
    /// [`Config::target_processor`] sets a processor. Default: this machine, with all its features.
    ///
    /// # Errors
    ///
    /// Returns an error for other triples: belljar compiles only for the machines that it runs on.
    pub fn target(&mut self, target: &str) -> Result<&mut Self> {
        if !TARGETS.contains(&target) {
            let target = OutsideText::new(target);
            bail!("cannot compile for the target `{target}`: expected {}", TARGETS.join(" or "));
        }
        self.compiler.target = Some(target.into());
        Ok(self)
    }

    /// Sets the processor to compile for, by a name such as `x86-64-v2`, `x86-64-v3`, `haswell` or `znver4`, so that
    /// artifacts run on other machines as well. Code that needs features that this processor lacks can be cached and
    /// written to files, but cannot be instantiated. Default: the processor of this machine.
    pub fn target_processor(&mut self, name: impl Into<String>) -> &mut Self {
        self.compiler.processor = Some(name.into());
        self
    }

    /// For tests of [`Config::target_processor`]: treats this machine's processor as another one with fewer features.
    #[doc(hidden)]
    pub fn host_processor(&mut self, name: impl Into<String>) -> &mut Self {
        self.compiler.host_processor = Some(name.into());
        self
    }

    #[cfg(feature = "compiler")]
    /// Returns the name of the processor to compile for; `None` for the host's.
    pub(crate) fn processor(&self) -> Option<&str> {
        let of_target = self.compiler.target.as_ref().map(|_| OLDEST_PROCESSOR);
        self.compiler.processor.as_deref().or(of_target)
    }

    /// Sets a directory that gets a file for each function that is compiled, with Cranelift's representation of the
    /// optimized function: `wasm-function-12.clif` for function 12. Modules from the cache are not compiled, and modules
    /// that are compiled later overwrite the files. If a file cannot be written, see [`crate::Engine::problems`]. Default:
    /// none.
    pub fn emit_clif(&mut self, directory: &Path) -> &mut Self {
        self.compiler.clif = Some(directory.into());
        self
    }

    /// Sets whether artifacts have a symbol for each function, which tools such as `objdump` and `perf` show. belljar does
    /// not need them: backtraces and profiles have names without them. Default: yes.
    pub fn debug_symbols(&mut self, enable: bool) -> &mut Self {
        self.compiler.debug_symbols = enable;
        self
    }

    /// Sets whether [`crate::Module::address_map`] returns the positions of instructions in the binary. Compiled code has
    /// them in any case, because backtraces need them. Default: yes.
    pub fn generate_address_map(&mut self, generate: bool) -> &mut Self {
        self.compiler.address_map = generate;
        self
    }

    /// Sets whether debuggers of the process, such as gdb, see the guest's source. It has no effect: debuggers do not.
    /// Backtraces ([`crate::WasmBacktrace`]), core dumps ([`crate::WasmCoreDump`]) and profiles show it. Default: no.
    pub fn debug_info(&mut self, enable: bool) -> &mut Self {
        self.compiler.debug_info = enable;
        self
    }

    /// Sets whether the system's unwinder can unwind guest functions. It has no effect: it cannot, but it can follow their
    /// frame pointers. Default: no.
    pub fn native_unwind_info(&mut self, enable: bool) -> &mut Self {
        self.compiler.native_unwind_info = enable;
        self
    }
}
