//! Saving an instance as an artifact.

use crate::Result;
use crate::store::Store;
use belljar_core::InstanceId;

impl<T: 'static> Store<T> {
    /// Saves the store's only instance with its state as an artifact: a module or a component that resumes in that state when it
    /// is loaded and instantiated, in this process or another. It contains memories, globals, tables, dropped segments and
    /// objects of the garbage-collected heap, but not the embedder's data, fuel or limits. `note` is stored with it:
    /// [`Module::snapshot_note`](crate::Module::snapshot_note) returns it.
    ///
    /// The artifact is sealed as [`Module::serialize`](crate::Module::serialize) describes, and loading it is safe for
    /// the same reasons. The store that it is instantiated in must provide the same imports with the same meaning,
    /// because the guest's state refers to the host's.
    ///
    /// ```
    /// use belljar::{ArtifactOptions, Config, Engine, Instance, Module, Store, Trust, UserKey};
    /// # fn main() -> Result<(), belljar::Error> {
    /// let mut config = Config::new();
    /// config.trust(Trust { user: Some(UserKey::from_bytes([7; 32])), ..Trust::default() });
    /// let engine = Engine::new(&config)?;
    /// let wat = r#"(module (memory 1) (func (export "warm_up") (i32.store (i32.const 0) (i32.const 42)))
    ///     (func (export "get") (result i32) (i32.load (i32.const 0))))"#;
    /// let mut store = Store::new(&engine, ());
    /// let instance = Instance::new(&mut store, &Module::new(&engine, wat)?, &[])?;
    /// instance.get_typed_func::<(), ()>(&mut store, "warm_up")?.call(&mut store, ())?;
    /// let snapshot = store.snapshot(b"warm", ArtifactOptions::new())?;
    ///
    /// let module = Module::deserialize(&engine, &snapshot)?;
    /// assert_eq!(module.snapshot_note()?.as_deref(), Some(&b"warm"[..]));
    /// let mut store = Store::new(&engine, ());
    /// let instance = Instance::new(&mut store, &module, &[])?;
    /// assert_eq!(instance.get_typed_func::<(), i32>(&mut store, "get")?.call(&mut store, ())?, 42);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// Returns an error if the guest is running or was killed, if the store does not have exactly one instance, or if
    /// there is no key to seal the artifact with. Also returns an error if the instance holds something that is
    /// meaningful only in this process: a host function that it did not import, a host value (`externref`), a shared
    /// memory, or a handle of a resource that the host implements.
    pub fn snapshot(&mut self, note: &[u8], options: crate::ArtifactOptions<'_>) -> Result<Vec<u8>> {
        #[cfg(feature = "component-model")]
        if let Some(snapshot) = crate::component::snapshot_of_store(self, note, options)? {
            return Ok(snapshot);
        }
        let state = self.inner.erased().serialize_instance(note)?;
        let core = self.inner.core();
        let code = core.instance_module(InstanceId(0));
        crate::artifact::serialize::serialize(
            self.engine(),
            code.module(),
            code.code_image(),
            &state,
            options,
        )
    }
}
