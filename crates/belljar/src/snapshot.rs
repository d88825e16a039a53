//! Saving an instance as an artifact.

use crate::Result;
use crate::store::Store;
use belljar_core::InstanceId;

impl<T: 'static> Store<T> {
    /// The store's only instance with all its state, as an artifact: a module that begins there when it is loaded and instantiated,
    /// in this process or another. Memories, globals, tables, dropped segments and objects of the garbage-collected heap are in it;
    /// the embedder's data, fuel and limits are not. `note` is kept with it: [`Module::snapshot_note`](crate::Module::snapshot_note).
    ///
    /// It is sealed as [`Module::serialize`](crate::Module::serialize) says, and loading it is safe for the same reasons. The store
    /// that it is loaded into is to offer the same imports, in their meaning: what the guest knows of the host it still knows.
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
    /// Where the guest runs, was killed, or holds what means something in this process alone: host functions that it did not import,
    /// host values (`externref`), a memory that others share; where the store has not just one instance; where there is no key to
    /// seal it with.
    pub fn snapshot(&mut self, note: &[u8], options: crate::ArtifactOptions<'_>) -> Result<Vec<u8>> {
        let state = self.inner.erased().serialize_instance(note)?;
        let core = self.inner.core();
        let code = core.instance_module(InstanceId(0));
        crate::artifact::serialize::serialize(&self.engine, code.module(), code.code_image(), &state, options)
    }
}
