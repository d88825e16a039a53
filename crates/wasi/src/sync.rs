//! The names and shapes of wasmi_wasi, and of the crate wasi-common that it shows.
//!
//! The context is the same [`WasiCtx`] as that of [`crate::WasiCtxBuilder`], which grants more.

use crate::perms::FsPerms;
use crate::socket::PreopenSocket;
use crate::stream::{InputStream, OutputStream};
use crate::{WasiCtx, p1};
use belljar::{AsContextMut, Extern, Linker, Module, OutsideText, Result};
use std::fmt;
use std::os::fd::OwnedFd;
use std::path::Path;

/// Defines every function of `wasi_snapshot_preview1` in the linker.
///
/// `get_ctx` finds the context in the store's data. Instances must export their memory as `memory`.
///
/// # Errors
/// Returns an error if the linker already has one of the functions and does not allow shadowing.
pub fn add_to_linker<T: 'static>(
    linker: &mut Linker<T>,
    get_ctx: impl Fn(&mut T) -> &mut WasiCtx + Send + Sync + Copy + 'static,
) -> Result<()> {
    p1::add_to_linker_sync(linker, get_ctx)
}

/// What the functions of WASI can be added to: a [`Linker`].
pub trait AddWasi<T> {
    /// The same as [`add_to_linker`].
    ///
    /// # Errors
    /// Returns an error as [`add_to_linker`] does.
    fn add_wasi(
        &mut self,
        get_ctx: impl Fn(&mut T) -> &mut WasiCtx + Send + Sync + Copy + 'static,
    ) -> Result<()>;
}

impl<T: 'static> AddWasi<T> for Linker<T> {
    fn add_wasi(
        &mut self,
        get_ctx: impl Fn(&mut T) -> &mut WasiCtx + Send + Sync + Copy + 'static,
    ) -> Result<()> {
        add_to_linker(self, get_ctx)
    }
}

/// Replaces `externals` by the imports of a module that imports nothing but functions of `wasi_snapshot_preview1`, for
/// [`Instance::new`](belljar::Instance::new).
///
/// # Errors
/// Returns the first import that is something else. `externals` is empty then.
pub fn add_to_externals<T: 'static>(
    mut ctx: impl AsContextMut<Data = T>,
    module: &Module,
    externals: &mut Vec<Extern>,
    get_ctx: impl Fn(&mut T) -> &mut WasiCtx + Send + Sync + Copy + 'static,
) -> Result<(), InvalidWasiImport> {
    externals.clear();
    let mut store = ctx.as_context_mut();
    let mut linker = Linker::new(module.engine());
    let added = p1::add_to_linker_sync(&mut linker, get_ctx);
    for import in module.imports() {
        let found = added.is_ok().then(|| linker.get(&mut store, import.module(), import.name())).flatten();
        match found {
            Some(found) => externals.push(found),
            None => {
                externals.clear();
                let (module, name) = (import.module().into(), import.name().into());
                return Err(InvalidWasiImport { module, name });
            }
        }
    }
    Ok(())
}

/// An import that is no function of `wasi_snapshot_preview1`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct InvalidWasiImport {
    module: Box<str>,
    name: Box<str>,
}

impl InvalidWasiImport {
    /// Returns the module's name in the import.
    pub fn module(&self) -> &str {
        &self.module
    }

    /// Returns the function's name in the import.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl fmt::Display for InvalidWasiImport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (module, name) = (OutsideText::new(&*self.module), OutsideText::new(&*self.name));
        write!(f, "the import `{module}` `{name}` is no function of wasi_snapshot_preview1")
    }
}

impl std::error::Error for InvalidWasiImport {}

/// The reason why a text cannot be an argument or a variable.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum StringArrayError {
    /// It contains a zero byte, which would end it.
    Nul,
}

impl fmt::Display for StringArrayError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("arguments and variables must not contain zero bytes")
    }
}

impl std::error::Error for StringArrayError {}

/// Collects what a guest is granted, in the shape of wasi-common: what can fail returns a `Result`.
///
/// ```
/// use belljar_wasi::sync::WasiCtxBuilder;
/// let ctx = WasiCtxBuilder::new().inherit_stdio().arg("program")?.env("LANG", "C")?.build();
/// # Ok::<(), belljar_wasi::sync::StringArrayError>(())
/// ```
#[derive(Debug, Default)]
pub struct WasiCtxBuilder(crate::WasiCtxBuilder);

fn check(text: &str) -> Result<&str, StringArrayError> {
    if text.contains('\0') { Err(StringArrayError::Nul) } else { Ok(text) }
}

impl WasiCtxBuilder {
    /// Creates a builder that grants no arguments, variables, directories or sockets; input is empty and output is
    /// discarded.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds one argument. By convention, the first one is the program's name.
    ///
    /// # Errors
    /// Returns an error if it contains a zero byte.
    pub fn arg(&mut self, arg: &str) -> Result<&mut Self, StringArrayError> {
        self.0.arg(check(arg)?);
        Ok(self)
    }

    /// Adds several arguments.
    ///
    /// # Errors
    /// Returns an error if one contains a zero byte; those before it were added.
    pub fn args(&mut self, args: &[String]) -> Result<&mut Self, StringArrayError> {
        args.iter().try_fold(self, |builder, arg| builder.arg(arg))
    }

    /// Adds the process's own arguments, including its name.
    ///
    /// # Errors
    /// Returns no error: the operating system's arguments contain no zero bytes.
    pub fn inherit_args(&mut self) -> Result<&mut Self, StringArrayError> {
        self.0.inherit_args();
        Ok(self)
    }

    /// Adds one environment variable.
    ///
    /// # Errors
    /// Returns an error if its name or value contains a zero byte.
    pub fn env(&mut self, var: &str, value: &str) -> Result<&mut Self, StringArrayError> {
        self.0.env(check(var)?, check(value)?);
        Ok(self)
    }

    /// Adds several environment variables.
    ///
    /// # Errors
    /// Returns an error if one contains a zero byte; those before it were added.
    pub fn envs(&mut self, env: &[(String, String)]) -> Result<&mut Self, StringArrayError> {
        env.iter().try_fold(self, |builder, (var, value)| builder.env(var, value))
    }

    /// Adds all of the process's own environment.
    ///
    /// # Errors
    /// Returns no error: the operating system's variables contain no zero bytes.
    pub fn inherit_env(&mut self) -> Result<&mut Self, StringArrayError> {
        self.0.inherit_env();
        Ok(self)
    }

    /// Sets the guest's standard input.
    pub fn stdin(&mut self, stdin: impl InputStream + 'static) -> &mut Self {
        self.0.stdin(stdin);
        self
    }

    /// Sets the guest's standard output.
    pub fn stdout(&mut self, stdout: impl OutputStream + 'static) -> &mut Self {
        self.0.stdout(stdout);
        self
    }

    /// Sets the guest's standard error.
    pub fn stderr(&mut self, stderr: impl OutputStream + 'static) -> &mut Self {
        self.0.stderr(stderr);
        self
    }

    /// Lets the guest read the process's standard input.
    pub fn inherit_stdin(&mut self) -> &mut Self {
        self.0.inherit_stdin();
        self
    }

    /// Lets the guest write to the process's standard output.
    pub fn inherit_stdout(&mut self) -> &mut Self {
        self.0.inherit_stdout();
        self
    }

    /// Lets the guest write to the process's standard error.
    pub fn inherit_stderr(&mut self) -> &mut Self {
        self.0.inherit_stderr();
        self
    }

    /// Lets the guest use all three of the process's standard streams.
    pub fn inherit_stdio(&mut self) -> &mut Self {
        self.0.inherit_stdio();
        self
    }

    /// Gives the guest an open directory, such as a `cap_std::fs::Dir`, to read and write, under the name `guest_path`.
    ///
    /// # Errors
    /// Returns an error if it is no directory, or if `guest_path` is not UTF-8.
    pub fn preopened_dir(
        &mut self,
        dir: impl Into<OwnedFd>,
        guest_path: impl AsRef<Path>,
    ) -> Result<&mut Self> {
        let Some(guest_path) = guest_path.as_ref().to_str() else {
            belljar::bail!("the guest's name of a directory must be UTF-8");
        };
        self.0.preopened_handle(dir.into(), guest_path, FsPerms::ReadWrite.into())?;
        Ok(self)
    }

    /// Gives the guest a listening or connected stream socket, with the next number from 3 on. `fd` must be that number.
    ///
    /// # Errors
    /// Returns an error if `fd` is another number.
    pub fn preopened_socket(&mut self, fd: u32, socket: impl Into<PreopenSocket>) -> Result<&mut Self> {
        let next = self.0.next_preopen();
        belljar::ensure!(fd == next, "the next descriptor has the number {next}, and not {fd}");
        self.0.preopened_socket(socket);
        Ok(self)
    }

    /// Creates the context and resets the builder.
    pub fn build(&mut self) -> WasiCtx {
        self.0.build()
    }
}
