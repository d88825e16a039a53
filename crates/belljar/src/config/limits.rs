//! What compilation may take, and what modules may contain.

use super::Config;
use super::enforced_limits::EnforcedLimits;
use crate::Result;
use crate::progress::{Progress, ProgressHook};
use belljar_compile::CompileLimits;
use belljar_core::ensure;
use belljar_module::Module;
use std::sync::Arc;

/// What compilation may take, and what modules may contain.
impl Config {
    /// Limits the size of modules, and the CPU time and memory of their compilation. Default:
    /// [`CompileLimits::unlimited`]. Use [`CompileLimits::default`] for untrusted modules. [`crate::CodeBuilder`] can
    /// override the limits for a single module.
    ///
    /// ```
    /// use belljar::{CompileLimitExceeded, CompileLimits, Config, Engine, Module};
    /// let mut config = Config::new();
    /// config.compile_limits(CompileLimits::default().module_size(20));
    /// let engine = Engine::new(&config)?;
    /// let error = Module::new(&engine, "(module (func (export \"f\")))").unwrap_err();
    /// assert!(error.is::<CompileLimitExceeded>());
    /// assert_eq!(
    ///     error.to_string(),
    ///     "the module has 31 bytes, and the limit is 20 bytes (CompileLimits::module_size)"
    /// );
    /// # Ok::<(), belljar::Error>(())
    /// ```
    pub fn compile_limits(&mut self, limits: CompileLimits) -> &mut Self {
        self.compile_limits = limits;
        self
    }

    /// Sets a callback that reports the progress of compilations: it is called when a stage begins, and after each
    /// function of the module. It is not called for modules that come from the cache or from an artifact. It does not
    /// affect the compiled code.
    ///
    /// For each compilation, only one thread calls it at a time, and [`Progress::done`] never decreases. If the
    /// compilation succeeds, the last call is at [`crate::CompileStage::Finished`], with everything done. The compiling
    /// threads call it, so the time that it takes adds to the compilation; if it panics, the panic propagates to the
    /// function that compiles the module. Default: none.
    ///
    /// ```
    /// use belljar::{CompileStage, Config, Engine, Module};
    /// use std::sync::{Arc, Mutex};
    ///
    /// let fractions = Arc::new(Mutex::new(Vec::new()));
    /// let mut config = Config::new();
    /// let told = fractions.clone();
    /// config.compile_progress(move |progress| {
    ///     if progress.stage == CompileStage::Compilation {
    ///         told.lock().unwrap().push(progress.fraction());
    ///     }
    /// });
    /// let engine = Engine::new(&config)?;
    /// Module::new(&engine, "(module (func nop) (func nop))")?;
    /// assert_eq!(*fractions.lock().unwrap(), [0.0, 0.5, 1.0]);
    /// # Ok::<(), belljar::Error>(())
    /// ```
    pub fn compile_progress(&mut self, tell: impl Fn(Progress) + Send + Sync + 'static) -> &mut Self {
        self.compile_progress = Some(ProgressHook(Arc::new(tell)));
        self
    }

    /// Limits what modules contain. A module that exceeds a limit is refused with an
    /// [`EnforcedLimitsError`](crate::EnforcedLimitsError) before it is compiled; so is one of the cache or of an
    /// artifact. Default: no limits.
    ///
    /// ```
    /// use belljar::{Config, EnforcedLimits, EnforcedLimitsError, Engine, Module};
    /// let engine = Engine::new(Config::new().enforced_limits(EnforcedLimits::strict()))?;
    /// let error = Module::new(&engine, "(module (memory 1) (memory 1))").unwrap_err();
    /// assert_eq!(error.downcast_ref(), Some(&EnforcedLimitsError::TooManyMemories { limit: 1 }));
    /// # Ok::<(), belljar::Error>(())
    /// ```
    pub fn enforced_limits(&mut self, limits: EnforcedLimits) -> &mut Self {
        self.rules.limits = limits;
        self
    }

    /// Sets whether modules may have a start function, which runs when they are instantiated. Otherwise such modules are
    /// refused. Default: yes.
    pub fn allow_start_fn(&mut self, allow: bool) -> &mut Self {
        self.rules.start_function = allow;
        self
    }

    /// Sets whether [`crate::Module::custom_sections`] and [`crate::Module::custom_sections_named`] return nothing. Names
    /// of functions, debug information and branch hints are used nevertheless. Default: no.
    pub fn ignore_custom_sections(&mut self, enable: bool) -> &mut Self {
        self.rules.custom_sections = !enable;
        self
    }

    /// Refuses a valid module that the engine must not have.
    pub(crate) fn check_module(&self, module: &Module) -> Result<()> {
        ensure!(
            self.rules.start_function || module.start().is_none(),
            "the module has a start function, which the engine does not allow: allow it with Config::allow_start_fn(true)"
        );
        Ok(self.rules.limits.check(module)?)
    }
}
